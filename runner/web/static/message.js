// Draws one turn and keeps it up to date while its answer grows.

import { button, h, icon, notify, show } from "./dom.js";
import { duration } from "./format.js";
import { MarkdownView } from "./markdown.js";
import { routeLine } from "./route.js";
import { ToolCard } from "./toolcard.js";

/** A question: its text and images, and the way to change it. */
export function userTurn(message, { onEdit }) {
  const body = h("div", { class: "bubble" },
    (message.images ?? []).map((url, index) => h("img", { src: url, alt: `Attached image ${index + 1}`, class: "attached" })),
    h("p", { class: "plain", text: message.content }));
  const edit = () => show(body, editor(message.content, {
    onSave: onEdit,
    onCancel: () => turn.replaceWith(userTurn(message, { onEdit })),
  }));
  const turn = h("li", { class: "turn user", dataset: { id: message.id } },
    h("h3", { class: "visually-hidden", text: "You" }), body,
    h("div", { class: "actions" },
      button("Edit", { icon: "edit", quiet: true, onclick: edit }),
      button("Copy", { icon: "copy", quiet: true, onclick: () => copy(message.content) })));
  return turn;
}

function editor(text, { onSave, onCancel }) {
  const save = () => { if (area.value.trim()) onSave(area.value.trim()); };
  const onkeydown = (event) => {
    if (event.key === "Escape") { event.stopPropagation(); onCancel(); }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); save(); }
  };
  const area = h("textarea", { "aria-label": "Your question", rows: "3", onkeydown });
  area.value = text;
  setTimeout(() => { area.focus(); area.select(); });
  return h("div", { class: "editor" }, area, h("div", { class: "row end" },
    button("Cancel", { onclick: onCancel }), button("Ask again", { kind: "primary", onclick: save })));
}

/** An answer. `update()` draws what is new; `resultOf(call)` finds a tool's answer. */
export class AnswerTurn {
  constructor(message, { onRetry, onResult, resultOf }) {
    this.message = message;
    this.handlers = { onRetry, onResult, resultOf };
    this.thinking = h("div", { class: "thought" });
    this.thinkingBox = h("details", { class: "thinking", hidden: true },
      h("summary", {}, icon("next"), h("span", { class: "label" })), this.thinking);
    this.text = h("div", { class: "markdown" });
    this.calls = h("div", { class: "calls" });
    this.foot = h("div", { class: "foot" });
    this.wait = h("p", { class: "waiting" }, h("span", { class: "visually-hidden", text: "Waiting for the answer" }),
      h("i"), h("i"), h("i"));
    this.element = h("li", { class: "turn assistant", dataset: { id: message.id } },
      h("h3", { class: "visually-hidden", text: "Hermes" }), this.thinkingBox, this.text, this.wait, this.calls, this.foot);
    this.markdown = new MarkdownView(this.text);
    this.thoughts = new MarkdownView(this.thinking);
    this.cards = [];
    this.update();
  }

  update() {
    const { message } = this;
    this.element.dataset.state = message.state;
    this.#updateThinking();
    this.markdown.update(message.content);
    this.#updateCalls();
    const isEmpty = !message.content && !message.reasoning && !message.tool_calls.length;
    this.wait.hidden = message.state !== "running" || !isEmpty;
    if (message.state !== this.shownState) this.#drawFoot();
    this.shownState = message.state;
  }

  #updateThinking() {
    const { message, thinkingBox } = this;
    thinkingBox.hidden = !message.reasoning;
    const isThinking = message.state === "running" && !message.content && !message.tool_calls.length;
    thinkingBox.classList.toggle("live", isThinking);
    thinkingBox.querySelector(".label").textContent = isThinking ? "Thinking" : "Thoughts";
    if (thinkingBox.open || !isThinking) this.thoughts.update(message.reasoning);
    thinkingBox.ontoggle = () => this.thoughts.update(message.reasoning);
  }

  #updateCalls() {
    this.message.tool_calls.forEach((call, index) => {
      if (!call) return;
      if (!this.cards[index]) {
        this.cards[index] = new ToolCard(call, this.handlers.onResult);
        this.calls.append(this.cards[index].element);
      }
      this.cards[index].update(this.handlers.resultOf(call), this.message.state);
    });
  }

  #drawFoot() {
    const { message } = this;
    if (message.state === "running") { show(this.foot); return; }
    show(this.foot,
      message.state === "failed" ? failure(message.error) : null,
      note(message),
      h("div", { class: "row line" },
        message.route || message.usage ? routeLine(message) : h("span", { class: "grow" }),
        h("div", { class: "actions" },
          button("Retry", { icon: "retry", quiet: true, onclick: this.handlers.onRetry }),
          button("Copy", { icon: "copy", quiet: true, onclick: () => copy(message.content) }))));
  }
}

function note(message) {
  const text = message.state === "stopped" ? `Stopped${message.total_ms ? ` after ${duration(message.total_ms)}` : ""}.`
    : message.finish === "length" ? "The answer reached its token limit."
    : message.finish === "content_filter" ? "The provider filtered this answer." : null;
  return text && h("p", { class: "note", text });
}

function failure(error) {
  const more = [...(error?.reasons ?? []), ...(error?.alternatives ?? []).map((one) => `Instead: ${one}`)];
  return h("div", { class: "failure", role: "alert" }, icon("warn"),
    h("div", {}, h("p", { text: error?.message ?? "The answer failed." }),
      more.length ? h("ul", {}, more.map((text) => h("li", { text: String(text) }))) : null));
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); notify("Copied"); } catch { notify("The browser did not allow copying"); }
}
