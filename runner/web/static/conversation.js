// What a conversation is, how it becomes a request, and how it travels as JSON. Pure.

const IMAGE = /^data:image\/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+$/;
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens", "seed", "max_cost_usd"];
const FORMAT = "hermes-conversations/1";

export function newConversation(like = null) {
  const now = Date.now();
  return {
    id: crypto.randomUUID(), title: "", created: now, updated: now,
    model: like?.model ?? "", settings: like ? structuredClone(like.settings) : {}, messages: [],
  };
}

export function userMessage(content, images = []) {
  return { id: crypto.randomUUID(), role: "user", content, images };
}

export function assistantMessage(model) {
  return { id: crypto.randomUUID(), role: "assistant", content: "", reasoning: "", tool_calls: [], state: "running", model };
}

export function toolMessage(call, content) {
  return { id: crypto.randomUUID(), role: "tool", tool_call_id: call.id, name: call.name, content };
}

/** The first words of what was asked. */
export function titleOf(conversation) {
  const first = conversation.messages.find((message) => message.role === "user");
  const line = first?.content.trim().split("\n")[0] ?? "";
  return conversation.title || (line.length > 48 ? `${line.slice(0, 47)}…` : line) || "New conversation";
}

/** Calls of the last answer that nobody has answered yet. */
export function openCalls(conversation) {
  const index = conversation.messages.findLastIndex((message) => message.role === "assistant");
  const last = conversation.messages[index];
  if (!last || last.state !== "done") return [];
  const answered = new Set(conversation.messages.slice(index + 1).map((message) => message.tool_call_id));
  return last.tool_calls.filter((call) => !answered.has(call.id));
}

/** The body of the request for the next answer. */
export function toRequest(conversation, tools) {
  const { settings } = conversation;
  const body = {
    model: conversation.model,
    messages: toMessages(conversation),
    stream: true,
    stream_options: { include_usage: true },
  };
  for (const name of NUMBERS) if (Number.isFinite(settings[name])) body[name] = settings[name];
  if (settings.route && settings.route !== "auto") body.route = settings.route;
  if (settings.reasoning === "off") body.reasoning = { enabled: false };
  else if (settings.reasoning) body.reasoning = { enabled: true, effort: settings.reasoning };
  if (tools.length) body.tools = tools;
  return body;
}

function toMessages({ settings, messages }) {
  const system = settings.system?.trim() ? [{ role: "system", content: settings.system.trim() }] : [];
  return [...system, ...messages.filter(isSaid).map(toWire)];
}

function isSaid(message) {
  return message.role !== "assistant" || message.content !== "" || message.tool_calls.length > 0;
}

function toWire(message) {
  switch (message.role) {
    case "tool": return { role: "tool", tool_call_id: message.tool_call_id, content: message.content };
    case "assistant": return {
      role: "assistant",
      content: message.content || null,
      ...(message.tool_calls.length ? { tool_calls: message.tool_calls.map(toWireCall) } : {}),
    };
    default: return { role: "user", content: message.images?.length ? toParts(message) : message.content };
  }
}

function toWireCall({ id, name, arguments: text }) {
  return { id, type: "function", function: { name, arguments: text } };
}

function toParts({ content, images }) {
  return [{ type: "text", text: content }, ...images.map((url) => ({ type: "image_url", image_url: { url } }))];
}

export function exportJson(conversations) {
  return JSON.stringify({ format: FORMAT, exported: new Date().toISOString(), conversations }, null, 2);
}

/** The conversations of an exported file; only known fields of the right type are taken. */
export function importJson(text) {
  let parsed;
  try { parsed = JSON.parse(text); } catch { throw new Error("This file is not JSON."); }
  if (parsed?.format !== FORMAT || !Array.isArray(parsed.conversations)) {
    throw new Error("This file holds no exported conversations.");
  }
  return parsed.conversations.map(cleanConversation);
}

function cleanConversation(raw) {
  const settings = {};
  for (const name of NUMBERS) if (Number.isFinite(raw?.settings?.[name])) settings[name] = raw.settings[name];
  for (const name of ["system", "route", "reasoning", "tools"]) if (raw?.settings?.[name]) settings[name] = text(raw.settings[name]);
  if (Array.isArray(raw?.settings?.builtin)) settings.builtin = raw.settings.builtin.map(text);
  return {
    ...newConversation(), title: text(raw?.title), model: text(raw?.model), settings,
    created: Number(raw?.created) || Date.now(), updated: Number(raw?.updated) || Date.now(),
    messages: (Array.isArray(raw?.messages) ? raw.messages : []).map(cleanMessage).filter(Boolean),
  };
}

function cleanMessage(raw) {
  const content = text(raw?.content);
  switch (raw?.role) {
    case "user": return userMessage(content, (raw.images ?? []).filter(isImage));
    case "tool": return toolMessage({ id: text(raw.tool_call_id), name: text(raw.name) }, content);
    case "assistant": return {
      ...assistantMessage(text(raw.model)), content, reasoning: text(raw.reasoning),
      state: raw.state === "stopped" || raw.state === "failed" ? raw.state : "done",
      tool_calls: (raw.tool_calls ?? []).map((call) => ({ id: text(call.id), name: text(call.name), arguments: text(call.arguments) })),
      provider: text(raw.provider), finish: text(raw.finish), first_ms: Number(raw.first_ms) || null, total_ms: Number(raw.total_ms) || null,
      ...objects(raw, ["route", "usage", "timings"]),
    };
    default: return null;
  }
}

/** Nested facts are kept as they are: they are only ever shown as text. */
function objects(raw, names) {
  return Object.fromEntries(names.filter((name) => raw[name] && typeof raw[name] === "object").map((name) => [name, raw[name]]));
}

function text(value) {
  return typeof value === "string" ? value : "";
}

export function isImage(value) {
  return typeof value === "string" && IMAGE.test(value);
}
