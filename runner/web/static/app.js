// Puts the page together: views by address, the key, the theme, the keyboard, the conversations.

import { Api } from "./api.js";
import { mountChat } from "./chat.js";
import { exportJson, importJson, newConversation } from "./conversation.js";
import { askForKey, showShortcuts } from "./dialog.js";
import { announce, download, h, notify } from "./dom.js";
import { drawHistory } from "./history.js";
import { forgetKey, keepKey, readKey } from "./key.js";
import { mountModels } from "./models.js";
import { mountMoney } from "./money.js";
import { mountNow } from "./now.js";
import { Session } from "./session.js";
import { recall, Store } from "./store.js";

const VIEWS = { chat: mountChat, models: mountModels, now: mountNow, money: mountMoney };
const TITLES = { chat: "Chat", models: "Models", now: "Now", money: "Money" };
const THEMES = ["auto", "light", "dark"];

class App {
  constructor() {
    this.store = new Store();
    this.sessions = new Map();
    this.figures = []; // what the Now view has seen since the page was opened
    this.api = new Api({ onRefused: (error) => this.#askKey(error.message) });
    this.main = document.getElementById("main");
    this.history = document.getElementById("history");
  }

  async start() {
    await this.store.open();
    this.#wire();
    this.route();
  }

  /** Show what the address names. */
  route() {
    this.shown = location.hash;
    const [, name = "chat", id] = this.shown.split("/");
    const view = VIEWS[name] ? name : "chat";
    this.mounted?.unmount();
    this.view = view;
    this.mounted = VIEWS[view](this.main, this, id);
    document.title = view === "chat" ? "Hermes" : `${TITLES[view]} · Hermes`;
    for (const link of document.querySelectorAll("nav.views a")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#closeSidebar();
    this.drawHistory();
  }

  /** The address has changed; the browser may tell so twice. */
  #follow() {
    if (location.hash !== this.shown) this.route();
  }

  /** On a phone the conversations lie over the page. */
  #closeSidebar() {
    const sidebar = document.getElementById("sidebar");
    if (sidebar.matches(":popover-open")) sidebar.hidePopover();
  }

  /** Every model the server knows; remembered until something changes. */
  async models({ fresh = false } = {}) {
    if (fresh || !this.modelsPromise) {
      this.modelsPromise = this.api.get("/v1/models").then((body) => (this.knownModels = body.data));
      this.modelsPromise.catch(() => { this.modelsPromise = null; });
    }
    return this.modelsPromise;
  }

  preferredModel() {
    const known = this.knownModels ?? [];
    const chosen = known.find((model) => model.id === recall("model"));
    return (chosen ?? known.find((model) => model.runs === "local") ?? known.find((model) => model.runs === "hosted") ?? known[0])?.id;
  }

  /** The conversation of an address; without one the current, else a fresh one. */
  session(id) {
    if (!id && this.current) {
      if (this.current.conversation.messages.length) this.adopt(this.current);
      return this.current;
    }
    const running = this.sessions.get(id);
    if (running) return (this.current = running);
    const conversation = this.store.get(id) ?? newConversation(this.store.all()[0] ?? null);
    if (!this.store.get(id)) { conversation.settings = { ...conversation.settings, system: undefined }; conversation.model = this.preferredModel() ?? conversation.model; }
    this.current = new Session(conversation, this);
    if (this.store.get(id)) this.sessions.set(id, this.current);
    return this.current;
  }

  /** Give a conversation that has begun its address. */
  adopt(session) {
    this.sessions.set(session.conversation.id, session);
    history.replaceState(null, "", `#/chat/${session.conversation.id}`);
    this.shown = location.hash;
  }

  drawHistory() {
    drawHistory(this.history, this.store.all(), this.view === "chat" ? this.current?.conversation.id : null, {
      isRunning: (id) => this.sessions.get(id)?.isRunning ?? false,
      onRename: async (one, title) => { one.title = title; await this.store.save(one); this.drawHistory(); },
      onRemove: async (one) => {
        this.sessions.get(one.id)?.stop();
        this.sessions.delete(one.id);
        await this.store.remove(one.id);
        if (this.current?.conversation.id === one.id) this.newConversation();
        this.drawHistory();
      },
    });
  }

  newConversation() {
    this.current = null;
    this.go("#/chat");
  }

  /** Open an address of this page, at once: what is typed next belongs to the new view. */
  go(hash) {
    if (location.hash !== hash) history.pushState(null, "", hash);
    this.route();
  }

  /** One dialog at a time, however many requests were refused. */
  async #askKey(message) {
    this.keyPromise ??= askForKey(message, { hasKey: Boolean(readKey()) }).finally(() => { this.keyPromise = null; });
    const given = await this.keyPromise;
    if (!given?.key) { if (given) forgetKey(); return false; }
    keepKey(given.key, given.remember);
    return true;
  }

  #wire() {
    const on = (id, run) => document.getElementById(id).addEventListener("click", run);
    on("new-conversation", () => this.newConversation());
    on("help", showShortcuts);
    on("theme", () => this.#nextTheme());
    on("key", async () => { if (await this.#askKey("The key this page sends to its server.")) { this.modelsPromise = null; this.route(); } });
    on("export", () => download("hermes-conversations.json", exportJson(this.store.all())));
    on("import", () => this.#import());
    on("skip", (event) => { event.preventDefault(); this.main.focus(); });
    this.history.addEventListener("click", (event) => { if (event.target.closest("a")) this.#closeSidebar(); });
    for (const moved of ["hashchange", "popstate"]) addEventListener(moved, () => this.#follow());
    addEventListener("keydown", (event) => this.#key(event));
    this.#applyTheme(this.#theme());
  }

  #key(event) {
    if (document.querySelector("dialog[open]")) return;
    const isTyping = event.target.matches?.("input, textarea, select");
    if (event.key === "Escape" && this.mounted.stop) this.mounted.stop();
    else if (event.key === "?" && !isTyping && !event.altKey && !event.ctrlKey) showShortcuts();
    else if (event.altKey && !event.ctrlKey && !event.metaKey) this.#altKey(event);
  }

  #altKey(event) {
    const view = Object.keys(VIEWS)[Number(event.code.replace("Digit", "")) - 1];
    if (view) this.go(`#/${view}`);
    else if (event.code === "KeyN") this.newConversation();
    else if (event.code === "KeyS") this.mounted.openSettings?.();
    else if (event.code === "KeyR") this.mounted.retry?.();
    else return;
    event.preventDefault();
  }

  #theme() {
    return document.documentElement.dataset.theme ?? "auto";
  }

  #nextTheme() {
    const next = THEMES[(THEMES.indexOf(this.#theme()) + 1) % THEMES.length];
    this.#applyTheme(next);
    try { localStorage.setItem("hermes.theme", next); } catch { /* no storage */ }
    announce(`Theme: ${next}`);
  }

  #applyTheme(theme) {
    const { dataset } = document.documentElement;
    if (theme === "auto") delete dataset.theme;
    else dataset.theme = theme;
    const label = `Theme: ${theme === "auto" ? "as the system" : theme}`;
    const toggle = document.getElementById("theme");
    toggle.setAttribute("aria-label", label);
    toggle.title = label;
  }

  #import() {
    const field = h("input", { type: "file", accept: "application/json,.json", id: "import-file" });
    field.addEventListener("change", async () => {
      try {
        const found = importJson(await field.files[0].text());
        for (const one of found) await this.store.save(one);
        notify(`${found.length} ${found.length === 1 ? "conversation" : "conversations"} imported`);
        this.drawHistory();
      } catch (error) { notify(error.message); }
    });
    field.click();
  }
}

new App().start();
