"""Frozen settings, and where each value came from.

Order: flags, then `RUNNER_*` environment, then `runner.toml`, then defaults. Owns merging and
checking; does not know what any setting is used for. Secrets are never settings: of providers'
keys the names of their environment variables are, of our own API keys the digests. Invariant: an
unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from runner.errors import ConfigError

Auto = Literal["auto"]
FallbackCause = Literal[
    "does_not_fit", "not_installed", "load_failed", "crashed", "busy", "context"
]
PositiveInt = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Usd = Annotated[float, Field(ge=0)]

DIGEST = "sha256:"
ENV_PREFIX = "RUNNER_"
ENV_SHORT = {
    "OFFLINE": "offline",
    "HOME": "home",
    "HOST": "server.host",
    "PORT": "server.port",
    "API_KEY": "server.api_key",
    "CTX": "engine.context",
}


def seal(key: str) -> str:
    """What is kept of an API key: `sha256:` and 64 hex digits, which may also be given instead.

    Raises:
        ValueError: no header could carry it, or it begins like a digest and is none.
    """
    if key.startswith(DIGEST):
        if re.fullmatch(r"[0-9a-fA-F]{64}", key.removeprefix(DIGEST)) is None:
            raise ValueError("after 'sha256:' there have to be 64 hex digits")
        return key.lower()
    if not key or key != key.strip():
        raise ValueError("an API key must not be empty, nor begin or end with a space")
    return DIGEST + hashlib.sha256(key.encode("utf-8")).hexdigest()


SealedKey = Annotated[str, AfterValidator(seal)]


class Section(BaseModel):
    """A frozen table of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BudgetSettings(Section):
    """Caps on hosted spending; None means no cap."""

    daily_usd: Usd | None = None
    monthly_usd: Usd | None = None
    per_request_usd: Usd | None = None


class KeySettings(BudgetSettings):
    """One API key: its digest, its pace, and its share of the money. None means no cap."""

    key: SealedKey = Field(repr=False)
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None


def _with_pace(key: object) -> object:
    """A key alone stands for one without limits of its own."""
    return {"key": key} if isinstance(key, str) else key


class ServerSettings(Section):
    """Where the API listens and who may call it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    api_key: SealedKey | None = Field(default=None, repr=False)
    api_keys: dict[str, Annotated[KeySettings, BeforeValidator(_with_pace)]] = Field(
        default_factory=dict, repr=False
    )
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    allow_open_network: bool = False
    max_body_bytes: PositiveInt = 8 * 2**20
    max_open_requests: PositiveInt = 256
    auto_pull: bool = False  # the first request for a catalogued model fetches its weights
    stop_timeout_s: Seconds = 10.0


class EngineSettings(Section):
    """How weights are loaded; `auto` leaves the choice to the plan."""

    context: PositiveInt | Auto = "auto"
    parallel: PositiveInt | Auto = "auto"
    threads: PositiveInt | Auto = "auto"
    gpu_layers: Annotated[int, Field(ge=-1)] | Auto = "auto"
    kv_type: Literal["f16", "q8_0", "q4_0", "auto"] = "auto"
    memory_budget: PositiveInt | Auto = "auto"
    ttl_s: Seconds | None = None
    prefix_disk_bytes: Annotated[int, Field(ge=0)] = 2 * 2**30
    draft: bool = True
    queue: PositiveInt = 64


class SamplingSettings(Section):
    """Sampling defaults of one model, over the catalogue's."""

    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None


class ModelSettings(Section):
    """What is set for one model only."""

    engine: EngineSettings = EngineSettings()
    sampling: SamplingSettings = SamplingSettings()


class FallbackSettings(Section):
    """Which local outcomes may send a request to a hosted provider."""

    on: tuple[FallbackCause, ...] = ("does_not_fit",)
    continue_streams: bool = True
    max_attempts: PositiveInt = 3


class HostedSettings(Section):
    """Privacy, order and patience towards hosted providers."""

    data_collection: Literal["allow", "deny"] = "deny"
    zdr: bool = False
    only: tuple[str, ...] = ()
    sort: Literal["price", "latency", "throughput"] = "price"
    connect_timeout_s: Seconds = 5
    first_token_timeout_s: Seconds = 30
    idle_timeout_s: Seconds = 60
    total_timeout_s: Seconds = 600


class ProviderSettings(Section):
    """The address of a known provider, or a whole provider of one's own."""

    base_url: str | None = None
    api_key_env: str | None = None
    models: dict[str, str] = Field(default_factory=dict)


class Settings(Section):
    """Every setting. Built by `load`; passed in, never looked up."""

    offline: bool = False
    home: Path | None = None
    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    fallback: FallbackSettings = FallbackSettings()
    hosted: HostedSettings = HostedSettings()
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    budget: BudgetSettings = BudgetSettings()

    @property
    def state_dir(self) -> Path:
        """The folder of everything the runner remembers (`RUNNER_HOME`)."""
        return self.home if self.home is not None else default_home(os.environ)

    def engine_for(self, model: str) -> EngineSettings:
        """The engine settings of one model: its own where set, else the general ones."""
        own = self.models.get(model)
        if own is None:
            return self.engine
        return self.engine.model_copy(
            update={name: getattr(own.engine, name) for name in own.engine.model_fields_set}
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the origin of every value that is not a default, by dotted path."""

    settings: Settings
    origins: Mapping[str, str]


def default_home(environ: Mapping[str, str]) -> Path:
    """`$RUNNER_HOME`, else the user's state folder as XDG has it."""
    if environ.get("RUNNER_HOME"):
        return Path(environ["RUNNER_HOME"]).expanduser()
    state = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "hermes-runner"


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    folder: Path | None = None,
) -> Loaded:
    """Merge all sources; `flags` are dotted paths to values, None meaning not given.

    Raises:
        ConfigError: a file cannot be read, or a key or value is wrong; the source is named.
    """
    environ = os.environ if environ is None else environ
    layers = [
        *_file_layers(config_file, folder or Path.cwd(), environ),
        ("environment", _from_environ(environ)),
        (
            "flag",
            {path: value for path, value in (flags or {}).items() if value is not None},
        ),
    ]
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, values in layers:
        for path, value in values.items():
            _place(merged, path, value)
            origins[path] = origin
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_describe(error, origins)) from None
    return Loaded(settings=settings, origins=origins)


def _file_layers(
    config_file: Path | None, folder: Path, environ: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The user's file, then the folder's, or only the one that was named."""
    if config_file is not None:
        if not config_file.is_file():
            raise ConfigError(f"there is no settings file {config_file}; check --config")
        yield str(config_file), _from_toml(config_file)
        return
    user = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    for path in (user / "hermes-runner" / "runner.toml", folder / "runner.toml"):
        if path.is_file():
            yield str(path), _from_toml(path)


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        return dict(_leaves(tomllib.loads(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None


def _leaves(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten to dotted paths; a model id may hold dots, so parts are joined by NUL."""
    for key, value in table.items():
        here = f"{path}\0{key}" if path else key
        if isinstance(value, dict) and value:
            yield from _leaves(value, here)
        else:
            yield here, value


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """`RUNNER_ENGINE__CONTEXT=4096` and the short forms; comma lists where a tuple is due."""
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or not text:
            continue
        rest = name.removeprefix(ENV_PREFIX)
        path = ENV_SHORT.get(rest, rest.lower().replace("__", "."))
        if "." in path or path in Settings.model_fields:
            values[path] = text.split(",") if _wants_list(path) else text
    return values


def _wants_list(path: str) -> bool:
    return path in {
        "server.allowed_hosts",
        "server.allowed_origins",
        "fallback.on",
        "hosted.only",
    }


def _place(tree: dict[str, Any], path: str, value: Any) -> None:
    parts = path.split("\0") if "\0" in path else path.split(".")
    for part in parts[:-1]:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict):
            child = tree[part] = {}
        tree = child
    tree[parts[-1]] = value


def _describe(error: ValidationError, origins: Mapping[str, str]) -> str:
    """One sentence for the first fault, with the source and the nearest key."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"] if part != "auto")
    known = {key.replace("\0", "."): origin for key, origin in origins.items()}
    source = next((origin for key, origin in known.items() if path.startswith(key)), None)
    where = f" (from {source})" if source else ""
    if first["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(path, list(setting_paths()), n=1, cutoff=0.0)
        hint = f"; the nearest setting is {nearest[0]!r}" if nearest else ""
        return f"there is no setting {path!r}{where}{hint}"
    said = first["msg"].lower().removeprefix("value error, ")
    return f"setting {path!r}{where} is not valid: {said}"


def setting_paths(section: type[BaseModel] = Settings, path: str = "") -> Iterator[str]:
    """Every dotted path a setting can have, sections' own leaves only."""
    for name, info in section.model_fields.items():
        here = f"{path}.{name}" if path else name
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_paths(kind, here)
        else:
            yield here
