// Pulls that are under way: they go on while another view is open, and can be cancelled.

import { button, h, show } from "./dom.js";
import { bytes, duration } from "./format.js";

/** One pull and the bar that shows it. */
export class Pull {
  constructor(api, model, onEnd) {
    this.model = model;
    this.abort = new AbortController();
    this.fill = h("i");
    this.text = h("span", { class: "pull-text" });
    this.bar = h("div", { class: "pull-bar", role: "progressbar", "aria-label": `Pulling ${model}`, "aria-valuemin": "0", "aria-valuemax": "100" }, this.fill);
    this.end = h("span", {}, button("Cancel", { kind: "small", onclick: () => this.abort.abort() }));
    this.element = h("div", { class: "pull" }, this.bar, h("div", { class: "row" }, this.text, h("span", { class: "grow" }), this.end));
    this.text.textContent = "Asking the Hub";
    this.isRunning = true;
    this.done = this.#run(api).finally(() => { this.isRunning = false; onEnd(this); });
  }

  async #run(api) {
    try {
      for await (const event of api.stream("/v1/models/pull", { model: this.model }, this.abort.signal)) {
        if (event === null) break;
        if (event.error) throw new Error(event.error.message);
        this.#take(event);
      }
      if (!this.isPulled) throw new Error("The connection ended before the model was complete; pull again to go on.");
    } catch (error) {
      this.failure = error.name === "AbortError" ? "Cancelled; what was fetched is kept." : error.message;
      this.text.textContent = this.failure;
    }
    show(this.end);
  }

  #take(event) {
    switch (event.event) {
      case "resolved": return this.#show(0, `${event.quantization}, ${bytes(event.missing_bytes)} to fetch`);
      case "waiting": return this.#show(null, `Waiting for another download of ${event.name}`);
      case "progress": return this.#show(event.total_bytes / event.total_size_bytes, progressText(event));
      case "inplace": return this.#show(null, `${event.name} is checked and in place`);
      case "pulled":
        this.isPulled = true;
        return this.#show(1, `In place, ${bytes(event.size_bytes)}${event.verified ? ", verified" : ""}`);
      default: return undefined;
    }
  }

  #show(share, text) {
    if (share !== null) {
      const value = Math.round(100 * Math.min(1, share));
      this.fill.style.width = `${value}%`;
      this.bar.setAttribute("aria-valuenow", value);
    }
    this.text.textContent = text;
  }
}

function progressText({ total_bytes, total_size_bytes, bytes_per_s, left_s }) {
  const parts = [`${bytes(total_bytes)} of ${bytes(total_size_bytes)}`];
  if (bytes_per_s) parts.push(`${bytes(bytes_per_s)}/s`);
  if (left_s) parts.push(`${duration(1000 * left_s)} left`);
  return parts.join(" · ");
}
