// The view of money: what was spent, held back and saved, by day, model, provider and key.
//
// Days are UTC, as in the ledger, so that a bar and the budget's line across it mean one day.

import { barChart, lineChart } from "./chart.js";
import { Chips } from "./chips.js";
import { h, show } from "./dom.js";
import { count, usd } from "./format.js";

const SPANS = { today: "Today", week: "7 days", month: "30 days", all: "Everything" };
const DAYS_BACK = { today: 0, week: 6, month: 29 };
const DAY_MS = 86_400_000;
const MOST_DAYS = 92; // more are drawn as months
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const TABLES = [["by_model", "model", "Models"], ["by_provider", "provider", "Providers"], ["by_key", "key", "Keys"]];

export function mountMoney(root, app) {
  return new MoneyView(root, app);
}

class MoneyView {
  constructor(root, app) {
    this.app = app;
    this.chips = new Chips("Since", SPANS, "month", () => this.refresh());
    this.body = h("div", { class: "stack-large" });
    show(root, h("section", { class: "page", "aria-labelledby": "money-title" },
      h("header", { class: "page-head" }, h("div", {}, h("h1", { id: "money-title", text: "Money" }),
        h("p", { class: "lede", text: "What hosted answers cost, and what this machine saved." })), this.chips.element), this.body));
    this.refresh();
  }

  unmount() { this.isGone = true; }

  async refresh() {
    const today = dayOf(Date.now()), back = DAYS_BACK[this.chips.chosen];
    const since = back === undefined ? null : dayOf(Date.now() - back * DAY_MS);
    const ask = (day) => this.app.api.get(`/v1/usage?since=${day ? Date.parse(day) / 1000 : 0}`);
    try {
      const [usage, month] = await Promise.all([ask(since), ask(`${today.slice(0, 8)}01`)]);
      if (!this.isGone) this.#draw(usage, month, { since, today });
    } catch (error) {
      show(this.body, h("p", { class: "hint", text: error.isMissing ? "This server keeps no ledger yet, so there is nothing to add up." : error.message }));
    }
  }

  #draw(usage, month, { since, today }) {
    const all = usage.totals ?? {}, budget = usage.budget ?? {};
    show(this.body,
      h("div", { class: "tiles" },
        tile("Spent", usd(all.cost_usd ?? 0), `${count(all.requests ?? 0)} answers`),
        tile("Avoided", usd(all.cost_avoided_usd ?? 0), "answered here instead"),
        tile("Reserved", usd(all.cost_reserved_usd ?? 0), "held while answers run"),
        tile("Uncertain", usd(all.cost_uncertain_usd ?? 0), "not yet settled"),
        tile("Tokens", count((all.prompt_tokens ?? 0) + (all.completion_tokens ?? 0)), `${count(all.completion_tokens ?? 0)} of them written`)),
      h("div", { class: "charts" }, byDay(usage, month, budget, { since, today }), thisMonth(month, budget, today)),
      h("div", { class: "columns" }, TABLES.map(([field, name, title]) => table(title, usage[field] ?? [], name))));
  }
}

function byDay(usage, month, budget, { since, today }) {
  const bars = barsOf(usage.by_day ?? [], since, today);
  const isDaily = bars.length <= MOST_DAYS && bars[0]?.name.length === 10;
  const limits = isDaily && budget.daily_usd ? [{ name: "daily budget", value: budget.daily_usd }] : [];
  const spent = heldOf((month.by_day ?? []).find((row) => nameOf(row, "day") === today) ?? {});
  return block(isDaily ? "By day" : "By month", budgetText("today", spent, budget.daily_usd),
    barChart(bars, { label: `Money ${isDaily ? "by day" : "by month"}, spent and avoided`, format: usd, limits, fallback: 0.01 }),
    h("ul", { class: "legend" }, h("li", {}, h("i", { class: "gpu" }), "spent"), h("li", {}, h("i", { class: "ram" }), "avoided"),
      h("li", { text: "Days are counted in UTC." }),
      budget.per_request_usd ? h("li", { text: `One answer may cost ${usd(budget.per_request_usd)} at most.` }) : null));
}

function thisMonth(month, budget, today) {
  const points = runningTotal(month.by_day ?? [], today);
  const [year, number] = today.split("-").map(Number), length = new Date(Date.UTC(year, number, 0)).getUTCDate();
  const limits = budget.monthly_usd ? [{ name: "monthly budget", value: budget.monthly_usd }] : [];
  const spent = points.at(-1).value, name = MONTHS[number - 1];
  return block("This month", budgetText("so far", spent, budget.monthly_usd),
    lineChart(points, { label: `Money spent this month, added up: ${usd(spent)}`, format: usd, limits, until: length, begin: `1 ${name}`, end: `${length} ${name}`, fallback: 0.01 }));
}

function block(title, note, ...content) {
  return h("section", { class: "block" }, h("div", { class: "block-head" }, h("h2", { text: title }), h("p", { class: "quiet-line", text: note })), content);
}

function budgetText(when, spent, limit) {
  return limit ? `${usd(spent)} of ${usd(limit)} ${when}` : `${usd(spent)} ${when}`;
}

/** What counts against a budget: spent, and held for answers that are not settled. */
function heldOf(row) {
  return (row.cost_usd ?? 0) + (row.cost_reserved_usd ?? 0) + (row.cost_uncertain_usd ?? 0);
}

/** A bar for each day from `since` (or the first day there is) to today, months where days are many. Pure. */
export function barsOf(rows, since, today) {
  const byDay = new Map(rows.map((row) => [nameOf(row, "day"), row]));
  const first = since ?? [...byDay.keys()].filter(Boolean).sort()[0] ?? today;
  const sums = new Map();
  const isMany = (Date.parse(today) - Date.parse(first)) / DAY_MS >= MOST_DAYS;
  for (let at = Date.parse(first); at <= Date.parse(today); at += DAY_MS) {
    const day = dayOf(at), name = isMany ? day.slice(0, 7) : day, row = byDay.get(day) ?? {};
    const bar = sums.get(name) ?? { name, short: shortDay(name), value: 0, second: 0 };
    sums.set(name, { ...bar, value: bar.value + (row.cost_usd ?? 0), second: bar.second + (row.cost_avoided_usd ?? 0) });
  }
  return [...sums.values()];
}

/** The month so far, added up day by day; `at` counts the days that have ended. Pure. */
export function runningTotal(rows, today) {
  const byDay = new Map(rows.map((row) => [nameOf(row, "day"), row]));
  const points = [{ at: 0, value: 0 }];
  for (let day = 1, sum = 0; day <= Number(today.slice(8)); day += 1) {
    sum += heldOf(byDay.get(`${today.slice(0, 8)}${String(day).padStart(2, "0")}`) ?? {});
    points.push({ at: day, value: sum });
  }
  return points;
}

function dayOf(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

function nameOf(row, dimension) {
  return row.name ?? row[dimension] ?? "";
}

function shortDay(day) {
  const [year, month, date] = day.split("-").map(Number);
  return date ? `${date} ${MONTHS[month - 1]}` : `${MONTHS[month - 1]} ${year}`;
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
