"""Configuration files: the settings of `fastrnn train` in TOML, by the names of the Python call."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.texts import read_text
from ..settings import Declared

NAMES = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}


def read_config(path: str, known: Mapping[str, Declared]) -> dict[str, Any]:
    """The settings that a file gives.

    Raises
    ------
    OSError
        There is no such file, or it may not be read.
    ValueError
        It is no TOML, has a name that is no setting (the message says which is nearest), a value of
        another type or one outside its range; each with its line.
    """
    text = read_text(Path(path))
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    found = {}
    for name, value in values.items():
        try:
            found[name] = _checked(name, value, known)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {_line(text, name)}: {error}") from None
    return found


def _checked(name: str, value: Any, known: Mapping[str, Declared]) -> Any:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ValueError(f"no setting is called {name!r}: did you mean {near!r}?")
    one = known[name]
    if value == "none" and one.optional:
        return None
    wanted = [kind for kind in (bool, int, float, str) if kind in one.kinds]
    fits = isinstance(value, list) if not wanted else isinstance(value, tuple(wanted)) or (
        float in wanted and isinstance(value, int))
    if not fits or (isinstance(value, bool) and bool not in wanted):
        what = " or ".join(NAMES[kind] for kind in wanted) or "a list of texts"
        raise ValueError(f"{name} must be {what}, not {value!r}")
    one.checked(value)
    return value


def _line(text: str, name: str) -> int:
    """Where the file gives a name, counted from 1."""
    key = rf"""^\s*\[*\s*["']?{re.escape(name)}["']?\s*[]=.]"""
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(key, line):
            return number
    return 1


def write_config(values: Mapping[str, Any]) -> str:
    """A file with these settings; None is written as "none"."""
    shown = {name: "none" if value is None else value for name, value in values.items()}
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
                   for name, value in shown.items())
