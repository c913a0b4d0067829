// Inline Markdown to DOM nodes, in one pass: linear in the text, whatever the text is.
//
// Raw HTML is text. A link keeps its address only if the scheme is harmless; an image is never
// fetched, its description becomes a link. Nothing here parses markup.

import { h } from "./dom.js";

const SAFE = /^(?:https?:|mailto:)/i;
const MARKS = { "**": "strong", "__": "strong", "*": "em", "_": "em", "~~": "del" };
const MAX_DEPTH = 8;
const SPECIAL = /[\\`*_~[!<\n]|https?:\/\//g;
const PUNCTUATION = /[!-/:-@[-`{-~]/;

/** The nodes of one paragraph's text. */
export function inline(text) {
  return new Inline(text).nodes();
}

/** An address that is safe to follow, else null. Control characters and spaces never are. */
export function safeAddress(address) {
  const bare = address.trim();
  return SAFE.test(bare) && !/[\u0000-\u0020\u007f]/.test(bare) ? bare : null;
}

/** A link that tells the other side nothing about this page. */
export function link(address, ...children) {
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", title: address }, children);
}

class Inline {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.frames = [{ mark: null, nodes: [] }];
    this.seen = new Map();
  }

  nodes() {
    while (this.at < this.text.length) this.#step();
    this.#unwind(1);
    return this.frames[0].nodes;
  }

  #add(node) {
    const nodes = this.frames.at(-1).nodes;
    if (typeof node === "string" && typeof nodes.at(-1) === "string") nodes[nodes.length - 1] += node;
    else nodes.push(node);
  }

  /** Where a piece of text comes next; remembered, so that asking often costs nothing. */
  #next(piece, from) {
    const known = this.seen.get(piece);
    if (known !== undefined && (known < 0 || known >= from)) return known;
    const found = this.text.indexOf(piece, from);
    this.seen.set(piece, found);
    return found;
  }

  #step() {
    SPECIAL.lastIndex = this.at;
    const match = SPECIAL.exec(this.text);
    const stop = match ? match.index : this.text.length;
    if (stop > this.at) this.#add(this.text.slice(this.at, stop));
    this.at = stop;
    if (!match) return;
    const before = this.at;
    if (match[0].length > 1) this.#bareLink();
    else this.#special(match[0]);
    if (this.at === before) { this.#add(this.text[before]); this.at = before + 1; }
  }

  #special(char) {
    switch (char) {
      case "\\": return this.#escape();
      case "`": return this.#code();
      case "[": return this.#link(this.at);
      case "!": return this.text[this.at + 1] === "[" ? this.#link(this.at + 1) : undefined;
      case "<": return this.#angle();
      case "\n": return this.#lineBreak();
      default: return this.#mark(char);
    }
  }

  #escape() {
    const next = this.text[this.at + 1];
    if (next === "\n") { this.#add(h("br")); this.at += 2; }
    else if (next && PUNCTUATION.test(next)) { this.#add(next); this.at += 2; }
  }

  #lineBreak() {
    const nodes = this.frames.at(-1).nodes;
    const last = nodes.at(-1);
    const isHard = typeof last === "string" && last.endsWith("  ");
    if (isHard) nodes[nodes.length - 1] = last.trimEnd();
    this.#add(isHard ? h("br") : "\n");
    this.at += 1;
  }

  #code() {
    let end = this.at;
    while (this.text[end] === "`") end += 1;
    const fence = this.text.slice(this.at, end);
    const close = fence.length <= 4 ? this.#next(fence, end) : -1;
    if (close < 0) { this.#add(fence); this.at = end; return; }
    const body = this.text.slice(end, close).replaceAll("\n", " ");
    this.#add(h("code", { text: /^ .*[^ ].* $/.test(body) ? body.slice(1, -1) : body }));
    this.at = close + fence.length;
  }

  #link(open) {
    const middle = this.#next("](", open + 1);
    const inner = this.#next("[", open + 1);
    if (middle < 0 || (inner >= 0 && inner < middle)) return;
    const close = this.#closeOfAddress(middle + 2);
    if (close < 0) return;
    const [address] = this.text.slice(middle + 2, close).trim().split(/\s+["']/);
    const label = this.text.slice(open + 1, middle);
    const isImage = open > this.at;
    const safe = safeAddress(address.replace(/^<(.*)>$/, "$1"));
    const shown = label || (isImage ? "image" : address);
    this.#add(safe ? link(safe, shown) : h("span", { class: "dead-link", title: "This address was left out" }, shown));
    this.at = close + 1;
  }

  /** The bracket that ends an address; one inner pair is allowed, as in encyclopedia links. */
  #closeOfAddress(from) {
    const close = this.#next(")", from);
    if (close < 0) return -1;
    const inner = this.#next("(", from);
    const hasPair = inner >= 0 && inner < close && this.text[close + 1] === ")";
    return hasPair ? close + 1 : close;
  }

  #angle() {
    const close = this.#next(">", this.at);
    if (close < 0 || close - this.at > 2000) return;
    const safe = safeAddress(this.text.slice(this.at + 1, close));
    if (!safe) return;
    this.#add(link(safe, safe));
    this.at = close + 1;
  }

  #bareLink() {
    const [found] = /^https?:\/\/[^\s<>"'`)\]}]{1,2000}/.exec(this.text.slice(this.at, this.at + 2008)) ?? [];
    if (!found) return;
    const address = found.replace(/[.,;:!?*_~]+$/, "");
    this.#add(link(address, address));
    this.at += address.length;
  }

  #mark(char) {
    const isRun = this.text.startsWith(char.repeat(3), this.at);
    const isDouble = this.text[this.at + 1] === char && !(isRun && this.frames.at(-1).mark === char);
    const mark = isDouble ? char + char : char;
    if (!MARKS[mark]) { this.#add(mark); this.at += mark.length; return; }
    const before = this.text[this.at - 1] ?? " ", after = this.text[this.at + mark.length] ?? " ";
    const isWord = char === "_" && /[\p{L}\p{N}]/u.test(before) && /[\p{L}\p{N}]/u.test(after);
    const opened = this.#openedAt(mark);
    this.at += mark.length;
    if (opened > 0 && !/\s/.test(before) && !isWord) this.#close(opened);
    else if (!/\s/.test(after) && !isWord && this.frames.length <= MAX_DEPTH) this.frames.push({ mark, nodes: [] });
    else this.#add(mark);
  }

  #openedAt(mark) {
    for (let index = this.frames.length - 1; index > 0; index -= 1) {
      const isFilled = this.frames[index].nodes.length > 0 || index < this.frames.length - 1;
      if (this.frames[index].mark === mark && isFilled) return index;
    }
    return 0;
  }

  #close(index) {
    this.#unwind(index + 1);
    const { mark, nodes } = this.frames.pop();
    this.#add(h(MARKS[mark], {}, nodes));
  }

  /** Marks that were never closed are only characters. */
  #unwind(depth) {
    const loose = this.frames.splice(depth);
    const nodes = this.frames.at(-1).nodes;
    for (const frame of loose) {
      nodes.push(frame.mark);
      for (const node of frame.nodes) nodes.push(node);
    }
  }
}
