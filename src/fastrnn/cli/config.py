"""Configuration files: the settings of `fastrnn train` in TOML, by the names of the Python call."""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.texts import read_text
from ..files.store import short
from ..settings import Declared

NAMES = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}


class ConfigError(ValueError):
    """An error in a configuration file, in the words of the file."""


def read_config(path: str, known: Mapping[str, Declared]) -> dict[str, Any]:
    """The settings in a file, which are among the `known` ones.

    Raises OSError if it cannot be read, and ConfigError, with the line, for what is no TOML, for an
    unknown name (the message suggests the nearest), a wrong type, and a value out of range."""
    text = read_text(Path(path), "utf-8")
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and lists that Python refuses
        raise ConfigError(f"{path} is not TOML: {error}") from None
    found = {}
    for name, value in values.items():
        try:
            found[name] = _checked(name, value, known)
        except (ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"{path}, line {_line(text, name)}: {error}") from None
    return found


def _checked(name: str, value: Any, known: Mapping[str, Declared]) -> Any:
    if name not in known:
        near = difflib.get_close_matches(name[:50], known, n=1, cutoff=0.0)[0]
        raise ValueError(f"no setting is called {short(name)}: did you mean {near!r}?")
    one = known[name]
    if value == "none" and one.optional:
        return None
    wanted = [kind for kind in NAMES if kind in one.kinds]
    fits = type(value) in wanted or (float in wanted and type(value) is int)
    if not wanted or (one.elements and isinstance(value, list)):
        fits = isinstance(value, list) and all(type(part) in one.elements for part in value)
    if not fits:
        what = " or ".join(NAMES[kind] for kind in wanted) or (
            "a list of numbers" if int in one.elements else "a list of texts")
        raise ValueError(f"{name} must be {what}, not {short(value)}")
    one.checked(value)
    return value


def _line(text: str, name: str) -> int:
    """The line of a file, counted from 1, that sets a name."""
    def sets(line: str) -> bool:
        rest = re.sub(r"""^\s*+\[*+\s*+["']?""", "", line)
        after = rest.removeprefix(name)
        return after != rest and bool(re.match(r"""["']?\s*+[]=.]""", after))

    return next((number for number, line in enumerate(text.split("\n"), 1) if sets(line)), 1)


def write_config(values: Mapping[str, Any]) -> str:
    """The text of a file with these settings; None is written as "none"."""
    shown = {name: "none" if value is None else value for name, value in values.items()}
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
                   for name, value in shown.items())
