"""LangChain: an answer, a stream, bound tools with their result, structured output, embeddings."""

import asyncio
import os
from typing import Literal

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

SERVER = {"base_url": os.environ["RUNNER_URL"], "api_key": "unused", "max_retries": 0}
MODEL = "hermes-tiny"


class Pet(BaseModel):
    """A pet."""

    kind: Literal["cat", "dog"]
    age: int = Field(ge=0, le=30)


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is 21 degrees in {city}."


chat = ChatOpenAI(model=MODEL, max_tokens=200, **SERVER)

answer = chat.invoke("Hello, who are you?")
assert answer.content
assert answer.usage_metadata["total_tokens"] > 0
assert answer.response_metadata["finish_reason"] in ("stop", "length")

pieces = list(chat.stream("Hello, who are you?", stream_usage=True))
assert "".join(piece.content for piece in pieces) == answer.content
assert sum(piece.usage_metadata is not None for piece in pieces) == 1


async def stream() -> str:
    return "".join([piece.content async for piece in chat.astream("Hello, who are you?")])


assert asyncio.run(stream()) == answer.content

question = HumanMessage("What is the weather in Rome?")
armed = chat.bind_tools([get_weather], tool_choice="required")
call_message = armed.invoke([question])
call = call_message.tool_calls[0]
assert call["name"] == "get_weather"
assert isinstance(call["args"]["city"], str)
assert not call_message.invalid_tool_calls
result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
assert chat.invoke([question, call_message, result]).content

gathered = None
for piece in armed.stream([question]):
    gathered = piece if gathered is None else gathered + piece
assert gathered.tool_calls[0]["args"] == call["args"]

for method in ("json_schema", "function_calling"):
    pet = chat.with_structured_output(Pet, method=method).invoke("Describe a pet.")
    assert isinstance(pet, Pet), (method, pet)

embeddings = OpenAIEmbeddings(model=MODEL, check_embedding_ctx_length=False, **SERVER)
assert len(embeddings.embed_documents(["One", "Two"])) == 2
