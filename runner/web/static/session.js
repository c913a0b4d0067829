// One conversation at work: sending, stopping, retrying, editing, and answering tool calls.
//
// Owns the conversation's changes; draws nothing. It goes on while another view is open, and tells
// whoever watches through `onChange(message | null)`; null means that turns came or went.

import { fetchAnswer } from "./answer.js";
import { assistantMessage, openCalls, toolMessage, userMessage } from "./conversation.js";
import { recall, remember } from "./store.js";
import { runTool, toolsOf } from "./tool.js";

const MIN_MEASURED = 8; // tokens, before an answer says something about speed
const MAX_ROUNDS = 8; // of tool calls that the page answers itself, before it asks the user

export class Session {
  #abort = null;

  constructor(conversation, { api, store }) {
    this.conversation = conversation;
    this.api = api;
    this.store = store;
    this.onChange = () => {};
    for (const message of conversation.messages) if (message.state === "running") message.state = "stopped";
  }

  get isRunning() { return this.#abort !== null; }

  stop() { this.#abort?.abort(); }

  async send(content, images = []) {
    this.conversation.messages.push(userMessage(content, images));
    await this.#run();
  }

  /** Ask again: what came after the last question goes, the question stays. */
  async retry() {
    const last = this.conversation.messages.findLastIndex((message) => message.role === "user");
    if (last < 0) return;
    this.conversation.messages.length = last + 1;
    await this.#run();
  }

  /** Change a question; what came after it goes. */
  async edit(id, content) {
    const index = this.conversation.messages.findIndex((message) => message.id === id);
    const { images } = this.conversation.messages[index];
    this.conversation.messages.length = index;
    await this.send(content, images);
  }

  /** The user's answer to a call; once all calls have one, the model goes on. */
  async answerCall(call, content) {
    this.conversation.messages.push(toolMessage(call, content));
    this.#changed(null);
    if (openCalls(this.conversation).length) await this.save();
    else await this.#run();
  }

  async save() {
    this.conversation.updated = Date.now();
    await this.store.save(this.conversation);
  }

  #changed(message) { this.onChange(message); }

  async #run() {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const message = await this.#answer();
      if (message.state !== "done" || !message.tool_calls.length) return;
      this.#runOwnTools();
      if (openCalls(this.conversation).length) return;
    }
  }

  #runOwnTools() {
    for (const call of openCalls(this.conversation)) {
      const result = runTool(call, this.conversation.settings);
      if (result !== null) this.conversation.messages.push(toolMessage(call, result));
    }
    this.#changed(null);
  }

  async #answer() {
    const message = assistantMessage(this.conversation.model);
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const onChange = () => this.#changed(message);
    const wait = this.#fetch(message, signal, onChange);
    this.conversation.messages.push(message);
    this.#changed(null);
    await this.save();
    await wait;
    this.#abort = null;
    noteSpeed(message);
    await this.save();
    this.#changed(message);
    return message;
  }

  async #fetch(message, signal, onChange) {
    let tools;
    try { tools = toolsOf(this.conversation.settings); } catch (error) {
      message.state = "failed";
      message.error = { message: error.message, reasons: [], alternatives: [] };
      return;
    }
    await fetchAnswer(this.api, this.conversation, message, { tools, signal, onChange });
  }
}

/** Remember how fast a model really wrote on this machine, for the table of models. */
function noteSpeed({ model, timings, state }) {
  if (state !== "done" || !timings?.predicted_per_second || timings.predicted_n < MIN_MEASURED) return;
  remember("speeds", { ...recall("speeds"), [model]: timings.predicted_per_second });
}
