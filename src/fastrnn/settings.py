"""Every setting once: its name, type, default, range and what it does.

A setting is a line of one of the TypedDicts below: ``name: Annotated[type, Setting(default, check,
text)]``. Editors and type checkers read the types, because functions take ``**settings:
Unpack[TrainSettings]``; `documented` makes of the same lines the signature and the docstring that
``help()`` shows, `checked` validates what was given and fills in defaults, and the command line
makes its flags of them.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, TypedDict, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from . import kernels
from .cells import CELLS
from .validate import (
    boolean,
    choice,
    dtype_name,
    finite_float,
    fraction,
    positive_float,
    positive_int,
)

# ways to draw the first weights -> the scale where none is given
INIT_SCALES = {"normal": 0.01, "uniform": 0.08, "xavier": 1.0, "orthogonal": 1.0, "identity": 0.01}
LEARNING_RATES = {"adagrad": 0.1, "rmsprop": 0.001, "adam": 0.001, "sgd": 0.1}
DTYPES = ("float32", "float64")
SCHEDULES = ("constant", "cosine")
ORDERS = ("stream", "shuffled")
UNITS = ("char", "word", "byte")
SPLITS = ("blank", "space", "mark")
TOO_LONG = ("refuse", "cut", "drop", "keep")

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes
    ----------
    default : object
    check : callable
        check(name, value) returns the value as it is used, or raises ValueError or TypeError; None
        is not given to it where the type allows None.
    text : str
        What the setting does, in one or two sentences.
    choices : tuple of str
        The values that there are, where they are names.
    """

    default: Any
    check: Callable[[str, Any], Any]
    text: str
    choices: tuple[str, ...] = ()


def whole(default: int | None, text: str, least: int = 1) -> Setting:
    """A setting that is a whole number of at least `least`."""
    return Setting(default, partial(positive_int, least=least), text)


def one_of(default: str | None, choices: Iterable[str], text: str) -> Setting:
    """A setting that is one of some names."""
    names = tuple(choices)
    return Setting(default, partial(choice, choices=names), text, names)


def _any(name: str, value: Any) -> Any:
    return value


def _dtype(name: str, value: Any) -> str:
    return choice(name, dtype_name(value), DTYPES)


def _labels(name: str, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else list(value)
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{name} must be distinct names, and at least one, not {value!r}")
    return names


def _balance(name: str, value: Any) -> str:
    if value != "labels":
        raise ValueError(f"{name} must be 'labels' or None, not {value!r}")
    return "labels"


def _callback(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be a function of the trainer, not {value!r}")
    return value


# ---- what shapes a model and its start ----

Seed = Annotated[int | None, whole(
    0, "Seed of the random numbers: of the initial weights, of dropout, of the order in which "
       "records, sequences and shuffled windows are read, and of the samples shown while "
       "training. None: others in each run.", least=0)]
Dtype = Annotated[str, Setting("float32", _dtype, "Precision of all numbers.", DTYPES)]


class ShapeSettings(TypedDict, total=False):
    """What decides, with the cell and hidden_size, how many parameters a model has."""

    num_layers: Annotated[int, whole(1, "Recurrent layers, stacked.")]
    embedding_size: Annotated[int | None, whole(
        None, "Size of the trained vector that stands for each input symbol; without it inputs "
              "are one-hot.")]
    reset_after: Annotated[bool, Setting(
        True, boolean, "For the gru: apply the reset gate after the product with Wh, as PyTorch "
                       "and cuDNN do; False applies it before.")]
    labels: Annotated[Sequence[str] | None, Setting(
        None, _labels, "The labels that records may have; taken from the corpus where not given.")]


SPECTRAL_RADIUS = Setting(
    0.9, finite_float, "For an esn: the largest absolute eigenvalue of its recurrent weights; "
    "below 1 it mostly forgets what was long ago.")
LEAK_RATE = Setting(
    1.0, finite_float, "For an esn: how far one step moves its state, above 0 and at most 1; the "
    "smaller, the slower.")
INPUT_SCALE = Setting(
    1.0, finite_float, "For an esn: its input weights (and those of its feedback) are uniform "
    "between minus and plus this.")
DENSITY = Setting(
    0.1, finite_float, "For an esn: the fraction of its recurrent weights that are not 0, above 0 "
    "and at most 1. Which ones is random in runs of neighbours, so that a step takes a fraction of "
    "the time.")


class ReservoirSettings(TypedDict, total=False):
    """How the fixed recurrent layer of an echo state network is drawn."""

    spectral_radius: Annotated[float, SPECTRAL_RADIUS]
    leak_rate: Annotated[float, LEAK_RATE]
    input_scale: Annotated[float, INPUT_SCALE]
    density: Annotated[float, DENSITY]


class CellSettings(TypedDict, total=False):
    """The cell and its size."""

    cell: Annotated[str, one_of("rnn", CELLS, "The recurrent cell: " + "; ".join(
        f'"{name}" is {cell.summary}' for name, cell in CELLS.items()) + ".")]
    hidden_size: Annotated[int, whole(100, "Hidden units of each layer.")]


class StartSettings(TypedDict, total=False):
    """How the weights start, and what training minimizes."""

    dropout: Annotated[float, Setting(
        0.0, fraction,
        "Probability, in [0, 1), that an output of a layer is set to 0 in training.")]
    forget_bias: Annotated[float, Setting(
        1.0, finite_float, "For the lstm: initial bias of the forget gates.")]
    init: Annotated[str | None, one_of(
        None, INIT_SCALES, 'How the weights are drawn at first; "identity" sets Wh to the '
        'identity. Where not given "xavier" for cells with gates, else "normal".')]
    init_scale: Annotated[float | None, Setting(
        None, partial(positive_float, zero=True), "Scale of the initial weights; where not given "
        "0.01 for normal and identity, 0.08 for uniform, 1 for the others.")]
    loss: Annotated[str | None, one_of(
        None, kernels.LOSSES, "What training minimizes: for symbols the cross-entropy (of a "
        "softmax) or the binary cross-entropy, for numbers the mean squared error. Where "
        "not given the first that fits.")]
    dtype: Dtype


class NetworkSettings(CellSettings, ShapeSettings, StartSettings, ReservoirSettings, total=False):
    """What a model is, but for its seed."""


class ModelSettings(NetworkSettings, total=False):
    """The keywords of `fastrnn.Model`."""

    seed: Seed


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


UNITS_OF_ECHO = whole(500, "Units of the reservoir.")
BIAS_SCALE = Setting(0.0, finite_float, "The biases are uniform between minus and plus this.")
FEEDBACK = Setting(False, _flag, "Whether outputs are fed back into the reservoir.")
RIDGE = Setting(
    1e-6, partial(positive_float, zero=True), "Penalty on the squares of the output weights, over "
    "all steps that are fitted. The weights of the constant are among them: centre targets that "
    "lie far from 0.")
DRAWS = whole(0, "Seed of NumPy's generator; None: another network with each fit.", least=0)
PRECISION = Setting("float64", _dtype, "Of states and outputs. The recurrent weights are float32 "
                    "in both; ridge regression is in float64.", ("float64", "float32"))


@dataclass(eq=False, repr=False)
class EchoSettings:
    """The parameters of `fastrnn.EchoStateNetwork`."""

    units: Annotated[int, UNITS_OF_ECHO] = UNITS_OF_ECHO.default
    spectral_radius: Annotated[float, SPECTRAL_RADIUS] = SPECTRAL_RADIUS.default
    leak_rate: Annotated[float, LEAK_RATE] = LEAK_RATE.default
    input_scale: Annotated[float, INPUT_SCALE] = INPUT_SCALE.default
    density: Annotated[float, DENSITY] = DENSITY.default
    bias_scale: Annotated[float, BIAS_SCALE] = BIAS_SCALE.default
    feedback: Annotated[bool, FEEDBACK] = FEEDBACK.default
    ridge: Annotated[float, RIDGE] = RIDGE.default
    seed: Annotated[int | None, DRAWS] = DRAWS.default
    dtype: Annotated[str, PRECISION] = PRECISION.default


# ---- what drives the training ----

class LoopSettings(TypedDict, total=False):
    """How a model is trained, but for the seed."""

    seq_length: Annotated[int, whole(
        25, "Symbols of a text in one unroll (steps of back-propagation through time); records "
            "and sequences are read whole.")]
    batch_size: Annotated[int, whole(
        1, "Streams of a text, or records or sequences, that one update reads side by side.")]
    order: Annotated[str, one_of(
        "stream", ORDERS, 'For a text. "stream": windows from left to right, the hidden state '
        'carried from one to the next. "shuffled": windows from every offset in random order, '
        "each from the zero state.")]
    balance: Annotated[str | None, Setting(
        None, _balance, "For records: draw each label equally often.", ("labels",))]
    optimizer: Annotated[str, one_of("adagrad", LEARNING_RATES, "The rule of an update.")]
    learning_rate: Annotated[float | None, Setting(
        None, positive_float, "Where not given 0.1 for adagrad and sgd, 0.001 for rmsprop and "
        "adam.")]
    learning_rate_decay: Annotated[float, Setting(
        1.0, positive_float, "Factor in (0, 1] by which the learning rate falls once "
        "learning_rate_decay_after epochs are completed, and again every "
        "learning_rate_decay_every; char-rnn has 0.97.")]
    learning_rate_decay_after: Annotated[int, whole(
        10, "Completed epochs at which the learning rate falls for the first time.")]
    learning_rate_decay_every: Annotated[int, whole(
        1, "Epochs from one fall of the learning rate to the next.")]
    schedule: Annotated[str, one_of(
        "constant", SCHEDULES, '"cosine": the learning rate falls to 0 over the run, along half a '
        "cosine.")]
    warmup: Annotated[int, whole(
        0, "Updates over which the learning rate first rises, linearly.", least=0)]
    momentum: Annotated[float, Setting(
        0.0, fraction, "For sgd, in [0, 1): v = momentum v + g, and the step is learning_rate v.")]
    decay_rate: Annotated[float, Setting(
        0.9, fraction, "For rmsprop, in [0, 1): decay of the running mean of the squared "
        "gradients.")]
    clip_value: Annotated[float | None, Setting(
        5.0, positive_float, "Each gradient entry is clipped to [-clip_value, clip_value]; None: "
        "not.")]
    clip_norm: Annotated[float | None, Setting(
        None, positive_float, "All gradients together are scaled down to this norm where theirs "
        "is larger, before clip_value.")]
    epochs: Annotated[int | None, whole(
        None, "Passes over the training data; 1 where neither updates nor minutes is given.")]
    updates: Annotated[int | None, whole(None, "Updates in all, in place of epochs.")]
    minutes: Annotated[float | None, Setting(
        None, positive_float, "Time to train for, in place of epochs; the cosine schedule is "
        "fitted to it.")]
    valid_fraction: Annotated[float, Setting(
        0.0, fraction, "Fraction, in [0, 1), of the data that is held out for validation and not "
        "trained on: the end of a text or of sequences, records drawn at random. The validation "
        "loss is taken after each epoch, and the model with the lowest is the result.")]
    valid_every: Annotated[int | None, whole(
        None, "Updates from one validation to the next, in place of an epoch.")]
    patience: Annotated[int | None, whole(
        None, "Stop early, after so many validations in a row without a lower loss.")]
    accuracy: Annotated[bool, Setting(
        False, boolean, "After each epoch, measure the accuracy on the training data.")]
    threads: Annotated[int | None, whole(
        None, "Threads that share a batch; where not given as many as this process may use. Any "
              "number gives the same bits.")]
    progress: Annotated[bool, Setting(
        True, boolean, "Show a progress bar on standard error and, of a text, samples.")]
    sample_every: Annotated[int | None, whole(
        None, "Updates between the samples shown; 0: none. Where not given: ten over the run.",
        least=0)]
    sample_length: Annotated[int, whole(200, "Symbols in each of these samples.")]
    checkpoint: Annotated[Path | None, Setting(
        None, _any, "A .safetensors file to write while training and at the end.")]
    checkpoint_every: Annotated[int | None, whole(
        None, "Updates between checkpoints; where not given one a minute.")]
    callback: Annotated[Callable[[Any], Any] | None, Setting(
        None, _callback, "Called as callback(trainer) whenever a sample is due (shown or not) and "
        "at the end of a run; a true result ends the run.")]


class TrainerSettings(LoopSettings, total=False):
    """The keywords of `fastrnn.Trainer`."""

    seed: Seed


class TrainSettings(NetworkSettings, LoopSettings, total=False):
    """The keywords of `fastrnn.train`."""

    seed: Seed
    resume: Annotated[Path | None, Setting(
        None, _any, "A checkpoint to go on from, bit for bit, to the end of its plan or to the "
        "epochs, updates or minutes given now. Its other settings stay; giving another value is "
        "refused. Checkpoints go to the same file unless `checkpoint` names another.")]


# these may differ when a run is resumed
FREE = frozenset(("epochs", "updates", "minutes", "patience", "threads", "progress", "checkpoint",
                  "callback", "sample_every", "sample_length", "checkpoint_every"))
# these are of this run and machine, and no checkpoint stores them
NOT_STORED = frozenset(("threads", "progress", "checkpoint", "callback"))


# ---- how a text becomes symbols, how a model generates, how gradients are checked ----

class WordSettings(TypedDict, total=False):
    """How a vocabulary cuts a text into words."""

    split: Annotated[str, one_of(
        "blank", SPLITS, 'For words, where they end. "blank": at each blank and line end; "space": '
        'at runs of white space; "mark": as "space", and punctuation marks are words too.')]
    lower: Annotated[bool, Setting(True, boolean, "For words: lower-case the text first.")]
    min_count: Annotated[int, whole(
        1, "For words: those that come less often become <unk>.")]


class SampleSettings(TypedDict, total=False):
    """The keywords of `Model.sample` and `Model.stream`."""

    prime: Annotated[str | bytes, Setting(
        "", _any, "Text that the model reads first; it is not part of the result. Without it the "
        "first symbol is drawn uniformly from the vocabulary, and is part of the result. For a "
        "record it is the beginning.")]
    label: Annotated[Any, Setting(
        None, _any, "For models of records with labels: a label, or a mixture as a dict of label "
        'to weight, such as {"Netherlands": 0.5, "Poland": 0.5}; or a list of n such.')]
    max_length: Annotated[int | None, whole(
        None, "Another name for length, for records: the most symbols of one.")]
    temperature: Annotated[float, Setting(
        1.0, partial(positive_float, zero=True), "Symbols are drawn from softmax(scores / "
        "temperature): below 1 likely symbols become likelier; 0 always takes the likeliest.")]
    top_k: Annotated[int | None, whole(None, "Draw only from the k likeliest symbols.")]
    top_p: Annotated[float | None, Setting(
        None, finite_float, "Draw only from the fewest likeliest symbols whose probabilities sum "
        "to p, above 0 and at most 1 (nucleus sampling).")]
    stop: Annotated[str | Sequence[str] | None, Setting(
        None, _any, "The text ends before the first place where one of these strings stands in "
        "it.")]
    seed: Annotated[int | None, whole(
        None, "Seed of the draws; None: another text each time.", least=0)]


class GradcheckSettings(TypedDict, total=False):
    """How `fastrnn.gradcheck` takes its differences."""

    step: Annotated[float, Setting(
        1e-5, positive_float, "How far each entry is moved, up and down.")]
    tolerance: Annotated[float, Setting(
        1e-6, positive_float, "Largest relative error, beyond rounding, that passes.")]
    entries: Annotated[int | None, whole(
        None, "Entries of each tensor to check, drawn at random; all where not given.")]
    dropout: Annotated[bool, Setting(
        False, boolean, "Check with the model's dropout at work; the same units are dropped in "
        "all passes.")]
    seed: Annotated[int | None, whole(
        0, "Seed of the entries, the initial state and the dropout.", least=0)]


# ---- what is made of the declarations ----

@dataclass(frozen=True)
class Declared:
    """A setting together with its name and type."""

    name: str
    setting: Setting
    type: Any

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that a value may have."""
        return get_args(self.type) if type(self.type) is type(int | None) else (self.type,)

    @property
    def optional(self) -> bool:
        return type(None) in self.kinds or self.type is Any

    def checked(self, value: Any) -> Any:
        """The value as it is used; ValueError or TypeError where it is none."""
        if value is None and self.optional:
            return None
        return self.setting.check(self.name, value)

    @property
    def entry(self) -> str:
        """As numpydoc wants it in a docstring."""
        shown = {int: "int", float: "float", str: "str", bool: "bool", bytes: "bytes"}
        names = [shown.get(kind, "path-like" if get_origin(kind) is os.PathLike
                           else "callable" if get_origin(kind) is get_origin(Callable[[], Any])
                           else "sequence of str" if get_origin(kind) else "object")
                 for kind in self.kinds if kind is not type(None)]
        kind = (f"{{{', '.join(map(repr, self.setting.choices))}}}".replace("'", '"')
                if self.setting.choices else " or ".join(names))
        default = self.setting.default
        end = ", optional" if default is None else f", default {default!r}"
        return f"{self.name} : {kind}{end}\n" + textwrap.indent(
            textwrap.fill(self.setting.text, 92), "    ")


@cache
def declared(settings: type) -> dict[str, Declared]:
    """The settings of a TypedDict or dataclass by name, in the order of the declaration."""
    out = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        if get_origin(hint) is Annotated:
            kind, setting = get_args(hint)
            out[name] = Declared(name, setting, kind)
    return out


def checked(settings: type, given: dict[str, Any], what: str) -> dict[str, Any]:
    """All settings of a TypedDict: those given, validated, and the defaults of the others.

    Raises
    ------
    TypeError
        A name that is none (the message says which is nearest), or a value of another type.
    ValueError
        A value outside its range.
    """
    known = declared(settings)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{what} has no argument {name!r}{hint}")
    return {name: one.checked(given.get(name, one.setting.default)) for name, one in known.items()}


def given_to(settings: type, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values whose names are settings of this TypedDict."""
    return {name: values[name] for name in declared(settings) if name in values}


Call = TypeVar("Call", bound=Callable[..., Any])


def documented(settings: type) -> Callable[[Call], Call]:
    """Give a function or class that takes ``**settings`` of a TypedDict the signature and the
    docstring that list them, for ``help()`` and for completion in a notebook. In the docstring they
    take the place of the line ``**settings`` and of what is indented below it."""

    def add(call: Call) -> Call:
        function: Any = call.__init__ if inspect.isclass(call) else call
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.setting.default,
                                  annotation=one.type)
                for name, one in declared(settings).items() if name not in signature.parameters]
        function.__signature__ = signature.replace(parameters=own + more)
        if call.__doc__:
            head, _, rest = inspect.cleandoc(call.__doc__).partition("\n**settings")
            entries = [one.entry for name, one in declared(settings).items()
                       if not re.search(rf"^{name} :", head, re.MULTILINE)]
            below = rest.split("\n")[1:]
            while below and below[0].startswith("    "):
                del below[0]
            call.__doc__ = "\n".join([head, *entries, *below])
        return call

    return add
