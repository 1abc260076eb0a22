"""Generating text: each symbol is sampled from the predicted probabilities, then read."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat, tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.source import READ_STEPS, time_major
from ..data.vocabulary import Vocabulary
from ..kernels.blas import one_thread
from ..settings import SampleSettings, checked
from ..validate import positive_int
from .labels import probabilities
from .network import Network

# numbers of symbols sampled in one call, on which the texts do not depend
PIECE = 10_000  # not more, so that Ctrl-C takes effect
STOP_PIECE = 64  # where a stop string may end the text
STREAM_PIECES = (1, 2, 4, 8, 16, 32)  # then 32 each time: the first symbols come at once


def sample(
    network: Network, vocabulary: Vocabulary, length: int, n: int | None, settings: dict[str, Any]
) -> list[str]:
    """A list of n texts (one where n is None) of `length` symbols, with `SampleSettings`."""
    how = checked(SampleSettings, settings, "sample")
    length = positive_int("length", length, least=0)
    N = 1 if n is None else positive_int("n", n)
    stops = _stop_strings(how["stop"])
    ends = bool(stops) or vocabulary.stop is not None
    pieces = _pieces(network, vocabulary, how["max_length"] or length, N, how,
                     repeat(STOP_PIECE if ends else PIECE))
    if ends:  # each text takes pieces until it has stopped
        return ["".join(_until(stops, vocabulary.iterdecode(_record(vocabulary, part, i))))
                for i, part in enumerate(tee(pieces, N))]
    ids = np.concatenate([np.empty((0, N), np.int32), *pieces])  # (length, N)
    return [vocabulary.decode(column) for column in ids.T]


def stream(
    network: Network, vocabulary: Vocabulary, length: int | None, settings: dict[str, Any]
) -> Iterator[str]:
    """The symbols of one text; with length None only a stop string or a record's end ends it."""
    how = checked(SampleSettings, settings, "stream")
    if length is not None:
        length = positive_int("length", length, least=0)
    stops = _stop_strings(how["stop"])
    pieces = _pieces(network, vocabulary, how["max_length"] or length, 1, how,
                     chain(STREAM_PIECES, repeat(STREAM_PIECES[-1])))
    return _until(stops, vocabulary.iterdecode(_record(vocabulary, pieces, 0)))


def read_prime(
    network: Network, ids: NDArray[Any], state: NDArray[Any], labels: NDArray[Any] | None = None
) -> None:
    """Read ids (T,), updating state (1, P) in place."""
    with one_thread():
        for start in range(0, len(ids), READ_STEPS):
            network.network(READ_STEPS, 1, network.sizes.loss).unroll(
                network.block, time_major(ids[None, start : start + READ_STEPS]), state,
                labels=labels)


def _pieces(
    network: Network, vocabulary: Vocabulary, length: int | None, n: int, how: dict[str, Any],
    sizes: Iterable[int],
) -> Iterator[NDArray[np.int32]]:
    """Read the prime, and return an iterator over pieces (size, n) of n texts' ids, which have the
    given `sizes` and `length` rows in all."""
    if not np.isfinite(network.block).all():
        raise ValueError("the model's parameters are not finite, so it cannot generate: load an "
                         "earlier checkpoint, or train anew with a lower learning_rate")
    p = 1.0 if how["top_p"] is None else how["top_p"]
    if not 0 < p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {p!r}")
    rng = np.random.default_rng(how["seed"])
    labels = probabilities(network.config["labels"], how["label"], n, network.block.dtype)
    never: set[int] = set()
    record = vocabulary.stop is not None
    if not record:
        given, state = vocabulary.encode(how["prime"]), network.state.copy()
        read_prime(network, given[:-1], state)
        state, at_first = np.repeat(state, n, axis=0), never  # (n, P)
    else:
        given, state = vocabulary.encode_record(how["prime"])[:-1], network.zero_state(n)
        for row in range(n if len(given) > 1 else 0):  # each with its own label
            read_prime(network, given[:-1], state[row : row + 1],
                       None if labels is None else labels[row : row + 1])
        start, stop = map(vocabulary.symbols.index, (vocabulary.start, vocabulary.stop))
        never = {start} - {stop}  # a record contains no start symbol,
        at_first = never | {stop} if len(given) == 1 else never  # and is not empty

    def pieces() -> Iterator[NDArray[np.int32]]:
        left: Any = np.inf if length is None else length
        barred = at_first
        if len(given):
            last = np.repeat(given[-1:], n)
        else:
            last = rng.integers(len(vocabulary), size=n, dtype=np.int32)
            if left:
                yield last[None]
            left -= 1
        for size in chain((1,), sizes) if record else sizes:
            if left <= 0:
                return
            drawn = network.draw(min(size, left), state, last, how["temperature"], rng,
                                 how["top_k"] or 0, p, labels, barred)
            yield drawn
            last, left, barred = drawn[-1], left - len(drawn), never

    return pieces()


def _record(
    vocabulary: Vocabulary, pieces: Iterable[NDArray[np.int32]], i: int
) -> Iterator[NDArray[np.int32]]:
    """The ids of text i, for a record those before its stop symbol."""
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
    if not all(isinstance(each, str) for each in stops):
        raise TypeError(f"stop must be a str or a sequence of str, not {stop!r}")
    if not all(stops):
        raise ValueError("stop must not be empty: every text contains the empty string")
    return stops


def _until(stops: tuple[str, ...], symbols: Iterator[str]) -> Iterator[str]:
    """Yield the symbols before the first stop string, holding back those that may belong to one."""
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
        # the end of the text may be the beginning of a stop string, before any that was found
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
