// The chat view: the turns of one conversation, the composer, the model and the settings.

import { Composer } from "./composer.js";
import { announce, button, h, icon, notify, show } from "./dom.js";
import { openSettings } from "./drawer.js";
import { canSee } from "./facts.js";
import { AnswerTurn, userTurn } from "./message.js";
import { remember } from "./store.js";

const IDEAS = [
  "Explain what a KV cache is, in three sentences",
  "What time is it in my timezone?",
  "Write a haiku about a quiet machine",
];

export function mountChat(root, app, id) {
  return new ChatView(root, app, app.session(id));
}

class ChatView {
  constructor(root, app, session) {
    this.app = app;
    this.session = session;
    this.turns = new Map();
    this.isStuck = true;
    this.log = h("ol", { class: "log" });
    this.start = h("div", { class: "start" });
    this.scroller = h("div", { class: "scroller", tabindex: "-1", onscroll: () => this.#noteScroll() }, h("div", { class: "column" }, this.start, this.log));
    this.jump = button("Go to the latest", { icon: "down", quiet: true, kind: "jump", hidden: true, onclick: () => { this.isStuck = true; this.#follow(); } });
    this.composer = new Composer({ onSend: (text, images) => this.#send(text, images), onStop: () => session.stop() });
    this.model = h("select", { class: "model", "aria-label": "Model", onchange: () => this.#chooseModel(this.model.value) });
    show(root, h("section", { class: "chat", "aria-label": "Chat" },
      h("header", { class: "bar" }, h("h1", { class: "visually-hidden", text: "Chat" }),
        h("button", { type: "button", class: "button quiet menu", "aria-label": "Conversations", popovertarget: "sidebar" }, icon("menu")),
        this.model, h("span", { class: "grow" }),
        button("Settings", { icon: "tune", quiet: true, id: "settings", onclick: () => this.openSettings() })),
      this.scroller, h("div", { class: "dock" }, h("div", { class: "column" }, this.jump, this.composer.element,
        h("p", { class: "hint", text: "Answers can be wrong. Conversations stay in this browser." })))));
    session.onChange = (message) => this.#changed(message);
    this.sync();
    this.#drawModels();
    app.models().then(() => this.#drawModels(), () => {});
    if (matchMedia("(hover: hover)").matches) this.composer.focus();
  }

  unmount() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.session.onChange = () => {};
  }

  openSettings() {
    const { conversation } = this.session;
    openSettings(conversation.settings, () => { if (conversation.messages.length) this.session.save(); });
  }

  stop() { this.session.stop(); }

  retry() { if (!this.session.isRunning) this.session.retry(); }

  async #send(text, images) {
    this.isStuck = true;
    const isNew = !this.session.conversation.messages.length;
    if (!(await this.#hasModel())) { this.composer.set(text); return; }
    this.session.send(text, images).then(() => this.app.drawHistory());
    if (isNew) this.app.adopt(this.session);
    this.app.drawHistory();
  }

  /** Whether there is a model to ask; waits for the list when the page has only just been opened. */
  async #hasModel() {
    const { conversation } = this.session;
    if (conversation.model) return true;
    try {
      await this.app.models();
      this.#drawModels();
      if (!conversation.model) notify("This server knows no model yet.");
    } catch (error) { notify(error.message); }
    return Boolean(conversation.model);
  }

  /** Make the turns in sight those of the conversation. */
  sync() {
    const { conversation } = this.session;
    const shown = conversation.messages.filter((message) => message.role !== "tool");
    const ids = new Set(shown.map((message) => message.id));
    for (const [id, turn] of this.turns) if (!ids.has(id)) { turn.element.remove(); this.turns.delete(id); }
    for (const message of shown) {
      if (!this.turns.has(message.id)) this.#add(message);
      else this.turns.get(message.id).update?.();
    }
    this.log.classList.toggle("running", this.session.isRunning);
    this.start.hidden = shown.length > 0;
    if (!shown.length) this.#drawStart();
    this.composer.setRunning(this.session.isRunning);
    this.#follow();
  }

  #add(message) {
    const turn = message.role === "user"
      ? { element: userTurn(message, { onEdit: (text) => this.session.edit(message.id, text) }) }
      : new AnswerTurn(message, {
        onRetry: () => this.retry(),
        onResult: (call, text) => this.session.answerCall(call, text),
        resultOf: (call) => this.#resultOf(message, call),
      });
    this.turns.set(message.id, turn);
    this.log.append(turn.element);
  }

  #resultOf(message, call) {
    const { messages } = this.session.conversation;
    const rest = messages.slice(messages.indexOf(message));
    return rest.find((one) => one.role === "tool" && one.tool_call_id === call.id)?.content;
  }

  /** Draw at most once a frame, and never more than a fifth of the time. */
  #changed(message) {
    if (message === null) { this.sync(); return; }
    if (message.state !== "running") { this.#finish(message); return; }
    if (this.timer || this.frame) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        const begun = performance.now();
        this.turns.get(message.id)?.update();
        this.#follow();
        this.cost = performance.now() - begun;
      });
    }, Math.min(1000, 4 * (this.cost ?? 0)));
  }

  #finish(message) {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.timer = this.frame = 0;
    this.sync();
    if (this.session.isRunning) return;
    announce({ done: "Hermes has answered.", stopped: "The answer was stopped.", failed: "The answer failed." }[message.state]);
    this.app.drawHistory();
  }

  #noteScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.isStuck = scrollHeight - scrollTop - clientHeight < 80;
    this.jump.hidden = this.isStuck;
  }

  #follow() {
    if (this.isStuck) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#noteScroll();
  }

  #drawStart() {
    show(this.start,
      h("h2", { text: "What would you like to know?" }),
      h("p", { text: "Hermes answers on this machine; what does not fit here can be asked elsewhere, and every answer says who gave it." }),
      h("ul", { class: "ideas" }, IDEAS.map((text) => h("li", {}, button(text, { onclick: () => this.composer.set(text) })))));
  }

  #drawModels() {
    const { conversation } = this.session;
    const known = this.app.knownModels ?? [];
    const groups = { local: "On this machine", hosted: "Hosted", unavailable: "Not available yet" };
    if (!known.some((model) => model.id === conversation.model)) {
      conversation.model = this.app.preferredModel() ?? conversation.model;
    }
    show(this.model, Object.entries(groups).map(([runs, label]) => {
      const models = known.filter((model) => model.runs === runs);
      return models.length ? h("optgroup", { label }, models.map((model) => h("option", {
        value: model.id, text: model.title ?? model.id, selected: model.id === conversation.model }))) : null;
    }));
    if (!known.length) show(this.model, h("option", { text: conversation.model || "No model yet" }));
    this.#noteModel();
  }

  #chooseModel(id) {
    this.session.conversation.model = id;
    remember("model", id);
    if (this.session.conversation.messages.length) this.session.save();
    this.#noteModel();
  }

  #noteModel() {
    const model = this.app.knownModels?.find((one) => one.id === this.session.conversation.model);
    this.composer.setVision(canSee(model));
  }
}
