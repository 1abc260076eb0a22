"""Checks of arguments: one clear error that names the argument and says what it must be."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np


def positive_int(name: str, value: Any, least: int = 1) -> int:
    """Return value as an int of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if isinstance(value, bool) or not least <= number < 2**31:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return number


def positive_float(name: str, value: Any, *, zero: bool = False) -> float:
    """Return value as a finite float above 0 (or 0 too)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    too_low = number < 0 or (number == 0 and not zero)
    if isinstance(value, bool) or not math.isfinite(number) or too_low:
        bound = "of 0 or more" if zero else "above 0"
        raise ValueError(f"{name} must be a finite number {bound}, not {value!r}")
    return number


def finite_float(name: str, value: Any) -> float:
    """Return value as a finite float."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return number


def share(name: str, value: Any) -> float:
    """Return value as a float from 0 to below 1."""
    number = finite_float(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {value!r}")
    return number


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return value if it is one of the choices; the error names the nearest."""
    choices = list(choices)
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}{hint}")
    return value


def generator(seed: int | None) -> np.random.Generator:
    """NumPy's generator for a seed of at least 0, or for None."""
    return np.random.default_rng(None if seed is None else positive_int("seed", seed, least=0))
