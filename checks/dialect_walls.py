"""The wall around the dialects: they are built on public names alone, and nobody else uses them.

Owns: what a dialect may reach, read from its syntax. Must not know: what the dialects do.

Names that a program makes up while it runs cannot be seen here; all that stands in the source is.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = "elsewhere"
DIALECTS = "elsewhere.dialects"
MODULE_NAME = re.compile(r"elsewhere(?:\.\w+)+")

STANDARD_PRIVATE: dict[str, str] = {
    "_identity": "of multiprocessing.Process: the number that remoteobj's names end with"
}
"""Private names of the standard library that dialects need, and why."""


def dialect_violations(package: Path) -> list[str]:
    """Modules of the Python package, outside of the dialects, that reach a dialect."""
    return [
        f"{module.place}:{line} reaches {name}"
        for module in _modules(package)
        if not module.is_dialect
        for line, name in module.reached()
        if name == DIALECTS or name.startswith(f"{DIALECTS}.")
    ]


def dialect_reach_violations(package: Path) -> list[str]:
    """What a dialect reaches beside the public names of the package, other dialects and the standard library."""
    modules = [module for module in _modules(package) if module.is_dialect]
    public = public_names(package)
    own = {name for module in modules for name in module.made()}
    return [violation for module in modules for violation in _reach_violations(module, public, own)]


def public_names(package: Path) -> frozenset[str]:
    """What the package lists in `__all__`; nothing where it has no list."""
    source = package / "__init__.py"
    tree = ast.parse(source.read_text(encoding="utf-8") if source.is_file() else "")
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets
        ):
            listed: list[str] = ast.literal_eval(node.value)
            return frozenset(listed)
    return frozenset()


def _reach_violations(module: Module, public: frozenset[str], own: set[str]) -> Iterator[str]:
    for line, name in module.reached():
        first, _, rest = name.partition(".")
        if first != PACKAGE:
            if first not in sys.stdlib_module_names:
                yield f"{module.place}:{line} imports {name}, which is neither elsewhere nor in the standard library"
        elif rest and not _is_open(rest, public):
            yield f"{module.place}:{line} names {name}, which is not public"
    for line in module.handed_on():
        yield f"{module.place}:{line} hands the package on, so that nobody sees what of it is used"
    for line, name in module.private():
        if name not in own and name not in STANDARD_PRIVATE:
            yield f"{module.place}:{line} names {name}, which is private and no dialect's"


def _is_open(rest: str, public: frozenset[str]) -> bool:
    first, *others = rest.split(".")
    if first == "dialects":
        return True
    return first in public and not any(_is_private(name) for name in others)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _modules(package: Path) -> Iterator[Module]:
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        yield Module(place, ast.parse(path.read_text(encoding="utf-8"), str(path)))


@dataclass
class Module:
    """One module of the package: where it stands in it, and what its source reaches."""

    place: Path
    tree: ast.Module
    _inner: set[int] = field(default_factory=set[int])

    @property
    def is_dialect(self) -> bool:
        """Whether it is a part of the dialects."""
        return self.place.parts[0] == "dialects"

    def reached(self) -> list[tuple[int, str]]:
        """Each module or name that is imported, named by an attribute of the package, or by a text, and its line."""
        return [*self._imported(), *self._named(), *self._in_texts()]

    def _imported(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    yield node.lineno, f"{base}.{alias.name}"

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parents = [PACKAGE, *self.place.parent.parts]
        kept = parents[: max(len(parents) - node.level + 1, 0)]
        return ".".join([*kept, *([node.module] if node.module else [])])

    def _bound(self) -> dict[str, str]:
        """What names of this module stand for that come from the package: `import elsewhere as y` makes y one."""
        bound: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.split(".")[0]
                    if first == PACKAGE:
                        bound[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom) and f"{self._base(node)}.".startswith(f"{PACKAGE}."):
                for alias in node.names:
                    bound[alias.asname or alias.name] = f"{self._base(node)}.{alias.name}"
        return bound

    def _named(self) -> Iterator[tuple[int, str]]:
        bound = self._bound()
        for node in ast.walk(self.tree):
            chain = _chain(node)
            if chain is not None and len(chain) > 1 and chain[0] in bound:
                yield node.lineno, ".".join([bound[chain[0]], *chain[1:]])  # type: ignore[attr-defined]

    def _in_texts(self) -> Iterator[tuple[int, str]]:
        documentation = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(self.tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
            if is_text and MODULE_NAME.fullmatch(node.value):  # type: ignore[attr-defined]
                yield node.lineno, node.value  # type: ignore[attr-defined]

    def handed_on(self) -> Iterator[int]:
        """Where the package itself is a value: `y = elsewhere`, `vars(elsewhere)`."""
        bound = {name for name, meaning in self._bound().items() if meaning == PACKAGE}
        allowed = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Attribute)}
        allowed |= {id(node.args[0]) for node in ast.walk(self.tree) if _literal_getattr(node)}  # type: ignore[attr-defined]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and node.id in bound and id(node) not in allowed:
                yield node.lineno

    def private(self) -> Iterator[tuple[int, str]]:
        """Private attributes that are read, by a dot or by `getattr` with a text, of whatever object."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _is_private(node.attr):
                yield node.lineno, node.attr
            elif _literal_getattr(node) and _is_private(node.args[1].value):  # type: ignore[attr-defined]
                yield node.lineno, node.args[1].value  # type: ignore[attr-defined]

    def made(self) -> Iterator[str]:
        """Names that this module makes: of functions, classes, attributes, and of keywords, which fill dictionaries."""
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.keyword) and node.arg is not None:
                yield node.arg
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                yield str(node.slice.value)


def _chain(node: ast.AST) -> list[str] | None:
    """The names of `a.b.c`, and of `getattr(a.b, "c")`."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        inner, name = _chain(node.value), node.attr
    elif _literal_getattr(node):
        inner, name = _chain(node.args[0]), node.args[1].value  # type: ignore[attr-defined]
    else:
        return None
    return None if inner is None else [*inner, name]


def _literal_getattr(node: ast.AST) -> bool:
    """Whether it is a call of getattr, setattr, delattr, hasattr or the like with a text for the name."""
    if not isinstance(node, ast.Call) or len(node.args) < 2:
        return False
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    second = node.args[1]
    names = {"getattr", "setattr", "delattr", "hasattr", "__getattribute__", "__setattr__"}
    return function in names and isinstance(second, ast.Constant) and isinstance(second.value, str)
