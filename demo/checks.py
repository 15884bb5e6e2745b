"""Checks of everything that comes from outside: a tab, the API, or a link.

Each returns the value, or raises RequestError with one sentence that names the argument and what is
allowed. Nothing here imports torch or gradio.
"""

import base64
import contextlib
import re
from collections.abc import Collection, Mapping
from typing import Any

LARGEST_SEED = 2**31 - 1
MOST_SAMPLES = 64
DRAWN = 28  # pixels a side of a drawing, whatever the recipe
MOST_RACERS = 3


class RequestError(ValueError):
    """A request asks for something that does not exist: one sentence for the person who asked."""


def one_of(name: str, value: Any, allowed: Collection[str]) -> str:
    """One of some names."""
    if not isinstance(value, str) or value not in allowed:
        raise RequestError(f"{name} is {shown(value)}; allowed: {', '.join(allowed)}.")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    """A number in a range, ends included; NaN is in none."""
    if not _is_number(value) or not low <= value <= high:
        raise RequestError(f"{name} is {shown(value)}; allowed: a number from {low:.10g} to {high:.10g}.")
    return float(value)


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number in a range, ends included."""
    if not _is_number(value) or not low <= value <= high or value != int(value):
        raise RequestError(f"{name} is {shown(value)}; allowed: a whole number from {low} to {high}.")
    return int(value)


def typed(text: Any) -> Any:
    """A number from a text field, None where that is empty; anything else as it is, for a check to refuse.

    As people type them: 0.05, .05, 5e-2, and 0,05, which cannot be mistaken for a number above 1.
    """
    if not isinstance(text, str):
        return text
    text = re.sub("^0,", "0.", text.strip())
    if not re.fullmatch(r"(\d{1,9}\.?\d{0,9}|\.\d{1,9})(e-\d{1,2})?", text, re.ASCII | re.IGNORECASE):
        return text or None
    return int(text) if text.isdecimal() else float(text)


def within(value: Any, low: float, high: float) -> Any:
    """A slider's value, as Gradio moves it into its range after it was typed; else as it is."""
    return min(max(value, low), high) if _is_number(value) else value


def seed(value: Any) -> int:
    return whole("seed", value, 0, LARGEST_SEED)


def port(text: str) -> int | None:
    """$GRADIO_SERVER_PORT: None where it is empty; what is no port ends the program with one sentence."""
    if text and not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise SystemExit(f"GRADIO_SERVER_PORT is {shown(text)}; allowed: 1 to 65535.")
    return int(text) if text else None


def digit(value: Any) -> int:
    return whole("digit", value, 0, 9)


def digits(value: Any) -> list[int]:
    """One to ten different digits, in order."""
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= 10:
        raise RequestError(f"digits is {shown(value)}; allowed: a list of 1 to 10 different digits.")
    found = sorted(digit(one) for one in value)
    if len(set(found)) < len(found):
        raise RequestError(f"digits is {shown(value)}; allowed: each digit once.")
    return found


def weights(value: Any, terms: Collection[str]) -> dict[str, float]:
    """What each reward term weighs, 0 to 1; at least one of them is paid."""
    if not isinstance(value, dict):
        raise RequestError(f"rewards is {shown(value)}; allowed: weights by name, of {', '.join(terms)}.")
    found = {one_of("reward", name, terms): number(name, weight, 0, 1) for name, weight in value.items()}
    if not any(found.values()):
        raise RequestError(f"no reward is paid; give one of {', '.join(terms)} a weight above 0.")
    return {name: weight for name, weight in found.items() if weight}


def guest(name: str, guests: Mapping[str, Any]) -> Any:
    """What was trained in the page under that name, if it is still kept."""
    found = guests.get(name)  # asked once: it may be forgotten at any moment
    if found is None:
        raise RequestError("This policy is gone: only the last six that were trained here are kept.")
    return found


def switch(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise RequestError(f"{name} is {shown(value)}; allowed: true or false.")
    return value


def picture(value: Any) -> list[list[float]]:
    """A drawing, paper 0 and ink 1: 28 rows of 28 numbers, or what the pad sends, 784 bytes in base64."""
    if isinstance(value, str) and len(value) < 2000:
        with contextlib.suppress(ValueError):
            inks = [ink / 255 for ink in base64.b64decode(value, validate=True)]
            if len(inks) == DRAWN * DRAWN:
                return [inks[row : row + DRAWN] for row in range(0, DRAWN * DRAWN, DRAWN)]
    shape = [len(row) if isinstance(row, list) else 0 for row in value] if isinstance(value, list) else []
    if shape != [DRAWN] * DRAWN:
        size = f"{len(shape)} rows of {min(shape)} to {max(shape)}" if shape else shown(value)
        raise RequestError(f"picture is {size}; allowed: {DRAWN} rows of {DRAWN} numbers from 0 to 1.")
    return [[number("ink in the picture", cell, 0, 1) for cell in row] for row in value]


def shown(value: Any) -> str:
    """How a value is quoted back: never more than forty characters of it."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
