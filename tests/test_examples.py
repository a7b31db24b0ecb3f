"""The short examples print what they are there to show. Figures that depend on the machine are for people to judge."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LIMIT_SECONDS = 25


def output_of(program: str, folder: Path) -> str:
    """What an example prints when it is run in a directory of its own; it ends well and complains of nothing."""
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{program}.py")],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def numbers_in(pattern: str, text: str) -> list[int]:
    """The groups of the one place that a pattern matches, as numbers."""
    (found,) = re.finditer(pattern, text)
    return [int(group) for group in found.groups()]


def test_model_answers_from_another_process_while_the_event_loop_runs(tmp_path: Path) -> None:
    printed = output_of("model_from_asyncio", tmp_path)

    model, loop = numbers_in(r"the model is in process (\d+), the event loop in (\d+)", printed)
    assert model != loop
    assert len(re.findall(r"^after '\w+' comes '.+'$", printed, re.MULTILINE)) == 6
    (text,) = re.findall(r"^it writes: (.*)$", printed, re.MULTILINE)
    assert len(text.split()) == 12
    (rounds,) = numbers_in(r"the event loop came round (\d+) times", printed)
    assert rounds > 0


def test_crashing_library_is_started_again_for_what_had_not_started(tmp_path: Path) -> None:
    printed = output_of("crashing_library", tmp_path)

    assert [int(left) for left in re.findall(r"started the library in .* for (\d) texts", printed)] == [6, 3, 1]
    assert len(set(re.findall(r"<Host: host (\d+)>", printed))) == 3
    assert printed.count("None ended it: SIGSEGV") == 2
    assert re.findall(r"b'(\w+)' has (\d) characters", printed) == [
        ("wolf", "4"),
        ("sheep", "5"),
        ("cabbage", "7"),
        ("ferryman", "8"),
    ]


def test_instrument_is_read_while_the_window_draws(tmp_path: Path) -> None:
    printed = output_of("instrument_beside_a_window", tmp_path)

    readings = re.findall(r"^(\S+), shown on MainThread$", printed, re.MULTILINE)
    assert readings == ["+0.48", "+0.84", "+1.00", "+0.91", "+0.60"]
    frames, asked = numbers_in(r"(\d+) frames drawn during (\d) readings", printed)
    assert asked == 5
    assert frames > asked


def test_primes_are_counted_in_threads_and_in_other_processes_alike(tmp_path: Path) -> None:
    printed = output_of("work_off_the_gil", tmp_path)

    assert re.findall(r"^in (threads|hosts): +(\d+) primes", printed, re.MULTILINE) == [
        ("threads", "6057"),
        ("hosts", "6057"),
    ]
    (here, others) = re.findall(r"we are process (\d+), the hosts were \[([\d, ]+)\]", printed)[0]
    assert here not in others.split(", ")


def test_a_method_of_shared_state_loses_nothing(tmp_path: Path) -> None:
    printed = output_of("shared_state", tmp_path)

    *shares, files = numbers_in(r"the readers read (\d+) \+ (\d+) \+ (\d+) = (\d+) files", printed)
    (by_method,) = numbers_in(r"the tally has (\d+) files, counted by a method", printed)
    (by_assignment,) = numbers_in(r"the tally has (\d+) files, counted by \+=", printed)
    assert sum(shares) == files == by_method
    assert by_assignment <= files


def test_debugger_stops_in_the_object_in_local_mode(tmp_path: Path) -> None:
    printed = output_of("debugging_in_local_mode", tmp_path)

    (own_pid,) = numbers_in(r"in process (\d+), under pdb", printed)
    assert "elsewhere: (70, 20)" in printed
    assert f"process {own_pid}: amount=30, self.balance=100" in printed
    assert re.search(r"withdraw_twice\(\)\n-> return first.result\(\), second.result\(\)", printed)
    assert "here: (970, 920)" in printed
