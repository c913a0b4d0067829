"""Jinja chat templates as Hugging Face's tokenizers run them: the environment, and a child.

Owns rendering one source with one context within an output limit. Run as a program it renders
for its parent, one JSON line in and one out, under memory and processor limits. It imports
nothing of the runner, so that the child needs no more than this file.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_OUTPUT_CHARS = 8 * 2**20
MAX_SOURCE_CHARS = 2**20
MEMORY_BYTES = 2**29
CPU_S = 3600


class RefusedError(Exception):
    """The template itself refused the conversation (`raise_exception`)."""


class OutputLimitError(Exception):
    """The template wrote more than it may."""


class GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks training text; here it changes nothing."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        """The body alone."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def build_environment() -> ImmutableSandboxedEnvironment:
    """Settings, filters and functions as chat templates expect them."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationTag]
    )
    environment.filters["tojson"] = write_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def write_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes, unlike Jinja's own filter."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def render(template: jinja2.Template, context: dict[str, Any]) -> str:
    """The rendered text; raises `OutputLimitError` instead of growing without end."""
    parts: list[str] = []
    size = 0
    for part in template.generate(**context):
        size += len(part)
        if size > MAX_OUTPUT_CHARS:
            raise OutputLimitError
        parts.append(part)
    return "".join(parts)


def _refuse(message: str) -> NoReturn:
    raise RefusedError(str(message)[:300])


def _answer(environment: ImmutableSandboxedEnvironment, line: str) -> dict[str, str]:
    """One request's answer: `text`, or a `fault` with its kind."""
    request = json.loads(line)
    try:
        template = environment.from_string(request["source"])
        return {"text": render(template, request["context"])}
    except RefusedError as error:
        return {"fault": "refused", "detail": str(error)}
    except jinja2.TemplateSyntaxError as error:
        return {"fault": "syntax", "detail": f"line {error.lineno}: {error.message}"[:300]}
    except SecurityError:
        return {"fault": "syntax", "detail": "it reaches for what it must not touch"}
    except (MemoryError, OutputLimitError):
        return {"fault": "limit", "detail": ""}
    except Exception as error:  # whatever foreign code raises is its own fault
        return {"fault": "failed", "detail": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """Serve the parent until it closes our input."""
    environment = build_environment()
    _limit_resources()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(environment, line)) + "\n")
        sys.stdout.flush()


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # only POSIX has it; elsewhere the deadline and output limit remain
        return
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main()
