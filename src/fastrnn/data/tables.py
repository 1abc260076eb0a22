"""Lines and tables: files of records split into texts and labels."""

import contextlib
import csv
import io
import itertools
import operator
import re
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# What columns are often called. A first row of such names is a header.
NAMES = frozenset(
    "answer author body category city class class_name comment content country date description "
    "document emotion first_name gender genre headline id index intent label labels land lang "
    "language last_name likes line message mood name names nationality origin phrase polarity "
    "post prompt question quote rating region review score sentence sentiment species stance "
    "stars subject summary surname tag target text texts title topic tweet type url user "
    "username utterance word words".split())
TEXTS = frozenset("body comment content message review sentence text texts tweet".split())
LONGEST_NAME = 40  # characters; a longer field is no name of a column
LIMIT = threading.Lock()  # of the csv module: how long a field may be


class Row(NamedTuple):
    """The fields of a row, and the line in which it ends, from 1."""

    line: int
    fields: list[str]


def lines(text: Any) -> list[Any]:
    """The lines of a str or bytes, ended by LF, CRLF or CR."""
    lf: Any
    lf, cr, crlf = ("\n", "\r", "\r\n") if isinstance(text, str) else (b"\n", b"\r", b"\r\n")
    found: list[Any] = text.replace(crlf, lf).replace(cr, lf).removesuffix(lf).split(lf)
    return found


def table(
    text: str, separator: str | None, columns: Any, name: str, header: bool | None = None
) -> tuple[list[str], list[str] | None]:
    """Texts and labels from two columns of a table, or texts from one, given by number or by name
    in the first row; `Corpus.from_table` says how separator and header are found."""
    chosen = _checked_columns(columns)
    if header not in (None, True, False):
        raise ValueError(f"header must be True, False or None, not {header!r}")
    if header is False and any(isinstance(column, str) for column in chosen):
        raise ValueError("columns by name need a header: leave header=False out, or give the "
                         "columns by number")
    text = "\n".join(lines(text))
    told = re.match('sep=([^"\n])(?=\n)', text)  # how Excel names the separator
    if told and separator is None:
        separator, text = told[1], text[told.end() :]
    separator, rows = (_by_found(text, chosen, name) if separator is None
                       else _by_given(text, separator, name))
    full = [row for row in rows if any(map(str.strip, row.fields))]
    head = _first(full)
    places = [_place(column, head, name) for column in chosen]
    if header is None and full:
        header = any(isinstance(column, str) for column in chosen) or _has_header(
            [row.fields for row in full], places, name)
    _check_widths(full, separator, max(places), bool(header), name)
    if header:
        if len(full) == 1:
            raise ValueError(f"{name} has no row but its header, {head}: header=False reads it as "
                             "a record")
        rows.remove(full[0])
        better = next((cell for cell in head if cell.casefold() in TEXTS), None)
        if better and chosen == [0, 1] and head[0].casefold() not in TEXTS:
            warnings.warn(f"the texts of {name} are its column {head[0]!r}, and the labels "
                          f"{head[1]!r}: give the columns to read {better!r}", stacklevel=3)
    blank = [""] * (max(places) + 1)
    each = [row.fields if any(map(str.strip, row.fields)) else blank for row in rows]
    texts, *labels = [[fields[place].strip() for fields in each] for place in places]
    return texts, labels[0] if labels else None


def _checked_columns(columns: Any) -> list[str | int]:
    """The column of the texts and, if there are labels, that of the labels."""
    given = [columns] if isinstance(columns, str) or not hasattr(columns, "__iter__") else (
        list(columns))
    if len(given) == 2 and given[1] is None:
        given = given[:1]
    try:
        if not 1 <= len(given) <= 2 or any(isinstance(column, bool) for column in given):
            raise TypeError
        chosen = [column if isinstance(column, str) else operator.index(column)
                  for column in given]
        if any(isinstance(column, int) and column < 0 for column in chosen):
            raise TypeError
    except TypeError:
        raise ValueError(
            "columns must be two, those of the text and of its label, or only that of the text, by "
            f"their names or their places from 0, not {columns!r}") from None
    return chosen


def _place(column: str | int, head: list[str], name: str) -> int:
    if isinstance(column, int):
        return column
    count = head.count(column.strip())
    if count == 0:
        raise ValueError(f"{name} has no column {column!r} in its first row, which is {head}")
    if count > 1:
        raise ValueError(f"{name} has {count} columns {column!r} in its first row, {head}: give "
                         "the columns by their places from 0")
    return head.index(column.strip())


# ---- rows and their separator ----

@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """A context in which the csv module reads fields of any length: its limit is one for the whole
    program, and is the same again afterwards."""
    with LIMIT:
        before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _rows(text: str, separator: str, name: str, quoted: bool = True) -> Iterator[Row]:
    """The rows of a text whose lines end with LF; a blank line is a row without fields."""
    quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text), delimiter=separator, quoting=quoting, strict=True)
    try:
        for fields in reader:
            yield Row(reader.line_num, fields)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} of {name} is no row of a table ({error}): mend "
                         "it") from None


def _cut(text: str, separator: str, name: str) -> list[Row]:
    """The rows of a table. Between tabs quotes are part of the text, unless all fields of the first
    row are in quotes, or only quotes make the rows equally long."""
    with _long_fields():
        if separator != "\t" or '"' not in text:
            return list(_rows(text, separator, name))
        plain = list(_rows(text, separator, name, quoted=False))
        if _width(plain) and not all(len(field) > 1 and field[0] == field[-1] == '"'
                                     for field in _first(plain)):
            return plain
        try:
            quoted = list(_rows(text, separator, name))
        except ValueError:
            return plain
        return quoted if _width(quoted) else plain


def _first(rows: list[Row]) -> list[str]:
    """The fields of the first row that is not blank."""
    first = next((row.fields for row in rows if any(map(str.strip, row.fields))), [])
    return [field.strip() for field in first]


def _width(rows: list[Row]) -> int:
    """The number of columns that all rows have, blank ones at their ends aside; 0 if rows differ.
    Blank rows do not count."""
    counts = {len(row.fields) for row in rows if any(map(str.strip, row.fields))}
    if len(counts) == 1:
        return counts.pop()
    width = max((_filled(row.fields) for row in rows), default=0)
    return width if counts and min(counts) >= width else 0


def _filled(fields: list[str]) -> int:
    """The number of fields without the blank ones at the end."""
    return next((n for n in range(len(fields), 0, -1) if fields[n - 1].strip()), 0)


def _by_given(text: str, separator: Any, name: str) -> tuple[str, list[Row]]:
    names = {word: sign for sign, word in SEPARATORS.items()} | {"\\t": "\t"}
    sign = names.get(separator, separator) if isinstance(separator, str) else separator
    if not isinstance(sign, str) or len(sign) != 1 or sign in '"\n\r':
        raise ValueError(f'separator must be one character, or "tab", not {separator!r}')
    return sign, _cut(text, sign, name)


def _by_found(text: str, chosen: list[str | int], name: str) -> tuple[str, list[Row]]:
    """The separator and the rows that it makes. It is one that cuts the first row into the columns
    that are needed, and all rows into as many; where there are several the choice must be clear."""
    needed = max([2, *(column + 1 for column in chosen if isinstance(column, int))])
    named = [column for column in chosen if isinstance(column, str)]
    readings: dict[str, list[Row]] = {}
    broken: ValueError | None = None
    start = text.lstrip("\n").partition("\n")[0]
    for sign in SEPARATORS:
        if sign not in (text if '"' in start else start):
            continue
        try:
            rows = _cut(text, sign, name)
        except ValueError as error:
            broken = broken or error
            continue
        if len(_first(rows)) >= needed:
            readings[sign] = rows
    if len(chosen) == 1 and (named == [start.strip(' "')] or (not (readings or broken)
                                                            and chosen == [0])):
        return _one_column(text, name)
    readings = {sign: rows for sign, rows in readings.items()
                if set(named) <= set(_first(rows))} or readings
    equal = {sign: rows for sign, rows in readings.items() if _width(rows)}
    chosen_sign = _likeliest(equal or readings, text)
    if chosen_sign is not None:
        return chosen_sign, readings[chosen_sign]
    if readings:
        raise ValueError(_unclear(readings, name))
    if broken is not None:
        raise broken
    if named or not text.strip():
        return ",", _cut(text, ",", name)  # the error of the columns
    raise ValueError(
        f"the first row of {name} has fewer than {needed} columns, between commas, semicolons, "
        "tabs or bars: give another separator than these"
        + (", or, for a table of one column without labels, columns=0" if needed == 2 else
           ", or other columns"))


def _likeliest(readings: dict[str, list[Row]], text: str) -> str | None:
    """The only separator; or of several a tab, which texts do not have; or the only one that no
    blank follows, as one follows the commas of sentences. None where it is unclear."""
    if len(readings) == 1 or "\t" in readings:
        return "\t" if "\t" in readings else next(iter(readings))
    tight = [sign for sign in readings if f"{sign} " not in text]
    return tight[0] if len(tight) == 1 else None


def _unclear(readings: dict[str, list[Row]], name: str) -> str:
    parts = []
    for sign, rows in readings.items():
        full = [row for row in rows if any(map(str.strip, row.fields))]
        other = next((row for row in full if len(row.fields) != len(full[0].fields)), None)
        end = f", line {other.line} {len(other.fields)}" if other else ""
        parts.append(f"between {SEPARATORS[sign]}s line {full[0].line} has "
                     f"{len(full[0].fields)} columns{end or ', as all rows have'}")
    ways = " or ".join(f'separator="{sign}"' if sign != "\t" else 'separator="tab"'
                       for sign in readings)
    return f"the separator of {name} is not clear: {'; '.join(parts)}: give {ways}"


def _one_column(text: str, name: str) -> tuple[str, list[Row]]:
    """The rows of a table that has one column, whose fields may be quoted."""
    unused = next(sign for sign in map(chr, itertools.count(1))
                  if sign not in text and sign not in '\n\r" ')
    with _long_fields():
        try:
            return unused, list(_rows(text, unused, name))
        except ValueError:  # quotes that are part of the text
            return unused, list(_rows(text, unused, name, quoted=False))


def _check_widths(rows: list[Row], separator: str, last: int, header: bool, name: str) -> None:
    """ValueError for a row without the columns that are needed, and for one of another length: with
    a header only for a longer one."""
    width = _width(rows)
    for row in rows:
        count = len(row.fields)
        if count <= last:
            raise ValueError(f"line {row.line} of {name} has {count} columns, and column "
                             f"{last + 1} is needed: give it, name other columns, or another "
                             f"separator than {separator!r}")
        first = len(rows[0].fields)
        if not width and (_filled(row.fields) > first or (count < first and not header)):
            raise ValueError(f"line {row.line} of {name} has {count} columns and line "
                             f"{rows[0].line} has {first}: put a field that has the "
                             f"separator {separator!r} into quotes, or give all rows as many "
                             "columns")


# ---- the header ----

def _has_header(rows: list[list[str]], places: list[int], name: str) -> bool:
    """Whether the first row names the columns; a warning says what is assumed where the rows do not
    make it clear."""
    first, rest = rows[0], rows[1:]
    if any(len(row) <= max(places) for row in rows) or any(map(_is_number, first)):
        return False
    cells = [first[place].strip() for place in places]
    if any(len(cell) > LONGEST_NAME or not cell for cell in cells) or any(
            row[place].strip() == cell for place, cell in zip(places, cells, strict=True)
            for row in rest):
        return False  # no name, or one that is a text or a label of other rows too
    known = [cell.casefold().replace(" ", "_").replace("-", "_") in NAMES for cell in cells]
    numbers = any(all(len(row) > place and _is_number(row[place]) for row in rest)
                  for place in range(len(first)) if first[place].strip())
    if (numbers and len(rest) > 1) or (all(known) and len(known) > 1):
        return True
    counts = Counter(row[places[-1]].strip() for row in rest) if len(places) > 1 else Counter()
    repeat = len(counts) > 1 and min(counts.values()) > 1 and cells[0][-1] not in ".!?"
    header = known[0] or repeat
    if header or any(known) or (counts and max(counts.values()) > 1):
        assumed, other = (("its header", "a record") if header else ("a record", "its header"))
        warnings.warn(
            f"the first row of {name}, {', '.join(map(repr, cells))}, is taken as {assumed}: "
            f"header={not header} makes it {other}, header={header} says that this is right",
            stacklevel=4)
    return header


def _is_number(field: str) -> bool:
    try:
        float(field.replace(",", "."))
    except ValueError:
        return False
    return True
