// The models view: the family as rows, what fits where, and what can be done with each.

import { confirmWith, openDialog } from "./dialog.js";
import { button, h, notify, show } from "./dom.js";
import { cheapest, contextText, joinFacts, offersOf, priceText, speedText, stateText } from "./facts.js";
import { placementBar, placementKey, placementText } from "./placement.js";
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
    this.filter = "all";
    this.compared = new Set();
    this.open = new Set();
    app.pulls ??= new Map();
    this.note = h("p", { class: "note", hidden: true });
    this.list = h("ul", { class: "models" }, h("li", { class: "hint", text: "Asking the server…" }));
    this.search = h("input", { type: "search", placeholder: "Find a model", "aria-label": "Find a model", oninput: () => this.draw() });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Show" });
    this.compare = button("Compare", { kind: "primary", hidden: true, onclick: () => this.#openCompare() });
    show(root, h("section", { class: "page", "aria-labelledby": "models-title" },
      h("header", { class: "page-head" }, h("div", {}, h("h1", { id: "models-title", text: "Models" }),
        h("p", { class: "lede", text: "The Hermes family: what runs on this machine, and what it costs elsewhere." })), placementKey()),
      h("div", { class: "row wrap tools" }, this.chips, h("span", { class: "grow" }), this.compare, this.search), this.note, this.list));
    this.refresh();
  }

  unmount() { clearTimeout(this.timer); this.isGone = true; }

  async refresh() {
    try {
      const [models, plan, health] = await Promise.all([
        this.app.models({ fresh: true }), this.app.api.get("/v1/plan").catch((error) => error), this.app.api.get("/health").catch(() => ({})),
      ]);
      this.models = joinFacts(models, plan.models ?? [], health.engines ?? [], recall("speeds") ?? {});
      this.note.hidden = !(plan instanceof Error);
      this.note.textContent = "This server makes no plans yet, so what fits is not shown.";
      if (!this.isGone) this.draw();
    } catch (error) {
      show(this.list, h("li", { class: "hint", text: error.message }));
    }
  }

  draw() {
    show(this.chips, Object.entries(FILTERS).map(([id, [title, matches]]) => h("button", {
      type: "button", class: "chip", "aria-pressed": String(this.filter === id), onclick: () => { this.filter = id; this.draw(); },
    }, title, h("small", { text: this.models?.filter(matches).length ?? "" }))));
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = (this.models ?? []).filter(FILTERS[this.filter][1]).filter((model) => {
      const text = [model.id, model.title, ...(model.aliases ?? []), ...(model.capabilities ?? [])].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    this.compare.hidden = this.compared.size !== 2;
    show(this.list, found.length ? found.map((model) => this.#row(model)) : h("li", { class: "hint", text: "No model matches." }));
  }

  #row(model) {
    const speed = speedText(model), length = contextText(model);
    const pull = this.app.pulls.get(model.id);
    return h("li", { class: "model-row", dataset: { model: model.id } },
      h("div", { class: "model-main" },
        h("div", { class: "model-name" }, h("h2", { text: model.title ?? model.id })),
        h("div", { class: "model-place" }, model.plan ? [placementBar(model.plan), h("small", { text: [model.plan.quantization, placementText(model.plan)].filter(Boolean).join(" · ") })] : h("small", { text: model.quantization ?? "" })),
        fact(speed.value, speed.how || "speed"), fact(length.pages || "–", length.pages ? length.tokens : "context"),
        fact(...priceFact(model)),
        h("div", { class: "model-act" }, this.#actions(model, pull))),
      pull ? pull.element : null, this.#details(model));
  }

  #state(model) {
    const text = stateText(model);
    return h("span", { class: `badge ${text === "loaded" ? "strong" : ""}`, text });
  }

  #actions(model, pull) {
    if (pull?.isRunning) return null;
    if (model.engine) return [button("Chat", { kind: "small", onclick: () => this.#chat(model) }), button("Unload", { kind: "small", onclick: () => this.#act(model, "unload") })];
    if (model.installed) return button("Load", { kind: "small", onclick: () => this.#act(model, "load") });
    if (model.plan?.fits === false) return model.runs === "hosted" ? button("Chat", { kind: "small", onclick: () => this.#chat(model) }) : null;
    return button("Pull", { kind: "small", icon: "down", onclick: () => this.#pull(model) });
  }

  #details(model) {
    const box = h("input", { type: "checkbox", checked: this.compared.has(model.id), onchange: () => {
      if (box.checked) this.compared.add(model.id); else this.compared.delete(model.id);
      if (this.compared.size > 2) this.compared.delete([...this.compared][0]);
      this.draw();
    } });
    return h("details", { class: "more", open: this.open.has(model.id), ontoggle: (event) => {
      if (event.target.open) this.open.add(model.id); else this.open.delete(model.id);
    } }, h("summary", {}, this.#state(model), h("span", { class: "open", text: "Details" }), (model.capabilities ?? []).map((one) => h("span", { class: "tag", text: one }))),
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
    const pair = this.models.filter((model) => this.compared.has(model.id));
    openDialog("Side by side", h("div", { class: "compare" }, pair.map((model) => h("article", {},
      h("h3", { text: model.title ?? model.id }), this.#state(model), model.plan ? placementBar(model.plan, scaleOf(pair)) : null, factList(model)))), { kind: "wide" });
  }
}

function scaleOf(models) {
  return Math.max(...models.map(({ plan }) => (plan?.total_gpu_bytes ?? 0) + (plan?.total_ram_bytes ?? 0)));
}

function priceFact(model) {
  const offer = cheapest(model), offers = offersOf(model);
  if (offer) return [priceText(offer), `${offer.provider}, per million`];
  return offers.length ? ["not published", offers.map((one) => one.provider).join(", ")] : ["–", "hosted price"];
}

function fact(value, name) {
  return h("div", { class: "fact" }, h("b", { text: value }), h("small", { text: name }));
}

function factList(model) {
  const length = contextText(model), speed = speedText(model);
  const rows = [
    ["Id", model.id], ["Also called", model.aliases?.join(", ")], ["By", model.owned_by], ["Licence", model.license],
    ["Context", [length.tokens, length.pages && `about ${length.pages}`].filter((part) => part && part !== "–").join(", ")],
    ["Speed", speed.how && `${speed.value}, ${speed.how}`],
    ["Goes to", model.plan && placementText(model.plan)],
    ["Why", model.plan?.reasons?.join("; ")],
    ...offersOf(model).map((offer) => [offer.provider, `${priceText(offer)}${offer.as_of ? ` per million tokens, as of ${offer.as_of}` : ""}`]),
  ];
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value }))));
}
