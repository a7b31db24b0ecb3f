"""Keeps what was measured, and where, as JSON; reads it back.

Owns: the file's format, which `docs/performance.md` describes. Must not know: how anything is measured or shown.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from placement import CORES, Placement
from rows import Aim, Of, Point, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
FOLDER = Path(__file__).resolve().parent / "results"
LATEST = FOLDER / "latest.json"
WITH_PEERS = FOLDER / "peers.json"
SEEDS = FOLDER / "seeds.json"
"""What `make bench-seeds` writes."""
PART = FOLDER / "part.json"
"""What a run of some workloads writes: the documents show whole ones."""


@dataclass(frozen=True)
class Results:
    """One run: where and when, who took part and how, and all rows."""

    machine: Mapping[str, Any]
    effort: str
    notes: Mapping[str, str]
    rows: list[Row]


def machine(load_before: float) -> dict[str, Any]:
    """Where figures of now come from; the load of before shows whether the machine was quiet."""
    from elsewhere._core import IS_PROFILED  # noqa: PLC0415 - who only reads a file need not have the package

    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(CORES),
        "is_virtual": "hypervisor" in _field("/proc/cpuinfo", "flags").split(),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20), 1),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "elsewhere": version("elsewhere"),
        "revision": _revision(),
        "is_profiled": IS_PROFILED,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
    }


def save(results: Results, path: Path) -> None:
    """Write everything, round by round, with the summaries that readers without this module want."""
    content = {
        "schema": SCHEMA,
        "machine": dict(results.machine),
        "effort": results.effort,
        "contenders": dict(results.notes),
        "rows": [_entry(row) for row in results.rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """Read a file of this schema; any other is a mistake of whoever calls."""
    if not path.exists():
        raise SystemExit(f"{path} is missing: run `make {'bench-peers' if path == WITH_PEERS else 'bench'}` first")
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("schema") != SCHEMA:
        raise SystemExit(f"{path} was written by another version: run `make bench` again")
    rows = [_row(entry) for entry in content["rows"]]
    return Results(content["machine"], content["effort"], content["contenders"], rows)


def _entry(row: Row) -> dict[str, Any]:
    """One row as plain values. The keys under `contenders` but `figures` and `tails` are summaries of these."""
    contenders: dict[str, dict[str, Any]] = {}
    for name, figures in row.figures.items():
        contenders[name] = {"figures": figures, "spread": asdict(row.spread(name))}
        if (tail := row.tail(name)) is not None:
            contenders[name] |= {"tails": row.tails[name], "tail": asdict(tail)}
        if _has_ratio(row, name):
            contenders[name]["ratio"] = asdict(row.ratio(name))
    return {
        "workload": row.workload,
        "what": row.what,
        "unit": row.unit,
        "placement": row.placement.value if row.placement else None,
        "point": asdict(row.point) if row.point else None,
        "remark": row.remark,
        "contenders": contenders,
        "aims": [
            {
                "bound": aim.bound,
                "beside": aim.beside,
                "at_least": aim.at_least,
                "of": aim.of.value,
                "text": row.text_of(aim),
                "measured": row.judged(aim),
                "is_met": row.is_met(aim),
            }
            for aim in row.measured_aims
        ],
    }


def _has_ratio(row: Row, name: str) -> bool:
    return name in row.others and all(row.figures[name])


def _row(entry: dict[str, Any]) -> Row:
    contenders = entry["contenders"]
    return Row(
        entry["workload"],
        entry["what"],
        entry["unit"],
        {name: one["figures"] for name, one in contenders.items()},
        Placement(entry["placement"]) if entry["placement"] else None,
        {name: one["tails"] for name, one in contenders.items() if "tails" in one},
        Point(**entry["point"]) if entry["point"] else None,
        tuple(Aim(aim["bound"], aim["beside"], aim["at_least"], Of(aim["of"])) for aim in entry["aims"]),
        entry["remark"],
    )


def _field(path: str, name: str) -> str:
    """The first value of a `name: value` file of the kernel's."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _revision() -> str:
    """The commit that was measured, with `+` if there was more; empty where git does not know."""
    here = Path(__file__).resolve().parent
    asked = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(asked, cwd=here, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
