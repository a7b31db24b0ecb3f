"""The built site stands alone: every link within it leads somewhere, and nothing is loaded from anywhere else.

Owns: both rules, on the pages as they were built. Must not know: what built them.
Usage: `python -m checks.built_site FOLDER`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""Elements that make a browser fetch something, and the attribute that says what."""
STYLE_LOAD = re.compile(r"(?:@import\s+[\"']?|url\(\s*[\"']?)((?:https?:)?//[^\"')\s]+)")


@dataclass
class Page(HTMLParser):
    """What a page links to, loads, and offers as targets of links."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the links, loads and ids of one element."""
        attributes = dict(attrs)
        if (anchor := attributes.get("id")) is not None:
            self.anchors.add(anchor)
        if tag == "a" and (target := attributes.get("href")) is not None:
            self.links.append(target)
        if tag in LOADING and (loaded := attributes.get(LOADING[tag])) is not None:
            self.loads.append(loaded)


def violations_of(site: Path) -> list[str]:
    """Every dead link and every load from a network, in all pages and styles below `site`."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    found = [f"{site}: there are no pages"] if not pages else []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name} loads {target}" for target in page.loads if _is_foreign(target)]
        wanted = [target for target in (*page.links, *page.loads) if not _is_foreign(target)]
        found += [
            f"{name} leads to {target}, which is not there" for target in wanted if not _leads(path, target, pages)
        ]
    for path in sorted(site.rglob("*.css")):
        loads = STYLE_LOAD.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)} loads {target}" for target in loads]
    return found


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _is_foreign(target: str) -> bool:
    parts = urlsplit(target)
    return bool(parts.scheme or parts.netloc)


def _leads(origin: Path, target: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(target)
    path = (origin.parent / unquote(parts.path)).resolve() if parts.path else origin
    if not path.is_file():
        return False
    return not parts.fragment or path not in pages or unquote(parts.fragment) in pages[path].anchors


def main() -> int:
    """Look through the folder that is named; print what is wrong."""
    site = Path(sys.argv[1]).resolve()
    violations = violations_of(site)
    for violation in violations:
        print(violation, file=sys.stderr)
    if not violations:
        print(
            f"site: {len(list(site.rglob('*.html')))} pages, every link leads somewhere, nothing comes from a network"
        )
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
