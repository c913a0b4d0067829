// Reads Prometheus text, as far as the page needs it. Pure.

/** `[{name, labels, value}]` of an exposition. */
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (!match) continue;
    samples.push({ name: match[1], labels: parseLabels(match[2] ?? ""), value: toNumber(match[3]) });
  }
  return samples;
}

function toNumber(text) {
  return text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text);
}

function parseLabels(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name] = value.replace(/\\(["\\n])/g, (_, char) => (char === "n" ? "\n" : char));
  }
  return labels;
}

/** The sum of a metric over all labels that match. */
export function total(samples, name, wanted = {}) {
  return samples
    .filter((one) => one.name === name && Object.entries(wanted).every(([key, value]) => one.labels[key] === value))
    .reduce((sum, one) => sum + one.value, 0);
}

/** A metric by one of its labels, as a Map. */
export function labelled(samples, name, label) {
  const found = new Map();
  for (const one of samples) if (one.name === name) found.set(one.labels[label], (found.get(one.labels[label]) ?? 0) + one.value);
  return found;
}

/** A quantile of a histogram over all labels, interpolated inside its bucket; null without data. */
export function quantile(samples, name, share) {
  const byEdge = new Map();
  for (const one of samples) {
    if (one.name !== `${name}_bucket`) continue;
    const edge = toNumber(one.labels.le);
    byEdge.set(edge, (byEdge.get(edge) ?? 0) + one.value);
  }
  const buckets = [...byEdge].sort((a, b) => a[0] - b[0]);
  const all = buckets.at(-1)?.[1] ?? 0;
  if (!all) return null;
  let low = 0, below = 0;
  for (const [edge, upTo] of buckets) {
    if (upTo >= share * all) {
      if (edge === Infinity) return low;
      return low + (edge - low) * ((share * all - below) / Math.max(1, upTo - below));
    }
    low = edge;
    below = upTo;
  }
  return low;
}
