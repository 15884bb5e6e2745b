"""Checks and conversions for configuration dataclasses: bad values get a sentence, not a stack trace hours later."""

from __future__ import annotations

import dataclasses
import math
import typing


def check_fields(config, **ranges: tuple[float, float]) -> None:
    """Raise ValueError unless each named field of ``config`` is a finite number within its range, ends included."""
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        whole = _type(type(config), name) is int
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise ValueError(f"{name} is {value!r}; allowed: {kind} from {low} to {high}.")


def parse_field(cls: type, name: str, text: str):
    """The value of a dataclass field from the command line. Raises ValueError with a sentence where it can be none."""
    kind = _type(cls, name)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if typing.get_origin(kind) is tuple:
            return tuple(int(part) for part in text.split(","))
        return kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "digits such as 3,7")
        raise ValueError(f"--{name} is {text!r}; expected {wanted}.") from None


def field_names(cls: type) -> list[str]:
    """Names of the fields that a command line may set."""
    return [field.name for field in dataclasses.fields(cls)]


def _type(cls: type, name: str):
    return typing.get_type_hints(cls)[name]
