// Dialogs: the browser's own, so focus stays inside and Escape closes.

import { button, h } from "./dom.js";

/** Open a dialog; `kind` is `side` for a drawer. Resolves when it is closed. */
export function openDialog(title, content, { kind = "", onClose = () => {} } = {}) {
  const dialog = h("dialog", { class: `dialog ${kind}`, "aria-label": title },
    h("header", {}, h("h2", { text: title }), button("Close", { icon: "close", quiet: true, onclick: () => dialog.close() })),
    h("div", { class: "dialog-body" }, content));
  dialog.addEventListener("close", () => { dialog.remove(); onClose(dialog.returnValue); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask for a yes. */
export function confirmWith(title, text, verb) {
  return new Promise((resolve) => {
    const dialog = openDialog(title, [
      h("p", { text }),
      h("div", { class: "row end" }, button("Cancel", { onclick: () => dialog.close() }),
        button(verb, { kind: "primary", onclick: () => dialog.close("yes") })),
    ], { onClose: (value) => resolve(value === "yes") });
  });
}

/** Ask for the API key; resolves to `{key, remember}`, or null. */
export function askForKey(message, { hasKey = false, remembered = false } = {}) {
  return new Promise((resolve) => {
    const field = h("input", { type: "password", id: "key-field", autocomplete: "off", spellcheck: "false", required: true });
    const keep = h("input", { type: "checkbox", id: "key-keep" });
    keep.checked = remembered;
    const answer = (given) => { dialog.result = given; dialog.close(); };
    const form = h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); if (field.value.trim()) answer({ key: field.value.trim(), remember: keep.checked }); } },
      h("p", { text: message }),
      h("label", { class: "field" }, h("span", { text: "API key" }), field),
      h("label", { class: "check" }, keep, h("span", { text: "Keep it on this device" })),
      h("p", { class: "hint", text: "It stays in this browser and is sent to this server only, in a header." }),
      h("div", { class: "row end" },
        hasKey ? button("Forget the key", { onclick: () => answer({ key: "", remember: false }) }) : null,
        h("button", { type: "submit", class: "button primary", text: "Use this key" })));
    const dialog = openDialog("API key", form, { kind: "small", onClose: () => resolve(dialog.result ?? null) });
    field.focus();
  });
}

const SHORTCUTS = [
  ["Enter", "send"], ["Shift + Enter", "a new line"], ["Esc", "stop the answer, or close what is open"],
  ["Alt + 1 … 4", "Chat, Models, Now, Money"], ["Alt + N", "a new conversation"],
  ["Alt + S", "the conversation's settings"], ["Alt + R", "ask again"], ["?", "this list"],
];

export function showShortcuts() {
  openDialog("Keyboard", h("dl", { class: "shortcuts" }, SHORTCUTS.map(([keys, text]) => h("div", {},
    h("dt", {}, h("kbd", { text: keys })), h("dd", { text })))), { kind: "small" });
}
