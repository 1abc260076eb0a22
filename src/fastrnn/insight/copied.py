"""The longest passage that a generated text has in common with the training text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Passage:
    """The same symbols in two texts: how many, and where they begin in each."""

    length: int
    in_sample: int
    in_text: int


def longest_copied(sample: NDArray[Any], text: NDArray[Any]) -> Passage:
    """The longest run of ids that stands in both, where it first stands in the sample, and there
    where it first stands in the text; exact, and fast for a sample much shorter than the text.

    Windows of 2, 4, 8 ... ids are numbered in the sample, and found in the text by pairs of the
    numbers of their halves; the length is then found by bisection.

    Parameters
    ----------
    sample, text : ndarray of int, (n,) and (m,)

    Returns
    -------
    Passage
        Of length 0 where no symbol is common.
    """
    found = _common(sample, text)
    if found is None:
        return Passage(0, 0, 0)
    length, best, halves = 1, Passage(1, *found), (sample.astype(np.int64), text.astype(np.int64))
    while True:  # halves are the numbers of windows of `length` ids
        pairs = _pairs(*halves, length)
        found = _common(*pairs)
        if found is None:
            break
        halves, length = _numbered(*pairs), 2 * length
        best = Passage(length, *found)
    low, high = length, 2 * length  # of `low` there is one, of `high` none
    while high - low > 1:
        middle = (low + high) // 2
        found = _common(*_pairs(*halves, middle - length))
        if found is None:
            high = middle
        else:
            low, best = middle, Passage(middle, *found)
    return best


def _pairs(sample: NDArray[Any], text: NDArray[Any],
           apart: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """One number for each two windows that begin `apart` from each other; -1 for one in the text
    that the sample does not have."""
    base = 1 + max(int(sample.max(initial=0)), int(text.max(initial=0)))
    a, b = (numbers[: max(len(numbers) - apart, 0)] for numbers in (sample, text))
    c, d = sample[apart:], text[apart:]
    return a * base + c, np.where((b < 0) | (d < 0), -1, b * base + d)


def _numbered(sample: NDArray[Any], text: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The places of numbers among the distinct ones of the sample; -1 for others of the text."""
    distinct, of_sample = np.unique(sample, return_inverse=True)
    of_text = np.minimum(np.searchsorted(distinct, text), len(distinct) - 1)
    return of_sample, np.where(distinct[of_text] == text, of_text, -1)


def _common(sample: NDArray[Any], text: NDArray[Any]) -> tuple[int, int] | None:
    """Where the first number of the sample that is in the text stands in each."""
    if not len(sample) or not len(text):
        return None
    numbered, of_text = _numbered(sample, text)
    in_text = np.zeros(numbered.max() + 1, bool)
    in_text[of_text[of_text >= 0]] = True
    places = np.flatnonzero(in_text[numbered])
    if not len(places):
        return None
    return int(places[0]), int(np.flatnonzero(of_text == numbered[places[0]])[0])
