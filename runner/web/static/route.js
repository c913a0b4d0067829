// The quiet line under an answer, and the whole route behind it.

import { h, icon } from "./dom.js";
import { speedOf } from "./answer.js";
import { count, duration, rate, usd } from "./format.js";

/** Who answered, in words. */
export function serverName(message) {
  const name = message.route?.served_by || message.provider;
  return !name || name === "local" ? "This machine" : name;
}

export function isLocal(message) {
  return serverName(message) === "This machine";
}

/** What it cost, or what it would have cost elsewhere. */
export function costText(message) {
  const cost = message.route?.cost_usd ?? message.usage?.cost;
  if (!isLocal(message)) return cost === null || cost === undefined ? "cost unknown" : usd(cost);
  const avoided = message.route?.cost_avoided_usd;
  return avoided ? `free, ${usd(avoided)} avoided` : "free";
}

/** The gist of a reason: without who says so, and without its sums. Pure. */
export function shortReason(reason) {
  if (!reason) return null;
  const bare = String(reason).replace(/^[\w.-]+: /, "");
  const [gist] = /^.{8,}?(?=: |; | \(|$)/s.exec(bare) ?? [bare];
  return gist;
}

/** The line; a click opens everything that is known. */
export function routeLine(message) {
  const facts = [rate(speedOf(message)), `first token ${duration(message.first_ms ?? NaN)}`, costText(message)];
  const why = shortReason(message.route?.reasons?.[0]);
  return h("details", { class: "route" },
    h("summary", { title: "Show the whole route" },
      icon(isLocal(message) ? "machine" : "cloud"),
      h("span", { class: "who", text: serverName(message) }),
      facts.filter((fact) => !fact.includes("–")).map((fact) => h("span", { text: fact })),
      why ? h("span", { class: "why", text: why }) : null),
    routePanel(message));
}

function routePanel(message) {
  const route = message.route ?? {};
  return h("div", { class: "panel" },
    facts(message, route),
    list("Why", route.reasons),
    route.attempts?.length ? attempts(route.attempts) : null,
    list("Done here because the provider lacks it", route.emulated),
    list("Not honoured", route.ignored),
    h("details", { class: "raw" }, h("summary", { text: "x_route as JSON" }),
      h("pre", { tabindex: "0", role: "region", "aria-label": "x_route as JSON", text: JSON.stringify(route, null, 2) })));
}

function facts({ usage, timings, first_ms, total_ms, model }, route) {
  const cached = usage?.prompt_tokens_details?.cached_tokens;
  const thought = usage?.completion_tokens_details?.reasoning_tokens;
  const rows = [
    ["Model", [route.model ?? model, route.quantization].filter(Boolean).join(" · ")],
    ["Prompt", usage && `${count(usage.prompt_tokens)} tokens${cached ? `, ${count(cached)} from the cache` : ""}`],
    ["Answer", usage && `${count(usage.completion_tokens)} tokens${thought ? `, ${count(thought)} of them thought` : ""}`],
    ["Reading", timings?.prompt_n && `${rate(timings.prompt_per_second)} over ${duration(timings.prompt_ms)}`],
    ["Writing", timings?.predicted_n && `${rate(timings.predicted_per_second)} over ${duration(timings.predicted_ms)}`],
    ["Seen here", first_ms && `first token ${duration(first_ms)}${total_ms ? `, all of it ${duration(total_ms)}` : ""}`],
    ["Cost", usd(route.cost_usd ?? usage?.cost)],
    ["Avoided", route.cost_avoided_usd ? usd(route.cost_avoided_usd) : null],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {},
    h("dt", { text: name }), h("dd", { text: value }))));
}

function list(title, items) {
  if (!items?.length) return null;
  return [h("h4", { text: title }), h("ul", {}, items.map((item) => h("li", { text: String(item) })))];
}

function attempts(all) {
  const head = ["Asked", "Outcome", "Time", "What it said"];
  return [h("h4", { text: "Attempts" }), h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Attempts" },
    h("table", {}, h("thead", {}, h("tr", {}, head.map((text) => h("th", { text, scope: "col" })))),
      h("tbody", {}, all.map(({ backend, outcome, ms, error }) => h("tr", {},
        h("td", { text: backend }), h("td", { text: outcome }), h("td", { text: duration(ms) }), h("td", { text: error ?? "" }))))))];
}
