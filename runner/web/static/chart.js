// Two small charts as SVG: a line over time, and bars by day with budgets as lines across.

import { h, s } from "./dom.js";

const WIDTH = 720;

/** A line with its area; `points` are `{at, value}`, oldest first. */
export function lineChart(points, { label, format, height = 160 }) {
  const top = Math.max(1e-9, ...points.map((point) => point.value)) * 1.15;
  const begin = points[0]?.at ?? 0, span = Math.max(1, (points.at(-1)?.at ?? 1) - begin);
  const x = (point) => ((point.at - begin) / span) * WIDTH;
  const y = (value) => height - (value / top) * height;
  const line = points.map((point, index) => `${index ? "L" : "M"}${x(point).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const svg = frame(label, height, [
    grid(top, y),
    points.length > 1 ? s("path", { class: "area", d: `${line}L${WIDTH} ${height}L0 ${height}Z` }) : null,
    points.length > 1 ? s("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }) : null,
  ]);
  return h("figure", { class: "chart" }, h("div", { class: "plot" }, svg, ticks(top, format)));
}

/** Bars; `bars` are `{name, value, second}`, `limits` are `{name, value}` drawn across. */
export function barChart(bars, { label, format, limits = [], height = 180 }) {
  const top = Math.max(1e-9, ...bars.map((bar) => Math.max(bar.value, bar.second ?? 0)), ...limits.map((limit) => limit.value)) * 1.12;
  const y = (value) => height - (value / top) * height;
  const step = WIDTH / Math.max(bars.length, 7), width = Math.min(26, step * 0.34);
  const rects = bars.map((bar, index) => {
    const middle = step * (index + 0.5), second = bar.second ?? 0;
    return s("g", {}, s("title", { text: `${bar.name}: ${format(bar.value)}, ${format(second)}` }),
      s("rect", { class: "first", x: middle - width - 1, y: y(bar.value), width, height: height - y(bar.value), rx: 2 }),
      s("rect", { class: "second", x: middle + 1, y: y(second), width, height: height - y(second), rx: 2 }));
  });
  const lines = limits.map((limit) => s("g", {}, s("line", { class: "limit", x1: 0, x2: WIDTH, y1: y(limit.value), y2: y(limit.value), "vector-effect": "non-scaling-stroke" })));
  const every = Math.ceil(bars.length / 6);
  const names = h("div", { class: "names", "aria-hidden": "true" }, bars.map((bar, index) => {
    const name = h("span", { text: index % every ? "" : bar.short ?? bar.name });
    name.style.width = `${100 / Math.max(bars.length, 7)}%`;
    return name;
  }));
  const notes = limits.map((limit) => {
    const note = h("span", { class: "limit-name", text: `${limit.name} ${format(limit.value)}` });
    note.style.bottom = `${(100 * limit.value) / top}%`;
    return note;
  });
  return h("figure", { class: "chart" }, h("div", { class: "plot" }, frame(label, height, [grid(top, y), rects, lines]), notes, ticks(top, format)), names);
}

function frame(label, height, children) {
  return s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, children);
}

function grid(top, y) {
  return [0.25, 0.5, 0.75].map((share) => s("line", { class: "grid-line", x1: 0, x2: WIDTH, y1: y(top * share), y2: y(top * share), "vector-effect": "non-scaling-stroke" }));
}

function ticks(top, format) {
  return h("div", { class: "ticks", "aria-hidden": "true" }, [0.75, 0.5, 0.25].map((share) => h("span", { text: format(top * share) })));
}
