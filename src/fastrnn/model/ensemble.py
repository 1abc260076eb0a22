"""An ensemble: several models whose probabilities are averaged at each symbol."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, softmax

from ..data.source import Batch, Source
from ..kernels.blas import one_thread
from ..settings import SampleSettings, documented
from ..validate import weights_of
from . import sampling, scoring
from .model import Model
from .ranking import Prior, RankedLabel, ranked

Weighted = tuple[Source, NDArray[Any] | None]  # a source, and the label probabilities of its rows


class Average:
    """Several models with the same vocabulary, whose probabilities are averaged at each symbol:
    what `fastrnn.average` returns.

    Each model reads the text from its own state. The models do not change, and where one is trained
    further, the average has its new parameters.

    Attributes
    ----------
    models : tuple of Model
    weights : float64 ndarray, shape (number of models,)
        How much each model counts; their sum is 1.
    text_vocabulary : Vocabulary
        That of all models.
    """

    def __init__(self, models: Iterable[Model], weights: ArrayLike | None = None) -> None:
        self.models = _checked(models)
        self.weights = np.ones(len(self.models)) if weights is None else weights_of(
            "weights", weights, (len(self.models),))
        self.weights = self.weights / self.weights.sum()
        self.text_vocabulary = self.models[0].text_vocabulary
        self._ensemble = _Ensemble(self.models, self.weights)

    def score(self, source: str | bytes | Source, label: Any = None) -> float:
        """Mean loss of one prediction, in nats per symbol: minus the logarithm of the weighted mean
        of the models' probabilities.

        Parameters
        ----------
        source, label
            As for `Model.score`.

        Raises
        ------
        ValueError, TypeError
            What `Model.score` refuses.
        """
        each = [scoring.each_to_read(model, model.vocabulary, source, label)
                for model in self.models]
        total, count = 0.0, 0
        for sources in zip(*each, strict=True):
            for batch, losses in self._read(sources):
                total, count = total + float(losses.sum()), count + batch.predictions
        return total / count

    def surprisal(self, text: str | bytes | Source, label: Any = None) -> NDArray[np.float64]:
        """The loss of each symbol of a text: minus the logarithm of the weighted mean of the
        models' probabilities of it after all symbols before it, in nats.

        Parameters
        ----------
        text, label
            As for `Model.surprisal`.

        Returns
        -------
        ndarray of float64
            As of `Model.surprisal`; the mean is `Average.score`.

        Raises
        ------
        ValueError, TypeError
            What `Model.surprisal` refuses.
        """
        sources = [scoring.to_read(model, model.vocabulary, text, label) for model in self.models]
        scoring.check_one(source := sources[0][0])
        return np.concatenate([losses[:, 0] for _, losses in self._read(sources)])[
            : source.predictions]

    def rank_labels(self, text: str | bytes, labels: Sequence[str] | None = None,
                    prior: Prior = None) -> list[RankedLabel]:
        """Classify a record as `Model.rank_labels` does, by the losses of `Average.surprisal`.

        Parameters
        ----------
        text, labels, prior
            As for `Model.rank_labels`; "training" is the mean of how often each label came in the
            training of the models.

        Returns
        -------
        list of RankedLabel
            The most probable first.

        Raises
        ------
        ValueError, TypeError
            What `Model.rank_labels` refuses.
        """
        def losses(chosen: Sequence[str]) -> NDArray[np.float64]:
            sources = [scoring.with_each_label(model, self.text_vocabulary, text, chosen)
                       for model in self.models]
            return scoring.totals(self._read(sources), len(chosen))

        counts = self._mean([model.label_counts for model in self.models])
        return ranked(self.models[0], self.text_vocabulary, text, labels, prior, counts, losses)

    def _read(self, sources: Sequence[Weighted]) -> Iterator[tuple[Batch, NDArray[np.float64]]]:
        """Each batch of the same source, and the losses (T, rows) of the average."""
        reads = (scoring.read(model, source, model.state, weights)
                 for model, (source, weights) in zip(self.models, sources, strict=True))
        for each in zip(*reads, strict=True):
            batch = each[0][0]
            losses = np.stack([losses for _, losses, _ in each])  # (models, T, rows)
            factors = batch.arrays.get("weights")
            if factors is not None:  # each loss is -log p times a factor
                factors = factors[:, : losses.shape[2]]
                losses = losses / np.where(factors > 0, factors, 1)
            found = -logsumexp(-losses, axis=0, b=self.weights[:, None, None])
            yield batch, found if factors is None else found * factors

    @overload
    def sample(self, length: int = 200, *, n: None = None,
               **settings: Unpack[SampleSettings]) -> str: ...
    @overload
    def sample(self, length: int = 200, *, n: int,
               **settings: Unpack[SampleSettings]) -> list[str]: ...
    @overload
    def sample(self, length: int = 200, *, n: int | None,
               **settings: Unpack[SampleSettings]) -> str | list[str]: ...
    @documented(SampleSettings)
    def sample(self, length: int = 200, *, n: int | None = None,
               **settings: Unpack[SampleSettings]) -> str | list[str]:
        """Generate a text as `Model.sample` does, from the averaged probabilities: each symbol is
        read by all models.

        Parameters
        ----------
        length : int
            Number of symbols to generate, for a record the largest number.
        n : int, optional
            Generate n texts in one batch and return a list.
        **settings
            `SampleSettings`; repetition_penalty must be 1.

        Returns
        -------
        str or list of str
            As of `Model.sample`.

        Raises
        ------
        ValueError, TypeError
            What `Model.sample` refuses; a repetition_penalty, which changes the scores of one
            model.
        """
        _no_penalty(settings)
        texts = sampling.sample(self._ensemble, self.text_vocabulary, self._starts, length, n,
                                dict(settings), self._known)
        one = n is None and not isinstance(settings.get("prime"), list | tuple)
        return texts[0] if one else texts

    @documented(SampleSettings)
    def stream(self, *, length: int | None = None,
               **settings: Unpack[SampleSettings]) -> Iterator[str]:
        """Generate a text symbol by symbol, as `Model.stream` does; joined, they are the text of
        `Average.sample`.

        Parameters
        ----------
        length : int, optional
            Number of symbols to generate; by default until a record or a stop string ends.
        **settings
            `SampleSettings`; repetition_penalty must be 1.

        Yields
        ------
        str
            As of `Model.stream`.

        Raises
        ------
        ValueError, TypeError
            As `Average.sample`.
        """
        _no_penalty(settings)
        return sampling.stream(self._ensemble, self.text_vocabulary, self._starts, length,
                               dict(settings))

    @property
    def _starts(self) -> NDArray[np.float64]:
        """How often each symbol begins a text."""
        return self._mean([model.starts for model in self.models])

    def _mean(self, counts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The weighted mean of the frequencies that the models count, over those that know them."""
        known = [weight * count / count.sum()
                 for count, weight in zip(counts, self.weights, strict=True) if count.any()]
        return np.sum(known, axis=0) if known else np.empty(0)

    @property
    def _known(self) -> NDArray[np.uint64]:
        return np.unique(np.concatenate([model.known for model in self.models]))

    def __repr__(self) -> str:
        return f"<Average of {len(self.models)} models: {', '.join(map(repr, self.models))}>"


def average(models: Iterable[Model], weights: ArrayLike | None = None) -> Average:
    """An ensemble of models of the same symbols, trained for example with several seeds: at each
    symbol their probabilities are averaged. Its loss is at most the weighted mean of their losses,
    and usually lower than that of each.

    Parameters
    ----------
    models : iterable of Model
        At least one model of a text or of records, all with the same vocabulary and labels. Cells
        and sizes may differ.
    weights : array_like of float, shape (number of models,), optional
        How much each model counts, by default all the same; divided by their sum.

    Returns
    -------
    Average
        With `Average.score`, `Average.surprisal`, `Average.sample`, `Average.stream` and
        `Average.rank_labels`.

    Raises
    ------
    ValueError, TypeError
        No model, something that is no Model, a model of sequences, different vocabularies or
        labels, or weights that are negative, not finite or all 0.

    Examples
    --------
    >>> both = fastrnn.average([fastrnn.load("a.safetensors"), fastrnn.load("b.safetensors")])
    >>> both.score("Some text that they have never read.")
    """
    return Average(models, weights)


class _Ensemble:
    """What `sampling` asks of a network. A state (N, P) has those of all models side by side."""

    def __init__(self, models: tuple[Model, ...], weights: NDArray[np.float64]) -> None:
        self._models, self._weights = models, weights
        self.config = {"labels": models[0].config["labels"]}
        ends = np.cumsum([model.state.shape[1] for model in models])
        self._parts = [slice(end - model.state.shape[1], end)
                       for model, end in zip(models, ends, strict=True)]

    @property
    def block(self) -> NDArray[Any]:
        """All parameters of all models."""
        return np.concatenate([model.block for model in self._models])

    def repeated_state(self, N: int) -> NDArray[Any]:
        """The states (N, P) from which texts begin."""
        return np.concatenate([model.repeated_state(N) for model in self._models], axis=1)

    def zero_state(self, batch_size: int = 1) -> NDArray[Any]:
        return np.concatenate([model.zero_state(batch_size) for model in self._models], axis=1)

    def read_ids(self, ids: NDArray[Any], state: NDArray[Any],
                 labels: NDArray[Any] | None = None) -> None:
        """Read ids (T,) with each model, updating state (1, P) in place."""
        for model, part in zip(self._models, self._parts, strict=True):
            own = state[:, part].astype(model.block.dtype)
            model.read_ids(ids, own, _as(labels, model))
            state[:, part] = own

    def draw(
        self, length: int, state: NDArray[Any], symbols: ArrayLike, temperature: float,
        rng: np.random.Generator, top_k: int = 0, top_p: float = 1.0,
        labels: NDArray[Any] | None = None, never: Iterable[int] = (), *, min_p: float = 0.0,
        penalty: float = 1.0, seen: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.int32]:
        """Sample symbol ids (length, N), each read by all models as the next input, as
        `Model.draw`."""
        uniforms = rng.random((length, len(state)))
        last, drawn = np.array(symbols, np.int32), np.empty((length, len(state)), np.int32)
        states = [state[:, part].astype(model.block.dtype)
                  for model, part in zip(self._models, self._parts, strict=True)]
        for step in range(length):
            p = np.zeros((len(state), len(self._models[0].text_vocabulary)))
            for model, weight, own in zip(self._models, self._weights, states, strict=True):
                p += weight * _step(model, last, own, _as(labels, model))
            p[:, list(never)] = 0
            last = drawn[step] = _chosen(p, uniforms[step], temperature, top_k, top_p, min_p)
        for part, own in zip(self._parts, states, strict=True):
            state[:, part] = own
        return drawn


def _step(model: Model, ids: NDArray[np.int32], state: NDArray[Any],
          labels: NDArray[Any] | None) -> NDArray[np.float64]:
    """The probabilities (N, K) after ids (N,) are read, updating state (N, P) in place."""
    out = np.empty((len(ids), 1, model.sizes.outputs), model.block.dtype)
    with one_thread():
        model.network(1, len(ids)).unroll(model.block, ids[None], state, out=out, labels=labels)
    p: NDArray[np.float64] = softmax(out[:, 0].astype(np.float64), axis=1)
    return p


def _chosen(p: NDArray[np.float64], uniforms: NDArray[np.float64], temperature: float, top_k: int,
            top_p: float, min_p: float) -> NDArray[np.int32]:
    """A symbol of each row of probabilities (N, K), by numbers (N,) in [0, 1)."""
    if temperature == 0:
        likeliest: NDArray[np.int32] = p.argmax(axis=1).astype(np.int32)
        return likeliest
    with np.errstate(divide="ignore"):
        scores = np.log(p) / np.clip(temperature, 1e-30, 1e9)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    order = np.argsort(-p, axis=1, kind="stable")
    sorted_p = np.take_along_axis(p, order, axis=1)
    if top_k:
        sorted_p[:, top_k:] = 0
    before = np.cumsum(sorted_p, axis=1) - sorted_p  # the sum of those that are likelier
    sorted_p[before >= top_p * sorted_p.sum(axis=1, keepdims=True)] = 0
    sorted_p[sorted_p < min_p] = 0
    np.put_along_axis(p, order, sorted_p, axis=1)
    sums = np.cumsum(p, axis=1)
    found = (sums <= (uniforms * sums[:, -1])[:, None]).sum(axis=1)
    last = p.shape[1] - 1 - (p[:, ::-1] > 0).argmax(axis=1)
    chosen: NDArray[np.int32] = np.minimum(found, last).astype(np.int32)
    return chosen


def _as(labels: NDArray[Any] | None, model: Model) -> NDArray[Any] | None:
    return None if labels is None else labels.astype(model.block.dtype)


def _no_penalty(settings: Any) -> None:
    if settings.get("repetition_penalty", 1) != 1:
        raise ValueError("repetition_penalty changes the scores of one model, and an average has "
                         "probabilities: leave it out")


def _difference(model: Model, first: Model) -> str:
    """What tells the vocabularies of two models apart, in a few words."""
    own, other = model.text_vocabulary, first.text_vocabulary
    for one, two, has in (own, other, "has"), (other, own, "lacks"):
        more = [symbol for symbol in one.symbols if symbol not in two.symbols]
        if more:
            return f"it {has} the symbol {more[0]!r}"
    return "the same symbols, in another order or of another unit"


def _checked(models: Iterable[Model]) -> tuple[Model, ...]:
    """The models, if they can be averaged."""
    if isinstance(models, Model) or not isinstance(models, Iterable):
        raise TypeError(f"models must be a list of models, not {models!r}")
    models = tuple(models)
    if not models:
        raise ValueError("there is no model to average: the list is empty")
    for model in models:
        if not isinstance(model, Model):
            raise TypeError(f"models must be a list of models, and one is {model!r}: load a file "
                            "with fastrnn.load")
    first = models[0]
    for place, model in enumerate(models):
        if model.vocabulary is None:
            raise ValueError(f"model {place} is one of sequences: an average is of models of a "
                             "text or of records")
        if model.vocabulary != first.vocabulary:
            raise ValueError(f"model {place} has another vocabulary than model 0 "
                             f"({_difference(model, first)}): train them on the same text, or with "
                             "the same vocabulary")
        if model.config["labels"] != first.config["labels"]:
            raise ValueError(f"model {place} has other labels than model 0: train them on the same "
                             "records")
    return models
