// Builds DOM nodes. Text only ever becomes text nodes; there is no way from a string to markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `on…` are listeners, `class`/`text`/`dataset` what they say, the rest attributes. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** One of the page's own icons. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" },
    s("use", { href: `#i-${name}` }));
}

/** A button with an icon and, unless `quiet`, its label in sight. */
export function button(label, { icon: name, quiet = false, kind = "", ...props } = {}) {
  return h("button", {
    type: "button",
    class: `button ${kind} ${quiet ? "quiet" : ""}`.trim(),
    "aria-label": quiet ? label : null,
    title: quiet ? label : null,
    ...props,
  }, name ? icon(name) : null, quiet ? null : h("span", { text: label }));
}

/** Replace all children. */
export function show(node, ...children) {
  node.replaceChildren(...children.flat(3).filter(Boolean));
  return node;
}

/** Draw anew without losing the focus: it goes to the control of the same `data-key`, or beside it. */
export function keepFocus(root, draw) {
  const held = root.contains(document.activeElement) ? document.activeElement : null;
  const key = held?.dataset.key, group = held?.closest("[data-model]")?.dataset.model;
  draw();
  if (!held || held.isConnected) return;
  const same = key && root.querySelector(`[data-key="${CSS.escape(key)}"]`);
  (same || (group && root.querySelector(`[data-model="${CSS.escape(group)}"] button`)))?.focus();
}

/** Tell a screen reader, politely. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}

let fadeTimer = 0;

/** A short note at the foot of the page, read out as well. */
export function notify(text) {
  const toast = document.getElementById("toast");
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(fadeTimer);
  fadeTimer = setTimeout(() => toast.classList.remove("shown"), 4000);
}

/** Hand the user a file that was made here. */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
