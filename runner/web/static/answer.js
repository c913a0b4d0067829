// One answer as it comes in: from stream chunks to the fields of a message. Draws nothing.

import { ApiError, errorFields } from "./api.js";
import { toRequest } from "./conversation.js";

const MIN_SPAN_MS = 100; // an answer that came all at once says nothing about speed

/** Fill `message` until its answer ends. `onChange` after every piece; never throws. */
export async function fetchAnswer(api, conversation, message, { tools, signal, onChange }) {
  const begun = performance.now();
  let isComplete = false;
  try {
    for await (const chunk of api.stream("/v1/chat/completions", toRequest(conversation, tools), signal)) {
      if (chunk === null) { isComplete = true; break; }
      if (chunk.error) throw new ApiError(chunk.error.message ?? "The answer failed.", errorFields(chunk.error));
      applyChunk(message, chunk, performance.now() - begun);
      onChange();
    }
    if (!isComplete) throw new ApiError("The connection ended before the answer was complete.");
    message.state = "done";
  } catch (error) {
    message.state = error.name === "AbortError" ? "stopped" : "failed";
    if (message.state === "failed") message.error = describeError(error);
  }
  message.total_ms = performance.now() - begun;
  onChange();
}

function describeError(error) {
  const { message, code = null, reasons = [], alternatives = [] } = error;
  return { message, code, reasons, alternatives };
}

/** Take one `chat.completion.chunk` in. */
export function applyChunk(message, chunk, elapsed_ms) {
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  const thought = delta.reasoning_content ?? delta.reasoning ?? "";
  if ((delta.content || thought || delta.tool_calls) && !message.first_ms) message.first_ms = elapsed_ms;
  if (typeof thought === "string") message.reasoning += thought;
  if (typeof delta.content === "string") message.content += delta.content;
  for (const part of delta.tool_calls ?? []) applyCall(message.tool_calls, part);
  if (choice?.finish_reason) message.finish = choice.finish_reason;
  if (chunk.provider) message.provider = chunk.provider;
  if (chunk.usage) message.usage = chunk.usage;
  if (chunk.timings) message.timings = chunk.timings;
  if (chunk.x_route) message.route = chunk.x_route;
}

function applyCall(calls, { index = 0, id, function: { name, arguments: text } = {} }) {
  calls[index] ??= { id: "", name: "", arguments: "" };
  if (id) calls[index].id = id;
  if (name) calls[index].name += name;
  if (text) calls[index].arguments += text;
}

/** Tokens per second of a message: as the engine measured it, else as it arrived here. */
export function speedOf({ timings, usage, first_ms, total_ms }) {
  if (timings?.predicted_per_second) return timings.predicted_per_second;
  const num = usage?.completion_tokens ?? 0;
  return num > 1 && total_ms - first_ms > MIN_SPAN_MS ? (1000 * (num - 1)) / (total_ms - first_ms) : NaN;
}
