"""What is measured of a trained model for its report: the split, losses, samples, gradients."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..checks.gradcheck import Report, gradcheck
from ..data.corpus import Corpus
from ..data.sequences import Sequences
from ..data.source import Source
from ..kernels import MIXED
from ..model.model import Model
from ..presets import PLAN
from ..screen import without_warnings
from ..training.checkpoint import checksum
from ..training.trainer import Trainer
from ..training.validation import divided, same_validation
from .baselines import ngram_surprisal, simple_models
from .confusion import Confusion, confusion
from .copied import Passage, longest_copied

STEPS, ROWS = 5, 3  # of the batch on which gradients are checked
ENTRIES, FEW = 40, 8  # checked entries of each tensor; of a model of more than LARGE parameters
LARGE = 300_000
LENGTH = 1000  # symbols of the sample
RECORDS = 100  # generated records, and of each label
MOST_LABELS = 40  # of which confusions are shown, and records generated
PROBE, TINY = 0.3, 1e-12  # seconds in which the speed is measured, and the learning rate then


@dataclass(frozen=True)
class Split:
    """The data of a run: what the model was trained on, and its validation data, if any."""

    whole: Source
    train: Source
    held: Source | None


def split_of(model: Model, data: Source, valid: Any = None) -> Split:
    """The parts that a model's run made of its data. ValueError unless these are the data of the
    run, and `valid` its validation data of its own, if it had some."""
    run = model.run
    if run is None:
        raise ValueError("this model knows of no training run, so that it cannot be told which "
                         "part of the data it was trained on: leave the data out, or take the "
                         "model from the run's checkpoint")
    model.check(data)
    name = run["text"]["name"]
    if data.fingerprint() != run["text"]["fingerprint"]:
        raise ValueError(f"the model was trained on {name!r}, and {data.name!r} is not the same "
                         f"{data.kind}: give the same data, read in the same way")
    valid = same_validation("the model", run["valid"], valid, model)
    source = data.in_windows(run["config"]["seq_length"])
    return Split(data, *divided(source, model, run["config"], valid))


@dataclass(frozen=True)
class Generated:
    """Records that a model generated with a label (None without labels), and which are new."""

    label: str | None
    texts: list[str]
    new: NDArray[np.bool_]


class Figures:
    """What a report shows of a model; each figure is computed when it is first asked for.

    Parameters
    ----------
    model : Model
        With its `run`, where it is known.
    data : Source, optional
        What it was trained on; None: all that needs it is None.
    valid : optional
        Validation data of its own.
    seed, temperature
        Of samples.
    """

    def __init__(self, model: Model, data: Source | None = None, valid: Any = None, *,
                 seed: int = 0, temperature: float = 1.0) -> None:
        self.model, self.seed, self.temperature = model, seed, temperature
        self.split = None if data is None else split_of(model, data, valid)
        self.vocabulary = model.vocabulary
        self.of_records = self.vocabulary is not None and self.vocabulary.stop is not None
        self.of_text = self.vocabulary is not None and not self.of_records
        unit = self.vocabulary.symbol_name if self.vocabulary else "step"
        self.of_characters, self.of_words, self.of_bytes = (
            unit == each for each in ("char", "word", "byte"))
        self.unit = "character" if self.of_characters else unit

    @property
    def held(self) -> Source | None:
        """The validation data, each record of the same weight."""
        held = self.split.held if self.split else None
        return held and held.unweighted()

    # ---- samples ----

    @cached_property
    def sample(self) -> str:
        """A text of LENGTH symbols, of a model of text."""
        return self.model.sample(LENGTH, seed=self.seed, temperature=self.temperature)

    def at_temperatures(self, temperatures: Sequence[float], length: int) -> list[str]:
        """A text at each temperature, of a model of text."""
        return [self.model.sample(length, seed=self.seed, temperature=t) for t in temperatures]

    @cached_property
    def generated(self) -> list[Generated]:
        """Records of each label, of a model of records."""
        labels = (self.model.config["labels"] or [None])[:MOST_LABELS]
        each = None if labels == [None] else [name for name in labels for _ in range(RECORDS)]
        texts = self.model.sample(n=RECORDS * len(labels), label=each, seed=self.seed,
                                  temperature=self.temperature)
        new = self.model.novelty(texts) if len(self.model.known) else np.zeros(0, bool)
        parts = (slice(first, first + RECORDS) for first in range(0, len(texts), RECORDS))
        return [Generated(label, texts[part], new[part])
                for label, part in zip(labels, parts, strict=True)]

    @cached_property
    def copied(self) -> tuple[Passage, Passage | None] | None:
        """The longest passage of the training text in `sample`, and in the first LENGTH symbols of
        the validation text; None without a training text."""
        train, held = self._corpora()
        sample = self._numbered(self.sample) if train is not None and self.of_text else None
        if train is None or sample is None:
            return None
        text = self._values(train)
        other = None if held is None or len(held) < LENGTH else longest_copied(
            self._values(held)[:LENGTH], text)
        return longest_copied(sample, text), other

    def _corpora(self) -> tuple[Corpus | None, Corpus | None]:
        """The training and the validation data of a model with a vocabulary."""
        parts = (self.split.train, self.held) if self.split and self.vocabulary else (None, None)
        return cast(tuple[Corpus | None, Corpus | None], parts)

    def _values(self, corpus: Corpus) -> NDArray[Any]:
        """The ids of a text, or its bytes, whose ids a sample does not always have."""
        if not self.of_bytes:
            return corpus.ids
        values: NDArray[Any] = np.array(corpus.vocabulary.symbols, np.uint8)[corpus.ids]
        return values

    def _numbered(self, text: str) -> NDArray[Any] | None:
        if self.of_bytes:
            return np.frombuffer(text.encode(), np.uint8)
        try:
            return self.model.text_vocabulary.encode(text)
        except ValueError:  # words that are split otherwise
            return None

    def written(self, ids: NDArray[Any]) -> str:
        """The text of the ids of a passage."""
        return self.model.text_vocabulary.decode(ids)

    # ---- losses ----

    @cached_property
    def loss(self) -> float | None:
        """Of the validation data, in nats per symbol or squared error; each record and step weighs
        the same."""
        return None if self.held is None else self.model.score(self.held)

    @cached_property
    def accuracy(self) -> float | None:
        """The fraction of the validation data's symbols that were the likeliest."""
        if self.held is None or not self.model.sizes.output_symbols:
            return None
        return self.model.accuracy(self.held)

    @cached_property
    def simple(self) -> dict[str, float]:
        """The loss of simple models on the validation data, by their names."""
        if self.split is None or self.held is None:
            return {}
        train, held = self.split.train, self.held
        if self.vocabulary:
            return simple_models(cast(Corpus, train), cast(Corpus, held))
        if isinstance(train, Sequences) and isinstance(held, Sequences):
            return _of_symbols(train, held) if held.targets.ndim == 2 else _of_numbers(train, held)
        return {}

    @cached_property
    def labels(self) -> tuple[Confusion, Confusion | None] | None:
        """How labels of the validation records are ranked: all of the same prior probability, and
        with how often each came in training, where that is known."""
        held = self._corpora()[1]
        if held is None or not self.model.config["labels"]:
            return None
        counted = self.model.label_counts.any()
        return (confusion(self.model, held),
                confusion(self.model, held, "training") if counted else None)

    # ---- gradients, speed ----

    @cached_property
    def gradient(self) -> list[tuple[str, Report]]:
        """The check of the gradients with the trained weights and, if that is not conclusive, also
        with initial ones: each with a word for the weights."""
        model, rng = self.model, np.random.default_rng(self.seed)
        if model.config["dtype"] == MIXED:
            model = model.in_float64()
        inputs, targets = self._batch(rng)
        labels = model.config["labels"]
        chosen = labels and [str(label) for label in rng.choice(labels, len(inputs))]
        how: dict[str, Any] = {"labels": chosen, "seed": self.seed,
                               "entries": FEW if model.block.size > LARGE else ENTRIES}
        found = [("trained", gradcheck(model, inputs, targets, **how))]
        if found[0][1].passed is None:
            fresh = Model(model.vocabulary or model.sizes, reservoir=model.reservoir,
                          **model.config)
            found.append(("initial", gradcheck(fresh, inputs, targets, **how)))
        return found

    def _batch(self, rng: np.random.Generator) -> tuple[Any, Any]:
        """Inputs and targets (N, T) or (N, T, D): windows of the training text or of the sample,
        records, or random symbols and numbers."""
        ids: NDArray[Any] | None = None
        train = self._corpora()[0]
        if train is not None:
            ids = train.ids
        elif self.of_text:
            ids = self._numbered(self.sample)
        if ids is not None and len(ids) > STEPS and not self.of_bytes:
            starts = rng.integers(len(ids) - STEPS, size=(ROWS, 1))
            windows = ids[starts + np.arange(STEPS + 1)]
            return windows[:, :-1], windows[:, 1:]
        sizes, shape = self.model.sizes, (ROWS, STEPS)

        def draw(symbols: int, numbers: int) -> Any:
            return rng.integers(symbols, size=shape) if symbols else rng.normal(
                size=(*shape, numbers))

        return (draw(sizes.input_symbols, sizes.input_size),
                draw(sizes.output_symbols, sizes.output_size))

    @cached_property
    def speed(self) -> tuple[float, float] | None:
        """Updates and predictions in a second, of a copy of the model that is trained for a moment
        on this machine; None without the data."""
        if self.split is None or self.model.run is None:
            return None
        config = self.model.run["config"] | dict.fromkeys(PLAN) | {
            "updates": 10**9, "schedule": "constant", "warmup": 0, "samples_at": None,
            "sample_every": 0, "accuracy": False, "valid_fraction": 0.0, "valid_every": None,
            "patience": None, "learning_rate": TINY}
        try:
            with without_warnings():  # of a training that is none
                trainer = Trainer(self.model.copy(), self.split.train, **config, progress=False)
                trainer.run(updates=1)  # packs weights, makes threads
                count, began = 0, time.perf_counter()
                while (spent := time.perf_counter() - began) < PROBE:
                    trainer.run(updates=max(1, int(count / 2)))
                    count = trainer.update - 1
        except FloatingPointError:  # a model whose loss is not finite, or worse than a guess
            return None
        pace = count / spent
        return pace, pace * float(trainer.history.seq_length or 0) * config["batch_size"]

    @cached_property
    def obstacle(self) -> str | None:
        """Why the run cannot be made again from its file; None where it can."""
        model, run = self.model, self.model.run
        if run is None:
            return "the file holds the model alone, not the run that trained it"
        if model.config["seed"] is None or run["config"]["seed"] is None:
            return "it was trained with seed=None, so its random numbers cannot be drawn again"
        if not np.isfinite(model.history.learning_rate).all() or not len(model.history):
            return "the file does not hold the learning rates of its updates"
        first = Model(model.vocabulary or model.sizes, reservoir=model.reservoir, **model.config)
        if checksum(first) != run["initial"]:
            return "it did not begin with the initial weights of its seed, but with other ones"
        return None


def _of_symbols(train: Sequences, held: Sequences) -> dict[str, float]:
    """A uniform guess, and how often each symbol is the target in training."""
    K = held.sizes.output_symbols
    targets = [np.append(0, part.targets[part.mask]) for part in (train, held)]
    return {"uniform guess": math.log(K),
            "unigram": float(ngram_surprisal(targets[:1], targets[1:], K, 1).mean())}


def _of_numbers(train: Sequences, held: Sequences) -> dict[str, float]:
    """The mean of the training targets and, where the targets are the next inputs, the naive
    forecast: the next number is the present one."""
    mean = train.target_mean()
    found = {} if mean is None else {"mean of the training targets": held.error_of(mean)}
    if held.targets_continue():
        found["naive forecast"] = held.error_of(
            np.asarray(held.inputs[:, :, : held.sizes.output_size], np.float64))
    return found
