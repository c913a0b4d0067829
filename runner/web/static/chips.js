// A row of choices of which one is on. Drawn once, so that the focus stays where it is.

import { h } from "./dom.js";

export class Chips {
  /** `options` are `{id: title}`; `onChoose(id)` after the user chose. */
  constructor(label, options, chosen, onChoose) {
    this.chosen = chosen;
    this.notes = new Map();
    this.buttons = new Map();
    for (const [id, title] of Object.entries(options)) {
      const note = h("small");
      this.notes.set(id, note);
      this.buttons.set(id, h("button", { type: "button", class: "chip", onclick: () => { this.choose(id); onChoose(id); } }, title, note));
    }
    this.element = h("div", { class: "chips", role: "group", "aria-label": label }, [...this.buttons.values()]);
    this.choose(chosen);
  }

  choose(id) {
    this.chosen = id;
    for (const [one, button] of this.buttons) button.setAttribute("aria-pressed", String(one === id));
  }

  /** A small word beside a title, such as how many there are. */
  note(id, text) { this.notes.get(id).textContent = text; }
}
