// The view of this moment: what is loaded, how busy and how fast, and how the providers fare.

import { lineChart } from "./chart.js";
import { h, show } from "./dom.js";
import { count, duration, percent, rate } from "./format.js";
import { parseMetrics, quantile, total } from "./metrics.js";

const EVERY_MS = 2000;
const KEEP = 300; // samples: ten minutes

export function mountNow(root, app) {
  return new NowView(root, app);
}

class NowView {
  constructor(root, app) {
    this.app = app;
    this.tiles = h("div", { class: "tiles" });
    this.chart = h("div");
    this.engines = h("div", { class: "cards" });
    this.providers = h("div");
    this.note = h("p", { class: "note", hidden: true });
    show(root, h("section", { class: "page", "aria-labelledby": "now-title" },
      h("header", { class: "page-head" }, h("div", {}, h("h1", { id: "now-title", text: "Now" }), h("p", { class: "lede", text: "What this server is doing at this moment." }))),
      this.note, this.tiles, block("Tokens per second", this.chart), block("Engines", this.engines), block("Providers", this.providers)));
    this.#tick();
  }

  unmount() { this.isGone = true; clearTimeout(this.timer); }

  async #tick() {
    const { api } = this.app;
    const [health, text, providers] = await Promise.all([
      api.get("/health").catch((error) => error), api.text("/metrics").catch(() => ""), api.get("/v1/providers").catch((error) => error),
    ]);
    if (this.isGone) return;
    this.note.hidden = !(health instanceof Error);
    if (health instanceof Error) this.note.textContent = health.message;
    else this.#draw(health, parseMetrics(text));
    show(this.providers, providerTable(providers));
    this.timer = setTimeout(() => this.#tick(), EVERY_MS);
  }

  #draw(health, samples) {
    const { figures } = this.app;
    const engines = health.engines ?? [];
    figures.push({ at: Date.now(), generated: total(samples, "runner_engine_tokens_generated_total") + total(samples, "runner_tokens_total", { kind: "completion" }) * (engines.length ? 0 : 1) });
    if (figures.length > KEEP) figures.shift();
    const speeds = speedsOf(figures);
    const cached = total(samples, "runner_engine_cached_tokens_total"), computed = total(samples, "runner_engine_prompt_tokens_total");
    const sum = (field) => engines.reduce((all, engine) => all + (engine[field] ?? 0), 0);
    show(this.tiles,
      tile("Speed", rate(speeds.at(-1)?.value ?? 0), "at this moment"),
      tile("Queue", `${count(sum("running"))} running`, `${count(sum("waiting"))} waiting`),
      tile("First token", duration(1000 * (quantile(samples, "runner_first_token_seconds", 0.5) ?? NaN)), tail(samples)),
      tile("From the cache", percent(cached / (cached + computed)), `${count(cached)} prompt tokens not computed again`),
      tile("Crashes", count(sum("crashes")), sum("crashes") ? "restarted by themselves" : "since the models were loaded"));
    show(this.chart, speeds.length > 1
      ? lineChart(speeds, { label: `Tokens per second over the last ${duration(speeds.at(-1).at - speeds[0].at)}`, format: (value) => value.toFixed(value < 10 ? 1 : 0) })
      : h("p", { class: "hint", text: "The line begins with the page; give it a few seconds." }));
    show(this.engines, [...engines.map(engineCard), ...others(health)]);
    if (!this.engines.childElementCount) show(this.engines, h("p", { class: "hint", text: "No model is loaded. The first question loads one." }));
  }
}

/** Tokens per second between samples. Pure; a restarted engine counts from zero again. */
export function speedsOf(figures) {
  return figures.slice(1).map((figure, index) => {
    const before = figures[index];
    const tokens = figure.generated >= before.generated ? figure.generated - before.generated : figure.generated;
    return { at: figure.at, value: (1000 * tokens) / Math.max(1, figure.at - before.at) };
  });
}

function tail(samples) {
  const late = quantile(samples, "runner_first_token_seconds", 0.95);
  return late === null ? "no answers yet" : `95 % within ${duration(1000 * late)}`;
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
    h("p", { class: "quiet-line", text: [`${running} running`, `${waiting} waiting`, running && tokens_per_second ? rate(tokens_per_second) : null,
      crashes ? `${crashes} ${crashes === 1 ? "crash" : "crashes"}` : null, pid ? `process ${pid}` : null].filter(Boolean).join(" · ") }));
}

function cellBar({ total: all, live, cached, free }) {
  const text = `${count(live)} in use, ${count(cached)} kept for later requests, ${count(free)} free of ${count(all)} KV cells`;
  const bar = h("div", { class: "bar-track", role: "img", "aria-label": text });
  for (const [kind, size] of [["gpu", live], ["ram", cached]]) {
    const piece = h("i", { class: kind });
    piece.style.width = `${(100 * size) / Math.max(1, all)}%`;
    bar.append(piece);
  }
  return [bar, h("small", { class: "quiet-line", text })];
}

function others({ loading = [], failed = [] }) {
  return [...loading.map((model) => [model, "loading"]), ...failed.map((model) => [model, "failed to load"])]
    .map(([model, state]) => h("article", { class: "card" }, h("header", { class: "row" }, h("h3", { text: model }), h("span", { class: "grow" }), h("span", { class: "badge", text: state }))));
}

function providerTable(answer) {
  if (answer instanceof Error) return h("p", { class: "hint", text: answer.isMissing ? "This server has no hosted providers to report on." : answer.message });
  if (!answer.providers?.length) return h("p", { class: "hint", text: "No hosted provider is set up. Everything is answered here." });
  const head = ["Provider", "State", "Answered", "First token", "Speed", ""];
  return h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Providers" }, h("table", { class: "wide-table" },
    h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col", text: text || "Note", class: text ? null : "dim" })))),
    h("tbody", {}, answer.providers.map((one) => h("tr", {}, h("th", { scope: "row", text: one.name }),
      h("td", {}, h("span", { class: `badge ${one.state === "ready" ? "strong" : ""}`, text: one.state.replace("_", " ") })),
      h("td", { text: percent(one.success_rate ?? NaN) }), h("td", { text: duration(one.first_token_ms ?? NaN) }),
      h("td", { text: rate(one.tokens_per_second ?? NaN) }), h("td", { class: "dim", text: one.detail ?? "" }))))));
}
