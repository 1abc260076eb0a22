"""Which units follow something in the text that has a name."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.vocabulary import Vocabulary
from ..kernels.blas import one_thread
from .activations import Activations, Array

# an opening mark and those that close it. A straight ' is left out: it is an apostrophe too
QUOTES = {'"': '"', "“": "”", "„": "“”", "‘": "’", "‚": "‘’", "«": "»", "»": "«"}
BRACKETS = {"(": ")", "[": "]", "{": "}"}
STATES = ("h", "c", "m")
LEAST = 100  # symbols of a text, below which chance explains too much
RARE = 5  # symbols: what is true, or not, of fewer is left out
NEAR = 5  # symbols before a line end
SHIFTS = 100
# what cannot be told from the last symbol alone
OF_CONTEXT = ("inside quotation marks", "inside brackets", "characters since the line's start",
              "characters since the last blank", "first character of a word",
              f"line end at most {NEAR} characters away", "words since the sentence's start")


class Followed(NamedTuple):
    """A feature, the units with the largest |r|, their r, what chance reaches, and what r is in the
    symbols after those by which they were chosen."""

    name: str
    units: list[tuple[int, str, int]]
    r: Array
    chance: float
    after: Array | None

    @property
    def holds(self) -> NDArray[np.bool_]:
        """For each unit whether |r| is above chance and, where that is known, r is at least half as
        large after these symbols."""
        above: NDArray[np.bool_] = abs(self.r) > self.chance
        if self.after is None:
            return above
        return above & (self.after * np.sign(self.r) >= abs(self.r) / 2)


@dataclass(frozen=True)
class Correlations:
    """How closely units follow what has a name: the result of `correlations`.

    Attributes
    ----------
    features : dict of str -> float64 ndarray, shape (count,)
        The value of each feature at each symbol, 0 or 1 of what is true or not.
    units : list of (int, str, int)
        Layer, name of the value ("h", "c" or "m") and unit, each from 0.
    r : float64 ndarray, shape (len(features), len(units))
        Pearson's r of the feature with the unit after that symbol; 0 for one that is constant.
    chance : float64 ndarray, shape (len(features),)
        The largest |r| over all units that a feature reaches by chance: the 99th percentile of it
        when the feature is moved along the text, end to start, by each of 100 distances.
    after : float64 ndarray, shape (len(features), len(units)), or None
        The same correlations over the symbols that follow, by which no unit was chosen; NaN for a
        feature that hardly varies there. None where there are fewer than 100.
    """

    features: dict[str, Array]
    units: list[tuple[int, str, int]]
    r: Array
    chance: Array
    after: Array | None = None

    def best(self, count: int = 3) -> list[Followed]:
        """For each feature the units that follow it most closely. First come those of which one
        holds, of these the ones that need more than the last symbol, and then those that are
        furthest above chance."""
        order = np.argsort(-abs(self.r), axis=1, kind="stable")[:, :count]
        rows = [Followed(name, [self.units[u] for u in chosen], self.r[k, chosen],
                         float(self.chance[k]),
                         None if self.after is None else self.after[k, chosen])
                for k, (name, chosen) in enumerate(zip(self.features, order, strict=True))]
        return sorted(rows, key=lambda row: (
            not row.holds.any(), row.name not in OF_CONTEXT,
            row.chance - abs(row.r[row.holds.argmax()])))


def correlations(found: Activations, vocabulary: Vocabulary,
                 count: int | None = None) -> Correlations:
    """Correlate each unit's output and state with features of the text (`features`).

    Parameters
    ----------
    found : Activations
    vocabulary : Vocabulary
        That of the model.
    count : int, optional
        Correlate over the first so many symbols, and compare with those after them.

    Returns
    -------
    Correlations
        Without features for fewer than 100 symbols.
    """
    count = len(found.ids) if count is None else min(count, len(found.ids))
    all_named = features(found.ids, vocabulary) if count >= LEAST else {}
    named = {name: values[:count] for name, values in all_named.items() if _varies(values[:count])}
    units = [(number, name, unit) for number, layer in enumerate(found.layers)
             for name in STATES if name in layer for unit in range(layer[name].shape[1])]
    if not named:
        return Correlations({}, units, np.empty((0, len(units))), np.empty(0))
    columns = np.hstack([layer[name] for layer in found.layers for name in STATES if name in layer])
    F = np.stack([all_named[name] for name in named], axis=1)  # (T, features)
    with one_thread():
        r, chance = _correlated(F[:count], columns[:count]), _by_chance(F[:count], columns[:count])
        after = None
        if len(F) - count >= LEAST:
            after = _correlated(F[count:], columns[count:])
            after[[not _varies(values) for values in F[count:].T]] = np.nan
    return Correlations(named, units, r, chance, after)


def _correlated(F: Array, columns: Array) -> Array:
    """Pearson's r of each column of the one with each of the other: (features, units)."""
    r: Array = _standardized(F).T @ _standardized(columns) / len(F)
    return r


def _by_chance(F: Array, columns: Array) -> Array:
    """For each feature the 99th percentile of the largest |r| when it is moved along the text."""
    T, F, columns = len(F), _standardized(F), _standardized(columns)
    shifts = np.unique(np.linspace(T // 20, T - T // 20, SHIFTS).astype(int))
    largest = [abs(np.roll(F, shift, axis=0).T @ columns).max(axis=1) / T for shift in shifts]
    found: Array = np.quantile(largest, 0.99, axis=0)
    return found


def _standardized(columns: Array) -> Array:
    """Mean 0 and standard deviation 1 of each column; 0 where it is constant to rounding."""
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    constant = spread <= 1e-9 * abs(columns).max(axis=0, initial=0)
    return np.where(constant, 0, centred / np.where(constant, 1, spread))


def features(ids: NDArray[np.int64], vocabulary: Vocabulary) -> dict[str, Array]:
    """What has a name in a text, at each symbol: float64 arrays (T,), 0 or 1 of what is true or
    not. Left out is what is the same everywhere, or true, or not, of fewer than 5 symbols.

    Quotation marks and brackets count from the opening mark to the last symbol before the closing
    one, at most to the next empty line."""
    if vocabulary.unit == "bpe":
        return {}  # a token is no word and no character
    symbols = [vocabulary.symbols[i] for i in ids]
    if vocabulary.unit == "byte":  # what is true of a character is true of each of its bytes
        text = bytes(map(int, symbols)).decode("utf-8", "surrogateescape")
        sizes = [len(c.encode("utf-8", "surrogateescape")) for c in text]
        found = {name: np.repeat(values, sizes) for name, values in _of_characters(text).items()}
    elif vocabulary.unit == "char":
        found = _of_characters([str(s) for s in symbols])
    else:
        found = _of_words([str(s) for s in symbols])
    return {name: values for name, values in found.items() if _varies(values)}


def _varies(values: Array) -> bool:
    if set(np.unique(values)) <= {0.0, 1.0}:
        return RARE <= float(values.sum()) <= len(values) - RARE
    return bool(np.ptp(values) > 0)


def _of_characters(text: Sequence[str]) -> dict[str, Array]:
    blank = _true(text, str.isspace)
    line_end = _true(text, lambda c: c == "\n")
    after_blank = np.append(True, blank[:-1]) & ~blank
    to_end = _since(line_end[::-1])[::-1]  # 0 at the line end itself
    last_line = ~np.logical_or.accumulate(line_end[::-1])[::-1]  # of which no end is seen
    return {name: np.asarray(values, np.float64) for name, values in {
        "inside quotation marks": _inside(text, QUOTES),
        "inside brackets": _inside(text, BRACKETS),
        "characters since the line's start": _since(line_end),
        "characters since the last blank": _since(blank),
        "first character of a word": after_blank,
        "blank or line end": blank,
        f"line end at most {NEAR} characters away": (to_end <= NEAR) & ~last_line,
        "capital letter": _true(text, str.isupper),
        "digit": _true(text, str.isdigit),
        "vowel": _true(text, _is_vowel),
        "punctuation mark": _true(text, _is_punctuation),
    }.items()}


def _of_words(words: Sequence[str]) -> dict[str, Array]:
    text = " ".join(words)
    ends = np.array([*accumulate(len(word) + 1 for word in words)]) - 2  # of each word in the text
    return {name: np.asarray(values, np.float64) for name, values in {
        "inside quotation marks": _inside(text, QUOTES)[np.maximum(ends, 0)],
        "inside brackets": _inside(text, BRACKETS)[np.maximum(ends, 0)],
        "words since the sentence's start": _since(_true(words, lambda w: w[-1:] in tuple(".!?"))),
        "characters of the word": [len(word) for word in words],
        "capital letter at the start": _true(words, lambda w: w[:1].isupper()),
        "word with a digit": _true(words, lambda w: any(map(str.isdigit, w))),
        "punctuation mark at the end": _true(words, lambda w: _is_punctuation(w[-1:])),
    }.items()}


def _true(symbols: Sequence[str], test: Callable[[str], bool]) -> NDArray[np.bool_]:
    return np.array([test(symbol) for symbol in symbols], bool)


def _is_vowel(character: str) -> bool:
    return unicodedata.normalize("NFD", character.lower())[0] in "aeiou"


def _is_punctuation(character: str) -> bool:
    return bool(character) and unicodedata.category(character[0]).startswith("P")


def _since(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each symbol how many there are since the last marked one: 0 at a marked one, 1 for the
    next, and 1 for the first of the text unless it is marked."""
    places = np.arange(1, len(marked) + 1)
    return places - np.maximum.accumulate(np.where(marked, places, 0))


def _inside(text: Sequence[str], pairs: dict[str, str]) -> NDArray[np.bool_]:
    """Whether each character of a text lies behind an opening mark that is not closed yet; an
    apostrophe between two letters closes nothing."""
    open_marks: list[str] = []
    inside = np.zeros(len(text), bool)
    for i, c in enumerate(text):
        between_letters = (0 < i < len(text) - 1 and text[i - 1].isalnum()
                           and text[i + 1].isalnum())
        if c == "\n" and i and text[i - 1] == "\n":
            open_marks.clear()
        elif open_marks and c in pairs[open_marks[-1]] and not (c == "’" and between_letters):
            open_marks.pop()
        elif c in pairs:
            open_marks.append(c)
        inside[i] = bool(open_marks)
    return inside
