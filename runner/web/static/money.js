// The view of money: what was spent, held back and saved, by day, model, provider and key.

import { barChart } from "./chart.js";
import { h, show } from "./dom.js";
import { count, usd } from "./format.js";

const SPANS = { today: ["Today", 0], week: ["7 days", 6], month: ["30 days", 29], all: ["Everything", null] };
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const TABLES = [["by_model", "model", "Models"], ["by_provider", "provider", "Providers"], ["by_key", "key", "Keys"]];

export function mountMoney(root, app) {
  return new MoneyView(root, app);
}

class MoneyView {
  constructor(root, app) {
    this.app = app;
    this.span = "month";
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Since" });
    this.body = h("div", { class: "stack-large" });
    show(root, h("section", { class: "page", "aria-labelledby": "money-title" },
      h("header", { class: "page-head" }, h("div", {}, h("h1", { id: "money-title", text: "Money" }),
        h("p", { class: "lede", text: "What hosted answers cost, and what this machine saved." })), this.chips), this.body));
    this.refresh();
  }

  unmount() { this.isGone = true; }

  async refresh() {
    show(this.chips, Object.entries(SPANS).map(([id, [title]]) => h("button", { type: "button", class: "chip", "aria-pressed": String(id === this.span),
      onclick: () => { this.span = id; this.refresh(); } }, title)));
    try {
      const usage = await this.app.api.get(`/v1/usage${sinceQuery(SPANS[this.span][1])}`);
      if (!this.isGone) this.#draw(usage);
    } catch (error) {
      show(this.body, h("p", { class: "hint", text: error.isMissing ? "This server keeps no ledger yet, so there is nothing to add up." : error.message }));
    }
  }

  #draw(usage) {
    const all = usage.totals ?? {};
    show(this.body,
      h("div", { class: "tiles" },
        tile("Spent", usd(all.cost_usd ?? 0), `${count(all.requests ?? 0)} answers`),
        tile("Avoided", usd(all.cost_avoided_usd ?? 0), "answered here instead"),
        tile("Reserved", usd(all.cost_reserved_usd ?? 0), "held while answers run"),
        tile("Uncertain", usd(all.cost_uncertain_usd ?? 0), "not yet settled"),
        tile("Tokens", count((all.prompt_tokens ?? 0) + (all.completion_tokens ?? 0)), `${count(all.completion_tokens ?? 0)} of them written`)),
      h("section", { class: "block" }, h("h2", { text: "By day" }), days(usage)),
      h("div", { class: "columns" }, TABLES.map(([field, name, title]) => table(title, usage[field] ?? [], name))));
  }
}

function sinceQuery(days) {
  if (days === null) return "?since=0";
  const start = new Date();
  start.setHours(0, 0, 0, 0);
  return `?since=${Math.floor(start.getTime() / 1000) - days * 86_400}`;
}

function nameOf(row, dimension) {
  return row.name ?? row[dimension] ?? "";
}

function days(usage) {
  const rows = usage.by_day ?? [];
  if (!rows.length) return h("p", { class: "hint", text: "Nothing was asked yet." });
  const budget = usage.budget ?? {};
  const limits = budget.daily_usd ? [{ name: "daily budget", value: budget.daily_usd }] : [];
  const bars = rows.map((row) => ({ name: nameOf(row, "day"), short: shortDay(nameOf(row, "day")), value: row.cost_usd ?? 0, second: row.cost_avoided_usd ?? 0 }));
  return [barChart(bars, { label: "Money by day, spent and avoided", format: usd, limits }),
    h("ul", { class: "legend" }, h("li", {}, h("i", { class: "gpu" }), "spent"), h("li", {}, h("i", { class: "ram" }), "avoided"),
      budget.monthly_usd ? h("li", {}, monthText(usage, budget.monthly_usd)) : null)];
}

function shortDay(day) {
  const [, month, date] = day.split("-").map(Number);
  return month ? `${date} ${MONTHS[month - 1]}` : day;
}

function monthText(usage, limit) {
  const month = new Date().toISOString().slice(0, 7);
  const spent = (usage.by_day ?? []).filter((row) => nameOf(row, "day").startsWith(month)).reduce((sum, row) => sum + (row.cost_usd ?? 0) + (row.cost_reserved_usd ?? 0), 0);
  return `${usd(spent)} of ${usd(limit)} for this month`;
}

function tile(name, value, hint) {
  return h("div", { class: "tile" }, h("h3", { text: name }), h("b", { text: value }), h("small", { text: hint }));
}

function table(title, rows, dimension) {
  const top = Math.max(1e-12, ...rows.map((row) => (row.cost_usd ?? 0) + (row.cost_avoided_usd ?? 0)));
  const head = ["Name", "Answers", "Spent", "Avoided"];
  return h("section", { class: "block" }, h("h2", { text: title }), rows.length ? h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": title },
    h("table", { class: "wide-table" }, h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col", text })))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, nameOf(row, dimension) || "no key", share(row, top)),
        h("td", { text: count(row.requests) }), h("td", { text: usd(row.cost_usd) }), h("td", { text: usd(row.cost_avoided_usd) })))))) : h("p", { class: "hint", text: "Nothing yet." }));
}

function share(row, top) {
  const bar = h("div", { class: "bar-track thin", "aria-hidden": "true" });
  for (const [kind, value] of [["gpu", row.cost_usd ?? 0], ["ram", row.cost_avoided_usd ?? 0]]) {
    const piece = h("i", { class: kind });
    piece.style.width = `${(100 * value) / top}%`;
    bar.append(piece);
  }
  return bar;
}
