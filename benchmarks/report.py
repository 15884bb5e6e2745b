"""Where the figures of a benchmark are kept, and what several of them have in common."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from core.report import markdown

FOLDER = Path(__file__).parent


def write(name: str, report: dict) -> None:
    """Write ``report`` to benchmarks/NAME.json, over what was there."""
    (FOLDER / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def read(name: str) -> dict:
    """benchmarks/NAME.json; empty where there is none."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Minimum and median, to four digits. None stands for what never came, and is above everything."""
    known = [math.inf if value is None else value for value in values]
    found = {"min": min(known), "median": statistics.median(known)}
    return {name: float(f"{value:.4g}") if value < math.inf else None for name, value in found.items()}


def reached(success: Sequence[float], share: float, window: int) -> int | None:
    """The first step at which the mean of ``window`` steps up to it is ``share`` or more; None for never."""
    for step in range(window - 1, len(success)):
        if statistics.mean(success[step - window + 1 : step + 1]) >= share:
            return step
    return None


def table(title: str, rows: dict[str, dict[str, dict]]) -> str:
    """Minimum (median) of each row's columns, and how many times ours is in the peer's medians."""
    columns = list(next(iter(rows.values())))
    lines = []
    for name, row in rows.items():
        lines.append([name, *(cell(row[column]) if column in row else "" for column in columns), times(row)])
    return markdown([title, *columns, "peer / ours"], lines)


def cell(found: dict[str, float | None]) -> str:
    low, middle = ("never" if value is None else f"{value:g}" for value in (found["min"], found["median"]))
    return f"{low} ({middle})"


def times(row: dict[str, dict]) -> str:
    """The ratio of the medians; nothing where there is no peer, or one of the two never came."""
    ours, peer = (row.get(name, {}).get("median") for name in ("ours", "peer"))
    return f"{peer / ours:.2f}" if ours and peer else ""
