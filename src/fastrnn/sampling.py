"""Letting a model write: `sample` and `stream` are methods of Model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat, tee
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .validate import finite_float, generator, positive_float, positive_int

if TYPE_CHECKING:
    from .model import Model
    from .vocabulary import Vocabulary

# Symbols drawn at a time. The texts do not depend on it.
PIECE = 10_000  # so that Ctrl-C is heard
STOP_PIECE = 64  # where a stop string may end the text
STREAM_PIECES = (1, 2, 4, 8, 16, 32)  # the last of them for ever: the first symbols come at once


def sample(
    model: Model,
    length: int = 200,
    *,
    n: int | None = None,
    prime: str | bytes = "",
    label: Any = None,
    max_length: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
) -> str | list[str]:
    """Write a text from `state` on, each symbol drawn from softmax(scores / temperature); a model
    that learned records writes a record, which is never empty, from the zero state up to its stop
    symbol.

    Parameters
    ----------
    length : int
        Symbols to write, and of a record the most.
    n : int, optional
        Write so many texts side by side, in one pass; a list of them is returned.
    prime : str
        What the model reads first; it is not part of the result. Without it the first symbol is
        drawn uniformly from the vocabulary, and is part of the result. Of a record it is the
        beginning.
    label : str, dict of str -> share, or a list of n such, optional
        Of records, where the model has labels: which one, or a mixture whose shares are divided by
        their sum, such as ``{"Netherlands": 0.5, "Poland": 0.5}``.
    max_length : int, optional
        Another name for length, of records.
    temperature : float
        Below 1 the likely symbols come more often, above 1 less; 0 always takes the likeliest. 0.5
        is the "squared and renormalised" sampling of the names homework: softmax(o / 0.5) is
        softmax(o)^2 divided by its sum.
    top_k : int, optional
        Draw only from the so many likeliest symbols (Fan, Lewis and Dauphin 2018).
    top_p : float, optional
        Draw only from the likeliest symbols, the fewest that together have this share, above 0
        and at most 1, of the distribution that temperature and top_k leave (nucleus sampling,
        Holtzman et al. 2020).
    stop : str or sequence of str, optional
        The text ends before the first place where one of these stands in it, and is then shorter
        than length. What the prime ends in does not count.
    seed : int or None
        Of ``numpy.random.default_rng``; None: another text each time.

    Returns
    -------
    str or list of str
        Exactly `length` symbols (for unit "byte": bytes, read as UTF-8) where no stop string
        or stop symbol comes; with `n` a list of n such texts. n=1 has the text that the same seed
        gives without n; a larger n has others.

    Raises
    ------
    ValueError, TypeError
        An unknown symbol in the prime (named, with its position), a negative length or
        temperature, n or top_k below 1, top_p outside (0, 1], an empty stop string, or parameters
        that are infinite or NaN.
    """
    length = positive_int("length", length, least=0)
    streams = 1 if n is None else positive_int("n", n)
    if max_length is not None:
        length = positive_int("max_length", max_length)
    stops, vocabulary = _stop_strings(stop), model.text_vocabulary
    ends = bool(stops) or vocabulary.stop is not None
    pieces = _draw(model, length, streams, prime, label, temperature, top_k, top_p, seed,
                   repeat(STOP_PIECE if ends else PIECE))
    if ends:  # each text takes pieces until it has stopped
        texts = ["".join(_until(stops, vocabulary.iterdecode(_record(vocabulary, part, i))))
                 for i, part in enumerate(tee(pieces, streams))]
    else:
        ids = np.concatenate([np.empty((0, streams), np.int32), *pieces])  # (length, n)
        texts = [vocabulary.decode(column) for column in ids.T]
    return texts[0] if n is None else texts


def stream(
    model: Model,
    *,
    length: int | None = None,
    prime: str | bytes = "",
    label: Any = None,
    max_length: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
) -> Iterator[str]:
    """Write a text symbol by symbol: joined, what `sample` gives for the same arguments.

    The arguments are checked and the prime is read at the call; `state` is not moved. Symbols are
    drawn a few at a time, 1, 2, 4 and so on up to 32, by the parameters as they then are. So a
    model that is trained on meanwhile writes on with its new parameters, from where the old ones
    left the text, after at most 31 more symbols.

    Parameters
    ----------
    length : int, optional
        Symbols to write; without it there is no end but a record's.
    prime, label, max_length, temperature, top_k, top_p, stop, seed
        As for `sample`.

    Yields
    ------
    str
        For unit "char" a character; for "word" a word, from the second on with the blank before
        it; for "byte" a character as soon as all its bytes are there. What may be the beginning of
        a stop string is held back until that is known; where the stop string begins inside a
        symbol, the last item is what comes before it.

    Raises
    ------
    ValueError, TypeError
        As for `sample`.
    """
    if max_length is not None:
        length = positive_int("max_length", max_length)
    if length is not None:
        length = positive_int("length", length, least=0)
    stops, vocabulary = _stop_strings(stop), model.text_vocabulary
    pieces = _draw(model, length, 1, prime, label, temperature, top_k, top_p, seed,
                   chain(STREAM_PIECES, repeat(STREAM_PIECES[-1])))
    return _until(stops, vocabulary.iterdecode(_record(vocabulary, pieces, 0)))


def _draw(
    model: Model, length: int | None, n: int, prime: str | bytes, label: Any, temperature: float,
    top_k: int | None, top_p: float | None, seed: int | None, sizes: Iterable[int],
) -> Iterator[NDArray[np.int32]]:
    """Check the arguments and read the prime; the iterator draws, so many of the `length` symbols
    of n texts at a time as `sizes` says: ids (size, n)."""
    if not np.isfinite(model.block).all():
        raise ValueError("the model's parameters are not finite, so it cannot write: load an "
                         "earlier checkpoint, or train anew with a lower learning_rate")
    temperature = positive_float("temperature", temperature, zero=True)
    k = 0 if top_k is None else positive_int("top_k", top_k)
    p = 1.0 if top_p is None else finite_float("top_p", top_p)
    if not 0 < p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p!r}")
    rng = generator(seed)
    vocabulary, shares = model.text_vocabulary, model.label_shares(label, n)
    if vocabulary.stop is None:
        read, state = vocabulary.encode(prime), model.state.copy()
        model._read(read[:-1], state)
        state = np.repeat(state, n, axis=0)  # (n, P)
    else:
        read, state = vocabulary.encode_record(prime)[:-1], model.zero_state(n)
        for row in range(n if len(read) > 1 else 0):  # each with its own label
            model._read(read[:-1], state[row : row + 1],
                        labels=None if shares is None else shares[row : row + 1])

    def pieces() -> Iterator[NDArray[np.int32]]:
        left: Any = np.inf if length is None else length
        # no record has a start symbol in it, nor is one empty
        never, at_first = set(), set()
        if vocabulary.stop is not None:
            never = {vocabulary.start} - {vocabulary.stop}
            at_first = never | ({vocabulary.stop} if len(read) == 1 else set())
        if len(read):
            last = np.repeat(read[-1:], n)
        else:
            last = rng.integers(len(vocabulary), size=n, dtype=np.int32)
            if left:
                yield last[None]
            left -= 1
        for size in chain((1,), sizes) if vocabulary.stop is not None else sizes:
            if left <= 0:
                return
            ids = model.draw(min(size, left), state, last, temperature, rng, k, p, shares, at_first)
            yield ids
            last, left, at_first = ids[-1], left - len(ids), never

    return pieces()


def _record(
    vocabulary: Vocabulary, pieces: Iterable[NDArray[np.int32]], i: int
) -> Iterator[NDArray[np.int32]]:
    """The ids of text i, of a record those before its stop symbol."""
    stop = -1 if vocabulary.stop is None else vocabulary.symbols.index(vocabulary.stop)
    for ids in pieces:
        end = np.flatnonzero(ids[:, i] == stop)[:1]
        yield ids[: end[0] if end.size else len(ids), i]
        if end.size:
            return


def _stop_strings(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    one = isinstance(stop, str) or not isinstance(stop, Iterable)
    stops: tuple[Any, ...] = (stop,) if one else tuple(stop)
    for each in stops:
        if not isinstance(each, str):
            raise TypeError(f"stop must be a str or a sequence of str, not {stop!r}")
        if not each:
            raise ValueError("stop must not be empty: an empty string stands everywhere")
    return stops


def _until(stops: tuple[str, ...], symbols: Iterator[str]) -> Iterator[str]:
    """Yield symbols up to the first place in their text where a stop string stands; those that
    may belong to one are held back."""
    if not stops:
        yield from symbols
        return
    beginnings = {stop[0] for stop in stops}
    held: list[str] = []
    for symbol in chain(symbols, (None,)):
        if symbol is not None:
            if not held and beginnings.isdisjoint(symbol):  # most symbols
                yield symbol
                continue
            held.append(symbol)
        text = "".join(held)
        end = min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))
        # from here on it may become one, which then comes before those that are there
        sure = len(text) if symbol is None else min(
            (len(text) - k for stop in stops for k in range(1, min(len(stop), len(text) + 1))
             if text.endswith(stop[:k])), default=len(text))
        stopped = end < len(text) and end <= sure
        sure = min(sure, end)
        while held and len(held[0]) <= sure:
            sure -= len(held[0])
            yield held.pop(0)
        if stopped:
            if sure:
                yield held[0][:sure]
            return
