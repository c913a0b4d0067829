"""The catalogue holds facts that agree with each other, and every name leads to one entry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner import catalog
from runner.catalog import Catalog, Entry
from runner.errors import CatalogError, ModelNotFoundError

FORMATS = {
    "chatml",
    "hermes_tool_use",
    "hermes_chatml",
    "hermes4_llama3",
    "deephermes",
    "alpaca",
    "vicuna",
    "capybara",
}
SHA = "a" * 64


def parse_model(body: str) -> Entry:
    return catalog.parse(f'[models.m]\ntitle = "m"\n{body}', "test")[0]


def file_row(name: str = "m-Q4_K_M.gguf", **more: str) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    quantization = more.get("quantization") or '"Q4_K_M"'
    return (
        f'[[models.m.files]]\nrepo = "o/r"\nname = "{name}"\nquantization = {quantization}\n'
        + lines
    )


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return catalog.load()


def test_the_shipped_catalogue_holds_the_whole_family(shipped: Catalog) -> None:
    assert len(shipped) == 30
    assert all(entry.chat_format in FORMATS for entry in shipped)
    assert all(entry.bundled or (entry.upstream and entry.architecture) for entry in shipped)


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("hermes-tiny", "hermes-tiny"),
        ("NousResearch/Hermes-4-70B", "hermes-4-70b"),
        ("nousresearch/hermes-4-70b", "hermes-4-70b"),
        ("hermes4:70b", "hermes-4-70b"),
        ("bartowski/NousResearch_Hermes-4-14B-GGUF", "hermes-4-14b"),
        ("https://huggingface.co/NousResearch/Hermes-4.3-36B-GGUF", "hermes-4.3-36b"),
        ("hermes3:8b", "hermes-3-llama-3.1-8b"),
        ("nousresearch/hermes-3-llama-3.1-405b:free", "hermes-3-llama-3.1-405b"),
        ("NousResearch/Hermes-4-405B-FP8-TEE", "hermes-4-405b"),
        ("nous-hermes2-mixtral:8x7b", "nous-hermes-2-mixtral-8x7b-dpo"),
    ],
)
def test_upstream_hosted_and_short_names_resolve(
    shipped: Catalog, name: str, model_id: str
) -> None:
    assert shipped.resolve(name).entry.id == model_id
    assert shipped.get(name).id == model_id


def test_a_quantisation_may_follow_any_name(shipped: Catalog) -> None:
    found = shipped.resolve("hermes-4-14b:Q6_K")
    assert (found.entry.id, found.quantization, found.repo) == ("hermes-4-14b", "Q6_K", None)
    found = shipped.resolve("hermes3:8b:Q8_0")
    assert (found.entry.id, found.quantization) == ("hermes-3-llama-3.1-8b", "Q8_0")


def test_a_repository_name_also_says_which_repository(shipped: Catalog) -> None:
    found = shipped.resolve("hf.co/bartowski/Hermes-3-Llama-3.1-8B-GGUF:Q4_K_M")
    assert found.entry.id == "hermes-3-llama-3.1-8b"
    assert found.repo == "bartowski/Hermes-3-Llama-3.1-8B-GGUF"


def test_any_gguf_repository_has_an_entry_of_its_own(shipped: Catalog) -> None:
    found = shipped.resolve("hf.co/someone/Thing-GGUF:Q4_0")
    assert found.entry.id == "hf.co/someone/Thing-GGUF"
    assert (found.repo, found.quantization) == ("someone/Thing-GGUF", "Q4_0")


@pytest.mark.parametrize(
    "name", ["hermes-5", "hf.co/only-one", "hf.co/a/b/c", "hf.co/../x", "hf.co/a/../b", ":Q4_0", ""]
)
def test_an_unknown_name_is_refused_with_the_nearest(shipped: Catalog, name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        shipped.resolve(name)
    assert len(caught.value.nearest) == 3


def test_one_name_cannot_lead_to_two_models() -> None:
    rows = [Entry(id="a", title="a", aliases=("x",)), Entry(id="b", title="b", aliases=("X",))]
    with pytest.raises(CatalogError, match="both a and b"):
        Catalog(rows)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (file_row(sha256='"abc"'), "sha256"),
        (file_row("../m-Q4_K_M.gguf"), "relative path"),
        (file_row("m-Q4_K_M.bin"), "relative path"),
        (file_row("m.gguf"), "does not name its quantisation"),
        (file_row("m-Q4_K_M-00001-of-00002.gguf"), "contradicts shard"),
        (file_row("m-Q4_K_M-00001-of-00002.gguf", shard="1", num_shards="2"), "not every shard"),
        (file_row() + file_row(), "twice"),
        (
            file_row(sha256=f'"{SHA}"') + file_row("n-Q4_K_M.gguf", sha256=f'"{SHA}"'),
            "one sha256",
        ),
        ("num_parameters = 1_000_000_000\n" + file_row(size_bytes="100"), "bits per weight"),
        ('license_note = "x"', "license_note"),
        ("num_parameters = 5\nnum_active_parameters = 6", "more parameters are active"),
        ("context = 0", "context"),
        (
            '[[models.m.hosted]]\nprovider = "p"\nid = "i"\nprompt_usd_per_mtok = 1.0\n'
            "as_of = 2026-01-01",
            "both its prompt and its completion",
        ),
        (
            '[[models.m.hosted]]\nprovider = "p"\nid = "i"\nprompt_usd_per_mtok = 1.0\n'
            "completion_usd_per_mtok = 1.0",
            "needs its date",
        ),
        (
            "num_parameters = 9_000_000_000\n[models.m.architecture]\n"
            'name = "llama"\nnum_layers = 28\nhidden_size = 3072\nnum_heads = 24\n'
            "num_kv_heads = 8\nhead_dim = 128\nffn_size = 8192\nvocab_size = 128256",
            "contradicts the architecture",
        ),
    ],
)
def test_a_malformed_or_contradictory_row_is_refused(body: str, fault: str) -> None:
    with pytest.raises(CatalogError, match=fault) as caught:
        parse_model(body)
    assert "'m'" in str(caught.value)


def test_a_draft_must_exist_and_share_the_vocabulary(shipped: Catalog) -> None:
    assert shipped.get("hermes3:70b").draft == "hermes-3-llama-3.2-3b"
    with pytest.raises(CatalogError, match="draft"):
        shipped.with_entries([Entry(id="x", title="x", draft="nobody")])
    qwen = shipped.get("hermes-4-14b").architecture
    other = Entry(id="x", title="x", draft="hermes-4-70b", architecture=qwen)
    with pytest.raises(CatalogError, match="another vocabulary"):
        Catalog([*shipped, other])


def test_every_price_is_dated_and_every_dead_offer_says_so(shipped: Catalog) -> None:
    offers = [offer for entry in shipped for offer in entry.hosted]
    assert all(offer.as_of for offer in offers if offer.prompt_usd_per_mtok is not None)
    assert all(offer.note for offer in offers if not offer.live)
    live = {offer.id for offer in offers if offer.provider == "openrouter" and offer.live}
    assert live == {
        "nousresearch/hermes-4-70b",
        "nousresearch/hermes-4-405b",
        "nousresearch/hermes-3-llama-3.1-70b",
        "nousresearch/hermes-3-llama-3.1-405b",
    }


def test_what_is_only_rumoured_is_not_in_the_file(shipped: Catalog) -> None:
    text = catalog.IN_TREE.read_text(encoding="utf-8")
    assert not re.search(r"unconfirmed|guess", text, re.IGNORECASE)
    files = [file for entry in shipped for file in entry.files]
    assert all(file.sha256 is None or len(set(file.sha256)) > 4 for file in files)
    assert sum(file.sha256 is not None for file in files) == 33


def test_a_users_own_file_adds_and_replaces_models(tmp_path: Path) -> None:
    own = tmp_path / "models.toml"
    own.write_text('[models.mine]\ntitle = "mine"\n[models.hermes-tiny]\ntitle = "other"\n')
    both = catalog.load([own, tmp_path / "absent.toml"])
    assert both.get("mine").title == "mine"
    assert both.get("hermes-tiny").title == "other"


@pytest.mark.parametrize("text", ["models = 3", "[other]\nx = 1", "[models.m", "models.m = 1"])
def test_a_file_that_is_no_catalogue_is_refused_by_name(text: str) -> None:
    with pytest.raises(CatalogError, match=r"mine\.toml"):
        catalog.parse(text, "mine.toml")


def test_a_published_size_counts_where_no_exact_one_is_known(shipped: Catalog) -> None:
    files = {file.name: file for file in shipped.get("hermes-4-70b").files}
    assert files["NousResearch_Hermes-4-70B-Q4_K_M.gguf"].about_bytes == 42_500_000_000
    assert files["NousResearch_Hermes-4-70B-Q4_K_M.gguf"].size_bytes is None
