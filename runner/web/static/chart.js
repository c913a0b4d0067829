// Two small charts as SVG: a line over time, and bars by day, with budgets as lines across.

import { h, s } from "./dom.js";

const WIDTH = 720, HEIGHT = 180;
const SLIVER = 1.5; // what a little money looks like; none has no bar
const HEADROOM = 1.12; // so that a budget's name has a place above its line

/** A round scale from zero: `{top, ticks}`; `fallback` is what an empty chart reaches up to. Pure. */
export function scaleFor(values, fallback) {
  const most = Math.max(0, ...values) || fallback;
  const rough = most / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const top = Math.max(most, step);
  const ticks = [1, 2, 3, 4].map((times) => times * step).filter((tick) => tick <= top * 1.001);
  return { top, ticks };
}

/** A line with its area; `points` are `{at, value}`, oldest first. `begin` and `end` name the edges. */
export function lineChart(points, { label, format, begin, end, until, limits = [], fallback = 1 }) {
  const { top, ticks } = scaleFor([...points, ...limits].map((one) => one.value * HEADROOM), fallback);
  const first = points[0]?.at ?? 0, span = Math.max(1, (until ?? points.at(-1)?.at ?? 1) - first);
  const x = (point) => (WIDTH * (point.at - first)) / span;
  const y = heightOf(top);
  const path = points.map((point, index) => `${index ? "L" : "M"}${x(point).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const last = points.length ? x(points.at(-1)).toFixed(1) : 0;
  const marks = points.length > 1 ? [
    s("path", { class: "area", d: `${path}L${last} ${HEIGHT}L0 ${HEIGHT}Z` }),
    s("path", { class: "line", d: path, "vector-effect": "non-scaling-stroke" }),
  ] : [];
  const names = h("div", { class: "names ends", "aria-hidden": "true" }, h("span", { text: begin }), h("span", { text: end }));
  return figure(label, { top, ticks, format, limits }, marks, names);
}

/** Bars in pairs; `bars` are `{name, short, value, second}`. */
export function barChart(bars, { label, format, limits = [], fallback = 1 }) {
  const { top, ticks } = scaleFor([...bars.flatMap((bar) => [bar.value, bar.second]), ...limits.map((limit) => limit.value * HEADROOM)], fallback);
  const y = heightOf(top), count = Math.max(bars.length, 7);
  const step = WIDTH / count, width = Math.min(26, step * 0.38);
  const column = (kind, left, value) => (value ? s("rect", { class: kind, x: left, y: Math.min(y(value), HEIGHT - SLIVER), width, height: Math.max(SLIVER, HEIGHT - y(value)), rx: 1.5 }) : null);
  const marks = bars.map((bar, index) => {
    const middle = step * (index + 0.5);
    return s("g", {}, s("title", { text: `${bar.name}: ${format(bar.value)}, ${format(bar.second)}` }),
      s("rect", { class: "reach", x: step * index, y: 0, width: step, height: HEIGHT }),
      column("first", middle - width - 0.5, bar.value), column("second", middle + 0.5, bar.second));
  });
  const every = Math.ceil(bars.length / 5);
  const names = h("div", { class: "names", "aria-hidden": "true" }, bars.map((bar, index) => {
    const name = h("span", { text: (bars.length - 1 - index) % every ? "" : bar.short });
    name.style.width = `${100 / count}%`;
    return name;
  }));
  return figure(label, { top, ticks, format, limits }, marks, names);
}

function heightOf(top) {
  return (value) => HEIGHT - (HEIGHT * value) / top;
}

function figure(label, { top, ticks, format, limits }, marks, names) {
  const across = (kind, value) => s("line", { class: kind, x1: 0, x2: WIDTH, y1: heightOf(top)(value), y2: heightOf(top)(value), "vector-effect": "non-scaling-stroke" });
  const at = (kind, value, text) => {
    const node = h("span", { class: kind, text });
    node.style.bottom = `${(100 * value) / top}%`;
    return node;
  };
  return h("figure", { class: "chart" },
    h("div", { class: "plot" },
      s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
        ticks.map((tick) => across("grid-line", tick)), marks, limits.map((limit) => across("limit", limit.value))),
      limits.map((limit) => at("limit-name", limit.value, `${limit.name} ${format(limit.value)}`)),
      h("div", { "aria-hidden": "true" }, ticks.map((tick) => at("tick", tick, format(tick))))),
    names);
}
