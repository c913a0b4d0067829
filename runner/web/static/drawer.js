// The side drawer: system prompt, sampling, route and tools of one conversation.

import { h } from "./dom.js";
import { openDialog } from "./dialog.js";
import { builtinTools, parseTools } from "./tool.js";

const SAMPLING = [
  { name: "temperature", title: "Temperature", hint: "0 always takes the likeliest word", min: 0, max: 5, step: 0.05 },
  { name: "top_p", title: "Top P", hint: "keep the likeliest words up to this share", min: 0.01, max: 1, step: 0.01 },
  { name: "top_k", title: "Top K", hint: "keep this many words, 0 for all", min: 0, max: 100000, step: 1 },
  { name: "min_p", title: "Min P", hint: "drop words below this share of the best", min: 0, max: 1, step: 0.01 },
  { name: "repetition_penalty", title: "Repetition penalty", hint: "1 is none", min: 0.1, max: 10, step: 0.05 },
  { name: "max_tokens", title: "Longest answer", hint: "in tokens", min: 1, max: 1000000, step: 1 },
  { name: "seed", title: "Seed", hint: "the same seed gives the same answer", min: 0, max: 4294967295, step: 1 },
];
const ROUTES = { auto: "This machine first", local: "Only this machine", hosted: "Only hosted" };
const REASONING = { "": "As the model likes", off: "None", low: "A little", medium: "Some", high: "A lot" };

/** Open the drawer; changes are written to `settings` as they are made. */
export function openSettings(settings, onChange) {
  const set = (name, value) => {
    if (value === "" || value === undefined || Number.isNaN(value)) delete settings[name];
    else settings[name] = value;
    onChange();
  };
  openDialog("Settings of this conversation", h("div", { class: "stack" },
    group("System prompt", [textField("system", "What the model should be and do", settings, set, 5)]),
    group("Sampling", [h("p", { class: "hint", text: "Empty means the model's own recommendation." }),
      h("div", { class: "grid" }, SAMPLING.map((field) => numberField(field, settings, set)))]),
    group("Thinking and route", [h("div", { class: "grid" },
      choice("reasoning", "Thinking", REASONING, settings, set), choice("route", "Who may answer", ROUTES, settings, set),
      numberField({ name: "max_cost_usd", title: "Most an answer may cost", hint: "in US dollars, hosted only", min: 0, max: 1000, step: 0.001 }, settings, set))]),
    group("Tools", [...builtinTools().map((tool) => toolSwitch(tool, settings, set)), ownTools(settings, set)]),
  ), { kind: "side" });
}

function group(title, content) {
  return h("section", {}, h("h3", { text: title }), content);
}

function textField(name, label, settings, set, rows) {
  const area = h("textarea", { rows, "aria-label": label, placeholder: label, oninput: () => set(name, area.value) });
  area.value = settings[name] ?? "";
  return area;
}

function numberField({ name, title, hint, min, max, step }, settings, set) {
  const field = h("input", { type: "number", min, max, step, inputmode: "decimal", value: settings[name], placeholder: "auto", "aria-label": title,
    "aria-describedby": `hint-${name}`,
    oninput: () => { if (field.validity.valid) set(name, field.value === "" ? "" : Number(field.value)); } });
  return h("label", { class: "field" }, h("span", { text: title }), field, h("small", { id: `hint-${name}`, text: hint }));
}

function choice(name, title, options, settings, set) {
  const select = h("select", { "aria-label": title, onchange: () => set(name, select.value) },
    Object.entries(options).map(([value, text]) => h("option", { value, text, selected: (settings[name] ?? "") === value })));
  return h("label", { class: "field" }, h("span", { text: title }), select);
}

function toolSwitch({ id, title, hint }, settings, set) {
  const box = h("input", { type: "checkbox", checked: settings.builtin?.includes(id), onchange: () => {
    const others = (settings.builtin ?? []).filter((one) => one !== id);
    set("builtin", box.checked ? [...others, id] : others);
  } });
  return h("label", { class: "check" }, box, h("span", { text: title }), h("small", { text: hint }));
}

function ownTools(settings, set) {
  const fault = h("small", { class: "fault", role: "status", id: "tools-fault" });
  const area = h("textarea", { rows: 6, class: "mono", spellcheck: "false", "aria-describedby": "tools-fault", oninput: () => {
    set("tools", area.value);
    try { parseTools(area.value); fault.textContent = ""; } catch (error) { fault.textContent = error.message; }
  }, placeholder: '[{"name": "get_weather", "parameters": {…}}]' });
  area.value = settings.tools ?? "";
  return h("label", { class: "field" }, h("span", { text: "Your own, as JSON; you answer their calls by hand" }), area, fault);
}
