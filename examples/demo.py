"""`make demo`: an index of the standard library's source and a database, each in a process of its own.

Shows, on real input, what elsewhere does: objects put elsewhere, calls with and without waiting, a stream, an object
that cannot be copied, and the death of a host. Each step prints what it does and what came back.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sysconfig
import time
import traceback
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import elsewhere
from bare_pipe import BarePipe
from word_index import FileStatistics, WordIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IN_FLIGHT = 64
"""How many files may be on their way to the index at once."""

console = Console(highlight=False)


class Fed(NamedTuple):
    """What came back from feeding the index, and how long it took."""

    statistics: list[FileStatistics]
    seconds: float


class CallTimes(NamedTuple):
    """Of one small method: microseconds of a call that waits for its result, and calls per second without waiting."""

    proxy: float
    pipe: float
    rate: float


def main() -> None:
    """Run the steps, one after another."""
    explain(
        "1. An object elsewhere",
        "WordIndex is a plain class. spawn() constructs it in a new process; what we hold is a proxy of it.",
    )
    index = elsewhere.spawn(WordIndex)
    show("index", repr(index))
    show("runs in process", str(elsewhere.host_of(index).pid), f"we are {os.getpid()}")

    explain(
        "2. Many calls without waiting",
        "submit() sends a call and gives a Future at once. "
        f"We send every .py file of the standard library, with at most {IN_FLIGHT} calls in flight.",
    )
    fed = feed(index, standard_library())

    explain(
        "3. Plain calls", "A call on a proxy waits and gives the value. So do operators; get() copies an attribute."
    )
    query(index)

    explain("4. A stream", "search() is a generator. stream() reads ahead; when we stop, so does the generator there.")
    stream_hits(index, "subinterpreter", 5)

    explain(
        "5. An object that cannot be copied",
        "A sqlite3.Connection cannot leave its process. It need not: it lives in a second host, and so do its cursors.",
    )
    with elsewhere.Host(name="database") as host:
        database = host.spawn(sqlite3.connect, ":memory:")
        fill(database, fed.statistics)
        largest_packages(database)

        explain(
            "6. A host that dies",
            "We kill the database's process during a query. Each call ends with an error that says what is known.",
        )
        kill_during_query(host, database)
    show("the index, meanwhile", f"{len(index):,} files", "lives in another process and noticed nothing")

    explain(
        "7. What a call costs",
        "The same small method, called through the proxy and through a bare multiprocessing.Pipe loop, in turns; "
        "then once more without waiting for each result.",
    )
    summary(fed, measure_calls(index))
    console.print(
        "\nNow put a class of your own elsewhere: README.md, 'Try it, test it', has five lines to begin with."
    )


def standard_library() -> list[Path]:
    """Every Python file of the standard library of the interpreter at hand, without what was installed into it."""
    root = Path(sysconfig.get_path("stdlib"))
    return [path for path in sorted(root.rglob("*.py")) if not {"site-packages", "dist-packages"} & set(path.parts)]


def feed(index: WordIndex, paths: list[Path]) -> Fed:
    """Send every file to the index, with a bounded number of calls in flight."""
    statistics: list[FileStatistics] = []
    waiting: deque[elsewhere.Future[FileStatistics]] = deque()
    began = time.perf_counter()
    with progress_bar() as progress:
        task = progress.add_task("indexing", total=len(paths))
        for path in paths:
            if len(waiting) == IN_FLIGHT:
                statistics.append(waiting.popleft().result())
                progress.advance(task)
            waiting.append(elsewhere.submit(index.add, str(path), path.read_bytes()))
        for future in waiting:
            statistics.append(future.result())
            progress.advance(task)
    return Fed(statistics, time.perf_counter() - began)


def query(index: WordIndex) -> None:
    """Ask the index with plain calls, operators and an attribute."""
    show("len(index)", f"{len(index):,}")
    show("get(index.total_words)", f"{elsewhere.get(index.total_words):,}")
    show('"yield" in index', str("yield" in index))
    show('index.count("yield")', f"{index.count('yield'):,}")
    show("index.most_common(5)", ", ".join(f"{word} {count:,}" for word, count in index.most_common(5)))
    found = index.files_with("asyncio", "ssl")
    show(
        'index.files_with("asyncio", "ssl")',
        f"{len(found)} files",
        f"{Path(found[0]).name} is the first" if found else "",
    )


def stream_hits(index: WordIndex, word: str, number: int) -> None:
    """Print the first hits of a search that would find more."""
    hits = elsewhere.stream(index.search, word)
    for hit, _ in zip(hits, range(number), strict=False):
        show(f"{Path(hit.path).name}:{hit.line}", hit.text[:80])


def fill(database: sqlite3.Connection, statistics: list[FileStatistics]) -> None:
    """Put what the index counted into a table of the database."""
    root = Path(sysconfig.get_path("stdlib"))
    rows = [(package_of(Path(entry.path).relative_to(root)), entry.lines, entry.words) for entry in statistics]
    database.execute("create table files (package text, lines integer, words integer)")
    database.executemany("insert into files values (?, ?, ?)", rows)
    show("connection", repr(database))
    show("rows", f"{len(rows):,}")


def package_of(path: Path) -> str:
    """The top-level package or module that a file of the standard library belongs to."""
    return path.parts[0].removesuffix(".py")


def largest_packages(database: sqlite3.Connection) -> None:
    """Ask the database; the cursor that `execute` returns cannot be copied either and arrives as a proxy."""
    cursor = database.execute(
        "select package, count(*), sum(lines) from files group by package order by sum(lines) desc limit 3"
    )
    show("cursor", repr(cursor))
    for package, files, lines in cursor.fetchall():
        show(package, f"{files:,} files, {lines:,} lines")


def kill_during_query(host: elsewhere.Host, database: sqlite3.Connection) -> None:
    """Kill the host while it counts to a thousand million, and show what its callers are told."""
    endless = (
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000000) select count(*) from n"
    )
    running = elsewhere.submit(database.execute, endless)
    queued = elsewhere.submit(database.execute, "select 1")
    time.sleep(0.3)  # lets the query begin; nothing depends on how long this is
    assert host.pid is not None
    os.kill(host.pid, signal.SIGKILL)
    show_error("the running query", running.result)
    show_error("the one queued behind it", queued.result)
    show_error("any later call", database.commit)


def show_error(what: str, call: Callable[[], object]) -> None:
    """Make a call that must end with HostDied, and print what the error says."""
    try:
        call()
    except elsewhere.HostDied as error:
        show(what, f"outcome {error.outcome!r}, signal {error.signal}")
        whole = "".join(traceback.format_exception_only(error)).rstrip()
        console.print(Padding(Text(whole, style="red"), (0, 0, 0, 6), expand=False))
    else:
        raise AssertionError(f"{what} ended well on a dead host")


def measure_calls(index: WordIndex, rounds: int = 9, calls: int = 1000) -> CallTimes:
    """Time `count` through the proxy and through a pipe loop in alternating rounds, then pipelined; medians."""
    with BarePipe(WordIndex()) as pipe:
        contenders: list[Callable[[], object]] = [lambda: index.count("yield"), lambda: pipe.call("count", "yield")]
        taken = [sorted(times) for times in zip(*one_round(contenders, rounds, calls), strict=True)]
    rates = sorted(pipelined_rate(index, 10 * calls) for _ in range(rounds))
    proxy, pipe_loop, rate = (figures[rounds // 2] for figures in (*taken, rates))
    return CallTimes(proxy, pipe_loop, rate)


def pipelined_rate(index: WordIndex, calls: int) -> float:
    """Calls per second, with at most IN_FLIGHT of them under way."""
    waiting: deque[elsewhere.Future[int]] = deque()
    began = time.perf_counter()
    for _ in range(calls):
        if len(waiting) == IN_FLIGHT:
            waiting.popleft().result()
        waiting.append(elsewhere.submit(index.count, "yield"))
    for future in waiting:
        future.result()
    return calls / (time.perf_counter() - began)


def one_round(contenders: list[Callable[[], object]], rounds: int, calls: int) -> Iterator[list[float]]:
    """For each round the microseconds per call of each contender."""
    for _ in range(rounds):
        taken: list[float] = []
        for contender in contenders:
            began = time.perf_counter()
            for _ in range(calls):
                contender()
            taken.append((time.perf_counter() - began) / calls * 1e6)
        yield taken


def summary(fed: Fed, times: CallTimes) -> None:
    """The table at the end."""
    table = Table(show_header=False, title="what this run did", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    files = len(fed.statistics)
    table.add_row("files indexed, one call each", f"{files:,}")
    table.add_row("lines in them", f"{sum(entry.lines for entry in fed.statistics):,}")
    table.add_row("calls per second, each with the work of indexing", f"{files / fed.seconds:,.0f}")
    table.add_row("calls per second, small ones without waiting", f"{times.rate:,.0f}")
    table.add_row("µs per small call, proxy", f"{times.proxy:.1f}")
    table.add_row("µs per small call, raw multiprocessing.Pipe loop", f"{times.pipe:.1f}")
    table.add_row("proxy / Pipe", f"{times.proxy / times.pipe:.2f}")
    console.print()
    console.print(table)


def progress_bar() -> Progress:
    """A bar with counts and time."""
    columns = [TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    return Progress(*columns, console=console)


def explain(title: str, text: str) -> None:
    """Print the heading of a step and what it shows."""
    console.print(f"\n[bold]{title}[/bold]")
    console.print(Padding(text, (0, 0, 0, 2), expand=False), style="dim")


def show(what: str, value: str, remark: str = "") -> None:
    """Print one result."""
    console.print(f"  {what:<36} {value}" + (f"  ({remark})" if remark else ""), markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
