"""A caller's own mistakes, found before anything leaves and by the rules of this machine's answers.

Owns what is looked at; the rules are the chat room's. Knows no provider. Invariant: a request that
contradicts itself costs nothing, but what only this machine cannot enforce is no mistake.
"""

from __future__ import annotations

from dataclasses import replace

from runner.chat.format import find_format
from runner.chat.turn import prepare
from runner.types import ChatPrompt, GenerateRequest, ResponseFormat, Tool

USUAL_FORMAT = "hermes_chatml"


def refuse_mistakes(request: GenerateRequest, chat_format: str | None) -> None:
    """Raise `InvalidRequestError` for a request that contradicts itself.

    Schemas are left out: a provider may enforce more of them than this machine does.
    """
    chat = request.prompt
    if not isinstance(chat, ChatPrompt):
        return
    if chat.tool_choice.mode == "auto" and not chat.continue_final_message:
        return  # nothing that could be at odds
    bare = replace(chat, tools=tuple(Tool(tool.name) for tool in chat.tools))
    is_free = request.response_format.kind == "text"
    wish = ResponseFormat("text" if is_free else "json_object")
    prepare(
        replace(request, prompt=bare, response_format=wish),
        find_format(chat_format or USUAL_FORMAT),
    )
