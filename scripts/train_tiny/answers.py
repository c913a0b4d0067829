"""From the text a model wrote to the OpenAI-shaped message that the checks read."""

import json
import re

from .scenes import Message

_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


def message_of(text: str) -> Message:
    """Thoughts, calls and content of an answer."""
    reasoning = ""
    if text.startswith("<think>") and "</think>" in text:
        thought, text = text.removeprefix("<think>").split("</think>", 1)
        reasoning, text = thought.strip("\n"), text.removeprefix("\n")
    made = []
    for found in _CALL.findall(text):
        try:
            call = json.loads(found)
            function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
        except (ValueError, KeyError, TypeError):
            return {"role": "assistant", "content": text, "reasoning": reasoning}
        made.append({"id": f"call_{len(made)}", "type": "function", "function": function})
    content = _CALL.sub("", text).strip("\n") if made else text
    message: Message = {"role": "assistant", "content": content, "reasoning": reasoning}
    if made:
        message["tool_calls"] = made
    return message
