"""Records: short independent texts, as ids between a start and a stop symbol."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings import TOO_LONG
from ..validate import all_frozen, choice, frozen, positive_int
from .vocabulary import START, STOP, Vocabulary


@dataclass(frozen=True)
class Records:
    """Where the records of a corpus lie, and their labels.

    Attributes
    ----------
    starts : int64 ndarray, shape (n,)
        Index in ``corpus.ids`` of each record's start symbol.
    steps : int64 ndarray, shape (n,)
        Predictions in each record: its symbols and the stop symbol.
    labels : int32 ndarray, shape (n,), or None
        Index in `names` of each record's label.
    names : tuple of str
        The distinct labels, sorted.
    weights : float64 ndarray, shape (n,), or None
        The weight of each record in the loss.
    counts : dict of str -> int
        How many texts were "blank" and left out, and how many "too long" (above max_length; left
        out, cut or kept).
    """

    starts: NDArray[np.int64]
    steps: NDArray[np.int64]
    labels: NDArray[np.int32] | None
    names: tuple[str, ...]
    counts: dict[str, int]
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name in ("starts", "steps", "labels", "weights"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, frozen(array))

    def __setstate__(self, state: dict[str, Any]) -> None:  # of a copy, or from a pickle
        vars(self).update(all_frozen(state))

    def __len__(self) -> int:
        """Number of records."""
        return len(self.starts)

    def __getitem__(self, rows: NDArray[np.intp]) -> "Records":
        """The records of an array of rows."""
        return replace(self, starts=self.starts[rows], steps=self.steps[rows],
                       labels=None if self.labels is None else self.labels[rows],
                       weights=None if self.weights is None else self.weights[rows])

    def normalized(self) -> NDArray[np.float64] | None:
        """The weight of each record (n,), divided by the mean over all predictions."""
        if self.weights is None:
            return None
        mean = float((self.weights * self.steps).sum() / self.steps.sum())
        if mean == 0:
            raise ValueError("all these records have the weight 0, so that nothing would count: "
                             "give weights above 0, or another valid_fraction")
        return self.weights / mean

    @classmethod
    def of_pieces(cls, pieces: list[NDArray[Any]], labels: list[str] | None = None,
                  counts: dict[str, int] | None = None) -> "Records":
        """Records from the ids of each, with its start and stop symbol, to be concatenated."""
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        names = tuple(sorted(set(labels or ())))
        places = {label: c for c, label in enumerate(names)}
        return cls(np.cumsum(lengths) - lengths, lengths - 1,
                   None if labels is None else np.array([places[n] for n in labels], np.int32),
                   names, counts or {"blank": 0, "too long": 0})


def encode(
    texts: Iterable[str | bytes], labels: Iterable[str] | None, unit: str,
    vocabulary: Vocabulary | None, start: Any, stop: Any, max_length: int | None, too_long: str,
    words: dict[str, Any], name: str,
) -> tuple[NDArray[np.unsignedinteger], Vocabulary, Records]:
    """The concatenated ids of all records, each with its start and stop symbol; the vocabulary,
    made from the texts if not given; and where in the ids the records lie."""
    choice("too_long", too_long, TOO_LONG)
    if max_length is not None:
        positive_int("max_length", max_length)
    elif too_long != "refuse":
        raise ValueError(f"too_long={too_long!r} needs a max_length")
    each = _checked_texts(texts, unit)
    given = None if labels is None else _checked_labels(labels, each)
    chosen = [i for i, text in enumerate(each) if text.strip()]
    counts = {"blank": len(each) - len(chosen), "too long": 0}
    if not chosen:
        raise ValueError(f"{name} is empty: give at least one record that is not blank")
    if vocabulary is None:
        vocabulary = _new_vocabulary([each[i] for i in chosen], unit, start, stop, words)
    elif vocabulary.stop is None or start is not None or stop is not None:
        raise ValueError("start and stop are the vocabulary's, and one for records has them: leave "
                         "them out, or leave the vocabulary out")
    pieces, kept = [], []
    for i in chosen:
        try:
            ids = vocabulary.encode_record(each[i])
        except ValueError as error:
            raise ValueError(f"record {i} of {name}: {error}") from None
        if max_length is not None and len(ids) - 2 > max_length:
            counts["too long"] += 1
            if too_long == "refuse":
                raise ValueError(f"record {i} of {name} has {len(ids) - 2} symbols, and max_length "
                                 f"is {max_length}: too_long can be 'cut', 'drop' or 'keep'")
            if too_long == "drop":
                continue
            if too_long == "cut":
                ids = np.append(ids[: max_length + 1], ids[-1:])
        pieces.append(ids)
        kept.append(i)
    if not kept:
        raise ValueError(f"all records of {name} are longer than max_length {max_length}: give a "
                         "larger one")
    names = None if given is None else [given[i] for i in kept]
    return np.concatenate(pieces), vocabulary, Records.of_pieces(pieces, names, counts)


def digest(ids: NDArray[Any]) -> int:
    """A hash of a record's ids, its start and stop symbol included."""
    stored = np.ascontiguousarray(ids, "<u4").tobytes()
    return int.from_bytes(hashlib.blake2b(stored, digest_size=8).digest(), "little")


def novelty(
    known: NDArray[np.uint64], vocabulary: Vocabulary, samples: Iterable[str]
) -> NDArray[np.bool_]:
    """Whether each sample is new: its digest is not among the sorted `known` ones."""
    if not known.size:
        raise ValueError("this model was not trained on records, so nothing tells what is new")
    samples = list(samples)
    new = np.ones(len(samples), bool)
    for i, sample in enumerate(samples):
        with suppress(ValueError):  # a symbol that no record has
            number = np.uint64(digest(vocabulary.encode_record(sample)))
            at = np.searchsorted(known, number)
            new[i] = at == len(known) or known[at] != number
    return new


def _checked_texts(given: Any, unit: str) -> list[Any]:
    texts = _listed("records", given)
    kinds = (str, bytes) if unit == "byte" else (str,)
    for i, text in enumerate(texts):
        if not isinstance(text, kinds):
            raise TypeError(f"record {i} must be a {' or '.join(k.__name__ for k in kinds)}, not "
                            f"{type(text).__name__}")
    return texts


def _checked_labels(labels: Any, texts: list[Any]) -> list[str]:
    """A label for each text; that of a blank text may be blank."""
    given = _listed("labels", labels)
    for i, label in enumerate(given):
        needed = i < len(texts) and texts[i].strip()
        if not isinstance(label, str) or (needed and not label.strip()):
            raise ValueError(f"the label of record {i} must be a str that is not blank, not "
                             f"{label!r}")
    if len(given) != len(texts):
        raise ValueError(f"there are {len(texts)} records and {len(given)} labels: give one label "
                         "for each record")
    return given


def _new_vocabulary(texts: list[Any], unit: str, start: Any, stop: Any,
                    words: dict[str, Any]) -> Vocabulary:
    between = "\n" if unit == "word" else ""  # the last word of a record is not part of the next
    joined = b"".join(map(_octets, texts)) if unit == "byte" else between.join(texts)
    start = _symbol(START if start is None else start, unit)
    stop = _symbol(STOP if stop is None else stop, unit)
    return Vocabulary.from_text(joined, unit, start=start, stop=stop, **words)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of texts, not {type(values).__name__}")
    return list(values)


def _symbol(symbol: Any, unit: str) -> Any:
    """For unit "byte" a text of one byte as an int."""
    if unit == "byte" and isinstance(symbol, str | bytes) and len(_octets(symbol)) == 1:
        return _octets(symbol)[0]
    return symbol


def _octets(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
