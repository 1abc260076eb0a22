"""Lines and tables: files of records split into texts and labels."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np


def lines(text: Any) -> list[Any]:
    """The lines of a str or bytes, ended by LF, CRLF or CR."""
    lf: Any
    lf, cr, crlf = ("\n", "\r", "\r\n") if isinstance(text, str) else (b"\n", b"\r", b"\r\n")
    found: list[Any] = text.replace(crlf, lf).replace(cr, lf).removesuffix(lf).split(lf)
    return found


def table(
    text: str, separator: str | None, columns: Sequence[str | int], name: str
) -> tuple[list[str], list[str]]:
    """Texts and labels from two columns of a table, given by number or by name in the first row."""
    if separator is None:
        separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
    if not isinstance(separator, str) or len(separator) != 1:
        raise ValueError(f"separator must be one character, not {separator!r}")
    if isinstance(columns, str) or np.shape(columns) != (2,) or not all(
            isinstance(column, str) or (isinstance(column, int) and column >= 0)
            for column in columns):
        raise ValueError("columns must be two, those of the text and of its label, by their names "
                         f"or their places from 0, not {columns!r}")
    quoting: Any = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO("\n".join(lines(text))), delimiter=separator, quoting=quoting,
                        strict=True)
    found: tuple[list[str], list[str]] = [], []
    try:
        named = [column for column in columns if isinstance(column, str)]
        head = [field.strip() for field in next(reader, [])] if named else []
        for column in named:
            if column not in head:
                raise ValueError(f"{name} has no column {column!r} in its first row, which is "
                                 f"{head}")
        places = [head.index(column) if isinstance(column, str) else column for column in columns]
        for row in reader:
            if row and len(row) <= max(places):
                raise ValueError(f"line {reader.line_num} of {name} has {len(row)} columns, and "
                                 f"column {max(places) + 1} is needed: give it, name other "
                                 f"columns, or another separator than {separator!r}")
            for fields, place in zip(found, places, strict=True):
                fields.append(row[place].strip() if row else "")
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} of {name} is no row of a table ({error}): mend "
                         "it") from None
    return found
