"""The check of the built site, violated on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checks.built_site import violations_of

if TYPE_CHECKING:
    from pathlib import Path


def site_of(folder: Path, body: str, style: str = "") -> Path:
    (folder / "index.html").write_text(f"<link rel='stylesheet' href='a.css'>{body}", encoding="utf-8")
    (folder / "other.html").write_text("<h1 id='there'>There</h1>", encoding="utf-8")
    (folder / "a.css").write_text(style, encoding="utf-8")
    return folder.resolve()


@pytest.mark.parametrize(
    "body",
    [
        "<a href='other.html'>a page</a>",
        "<a href='other.html#there'>a heading</a>",
        "<p id='x'><a href='#x'>a place on this page</a>",
        "<a href='https://example.org/'>a link that only leads out</a>",
    ],
)
def test_links_that_lead_somewhere_are_fine(tmp_path: Path, body: str) -> None:
    assert violations_of(site_of(tmp_path, body)) == []


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        ("<a href='gone.html'>x</a>", "index.html leads to gone.html, which is not there"),
        ("<a href='other.html#gone'>x</a>", "index.html leads to other.html#gone, which is not there"),
        ("<a href='#gone'>x</a>", "index.html leads to #gone, which is not there"),
        ("<img src='gone.png'>", "index.html leads to gone.png, which is not there"),
        ("<script src='https://example.org/a.js'></script>", "index.html loads https://example.org/a.js"),
        ("<link rel='stylesheet' href='//example.org/a.css'>", "index.html loads //example.org/a.css"),
    ],
)
def test_violation_is_named(tmp_path: Path, body: str, violation: str) -> None:
    assert violations_of(site_of(tmp_path, body)) == [violation]


@pytest.mark.parametrize("style", ["@import 'https://example.org/a.css';", "b { src: url(https://example.org/a.css) }"])
def test_style_that_loads_from_a_network_is_a_violation(tmp_path: Path, style: str) -> None:
    assert violations_of(site_of(tmp_path, "", style)) == ["a.css loads https://example.org/a.css"]


def test_site_without_pages_is_a_violation(tmp_path: Path) -> None:
    assert len(violations_of(tmp_path)) == 1
