// The models view: the family as rows, what fits where, and what can be done with each.

import { Chips } from "./chips.js";
import { openComparison, stateBadge } from "./compare.js";
import { confirmWith } from "./dialog.js";
import { button, h, keepFocus, notify, show } from "./dom.js";
import { abilitiesOf, cheapest, contextText, factsOf, joinFacts, offersOf, priceText, speedText } from "./facts.js";
import { placementBar, placementGist, placementKey, roomOf } from "./placement.js";
import { Pull } from "./pull.js";
import { recall, remember } from "./store.js";

const FILTERS = {
  all: ["All", () => true],
  here: ["Installed", (model) => model.installed],
  fits: ["Fits here", (model) => model.installed || model.plan?.fits],
  hosted: ["Hosted", (model) => offersOf(model).length > 0],
};

export function mountModels(root, app) {
  return new ModelsView(root, app);
}

class ModelsView {
  constructor(root, app) {
    this.app = app;
    this.compared = new Set();
    this.open = new Set();
    app.pulls ??= new Map();
    this.note = h("p", { class: "note", hidden: true });
    this.list = h("ul", { class: "models" }, h("li", { class: "hint", text: "Asking the server…" }));
    this.search = h("input", { type: "search", placeholder: "Find a model", "aria-label": "Find a model", oninput: () => this.draw() });
    this.chips = new Chips("Show", Object.fromEntries(Object.entries(FILTERS).map(([id, [title]]) => [id, title])), "all", () => this.draw());
    this.compare = button("Compare", { kind: "primary", hidden: true, onclick: () => this.#openCompare() });
    show(root, h("section", { class: "page", "aria-labelledby": "models-title" },
      h("header", { class: "page-head" }, h("div", {}, h("h1", { id: "models-title", text: "Models" }),
        h("p", { class: "lede", text: "The Hermes family: what runs on this machine, and what it costs elsewhere." })), placementKey()),
      h("div", { class: "row wrap tools" }, this.chips.element, h("span", { class: "grow" }), this.compare, this.search), this.note, this.list));
    this.refresh();
  }

  unmount() { this.isGone = true; }

  async refresh() {
    try {
      const { api } = this.app;
      const [models, plan, health, known] = await Promise.all([
        this.app.models({ fresh: true }), api.get("/v1/plan").catch((error) => error), api.get("/health").catch(() => ({})), api.get("/v1/providers").catch(() => ({})),
      ]);
      const providers = new Set((known.providers ?? []).filter((one) => one.state !== "no_key").map((one) => one.name));
      this.models = joinFacts(models, { plans: plan.models ?? [], engines: health.engines ?? [], speeds: recall("speeds") ?? {}, providers });
      this.machine = plan.machine;
      this.note.hidden = !(plan instanceof Error);
      this.note.textContent = "This server makes no plans yet, so what fits is not shown.";
      if (!this.isGone) this.draw();
    } catch (error) {
      show(this.list, h("li", { class: "hint", text: error.message }));
    }
  }

  draw() {
    for (const [id, [, matches]] of Object.entries(FILTERS)) this.chips.note(id, this.models?.filter(matches).length ?? "");
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = (this.models ?? []).filter(FILTERS[this.chips.chosen][1]).filter((model) => {
      const text = [model.id, model.title, ...(model.aliases ?? []), ...abilitiesOf(model)].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    for (const more of this.list.querySelectorAll("details.more")) { // a toggle tells of itself late
      if (more.open) this.open.add(more.closest("[data-model]").dataset.model);
    }
    this.compare.hidden = this.compared.size !== 2;
    keepFocus(this.list, () => show(this.list, found.length ? found.map((model) => this.#row(model)) : h("li", { class: "hint", text: "No model matches." })));
  }

  #row(model) {
    const speed = speedText(model), length = contextText(model);
    const pull = this.app.pulls.get(model.id);
    return h("li", { class: "model-row", dataset: { model: model.id } },
      h("div", { class: "model-main" },
        h("div", { class: "model-name" }, h("h2", { text: model.title ?? model.id })),
        h("div", { class: "model-place" }, model.plan ? [placementBar(model.plan, roomOf(model.plan, this.machine)), h("small", { text: placementGist(model.plan) })] : h("small", { text: model.quantization ?? "" })),
        fact(speed.value, speed.how || (model.plan?.fits === false ? "not here" : "not known")), fact(length.pages || "–", length.pages ? length.tokens : "context"),
        fact(...priceFact(model)),
        h("div", { class: "model-act" }, this.#actions(model, pull))),
      pull ? pull.element : null, this.#details(model));
  }

  #actions(model, pull) {
    if (pull?.isRunning) return null;
    const does = (label, onclick, icon) => button(label, { kind: "small", icon, onclick, dataset: { key: `${label} ${model.id}` } });
    const chat = model.engine || model.runs === "hosted" ? does("Chat", () => this.#chat(model)) : null;
    if (model.engine) return [chat, does("Unload", () => this.#act(model, "unload"))];
    if (model.installed) return [chat, does("Load", () => this.#act(model, "load"))];
    return [chat, model.plan?.fits === false ? null : does("Pull", () => this.#pull(model), "down")];
  }

  #details(model) {
    const box = h("input", { type: "checkbox", dataset: { key: `Compare ${model.id}` }, checked: this.compared.has(model.id), onchange: () => {
      if (box.checked) this.compared.add(model.id); else this.compared.delete(model.id);
      if (this.compared.size > 2) this.compared.delete([...this.compared][0]);
      this.draw();
    } });
    return h("details", { class: "more", open: this.open.has(model.id), ontoggle: (event) => {
      if (event.target.open) this.open.add(model.id); else this.open.delete(model.id);
    } }, h("summary", {}, stateBadge(model), h("span", { class: "open", text: "Details" }), abilitiesOf(model).map((one) => h("span", { class: "tag", text: one }))),
    factList(model), h("div", { class: "row" }, h("label", { class: "check" }, box, h("span", { text: "Compare" })), h("span", { class: "grow" }),
      model.installed && !model.engine ? button("Remove from this machine", { kind: "small", onclick: () => this.#remove(model) }) : null));
  }

  #chat(model) {
    remember("model", model.id);
    this.app.newConversation();
  }

  async #act(model, verb) {
    notify(`${verb === "load" ? "Loading" : verb === "unload" ? "Unloading" : "Removing"} ${model.title ?? model.id}…`);
    try {
      await this.app.api.post(`/v1/models/${verb}`, { model: model.id });
      notify(`${model.title ?? model.id}: ${verb === "load" ? "loaded" : verb === "unload" ? "unloaded" : "removed"}`);
    } catch (error) { notify(error.isMissing && error.status === 404 ? `This server cannot ${verb} models from the page yet.` : error.message); }
    await this.refresh();
  }

  async #remove(model) {
    const title = model.title ?? model.id;
    if (await confirmWith(`Remove ${title}?`, "Its weights are deleted from this disk. It can be pulled again.", "Remove")) await this.#act(model, "remove");
  }

  #pull(model) {
    this.app.pulls.set(model.id, new Pull(this.app.api, model.id, (pull) => {
      notify(pull.failure ?? `${model.title ?? model.id} is here`);
      if (!pull.failure) this.app.pulls.delete(model.id);
      if (this.app.view === "models") this.app.mounted.refresh();
    }));
    this.draw();
  }

  #openCompare() {
    openComparison(this.models.filter((model) => this.compared.has(model.id)));
  }
}

function priceFact(model) {
  const offer = cheapest(model), offers = offersOf(model);
  if (offer) return [priceText(offer), `${offer.provider}, per million`];
  return offers.length ? ["not published", offers.map((one) => one.provider).join(", ")] : ["–", "not hosted"];
}

function fact(value, name) {
  return h("div", { class: "fact" }, h("b", { text: value }), h("small", { text: name }));
}

function factList(model) {
  return h("dl", { class: "facts" }, [...factsOf(model)].filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value }))));
}
