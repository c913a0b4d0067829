// A tool call as a card: what was asked, what came back, and a place to answer it by hand.

import { button, h, icon, show } from "./dom.js";

export class ToolCard {
  constructor(call, onResult) {
    this.call = call;
    this.onResult = onResult;
    this.name = h("code", { class: "name" });
    this.state = h("span", { class: "badge" });
    this.ask = h("pre", { tabindex: "0", role: "region", "aria-label": "Arguments" });
    this.answer = h("div", { class: "answer" });
    this.element = h("section", { class: "tool", "aria-label": "Tool call" },
      h("header", {}, icon("tool"), this.name, this.state), this.ask, this.answer);
  }

  update(result, state) {
    const isOpen = state === "done" && result === undefined;
    this.name.textContent = this.call.name || "…";
    this.ask.textContent = pretty(this.call.arguments);
    const label = result !== undefined ? "answered" : isOpen ? "needs an answer" : state === "running" ? "being written" : state;
    if (label === this.label) return;
    this.label = label;
    this.state.textContent = label;
    this.state.classList.toggle("strong", isOpen);
    if (isOpen) this.#askUser();
    else show(this.answer, result === undefined ? null : [h("h4", { text: "Result" }),
      h("pre", { tabindex: "0", role: "region", "aria-label": "Result", text: pretty(result) })]);
  }

  #askUser() {
    const area = h("textarea", { rows: "2", "aria-label": `Result of ${this.call.name}`, placeholder: "What the tool answered, as text or JSON" });
    const send = () => this.onResult(this.call, area.value);
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
    });
    show(this.answer, area, h("div", { class: "row end" }, button("Send result", { kind: "primary", onclick: send })));
  }
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text || " "; }
}
