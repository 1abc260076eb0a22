"""The model: a network and, where it reads text, its vocabulary."""

import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any, ClassVar, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cells import CELLS
from ..data.records import novelty
from ..data.source import Sizes, Source, sizes_of
from ..data.subwords import restored
from ..data.vocabulary import Vocabulary
from ..echo.reservoir import Reservoir
from ..files import store
from ..kernels import Steps
from ..kernels.team import no_fork
from ..settings import AdaptSettings, ModelSettings, SampleSettings, declared, documented
from . import adapting, head, prediction, sampling, scoring, stepping, storing
from .history import History
from .network import Network
from .ranking import Prior, RankedLabel, ranked
from .showing import model_html


@documented(ModelSettings)
class Model(Network):
    """A recurrent network that reads symbols (one-hot or embedded) or numbers, and predicts symbols
    or numbers; for a text the next symbol.

    With h_t the output of the last layer, o_t = h_t head.W + head.b are the predicted numbers, or
    the scores of the symbols, whose probabilities are softmax(o_t). With x_t the input of a layer,
    s the logistic sigmoid and * the elementwise product:

    @CELLS@

    Parameters
    ----------
    vocabulary : Vocabulary or Sizes
        The K symbols of a text; or for sequences the sizes of inputs (V symbols or D numbers) and
        outputs (K of either): ``Model(sequences.sizes)``.
    reservoir : Reservoir, optional
        For an esn: an existing reservoir in place of a random one.
    **settings
        `ModelSettings`.

    Attributes
    ----------
    params : dict of str -> ndarray
        The trained parameters, writable views of `block`. With G gates side by side:
        ``embedding.W`` (V, E) of an embedding; for each layer ``layer0.Wx`` (D, G H), ``layer0.Wh``
        (H, G H) and ``layer0.b`` (G H), then ``layer0.bhn`` (H) of a GRU with reset_after, or
        ``layer0.Wm`` (H, H) and ``layer0.bm`` (H) of the memory cell; ``layer0.Wc`` (C, G H) for C
        labels, whose probabilities are inputs of the first layer at every step; ``head.W`` (H, K)
        and ``head.b`` (K). D is the size of the layer's input. An esn has only the head. Weights
        are sampled in this order by ``numpy.random.default_rng(seed)``; biases start at 0.
    block : ndarray, shape (size,)
        All parameters, one after the other.
    reservoir : Reservoir or None
        The recurrent layer of an esn, which is not trained.
    state : ndarray, shape (1, P)
        The state from which a text is scored or continued: zero in a new model, then the last state
        of training, since a text model rarely sees the zero state while it learns. P numbers: for
        each layer its h (H), for an LSTM followed by its c (H).
    config : dict
        All settings, with defaults filled in.
    sizes : Sizes
        Kind and number of inputs and outputs.
    vocabulary : Vocabulary or None
        None in a model of sequences.
    scaling : Scaling or None
        How numbers are scaled before the network reads them and after it predicts them: ``inputs``
        and ``targets``, each None or (2, D or K), the means above the standard deviations. Training
        with ``scale=True`` sets it. Everything that takes or returns numbers, losses included, is
        in the units of the data, but for `loss_and_gradients` and `losses`. None before training.
    continues : bool or None
        Whether the targets of training could be meant as the next inputs, as `extrapolate` needs;
        None before training, and for symbols.
    history : History
        The losses of the model's training.
    run : dict or None
        What is known of the training run, as its checkpoint stores it: settings, names and
        fingerprints of the data, counts; and ``run["at"]``, the updates that made this model. None
        before training, and of a model that was saved by itself.
    known : uint64 ndarray
        Sorted digests of the records that the model was trained on, for `novelty`.
    starts : float64 ndarray, shape (K,)
        How often each symbol begins a line (of words: a sentence) of the training text; a sample
        without a prime begins as often with it. Empty before training, 0 where no line begins: then
        all are equally likely.

    label_counts : float64 ndarray, shape (C,)
        How many of the records that the model was trained on have each of the C labels. Empty
        without labels, before training, and in a file of an earlier version.

    Methods
    -------
    sample, stream
        Generate text.
    score, surprisal, accuracy
        How well the model predicts a text, records or sequences.
    predict, extrapolate
        Predictions for sequences.
    step, reset
        Predictions for one time step after the other; `step_state` is the state.
    rank_labels, novelty
        For records: the likeliest label, and which samples are new.
    fit_head
        Of an echo state network, by ridge regression.
    report
        One file with all that is measured of the model.
    to_torch
        The model as a module of PyTorch.
    save, copy, in_float64
        Files (`fastrnn.load` reads them) and copies.
    loss_and_gradients, losses, zero_state, views
        For a training loop of your own.
    adapted, network, draw, repeated_state, check, stored, from_stored
        For fastrnn itself; they may change.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong kind or size.

    Notes
    -----
    Dropout (Srivastava et al. 2014) acts on the outputs of layers, not on the state that a layer
    passes to its next time step (Zaremba et al. 2014). The other outputs are divided by 1 - dropout
    in training; the probability is rounded to a multiple of 1/65536. Weight drop (Merity, Keskar
    and Socher 2018) does the same to the entries of Wh, once for all time steps and sequences of
    an update. Neither acts outside training. The binary cross-entropy of a target is -log p - sum
    over the other symbols k of log(1 - p_k). The squared error is averaged over the K numbers of a
    prediction.
    """

    # set by rooms above: `fastrnn.pages.report`, `fastrnn.formats.hub`, `fastrnn.formats.pytorch`
    reporter: ClassVar[Callable[..., None]]
    publisher: ClassVar[Callable[..., None]]
    finder: ClassVar[Callable[..., "Model"]]
    torch_maker: ClassVar[Callable[..., Any]]

    def __init__(self, vocabulary: Vocabulary | Sizes, *, reservoir: Reservoir | None = None,
                 **settings: Unpack[ModelSettings]) -> None:
        self.vocabulary = vocabulary if isinstance(vocabulary, Vocabulary) else None
        super().__init__(sizes_of(vocabulary), dict(settings), reservoir)
        self.history = History()
        self.run: dict[str, Any] | None = None
        self._steps: Steps | None = None  # with the state of `step`
        self.continues: bool | None = None
        self.known, self.starts = np.empty(0, np.uint64), np.empty(0)
        self.label_counts = np.empty(0)

    @property
    def text_vocabulary(self) -> Vocabulary:
        """The vocabulary; raises ValueError in a model of sequences, which has none."""
        if self.vocabulary is None:
            raise scoring.not_for_text()
        return self.vocabulary

    def _checked_ids(self, ids: ArrayLike) -> ArrayLike:
        return ids if self.vocabulary is None else self.vocabulary.check_ids(ids)

    def check(self, source: Source) -> None:
        """For fastrnn itself: raise ValueError unless this model can read and predict the data of a
        Corpus, Sequences or other source."""
        source.check_fits(self.vocabulary, self.sizes, self.config["labels"])

    def score(self, source: str | bytes | Source, label: Any = None, *,
              adapt: bool | Mapping[str, Any] = False) -> float:
        """Mean loss of one prediction: cross-entropy in nats per symbol (exp(score) is the
        perplexity), or squared error.

        A text is read from `state`; its n symbols make n - 1 predictions. Sequences and records are
        read from the zero state: sequences at their unmasked steps, records with each symbol and
        the stop symbol predicted.

        Parameters
        ----------
        source : str, bytes (for unit "byte"), Corpus with this model's vocabulary, or Sequences
            For a model of records, a str is one record. A list of str is several texts, each read
            from `state`, or several records: the mean is over all their predictions.
        label : str, or dict of str -> float, or a list of these, optional
            For a str and a model with labels: its label, or a mixture label -> weight; for a list
            of records one for all, or one for each.
        adapt : bool or dict
            True: dynamic evaluation, the loss of a copy of the model that learns from each window
            of the text, or each record, after it was scored: adapted while reading (prequential).
            The model does not change. Not to be compared with a plain score, which says how good
            the model is without having seen any of the text. A dict of `AdaptSettings`, of which
            each may be left out:

@ADAPT@

        Raises
        ------
        ValueError, TypeError
            Fewer than two symbols, a symbol that the vocabulary does not have, a corpus with
            another vocabulary, sequences of other sizes, or an unknown label; with adapt sequences,
            a mixture of labels, or parameters that do not stay finite.

        Notes
        -----
        Krause, Kahembwe, Murray and Renals 2018, Dynamic Evaluation of Neural Sequence Models. With
        g the gradient of the window's summed loss, r the root mean square of each parameter's
        gradients (1 without rms), p_0 the trained parameters:
        p += min(1, decay r / mean(r)) (p_0 - p) - learning_rate g / (r + epsilon), with epsilon =
        mean(r), and 0 without rms. Several texts are read one after the other; what was learned
        from one is kept for the next.
        """
        return scoring.mean_loss(
            self, scoring.each_to_read(self, self.vocabulary, source, label), self.state,
            self._adapting(adapt))

    def _adapting(self, adapt: bool | Mapping[str, Any]) -> adapting.Adapting | None:
        """What the argument `adapt` asks for; None where nothing is to adapt."""
        how = adapting.settings_of(adapt)
        if how is None:
            return None
        data = None if isinstance(how["rms"], bool) else scoring.to_read(
            self, self.vocabulary, how["rms"])
        return adapting.Adapting(how, data)

    def surprisal(self, text: str | bytes | Source, label: Any = None, *,
                  adapt: bool | Mapping[str, Any] = False) -> NDArray[np.float64]:
        """The loss of each symbol of a text: -log p(symbol | all symbols before it), in nats.

        Parameters
        ----------
        text : str, bytes (for unit "byte") or Corpus of a text
            Read from `state`; for a model of records one record, from the zero state.
        label : str, or dict of str -> float, optional
            For a record and a model with labels, as for `Model.score`.
        adapt : bool or dict
            As for `Model.score`: the losses while the model adapts (prequential).

        Returns
        -------
        ndarray of float64
            Of a text with n symbols shape (n - 1,): entry i belongs to symbol i + 1, since nothing
            predicts the first. Of a record with n symbols shape (n + 1,): the last is the stop
            symbol. The mean is `Model.score`.

        Raises
        ------
        ValueError, TypeError
            What `Model.score` refuses; sequences, or more than one record.
        """
        return scoring.surprisal(self, self.vocabulary, text, label, self._adapting(adapt))

    def accuracy(self, source: str | bytes | Source, last: int | None = None,
                 label: Any = None) -> float:
        """The fraction, in [0, 1], of target symbols to which the model gives the highest
        probability.

        Parameters
        ----------
        source, label
            As for `Model.score`.
        last : int, optional
            For sequences: count only the last `last` unmasked steps of each.

        Raises
        ------
        ValueError, TypeError
            Targets that are numbers, or what `Model.score` refuses.
        """
        read, weights = scoring.to_read(self, self.vocabulary, source, label)
        return scoring.accuracy(self, read, self.state, weights, last)

    def rank_labels(
        self, text: str | bytes, labels: Sequence[str] | None = None,
        prior: Prior = None,
    ) -> list[RankedLabel]:
        """Classify a record: labels, the most probable first, as a list of `RankedLabel`.

        By Bayes' rule, the probability of a label is prior * exp(-loss of the whole record with the
        label), divided by the sum of this over all labels that are ranked.

        Parameters
        ----------
        text : str, or for unit "byte" bytes
            The record.
        labels : list of str, optional
            Rank only these labels.
        prior : dict of str -> float, or "training", optional
            The probability of each label before the record is read, in any unit: they are divided
            by their sum. "training": how often each came in training (`label_counts`). By default
            all labels are equally likely.

        Raises
        ------
        ValueError, TypeError
            A model without labels, a symbol that the vocabulary does not have, an unknown label, a
            prior that lacks a label, or "training" for a model that does not know how often each
            came (of an earlier version of fastrnn, or not trained).

        Examples
        --------
        >>> for ranked in model.rank_labels("Johanna", prior="training"):
        ...     print(ranked.label, ranked.probability, ranked.loss, ranked.total)
        """
        def losses(chosen: Sequence[str]) -> NDArray[np.float64]:
            source, each = scoring.with_each_label(self, self.text_vocabulary, text, chosen)
            read = scoring.read(self, source, self.state, each)
            return scoring.totals(((batch, losses) for batch, losses, _ in read), len(chosen))

        return ranked(self, self.text_vocabulary, text, labels, prior, self.label_counts, losses)

    def novelty(self, samples: Sequence[str]) -> NDArray[np.bool_]:
        """Which samples (a sequence of str) are not among the records that the model was trained
        on: an ndarray of bool, True for each that is new. Both are cut to the length that the model
        reads, and unknown words count as equal.

        Raises
        ------
        ValueError, TypeError
            A model that was not trained on records, or a str in place of a list of them.
        """
        if isinstance(samples, str | bytes):
            raise TypeError("samples must be a list of texts, not one: put it into a list")
        return novelty(self.known, self.text_vocabulary, samples)

    def fit_head(self, text: str | bytes | Source, ridge: float = 1e-2, warmup: int = 100) -> float:
        """Fit the head of an esn in one pass over a text: by ridge regression of the one-hot next
        symbol on [1; h], scaled to minimize the cross-entropy of its softmax.

        Parameters
        ----------
        text : str, bytes (for unit "byte") or Corpus with this model's vocabulary
        ridge : float
            Penalty on the sum of the squared weights, added to the squared errors of all symbols.
        warmup : int
            Number of symbols at the start that are read but not fitted.

        Returns
        -------
        float
            Mean cross-entropy (nats per symbol) of the first 16,384 fitted symbols.

        Raises
        ------
        ValueError
            Another cell, a text not longer than the warm-up, or a ridge that is too small.
        """
        source, _ = scoring.to_read(self, self.vocabulary, text)
        return head.fit_head(self, source, ridge, warmup)

    def predict(self, inputs: ArrayLike | Source) -> NDArray[Any]:
        """The prediction at each step of sequences that are read from the zero state.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D), or Sequences

        Returns
        -------
        ndarray, shape (N, T, K)
            The probabilities of K symbols, or K numbers (float64 where they are scaled); NaN in the
            padding of a sequence.

        Raises
        ------
        ValueError, TypeError
            Inputs of another kind, size or shape than this model reads.
        """
        return prediction.predict(self, inputs)

    def extrapolate(self, inputs: ArrayLike | Source, steps: int,
                    future: ArrayLike | None = None) -> NDArray[Any]:
        """Continue sequences after their ends, with each prediction as the next input.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D), or Sequences
        steps : int
            Number of predictions.
        future : array_like, shape (N, steps, D - K), or (steps, D - K) for the same in all
            Of a model that predicts the next ones of the first K of D inputs: the other inputs at
            the steps that are predicted, such as calendar or weather.

        Returns
        -------
        ndarray, shape (N, steps, K) of numbers, or (N, steps) of symbols
            Predicted numbers, or the most probable symbols; the first is the one at the step behind
            the inputs.

        Raises
        ------
        ValueError, TypeError
            Inputs that the model cannot read, outputs of another kind than its inputs, or more of
            them; a training whose targets were no next inputs; a future that is missing or of
            another shape, or holds NaN.

        Warns
        -----
        UserWarning
            The forecast of 20 steps or more is flat: its second half stands still, and the outputs
            before it did not.
        """
        if self.continues is False:
            raise ValueError("extrapolate feeds predictions back as the next inputs, and the "
                             "targets of training were no next inputs: give the inputs of all "
                             "steps to predict")
        return prediction.extrapolate(self, inputs, steps, future)

    def step(self, x: Any) -> NDArray[Any]:
        """Read one time step of N series and return the predictions, carrying the state on: steps
        one after the other give the predictions of `Model.predict` on the whole.

        The first step after `Model.reset` starts from the zero state. It reads the parameters too:
        where they change later, call `reset` before the next step.

        Parameters
        ----------
        x : array_like of float, shape (N, D), or of int, shape (N,)
            The input of each series. For one series also (D,), or a symbol: an id or, of a text,
            the symbol itself. N stays the same until `Model.reset`.

        Returns
        -------
        ndarray, shape (N, K), or (K,) for one series given as (D,) or as a symbol
            The probabilities of K symbols, or K numbers (float64 where they are scaled).

        Raises
        ------
        ValueError, TypeError
            An x of another kind or shape, or of another N than the step before; NaN or infinity; a
            model with labels.

        Examples
        --------
        >>> for x in sensor:
        ...     forecast = model.step([x])
        """
        # the usual call takes one or two microseconds here
        steps = self._steps  # another thread may reset
        found = None if steps is None else steps.step(x)
        return self._checked_step(x) if found is None else found

    def _checked_step(self, x: Any) -> NDArray[Any]:
        """The first step, or one whose x needs a closer look than the compiled code takes."""
        if isinstance(x, str | bytes):
            ids = self.text_vocabulary.encode(x)
            if len(ids) != 1:
                raise ValueError(f"step reads one symbol, and {x[:20]!r} has {len(ids)}")
            x = int(ids[0])
        with no_fork, self.lock:
            steps = self._steps
            x = stepping.inputs(self, self._checked_ids(x) if self.sizes.input_symbols else x,
                                None if steps is None else steps.N)
            if steps is None:
                rows = len(x) if x.ndim == 1 + (self.sizes.input_size > 0) else 1
                steps = self._steps = stepping.steps(self, self.zero_state(rows))
            found = steps.step(x)
            assert found is not None  # x is as it must be
            return found

    def reset(self) -> None:
        """The next `Model.step` starts from the zero state, with any number of series, and with
        the parameters as they are then."""
        self._steps = None

    @property
    def step_state(self) -> NDArray[Any] | None:
        """The state (N, P) after the last `Model.step`, a copy; None after `Model.reset`. It can be
        set: the next step goes on from it, with the parameters as they are then. ``save(path,
        step_state=True)`` keeps it in the file."""
        steps = self._steps  # another thread may reset
        return None if steps is None else steps.copied_state()

    @step_state.setter
    def step_state(self, state: ArrayLike | None) -> None:
        with no_fork, self.lock:
            self._steps = None if state is None else stepping.steps(
                self, stepping.checked_state(self, state))

    @overload
    def sample(self, length: int = 200, *, n: None = None,
               adapt_to: Any = None, **settings: Unpack[SampleSettings]) -> str: ...
    @overload
    def sample(self, length: int = 200, *, n: int,
               adapt_to: Any = None, **settings: Unpack[SampleSettings]) -> list[str]: ...
    @overload
    def sample(self, length: int = 200, *, n: int | None,
               adapt_to: Any = None, **settings: Unpack[SampleSettings]) -> str | list[str]: ...
    @documented(SampleSettings)
    def sample(self, length: int = 200, *, n: int | None = None,
               adapt_to: Any = None, **settings: Unpack[SampleSettings]) -> str | list[str]:
        """Generate a text from `state`, sampling each symbol from the predicted probabilities. A
        model of records generates a record from the zero state to its stop symbol, never an empty
        one without a prime.

        Parameters
        ----------
        length : int
            Number of symbols to generate, for a record the largest number.
        n : int, optional
            Generate n texts in one batch and return a list.
        adapt_to : str, bytes, or Corpus with this model's vocabulary, optional
            A text that a copy of the model reads first and learns from, as with
            ``score(adapt_to, adapt=True)``; it then writes on from its end, or from the prime that
            comes after it. Of records (a str is one, a list several) it learns and begins new ones.
            The model does not change.
        **settings
            `SampleSettings`.

        Returns
        -------
        str or list of str
            `length` symbols, without the prime unless ``echo=True`` (for unit "byte": bytes,
            decoded as UTF-8); fewer if a stop string or a record's end comes before. With `n` or a
            list of primes a list of texts. With the same seed, n=1 gives the text that is returned
            without n, and a larger n other texts.

        Raises
        ------
        ValueError, TypeError
            An unknown symbol in the prime, a negative length or temperature, n or top_k below 1,
            top_p outside (0, 1], an empty stop string, or parameters that are infinite or NaN.

        Notes
        -----
        temperature=0.5 squares the probabilities and normalizes them. top_k: Fan, Lewis and
        Dauphin 2018. top_p, applied after temperature and top_k: Holtzman et al. 2020. min_p,
        applied last: Nguyen et al. 2024. repetition_penalty, applied first: Keskar et al. 2019.
        """
        network, after = self.adapted(adapt_to)
        texts = sampling.sample(network, self.text_vocabulary, self.starts, length, n,
                                dict(settings), self.known, after)
        one = n is None and not isinstance(settings.get("prime"), list | tuple)
        return texts[0] if one else texts

    def adapted(self, text: Any) -> tuple["Model", NDArray[Any] | None]:
        """For fastrnn itself; it may change: a copy that has read a text and learned from it, and
        the id (1,) of the text's last symbol, which it has yet to read. This model and None for the
        text None; of records no symbol is left."""
        if text is None:
            return self, None
        how = self._adapting(True)
        assert how is not None
        reader, windows = how.reader(
            self, scoring.each_to_read(self, self.text_vocabulary, text))
        for _ in reader.read(windows):
            pass
        other = self.copy()
        other.block[:] = reader.block
        if self.text_vocabulary.stop is not None:
            return other, None
        other.state[:] = reader.state
        return other, windows.ids[-1:]

    @documented(SampleSettings)
    def stream(self, *, length: int | None = None, adapt_to: Any = None,
               **settings: Unpack[SampleSettings]) -> Iterator[str]:
        """Generate a text symbol by symbol; joined, they are the text that `Model.sample` returns.

        Arguments are checked and the prime is read at the call; `state` does not change. If the
        model is trained further in the meantime, at most 31 more symbols come from the old
        parameters.

        Parameters
        ----------
        length : int, optional
            Number of symbols to generate; by default until a record or a stop string ends.
        adapt_to : str, bytes, or Corpus with this model's vocabulary, optional
            A text to read and learn from first, as for `Model.sample`.
        **settings
            `SampleSettings`.

        Yields
        ------
        str
            For unit "char" a character; for "word" a word, with a blank before all but the first;
            for "byte" a character once all its bytes are generated. What may be the beginning of a
            stop string is held back until that is certain.

        Raises
        ------
        ValueError, TypeError
            As `Model.sample`.
        """
        network, after = self.adapted(adapt_to)
        return sampling.stream(network, self.text_vocabulary, self.starts, length, dict(settings),
                               after)

    def report(self, path: str | os.PathLike[str], data: Source | None = None, *,
               valid: Any = None, course: str | None = None, seed: int = 0,
               temperature: float = 1.0, overwrite: bool = False) -> None:
        """Write a report on the model to one file: settings and where they come from, losses,
        samples, gradient check, and with the data the validation loss beside simple models, what
        the samples copy, and how labels are confused.

        Parameters
        ----------
        path : str or path-like
            The file: a page of HTML (.html), a PDF (.pdf; needs WeasyPrint, ``pip install
            "fastrnn[report]"``), or Markdown (.md) with its charts as SVG files beside it.
        data : Corpus or Sequences, optional
            What the model was trained on. What is measured with it is left out without it, and the
            report says so.
        valid : Corpus, Sequences or path, optional
            The validation data of a training that had some of its own.
        course : str, optional
            "kth", "words", "names", "rwth" or "char-rnn": in the order of that course, with its
            questions as headings.
        seed : int
            Seed of the samples, and of what is chosen at random.
        temperature : float
            Of the samples.
        overwrite : bool
            Whether a file that fastrnn did not write may be replaced.

        Raises
        ------
        ValueError, TypeError
            An unknown course or ending, data that are not those of the training, or data for a
            model that knows of no training run.
        OSError
            The file cannot be written; an earlier file stays unchanged.
        ImportError
            A PDF where WeasyPrint is not installed.
        """
        Model.reporter(self, path, data, valid=valid, course=course, seed=seed,
                       temperature=temperature, overwrite=overwrite)

    def save_pretrained(self, directory: str | os.PathLike[str], *,
                        overwrite: bool = False) -> None:
        """Write the model as a folder, in the way of the Hugging Face Hub: ``model.safetensors``,
        ``config.json`` with its settings, and ``README.md``, a card with its settings, data, losses
        and a sample.

        Parameters
        ----------
        directory : str or path-like
            Made if it is not there. ``huggingface_hub.upload_folder`` publishes it.
        overwrite : bool
            Whether files that fastrnn did not write may be replaced.

        Raises
        ------
        OSError
            The files cannot be written; earlier ones stay unchanged.
        """
        Model.publisher(self, directory, overwrite)

    @staticmethod
    def from_pretrained(name: str | os.PathLike[str], *, revision: str | None = None) -> "Model":
        """Load a model of `save_pretrained`.

        Parameters
        ----------
        name : str or path-like
            The directory; or, where there is none of this name, a repository of the Hugging Face
            Hub, such as "ann/plays" (needs huggingface_hub: ``pip install "fastrnn[hub]"``).
        revision : str, optional
            A branch, tag or commit of that repository.

        Returns
        -------
        Model

        Raises
        ------
        ValueError
            A damaged file, or a config.json that contradicts the model in model.safetensors.
        OSError
            There is no such directory or repository, or it cannot be read.
        ImportError
            A repository, where huggingface_hub is not installed.
        """
        return Model.finder(name, revision)

    def to_torch(self) -> Any:
        """The model as a module of PyTorch (torch.nn.Module), which is trained, traced or deployed
        there. `fastrnn.from_torch` makes a model of it again.

        Its `forward(x, state=None, labels=None)` takes symbols (N, T) or numbers (N, T, D), and
        returns the scores of K symbols, of which a softmax makes probabilities, or K numbers in the
        units of the data (N, T, K), and the last state as torch.nn.LSTM has it. `start()` is
        `Model.state` in that shape. The parts are ``embedding``, ``rnn`` (torch.nn.RNN, LSTM or
        GRU; for other cells a module of fastrnn, slow since its steps are in Python),
        ``dropout`` and ``head``. It is in eval mode: `train()` switches dropout on.

        Returns
        -------
        torch.nn.Module
            With copies of the parameters, of float32 or float64; those of a model in
            mixed_bfloat16 are float32, and the products are not rounded.

        Raises
        ------
        ImportError
            PyTorch is not installed: ``pip install "fastrnn[torch]"``.
        """
        return Model.torch_maker(self)

    def copy(self) -> "Model":
        """A copy of the model with its parameters, state and history."""
        other = Model(self.vocabulary or self.sizes, reservoir=self.reservoir, **self.config)
        with no_fork, self.lock:
            other.block[:], other.state[:] = self.block, self.state
        other.history, other.known = self.history.copy(), self.known
        other.starts, other.label_counts = self.starts.copy(), self.label_counts.copy()
        other.scaling, other.continues = self.scaling, self.continues
        other.run = deepcopy(self.run)
        other.step_state = self.step_state
        return other

    def in_float64(self) -> "Model":
        """A copy with the parameters in float64, a zero state and an empty history."""
        reservoir = self.reservoir and replace(
            self.reservoir, **{name: getattr(self.reservoir, name).astype(np.float64)
                               for name in ("Win", "b", "Wfb")})
        twin = Model(self.vocabulary or self.sizes, reservoir=reservoir,
                     **self.config | {"dtype": "float64"})
        with no_fork, self.lock:
            twin.block[:], twin.scaling = self.block, self.scaling
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return self.copy()

    def __reduce__(self) -> Any:
        with no_fork, self.lock:
            return _unpickled, (type(self), store.packed(*self.stored(step_state=True)))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False,
             step_state: bool = False) -> None:
        """Write the model to a ``.safetensors`` file, which `fastrnn.load` reads.

        Parameters
        ----------
        path : str or path-like
        overwrite : bool
            Whether a file that fastrnn did not write may be replaced.
        step_state : bool
            Whether to save `Model.step_state` too, so that the loaded model goes on with `step`.

        Raises
        ------
        OSError
            The file cannot be written; an earlier file stays unchanged.
        """
        with no_fork, self.lock:
            store.write(path, *self.stored(step_state=step_state), overwrite=overwrite)

    def stored(self, history: History | None = None,
               step_state: bool = False) -> tuple[store.Tensors, dict[str, Any]]:
        """For fastrnn itself: the tensors and the JSON for a file that stores this model, with a
        history of its own or of one of its trainers."""
        tensors, about = storing.stored(self, self.history if history is None else history,
                                        self.known, self.starts, self.label_counts)
        steps = self._steps
        if step_state and steps is not None:
            tensors["step_state"] = steps.state
        return tensors, about | {
            "vocabulary": self.vocabulary and self.vocabulary.to_dict(),
            "sizes": None if self.vocabulary else asdict(self.sizes),
            "continues": self.continues}

    @classmethod
    def from_stored(cls, tensors: store.Tensors, about: dict[str, Any]) -> "Model":
        """For fastrnn itself: the model that `stored` describes; raises one of
        `fastrnn.files.store.DAMAGE` for a damaged file."""
        stored = about["vocabulary"]
        if stored is None:
            sizes = Sizes(**about["sizes"])
        else:
            K = len(stored["symbols"])
            sizes = Sizes(input_symbols=K, output_symbols=K)
        reservoir = storing.check_parameters(tensors, sizes, about["model"])
        # only now, because each symbol takes more memory than in the file
        vocabulary = None if stored is None else restored(stored)
        model = cls.__new__(cls)  # without drawing weights
        model._steps = model.run = None
        model.continues = about.get("continues")  # since format 7
        if model.continues not in (None, True, False):
            raise ValueError("continues is no truth value")
        model.vocabulary = vocabulary
        Network.__init__(model, sizes, about["model"], reservoir, drawn=False)
        model.history, model.known, model.starts, model.label_counts = storing.restore(
            model, tensors, about)
        if "step_state" in tensors:
            model.step_state = tensors["step_state"]
        return model

    def _repr_html_(self) -> str:
        return model_html(self)

    def __repr__(self) -> str:
        layers = f"{self.config['num_layers']} layers of " * (self.config["num_layers"] > 1)
        what = f"{len(self.vocabulary)} symbols" if self.vocabulary else str(self.sizes)
        return (f"<Model {self.config['cell']}, {layers}{self.config['hidden_size']} units, "
                f"{what}, {self.block.size} parameters, {self.config['dtype']}>")


def _unpickled(kind: type[Model], data: bytes) -> Model:
    """The model whose file would have these bytes."""
    tensors, about = store.unpacked(data, "a pickled model")
    try:
        return kind.from_stored(tensors, about)
    except store.DAMAGE as error:
        raise store.damaged("a pickled model", error) from None


if Model.score.__doc__:
    Model.score.__doc__ = Model.score.__doc__.replace("@ADAPT@", textwrap.indent(
        "\n".join(one.entry for one in declared(AdaptSettings).values()), 12 * " "))
if Model.__doc__:
    Model.__doc__ = Model.__doc__.replace("@CELLS@", "\n".join(
        f'* "{name}": ' + cell.equation.replace("\n", "\n  ") for name, cell in CELLS.items()))
