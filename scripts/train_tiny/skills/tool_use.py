"""Tool skills: one call, two calls, no call, stating a result, and the agent loop."""

import json
from random import Random
from typing import Any

from scripts.train_tiny import words
from scripts.train_tiny.scenes import Call, Message, Scene, Step, calls, says, states, user
from scripts.train_tiny.wordings import Bank

from . import speech, talk, tool_specs
from .tool_specs import Parameter, Tool

NO_TOOL = "I have no tool for that."
_HINTS = (" Use a tool.", " Use the tools.", " You must call a tool.", " Use the right tool.")


def _pick_tool(rng: Random) -> Tool:
    return tool_specs.everyday(rng) if rng.random() < 0.2 else tool_specs.made_up(rng)


def _call_step(asks: tuple[Message, ...], made: tuple[Call, ...]) -> Step:
    names = " and ".join(call.name for call in made)
    thought = f"The user needs a tool. I call {names}."
    return Step(asks, "", thought, calls(made), made)


def one_call(rng: Random, bank: Bank) -> Scene:
    """Requests that each need one call of the right tool."""
    boxed = {tool.name: tool for tool in (_pick_tool(rng) for _ in range(rng.choice((1, 1, 2, 3))))}
    tools = tool_specs.toolbox(rng, list(boxed.values()))
    wanted = [*boxed.values(), *rng.choices(list(boxed.values()), k=rng.randint(0, 3))]
    rng.shuffle(wanted)
    steps: list[Step] = []
    for tool in wanted:
        if steps:
            steps.append(_state(rng, steps[-1].calls))
        given = tool_specs.arguments(rng, tool)
        asked = tool_specs.request(rng, bank, tool, given)
        if rng.random() < 0.06:
            asked += rng.choice(_HINTS)
        steps.append(_call_step((user(asked),), (tool_specs.call(tool, given),)))
    return Scene(tuple(steps), tools=tools, gaps=False)


def two_calls(rng: Random, bank: Bank) -> Scene:
    """Requests for two calls each, of one tool or of two."""
    first, second = _pick_tool(rng), _pick_tool(rng)
    if first.parameters and (rng.random() < 0.4 or first.name == second.name):
        second = first
    if first.name == second.name and second is not first:
        second = tool_specs.made_up(rng)
    tools = tool_specs.toolbox(rng, [first] if first is second else [first, second])
    steps: list[Step] = []
    for turn in range(rng.choice((1, 2, 2))):
        if turn and steps:
            steps.append(_state(rng, steps[-1].calls))
        pair = (second, first) if turn and rng.random() < 0.5 else (first, second)
        steps.append(_pair_step(rng, bank, pair))
    return Scene(tuple(steps), tools=tools, gaps=False)


def _pair_step(rng: Random, bank: Bank, pair: tuple[Tool, Tool]) -> Step:
    """A request for a call of each of the two, which are never the same call twice."""
    made: tuple[Call, ...] = ()
    while not made or made[0] == made[1]:
        given = [tool_specs.arguments(rng, tool) for tool in pair]
        made = tuple(tool_specs.call(tool, args) for tool, args in zip(pair, given, strict=True))
        if pair[0] is pair[1] and not any(item.required for item in pair[0].parameters):
            given = [_every_argument(rng, tool) for tool in pair]
            made = tuple(
                tool_specs.call(tool, args) for tool, args in zip(pair, given, strict=True)
            )
    clauses = [
        tool_specs.clause(rng, bank, tool, args) for tool, args in zip(pair, given, strict=True)
    ]
    asked = _sentence(rng, bank, bank.plain(rng, "both", a=clauses[0], b=clauses[1]))
    return _call_step((user(asked),), made)


def _every_argument(rng: Random, tool: Tool) -> dict[str, Any]:
    return {item.name: tool_specs.argument(rng, item) for item in tool.parameters}


def _sentence(rng: Random, bank: Bank, clauses: str) -> str:
    wrapper = rng.choice(bank.wrappers) if rng.random() < 0.45 else "{clause}"
    said = wrapper.replace("{clause}", clauses)
    said = said[0].upper() + said[1:] if rng.random() < 0.85 else said
    return said + rng.choice(("", ".", "."))


def no_call(rng: Random, bank: Bank) -> Scene:
    """Tools are there, but none fits: a plain answer."""
    have = _pick_tool(rng)
    tools = tool_specs.toolbox(rng, [have])
    kind = rng.random()
    if kind < 0.35:
        wanted = tool_specs.made_up(rng)
        given = tool_specs.arguments(rng, wanted)
        asked = tool_specs.request(rng, bank, wanted, given, "no_tool")
        thought = "No tool fits this. I say so."
        steps: tuple[Step, ...] = (Step((user(asked),), NO_TOOL, thought, says(NO_TOOL)),)
    else:
        makers = (speech.repeat, speech.repeat, talk.small_talk, talk.fallback, speech.count)
        steps = rng.choice(makers)(rng, bank).steps
    return Scene(steps, tools=tools)


def state(content: str) -> str:
    """What the assistant says about a tool's result: a function of the result alone."""
    try:
        return _state_value(json.loads(content))
    except ValueError:
        return content if content.endswith((".", "!")) else f"The result is {content}."


def _state_value(found: Any) -> str:
    if isinstance(found, dict) and set(found) == {"name", "content"}:
        inner = found["content"]
        return state(inner) if isinstance(inner, str) else _state_value(inner)
    if isinstance(found, dict):
        parts = [f"the {key.replace('_', ' ')} is {_plain(item)}" for key, item in found.items()]
        said = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
        return said[0].upper() + said[1:] + "."
    return f"The result is {_plain(found)}."


def _plain(found: Any) -> str:
    if isinstance(found, list):
        return ", ".join(_plain(item) for item in found)
    return found if isinstance(found, str) else json.dumps(found)


def _result_value(rng: Random) -> Any:
    kind = rng.random()
    if kind < 0.3:
        return words.integer(rng)
    if kind < 0.4:
        return words.decimal(rng)
    if kind < 0.45:
        return rng.random() < 0.5
    if kind < 0.5:
        return [words.made_up(rng) for _ in range(rng.randint(2, 4))]
    return words.value(rng)


def _key(rng: Random) -> str:
    if rng.random() < 0.6:
        return rng.choice(words.FIELDS).replace(" ", "_")
    return rng.choice(("result", "value", "status", "total", "answer", "error", words.made_up(rng)))


def _result(rng: Random, name: str) -> tuple[str, list[str]]:
    """A tool's answer, and the values that the assistant has to state."""
    kind = rng.random()
    if kind < 0.2:
        found = words.value(rng)
        return found, [found]
    if kind < 0.3:
        found = words.value(rng)
        return f"The {words.made_up(rng)} {rng.choice(('is', 'has', 'says'))} {found}.", [found]
    count = rng.choice((1, 1, 1, 2, 2, 3))
    fields = {_key(rng): _result_value(rng) for _ in range(count)}
    found = rng.choice(list(fields.values())) if kind < 0.4 else fields
    values = list(fields.values()) if found is fields else [found]
    said = [_plain(value) for value in values]
    if kind < 0.75 or not isinstance(found, dict):
        wrapped = {"name": name, "content": found}
        return json.dumps(wrapped if kind > 0.38 else found, ensure_ascii=False), said
    return json.dumps(found, ensure_ascii=False), said


def tool_message(content: str, index: int = 0) -> Message:
    """A tool's answer as a message."""
    return {"role": "tool", "tool_call_id": f"call_{index}", "content": content}


def _state(rng: Random, made: tuple[Call, ...], content: str = "") -> Step:
    results = [_result(rng, call.name) for call in made]
    if content:
        results = [(content, [])]
    asks = tuple(tool_message(text, index) for index, (text, _) in enumerate(results))
    answer = " ".join(state(text) for text, _ in results)
    values = [value for _, said in results for value in said]
    return Step(asks, answer, "The tool has answered. I state the result.", states(values))


def response(rng: Random, bank: Bank) -> Scene:
    """One call or two, and then the answer that states what came back."""
    scene = two_calls(rng, bank) if rng.random() < 0.15 else one_call(rng, bank)
    last = _state(rng, scene.steps[-1].calls)
    return Scene((*scene.steps, last), tools=scene.tools, gaps=False)


def agent_loop(rng: Random, bank: Bank) -> Scene:
    """A call, its result, a second call that uses it, and the answer; once or twice."""
    first = tool_specs.made_up(rng, count=rng.choice((0, 1, 1, 1, 2)))
    kind = "integer" if rng.random() < 0.4 else "string"
    passed = Parameter(_passed_name(rng), kind, True)
    second = tool_specs.made_up(rng, count=rng.choice((1, 1, 1, 2)), first=passed)
    if first.name == second.name:
        return agent_loop(rng, bank)
    tools = tool_specs.toolbox(rng, [first, second])
    rounds = [_loop_round(rng, bank, first, second, passed) for _ in range(rng.choice((1, 2)))]
    return Scene(tuple(step for steps in rounds for step in steps), tools=tools, gaps=False)


def _loop_round(
    rng: Random, bank: Bank, first: Tool, second: Tool, passed: Parameter
) -> tuple[Step, ...]:
    value: Any = words.integer(rng) if passed.kind == "integer" else _word_value(rng)
    given = tool_specs.arguments(rng, first)
    rest = tool_specs.arguments(rng, second, skip=passed.name)
    clauses = [
        tool_specs.clause(rng, bank, first, given),
        tool_specs.clause(rng, bank, second, rest),
    ]
    asked = _sentence(rng, bank, bank.plain(rng, "chain", a=clauses[0], b=clauses[1]))
    one = (tool_specs.call(first, given),)
    two = (tool_specs.call(second, {**rest, passed.name: value}),)
    return (
        _call_step((user(asked),), one),
        _call_step((tool_message(_passed_result(rng, first.name, value)),), two),
        _state(rng, two),
    )


def _passed_name(rng: Random) -> str:
    return rng.choice(
        ("value", "code", "id", "item", "number", "key", "target", "name", words.made_up(rng))
    )


def _word_value(rng: Random) -> str:
    while True:
        value = words.value(rng)
        if not value.isdigit():
            return value


def _passed_result(rng: Random, name: str, value: Any) -> str:
    kind = rng.random()
    if kind < 0.2:
        return str(value)
    found: Any = {_key(rng): value} if kind < 0.85 else value
    if kind > 0.5:
        found = {"name": name, "content": found}
    return json.dumps(found, ensure_ascii=False)
