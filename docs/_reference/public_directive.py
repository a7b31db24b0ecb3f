"""A Sphinx extension: `.. public:: spawn send` shows public names as the sources define them.

Owns: how an entry of the reference is written down. Must not know: how the sources are read (`public_api.py` does).
A name of `__all__` that no page shows, and one without a docstring, are warnings, and so errors in `make docs`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils.statemachine import StringList
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import public_api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils.nodes import Node
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)
CODE = re.compile(r"(?<![`:])`([^`\n]+)`(?!`)")
NAPOLEON = Config(napoleon_use_param=True, napoleon_use_rtype=False)


class Public(SphinxDirective):
    """Shows the public names that are its arguments, one after another."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[Node]:
        """Write each entry as directives of the Python domain and have them parsed."""
        shown: set[str] = _shown(self.env)
        lines = [".. py:currentmodule:: elsewhere", ""]
        for name in self.arguments[0].split():
            shown.add(name)
            lines += _written(public_api.entry(name))
        source, line = self.get_source_info()
        self.env.note_dependency(str(public_api.PACKAGE / "_core.pyi"))
        text = StringList(lines, source=f"{source}:{line}")
        nodes: list[Node] = self.parse_text_to_nodes(text, allow_section_headings=False)
        return nodes


def _shown(env: BuildEnvironment) -> set[str]:
    if not hasattr(env, "elsewhere_shown"):
        env.elsewhere_shown = set()
    shown: set[str] = env.elsewhere_shown
    return shown


def _written(entry: public_api.Entry, owner: str = "") -> Iterator[str]:
    """One entry as reStructuredText: its signatures, then, indented, its bases, its docstring and its members."""
    if not entry.documentation and not owner:
        logger.warning("%s has no docstring", entry.name)
    option, signatures = _typed(entry)
    yield f".. py:{entry.kind}:: {signatures[0]}"
    yield from (f"   {' ' * len(f'.. py:{entry.kind}::')}{further}"[3:] for further in signatures[1:])
    yield from option
    yield ""
    bases = ", ".join(f":py:class:`{base}`" for base in entry.bases)
    body = [f"Bases: {bases}", ""] if bases else []
    body += _documentation(entry.documentation)
    for member in entry.members:
        body += ["", *_written(member, entry.name)]
    yield from (f"   {line}" if line else "" for line in body)
    yield ""


def _typed(entry: public_api.Entry) -> tuple[list[str], list[str]]:
    """Attributes and properties give their type as an option, all else in the signature."""
    if entry.kind not in {"attribute", "property"}:
        return [], entry.signatures
    name, _, annotation = entry.signatures[0].partition(": ")
    return [f"   :type: {annotation}"], [name]


def _documentation(text: str) -> list[str]:
    """A docstring in our style (Google's sections, single backticks for code) as reStructuredText."""
    return str(GoogleDocstring(CODE.sub(_code, text), NAPOLEON)).splitlines()


def _code(match: re.Match[str]) -> str:
    """Code in single backticks: a link where it is a public name, otherwise a literal."""
    name = match[1].removesuffix("()")
    return f":py:obj:`{match[1]} <elsewhere.{name}>`" if name in public_api.public_names() else f"``{match[1]}``"


def _warn_of_missing(_: Sphinx, env: BuildEnvironment) -> None:
    for name in public_api.public_names():
        if name not in _shown(env):
            logger.warning("no page of the reference shows elsewhere.%s", name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and the check."""
    app.add_directive("public", Public)
    app.connect("env-check-consistency", _warn_of_missing)
    return {"version": "1", "parallel_read_safe": False}
