// The tools of a conversation: two that run right here in the page, and the user's own as JSON.

const NAME = /^[a-zA-Z0-9_.-]{1,64}$/;

const BUILTIN = {
  clock: {
    title: "Clock", hint: "the date and time of this browser",
    spec: {
      name: "current_time", description: "Get the current date and time.",
      parameters: { type: "object", properties: {}, additionalProperties: false },
    },
    run: () => ({ iso: new Date().toISOString(), local: new Date().toString() }),
  },
  calculator: {
    title: "Calculator", hint: "sums with + − × ÷ ^ and brackets",
    spec: {
      name: "calculate", description: "Work out an arithmetic expression.",
      parameters: {
        type: "object", properties: { expression: { type: "string", description: "such as (2+3)*4" } },
        required: ["expression"],
      },
    },
    run: ({ expression }) => ({ result: calculate(String(expression ?? "")) }),
  },
};

export function builtinTools() {
  return Object.entries(BUILTIN).map(([id, { title, hint }]) => ({ id, title, hint }));
}

/** The request's `tools`. Throws when the user's own JSON is no list of tools. */
export function toolsOf(settings) {
  const chosen = (settings.builtin ?? []).filter((id) => BUILTIN[id]).map((id) => BUILTIN[id].spec);
  return [...chosen, ...parseTools(settings.tools ?? "")].map((spec) => ({ type: "function", function: spec }));
}

/** OpenAI's shape, or bare functions; a single one may stand alone. */
export function parseTools(text) {
  if (!text.trim()) return [];
  let parsed;
  try { parsed = JSON.parse(text); } catch (error) { throw new Error(`The tools are not JSON: ${error.message}`); }
  const specs = (Array.isArray(parsed) ? parsed : [parsed]).map((tool) => tool?.function ?? tool);
  for (const spec of specs) {
    if (!NAME.test(spec?.name ?? "")) throw new Error("Every tool needs a name of letters, digits, dots, dashes or underscores.");
  }
  return specs;
}

/** What one of the page's own tools answers, as JSON text; null for a tool of the user's. */
export function runTool(call, settings) {
  const own = (settings.builtin ?? []).map((id) => BUILTIN[id]).find((tool) => tool?.spec.name === call.name);
  if (!own) return null;
  try { return JSON.stringify(own.run(JSON.parse(call.arguments || "{}"))); } catch (error) {
    return JSON.stringify({ error: error.message });
  }
}

/** Arithmetic by recursive descent: nothing of the text is ever run. Throws on anything else. */
export function calculate(expression) {
  const tokens = expression.replaceAll("×", "*").replaceAll("÷", "/").replaceAll("−", "-").replaceAll("**", "^")
    .match(/\d+\.?\d*(?:e[+-]?\d+)?|\.\d+|[-+*/^%()]|\S/gi) ?? [];
  let at = 0, depth = 0;
  const sum = () => {
    let value = product();
    while (tokens[at] === "+" || tokens[at] === "-") value = tokens[at++] === "+" ? value + product() : value - product();
    return value;
  };
  const product = () => {
    let value = sign();
    while ("*/%".includes(tokens[at] || " ")) {
      const operator = tokens[at++], right = sign();
      value = operator === "*" ? value * right : operator === "/" ? value / right : value % right;
    }
    return value;
  };
  const sign = () => {
    if (++depth > 200) throw new Error("the expression is nested too deeply");
    try { return tokens[at] === "-" ? (at++, -sign()) : tokens[at] === "+" ? (at++, sign()) : power(); } finally { depth -= 1; }
  };
  const power = () => {
    const base = atom();
    return tokens[at] === "^" ? (at++, base ** sign()) : base;
  };
  const atom = () => {
    const token = tokens[at++];
    if (token === "(") {
      const value = sum();
      if (tokens[at++] !== ")") throw new Error("a bracket is not closed");
      return value;
    }
    if (!/^[\d.]/.test(token ?? "")) throw new Error(`${token ?? "the end"} was not expected`);
    return Number(token);
  };
  const value = sum();
  if (at < tokens.length) throw new Error(`${tokens[at]} was not expected`);
  if (!Number.isFinite(value)) throw new Error("the result is not a number");
  return value;
}
