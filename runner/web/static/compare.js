// Two models side by side: the same facts in the same rows, their bars to one scale.

import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { factsOf, stateText } from "./facts.js";
import { placementBar, placementKey } from "./placement.js";

export function openComparison(pair) {
  const facts = pair.map(factsOf);
  const names = [...facts[0].keys()].filter((name) => facts.some((one) => one.get(name)));
  const most = Math.max(...pair.map(({ plan }) => (plan?.total_gpu_bytes ?? 0) + (plan?.total_ram_bytes ?? 0)));
  openDialog("Side by side", [h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Two models" }, h("table", { class: "compare" },
    h("thead", {}, h("tr", {}, h("td"), pair.map((model) => h("th", { scope: "col" }, h("div", { class: "compared" }, h("span", { text: model.title ?? model.id }), stateBadge(model)))))),
    h("tbody", {},
      h("tr", {}, h("th", { scope: "row", text: "Memory" }), pair.map(({ plan }) => h("td", {}, plan ? placementBar(plan, most) : "not known"))),
      names.map((name) => h("tr", {}, h("th", { scope: "row", text: name }), facts.map((one) => h("td", { text: one.get(name) || "–" }))))))), placementKey({ withFree: false })], { kind: "wide" });
}

export function stateBadge(model) {
  const text = stateText(model);
  return h("span", { class: `badge ${text === "loaded" ? "strong" : ""}`, text });
}
