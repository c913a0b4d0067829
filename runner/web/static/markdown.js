// Markdown to blocks to DOM nodes. Own and small: headings, lists, quotes, tables, code, rules.
//
// Invariants: hostile text stays text; the work is linear in the text; blocks carry where they
// begin, so that a growing answer only has its last block drawn again.

import { h, icon, notify } from "./dom.js";
import { inline } from "./inline.js";

const MAX_RICH = 30_000; // a single block longer than this is shown as plain text
const MAX_TEXT = 200_000; // and so is everything after this much of an answer
const MAX_PLAIN = 20_000; // characters in one piece of plain text
const MAX_RULE = 2_000;
const MAX_DEPTH = 6;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const RULE = /^ {0,3}([-*_])\s*(?:\1\s*){2,}$/;
const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)])(?:\s+|$)(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const TABLE_RULE = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** The blocks of a text: `{kind, at, …}` in order. */
export function parseBlocks(text) {
  const lines = text.split("\n");
  const blocks = [];
  let at = 0;
  for (let row = 0; row < lines.length;) {
    const taken = takeBlock(lines, row, at);
    if (taken.block) blocks.push({ ...taken.block, at });
    for (; row < taken.next; row += 1) at += lines[row].length + 1;
  }
  return blocks;
}

function takeBlock(lines, row) {
  const line = lines[row];
  if (!line.trim()) return { block: null, next: row + 1 };
  const fence = FENCE.exec(line);
  if (fence) return takeCode(lines, row, fence);
  const heading = HEADING.exec(line);
  if (heading) return { block: { kind: "heading", level: heading[1].length, text: heading[2].trimEnd().replace(/(?:^|\s)#+$/, "") }, next: row + 1 };
  if (RULE.test(line)) return { block: { kind: "rule" }, next: row + 1 };
  if (QUOTE.test(line)) return takeQuote(lines, row);
  if (ITEM.test(line)) return takeList(lines, row);
  if (isTable(lines, row)) return takeTable(lines, row);
  return takeParagraph(lines, row);
}

function takeCode(lines, row, [, fence, language]) {
  let next = row + 1;
  while (next < lines.length && !closes(lines[next], fence)) next += 1;
  const text = lines.slice(row + 1, next).join("\n");
  return { block: { kind: "code", language, text }, next: Math.min(next + 1, lines.length) };
}

function closes(line, fence) {
  const bare = line.trim();
  return bare.startsWith(fence) && bare === fence[0].repeat(bare.length);
}

function takeQuote(lines, row) {
  let next = row;
  while (next < lines.length && lines[next].trim() && (QUOTE.test(lines[next]) || !startsBlock(lines[next]))) next += 1;
  const inner = lines.slice(row, next).map((line) => line.replace(QUOTE, ""));
  return { block: { kind: "quote", text: inner.join("\n") }, next };
}

function takeList(lines, row) {
  const [, indent, first] = ITEM.exec(lines[row]);
  const isOrdered = /\d/.test(first);
  const items = [];
  let next = row;
  while (next < lines.length) {
    const match = ITEM.exec(lines[next]);
    const isItem = match && match[1].length < indent.length + 2 && !RULE.test(lines[next]);
    if (isItem) {
      if (/\d/.test(match[2]) !== isOrdered) break;
      items.push([match[3]]);
    } else if (belongsToItem(lines, next, indent.length)) {
      items.at(-1).push(lines[next].replace(new RegExp(`^ {0,${indent.length + first.length + 1}}`), ""));
    } else break;
    next += 1;
  }
  const block = { kind: "list", isOrdered, start: parseInt(first, 10) || 1, items: items.map((item) => item.join("\n")) };
  return { block, next };
}

function belongsToItem(lines, row, indent) {
  const line = lines[row];
  if (!line.trim()) {
    const after = lines[row + 1] ?? "";
    return after.startsWith(" ".repeat(indent + 2)) || (ITEM.test(after) && after.trim() !== "");
  }
  return line.startsWith(" ".repeat(indent + 2)) || (!startsBlock(line) && Boolean(lines[row - 1]?.trim()));
}

function startsBlock(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

function isTable(lines, row) {
  const rule = lines[row + 1] ?? "";
  return lines[row].includes("|") && rule.length <= MAX_RULE && TABLE_RULE.test(rule)
    && cells(lines[row]).length === cells(lines[row + 1]).length;
}

function takeTable(lines, row) {
  let next = row + 2;
  while (next < lines.length && lines[next].includes("|") && lines[next].trim()) next += 1;
  const align = cells(lines[row + 1]).map((cell) => (/^:?-+:$/.test(cell) ? (cell[0] === ":" ? "to-center" : "to-end") : "to-start"));
  return { block: { kind: "table", align, head: cells(lines[row]), rows: lines.slice(row + 2, next).map(cells) }, next };
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function takeParagraph(lines, row) {
  let next = row + 1;
  while (next < lines.length && lines[next].trim() && !startsBlock(lines[next]) && !isTable(lines, next)) next += 1;
  return { block: { kind: "paragraph", text: lines.slice(row, next).join("\n") }, next };
}

/** One block as a node. */
export function drawBlock(block, depth = 0) {
  if (block.kind !== "code" && size(block) > MAX_RICH) return h("p", { class: "plain", text: source(block) });
  switch (block.kind) {
    case "heading": return h(`h${Math.min(6, block.level + 2)}`, { class: `level-${block.level}` }, inline(block.text));
    case "rule": return h("hr");
    case "code": return drawCode(block);
    case "quote": return h("blockquote", {}, drawInner(block.text, depth));
    case "list": return drawList(block, depth);
    case "table": return drawTable(block);
    default: return h("p", {}, inline(block.text));
  }
}

function size(block) {
  if (block.text !== undefined) return block.text.length;
  return (block.items ?? block.rows?.flat() ?? []).reduce((sum, text) => sum + text.length, 0);
}

function source(block) {
  return block.text ?? (block.items ?? block.rows.map((row) => row.join(" | "))).join("\n");
}

function drawInner(text, depth) {
  if (depth >= MAX_DEPTH) return [h("p", { class: "plain", text })];
  return parseBlocks(text).map((block) => drawBlock(block, depth + 1));
}

function drawList(block, depth) {
  const items = block.items.map((item) => {
    const task = /^\[([ xX])\] (.*)$/s.exec(item);
    const nodes = drawInner(task ? task[2] : item, depth);
    const isTight = nodes.length && nodes[0].tagName === "P";
    const content = isTight ? [...nodes[0].childNodes, ...nodes.slice(1)] : nodes;
    return h("li", { class: task ? "task" : null }, task ? taskBox(task[1] !== " ") : null, content);
  });
  return h(block.isOrdered ? "ol" : "ul", { start: block.isOrdered && block.start !== 1 ? block.start : null }, items);
}

function taskBox(isDone) {
  return h("input", { type: "checkbox", disabled: true, checked: isDone, "aria-label": isDone ? "done" : "to do" });
}

function drawTable({ align, head, rows }) {
  const row = (tag, texts) => h("tr", {}, head.map((_, index) => h(tag, { class: align[index] }, inline(texts[index] ?? ""))));
  return h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {}, h("thead", {}, row("th", head)), h("tbody", {}, rows.map((texts) => row("td", texts)))));
}

function drawCode({ language, text }) {
  const copy = async () => {
    try { await navigator.clipboard.writeText(code.textContent); notify("Copied"); } catch { notify("The browser did not allow copying"); }
  };
  const code = h("code", { text });
  return h("figure", { class: "code" },
    h("figcaption", {}, h("span", { text: language || "text" }),
      h("button", { type: "button", class: "button small", onclick: copy }, icon("copy"), h("span", { text: "Copy" }))),
    h("pre", { tabindex: "0", role: "region", "aria-label": codeLabel(language) }, code));
}

function codeLabel(language) {
  return language ? `Code, ${language}` : "Code";
}

/** Draws a text that grows; finished blocks are left alone. */
export class MarkdownView {
  constructor(root) {
    this.root = root;
    this.rich = h("div", { class: "rich" });
    this.plain = h("div", { class: "rich" });
    root.append(this.rich, this.plain);
    this.#clear();
  }

  #clear() {
    this.text = "";
    this.settled = 0; // characters whose blocks will not change any more
    this.fresh = []; // nodes of what comes after them
    this.numRich = 0; // characters shown with formatting
    this.numPlain = 0; // characters shown without formatting
    this.rich.replaceChildren();
    this.plain.replaceChildren();
  }

  update(text) {
    if (!text.startsWith(this.text)) this.#clear();
    if (text.length === this.text.length) return;
    this.text = text;
    const cut = richLength(text);
    if (cut !== this.numRich) this.#updateRich(text.slice(0, cut));
    this.numRich = cut;
    if (cut < text.length) this.#growPlain(text.slice(cut + this.numPlain));
  }

  #updateRich(text) {
    const open = text.slice(this.settled);
    const blocks = parseBlocks(open);
    if (!this.#growCode(blocks)) this.#draw(blocks);
    // a line may still become something else while it grows, so only whole lines settle a block
    const last = parseBlocks(open.slice(0, open.lastIndexOf("\n") + 1)).at(-1)?.at ?? 0;
    if (last === 0) return;
    this.fresh = this.fresh.slice(blocks.findIndex((block) => block.at >= last));
    this.settled += last;
  }

  #draw(blocks) {
    const nodes = blocks.map((block) => drawBlock(block));
    for (const old of this.fresh) old.remove();
    this.rich.append(...nodes);
    this.fresh = nodes;
  }

  /** A code block grows in place, so that scrolling and selecting in it survive. */
  #growCode(blocks) {
    const [only] = blocks;
    const [node] = this.fresh;
    if (blocks.length !== 1 || only.kind !== "code" || this.fresh.length !== 1 || !node.matches("figure.code")) return false;
    if (node.querySelector("pre").getAttribute("aria-label") !== codeLabel(only.language)) return false;
    node.querySelector("code").textContent = only.text;
    return true;
  }

  #growPlain(more) {
    this.numPlain += more.length;
    for (let at = 0; at < more.length;) {
      let last = this.plain.lastElementChild;
      if (!last || last.firstChild.length >= MAX_PLAIN) {
        last = h("p", { class: "plain" }, document.createTextNode(""));
        this.plain.append(last);
      }
      const room = MAX_PLAIN - last.firstChild.length;
      last.firstChild.appendData(more.slice(at, at + room));
      at += room;
    }
  }
}

/** How much of a text is formatted: all, or whole lines up to the limit. */
function richLength(text) {
  if (text.length <= MAX_TEXT) return text.length;
  const line = text.lastIndexOf("\n", MAX_TEXT);
  return line > 0 ? line : MAX_TEXT;
}
