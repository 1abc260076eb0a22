"""Losses and accuracy of a network on a source, and classification."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..data.corpus import Corpus, RecordCorpus
from ..data.source import READ_STEPS, Batch, Source
from ..data.vocabulary import Vocabulary
from ..kernels.blas import one_thread
from ..kernels.team import no_fork
from ..validate import positive_int
from .adapting import Adapting
from .labels import probabilities
from .network import Network

# a batch, the loss of each prediction, and whether it is right; both (T, rows)
Read = tuple[Batch, NDArray[np.float64], NDArray[np.uint8]]


def read(
    network: Network, source: Source, state: NDArray[Any], weights: NDArray[Any] | None = None, *,
    threads: int = 1, streams: int = 1, steps: int = READ_STEPS,
    unroll: Callable[..., NDArray[np.float64]] | None = None,
) -> Iterator[Read]:
    """Read all of a source batch by batch, without dropout.

    Losses are the cross-entropy in nats (also where training minimizes another loss), or the
    squared error. Streams of a text continue from `state` (streams, P); other sources are read from
    the zero state. `weights` (rows, C) are the label probabilities of the rows. unroll(network,
    batch, **arrays) computes the losses (T, N) in place of the kernel's `unroll`, which takes the
    same arrays."""
    carried = None
    source = source.scaled(network.scaling)
    for batch in source.batches(network.block.dtype, streams=streams, steps=steps):
        N, n = batch.N, len(batch.rows)
        if not batch.goes_on:
            carried = network.zero_state(N)
        elif carried is None:
            with no_fork, network.lock:
                carried = state[:N].copy()
        labels = None
        if weights is not None:
            labels = np.zeros((N, weights.shape[1]), network.block.dtype)
            labels[:n] = weights[batch.rows]
        right = np.zeros((batch.T, N), np.uint8)
        with one_thread():
            losses = (unroll or unrolled)(network, batch, **batch.arrays, right=right,
                                          labels=labels, threads=threads, state=carried)
        yield batch, losses[:, :n], right[:, :n]


def unrolled(network: Network, batch: Batch, **arrays: Any) -> NDArray[np.float64]:
    """The losses (T, N) of a batch, as `kernels.Network.unroll` computes them."""
    kernel = network.network(batch.steps, batch.N, network.sizes.loss)
    return kernel.unroll(network.block, **arrays)


def row_weights(network: Network, source: Source) -> NDArray[Any] | None:
    """The label probabilities (rows, C) of a source; None for a network without labels."""
    names = network.config["labels"]
    labels = None if names is None else source.row_labels()
    return probabilities(names, labels, len(labels or ()), network.block.dtype)


def to_read(
    network: Network, vocabulary: Vocabulary | None, given: Any, label: Any = None
) -> tuple[Source, NDArray[Any] | None]:
    """A source that fits the network, made of `given` where that is a text (with a vocabulary of
    records one record), and its label probabilities."""
    if isinstance(given, Source):
        given.check_fits(vocabulary, network.sizes, network.config["labels"])
        if label is not None:
            raise ValueError(f"a corpus has its own labels: leave label out for {given.name}")
        if given.predictions < 1:
            raise ValueError("a text to score must have at least 2 symbols, not 1")
        return given, row_weights(network, given)
    if vocabulary is None:
        raise not_for_text()
    weights = probabilities(network.config["labels"], label, 1, network.block.dtype)
    if vocabulary.stop is not None:
        return RecordCorpus.of_pieces([vocabulary.encode_record(given)], vocabulary), weights
    ids = vocabulary.encode(given)
    if len(ids) < 2:
        raise ValueError(f"a text to score must have at least 2 symbols, not {len(ids)}")
    return Corpus(ids, vocabulary), weights


def ids_of_text(network: Network, vocabulary: Vocabulary, text: str | bytes | Source
                ) -> NDArray[Any]:
    """The ids of a text, or of a corpus of one that fits the network; at least one."""
    if isinstance(text, Source):
        text.check_fits(vocabulary, network.sizes, network.config["labels"])
        ids: NDArray[Any] = cast(Corpus, text).ids
    else:
        ids = vocabulary.encode(text)
    if not len(ids):
        raise ValueError("the text is empty: give at least one symbol")
    return ids


def not_for_text() -> ValueError:
    """The error of a model without a vocabulary that is given a text."""
    return ValueError("this model was made for sequences, not for a text: it can predict, "
                      "extrapolate and score sequences")


def each_to_read(
    network: Network, vocabulary: Vocabulary | None, given: Any, label: Any = None
) -> list[tuple[Source, NDArray[Any] | None]]:
    """`to_read` of a text or source, or of each text of a list."""
    if not isinstance(given, list | tuple):
        return [to_read(network, vocabulary, given, label)]
    if not given:
        raise ValueError("there is no text to score: the list is empty")
    labels = list(label) if isinstance(label, list | tuple) else [label] * len(given)
    if len(labels) != len(given):
        raise ValueError(f"there are {len(given)} texts and {len(labels)} labels: give one label "
                         "for all, or one for each")
    return [to_read(network, vocabulary, text, own)
            for text, own in zip(given, labels, strict=True)]


def mean_loss(network: Network, sources: Sequence[tuple[Source, NDArray[Any] | None]],
              state: NDArray[Any], adapt: Adapting | None = None) -> float:
    """Mean loss of one prediction of all sources, each with its label probabilities; with
    `adapt` adapted while reading."""
    total, count = 0.0, 0
    if adapt is not None:
        reader, windows = adapt.reader(network, sources)
        total = sum(float(losses.sum()) for losses in reader.read(windows))
        return total / sum(source.predictions for source, _ in sources)
    for source, weights in sources:
        for batch, losses, _ in read(network, source, state, weights):
            total, count = total + float(losses.sum()), count + batch.predictions
    return total / count


def surprisal(network: Network, vocabulary: Vocabulary | None, text: str | bytes | Source,
              label: Any = None, adapt: Adapting | None = None) -> NDArray[np.float64]:
    """The loss of each prediction of one text or record, in order; with `adapt` adapted while
    reading."""
    source, weights = to_read(network, vocabulary, text, label)
    check_one(source)
    if adapt is not None:
        reader, windows = adapt.reader(network, [(source, weights)])
        return np.concatenate(list(reader.read(windows)))
    return np.concatenate([losses[:, 0] for _, losses, _ in read(
        network, source, network.state, weights)])[: source.predictions]


def check_one(source: Source) -> None:
    """Raise ValueError for what is not one text or one record."""
    if source.vocabulary is None or source.predictions > (source.steps or source.predictions):
        raise ValueError(f"surprisal is for one text or one record, not for {source.name}")


def surprisal_of_rows(network: Network, source: Source) -> list[NDArray[np.float64]]:
    """The loss of each prediction of a text, a list of one array, or of each record."""
    found: dict[int, list[NDArray[np.float64]]] = {}
    for batch, losses, _ in read(network, source, network.state, row_weights(network, source)):
        for column, row in enumerate(batch.rows):
            found.setdefault(int(row), []).append(losses[:, column])
    return [np.concatenate(found[row]) for row in sorted(found)]


def accuracy(
    network: Network, source: Source, state: NDArray[Any], weights: NDArray[Any] | None = None,
    last: int | None = None, **how: Any,
) -> float:
    """Fraction of target symbols to which the network gives the highest probability; with `last`
    only of each sequence's `last` unmasked symbols. `how` are threads, streams, steps of `read`."""
    if not network.sizes.output_symbols:
        raise ValueError("accuracy is for targets that are symbols: these are numbers, and score "
                         "gives their mean squared error")
    if last is not None:
        if source.vocabulary is not None:
            raise ValueError("last is for sequences: leave it out for a text")
        positive_int("last", last)
    hits, count = 0, 0
    if last is None:
        for batch, _, right in read(network, source, state, weights, **how):
            hits, count = hits + int(right.sum()), count + batch.predictions
        return hits / count
    found: list[list[tuple[NDArray[Any], NDArray[Any]]]] = []  # of some rows, piece by piece
    for batch, _, right in read(network, source, state, weights, **how):
        if not batch.goes_on:
            found.append([])
        found[-1].append((batch.arrays["mask"][:, : right.shape[1]], right))
    for pieces in found:
        mask, right = (np.concatenate(parts) for parts in zip(*pieces, strict=True))  # (T, rows)
        chosen = (mask > 0) & (np.cumsum(mask[::-1], axis=0, dtype=np.int64)[::-1] <= last)
        hits, count = hits + int(right[chosen].sum()), count + int(chosen.sum())
    return hits / count


def with_each_label(network: Network, vocabulary: Vocabulary, text: str | bytes,
                    names: Sequence[str]) -> tuple[Source, NDArray[Any] | None]:
    """A record as often as there are `names`, and the label probabilities of each."""
    source = RecordCorpus.of_pieces([vocabulary.encode_record(text)] * len(names), vocabulary)
    return source, probabilities(network.config["labels"], names, len(names), network.block.dtype)


def totals(batches: Iterable[tuple[Batch, NDArray[np.float64]]], rows: int) -> NDArray[np.float64]:
    """The loss of each of so many records, in nats, from the losses (T, N) of batches."""
    losses = np.zeros(rows)
    for batch, each in batches:
        losses[batch.rows] = each.sum(axis=0)
    return losses
