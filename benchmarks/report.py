"""Where the figures of a benchmark are kept: beside its script, as JSON."""

from __future__ import annotations

import json
from pathlib import Path


def write(name: str, report: dict) -> None:
    """Write ``report`` to benchmarks/NAME.json, over what was there."""
    Path(__file__).with_name(f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
