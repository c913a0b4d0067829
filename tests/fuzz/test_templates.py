"""Chat templates of any text: a prompt or a clear error, in time, in a process of their own (F3).

`RUNNER_TEST_TEMPLATES` sets how many (40; the full run is 1000).
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.chat.sandbox import ForeignTemplate
from runner.errors import InvalidRequestError, WeightsError

NUM_CASES = int(os.environ.get("RUNNER_TEST_TEMPLATES", "40"))
DEADLINE_S = 0.5
HANG_S = 30.0
SHIPPED = [
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[2] / "runner/chat/templates").glob("*.jinja"))
]
ATOMS = (
    "{{ messages }}", "{{", "}}", "{%", "%}", "{#", "#}", "{% for m in messages %}", "{% endfor %}",
    "{{ m.content }}", "{{ m['role'] }}", "{% if tools %}", "{% endif %}", "{{ nothing.at.all }}",
    "{{ 'a' * 10**8 }}", "{{ range(99999) | list | length }}", "{{ ''.__class__ }}",
    "{{ messages.append(1) }}", "{{ raise_exception('no') }}", "{{ 1/0 }}", "{% set x = x %}",
    "{% include 'x' %}", "{% import 'os' as o %}", "{{ self }}", "{{ cycler.__init__ }}", "\x00",
    "\ud83d", "{{ '%s' % messages }}", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{% call x() %}", "{{ [] | map(attribute='__class__') | list }}",
    "{{ 'x' | format(*range(9)) }}",
    "{{ messages | tojson(indent=10**7) }}", "{{ strftime_now('%' * 999) }}", "<|im_start|>",
)  # fmt: skip
MESSAGES = [{"role": "user", "content": "hi"}]


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Pieces of templates, or one of ours with something put into it."""
    pieces = draw(st.lists(st.sampled_from(ATOMS), max_size=8))
    if draw(st.booleans()):
        return "".join(pieces)
    whole = draw(st.sampled_from(SHIPPED))
    at = draw(st.integers(0, len(whole)))
    return whole[:at] + "".join(pieces[:2]) + whole[at + draw(st.integers(0, 30)) :]


def test_no_template_hurts() -> None:
    outcomes: Counter[str] = Counter()
    taken_s: list[float] = []

    @settings(
        max_examples=NUM_CASES, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(source=sources())
    def try_one(source: str) -> None:
        begun_s = time.monotonic()
        template = None
        try:
            template = ForeignTemplate(source, deadline_s=DEADLINE_S)
            assert isinstance(template.render({"messages": MESSAGES, "tools": None}), str)
            outcomes["rendered"] += 1
        except (WeightsError, InvalidRequestError) as error:
            outcomes[type(error).__name__] += 1
        finally:
            if template is not None:
                template.close()
        taken_s.append(time.monotonic() - begun_s)
        assert taken_s[-1] < HANG_S

    try_one()
    sys.stderr.write(f"templates: {dict(outcomes)}, the slowest {max(taken_s):.2f} s\n")
    assert outcomes["rendered"] and len(outcomes) > 1
