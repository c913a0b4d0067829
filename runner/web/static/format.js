// Numbers as people read them. Pure.

const PAGE_TOKENS = 650; // about 500 English words

export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count, unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function usd(amount) {
  if (amount === null || amount === undefined) return "unknown";
  if (amount === 0) return "$0";
  const size = Math.abs(amount);
  if (size >= 0.01) return `$${amount.toFixed(2)}`;
  if (size < 1e-7) return "under $0.0000001";
  return `$${amount.toFixed(Math.min(7, 1 - Math.floor(Math.log10(size))))}`;
}

export function rate(tokensPerSecond) {
  if (!Number.isFinite(tokensPerSecond)) return "–";
  const shown = tokensPerSecond === 0 || tokensPerSecond >= 10 ? count(tokensPerSecond) : tokensPerSecond.toFixed(1);
  return `${shown} tok/s`;
}

export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}

export function count(number) {
  return Number.isFinite(number) ? Math.round(number).toLocaleString("en") : "–";
}

export function percent(share) {
  return Number.isFinite(share) ? `${Math.round(share * 100)} %` : "–";
}

/** A context length in tokens, and in printed pages of about 500 words. */
export function context(tokens) {
  if (!Number.isFinite(tokens)) return { tokens: "–", pages: "" };
  const pages = Math.max(1, Math.round(tokens / PAGE_TOKENS));
  return { tokens: `${count(tokens)} tokens`, pages: `${count(pages)} pages` };
}

/** When something happened, in the reader's own words for days. */
export function ago(ms, now = Date.now()) {
  const days = Math.floor(now / 86_400_000) - Math.floor(ms / 86_400_000);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "This week";
  return "Earlier";
}
