"""Links between the documents lead to a file that is there, and to a heading that is in it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCED = re.compile(r"^(```|:::).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that a heading gets, on the site as on a forge."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def dead_links(document: Path) -> list[str]:
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    return [target for target in LINK.findall(text) if not leads_somewhere(document, target)]


def leads_somewhere(document: Path, target: str) -> bool:
    parts = urlsplit(target)
    if parts.scheme:
        return True
    path = document.parent / parts.path if parts.path else document
    if not path.exists():
        return False
    headings = HEADING.findall(FENCED.sub("", path.read_text(encoding="utf-8"))) if path.suffix == ".md" else []
    return not parts.fragment or parts.fragment in map(slug, headings)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    assert dead_links(document) == []


def test_every_page_stands_in_the_table_of_contents() -> None:
    listed = re.findall(
        r"^:::\{toctree\}\n(.*?)^:::$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE | re.DOTALL
    )
    pages = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in ROOT.glob("docs/**/*.md")} - {"index"}

    assert {line for table in listed for line in table.splitlines() if line and not line.startswith(":")} == pages


def test_dead_links_are_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# A heading, here\n[1](gone.md) [2](a.md#gone) [3](#gone) [4](a.md#a-heading-here) [5](#a-heading-here)\n"
    )

    assert dead_links(document) == ["gone.md", "a.md#gone", "#gone"]
