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

/** What a whole bar stands for: all that this machine can give, or the model where it is larger. Pure. */
export function roomOf(plan, machine) {
  const gpus = (machine?.gpus ?? []).reduce((sum, gpu) => sum + (gpu.free_bytes ?? 0), 0);
  return Math.max((plan.available_bytes ?? 0) + gpus, partsOf(plan).reduce((sum, part) => sum + part.size, 0));
}

/** One sentence saying the same as the bar. */
export function placementText(plan) {
  const parts = partsOf(plan).map((part) => (part.kind === "missing" ? `${bytes(part.size)} missing` : `${bytes(part.size)} ${part.title}`));
  return parts.join(" · ") || "not known";
}

/** The same in few words, for a narrow column. */
export function placementGist(plan) {
  if (plan.fits !== false) return [plan.quantization, placementText(plan)].filter(Boolean).join(" · ");
  return `${bytes(plan.missing_bytes)} missing of ${bytes((plan.total_gpu_bytes ?? 0) + (plan.total_ram_bytes ?? 0))}`;
}

/** The bar; its whole length stands for `room` bytes. */
export function placementBar(plan, room) {
  const bar = h("div", { class: "bar-track", role: "img", "aria-label": placementText(plan) });
  for (const part of partsOf(plan)) {
    const piece = h("i", { class: part.kind });
    piece.style.width = `${Math.max(1.5, (100 * part.size) / Math.max(1, room))}%`;
    bar.append(piece);
  }
  return bar;
}

export function placementKey({ withFree = true } = {}) {
  return h("ul", { class: "legend", "aria-label": "What the bars show" },
    [["gpu", "GPU"], ["ram", "memory"], ["missing", "missing"], withFree ? ["free", "free here"] : null].filter(Boolean).map(([kind, text]) => h("li", {}, h("i", { class: kind }), text)));
}
