"""A table of numbers in the place of a text: a model learns its digits, and not its values."""

import os
import re
from collections import Counter
from typing import Any

from .files import STDIN, base_name

ROWS, NEARLY = 10, 0.95  # rows that make a table, and the fraction of lines that are such rows
HEAD = 5  # lines at the start that may be names of columns
PARTS, LENGTH = 10, 20_000  # of a long text: how many parts are looked at, and their characters
SEPARATORS = "\t;|,"  # else blanks
# a number that begins with 0 is a code, such as of a telephone, or digits for their own sake
NUMBER = re.compile(r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
COMMA = re.compile(r"[+-]?(0|[1-9]\d{0,17}),\d+")
DIGITS = re.compile(r"[\d.]\d")  # single digits may be signs
TIME = re.compile(r'"?\d{1,4}([-/.:T ]\d{1,4}){1,7}([.,]\d+)?( ?[AP]M|Z)?"?', re.IGNORECASE)
MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-"))


def note(text: str, path: Any) -> str | None:
    """What to know before a training on the text of a file that is nearly all a table of numbers,
    beside times and gaps: the lines of Python that read and learn its values. None for others."""
    lines = _some_lines(text)
    separator = next((sign for sign in SEPARATORS if sign in lines[len(lines) // 2]), None)
    rows = [_kinds(line, separator) for line in lines]
    first = next((i for i, row in enumerate(rows[: HEAD + 1]) if row), None)
    if first is None or len(rows) - first < ROWS or not any(map(DIGITS.search, lines)):
        return None
    counts = Counter(map(len, rows[first:]))
    width, count = counts.most_common(1)[0]
    if count < NEARLY * (len(rows) - first) or not width:
        return None
    columns = list(zip(*(row for row in rows[first:] if len(row) == width), strict=True))
    numbers = [place for place, kinds in enumerate(columns)
               if kinds.count("number") + kinds.count("comma") >= NEARLY * len(kinds)]
    if not numbers:
        return None
    name = base_name(path)
    file = "file" if path == STDIN else repr(os.fsdecode(path))
    comma = any("comma" in columns[place] for place in numbers)
    return (f"{name} is a table of numbers, and a model of text learns their digits, not their "
            "values. To forecast these, in Python: "
            f"{_reading(file, separator, first, numbers, width if comma else 0)}; "
            "fastrnn.SequenceRegressor().fit([x]).predict([x]). For fastrnn.train it is "
            "fastrnn.Sequences.from_series(x)")


def _some_lines(text: str) -> list[str]:
    """The lines of a text, of a long one those of parts from its beginning to its end."""
    if len(text) <= PARTS * LENGTH:
        return text.splitlines() or [""]
    starts = [(len(text) - LENGTH) * part // (PARTS - 1) for part in range(PARTS)]
    parts = [text[start : start + LENGTH].splitlines() for start in starts]
    return [line for part, found in enumerate(parts)  # a line that is cut off is left out
            for line in found[min(part, 1) : -1]] or [""]


def _kinds(line: str, separator: str | None) -> list[str]:
    """The kind of each field of a row that has a number; of any other line none."""
    kinds = []
    for field in line.split(separator):
        field = field.strip()
        if NUMBER.fullmatch(field):
            kinds.append("number")
        elif separator != "," and COMMA.fullmatch(field):
            kinds.append("comma")
        elif TIME.fullmatch(field) or field.lower() in MISSING:
            kinds.append("other")
        else:
            return []
    return kinds if {"number", "comma"} & {*kinds} else []


def _reading(file: str, separator: str | None, first: int, columns: list[int], comma: int) -> str:
    """The line of Python that reads these columns as x; `comma` is the number of all columns where
    some have decimal commas."""
    if comma:
        sign = r"\s+" if separator is None else separator
        return (f'x = pandas.read_csv({file}, sep={sign!r}, decimal=",", skiprows={first}, '
                f"names=range({comma}), usecols={columns}).to_numpy()")
    how = f", delimiter={separator!r}" if separator else ""
    return (f"x = numpy.genfromtxt({file}{how}"
            + f", skip_header={first}" * bool(first) + f", usecols={columns})")
