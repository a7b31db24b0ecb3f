"""Both columns of every table of the migration guides are run, and give the same; `guide_lines.py` says how.

Their line is run with the names of the dialect, our line with those of elsewhere. What a line needs before, and what is
looked at after, stands here; so does, with its reason, what cannot be run by itself.
"""

from __future__ import annotations

import ast
import concurrent.futures
import contextlib
import logging
import multiprocessing
import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import shop
from guide_lines import NOTHING, Pair, lines_of, pairs_in, run

import elsewhere
from elsewhere.dialects import erised, pyoad, remoteobj, spawny, uactor
from elsewhere.dialects.pipeproxy import proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "migrating"

SOURCE = """
    numbers = [3, 4]

    class Shop:
        count = 5

    shop = Shop()

    def f(number):
        return number + 1

    def leave():
        raise SystemExit(3)
    """

Both = tuple[str, str]
SAME = ("", "")


@dataclass(frozen=True)
class Row:
    """How one row is run. A pair is for their column and for ours.

    `before` makes what the row needs, in place of what its guide says. `inside` stands in blocks, `wrong` is what an
    `except` is tried with. `after` is looked at in place of what the lines give; where `gives` is not said, it is the
    same on both sides. `instead` is run in place of a cell that says it in words. `raises`: exceptions are looked at.
    `there`: the line is one of the actor's own.
    """

    before: Both | None = None
    inside: Both = SAME
    wrong: Both = ("pass", "pass")
    after: Both | None = None
    gives: tuple[Any, Any] | None = None
    instead: Both = SAME
    raises: bool = False
    there: bool = False


def each(code: str) -> Both:
    return code, code


# ---------------------------------------------------------------- what stands before each row of a guide
BEFORE: dict[str, Both] = {
    "erised": ("proxy = Proxy(obj=person)", "person = elsewhere.send(person)"),
    "pipeproxy": (
        "p, listener = proxy.createProxy(obj)",
        "server = elsewhere.serve(obj); p = elsewhere.connect(server.address)",
    ),
    "pyoad": ("p = ObjectDaemonProxy(obj)", "p = elsewhere.send(obj)"),
    "remoteobj": (
        "obj = lamp_of_remoteobj(); process = child(listen_until, obj); obj.remote.wait_until_listening(process)",
        "process = serve(obj); far = elsewhere.connect(obj.remote, Lamp)",
    ),
    "spawny": ("remote = run_script(source)", "remote = elsewhere.Host().script(source)"),
    "uactor": ("a = A(1)", "a = elsewhere.spawn(A, 1)"),
}

UNSERVED = ("obj = lamp_of_remoteobj()", "obj.remote = elsewhere.reserve()")
IN_BACKGROUND = (
    "with process(func, 1) as p: pass",
    "host = elsewhere.Host(); future = elsewhere.submit(host.run, func, 1); future.result()",
)
FAILING = (
    "p = process(int, 'seven', raises_=False).start(); failing = int",
    "host = elsewhere.Host(); future = elsewhere.submit(host.run, int, 'seven')",
)
SHOP_OF_3 = ("_.count", "elsewhere.get(_.count)")

ROWS: dict[str, dict[str, Row]] = {
    "erised": {
        "`proxy = Proxy(obj=person)`": Row(
            before=SAME, after=("proxy.dog.bark(loud=True).result()", "person.dog.bark(loud=True)")
        ),
        "`future = proxy.dog.bark(loud=True)`": Row(after=each("future.result()")),
        "every call gives a future": Row(
            instead=("proxy", ""), after=("proxy.dog.bark(loud=True).result()", "person.dog.bark(loud=True).result()")
        ),
        "`proxy.dog.age = 3`": Row(after=("proxy.dog.age.retrieve().result()", "elsewhere.get(person.dog.age)")),
        "`proxy.dog.age.retrieve().result()`": Row(
            before=(
                "proxy = Proxy(obj=person); proxy.dog.age = 3",
                "person = elsewhere.send(person); person.dog.age = 3",
            )
        ),
        "`proxy.wait_all_futures()`": Row(
            before=(
                "proxy = Proxy(obj=person); future = proxy.dog.bark(loud=True)",
                "person = elsewhere.send(person); future = elsewhere.submit(person.dog.bark, loud=True)",
            ),
            after=each("future.done()"),
        ),
        "`proxy.terminate()`": Row(
            after=(
                "fails(lambda: proxy.dog.bark(loud=True).result())",
                "fails(lambda: person.dog.bark(loud=True))",
            ),
        ),
        "`Proxy(obj=person, local=True)`": Row(
            before=SAME, after=("_.dog.age = 3; _.terminate(); person.dog.age", "_.dog.age = 3; person.dog.age")
        ),
    },
    "pipeproxy": {
        "`p, listener = proxy.createProxy(obj)`": Row(
            before=SAME,
            after=("asked = later(p.method, 1); until(asked, listener.listen); asked.result()", "p.method(1)"),
        ),
        "`p.method(1)` gives the result, or None": Row(
            before=(f"{BEFORE['pipeproxy'][0]}; answer(listener.listen)", BEFORE["pipeproxy"][1])
        ),
        "`listener.listen()`": Row(
            before=(
                f"{BEFORE['pipeproxy'][0]}; asked = later(p.note, 1)",
                f"{BEFORE['pipeproxy'][1]}; asked = later(fork.run, note_at, server.address, 1)",
            ),
            after=("until(asked, listener.listen); obj.items", "until(asked, server.poll); obj.items"),
        ),
        "`while child.is_alive(): listener.listen()`": Row(
            before=(
                f"{BEFORE['pipeproxy'][0]}; child = later(p.note, 1); child.is_alive = lambda: not child.done()",
                BEFORE["pipeproxy"][1],
            ),
            inside=("", "fork.run(note_at, server.address, 1)"),
            after=each("obj.items"),
        ),
        '`p.setName("main")`, `p.getName()`': Row(
            before=(f"{BEFORE['pipeproxy'][0]}; answer(listener.listen)", BEFORE["pipeproxy"][1]),
            after=each("_"),
        ),
        "wait at most 2 s": Row(
            before=(
                BEFORE["pipeproxy"][0],
                "serve(obj); p = elsewhere.connect(obj.remote, Shop); elsewhere.post(p.pause)",
            ),
            instead=("p.method(1)", ""),
            raises=True,
            gives=([None], ["CallTimeout", elsewhere.CallTimeout]),
        ),
    },
    "pyoad": {
        "`p = ObjectDaemonProxy(obj)`": Row(before=SAME, after=each("p.method(1)")),
        '`ObjectDaemonProxy(InstanceDefinition("shop", "Shop", 3))`': Row(before=SAME, after=SHOP_OF_3),
        "the same, where `shop` is not to be imported here": Row(
            before=SAME,
            instead=('ObjectDaemonProxy(InstanceDefinition("shop", "Shop", 3))', ""),
            after=SHOP_OF_3,
        ),
        '`ObjectDaemonProxy(InstanceDefinition("shop", "Shop", 3), python_exe=path)`': Row(
            before=SAME, after=SHOP_OF_3
        ),
        "`p.items.append(1)`, which changed a copy": Row(
            after=("p.items", "elsewhere.get(p.items)"), gives=([[]], [[1]])
        ),
        "`str(p)`, `p[0:5]`, `len(p)`, `p == q`": Row(
            before=("p = ObjectDaemonProxy('hello, world!'); q = 'hello'", "p = elsewhere.send('hello, world!'); q = 1")
        ),
        "`p.terminate_daemon()`": Row(after=each("fails(lambda: p.method(1))")),
        "`p.is_started()`, `p.p.pid`": Row(
            after=("p.is_started(), p.p.pid > 0", "elsewhere.host_of(p).alive, elsewhere.host_of(p).pid > 0")
        ),
        '`logging.getLogger("pyoad")`': Row(before=SAME, after=each("_.name"), gives=(["pyoad"], ["elsewhere"])),
    },
    "remoteobj": {
        "`obj.remote = Proxy(obj)`": Row(
            before=SAME,
            after=("obj.remote.listening_", "fails(lambda: obj.remote.wait_ready(0))"),
            gives=([False], [True]),
        ),
        "`with obj.remote.listen_(bg=True):`": Row(
            before=UNSERVED,
            inside=("seen = fork.run(turn, obj.remote)", "seen = fork.run(turn_at, obj.remote)"),
            after=each("seen, obj.is_on"),
        ),
        "`with obj.remote:`, and in it `obj.remote.process_requests()`": Row(
            before=UNSERVED,
            inside=("asked = later(fork.run, turn, obj.remote); until(asked, obj.remote.process_requests)", ""),
            after=(
                "asked.result(), obj.is_on",
                "asked = later(fork.run, turn_at, obj.remote); until(asked, server.poll); asked.result(), obj.is_on",
            ),
        ),
        "`obj.remote.wait_until_listening(process, timeout=5)`": Row(after=each("True")),
        "a proxy in the other process": Row(
            instead=("obj.remote", ""),
            after=("obj.remote.toggle(); obj.remote.is_on.__", "far.toggle(); elsewhere.get(far.is_on)"),
        ),
        "`obj.remote.toggle()`": Row(after=("_ is obj.remote", "_ is far")),
        "`obj.remote.age = 3`, `del obj.remote.tags[0]`": Row(
            after=("obj.remote.age.__, obj.remote.tags.__", "elsewhere.get(far.age), elsewhere.get(far.tags)")
        ),
        "`Proxy(obj, fulfill_final=False)`, whoever stops it": Row(
            before=(
                "obj = lamp_of_remoteobj()",
                "obj.remote = elsewhere.reserve(); server = elsewhere.serve(obj, obj.remote)",
            ),
            after=(
                "_.listen_(); asked = later(fork.run, turn, _); _.stop_listen_(); fails(asked.result)",
                "fails(server.poll) or True",
            ),
        ),
        "`with process(func, 1) as p:`, then `p.result`": Row(before=SAME, gives=([2], [2])),
        "`list(p.result)`, of what `func` yields": Row(
            before=(
                "with process(count, 3) as p: pass",
                "func = lambda: (yield from range(3)); host = elsewhere.Host()",
            )
        ),
        "`p.join()` raises": Row(before=("p = process(int, 'seven').start()", FAILING[1]), raises=True),
        "`p.join(timeout=3)`": Row(
            before=("p = process(func, 1).start()", IN_BACKGROUND[1]), after=("p.join(); p.result", "_")
        ),
        "`with thread(func, 1) as t:`": Row(before=SAME, after=("t.result", "_.result()")),
        "`Except()`, groups by name": Row(
            before=("", FAILING[1]),
            after=(
                "exc = _\nwith exc('init', raises=False): int('seven')\nrepr(exc.group('init')[0])",
                "repr(_.exceptions[0])",
            ),
        ),
        "`with listener(obj):`": Row(
            before=("obj = lamp_of_remoteobj()", ""),
            inside=("obj.remote.toggle(); seen = obj.remote.is_on.__", ""),
            after=("seen", "obj.toggle(); elsewhere.get(obj.is_on)"),
        ),
    },
    "spawny": {
        "`remote = run_script(source)`": Row(before=SAME, after=each("remote.f(1)")),
        '`remote = run_module("tools", "lib/tools.py")`': Row(before=SAME, after=each("remote.f(1)")),
        "`remote = run_object(obj)`": Row(before=SAME, after=each("remote.method(1)")),
        '`run_object(InstanceDefinition("shop", "Shop", 3))`': Row(before=SAME, after=SHOP_OF_3),
        "`run_script(source, python_exe=path)`": Row(before=SAME, after=each("_.f(1)")),
        "`remote.f(1)`, `remote.numbers.append(5)`": Row(
            after=("str(remote.numbers)", "str(remote.numbers)"),
        ),
        "`remote.Shop()`, which had to be picklable": Row(
            before=(
                'remote = run_module("tools", "lib/tools.py")',
                'remote = elsewhere.Host().module("tools", "lib/tools.py")',
            ),
            raises=True,
            after=("_", "elsewhere.get(_.count)"),
            gives=(["DaemonCouldNotSendMsgError"], [5]),
        ),
        "`except DaemonCouldNotSendMsgError`": Row(wrong=("remote.Shop()", "_.Shop()"), after=each("True")),
        "`except UnknownException`": Row(wrong=each("remote.leave()"), after=each("True")),
        "(was wished for) run more source in it": Row(
            before=("remote = run_script(source)", "host = elsewhere.Host(); remote = host.script(source)"),
            instead=("remote.daemon.append(more)", ""),
            after=each("remote.added(1)"),
        ),
        "(was wished for) choose a value or a proxy": Row(
            instead=("remote", ""),
            after=("type(remote.f(1))", "type(_.f(1))"),
        ),
        "`remote.terminate_daemon()`": Row(after=each("fails(lambda: remote.f(1))")),
    },
    "uactor": {
        "`class A(uactor.Actor)`, `a = A(1)`": Row(before=SAME, after=each("a.name()")),
        "calls of several threads run at once": Row(
            before=SAME, instead=("A(1)", ""), after=each("a = _; asked = later(a.meet); a.meet() and asked.result()")
        ),
        "`with A() as a:`": Row(before=SAME, inside=each("seen = a.name()"), after=each("seen")),
        "`a.shutdown()`, the hook `shutdown`": Row(after=each("fails(a.name)")),
        "`_exposed_` with an attribute": Row(
            instead=("a.data", ""), after=("a.data = 1; a.data", "elsewhere.get(a.data)")
        ),
        "`_exposed_` to keep others from the rest": Row(
            before=("a = A(1)", "obj = A(1)"),
            instead=("a", ""),
            after=(
                "fails(lambda: a.method())",
                "server = _; server.start(); fails(lambda: fork.run(method_at, _.address))",
            ),
        ),
        '`_method_to_typeid_ = {"m": "list"}`': Row(
            before=("a = A(1); names = a.m()", ""),
            after=("names.append(4); list(a.m())", "a = _.spawn(A); a.m().append(4); list(a.m())"),
        ),
        '`return uactor.proxy(self.data, "list")`': Row(there=True, after=each("_.append(4); list(_)")),
        '`uactor.proxy(self.lock, "Lock")`': Row(there=True, after=each("_.acquire(), _.acquire(False)")),
        "`A.connect(address, key)`": Row(
            before=(
                "class A(A): _options_ = {'authkey': key}\na = A(1); address = a.connection_address",
                "server = elsewhere.serve(A(1), authkey=key); server.start(); address = str(server.address)",
            ),
            after=each("_.name()"),
        ),
        '`_options_ = {"address": address, "authkey": key}`, `a.connection_address`': Row(
            before=(
                "a = type('B', (A,), {'_options_': {'address': address, 'authkey': key}})(1)",
                "obj = A(1)",
            ),
            after=("a.connection_address == address", "str(_) == address"),
        ),
        "`isinstance(x, uactor.BaseProxy)`, `x._getvalue()`": Row(
            before=("a = A(1); x = a.m()", "a = elsewhere.Host(returns={A: ['m']}).spawn(A); x = a.m()")
        ),
        "`uactor.AuthkeyError`, `BrokenPipeError`, `EOFError`, …": Row(after=each("issubclass(_, Exception)")),
        "`except uactor.AuthKeyError`": Row(wrong=each("raise uactor.AuthkeyError"), after=each("True")),
        "`my_other_method = uactor.ProxyMethod('my_other_method')`": Row(after=each("callable(my_other_method)")),
        "`Registry.connect(address)`": Row(
            before=each("registry = Registry(); address = registry.connection_address"), after=each("_.name()")
        ),
    },
}

NOT_RUN: dict[str, dict[str, str]] = {
    "pipeproxy": {
        "pass `p` to a process": "words, about the program above the table, which is run",
        "message classes, senders and receivers of a pipe": "they are not there",
    },
    "remoteobj": {
        "`obj.remote.super.sound()`": "our column points to the program below, which is run",
        "`obj.remote.toggle(_default=None)`": "our column points to the program below, which is run",
        '`LocalExcept`, `with exc("init"):`': "our column is the language itself",
    },
    "spawny": {
        "(was wished for) a process that is started by hand": "two words, and a link to a guide whose programs are run",
    },
    "uactor": {
        "`with MyOtherActor.connect(…)` after `from proxy_forwarding import MyActor`": "the page's slip in an import",
        "`_method_to_typeid_ = {'get_mapping': 'dict'}` above `def get_data(self)`": "the page's slip in a name",
        "`self.finished,wait(timeout)`": "the page's slip, a comma for a dot",
    },
}


# ---------------------------------------------------------------- what the lines may speak of
class Surroundings:
    """What is made for one row, and ends with it."""

    def __init__(self, ends: contextlib.ExitStack) -> None:
        self._ends = ends

    def child(self, target: Callable[..., object], *args: Any) -> Any:
        """A forked process, which is told when the row is over."""
        context = multiprocessing.get_context("fork")
        over = context.Event()
        process = context.Process(target=target, args=(*args, over))
        process.start()
        self._ends.callback(process.join)
        self._ends.callback(over.set)
        return process

    def serve(self, obj: Any) -> Any:
        """The same, which serves a copy of `obj`, at an address that it gets."""
        obj.remote = elsewhere.reserve()
        process = self.child(shop.serve_until, obj)
        obj.remote.wait_ready(10, process)
        return process

    def later(self, function: Callable[..., Any], *args: Any) -> concurrent.futures.Future[Any]:
        """Call it in a thread."""
        threads = concurrent.futures.ThreadPoolExecutor(1)
        self._ends.callback(threads.shutdown)
        return threads.submit(function, *args)

    def answer(self, function: Callable[[], object]) -> None:
        """Call it in a thread, again and again, until the row is over."""
        over = threading.Event()

        def loop() -> None:
            while not over.is_set():
                function()

        self.later(loop)
        self._ends.callback(over.set)


def until(asked: concurrent.futures.Future[Any], function: Callable[[], object]) -> None:
    while not asked.done():
        function()


def fails(function: Callable[[], object]) -> bool:
    try:
        function()
    except Exception:
        return True
    return False


@contextlib.contextmanager
def names_for(guide: str, side: int, folder: Path, *, needs_host: bool) -> Iterator[dict[str, Any]]:
    """What the lines of one column may speak of, for one row."""
    with contextlib.ExitStack() as ends:
        made = Surroundings(ends)
        names: dict[str, Any] = {
            "__name__": "lines",
            "elsewhere": elsewhere,
            "logging": logging,
            "concurrent": concurrent,
            "ThreadPoolExecutor": concurrent.futures.ThreadPoolExecutor,
            **{name: value for name, value in vars(shop).items() if not name.startswith("_")},
            "child": made.child,
            "serve": made.serve,
            "later": made.later,
            "answer": made.answer,
            "until": until,
            "fails": fails,
            "path": sys.executable,
            "key": shop.KEY,
            "source": SOURCE,
            "more": "def added(number):\n    return numbers[0] + number\n",
            "func": shop.brightness if guide == "remoteobj" else None,
        }
        if guide == "erised":
            names |= {"Proxy": erised.Proxy, "person": shop.Person()}
        elif guide == "pipeproxy":
            names |= {"proxy": proxy, "obj": shop.Shop()}
        elif guide == "pyoad":
            names |= {name: getattr(pyoad, name) for name in ("ObjectDaemonProxy", "InstanceDefinition")}
            names |= {"obj": shop.Shop()}
        elif guide == "spawny":
            names |= {name: getattr(spawny, name) for name in spawny.__all__} | {"obj": shop.Shop()}
        elif guide == "remoteobj":
            names |= {name: getattr(remoteobj, name) for name in remoteobj.__all__} | {"obj": shop.Lamp()}
        elif guide == "uactor":
            names |= {"uactor": uactor, "A": (shop.Actor, shop.Plain)[side], "Registry": shop.Registry}
            names |= {"address": str(folder / f"actor{side}")}
        if needs_host:
            names["fork"] = ends.enter_context(elsewhere.Host())
        try:
            yield names
        finally:
            for value in list(names.values()):
                if isinstance(value, elsewhere.Server):
                    value.close()
            names.clear()


# ---------------------------------------------------------------- the tests
def all_pairs() -> dict[str, list[Pair]]:
    return {guide.stem: pairs_in(guide.read_text(encoding="utf-8")) for guide in sorted(GUIDES.glob("*.md"))}


PAIRS = all_pairs()
MODULES = [pair for pair in PAIRS["pipeproxy"] if pair.theirs.startswith("`from pipeproxy.lib.")]


def runnable() -> list[object]:
    return [
        pytest.param(guide, pair, id=f"{guide}:{pair.line}")
        for guide, pairs in PAIRS.items()
        for pair in pairs
        if pair.theirs not in NOT_RUN.get(guide, {}) and pair not in MODULES
    ]


def outcome(line: str, names: dict[str, Any], row: Row, side: int) -> Any:
    try:
        if row.there:
            line = f"a.evaluate({line.removeprefix('return ')!r})"
        return run(line, names, inside=row.inside[side], wrong=row.wrong[side])
    except Exception as error:
        if not row.raises:
            raise
        names["_"] = type(error).__name__
        return error


def seen(value: Any) -> Any:
    return type(value).__name__ if isinstance(value, Exception) else value


def outcomes(guide: str, pair: Pair, side: int, folder: Path) -> list[Any]:
    """What one column of a row gives."""
    row = ROWS.get(guide, {}).get(pair.theirs, Row())
    cells = (pair.theirs, pair.ours)
    lines = [row.instead[side]] if row.instead[side] else lines_of(cells[side], cells[1 - side])
    assert lines, f"nothing to run in {cells[side]!r}"
    before = (row.before or BEFORE[guide])[side]
    code = "\n".join([before, *lines, row.inside[side], *(row.after or ())])
    is_foreign = pair.heading == "their line"  # both columns are of the dialect
    with names_for(guide, 0 if is_foreign else side, folder, needs_host="fork." in code) as names:
        run(before, names)
        given = [outcome(line, names, row, side) for line in lines]
        if row.after is not None:
            return [seen(run(row.after[side], names))]
        return [seen(value) for value in given if value is not NOTHING]


@pytest.mark.parametrize(("guide", "pair"), runnable())
def test_both_columns_give_the_same(guide: str, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "tools.py").write_text("class Shop:\n    count = 5\n\ndef f(number):\n    return number + 1\n")
    monkeypatch.chdir(tmp_path)
    shutil.copy(shop.__file__, tmp_path)
    row = ROWS.get(guide, {}).get(pair.theirs, Row())

    theirs, ours = (outcomes(guide, pair, side, tmp_path) for side in (0, 1))

    if row.gives is not None:
        assert (theirs, ours) == row.gives
    else:
        assert theirs
        assert ours
        assert all(one == theirs[0] for one in ours) if len(ours) != len(theirs) else theirs == ours


@pytest.mark.parametrize("pair", MODULES, ids=lambda pair: f"pipeproxy:{pair.line}")
def test_names_of_pipeproxys_modules_stand_beside_proxy(pair: Pair) -> None:
    names: dict[str, Any] = {}
    run(pair.ours.strip("`"), names)

    (wanted,) = ast.parse(pair.theirs.strip("`")).body

    assert isinstance(wanted, ast.ImportFrom)
    assert {alias.name for alias in wanted.names} <= set(names)


@pytest.mark.parametrize("guide", PAIRS)
def test_every_row_that_the_tests_speak_of_stands_in_its_guide(guide: str) -> None:
    cells = {pair.theirs for pair in PAIRS[guide]}

    assert set(ROWS.get(guide, {})) | set(NOT_RUN.get(guide, {})) <= cells
    assert not set(ROWS.get(guide, {})) & set(NOT_RUN.get(guide, {}))


def test_cells_of_a_row_are_found_and_bars_in_code_are_none() -> None:
    (pair,) = pairs_in("| a | elsewhere |\n|---|---|\n| `x \\| y` | `x or y` |\n".replace("\\|", "|"))

    assert (pair.heading, pair.line, pair.theirs, pair.ours) == ("a", 3, "`x | y`", "`x or y`")


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("`a = 1`, `a.b()`", ["a = 1", "a.b()"]),
        ("`with a:` and `b()`, then `c()`", ["with a:\n    b()", "c()"]),
        ("`.name`, `name` and `def m`, all only mentioned", []),
        ("the same, which is said", ["other()"]),
    ],
)
def test_lines_of_a_cell_are_its_code(cell: str, lines: list[str]) -> None:
    assert lines_of(cell, "`other()`") == lines


@pytest.mark.parametrize("line", ["gone()", "except KeyError", "class A(dict)", "with open('gone'):"])
def test_line_that_is_wrong_does_not_run(line: str) -> None:
    with pytest.raises((NameError, AssertionError, OSError)):
        run(line, {"A": list})
