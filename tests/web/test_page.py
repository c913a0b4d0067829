"""The files of the page and the headers around them, without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

from runner.web.page import HEADERS, STATIC, load_assets, web_router

MAX_BYTES = 200_000
ESCAPES = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"


@pytest.fixture
def client() -> Iterator[TestClient]:
    """An application that wants a key everywhere, and the page."""

    def refuse() -> None:
        raise HTTPException(401)

    app = FastAPI(dependencies=[Depends(refuse)])
    app.include_router(web_router())
    with TestClient(app) as client:
        yield client


def test_the_page_needs_no_key(client: TestClient) -> None:
    assert client.get("/").status_code == 200
    assert client.get("/static/app.js").status_code == 200


@pytest.mark.parametrize("name", ["/", *(f"/static/{name}" for name in load_assets())])
def test_every_file_carries_the_security_headers(client: TestClient, name: str) -> None:
    response = client.get(name)
    assert response.status_code == 200
    assert {name: response.headers[name] for name in HEADERS} == HEADERS


def test_the_policy_allows_no_inline_script_and_no_other_origin() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    "name", ["nope.js", "../page.py", "..%2fpage.py", "%2e%2e%2fpage.py", "/etc/passwd", "a/b"]
)
def test_nothing_but_the_pages_files_is_served(client: TestClient, name: str) -> None:
    response = client.get(f"/static/{name}")
    assert response.status_code in (401, 404)
    assert b"import" not in response.content


def test_a_file_the_browser_has_is_not_sent_again(client: TestClient) -> None:
    etag = client.get("/static/app.js").headers["etag"]
    again = client.get("/static/app.js", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/app.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_whole_page_is_under_200_kilobytes() -> None:
    assert sum(len(asset.body) for asset in load_assets().values()) < MAX_BYTES


def test_no_script_can_turn_text_into_markup() -> None:
    for path in STATIC.glob("*.js"):
        assert re.findall(ESCAPES, path.read_text()) == [], path.name


def test_the_markup_holds_no_inline_script_style_or_handler() -> None:
    markup = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", markup) == []


def test_the_page_names_no_other_origin() -> None:
    allowed = {"http://www.w3.org/2000/svg"}
    for path in STATIC.iterdir():
        found = set(re.findall(r"https?://[\w.-]+\.\w[\w./-]*", path.read_text()))
        assert found <= allowed, path.name


def test_every_module_is_short_and_says_what_it_owns() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        assert text.startswith("// "), path.name
        assert text.count("\n") <= 400, path.name
