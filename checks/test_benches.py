"""The benches measure every workload; how they take turns, judge aims and keep figures. Not: how fast anything is."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import report
import results
from checks.walls import ROOT
from limits import is_limit
from measure import SMOKE, Calls, calls, interleave
from placement import Placement
from plots import pages, plan
from rows import Aim, Of, Point, Row, medians_and_tails
from seeds.beside import beside
from seeds.libraries import LIBRARIES

if TYPE_CHECKING:
    from pathlib import Path

ONE_BY_ONE = {"W1", "W3", "W9", "W10"}
SOME = results.Results({**results.machine(4.0), "cores": 2}, "full", {"Pipe": "by hand"}, [])
OTHERS = {
    "await",
    "bare",
    "serving",
    "beside",
    "W2",
    "W4",
    "W5",
    "W6",
    "W7",
    "W8",
    "objects",
    "hosts",
    "idle",
    "special",
    "no trip",
    "import",
    "fds",
}


def test_contenders_take_turns_and_each_begins_once() -> None:
    order: list[str] = []

    def sample(name: str) -> str:
        order.append(name)
        return name.upper()

    figures = interleave({name: partial(sample, name) for name in "abc"}, 3)

    assert "".join(order) == "abcbcacab"
    assert figures == {"a": ["A"] * 3, "b": ["B"] * 3, "c": ["C"] * 3}


def test_a_batch_has_at_least_its_calls_and_a_tail_that_is_no_shorter_than_the_median() -> None:
    made: list[int] = []

    batch = calls(lambda: made.append(1), SMOKE)()

    assert len(made) >= 2 * SMOKE.least_calls  # those of the warm-up, too
    assert 0 < batch.median <= batch.tail


def test_ratios_are_taken_within_a_round_and_not_of_medians() -> None:
    row = Row("W1", "a call", "µs", {"elsewhere": [1.0, 20.0, 3.0], "Pipe": [10.0, 100.0, 10.0]})

    assert row.ratio("Pipe").median == pytest.approx(0.2)


def test_an_aim_bounds_what_it_names() -> None:
    figures, tails = medians_and_tails({"elsewhere": [Calls(2.0, 9.0)], "Pipe": [Calls(40.0, 50.0)]})
    row = Row("W1", "a call", "µs", figures, tails=tails)

    assert [row.judged(aim) for aim in (Aim(1), Aim(1, of=Of.TAIL), Aim(1, "Pipe"))] == [2.0, 9.0, 0.05]
    assert row.is_met(Aim(2))
    assert not row.is_met(Aim(1.9))
    assert row.is_met(Aim(2, at_least=True))
    assert not row.is_met(Aim(2.1, at_least=True))


def test_an_aim_beside_somebody_who_was_not_there_is_not_judged() -> None:
    row = Row("W1", "a call", "µs", {"elsewhere": [1.0], "Pipe": [2.0]}, aims=(Aim(1, "Pipe"), Aim(1, "Ray")))

    assert [aim.beside for aim in row.measured_aims] == ["Pipe"]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    row = Row(
        "W4",
        "an array",
        "µs",
        {"elsewhere": [1.0, 2.0], "Pipe": [3.0, 4.0]},
        Placement.TWO_CORES,
        {"elsewhere": [5.0, 6.0]},
        Point("bytes", 1024),
        (Aim(0.5, "Pipe", at_least=True), Aim(2.0, of=Of.TAIL)),
    )
    measured = results.Results({"cores": 2}, "smoke", {"Pipe": "by hand"}, [row])

    results.save(measured, tmp_path / "some.json")

    assert results.load(tmp_path / "some.json") == measured


def test_a_file_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"rows": []}', encoding="utf-8")

    with pytest.raises(SystemExit, match="run `make bench` again"):
        results.load(tmp_path / "old.json")


def test_only_what_stands_between_marks_is_renewed() -> None:
    text = "a\n<!-- measured: bar -->\nold\n<!-- measured: end -->\nb\n"

    once = pages.renewed(text, {"bar": "new"})

    assert once == "a\n<!-- measured: bar -->\n\nnew\n\n<!-- measured: end -->\nb\n"
    assert pages.renewed(once, {"bar": "new"}) == once


def test_every_mark_in_the_documents_has_something_to_stand_there() -> None:
    blocks = report.blocks_of(SOME, SOME) | report.blocks_of_seeds(SOME)

    marks = {mark for document in report.DOCUMENTS for mark in pages.marks_of(document.read_text(encoding="utf-8"))}

    assert marks == blocks.keys()


def test_a_mark_that_nobody_fills_is_refused() -> None:
    with pytest.raises(KeyError, match="bare"):
        pages.renewed("<!-- measured: bare -->\n<!-- measured: end -->\n", {"bar": ""})


def test_whoever_is_better_is_named_where_less_is_better_and_where_more_is() -> None:
    rows = [
        Row("W1", "a call", "µs", {"elsewhere": [4.0], "Pipe": [2.0], "managers": [8.0], "limit: futex": [1.0]}),
        Row("W2", "calls", "calls/s", {"elsewhere": [4.0], "Pipe": [2.0], "managers": [12.0]}),
    ]

    said = pages.faster(rows)

    assert "| W1 | a call |  | Pipe: 2 |" in said
    assert "| W2 | calls |  | managers: 3 |" in said
    assert pages.faster(rows, beyond={"Pipe", "managers"}) == "Nobody was, in this run."


def test_a_busy_machine_and_a_short_run_are_said() -> None:
    quiet = {**SOME.machine, "load_before": 0.1}

    assert "smoke test" in pages.provenance(SOME)
    assert "smoke test" in pages.provenance(results.Results(quiet, "quick", {}, []))
    assert "smoke test" not in pages.provenance(results.Results(quiet, "full", {}, []))


def test_what_was_not_measured_again_is_kept_as_it_stands() -> None:
    text = "<!-- measured: bar -->\nold\n<!-- measured: end -->\n"

    assert pages.renewed(text, {}, kept=["bar"]) == text


def test_a_dialect_is_set_beside_plain_calls_and_beside_what_was_published() -> None:
    figures = {"elsewhere": [2.0, 4.0, 2.0], "dialect": [3.0, 4.0, 2.0], "published": [30.0, 40.0, 20.0]}
    call = Row("pyoad", "call with a number", "µs", figures)
    lonely = Row("erised", "start to the first answer", "ms", {"elsewhere": [1.0], "dialect": [2.0]})

    line, alone = beside(call), beside(lonely)

    assert (line.to_plain.median, line.is_as_fast_as_plain) == (1.0, True)
    assert line.to_published is not None
    assert (line.to_published.median, line.is_faster) == (0.1, True)
    assert (alone.to_plain.median, alone.is_as_fast_as_plain) == (2.0, None)
    assert (alone.to_published, alone.is_faster) == (None, None)
    said = pages.seeds(results.Results({}, "full", {"erised": "not here"}, [call, lonely]))
    assert "| pyoad | call with a number (µs) |  | 2 | 3 | 30 | 1 | 0.1 |" in said
    assert "Of 1 dialects' calls 1 cost" in said
    assert "- **erised**: not here." in said


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_each_dialect_gives_figures_beside_plain_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "seeds.json"

    ended = subprocess.run(
        [sys.executable, "benches/run_seeds.py", "--effort", "smoke", "--json", str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error,ignore:This process:DeprecationWarning", "NO_COLOR": "1"},  # forks
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    measured = results.load(path)
    here = {name for name, said in measured.notes.items() if "the dialect it is not here" not in said}
    assert {"erised", "pipeproxy", "pyoad", "spawny"} <= here == {row.workload for row in measured.rows}
    assert measured.notes.keys() == LIBRARIES.keys()
    assert all({"elsewhere", "dialect"} <= row.figures.keys() for row in measured.rows)
    assert "erised: as published it is not here" in ended.stdout
    assert "Object daemon" not in ended.stdout


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_every_workload_gives_figures_of_everybody_who_can_do_it(tmp_path: Path) -> None:
    for package, example in (("elsewhere-shm", "limits"), ("elsewhere-engine", "cipher")):
        build = ["cargo", "build", "--release", "--quiet", "--package", package, "--example", example]
        subprocess.run(build, cwd=ROOT, check=True)

    ended = subprocess.run(
        [sys.executable, "benches/run.py", "--effort", "smoke", "--json", str(tmp_path / "bench.json")],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    planned = {plot.name for plot in plan.plots(results.load(tmp_path / "bench.json").rows)}
    shown = re.findall(r"\(measured/([\w-]+)\.png\)", (report.DOCS / "performance.md").read_text(encoding="utf-8"))
    assert set(shown) == planned | {f"peers-{name}" for name in report.BESIDE_PEERS}
    rows: list[dict[str, Any]] = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["rows"]
    assert {row["workload"] for row in rows} == ONE_BY_ONE | OTHERS
    for row in rows:
        for name, one in row["contenders"].items():
            for figure in (*one["figures"], *one.get("tails", ())):
                assert math.isfinite(figure), (row["what"], name)
                assert figure > 0 or row["workload"] in {"idle", "import"}, (row["what"], name)
    for row in rows:
        if row["workload"] in ONE_BY_ONE:
            assert {"elsewhere", "Pipe", "executor"} <= row["contenders"].keys()
            assert any(is_limit(name) for name in row["contenders"])
            assert all(one["tails"] for one in row["contenders"].values())
