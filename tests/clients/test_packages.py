"""LangChain, LlamaIndex, `llm`, the node packages and curl, each as its users run it."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.api.caller import MODEL

from . import environment
from .conftest import SCRIPTS, Bench

pytestmark = pytest.mark.timeout(environment.SETUP_TIMEOUT_S)


@pytest.mark.parametrize("script", ["langchain_client.py", "llama_index_client.py"])
def test_python_client_finishes_its_script(python_bench: Bench, script: str) -> None:
    python_bench.run("python", str(SCRIPTS / script))


@pytest.mark.parametrize("script", ["openai_client.mjs", "ai_sdk_client.mjs"])
def test_node_client_finishes_its_script(node_bench: Bench, script: str) -> None:
    shutil.copy(SCRIPTS / script, node_bench.folder)
    node_bench.run("node", script)


def configure_llm(bench: Bench) -> None:
    """Tell `llm` of the server, as its documentation says."""
    folder = bench.folder / "llm"
    folder.mkdir()
    (folder / "extra-openai-models.yaml").write_text(
        f"- model_id: {MODEL}\n  model_name: {MODEL}\n  api_base: {bench.server.url}\n"
        "  supports_schema: true\n  supports_tools: true\n"
    )


def test_llm_answers_streamed_and_not(python_bench: Bench) -> None:
    configure_llm(python_bench)
    command = ("llm", "-m", MODEL, "-o", "max_tokens", "24", "Hello, who are you?")
    streamed = python_bench.run(*command)
    assert streamed.strip()
    assert python_bench.run(*command, "--no-stream") == streamed


def test_llm_gets_an_answer_that_fits_a_schema(python_bench: Bench) -> None:
    configure_llm(python_bench)
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["cat", "dog"]}},
        "required": ["kind"],
    }
    options = ("-m", MODEL, "--schema", json.dumps(schema), "--no-stream")
    answer = json.loads(python_bench.run("llm", *options, "Describe a pet."))
    assert answer["kind"] in ("cat", "dog")


def test_llm_runs_a_tool(python_bench: Bench) -> None:
    configure_llm(python_bench)
    function = (
        'def get_weather(city: str) -> str:\n    "Get the weather in a city."\n    return city'
    )
    options = ("-m", MODEL, "--functions", function, "--no-stream")
    assert python_bench.run("llm", *options, "What is the weather in Rome?").strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_answers_and_streams_without_buffering(shell: Bench) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    command = ("curl", "-sfN", f"{shell.server.url}/chat/completions")
    headers = ("-H", "Content-Type: application/json")
    answer = json.loads(shell.run(*command, *headers, "-d", json.dumps(body)))
    assert answer["choices"][0]["message"]["content"]
    stream = shell.run(*command, *headers, "-d", json.dumps({**body, "stream": True}))
    assert stream.endswith("data: [DONE]\n\n")


def test_no_lock_file_names_where_packages_come_from() -> None:
    lock = json.loads((environment.NODE / "package-lock.json").read_text())
    assert not any("resolved" in package for package in lock["packages"].values())
    lines = environment.REQUIREMENTS.read_text().splitlines()
    assert all("==" in line and "://" not in line for line in lines)
