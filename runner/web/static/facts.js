// One model's facts in words, joined from what the server says about it in three places. Pure.

import { bytes, context, count, rate, usd } from "./format.js";
import { placementText } from "./placement.js";

/** Models with their plan and their engine, those here first, then those that fit. `providers` are set up. */
export function joinFacts(models, { plans, engines, speeds, providers }) {
  const planOf = new Map(plans.map((plan) => [plan.id, plan]));
  const engineOf = new Map(engines.map((engine) => [engine.model, engine]));
  const joined = models.map((model) => ({ ...model, plan: planOf.get(model.id) ?? null, engine: engineOf.get(model.id) ?? null, measured: speeds[model.id] ?? null, providers }));
  return joined.sort((a, b) => rank(a) - rank(b));
}

function rank(model) {
  return model.engine ? 0 : model.installed ? 1 : model.plan?.fits ? 2 : model.runs === "hosted" ? 3 : 4;
}

/** Where it stands, in a word or two. */
export function stateText(model) {
  if (model.state === "loading") return "loading";
  if (model.engine) return "loaded";
  if (model.state === "failed") return "failed to load";
  if (model.installed) return "installed";
  if (model.plan?.fits) return "fits here";
  if (model.plan?.fits === false) return model.runs === "hosted" ? "hosted only" : offersOf(model).length ? "hosted elsewhere" : "does not fit";
  return model.runs === "hosted" ? "hosted" : "not installed";
}

export function offersOf(model) {
  return (model.plan?.hosted?.length ? model.plan.hosted : model.pricing) ?? [];
}

/** The cheapest offer whose price is known, of those who are set up here if any is. */
export function cheapest(model) {
  const known = offersOf(model).filter((offer) => Number.isFinite(offer.completion_usd_per_mtok));
  const ready = known.filter((offer) => model.providers?.has(offer.provider));
  return (ready.length ? ready : known).sort((a, b) => a.completion_usd_per_mtok - b.completion_usd_per_mtok)[0] ?? null;
}

export function priceText(offer) {
  if (!Number.isFinite(offer.prompt_usd_per_mtok)) return "price not published";
  return `${usd(offer.prompt_usd_per_mtok)} in, ${usd(offer.completion_usd_per_mtok)} out`;
}

export function speedText(model) {
  const predicted = model.plan?.predicted_tokens_per_s;
  if (!model.measured) return predicted ? { value: rate(predicted), how: "predicted" } : { value: "–", how: "" };
  return { value: rate(model.measured), how: predicted ? `measured, ${count(predicted)} predicted` : "measured here" };
}

/** Whether the server takes images for it; that the weights could see is not enough. */
export function canSee(model) {
  return Boolean(model?.architecture?.input_modalities?.includes("image"));
}

/** What it can do here. */
export function abilitiesOf(model) {
  return (model.capabilities ?? []).filter((one) => one !== "vision" || canSee(model));
}

export function contextText(model) {
  return context(model.context_length ?? model.plan?.context ?? NaN);
}

/** Everything that is known of a model, by name; what is not known is empty. */
export function factsOf(model) {
  const length = contextText(model), speed = speedText(model);
  return new Map([
    ["Id", model.id], ["Also called", model.aliases?.join(", ")], ["By", model.owned_by], ["Licence", model.license],
    ["Context", [length.tokens, length.pages && `about ${length.pages}`].filter((part) => part && part !== "–").join(", ")],
    ["Can do", abilitiesOf(model).join(", ")],
    ["Speed", speed.how && `${speed.value}, ${speed.how}`],
    ["Quantisation", model.plan?.quantization ?? model.quantization],
    ["Goes to", model.plan && [placementText(model.plan), partsText(model.plan)].filter(Boolean).join("; ")],
    ["Why", model.plan?.reasons?.join("; ")],
    ["Hosted, per million", offersOf(model).map(offerText).join("\n")],
  ]);
}

function partsText({ weights_ram_bytes: ram = 0, weights_gpu_bytes: gpu = 0, kv_bytes: kv }) {
  return kv ? `${bytes(ram + gpu)} of it weights, ${bytes(kv)} KV cache` : "";
}

function offerText(offer) {
  return `${offer.provider}: ${priceText(offer)}${offer.as_of ? ` (${offer.as_of})` : ""}`;
}
