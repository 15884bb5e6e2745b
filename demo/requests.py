"""Checks of everything that comes from outside: a tab, the API, or a link.

Each returns the value in its proper type, or raises RequestError with one sentence that names the argument
and what is allowed. Nothing here imports torch or gradio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

LARGEST_SEED = 2**31 - 1
MOST_SAMPLES = 64
DRAWN = 28  # pixels a side of a drawing, whatever the recipe


class RequestError(ValueError):
    """A request asks for something that there is not; the message is one sentence for the person who asked."""


def one_of(name: str, value: Any, allowed: Sequence[str]) -> str:
    """One of some names."""
    if not isinstance(value, str) or value not in allowed:
        raise RequestError(f"{name} is {shown(value)}; allowed: {', '.join(allowed)}.")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    """A finite number in a range, ends included; a link may hold it as text."""
    value = _parsed(value)
    if not _finite(value) or not low <= value <= high:
        raise RequestError(f"{name} is {shown(value)}; allowed: a number from {low:g} to {high:g}.")
    return float(value)


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number in a range, ends included; a link may hold it as text."""
    value = _parsed(value)
    if not _finite(value) or not low <= value <= high or value != int(value):
        raise RequestError(f"{name} is {shown(value)}; allowed: a whole number from {low} to {high}.")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise RequestError(f"{name} is {shown(value)}; allowed: true, false.")
    return value


def seed(value: Any) -> int:
    return whole("seed", value, 0, LARGEST_SEED)


def digit(value: Any) -> int:
    return whole("digit", value, 0, 9)


def count(value: Any) -> int:
    return whole("count", value, 1, MOST_SAMPLES)


def temperature(value: Any) -> float:
    return number("temperature", value, 0.25, 2.0)


def picture(value: Any, size: int) -> list[list[float]]:
    """Rows of numbers in [0, 1], paper 0 and ink 1: as large as the recipe's pictures, or 28 x 28.

    Returns:
        the rows, as floats.
    """
    sides = sorted({size, DRAWN})
    allowed = " or ".join(f"{side} rows of {side}" for side in sides) + " numbers from 0 to 1"
    if not isinstance(value, (list, tuple)) or len(value) not in sides:
        found = f"{len(value)} rows" if isinstance(value, (list, tuple)) else shown(value)
        raise RequestError(f"picture is {found}; allowed: {allowed}.")
    for row in value:
        if not isinstance(row, (list, tuple)) or len(row) != len(value):
            found = f"a row of {len(row)}" if isinstance(row, (list, tuple)) else shown(row)
            raise RequestError(f"picture holds {found}; allowed: {allowed}.")
        for cell in row:
            if not _finite(cell) or not 0 <= cell <= 1:
                raise RequestError(f"picture holds {shown(cell)}; allowed: {allowed}.")
    return [[float(cell) for cell in row] for row in value]


def shown(value: Any) -> str:
    """How a value is quoted back: never more than forty characters of it."""
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and len(value) <= 20:
        try:
            return float(value)
        except ValueError:
            return value
    return value
