"""Writes what was measured as Markdown, and puts it where the documents mark its place.

Owns: the tables and sentences, and the marks `<!-- measured: NAME -->` and `<!-- measured: end -->`. Must not know: how
anything was measured or is drawn.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from limits import is_limit
from rows import OURS, figure, title
from seeds.beside import DIALECT, LIMIT, PUBLISHED, Beside, beside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from results import Results
    from rows import Row

MARKED = re.compile(r"(<!-- measured: (?!end)(?P<name>[\w-]+) -->\n).*?(<!-- measured: end -->)", re.DOTALL)
RATES = frozenset({"calls/s", "items/s"})
"""Units of which more is better."""
NOTICEABLE = 1.05
QUIET_LOAD = 0.25
"""The most load for each core that a measurement may begin with."""


def renewed(text: str, blocks: Mapping[str, str], kept: Collection[str] = ()) -> str:
    """A document with what stands between its marks replaced, but for those `kept`; any other mark is a KeyError."""

    def filled(found: re.Match[str]) -> str:
        name = found["name"]
        return found[0] if name in kept else f"{found[1]}\n{blocks[name].strip()}\n\n{found[3]}"

    return MARKED.sub(filled, text)


def marks_of(text: str) -> list[str]:
    """The names of a document's marks."""
    return [found["name"] for found in MARKED.finditer(text)]


def machine_line(results: Results) -> str:
    """Where and when, in a line."""
    here = results.machine
    build = here["revision"] if here["is_profiled"] else f"{here['revision']}, built without a profile"
    return (
        f"{here['processor']}{' (virtual)' if here['is_virtual'] else ''}, {here['cores']} cores, "
        f"{here['memory_gib']:.0f} GiB; {here['system'].split('-with')[0]}, {here['python']}; "
        f"elsewhere {here['elsewhere']} ({build}); {here['date'][:10]}, load {here['load_before']:.1f}"
    )


def provenance(results: Results) -> str:
    """Where and when, and whether it is to be believed."""
    here = results.machine
    warnings = []
    if here["load_before"] > QUIET_LOAD * here["cores"]:
        warnings.append(f"other programs were running (load {here['load_before']:.1f})")
    if results.effort != "full":
        warnings.append(f"only a {results.effort} run was made")
    said = f"{machine_line(results)}."
    if warnings:
        said += f"\n\n**These figures are a smoke test, not a measurement: {' and '.join(warnings)}.**"
    return said


def bar(rows: Iterable[Row]) -> str:
    """Every aim and whether it is met."""
    lines = ["| | workload | cores | aim | measured | |", "|---|---|---|---:|---:|---|"]
    for row in rows:
        lines += [
            f"| {row.workload} | {title(row)} | {_cores(row)} | {row.text_of(aim)} | {figure(row.judged(aim))} "
            f"| {'met' if row.is_met(aim) else '**missed**'} |"
            for aim in row.measured_aims
        ]
    return "\n".join(lines)


def figures(rows: Sequence[Row]) -> str:
    """Everybody's figures, a table for each workload that has more than one contender."""
    return "\n\n".join(_table(name, group) for name, group in _grouped(rows) if any(row.others for row in group))


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for name in dict.fromkeys(row.workload for row in rows):
        yield name, [row for row in rows if row.workload == name]


def _table(name: str, rows: Sequence[Row]) -> str:
    contenders = list(dict.fromkeys(contender for row in rows for contender in row.figures))
    unit = rows[0].unit
    what = f"{unit}, p50 / p99" if any(row.tails for row in rows) else unit
    lines = [f"| {name} ({what}) | cores | {' | '.join(contenders)} |", f"|---|---|{'---:|' * len(contenders)}"]
    for row in rows:
        cells = [_cell(row, contender) for contender in contenders]
        lines.append(f"| {title(row)} | {_cores(row)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row, name: str) -> str:
    if name not in row.figures:
        return ""
    tail = row.tail(name)
    text = figure(row.spread(name).median)
    return f"{text} / {figure(tail.median)}" if tail and "memcpy" not in name else text


def faster(rows: Iterable[Row], beyond: Collection[str] = ()) -> str:
    """Where somebody else is faster or smaller, and by how much; neither limits nor those in `beyond` count."""
    lines = ["| | workload | cores | who is better, and how many times |", "|---|---|---|---|"]
    for row in rows:
        ahead = {
            name: _behind(row, name) for name in row.others if not _is_apart(name, beyond) and all(row.figures[name])
        }
        said = "; ".join(f"{name}: {figure(times)}" for name, times in ahead.items() if times > NOTICEABLE)
        if said:
            lines.append(f"| {row.workload} | {title(row)} | {_cores(row)} | {said} |")
    return "\n".join(lines) if len(lines) > 2 else "Nobody was, in this run."


def _behind(row: Row, name: str) -> float:
    """How many times better than ours another's figure is."""
    ratio = row.ratio(name).median
    return 1 / ratio if row.unit in RATES else ratio


def _is_apart(name: str, beyond: Collection[str]) -> bool:
    return is_limit(name) or name.startswith((OURS, *beyond))


def seeds(results: Results) -> str:
    """Each dialect beside plain elsewhere and the published package, with the two ratios."""
    columns = [
        "library",
        "workload",
        "cores",
        OURS,
        DIALECT,
        PUBLISHED,
        f"{DIALECT} : {OURS}",
        f"{DIALECT} : {PUBLISHED}",
    ]
    lines = [f"| {' | '.join(columns)} |", "|---|---|---|---:|---:|---:|---:|---:|"]
    for row in results.rows:
        line = beside(row)
        cells = [_cell(row, way) for way in (OURS, DIALECT, PUBLISHED)]
        unit = f"{row.what} ({row.unit}{', p50 / p99' if row.tails else ''})"
        ratios = [f"{figure(one.median)}" if one else "" for one in (line.to_plain, line.to_published)]
        lines.append(f"| {row.workload} | {unit} | {_cores(row)} | {' | '.join(cells + ratios)} |")
    pairs = [beside(row) for row in results.rows]
    said = [
        _counted(
            "calls", f"cost at most {LIMIT} times the plain call", [(one, one.is_as_fast_as_plain) for one in pairs]
        ),
        _counted("lines beside a published package", "are faster than that", [(one, one.is_faster) for one in pairs]),
    ]
    return "\n".join([*lines, "", *said, "", *(f"- **{name}**: {note}." for name, note in results.notes.items())])


def _counted(what: str, aim: str, met: list[tuple[Beside, bool | None]]) -> str:
    """How many of those that can be told meet an aim, and which do not."""
    asked = [(one, is_met) for one, is_met in met if is_met is not None]
    missed = [f"{one.row.workload}, {one.row.what} ({_cores(one.row)})" for one, is_met in asked if not is_met]
    text = f"Of {len(asked)} dialects' {what} {len(asked) - len(missed)} {aim}"
    return f"{text}. Not so: {'; '.join(missed)}." if missed else f"{text}."


def who(results: Results, beyond: Results | None = None) -> str:
    """How each was used; those of another run are not said again."""
    said = beyond.notes if beyond else {}
    return "\n".join(f"- **{name}**: {note}." for name, note in results.notes.items() if name not in said)


SUMMARY = {
    ("W1", "call with a number"): "less",
    ("W1", "call with an object of the user's class"): "less",
    ("W3", "value of an attribute"): "less",
    ("W9", "a.b.c.add(1)"): "less",
    ("W2", "calls without waiting, numbers"): "more",
    ("W8", "items of a generator"): "more",
    ("W4", "an array as an argument"): "less",
    ("W5", "start by exec to the first answer"): "less",
}


def summary(rows: Iterable[Row]) -> str:
    """Some ratios to the Pipe loop, as a first impression."""
    lines = ["| | cores | elsewhere : Pipe loop | better is |", "|---|---|---|---|"]
    for row in rows:
        beside = next((name for name in row.others if name in {"Pipe", "Pipe, spawn"}), None)
        if beside is None or (row.workload, row.what) not in SUMMARY:
            continue
        if row.point is not None and row.point.value != 64 << 20:
            continue
        ratio = row.ratio(beside)
        spread = f"{figure(ratio.median)} [{figure(ratio.low)} to {figure(ratio.high)}]"
        lines.append(f"| {title(row)} | {_cores(row)} | {spread} | {SUMMARY[row.workload, row.what]} |")
    return "\n".join(lines)


def _cores(row: Row) -> str:
    return row.placement.value if row.placement else ""
