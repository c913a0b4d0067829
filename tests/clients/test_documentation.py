"""`docs/clients.md` says what works: every example on the page is run as it stands.

Only the address is changed to that of the test's server. Configuration files of programs too
large to start here are read, and the requests those programs would send are sent instead.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.api.caller import Caller, chat_body
from tests.serving import Server

from . import environment
from .conftest import Bench

pytestmark = pytest.mark.timeout(environment.SETUP_TIMEOUT_S)

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
ADDRESS = re.compile(r"http://(127\.0\.0\.1|host\.docker\.internal):8000")
FENCE = re.compile(r"^## (?P<title>[^\n]+)$|^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Example:
    """A fenced block of the page."""

    section: str
    language: str
    code: str


def examples() -> list[Example]:
    """Every fenced block, with the section that it stands in."""
    found, section = [], ""
    for match in FENCE.finditer(PAGE.read_text()):
        if match["title"]:
            section = match["title"]
        else:
            found.append(Example(section, match["language"], match["code"]))
    return found


def of(section: str, language: str) -> list[Any]:
    """The examples of one section and language, as parameters."""
    chosen = [item for item in examples() if (item.section, item.language) == (section, language)]
    assert chosen, f"{section} has no example in {language}"
    return [pytest.param(item.code, id=f"{section} {n}") for n, item in enumerate(chosen)]


PYTHON = [
    *of("OpenAI for Python", "python"),
    *of("LangChain", "python"),
    *of("LlamaIndex", "python"),
]
JAVASCRIPT = [*of("OpenAI for Node", "js"), *of("Vercel AI SDK", "js")]
CURL = of("curl", "sh")
(LITELLM,) = of("LiteLLM", "yaml")
(LLM_MODELS,) = of("llm", "yaml")
(LLM_COMMAND,) = of("llm", "sh")
(OPEN_WEBUI,) = of("Open WebUI", "sh")
(LIBRECHAT,) = of("LibreChat", "yaml")


def here(code: str, server: Server) -> str:
    """The example with the test server's address."""
    changed, count = ADDRESS.subn(server.origin, code)
    assert count
    return changed


def test_every_example_of_the_page_is_run() -> None:
    run = [*PYTHON, *JAVASCRIPT, *CURL, LITELLM, LLM_MODELS, LLM_COMMAND, OPEN_WEBUI, LIBRECHAT]
    assert sorted(item.values[0] for item in run) == sorted(item.code for item in examples())


@pytest.mark.parametrize("code", PYTHON)
def test_python_examples_print_something(python_bench: Bench, code: str) -> None:
    assert python_bench.run("python", "-c", here(code, python_bench.server)).strip()


@pytest.mark.parametrize("code", JAVASCRIPT)
def test_javascript_examples_print_something(node_bench: Bench, code: str) -> None:
    (node_bench.folder / "example.mjs").write_text(here(code, node_bench.server))
    assert node_bench.run("node", "example.mjs").strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("code", CURL)
def test_curl_examples_answer(shell: Bench, code: str) -> None:
    output = shell.run("sh", "-c", here(code, shell.server))
    if "stream" in code:
        assert output.endswith("data: [DONE]\n\n")
    else:
        assert json.loads(output)["choices"]


@pytest.mark.parametrize("models", [LLM_MODELS])
@pytest.mark.parametrize("command", [LLM_COMMAND])
def test_llm_example_answers(python_bench: Bench, models: str, command: str) -> None:
    (python_bench.folder / "llm").mkdir()
    settings = python_bench.folder / "llm" / "extra-openai-models.yaml"
    settings.write_text(here(models, python_bench.server))
    assert python_bench.run("sh", "-c", command).strip()


@pytest.mark.parametrize("code", [LITELLM])
def test_litellm_example_leads_to_an_answer(shared_server: Server, code: str) -> None:
    (row,) = yaml.safe_load(here(code, shared_server))["model_list"]
    target = row["litellm_params"]
    kind, _, model = target["model"].partition("/")
    assert kind == "openai"
    answer = httpx.post(
        f"{target['api_base']}/chat/completions",
        json={**chat_body(), "model": model},
        headers={"Authorization": f"Bearer {target['api_key']}"},
        timeout=60,
    )
    assert answer.json()["choices"]


@pytest.mark.parametrize("code", [OPEN_WEBUI])
def test_open_webui_example_leads_to_the_models(shared_server: Server, code: str) -> None:
    variables = dict(re.findall(r"-e (\w+)=(\S+)", here(code, shared_server)))
    headers = {"Authorization": f"Bearer {variables['OPENAI_API_KEY']}"}
    answer = httpx.get(f"{variables['OPENAI_API_BASE_URL']}/models", headers=headers, timeout=10)
    assert answer.json()["data"]


@pytest.mark.parametrize("code", [LIBRECHAT])
def test_librechat_example_leads_to_the_models(caller: Caller, code: str) -> None:
    (endpoint,) = yaml.safe_load(here(code, caller.server))["endpoints"]["custom"]
    listed = httpx.get(f"{endpoint['baseURL']}/models", timeout=10).json()["data"]
    assert endpoint["models"]["default"][0] in [model["id"] for model in listed]
