// Where a model would go: on the GPU, in memory, or nowhere, as one bar and one sentence.

import { h } from "./dom.js";
import { bytes } from "./format.js";

/** The parts of a plan in bytes. Pure. */
export function partsOf(plan) {
  const gpu = plan.total_gpu_bytes ?? 0, ram = plan.total_ram_bytes ?? 0, missing = plan.fits === false ? plan.missing_bytes ?? 0 : 0;
  const rest = Math.max(0, ram - missing);
  return [
    { kind: "gpu", title: "GPU", size: gpu }, { kind: "ram", title: "memory", size: rest },
    { kind: "missing", title: "missing", size: missing },
  ].filter((part) => part.size > 0);
}

/** One sentence saying the same as the bar. */
export function placementText(plan) {
  const parts = partsOf(plan).map((part) => (part.kind === "missing" ? `${bytes(part.size)} missing` : `${bytes(part.size)} ${part.title}`));
  return parts.join(" · ") || "not known";
}

/** The bar, drawn to a scale shared by all models when `scale` (bytes) is given. */
export function placementBar(plan, scale = 0) {
  const parts = partsOf(plan);
  const whole = Math.max(scale, parts.reduce((sum, part) => sum + part.size, 0)) || 1;
  const bar = h("div", { class: "bar-track", role: "img", "aria-label": placementText(plan) });
  for (const part of parts) {
    const piece = h("i", { class: part.kind });
    piece.style.width = `${Math.max(1, (100 * part.size) / whole)}%`;
    bar.append(piece);
  }
  return bar;
}

export function placementKey() {
  return h("ul", { class: "legend", "aria-label": "What the bars show" },
    [["gpu", "GPU"], ["ram", "memory"], ["missing", "missing"]].map(([kind, text]) => h("li", {}, h("i", { class: kind }), text)));
}
