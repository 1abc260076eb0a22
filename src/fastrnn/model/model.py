"""What users hold: a network and, where it reads text, its vocabulary."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cells import CELLS
from ..data.source import Sizes, Source, sizes_of
from ..data.vocabulary import Vocabulary
from ..echo.reservoir import Reservoir
from ..files import store
from ..settings import ModelSettings, SampleSettings, documented
from . import head, prediction, sampling, scoring, storing
from .history import History
from .network import Network


class RankedLabel(NamedTuple):
    """What `Model.rank_labels` finds of a label.

    Attributes
    ----------
    label : str
    loss : float
        Of the record with this label, nats per symbol.
    probability : float
        Of this label among all.
    """

    label: str
    loss: float
    probability: float

    @property
    def share(self) -> float:
        """Another name for probability, from before."""
        return self.probability


@documented(ModelSettings)
class Model(Network):
    """A network that reads symbols, one-hot or embedded, or numbers through recurrent layers and
    predicts symbols, or numbers: of a text, the next symbol.

    With h_t the output of the last layer, o_t = h_t head.W + head.b are the predicted numbers, or
    the scores of the predicted symbols, whose probabilities are p = softmax(o_t). With x_t the
    input of a layer, s the logistic function and o the product entry by entry:

    @CELLS@

    Parameters
    ----------
    vocabulary : Vocabulary or Sizes
        The K symbols of a text, which are read and predicted; or of sequences what is read, V
        symbols or D numbers, and what is predicted, K of either: ``Model(sequences.sizes)``.
    reservoir : Reservoir, optional
        For an esn, one that is there already; it is not in `config`.
    **settings
        `ModelSettings`.

    Attributes
    ----------
    params : dict of str -> ndarray
        Writable views of `block`, G gates side by side: ``embedding.W`` (V, E) where there is one;
        for each layer ``layer0.Wx`` (D, G H), ``layer0.Wh`` (H, G H), ``layer0.b`` (G H), for a
        GRU that resets after ``layer0.bhn`` (H), for the memory cell ``layer0.Wm`` (H, H) and
        ``layer0.bm`` (H); ``layer0.Wc`` (C, G H) where there are labels, which adds for a record's
        label, or its probability of each, an input of the first layer at every step; ``head.W``
        (H, K), ``head.b`` (K). D is V or E in the first layer, or that of the inputs, then H; of a
        text V is K. An esn has the head's only. The weights are drawn tensor by tensor in this
        order by ``numpy.random.default_rng(seed)`` as float64 (before them a reservoir, nothing for
        biases, which are 0, or for an identity Wh); `fastrnn.model.initial` tells how.
    reservoir : Reservoir or None
        For an esn: what is not trained.
    block : ndarray, shape (size,)
        All parameters, one after the other.
    state : ndarray, shape (1, P)
        Where `sample` and `score` start: zero in a new model, then the state that training carried
        at its end. A text model hardly ever meets the zero state while it learns, and may not find
        back to the text from there. P numbers: for each layer its h, for an LSTM followed by its c.
    config : dict
        The settings, with what their defaults stand for.
    sizes : Sizes
        What is read and predicted.
    vocabulary : Vocabulary or None
        None in a model of sequences.
    history : History
        The losses of the training that this model has had.
    known : uint64 ndarray
        Digests of the records that it was trained on, sorted: what `novelty` compares with.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong kind or size; the message says what it must be.

    Notes
    -----
    Dropout (Srivastava et al. 2014) acts on the outputs of layers, not on the state that a layer
    passes to its own next time step (Zaremba et al. 2014); what is kept is divided by 1 - dropout,
    so that scoring and sampling need no change. It is rounded to a multiple of 1/65536. The binary
    cross-entropy is -log p - sum over the other symbols of log(1 - p_k), in nats; scores are the
    cross-entropy in either case. The squared error is the mean over the numbers of a prediction.
    """

    def __init__(
        self, vocabulary: Vocabulary | Sizes, *, reservoir: Reservoir | None = None,
        **settings: Unpack[ModelSettings],
    ) -> None:
        self.vocabulary = vocabulary if isinstance(vocabulary, Vocabulary) else None
        super().__init__(sizes_of(vocabulary), dict(settings), reservoir)
        self.history = History()
        self.known = np.empty(0, np.uint64)

    @property
    def text_vocabulary(self) -> Vocabulary:
        """The vocabulary, of a model that has one: others raise ValueError."""
        if self.vocabulary is None:
            raise scoring.not_for_text()
        return self.vocabulary

    def _checked_ids(self, name: str, ids: ArrayLike) -> ArrayLike:
        if self.vocabulary is None:
            return ids
        checked = self.vocabulary.check_ids(ids)
        if checked.ndim != 2 or checked.size == 0:
            raise ValueError(f"{name} must be ids of shape (N, T), not of shape {checked.shape}")
        return checked

    def check(self, source: Source) -> None:
        """Raise ValueError unless this model can read and predict what is in `source`."""
        source.check_fits(self.vocabulary, self.sizes, self.config["labels"])

    def score(self, source: str | bytes | Source, label: Any = None) -> float:
        """Mean loss of a prediction: of a text the cross-entropy in nats per symbol.

        A text is read from `state` on, its first symbol given, not predicted: n symbols make n - 1
        predictions. exp(score) is the perplexity. Sequences and records are read from the zero
        state; of sequences the steps that count are scored, of records each symbol and the stop
        symbol.

        Parameters
        ----------
        source : str, bytes (for unit "byte"), Corpus with this model's vocabulary, or Sequences
            A str is one record where the model learned records.
        label : str, or dict of str -> float, optional
            Of such a record, where the model has labels: one, or a mixture by weights; a corpus has
            its own.

        Raises
        ------
        ValueError
            Fewer than two symbols, a symbol that the vocabulary does not have, a corpus with
            another vocabulary, sequences of other sizes, or an unknown label.
        """
        read, weights = scoring.to_read(self, self.vocabulary, source, label)
        return scoring.mean_loss(self, read, self.state, weights)

    def accuracy(
        self, source: str | bytes | Source, last: int | None = None, label: Any = None
    ) -> float:
        """The fraction of symbols that the model, given those before, finds likeliest.

        Parameters
        ----------
        source, label
            Read as `Model.score` does.
        last : int, optional
            Of sequences: only so many of each one's steps that count, the last ones.

        Raises
        ------
        ValueError
            As `Model.score`; or targets that are numbers.
        """
        read, weights = scoring.to_read(self, self.vocabulary, source, label)
        return scoring.accuracy(self, read, self.state, weights, last)

    def rank_labels(self, text: str | bytes) -> list[RankedLabel]:
        """The labels that a record may have, the likeliest first.

        The generator as a classifier: by Bayes' rule, all labels being equally likely before, the
        probability of a label is exp(-loss of the whole record) divided by the sum of that over
        all labels.

        Parameters
        ----------
        text : str, or for unit "byte" bytes

        Returns
        -------
        list of RankedLabel
            Each with ``label``, ``loss`` (nats per symbol) and ``probability``.

        Raises
        ------
        ValueError
            A model without labels, or a symbol that the vocabulary does not have.
        """
        losses, p, count = scoring.label_losses(self, self.text_vocabulary, text)
        return [RankedLabel(self.config["labels"][c], float(losses[c]) / count, float(p[c]))
                for c in np.argsort(losses, kind="stable")]

    def novelty(self, samples: Sequence[str]) -> NDArray[np.bool_]:
        """Which samples are new: not among the records that the model was trained on, both as its
        vocabulary reads them (of a record that was cut, what was left; all unknown words alike).

        Parameters
        ----------
        samples : sequence of str

        Returns
        -------
        ndarray of bool, shape (number of samples,)

        Raises
        ------
        ValueError
            A model that was not trained on records.
        TypeError
            One str: give a list of them.
        """
        return scoring.novelty(self.known, self.text_vocabulary, samples)

    def fit_head(self, text: str | bytes | Source, ridge: float = 1e-2, warmup: int = 100) -> float:
        """Solve for an esn's head in one pass over a text, in place of training it: by ridge
        regression of the next symbol, one-hot, on [1; h], scaled so that the cross-entropy of its
        softmax is least.

        Parameters
        ----------
        text : str, bytes (for unit "byte") or Corpus with this model's vocabulary
        ridge : float
            Penalty on the squares of the weights, over all symbols.
        warmup : int
            Symbols at the start that are read, but not fitted.

        Returns
        -------
        float
            Mean cross-entropy (nats per symbol) of the first 16,384 symbols that were fitted.

        Raises
        ------
        ValueError
            Another cell, a text not longer than the warm-up, or a ridge that is too small.
        """
        source, _ = scoring.to_read(self, self.vocabulary, text)
        return head.fit_head(self, source, ridge, warmup)

    def predict(self, inputs: ArrayLike | Source) -> NDArray[Any]:
        """The prediction at each step, read from the zero state.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D), or Sequences

        Returns
        -------
        ndarray, shape (N, T, K)
            The probabilities of K symbols, or K numbers; NaN behind the length of a sequence.

        Raises
        ------
        ValueError, TypeError
            Inputs that are not what this model reads.
        """
        return prediction.predict(self, inputs)

    def extrapolate(self, inputs: ArrayLike | Source, steps: int) -> NDArray[Any]:
        """Go on from where the inputs end, those of `Sequences` by their lengths: each prediction
        is the next input.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D), or Sequences
        steps : int

        Returns
        -------
        ndarray, shape (N, steps, K) of numbers, or (N, steps) of symbols
            Of symbols each is the likeliest one. The first is what the last input leads to.

        Raises
        ------
        ValueError, TypeError
            Inputs that are not what this model reads, or predictions that it cannot read.
        """
        return prediction.extrapolate(self, inputs, steps)

    @overload
    def sample(
        self, length: int = 200, *, n: None = None, **settings: Unpack[SampleSettings]
    ) -> str: ...
    @overload
    def sample(
        self, length: int = 200, *, n: int, **settings: Unpack[SampleSettings]
    ) -> list[str]: ...
    @overload
    def sample(
        self, length: int = 200, *, n: int | None, **settings: Unpack[SampleSettings]
    ) -> str | list[str]: ...
    @documented(SampleSettings)
    def sample(
        self, length: int = 200, *, n: int | None = None, **settings: Unpack[SampleSettings]
    ) -> str | list[str]:
        """Generate a text from `state` on, each symbol drawn from softmax(scores / temperature); a
        model that learned records generates a record, which is never empty, from the zero state up
        to its stop symbol.

        Parameters
        ----------
        length : int
            Symbols to generate, and of a record the most.
        n : int, optional
            Generate so many texts side by side, in one pass; a list of them is returned.
        **settings
            `SampleSettings`.

        Returns
        -------
        str or list of str
            Exactly `length` symbols (for unit "byte": bytes, read as UTF-8) where no stop string
            or stop symbol comes; with `n` a list of n such texts. n=1 has the text that the same
            seed gives without n; a larger n has others.

        Raises
        ------
        ValueError, TypeError
            An unknown symbol in the prime (named, with its position), a negative length or
            temperature, n or top_k below 1, top_p outside (0, 1], an empty stop string, or
            parameters that are infinite or NaN.

        Notes
        -----
        temperature=0.5 is the "squared and renormalised" sampling of the names homework:
        softmax(o / 0.5) is softmax(o)^2 divided by its sum. top_k: Fan, Lewis and Dauphin 2018;
        top_p, of the distribution that temperature and top_k leave: Holtzman et al. 2020.
        """
        texts = sampling.sample(self, self.text_vocabulary, length, n, dict(settings))
        return texts[0] if n is None else texts

    @documented(SampleSettings)
    def stream(
        self, *, length: int | None = None, **settings: Unpack[SampleSettings]
    ) -> Iterator[str]:
        """Generate a text symbol by symbol: joined, what `sample` gives for the same arguments.

        The arguments are checked and the prime is read at the call; `state` is not moved. Symbols
        are drawn a few at a time, 1, 2, 4 and so on up to 32, by the parameters as they then are.
        So a model that is trained on meanwhile goes on with its new parameters, from where the old
        ones left the text, after at most 31 more symbols.

        Parameters
        ----------
        length : int, optional
            Symbols to generate; without it there is no end but a record's.
        **settings
            `SampleSettings`.

        Yields
        ------
        str
            For unit "char" a character; for "word" a word, from the second on with the blank before
            it; for "byte" a character as soon as all its bytes are there. What may be the beginning
            of a stop string is held back until that is known; where the stop string begins inside
            a symbol, the last item is what comes before it.

        Raises
        ------
        ValueError, TypeError
            As for `Model.sample`.
        """
        return sampling.stream(self, self.text_vocabulary, length, dict(settings))

    def copy(self) -> Model:
        """Another model with the same parameters, state and history."""
        other = Model(self.vocabulary or self.sizes, reservoir=self.reservoir, **self.config)
        other.block[:], other.state[:] = self.block, self.state
        other.history, other.known = self.history.copy(), self.known
        return other

    def in_float64(self) -> Model:
        """Another model of the same parameters in float64, without a history."""
        twin = Model(self.vocabulary or self.sizes, **self.config | {"dtype": "float64"})
        twin.block[:] = self.block
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        return self.copy()

    def __reduce__(self) -> Any:
        raise TypeError("a Model is not pickled: use model.save(path) and fastrnn.load(path)")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a ``.safetensors`` file; `fastrnn.load` reads it.

        Raises
        ------
        OSError
            The file cannot be written; one that was there is still whole.
        """
        store.write(path, *self.stored())

    def stored(self) -> tuple[store.Tensors, dict[str, Any]]:
        """What a file keeps of this model: tensors, and JSON."""
        tensors, about = storing.stored(self, self.history, self.known)
        return tensors, about | {
            "vocabulary": self.vocabulary and self.vocabulary.to_dict(),
            "sizes": None if self.vocabulary else asdict(self.sizes)}

    @classmethod
    def from_stored(cls, tensors: store.Tensors, about: dict[str, Any]) -> Model:
        """The model that `stored` tells of. What a file holds may be anything: errors are among
        `fastrnn.files.store.DAMAGE`."""
        vocabulary = (Sizes(**about["sizes"]) if about["vocabulary"] is None
                      else Vocabulary.from_dict(about["vocabulary"]))
        reservoir = storing.check_parameters(tensors, sizes_of(vocabulary), about["model"])
        model = cls(vocabulary, reservoir=reservoir, **about["model"])
        model.history, model.known = storing.restore(model, tensors, about)
        return model

    def __repr__(self) -> str:
        layers = f"{self.config['num_layers']} layers of " * (self.config["num_layers"] > 1)
        what = f"{len(self.vocabulary)} symbols" if self.vocabulary else str(self.sizes)
        return (f"<Model {self.config['cell']}, {layers}{self.config['hidden_size']} units, "
                f"{what}, {self.block.size} parameters, {self.config['dtype']}>")


if Model.__doc__:
    Model.__doc__ = Model.__doc__.replace("@CELLS@", "\n".join(
        f'* "{name}": ' + cell.equation.replace("\n", "\n  ") for name, cell in CELLS.items()))
