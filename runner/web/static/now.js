// The view of this moment: what is loaded, how busy and how fast, and how the providers fare.

import { lineChart } from "./chart.js";
import { h, show } from "./dom.js";
import { count, duration, percent, rate } from "./format.js";
import { labelled, parseMetrics, quantile, total } from "./metrics.js";
import { providerBlock } from "./providers.js";

const EVERY_MS = 2000;
const KEEP = 300; // samples: ten minutes
const GENERATED = "runner_engine_tokens_generated_total";

export function mountNow(root, app) {
  return new NowView(root, app);
}

class NowView {
  constructor(root, app) {
    this.app = app;
    this.tiles = h("div", { class: "tiles" });
    this.chart = h("div");
    this.engines = h("div", { class: "cards" });
    this.providers = h("div", { class: "block" });
    this.note = h("p", { class: "note", hidden: true });
    show(root, h("section", { class: "page", "aria-labelledby": "now-title" },
      h("header", { class: "page-head" }, h("div", {}, h("h1", { id: "now-title", text: "Now" }), h("p", { class: "lede", text: "What this server is doing at this moment." }))),
      this.note, this.tiles, block("Tokens per second on this machine", this.chart), block("Engines", this.engines), block("Providers", this.providers)));
    this.#tick();
  }

  unmount() { this.isGone = true; clearTimeout(this.timer); }

  async #tick() {
    const { api } = this.app;
    const [health, text, providers, models] = await Promise.all([
      api.get("/health").catch((error) => error), api.text("/metrics").catch(() => ""),
      api.get("/v1/providers").catch((error) => error), this.app.models().catch(() => []),
    ]);
    if (this.isGone) return;
    this.note.hidden = !(health instanceof Error);
    if (health instanceof Error) this.note.textContent = health.message;
    else this.#draw(health, parseMetrics(text));
    this.#drawProviders(providers, models);
    this.timer = setTimeout(() => this.#tick(), EVERY_MS);
  }

  #draw(health, samples) {
    const { figures } = this.app;
    const engines = health.engines ?? [];
    figures.push({ at: Date.now(), generated: labelled(samples, GENERATED, "model") });
    if (figures.length > KEEP) figures.shift();
    const speeds = speedsOf(figures);
    show(this.tiles, tiles(engines, samples, speeds.at(-1)?.value ?? 0));
    show(this.chart, speeds.length > 1 ? speedChart(speeds) : h("p", { class: "hint", text: "The line begins with the page; give it a few seconds." }));
    show(this.engines, [...engines.map(engineCard), ...others(health)]);
    if (!this.engines.childElementCount) show(this.engines, h("p", { class: "hint", text: "No model is loaded. The first question loads one." }));
  }

  /** Only when something is new, so that what the reader has opened stays open. */
  #drawProviders(providers, models) {
    const told = providers instanceof Error ? providers.message : JSON.stringify([providers, models.length]);
    if (told === this.told) return;
    this.told = told;
    show(this.providers, providerBlock(providers, models));
  }
}

function tiles(engines, samples, speed) {
  const cached = total(samples, "runner_engine_cached_tokens_total"), computed = total(samples, "runner_engine_prompt_tokens_total");
  const sum = (field) => engines.reduce((all, engine) => all + (engine[field] ?? 0), 0);
  return [
    tile("Speed", rate(speed), "at this moment"),
    tile("Queue", `${count(sum("running"))} running`, `${count(sum("waiting"))} waiting`),
    firstTokenTile(samples),
    tile("From the cache", percent(cached / (cached + computed)), `${count(cached)} prompt tokens not computed again`),
    tile("Crashes", count(sum("crashes")), sum("crashes") ? "restarted by themselves" : "since the models were loaded"),
  ];
}

/** Of this machine where it has answered, else of whoever did. */
function firstTokenTile(samples) {
  const name = "runner_first_token_seconds";
  const here = samples.filter((one) => one.labels.served_by === "local"), there = samples.filter((one) => one.labels.served_by !== "local");
  const own = quantile(here, name, 0.5), hosted = quantile(there, name, 0.5);
  const late = quantile(own === null ? there : here, name, 0.95);
  const notes = [late === null ? "no answers yet" : `95 % within ${duration(1000 * late)}`];
  if (own === null && hosted !== null) notes.push("hosted");
  else if (hosted !== null) notes.push(`hosted ${duration(1000 * hosted)}`);
  return tile("First token", duration(1000 * (own ?? hosted ?? NaN)), notes.join(", "));
}

function speedChart(speeds) {
  const span = duration(speeds.at(-1).at - speeds[0].at);
  return lineChart(speeds, { label: `Tokens per second over the last ${span}`, format: (value) => count(value), begin: `${span} ago`, end: "now", fallback: 30 });
}

/** Tokens per second between samples. Pure; an engine that was started again counts from zero. */
export function speedsOf(figures) {
  return figures.slice(1).map((figure, index) => {
    const before = figures[index];
    let tokens = 0;
    for (const [model, generated] of figure.generated) {
      const earlier = before.generated.get(model) ?? 0;
      tokens += generated >= earlier ? generated - earlier : generated;
    }
    return { at: figure.at, value: (1000 * tokens) / Math.max(1, figure.at - before.at) };
  });
}

function block(title, content) {
  return h("section", { class: "block" }, h("h2", { text: title }), content);
}

function tile(name, value, hint) {
  return h("div", { class: "tile" }, h("h3", { text: name }), h("b", { text: value }), h("small", { text: hint }));
}

function engineCard({ model, pid, running = 0, waiting = 0, cells, tokens_per_second, crashes = 0 }) {
  return h("article", { class: "card" },
    h("header", { class: "row" }, h("h3", { text: model }), h("span", { class: "grow" }), h("span", { class: "badge strong", text: running ? "answering" : "ready" })),
    cells ? cellBar(cells) : null,
    h("p", { class: "quiet-line", text: [`${count(running)} running`, `${count(waiting)} waiting`, running && tokens_per_second ? rate(tokens_per_second) : null,
      crashes ? `${count(crashes)} ${crashes === 1 ? "crash" : "crashes"}` : null, pid ? `process ${pid}` : null].filter(Boolean).join(" · ") }));
}

/** The KV cells; `shared` are those of the live ones that several requests read at once. */
function cellBar({ total: all, live, shared, cached, free }) {
  const parts = [["gpu", live, `${count(live)} in use${Number.isFinite(shared) ? `, ${count(shared)} of them shared` : ""}`],
    ["ram", cached, `${count(cached)} kept for later`], ["free", free, `${count(free)} free`]];
  const bar = h("div", { class: "bar-track", role: "img", "aria-label": `${parts.map(([, , text]) => text).join(", ")} of ${count(all)} KV cells` });
  for (const [kind, size] of parts.slice(0, 2)) {
    if (!size) continue;
    const piece = h("i", { class: kind });
    piece.style.width = `${Math.max(0.75, (100 * size) / Math.max(1, all))}%`;
    bar.append(piece);
  }
  return [bar, h("ul", { class: "legend cells", "aria-hidden": "true" }, parts.map(([kind, , text]) => h("li", {}, h("i", { class: kind }), text)),
    h("li", { text: `of ${count(all)} KV cells` }))];
}

function others({ loading = [], failed = [] }) {
  return [...loading.map((model) => [model, "loading"]), ...failed.map((model) => [model, "failed to load"])]
    .map(([model, state]) => h("article", { class: "card" }, h("header", { class: "row" }, h("h3", { text: model }), h("span", { class: "grow" }), h("span", { class: "badge", text: state }))));
}
