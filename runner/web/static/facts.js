// One model's facts in words, joined from what the server says about it in three places. Pure.

import { context, rate, usd } from "./format.js";

/** Models with their plan and their engine, those here first, then those that fit. */
export function joinFacts(models, plans, engines, speeds) {
  const planOf = new Map(plans.map((plan) => [plan.id, plan]));
  const engineOf = new Map(engines.map((engine) => [engine.model, engine]));
  const joined = models.map((model) => ({ ...model, plan: planOf.get(model.id) ?? null, engine: engineOf.get(model.id) ?? null, measured: speeds[model.id] ?? null }));
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
  if (model.plan?.fits === false) return offersOf(model).length ? "hosted only" : "does not fit";
  return model.runs === "hosted" ? "hosted" : "not installed";
}

export function offersOf(model) {
  return (model.plan?.hosted?.length ? model.plan.hosted : model.pricing) ?? [];
}

/** The cheapest offer whose price is known. */
export function cheapest(model) {
  const known = offersOf(model).filter((offer) => Number.isFinite(offer.completion_usd_per_mtok));
  return known.sort((a, b) => a.completion_usd_per_mtok - b.completion_usd_per_mtok)[0] ?? null;
}

export function priceText(offer) {
  if (!Number.isFinite(offer.prompt_usd_per_mtok)) return "price not published";
  return `${usd(offer.prompt_usd_per_mtok)} in, ${usd(offer.completion_usd_per_mtok)} out`;
}

export function speedText(model) {
  if (model.measured) return { value: rate(model.measured), how: "measured here" };
  const predicted = model.plan?.predicted_tokens_per_s;
  return predicted ? { value: rate(predicted), how: "predicted" } : { value: "–", how: "" };
}

export function contextText(model) {
  return context(model.context_length ?? model.plan?.context ?? NaN);
}
