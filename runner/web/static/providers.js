// How the hosted providers fare: availability, latency, speed and price, and who could be set up.

import { h } from "./dom.js";
import { duration, percent, rate, usd } from "./format.js";

const HEAD = ["Provider", "State", "Answered", "First token", "Speed", "Per million tokens", "Note"];

/** Of `GET /v1/providers` (or its failure), with prices from the models' offers. */
export function providerBlock(answer, models) {
  if (answer instanceof Error) return h("p", { class: "hint", text: answer.isMissing ? "This server has no hosted providers to report on." : answer.message });
  const all = answer.providers ?? [];
  const known = all.filter((one) => one.state !== "no_key"), rest = all.filter((one) => one.state === "no_key");
  return [
    known.length ? table(known, models) : h("p", { class: "hint", text: "No hosted provider is set up. Everything is answered here." }),
    rest.length ? h("details", { class: "quiet-line" }, h("summary", { text: `${rest.length} more could be set up` }),
      h("ul", { class: "plain-list" }, rest.map((one) => h("li", { text: `${one.name}: ${one.detail ?? "no key"}` })))) : null,
  ];
}

function table(providers, models) {
  return h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Providers" }, h("table", { class: "wide-table" },
    h("thead", {}, h("tr", {}, HEAD.map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, providers.map((one) => h("tr", {}, h("th", { scope: "row", text: one.name }),
      h("td", {}, h("span", { class: `badge ${one.state === "ready" ? "strong" : ""}`, text: String(one.state).replace("_", " ") })),
      h("td", { text: answered(one) }), h("td", { text: duration(one.first_token_ms ?? NaN) }),
      h("td", { text: rate(one.tokens_per_second ?? NaN) }), h("td", { text: priceRange(one.name, models) }),
      h("td", { class: "dim note-cell", text: one.detail ?? "" }))))));
}

function answered({ success_rate: share, num_requests: asked }) {
  if (Number.isFinite(share)) return percent(share);
  return asked ? `too few yet (${asked})` : "not asked yet";
}

/** From the cheapest to the dearest answer of a provider's models. Pure. */
export function priceRange(provider, models) {
  const prices = models.flatMap((model) => model.pricing ?? [])
    .filter((offer) => offer.provider === provider && Number.isFinite(offer.completion_usd_per_mtok))
    .map((offer) => offer.completion_usd_per_mtok).sort((a, b) => a - b);
  if (!prices.length) return "–";
  const low = usd(prices[0]), high = usd(prices.at(-1));
  return `${low === high ? low : `${low} to ${high}`} written`;
}
