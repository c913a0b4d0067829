"""Requests of programs too large to start here, replayed in the shapes that their sources send.

Open WebUI: `backend/open_webui/routers/openai.py` (drops `metadata`, adds user headers, lists
models from `/models`), `routers/tasks.py` (titles, tags, follow-ups), `utils/payload.py` and
`utils/middleware.py` (model parameters, tools native or by prompt).
LibreChat: `danny-avila/agents`, `src/utils/title.ts` (titles by structured output, or plain), and
LangChain's `ChatOpenAI` for the chat itself. LiteLLM: its `openai/` provider over the OpenAI SDK.
The prompts are our own words; the fields and their values are theirs.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.api.caller import MODEL, Caller, tool

CHAT = "/v1/chat/completions"
KEY = {"Authorization": "Bearer sk-anything"}
TALK = [
    {"role": "user", "content": "Hello, who are you?"},
    {"role": "assistant", "content": "I am hermes-tiny."},
    {"role": "user", "content": "What is the weather in Rome?"},
]
HISTORY = "\n".join(f"{message['role'].upper()}: {message['content']}" for message in TALK)
TASKS = {
    "title": '### Task:\nWrite a title for the chat. Output JSON: {"title": "..."}\n',
    "tags": '### Task:\nName the topics of the chat. Output JSON: {"tags": ["a", "b"]}\n',
    "follow_ups": '### Task:\nSuggest questions. Output JSON: {"follow_ups": ["a?", "b?"]}\n',
}


class TestOpenWebUi:
    """What Open WebUI sends to an OpenAI connection."""

    HEADERS = {
        **KEY,
        "X-OpenWebUI-User-Name": "Jo",
        "X-OpenWebUI-User-Id": "6b1c",
        "X-OpenWebUI-User-Email": "jo@example.org",
        "X-OpenWebUI-User-Role": "user",
        "X-OpenWebUI-Chat-Id": "9f2e",
    }

    def test_the_model_list_has_what_it_reads(self, caller: Caller) -> None:
        listed = caller.http.get("/v1/models", headers=self.HEADERS).json()
        assert isinstance(listed["data"], list)
        assert all(isinstance(model["id"], str) for model in listed["data"])
        assert MODEL in [model["id"] for model in listed["data"]]

    def test_a_chat_is_streamed_with_its_parameters(self, caller: Caller) -> None:
        body = {
            "stream": True,
            "model": MODEL,
            "messages": [{"role": "system", "content": "Be brief."}, *TALK],
            "stream_options": {"include_usage": True},
            "temperature": 0.8,
            "top_p": 0.9,
            "max_tokens": 60,
            "frequency_penalty": 0.1,
            "presence_penalty": 0.1,
            "min_p": 0.05,
            "seed": 7,
            "stop": ["</end>"],
            "reasoning_effort": "low",
            "logit_bias": {"5": 1},
        }
        stream = caller.stream(CHAT, body, self.HEADERS)
        assert stream.is_done
        assert stream.chunks[-1]["x_route"]["ignored"] == []
        assert stream.chunks[-1]["usage"]["total_tokens"] > 0
        for delta in stream.deltas():  # its fold shows either name
            assert delta.get("reasoning_content") == delta.get("reasoning")

    @pytest.mark.parametrize("task", TASKS)
    def test_titles_tags_and_follow_ups_are_answered_whole(self, caller: Caller, task: str) -> None:
        content = f"{TASKS[task]}### Chat History:\n<chat_history>\n{HISTORY}\n</chat_history>"
        body: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": content}],
            "stream": False,
            "max_completion_tokens": 1000 if task == "title" else 300,
        }
        answer = caller.json(CHAT, body, self.HEADERS)
        assert answer["x_route"]["ignored"] == []
        assert isinstance(answer["choices"][0]["message"]["content"], str)
        assert "<think>" not in answer["choices"][0]["message"]["content"]

    def test_native_tools_are_called_and_their_results_read(self, caller: Caller) -> None:
        body = {
            "stream": True,
            "model": MODEL,
            "messages": TALK,
            "tools": [tool()],
            "tool_choice": "required",
            "max_tokens": 200,
        }
        stream = caller.stream(CHAT, body, self.HEADERS)
        calls: dict[int, dict[str, str]] = {}
        for delta in stream.deltas():  # gathered by index, as its middleware does
            for piece in delta.get("tool_calls", []):
                call = calls.setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
                call["id"] = piece.get("id") or call["id"]
                call["name"] += piece["function"].get("name") or ""
                call["arguments"] += piece["function"].get("arguments") or ""
        jsonschema.validate(json.loads(calls[0]["arguments"]), tool()["function"]["parameters"])
        shown = [
            {
                "id": call["id"],
                "type": "function",
                "index": index,
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for index, call in calls.items()
        ]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "21 degrees"}
            for call in calls.values()
        ]
        turn = {"role": "assistant", "content": "", "tool_calls": shown}
        messages = [*TALK, turn, *results]
        follow = caller.stream(CHAT, {**body, "messages": messages, "tool_choice": "none"})
        assert follow.is_done
        assert follow.text()

    def test_tools_by_prompt_are_plain_text(self, caller: Caller) -> None:
        system = f"Available Tools: {json.dumps([tool()['function']])}\nAnswer with JSON."
        query = f"Query: History:\n{HISTORY}\nQuery: What is the weather in Rome?"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": query}]
        body = {"model": MODEL, "messages": messages, "stream": False, "max_tokens": 120}
        assert "tool_calls" not in caller.json(CHAT, body)["choices"][0]["message"]

    def test_leaving_before_the_end_is_no_error(self, caller: Caller) -> None:
        body = {"model": MODEL, "messages": TALK, "stream": True, "max_tokens": 2000}
        with caller.http.stream("POST", CHAT, json=body) as response:
            assert response.status_code == 200


class TestLibreChat:
    """What LibreChat's agents send, by way of LangChain for JavaScript."""

    SCHEMA = {
        "type": "object",
        "properties": {"title": {"type": "string", "maxLength": 40}},
        "required": ["title"],
        "additionalProperties": False,
        "$schema": "http://json-schema.org/draft-07/schema#",
    }
    TITLE = f"Give this conversation a title of five words at most.\n\n{HISTORY}"

    def body(self, **fields: Any) -> dict[str, Any]:
        """A title request."""
        messages = [{"role": "user", "content": self.TITLE}]
        return {"model": MODEL, "messages": messages, "max_tokens": 120, "user": "66f0", **fields}

    def test_the_model_list_is_fetched(self, caller: Caller) -> None:
        listed = caller.http.get("/v1/models", headers=KEY).json()["data"]
        assert MODEL in [model["id"] for model in listed]

    def test_a_chat_is_streamed_with_usage(self, caller: Caller) -> None:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "temperature": 1,
            "top_p": 1,
            "frequency_penalty": 0,
            "presence_penalty": 0,
            "n": 1,
            "user": "66f0",
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 40,
        }
        stream = caller.stream(CHAT, body, KEY)
        assert stream.is_done
        assert stream.text()
        assert stream.chunks[-1]["usage"]["completion_tokens"] > 0

    def test_a_title_comes_by_function_calling(self, caller: Caller) -> None:
        function = {"name": "extract", "description": "", "parameters": self.SCHEMA}
        answer = caller.json(
            CHAT,
            self.body(
                tools=[{"type": "function", "function": function}],
                tool_choice={"type": "function", "function": {"name": "extract"}},
                stream=False,
            ),
        )
        call = answer["choices"][0]["message"]["tool_calls"][0]
        jsonschema.validate(json.loads(call["function"]["arguments"]), self.SCHEMA)

    def test_a_title_comes_by_json_schema(self, caller: Caller) -> None:
        named = {"name": "extract", "schema": self.SCHEMA, "strict": True}
        wish = {"type": "json_schema", "json_schema": named}
        answer = caller.json(CHAT, self.body(response_format=wish))
        content = json.loads(answer["choices"][0]["message"]["content"])
        jsonschema.validate(content, self.SCHEMA)

    def test_a_title_comes_as_plain_text(self, caller: Caller) -> None:
        answer = caller.json(CHAT, self.body())
        assert answer["choices"][0]["message"]["content"]


class TestLiteLlm:
    """What LiteLLM's `openai/` provider sends, and what it needs to translate errors."""

    HEADERS = {**KEY, "User-Agent": "AsyncOpenAI/Python 2.0.0", "X-Stainless-Async": "async:httpx"}

    def test_whole_and_streamed_answers(self, caller: Caller) -> None:
        body = {"model": MODEL, "messages": TALK, "max_tokens": 24, "temperature": 0.2}
        assert caller.json(CHAT, body, self.HEADERS)["usage"]["total_tokens"] > 0
        options = {"stream_options": {"include_usage": True}}
        stream = caller.stream(CHAT, {**body, **options}, self.HEADERS)
        assert stream.chunks[-1]["usage"]["total_tokens"] > 0

    def test_embeddings_as_numbers(self, caller: Caller) -> None:
        body = {"model": MODEL, "input": ["One"], "encoding_format": "float"}
        answer = caller.json("/v1/embeddings", body, self.HEADERS)
        assert isinstance(answer["data"][0]["embedding"][0], float)

    def test_its_context_window_error_finds_the_code(self, caller: Caller) -> None:
        messages = [{"role": "user", "content": "hello " * 9000}]
        error = caller.refused(CHAT, {"model": MODEL, "messages": messages}, self.HEADERS)
        assert error["code"] == "context_length_exceeded"
