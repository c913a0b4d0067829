"""The provider object: a request may tighten the settings and never loosen them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.config import HostedSettings
from runner.hosted.privacy import join_wishes
from runner.ledger import Price

NAMES = st.lists(st.sampled_from(["nebius", "chutes", "nous"]), max_size=3, unique=True)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "data_collection": st.sampled_from(["allow", "deny", 3]),
        "zdr": st.booleans() | st.none(),
        "only": NAMES | st.none(),
        "max_price": st.fixed_dictionaries({}, optional={"prompt": st.floats(0, 9)}) | st.text(),
        "order": NAMES,
        "sort": st.just("latency"),
        "unheard_of": st.integers(),
    },
)
SETTINGS = st.builds(
    HostedSettings,
    data_collection=st.sampled_from(["allow", "deny"]),
    zdr=st.booleans(),
    only=NAMES.map(tuple),
)


@given(SETTINGS, ASKED)
def test_no_request_loosens_the_settings(settings: HostedSettings, asked: dict[str, Any]) -> None:
    wish = join_wishes(settings, asked, Price(1, 3))
    body = wish.body
    assert body["data_collection"] == "deny" or settings.data_collection == "allow"
    assert not settings.zdr or body["zdr"] is True
    if settings.only:
        assert set(body["only"]) <= set(settings.only)
        assert body["only"] or wish.conflict
    assert body["max_price"]["prompt"] <= 1
    assert body["max_price"]["completion"] == 3
    assert wish.unknown == (("provider.unheard_of",) if "unheard_of" in asked else ())


def test_the_settings_alone_are_sent_with_every_request() -> None:
    body = join_wishes(HostedSettings(only=("nebius",), zdr=True), {}, None).body
    assert body == {"sort": "price", "data_collection": "deny", "zdr": True, "only": ["nebius"]}
