// Where the user writes: text, images when the model sees, send and stop.

import { button, h, icon, notify, show } from "./dom.js";
import { isImage } from "./conversation.js";

const MAX_IMAGE_BYTES = 8_000_000;

export class Composer {
  constructor({ onSend, onStop }) {
    this.onSend = onSend;
    this.onStop = onStop;
    this.images = [];
    this.isRunning = false;
    this.area = h("textarea", {
      id: "composer", rows: "1", placeholder: "Ask Hermes", "aria-label": "Your message", enterkeyhint: "send",
      oninput: () => this.#fit(), onkeydown: (event) => this.#key(event), onpaste: (event) => this.#take(event.clipboardData?.files),
    });
    this.file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/gif", multiple: true, class: "visually-hidden", tabindex: "-1", "aria-label": "Images", onchange: () => this.#take(this.file.files) });
    this.attach = button("Attach images", { icon: "image", quiet: true, hidden: true, onclick: () => this.file.click() });
    this.go = h("button", { type: "button", class: "button go", onclick: () => (this.isRunning ? this.onStop() : this.#send()) });
    this.shelf = h("div", { class: "shelf" });
    this.element = h("form", { class: "composer", onsubmit: (event) => event.preventDefault() },
      this.shelf, h("div", { class: "row" }, this.attach, this.file, this.area, this.go));
    this.setRunning(false);
  }

  focus() { this.area.focus(); }

  set(text) { this.area.value = text; this.#fit(); this.focus(); }

  /** Images wait only for a model that takes them. */
  setVision(canSee) {
    this.attach.hidden = !canSee;
    if (!canSee && this.images.length) { this.images = []; this.#drawShelf(); }
  }

  setRunning(isRunning) {
    this.isRunning = isRunning;
    const label = isRunning ? "Stop" : "Send";
    this.go.setAttribute("aria-label", label);
    this.go.title = isRunning ? "Stop (Esc)" : "Send (Enter)";
    this.go.classList.toggle("stop", isRunning);
    show(this.go, icon(isRunning ? "stop" : "send"));
  }

  #send() {
    const text = this.area.value.trim();
    if ((!text && !this.images.length) || this.isRunning) return;
    const images = this.images;
    this.area.value = "";
    this.images = [];
    this.#drawShelf();
    this.#fit();
    this.onSend(text, images);
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#send();
  }

  #fit() {
    this.area.style.height = "auto";
    this.area.style.height = `${Math.min(this.area.scrollHeight, 260)}px`;
  }

  #take(files) {
    if (this.attach.hidden) return;
    for (const file of files ?? []) {
      if (file.size > MAX_IMAGE_BYTES) { notify(`${file.name} is larger than 8 MB`); continue; }
      const reader = new FileReader();
      reader.onload = () => { if (isImage(reader.result)) { this.images.push(reader.result); this.#drawShelf(); } else notify("This is not an image the page can send"); };
      reader.readAsDataURL(file);
    }
    this.file.value = "";
  }

  #drawShelf() {
    show(this.shelf, this.images.map((url, index) => h("figure", {}, h("img", { src: url, alt: `Image ${index + 1} to send` }),
      button("Leave this image out", { icon: "close", quiet: true, onclick: () => { this.images.splice(index, 1); this.#drawShelf(); } }))));
  }
}
