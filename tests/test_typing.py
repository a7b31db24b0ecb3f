"""What the type checkers have to refuse (`misuses.py`), and that nothing public is without an assertion of its type.

The assertions are in `tests/typing`; `make lint` runs both checkers over them.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest
from checks.type_checkers import TypeProblem, problems_in

import elsewhere

TESTS = Path(__file__).parent
MISUSES = TESTS / "misuses.py"
ASSERTIONS = TESTS / "typing"
MARK = re.compile(r"  # refused: (?P<mypy>[a-z-]+), (?P<pyright>[A-Za-z]+)$")
VERBS = [name for name in elsewhere.__all__ if name[0].islower()]
CLASSES = (elsewhere.Host, elsewhere.Future, elsewhere._core.ReadAhead)
MEMBERS = [f"{cls.__name__}.{name}" for cls in CLASSES for name in dir(cls) if not name.startswith("_")]


def marks() -> dict[int, re.Match[str]]:
    """The marks of the misuses, by their lines."""
    lines = enumerate(MISUSES.read_text(encoding="utf-8").splitlines(), 1)
    return {number: mark for number, line in lines if (mark := MARK.search(line))}


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> list[TypeProblem]:
    """What both checkers say of the misuses."""
    folder = tmp_path_factory.mktemp("misuses")
    shutil.copytree(ASSERTIONS, folder / "tests" / "typing")
    shutil.copy(MISUSES, folder)
    return [one for one in problems_in(folder) if one.file == MISUSES.name]


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_each_misuse_is_refused_by_the_rule_that_its_mark_names(checker: str, problems: list[TypeProblem]) -> None:
    found = {(one.line, one.rule) for one in problems if one.checker == checker}

    passed = {number: mark[checker] for number, mark in marks().items() if (number, mark[checker]) not in found}

    assert passed == {}


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_nothing_but_the_misuses_is_refused(problems: list[TypeProblem]) -> None:
    assert [one for one in problems if one.line not in marks()] == []


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_checkers_see_nothing_wrong_in_what_is_true_only_of_local_objects(problems: list[TypeProblem]) -> None:
    lines = MISUSES.read_text(encoding="utf-8").splitlines()

    begin = lines.index("def what_no_checker_knows(dog: Dog, host: Host) -> dict[int, bool]:") + 1
    end = lines.index("", begin)

    assert [one for one in problems if begin <= one.line <= end] == []


@pytest.mark.parametrize("verb", VERBS)
def test_verb_has_misuses(verb: str) -> None:
    lines = MISUSES.read_text(encoding="utf-8").splitlines()

    misused = [lines[number - 1] for number in marks()]

    assert [line for line in misused if re.search(rf"\b{verb}\(", line)]


def asserted() -> set[str]:
    """Every name that stands in an assertion of a type, attributes with a dot before them."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in ASSERTIONS.glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assertions = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "assert_type"]
    parts = [part for assertion in assertions for part in ast.walk(assertion)]
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return names | {f".{part.attr}" for part in parts if isinstance(part, ast.Attribute)}


@pytest.mark.parametrize("verb", VERBS)
def test_type_of_each_verb_is_asserted(verb: str) -> None:
    assert verb in asserted()


@pytest.mark.parametrize("member", MEMBERS)
def test_type_of_each_member_is_asserted(member: str) -> None:
    assert f".{member.partition('.')[2]}" in asserted()


def test_types_of_all_errors_are_asserted() -> None:
    text = (ASSERTIONS / "errors.py").read_text(encoding="utf-8")

    missing = [name for name in elsewhere._errors.__all__ if len(re.findall(rf"\b{name}\b", text)) < 2]

    assert missing == []
