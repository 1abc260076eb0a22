"""Dynamic evaluation (Krause, Kahembwe, Murray and Renals 2018): a copy of the parameters learns
from each window of a text once the window was scored.

With g the gradient of the window's summed loss, eta the learning rate, theta_0 the trained
parameters, and r = sqrt(MS), MS being the mean square of each parameter's g over some windows:

    theta += min(1, lambda r / mean(r)) (theta_0 - theta) - eta g / (r + epsilon)

where the mean is over all parameters. In plain steps r is 1 and epsilon 0. The paper measures MS on
the training data; without them it is measured here in the first windows that are read, which are
scored with the trained parameters, and only then learned from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..data.corpus import Corpus
from ..data.source import Source
from ..kernels.blas import cores, one_thread
from ..kernels.team import no_fork
from ..settings import AdaptSettings, checked
from .network import Network

RMS_WINDOWS = 20  # in which r is measured
EPSILON = 1.0  # times the mean of r: what 20 windows have not seen has r = 0
CLIP = 1e15  # of gradients: none is so large, and with it the loop needs no norm of them
RATES = {False: 1e-2, True: 4e-3}  # the usual learning rates, of plain and of scaled steps

# a source with the label probabilities of its rows
Labelled = tuple[Source, NDArray[Any] | None]


def settings_of(adapt: bool | Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings that the argument `adapt` stands for; None for a reading that does not adapt."""
    if not isinstance(adapt, bool | Mapping):
        raise TypeError("adapt must be True, False or a dict such as "
                        f'{{"learning_rate": 0.001}}, not {adapt!r}')
    if adapt is False:
        return None
    how = checked(AdaptSettings, dict(adapt) if isinstance(adapt, Mapping) else {}, "adapt")
    if how["learning_rate"] is None:
        how["learning_rate"] = RATES[how["rms"] is not False]
    return how


@dataclass
class Windows:
    """What is read, window by window: of `ids` lengths[i] symbols from starts[i] on, and the symbol
    behind them as the last target. Where first[i] is True the state begins anew. labels (windows,)
    and weights (ids,) are those of records, or None."""

    ids: NDArray[Any]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    first: NDArray[np.bool_]
    labels: NDArray[np.int32] | None
    weights: NDArray[np.float64] | None

    def spread(self, most: int) -> NDArray[np.intp]:
        """The indices of at most so many windows, evenly over all."""
        count = min(most, len(self.starts))
        return np.arange(count) * len(self.starts) // count


def windows_of(sources: Sequence[Labelled], seq_length: int) -> Windows:
    """The windows of texts and records one after the other; a record is one window."""
    all_ids, starts, lengths, first, weights, at = [], [], [], [], [], 0
    for source, _ in sources:
        if source.vocabulary is None:
            raise ValueError(f"adapt is for texts and records, and {source.name} is neither: leave "
                             "adapt out")
        corpus = cast(Corpus, source)
        all_ids.append(corpus.ids)
        scale = np.ones(len(corpus))
        if corpus.records:
            begin, steps = corpus.records.starts, corpus.records.steps
            first.append(np.ones(len(begin), bool))
            of_rows = corpus.records.normalized()
            if of_rows is not None:
                for s, n, weight in zip(begin, steps, of_rows, strict=True):
                    scale[s : s + n] = weight
        else:
            begin = np.arange(0, source.predictions, seq_length)
            steps = np.minimum(seq_length, source.predictions - begin)
            first.append(begin == 0)
        starts.append(at + begin)
        lengths.append(steps)
        weights.append(scale)
        at += len(corpus)
    factors = np.concatenate(weights)
    return Windows(np.concatenate(all_ids),
                   np.concatenate(starts).astype(np.int64),
                   np.concatenate(lengths).astype(np.int64), np.concatenate(first),
                   _label_ids([given for _, given in sources]),
                   None if (factors == 1).all() else factors)


def _label_ids(given: list[NDArray[Any] | None]) -> NDArray[np.int32] | None:
    """The label of each row, from the probabilities (rows, C) of each source."""
    rows = [each for each in given if each is not None]
    if not rows:
        return None
    probabilities = np.concatenate(rows)
    if not (probabilities.max(axis=1) == 1).all():
        raise ValueError("adapt is for records with one label each, not for mixtures of labels: "
                         "leave adapt out")
    labels: NDArray[np.int32] = probabilities.argmax(axis=1).astype(np.int32)
    return labels


class Reader:
    """Reads with a copy of a network's parameters, which learns from each window once it is scored.

    Attributes
    ----------
    block : ndarray, shape (size,)
        The parameters as they are after what has been read.
    state : ndarray, shape (1, P)
        The state after the last window.
    """

    def __init__(self, network: Network, how: Mapping[str, Any], longest: int,
                 records: bool) -> None:
        with no_fork, network.lock:
            self.block, self.state = (network.block.copy(), network.state.copy())
        self._first = self.block.copy()  # theta_0
        self._begin = network.zero_state() if records else self.state.copy()
        self._kernel = network.network(longest, 1, network.sizes.loss)
        self._how, self._r = how, np.ones_like(self.block)

    def read(self, windows: Windows) -> Iterator[NDArray[np.float64]]:
        """The losses (lengths[i],) of window after window, in nats, each before it is learned from.
        With rms=True the first ones are read twice: to measure r, which gives their losses, and
        to learn from them."""
        every, done = np.arange(len(windows.starts)), 0
        if self._how["rms"] is True:
            some = every[:RMS_WINDOWS]
            yield from self.measure(windows, some)
            done = len(some)
        rule, rate = self._rule(), self._how["learning_rate"]
        found = self._pass(windows, every, rule, rate, [self._first, self._r])
        for i, losses in enumerate(found):
            if i >= done:
                yield losses

    def measure(self, windows: Windows, some: NDArray[np.intp]) -> list[NDArray[np.float64]]:
        """Set r to the root mean square of the gradients in some windows; returns their losses. The
        parameters do not change: AdaGrad at the rate 0 sums the squares."""
        squares = np.zeros_like(self.block)
        rule = kernels.Optimizer("adagrad", clip_value=CLIP)
        losses = list(self._pass(windows, some, rule, 0.0, [squares]))
        self._r = np.sqrt(squares / len(some))
        return losses

    def _rule(self) -> kernels.Optimizer:
        mean = float(self._r.mean(dtype=np.float64))
        if not mean:
            raise ValueError("all gradients are 0, so that steps cannot be scaled by them: give "
                             "rms=False")
        plain = self._how["rms"] is False
        return kernels.Optimizer("dynamic", decay=self._how["decay"] / mean, clip_value=CLIP,
                                 epsilon=0.0 if plain else EPSILON * mean)

    def _pass(self, windows: Windows, some: NDArray[np.intp], rule: kernels.Optimizer, rate: float,
              memories: list[NDArray[Any]]) -> Iterator[NDArray[np.float64]]:
        """Read some windows with a rule; the losses of each before its update."""
        training = kernels.Training(
            self._kernel, rule, self.block, memories, self.state, np.empty_like(self.block),
            windows.ids, threads=cores(), epoch_updates=len(some), weights=windows.weights)
        rates, on = np.array([rate]), np.array([True])
        for i in some:
            if windows.first[i] or i == some[0]:
                self.state[:] = self._begin
            one = slice(i, i + 1)
            with one_thread():
                made, _ = training.run(
                    rates, windows.starts[one], windows.lengths[one],
                    None if windows.labels is None else windows.labels[one], on)
            if not len(made):
                raise ValueError("the model does not stay finite while it adapts: give a lower "
                                 "learning_rate than "
                                 f"{self._how['learning_rate']:g} in adapt, or leave adapt out")
            yield training.losses[: windows.lengths[i], 0].copy()


@dataclass
class Adapting:
    """How a network adapts: `AdaptSettings`, and the data to measure r in where they are given."""

    how: Mapping[str, Any]
    data: Labelled | None = None

    def reader(self, network: Network, sources: Sequence[Labelled]) -> tuple[Reader, Windows]:
        """A reader, and the windows of these sources for it to read."""
        windows = windows_of(sources, self.how["seq_length"])
        other = None if self.data is None else windows_of([self.data], self.how["seq_length"])
        longest = max(int(each.lengths.max()) for each in (windows, other) if each is not None)
        reader = Reader(network, self.how, longest, sources[0][0].steps is not None)
        if other is not None:
            reader.measure(other, other.spread(RMS_WINDOWS))
        return reader, windows
