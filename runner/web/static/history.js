// The list of conversations at the side.

import { button, h, show } from "./dom.js";
import { confirmWith } from "./dialog.js";
import { titleOf } from "./conversation.js";
import { ago } from "./format.js";

/** Draw the list, grouped by when they were last used. */
export function drawHistory(root, conversations, currentId, { onRemove, onRename, isRunning }) {
  if (!conversations.length) {
    show(root, h("li", { class: "hint", text: "What you talk about is kept in this browser only." }));
    return;
  }
  const rows = [];
  let group = null;
  for (const one of conversations) {
    const when = ago(one.updated);
    if (when !== group) rows.push(h("li", { class: "when", text: when }));
    group = when;
    rows.push(row(one, one.id === currentId, { onRemove, onRename, isRunning }));
  }
  show(root, rows);
}

function row(one, isCurrent, { onRemove, onRename, isRunning }) {
  const title = titleOf(one);
  const remove = async () => {
    if (await confirmWith("Delete this conversation?", `“${title}” is only in this browser; it cannot be brought back.`, "Delete")) onRemove(one);
  };
  const link = h("a", { href: `#/chat/${one.id}`, "aria-current": isCurrent ? "page" : null, title },
    h("span", { text: title }), isRunning(one.id) ? h("i", { class: "live-dot", role: "img", "aria-label": "answering" }) : null);
  const rename = () => {
    const field = h("input", { type: "text", "aria-label": "Title", value: title, maxlength: "120",
      onblur: () => onRename(one, field.value.trim()),
      onkeydown: (event) => {
        if (event.key === "Enter") field.blur();
        if (event.key === "Escape") { field.value = title; field.blur(); }
      } });
    link.replaceWith(field);
    field.select();
  };
  return h("li", { class: isCurrent ? "current" : null }, link,
    button(`Rename ${title}`, { icon: "edit", quiet: true, onclick: rename }),
    button(`Delete ${title}`, { icon: "trash", quiet: true, onclick: remove }));
}
