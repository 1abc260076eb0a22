"""Generating text: each symbol is sampled from the predicted probabilities, then read."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat, tee
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.records import novelty
from ..data.vocabulary import Vocabulary
from ..settings import SampleSettings, checked
from ..validate import positive_int
from .labels import one_label, probabilities

# numbers of symbols sampled in one call, on which the texts do not depend
PIECE = 10_000  # not more, so that Ctrl-C takes effect
STOP_PIECE = 64  # where a stop string may end the text
TRIES = 1000  # of each sample, until it is new
STREAM_PIECES = (1, 2, 4, 8, 16, 32)  # then 32 each time: the first symbols come at once


class Begun(NamedTuple):
    """The ids with which each of n texts begins, the state (n, P) after all but the last of them,
    and the label probabilities (n, C) of the texts."""

    ids: list[NDArray[np.unsignedinteger]]
    state: NDArray[Any]
    labels: NDArray[Any] | None


class Generator(Protocol):
    """What is asked of a network, or of several together; `Network` says what each is."""

    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def block(self) -> NDArray[Any]: ...
    def repeated_state(self, N: int) -> NDArray[Any]: ...
    def zero_state(self, batch_size: int = 1) -> NDArray[Any]: ...
    def read_ids(self, ids: NDArray[Any], state: NDArray[Any],
                 labels: NDArray[Any] | None = None) -> None: ...
    def draw(
        self, length: int, state: NDArray[Any], symbols: ArrayLike, temperature: float,
        rng: np.random.Generator, top_k: int = 0, top_p: float = 1.0,
        labels: NDArray[Any] | None = None, never: Collection[int] = (), *, min_p: float = 0.0,
        penalty: float = 1.0, seen: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.int32]: ...


def sample(
    network: Generator, vocabulary: Vocabulary, starts: NDArray[np.float64], length: int,
    n: int | None, settings: dict[str, Any], known: NDArray[np.uint64],
    after: NDArray[Any] | None = None,
) -> list[str]:
    """A list of n texts (one where n is None) of `length` symbols, with `SampleSettings`; `known`
    are the digests of the training records. `after` as in `begin`."""
    how = checked(SampleSettings, settings, "sample")
    length = positive_int("length", length, least=0)
    primes = primes_of(how["prime"], n)
    stops = stop_strings(how["stop"])
    ends = bool(stops) or vocabulary.stop is not None

    def texts_after(primes: list[str | bytes], how: dict[str, Any]) -> list[str]:
        pieces = draw_pieces(network, vocabulary, starts, how["max_length"] or length,
                             begin(network, vocabulary, primes, how["label"], after), how,
                             repeat(STOP_PIECE if ends else PIECE))
        if ends:  # each text takes pieces until it has stopped
            return ["".join(until(stops, vocabulary.iterdecode(_record(vocabulary, part, i))))
                    for i, part in enumerate(tee(pieces, len(primes)))]
        ids = np.concatenate([np.empty((0, len(primes)), np.int32), *pieces])  # (length, N)
        return [vocabulary.decode(column) for column in ids.T]

    texts = (_new_only(texts_after, known, vocabulary, primes, how) if how["new_only"]
             else texts_after(primes, how))
    return [shown_prime(vocabulary, prime) + text if how["echo"] else text
            for prime, text in zip(primes, texts, strict=True)]


def _new_only(
    texts_after: Callable[[list[str | bytes], dict[str, Any]], list[str]],
    known: NDArray[np.uint64], vocabulary: Vocabulary, primes: list[str | bytes],
    how: dict[str, Any],
) -> list[str]:
    """Texts that with their primes are none of the known records: those are sampled again."""
    how = how | {"seed": np.random.default_rng(how["seed"])}  # which goes on from try to try
    label, n = how["label"], len(primes)
    shown = [shown_prime(vocabulary, prime) for prime in primes]
    each = None if one_label(label) else list(label)
    texts, left = [""] * n, list(range(n))
    tries = 1 if how["temperature"] == 0 or how["top_k"] == 1 else TRIES  # else always the same
    for _ in range(tries):
        if each is not None:
            label = each if len(left) == n else [each[row] for row in left]
        sampled = texts_after([primes[row] for row in left], how | {"label": label})
        for row, text in zip(left, sampled, strict=True):
            texts[row] = text
        new = novelty(known, vocabulary, [shown[row] + texts[row] for row in left])
        left = [row for row, is_new in zip(left, new, strict=True) if not is_new]
        if not left:
            return texts
    often = "once" if tries == 1 else f"{tries:,} times"
    text = shown[left[0]] + texts[left[0]]
    raise ValueError(f"new_only=True: sampled {often}, {len(left)} of {n} samples are still "
                     f"records of the training data, such as {text!r}: give a higher temperature "
                     "or another prime, or leave new_only out")


def stream(
    network: Generator, vocabulary: Vocabulary, starts: NDArray[np.float64], length: int | None,
    settings: dict[str, Any], after: NDArray[Any] | None = None,
) -> Iterator[str]:
    """The symbols of one text; with length None only a stop string or a record's end ends it.
    `after` as in `begin`."""
    how, length, stops, primes = for_stream(length, None, settings)
    if len(primes) > 1:
        raise ValueError("a stream is one text: give one prime, not a list")
    pieces = draw_pieces(network, vocabulary, starts, length,
                         begin(network, vocabulary, primes, how["label"], after), how,
                         stream_sizes())
    symbols = until(stops, vocabulary.iterdecode(_record(vocabulary, pieces, 0)))
    return chain(shown_prime(vocabulary, primes[0]), symbols) if how["echo"] else symbols


def for_stream(length: int | None, n: int | None, settings: dict[str, Any]) -> tuple[
        dict[str, Any], int | None, tuple[str, ...], list[str | bytes]]:
    """The checked settings of texts that are given out while they are sampled, the most symbols,
    the stop strings, and the prime of each text."""
    how = checked(SampleSettings, settings, "stream")
    if length is not None:
        length = positive_int("length", length, least=0)
    if how["new_only"]:
        raise ValueError("new_only=True is for sample: a stream is given out before it is known "
                         "whether it is new")
    return (how, how["max_length"] or length, stop_strings(how["stop"]),
            primes_of(how["prime"], n))


def stream_sizes() -> Iterator[int]:
    """The numbers of symbols that are sampled at a time, where each is given out at once."""
    return chain(STREAM_PIECES, repeat(STREAM_PIECES[-1]))


def primes_of(prime: Any, n: int | None) -> list[str | bytes]:
    """The prime of each text."""
    if isinstance(prime, bytearray | memoryview):
        prime = bytes(prime)
    if isinstance(prime, str | bytes):
        return [prime] * (1 if n is None else positive_int("n", n))
    primes = list(prime) if isinstance(prime, Iterable) else []
    if not primes or not all(isinstance(each, str | bytes) for each in primes):
        raise TypeError(f"prime must be a text or a list of texts, not {prime!r}")
    if n not in (None, len(primes)):
        raise ValueError(f"n is {n}, and prime has {len(primes)} texts: leave n out")
    return primes


def shown_prime(vocabulary: Vocabulary, prime: str | bytes) -> str:
    """The prime as it stands before a generated text."""
    text = prime if isinstance(prime, str) else prime.decode("utf-8", "replace")
    return text + " " * (vocabulary.unit == "word" and text != "" and not text[-1].isspace())


def begin(network: Generator, vocabulary: Vocabulary, primes: Sequence[str | bytes],
          label: Any, after: NDArray[Any] | None = None) -> Begun:
    """Read the primes of n texts but for their last symbols, from the network's state; those of
    records from the zero state. `after` are ids to read before each prime."""
    n, record = len(primes), vocabulary.stop is not None
    labels = probabilities(network.config["labels"], label, n, network.block.dtype)
    if record:
        given = [vocabulary.encode_record(prime)[:-1] for prime in primes]
        state = network.zero_state(n)
    else:
        given = [vocabulary.encode(prime) for prime in primes]
        if after is not None:
            given = [np.concatenate([after, ids]) for ids in given]
        state = network.repeated_state(n)  # (n, P)
    if len({len(ids) > record for ids in given}) > 1:
        raise ValueError("some primes are empty and others not: sample them apart")
    for row, ids in enumerate(given):
        if row and not record and primes[row] == primes[0]:
            state[row] = state[0]
        elif len(ids) > 1:  # records each with its own label
            network.read_ids(ids[:-1], state[row : row + 1],
                             None if labels is None else labels[row : row + 1])
    return Begun(given, state, labels)


def draw_pieces(
    network: Generator, vocabulary: Vocabulary, starts: NDArray[np.float64], length: int | None,
    begun: Begun, how: dict[str, Any], sizes: Iterable[int],
) -> Iterator[NDArray[np.int32]]:
    """An iterator over pieces (size, n) of the ids of n texts that have begun, whose state changes.
    The pieces have the given `sizes` and `length` rows in all."""
    if not np.isfinite(network.block).all():
        raise ValueError("the model's parameters are not finite, so it cannot generate: load an "
                         "earlier checkpoint, or train anew with a lower learning_rate")
    p = 1.0 if how["top_p"] is None else how["top_p"]
    given, state, labels = begun
    n, rng = len(given), np.random.default_rng(how["seed"])
    record = vocabulary.stop is not None
    never, at_first = (_barred(vocabulary, any(len(ids) == 1 for ids in given)) if record
                       else (set(), set()))
    penalty, seen = how["repetition_penalty"], None
    if penalty != 1:
        seen = np.zeros((n, len(vocabulary)), np.uint8)
        for row, ids in enumerate(given):
            seen[row, ids[record:]] = 1  # a record's start symbol is none of its own

    def pieces() -> Iterator[NDArray[np.int32]]:
        left: Any = np.inf if length is None else length
        barred = at_first
        if len(given[0]):
            last = np.array([ids[-1] for ids in given], np.int32)
        else:
            last = _first(starts, len(vocabulary), n, rng)
            if seen is not None:
                seen[np.arange(n), last] = 1
            if left:
                yield last[None]
            left -= 1
        for size in chain((1,), sizes) if record else sizes:
            if left <= 0:
                return
            drawn = network.draw(
                min(size, left), state, last, how["temperature"], rng, how["top_k"] or 0, p, labels,
                barred, min_p=how["min_p"], penalty=penalty, seen=seen)
            yield drawn
            last, left, barred = drawn[-1], left - len(drawn), never

    return pieces()


def _first(starts: NDArray[np.float64], K: int, n: int,
           rng: np.random.Generator) -> NDArray[np.int32]:
    """The first symbols of n texts without a prime."""
    if not starts.any():  # not trained, or on a text in which no line begins
        return rng.integers(K, size=n, dtype=np.int32)
    return rng.choice(K, size=n, p=starts / starts.sum()).astype(np.int32)


def _barred(vocabulary: Vocabulary, empty: bool) -> tuple[set[int], set[int]]:
    """The ids that a record never contains, and those that never begin one: it has no start symbol,
    and without a prime it is not empty."""
    start, stop = map(vocabulary.symbols.index, (vocabulary.start, vocabulary.stop))
    never = {start} - {stop}
    return never, never | {stop} if empty else never


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


def stop_strings(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    one = isinstance(stop, str) or not isinstance(stop, Iterable)
    stops: tuple[Any, ...] = (stop,) if one else tuple(stop)
    if not all(isinstance(each, str) for each in stops):
        raise TypeError(f"stop must be a str or a sequence of str, not {stop!r}")
    if not all(stops):
        raise ValueError("stop must not be empty: every text contains the empty string")
    return stops


def until(stops: tuple[str, ...], symbols: Iterator[str]) -> Iterator[str]:
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
