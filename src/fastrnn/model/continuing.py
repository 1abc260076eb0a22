"""Texts that are generated symbol by symbol, each with its surprisal; and a text that is read and
written by turns."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import tee
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.source import READ_STEPS
from ..data.vocabulary import Vocabulary
from ..kernels.blas import one_thread
from ..settings import SampleSettings, checked
from ..validate import positive_int
from .network import Network
from .sampling import (
    Begun,
    begin,
    draw_pieces,
    for_stream,
    shown_prime,
    stream_sizes,
    until,
)

# the ids of n texts, and the surprisal of each: both (size, n)
Piece = tuple[NDArray[np.integer], NDArray[np.float64]]


def with_surprisal(
    network: Network, vocabulary: Vocabulary, starts: NDArray[np.float64], length: int | None,
    n: int | None, settings: dict[str, Any], after: NDArray[Any] | None = None,
) -> list[Iterator[tuple[str, float]]]:
    """For each of n texts (one where n is None) an iterator over its symbols, each with its
    surprisal in nats: -log p, with p the probability that the model gives it at temperature 1,
    before top_k and the like. It is NaN for an echoed prime, which is one piece, and for the first
    symbol of a text without a prime, which nothing predicts.

    With the same seed the texts are those of `Model.sample`. Of bytes a symbol is a character,
    whose surprisal is the sum over its bytes. `after` as in `begin`."""
    how, length, stops, primes = for_stream(length, n, settings)
    begun = begin(network, vocabulary, primes, how["label"], after)
    pieces = _scored(network, begun, draw_pieces(network, vocabulary, starts, length, begun, how,
                                                 stream_sizes()))

    def text(i: int, part: Iterable[Piece]) -> Iterator[tuple[str, float]]:
        if how["echo"] and primes[i]:
            yield shown_prime(vocabulary, primes[i]), nan
        nats: deque[float] = deque()  # of what may belong to a stop string, and of the next symbol

        def symbols() -> Iterator[str]:
            for symbol, each in paired(vocabulary, part, i):
                nats.append(each)
                yield symbol

        for symbol in until(stops, symbols()):
            yield symbol, nats.popleft()

    return [text(i, part) for i, part in enumerate(tee(pieces, len(primes)))]


def _scored(network: Network, begun: Begun,
            pieces: Iterable[NDArray[np.int32]]) -> Iterator[Piece]:
    """Each piece of the ids of n texts with their surprisal."""
    state = begun.state.copy()  # that of `begun` goes ahead of it
    last = np.array([ids[-1] for ids in begun.ids if len(ids)], np.int32)
    for ids in pieces:
        nats = np.full(ids.shape, nan)
        if len(last):
            inputs = np.concatenate([last[None], ids[:-1]])
            with one_thread():
                nats = network.network(READ_STEPS, len(state), network.sizes.loss).unroll(
                    network.block, inputs, state, targets=ids, labels=begun.labels)
        last = ids[-1]
        yield ids, nats


def paired(vocabulary: Vocabulary, pieces: Iterable[Piece],
           i: int = 0) -> Iterator[tuple[str, float]]:
    """The symbols of text i, for a record those before its stop symbol, each with its surprisal."""
    stop = None if vocabulary.stop is None else vocabulary.symbols.index(vocabulary.stop)
    total = 0.0

    def ids() -> Iterator[list[int]]:
        nonlocal total
        for drawn, losses in pieces:
            for id, loss in zip(drawn[:, i].tolist(), losses[:, i].tolist(), strict=True):
                if id == stop:
                    return
                total += loss
                yield [id]

    for symbol in vocabulary.iterdecode(ids()):
        nats, total = total, 0.0
        yield symbol, nats


class Conversation:
    """A text that a model of a text reads and writes by turns, from the model's state on.

    What `write` yields is part of the text as soon as it is yielded: an answer that is broken off
    goes on from where it was."""

    def __init__(self, network: Network, vocabulary: Vocabulary,
                 starts: NDArray[np.float64]) -> None:
        self.network, self.vocabulary, self.starts = network, vocabulary, starts
        # the state (1, P) after all ids but the unread ones, of which the last is the next input
        self._state, self._unread = network.repeated_state(1), list[int]()

    def copy(self) -> "Conversation":
        """A conversation that is as far as this one."""
        other = Conversation(self.network, self.vocabulary, self.starts)
        other._state, other._unread = self._state.copy(), [*self._unread]
        return other

    @property
    def last(self) -> str | int | None:
        """The last symbol of the text so far; None before the first."""
        return self.vocabulary.symbols[self._unread[-1]] if self._unread else None

    def read(self, text: str | bytes) -> None:
        """Read a text; ValueError for a symbol that the vocabulary does not have, then nothing is
        read."""
        self._unread += self.vocabulary.encode(text).tolist()

    def write(self, length: int, settings: dict[str, Any]) -> Iterator[str]:
        """Yield the symbols of `length` more ids, with `SampleSettings`."""
        how = checked(SampleSettings, settings, "stream")
        length = positive_int("length", length, least=0)
        self.network.read_ids(np.array(self._unread[:-1], np.int32), self._state)
        del self._unread[:-1]
        begun = Begun([np.array(self._unread, np.uint32)], self._state.copy(), None)
        pieces = draw_pieces(self.network, self.vocabulary, self.starts, length, begun, how,
                             stream_sizes())

        def ids() -> Iterator[list[int]]:
            for piece in pieces:
                for id in piece[:, 0].tolist():
                    self._unread.append(id)
                    yield [id]

        return self.vocabulary.iterdecode(ids())
