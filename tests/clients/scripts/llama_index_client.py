"""LlamaIndex's OpenAILike: chat, stream, completion, tools and structured output."""

import os
from typing import Literal

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field


class Pet(BaseModel):
    """A pet."""

    kind: Literal["cat", "dog"]
    age: int = Field(ge=0, le=30)


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is 21 degrees in {city}."


llm = OpenAILike(
    model="hermes-tiny",
    api_base=os.environ["RUNNER_URL"],
    api_key="unused",
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=2048,
    max_tokens=200,
    max_retries=0,
)
hello = [ChatMessage(role="user", content="Hello, who are you?")]

answer = llm.chat(hello)
assert answer.message.content
pieces = list(llm.stream_chat(hello))
assert "".join(piece.delta or "" for piece in pieces)
assert llm.complete("Hello, who are you?").text

tool = FunctionTool.from_defaults(fn=get_weather)
response = llm.chat_with_tools([tool], user_msg="What is the weather in Rome?", tool_required=True)
calls = llm.get_tool_calls_from_response(response)
assert calls[0].tool_name == "get_weather"
assert isinstance(calls[0].tool_kwargs["city"], str)

pet = llm.as_structured_llm(Pet).chat([ChatMessage(role="user", content="Describe a pet.")])
assert isinstance(pet.raw, Pet)
