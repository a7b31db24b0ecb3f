"""Reads names, signatures and docstrings of the public API out of the sources.

Owns: how a public name is found (`__init__.py`, then the module or the stub that it is imported from), and what of it
is shown. Must not know: Sphinx, and the installed package: nothing is imported, so that the reference needs no build.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "elsewhere"
TYPE_VARIABLE = re.compile(r"\b_(?=(?:P|T|D|T_co)\b)")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.AnnAssign


@dataclass(frozen=True)
class Entry:
    """One public name: what it is, how it is called (one signature, or one per overload), and its docstring."""

    name: str
    kind: str
    """The name of a directive of Sphinx's Python domain: function, class, exception, method, property, attribute..."""
    signatures: list[str]
    documentation: str
    bases: list[str] = field(default_factory=list)
    members: list[Entry] = field(default_factory=list)


def public_names(package: Path = PACKAGE) -> list[str]:
    """The names of `__all__`, in its order."""
    for node in _parsed(package / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise LookupError(f"{package} has no __all__")


def entry(name: str, package: Path = PACKAGE) -> Entry:
    """What the reference says about a public name.

    Raises:
        LookupError: The sources do not define it.
    """
    definitions = _definitions(name, "__init__", package)
    first = definitions[0]
    if isinstance(first, ast.ClassDef):
        return _of_class(name, first, package)
    if isinstance(first, ast.AnnAssign):
        return Entry(name, "data", [name], _documentation_after(first, _parsed(package / "_core.pyi").body))
    return _of_functions(name, "function", definitions)


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _source(module: str, package: Path) -> Path:
    stub = package / f"{module}.pyi"
    return stub if stub.is_file() else package / f"{module}.py"


def _definitions(name: str, module: str, package: Path) -> list[Definition]:
    """The definition of a name, or all its overloads; imports and plain renamings are followed."""
    tree = _Constants(_source(module, package)).visit(_parsed(_source(module, package)))
    found: list[Definition] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            if node.level == 1 and node.module and any(alias.name == name for alias in node.names):
                return _definitions(name, node.module, package)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            origin, _, renamed = ast.unparse(node.value).rpartition(".")
            return [_renamed(definition, name) for definition in _definitions(renamed, origin or module, package)]
        elif isinstance(node, Definition) and _name_of(node) == name:
            found.append(node)
    if not found:
        raise LookupError(f"{module} does not define {name}")
    return found


class _Constants(ast.NodeTransformer):
    """Puts the values of a module's numbers where its signatures name them."""

    def __init__(self, path: Path) -> None:
        self._numbers = {
            ast.unparse(node.targets[0]): node.value
            for node in _parsed(path).body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        }

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The number for a name that is read."""
        return self._numbers.get(node.id, node) if isinstance(node.ctx, ast.Load) else node


def _name_of(definition: Definition) -> str:
    return ast.unparse(definition.target) if isinstance(definition, ast.AnnAssign) else definition.name


def _renamed(definition: Definition, name: str) -> Definition:
    if not isinstance(definition, ast.AnnAssign):
        definition.name = name
    return definition


def _of_functions(name: str, kind: str, definitions: list[Definition]) -> Entry:
    functions = [node for node in definitions if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    documentation = next((text for node in functions if (text := ast.get_docstring(node))), "")
    is_method = kind == "method"
    # In a module the body of overloads follows them, and says nothing more of how it is called; a stub has none.
    shown = [node for node in functions if _is_decorated(node, "overload")] or functions
    return Entry(name, kind, [_signature(name, node, is_method=is_method) for node in shown], documentation)


def _is_decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    return any(ast.unparse(decorator) == name for decorator in node.decorator_list)


def _signature(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef, *, is_method: bool) -> str:
    """`name(parameters) -> result`, without `self`."""
    arguments = node.args
    if is_method:
        holder = arguments.posonlyargs or arguments.args
        del holder[0]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return TYPE_VARIABLE.sub("", f"{prefix}{name}({ast.unparse(arguments)}){returns}")


def _of_class(name: str, node: ast.ClassDef, package: Path) -> Entry:
    """A class with its public members, those of private bases (`HostCore`) included."""
    bases = [TYPE_VARIABLE.sub("", ast.unparse(base)) for base in node.bases]
    is_error = any(base == "Exception" or base.endswith("Error") for base in bases)
    bodies = [node.body, *(_body_of_private_base(base, package) for base in bases)]
    members = [member for body in bodies for member in _members(body)]
    public_bases = [base for base in bases if not _is_private(base)]
    kind = "exception" if is_error else "class"
    signatures = [name] if is_error else [_constructor(name, node)]
    return Entry(name, kind, signatures, ast.get_docstring(node) or "", public_bases, members)


def _is_private(base: str) -> bool:
    return base.startswith(("_", "Generic"))


def _body_of_private_base(base: str, package: Path) -> list[ast.stmt]:
    module, _, name = base.rpartition(".")
    if module != "_core":
        return []
    (definition,) = _definitions(name, module, package)
    return definition.body if isinstance(definition, ast.ClassDef) else []


def _constructor(name: str, node: ast.ClassDef) -> str:
    """The class called, without its result and its overloads; without parameters where its users never call it."""
    for member in node.body:
        if not isinstance(member, ast.FunctionDef) or _is_decorated(member, "overload"):
            continue
        if member.name in {"__init__", "__new__"}:
            member.returns = None
            return _signature(name, member, is_method=True)
    return name


def _members(body: list[ast.stmt]) -> list[Entry]:
    found: list[Entry] = []
    methods: dict[str, list[Definition]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            methods.setdefault(node.name, []).append(node)
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in methods:
            found.append(_member(node.name, methods.pop(node.name)))
        elif isinstance(node, ast.AnnAssign) and not (attribute := ast.unparse(node.target)).startswith("_"):
            text = f"{attribute}: {ast.unparse(node.annotation)}"
            found.append(Entry(attribute, "attribute", [text], _documentation_after(node, body)))
    return found


def _member(name: str, definitions: list[Definition]) -> Entry:
    """A method, with its overloads, or a property."""
    last = definitions[-1]
    if isinstance(last, ast.FunctionDef) and _is_decorated(last, "property"):
        annotation = f": {ast.unparse(last.returns)}" if last.returns else ""
        return Entry(name, "property", [f"{name}{annotation}"], ast.get_docstring(last) or "")
    return _of_functions(name, "method", definitions)


def _documentation_after(node: ast.AnnAssign, body: list[ast.stmt]) -> str:
    """The string that stands right after an attribute, which is where its docstring is written."""
    following = next((after for after in body if after.lineno > node.lineno), None)
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        value = following.value.value
        return value if isinstance(value, str) else ""
    return ""
