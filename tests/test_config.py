"""Settings: the order of sources, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import load, setting_paths
from runner.errors import ConfigError


def write(folder: Path, text: str, name: str = "runner.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    write(tmp_path, "[server]\nport = 1\nhost = '127.0.0.2'\n[engine]\ncontext = 100\n")
    environ = {"RUNNER_SERVER__PORT": "2", "RUNNER_ENGINE__CONTEXT": "200"}
    loaded = load({"server.port": 3}, environ=environ, folder=tmp_path)
    assert loaded.settings.server.port == 3
    assert loaded.settings.engine.context == 200
    assert loaded.settings.server.host == "127.0.0.2"
    assert loaded.settings.engine.parallel == "auto"


def test_origin_of_every_value_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, "[budget]\ndaily_usd = 1.5\n")
    loaded = load({"server.port": 3}, environ={"RUNNER_OFFLINE": "1"}, folder=tmp_path)
    origins = {key.replace("\0", "."): origin for key, origin in loaded.origins.items()}
    assert origins == {
        "budget.daily_usd": str(path),
        "offline": "environment",
        "server.port": "flag",
    }


def test_unknown_key_names_the_nearest_one_and_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[server]\nprot = 1\n")
    with pytest.raises(ConfigError) as error:
        load(environ={}, folder=tmp_path)
    assert "server.prot" in str(error.value)
    assert "'server.port'" in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"server.port": 99999}, "server.port"),
        ({"engine.kv_type": "f64"}, "engine.kv_type"),
        ({"budget.daily_usd": -1}, "budget.daily_usd"),
        ({"hosted.sort": "luck"}, "hosted.sort"),
    ],
)
def test_wrong_value_is_named(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(flags, environ={})


def test_broken_file_and_missing_file_are_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "[server\n")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load(environ={}, folder=tmp_path)
    with pytest.raises(ConfigError, match="no settings file"):
        load(environ={}, config_file=tmp_path / "none.toml")


def test_model_settings_take_the_place_of_general_ones_where_set(tmp_path: Path) -> None:
    write(
        tmp_path,
        '[engine]\ncontext = 100\nparallel = 2\n[models."hermes-4.3-36b".engine]\ncontext = 50\n',
    )
    settings = load(environ={}, folder=tmp_path).settings
    assert settings.engine_for("hermes-4.3-36b").context == 50
    assert settings.engine_for("hermes-4.3-36b").parallel == 2
    assert settings.engine_for("other").context == 100


def test_lists_in_the_environment_are_split_at_commas() -> None:
    environ = {"RUNNER_FALLBACK__ON": "busy,crashed"}
    assert load(environ=environ, folder=Path("/")).settings.fallback.on == ("busy", "crashed")


def test_keys_never_show_in_a_printed_setting() -> None:
    settings = load({"server.api_key": "sk-canary"}, environ={}, folder=Path("/")).settings
    assert "canary" not in repr(settings)


def test_every_setting_can_be_addressed() -> None:
    assert {"server.port", "engine.context", "fallback.on", "budget.daily_usd", "offline"} <= set(
        setting_paths()
    )
