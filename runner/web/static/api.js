// The one way from the page to the server: JSON, streams, and errors in one shape.

import { readKey } from "./key.js";

export class ApiError extends Error {
  constructor(message, { status = 0, code = null, reasons = [], alternatives = [] } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.reasons = reasons;
    this.alternatives = alternatives;
  }

  /** Whether the server simply does not offer this (yet). */
  get isMissing() { return this.status === 404 || this.status === 405 || this.status === 501 || this.status === 503; }
}

/** `onRefused` is asked for a key after a 401 and says whether to try again. */
export class Api {
  constructor({ onRefused }) {
    this.onRefused = onRefused;
  }

  async get(path, signal) {
    return (await this.#fetch(path, { signal })).json();
  }

  async text(path, signal) {
    return (await this.#fetch(path, { signal })).text();
  }

  async post(path, body, signal) {
    return (await this.#fetch(path, this.#json(body, signal))).json();
  }

  /** The JSON of each event; `[DONE]` comes as null. Leaving the loop closes the connection. */
  async *stream(path, body, signal) {
    const response = await this.#fetch(path, this.#json(body, signal));
    if (!(response.headers.get("content-type") ?? "").includes("text/event-stream")) {
      yield await response.json();
      return;
    }
    for await (const data of events(response.body)) {
      if (data === "[DONE]") { yield null; continue; }
      let parsed;
      try { parsed = JSON.parse(data); } catch { throw new ApiError("The server sent something that is not JSON."); }
      yield parsed;
    }
  }

  #json(body, signal) {
    return { method: "POST", body: JSON.stringify(body), signal, headers: { "Content-Type": "application/json" } };
  }

  async #fetch(path, init) {
    for (;;) {
      const response = await this.#send(path, init);
      if (response.ok) return response;
      const error = await toError(response);
      if (response.status !== 401 || !(await this.onRefused(error))) throw error;
    }
  }

  async #send(path, init) {
    const key = readKey();
    const headers = { ...init.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    try {
      return await fetch(path, { ...init, headers, credentials: "omit", cache: "no-store", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("The server did not answer. Is it still running?");
    }
  }
}

/** The `data:` of each server-sent event of a byte stream. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
        else if (line === "" && data.length) { yield data.join("\n"); data = []; }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function toError(response) {
  let body = {};
  try { body = (await response.json()).error ?? {}; } catch { /* not ours: a proxy's page, say */ }
  const message = body.message ?? `The server answered with status ${response.status}.`;
  return new ApiError(message, { status: response.status, ...errorFields(body) });
}

/** What an error's envelope says beside its message. */
export function errorFields(body) {
  return { code: body.code ?? null, reasons: body.reasons ?? [], alternatives: body.alternatives ?? [] };
}
