"""Hosted companies: one small class each, on a common base.

Owns addresses, key variables, dialects and what is known of each host's abilities. Sends
nothing. Invariant: a key goes into the headers of its own provider's requests and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from runner.catalog import HostedOffer
from runner.config import HostedSettings, ProviderSettings
from runner.ledger import Price
from runner.types import GenerateRequest, JsonObject

from .pricing import price_of
from .privacy import ProviderWish, join_wishes

BASIC = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "stop",
        "seed",
    }
)
SMALL_CONTEXT = 8192  # endpoints up to this compress prompts in silence unless told not to
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a provider adds of its own to a request, and why it cannot take it."""

    body: JsonObject
    refusals: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class Provider:
    """An OpenAI-compatible host."""

    name: str = ""
    default_url: ClassVar[str] = ""
    default_key_env: ClassVar[str] = ""
    parameters: ClassVar[frozenset[str]] = BASIC
    names_cost: ClassVar[bool] = False
    keeps_no_data: ClassVar[bool] = False
    needs_key: bool = True

    def __init__(self, environ: Mapping[str, str], own: ProviderSettings | None = None) -> None:
        own = own or ProviderSettings()
        self.base_url = (own.base_url or self._address(environ)).rstrip("/")
        self.key_env = own.api_key_env or self.default_key_env
        self.key = environ.get(self.key_env, "").strip() if self.key_env else ""
        self.ids = own.models

    def _address(self, environ: Mapping[str, str]) -> str:
        return self.default_url

    def price(self, offer: HostedOffer) -> Price | None:
        """What the offer costs."""
        return price_of(offer)

    def abilities(self, offer: HostedOffer) -> frozenset[str]:
        """The parameters it honours for a model: as listed, else as the host is known for."""
        known = set(self.parameters if offer.parameters is None else offer.parameters)
        for has, names in (
            (offer.has_tools, ("tools", "tool_choice")),
            (offer.has_json_schema, ("structured_outputs", "response_format")),
        ):
            if has is True:
                known.update(names)
            elif has is False:
                known.difference_update(names[:1])
        return frozenset(known)

    def terms(
        self,
        request: GenerateRequest,
        offer: HostedOffer,
        settings: HostedSettings,
    ) -> Terms:
        """The provider's own part of the body; a host without privacy switches may be refused."""
        refusals = []
        if settings.only and self.name not in settings.only:
            refusals.append("[hosted] only does not name it")
        wants_zdr = settings.zdr or request.provider.get("zdr") is True
        if wants_zdr and not self.keeps_no_data:
            refusals.append("zdr is asked for, and it makes no such promise per request")
        ignored = ("provider",) if request.provider else ()
        return Terms({"stream_options": {"include_usage": True}}, tuple(refusals), ignored)

    def headers(self) -> dict[str, str]:
        """What authorises a request; nothing that would name this program's user."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def missing(self) -> str | None:
        """What is not set up; None when it could be asked."""
        if self.needs_key and not self.key:
            return f"no key; set {self.key_env}"
        if not self.base_url.startswith(("https://", "http://")):
            return f"its address {self.base_url!r} is no URL; set [providers.{self.name}] base_url"
        if self.key and any(not " " < letter <= "~" for letter in self.key):
            return f"the key in {self.key_env} holds characters no key has"
        if self.key and self.base_url.startswith("http://") and not self._is_near():
            return "its address is http://, which would show the key to everybody on the way"
        return None

    def _is_near(self) -> bool:
        return urlsplit(self.base_url).hostname in ("127.0.0.1", "::1", "localhost")


class OpenRouter(Provider):
    """openrouter.ai: many hosts behind one address, with privacy and price switches."""

    name = "openrouter"
    default_url = "https://openrouter.ai/api/v1"
    default_key_env = "OPENROUTER_API_KEY"
    parameters = BASIC | {"top_k", "repetition_penalty", "response_format"}
    names_cost = True

    def _address(self, environ: Mapping[str, str]) -> str:
        return environ.get("OPENROUTER_BASE_URL") or self.default_url

    def terms(
        self, request: GenerateRequest, offer: HostedOffer, settings: HostedSettings
    ) -> Terms:
        """The `provider` object, always; prompts are never compressed behind our back."""
        wish: ProviderWish = join_wishes(settings, request.provider, self.price(offer))
        body: JsonObject = {"provider": wish.body}
        if offer.context is not None and offer.context <= SMALL_CONTEXT:
            body["plugins"] = [{"id": "context-compression", "enabled": False}]
        refusals = (wish.conflict,) if wish.conflict else ()
        return Terms(body, refusals, wish.unknown)


class Nous(Provider):
    """Nous Research's own portal; tool calls come as text in the content."""

    name = "nous"
    default_url = "https://inference-api.nousresearch.com/v1"
    default_key_env = "NOUS_API_KEY"
    parameters = BASIC - {"stop", "seed"}


class Nebius(Provider):
    """Nebius Token Factory: native tools and structured output; aborted streams are billed."""

    name = "nebius"
    default_url = "https://api.tokenfactory.nebius.com/v1"
    default_key_env = "NEBIUS_API_KEY"
    parameters = BASIC | {"tools", "tool_choice", "response_format", "structured_outputs"}


class Together(Provider):
    """together.ai."""

    name = "together"
    default_url = "https://api.together.xyz/v1"
    default_key_env = "TOGETHER_API_KEY"
    parameters = BASIC | {"top_k", "repetition_penalty"}


class DeepInfra(Provider):
    """deepinfra.com."""

    name = "deepinfra"
    default_url = "https://api.deepinfra.com/v1/openai"
    default_key_env = "DEEPINFRA_API_KEY"
    parameters = BASIC | {"repetition_penalty"}


class Chutes(Provider):
    """chutes.ai: vLLM and SGLang on borrowed machines."""

    name = "chutes"
    default_url = "https://llm.chutes.ai/v1"
    default_key_env = "CHUTES_API_KEY"
    parameters = BASIC | {"top_k", "min_p", "repetition_penalty"}


class OwnCluster(Provider):
    """Any OpenAI-compatible address of one's own, such as vLLM or SGLang; it costs nothing."""

    parameters = BASIC | {
        "top_k",
        "min_p",
        "repetition_penalty",
        "response_format",
        "structured_outputs",
        "logit_bias",
    }
    keeps_no_data = True
    needs_key = False

    def __init__(self, name: str, environ: Mapping[str, str], own: ProviderSettings) -> None:
        super().__init__(environ, own)
        self.name = name
        self.needs_key = own.api_key_env is not None

    def price(self, offer: HostedOffer) -> Price | None:
        """Nothing, unless the catalogue has a dated price for it."""
        if offer.as_of is None and offer.id in self.ids.values():
            return Price(0.0, 0.0)
        return price_of(offer)

    def terms(
        self, request: GenerateRequest, offer: HostedOffer, settings: HostedSettings
    ) -> Terms:
        """Nothing to refuse: it is the user's own machine."""
        ignored = ("provider",) if request.provider else ()
        return Terms({"stream_options": {"include_usage": True}}, (), ignored)

    def _is_near(self) -> bool:
        return True  # whoever writes the address down decides how it is reached


KNOWN: tuple[type[Provider], ...] = (OpenRouter, Nous, Nebius, Together, DeepInfra, Chutes)


def build_providers(
    settings: Mapping[str, ProviderSettings], environ: Mapping[str, str]
) -> tuple[Provider, ...]:
    """Every known provider, and every one of the user's own."""
    known = {kind.name: kind for kind in KNOWN}
    ours = [kind(environ, settings.get(name)) for name, kind in known.items()]
    own = [
        OwnCluster(name, environ, table) for name, table in settings.items() if name not in known
    ]
    return (*ours, *own)
