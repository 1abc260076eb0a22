"""Every setting of fastrnn, declared once: name, type, default, check and explanation.

A setting is an entry of a TypedDict: ``name: Annotated[type, Setting(default, check, text)]``.
Functions take ``**settings: Unpack[TrainSettings]``, which editors and type checkers understand.
`documented` adds the settings to the signature and docstring that ``help()`` shows, `checked`
validates values and fills in defaults, and the command line has a flag for each.
"""

import inspect
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache, partial
from typing import Annotated, Any, TypedDict, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from . import kernels, validate
from .cells import CELLS
from .presets import PRESETS
from .validate import (
    boolean,
    choice,
    encoding_name,
    finite_float,
    fraction,
    matrix,
    one_or_each,
    positive_float,
    positive_int,
    random_seed,
    suggestion,
)

# distribution of the initial weights -> its default scale
INIT_SCALES = {"normal": 0.01, "uniform": 0.08, "xavier": 1.0, "orthogonal": 1.0, "identity": 0.01}
LEARNING_RATES = {"adagrad": 0.1, "rmsprop": 0.001, "adam": 0.001, "sgd": 0.1}
DTYPES = kernels.PRECISIONS
EXACT_DTYPES = ("float32", "float64")  # their products are those of their numbers, to rounding
RESERVOIR_DTYPE = (f"dtype={kernels.MIXED!r} is for trained networks, and a reservoir is not "
                   "trained: give dtype='float64' or dtype='float32'")
SCHEDULES = ("constant", "cosine")
ORDERS = ("stream", "shuffled")
UNITS = ("char", "word", "byte", "bpe")
SPLITS = ("blank", "space", "mark")
MOST_SAMPLES = 1000  # named by samples_at
SPLITS_OFF = ("end", "random")
TOO_LONG = ("refuse", "cut", "drop", "keep")

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Setting:
    """The declaration of a setting, apart from its name and type.

    check(name, value) returns the validated value or raises ValueError or TypeError; it is not
    called for None where the type allows None. `text` says in one or two sentences what the setting
    does. `choices` are the allowed values of a setting that is one of some names."""

    default: Any
    check: Callable[[str, Any], Any]
    text: str
    choices: tuple[str, ...] = ()


def whole(default: int | None, text: str, least: int = 1, below: int = 2**31) -> Setting:
    """A setting that is a whole number of at least `least` and below `below`."""
    return Setting(default, partial(positive_int, least=least, below=below), text)


def one_of(default: str | None, choices: Iterable[str], text: str) -> Setting:
    """A setting that is one of some names."""
    names = tuple(choices)
    return Setting(default, partial(choice, choices=names), text, names)


def anything(name: str, value: Any) -> Any:
    """The check of a setting that another function validates."""
    return value


def _epsilon(name: str, value: Any) -> float:
    number = positive_float(name, value, most=1.0)
    if number < 1e-30:
        raise ValueError(f"{name} must be at least 1e-30, so that float32 holds it, not {value!r}")
    return number


def checked_dtype(name: str, value: Any, refused: str = "") -> str:
    """The name of a dtype; where mixed_bfloat16 is not possible `refused` says what to do."""
    known = validate.dtype_name(value)
    if refused and known == kernels.MIXED:
        raise ValueError(refused)
    return choice(name, known, EXACT_DTYPES if refused else DTYPES)


def _nucleus(name: str, value: Any) -> float:
    number = finite_float(name, value)
    if not 0 < number <= 1:
        raise ValueError(f"{name} must be above 0 and at most 1, not {value!r}")
    return number


def _ridge(name: str, value: Any) -> float | str:
    if isinstance(value, str) and value == "auto":
        return value
    try:
        return positive_float(name, value, zero=True)
    except TypeError:
        raise TypeError(f'{name} must be a number or "auto", not {value!r}') from None


def _labels(name: str, value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{name} must be distinct names, and at least one, not {value!r}")
    return names


def _samples_at(name: str, value: Any) -> list[int | str] | None:
    """Numbers of updates as ints, numbers of epochs as texts such as "5e"."""
    value = [value] if isinstance(value, str | int | np.integer) else value
    found: list[int | str] = []
    for part in value if isinstance(value, Iterable) else [value]:
        for one in filter(None, re.split(r"[,\s]+", part)) if isinstance(part, str) else [part]:
            epochs = isinstance(one, str) and one.lower().endswith("e")
            digits = one[:-1] if epochs else one
            if isinstance(digits, str) and not (digits.isdecimal() and digits.isascii()):
                raise ValueError(f"{name} must be numbers of updates, such as 5, 50 and 500, or of "
                                 f"epochs, such as 5e, not {one[:50]!r}")
            number = positive_int(name, int(digits[:20]) if isinstance(digits, str) else digits, 0)
            found.append(f"{number}e" if epochs else number)
    if len(found) > MOST_SAMPLES:
        raise ValueError(f"{name} must be at most {MOST_SAMPLES:,} numbers, not {len(found):,}")
    return found or None


def _title(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {value!r}")
    return value


def _function(name: str, value: Any, of: str) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be a function of {of}, not {value!r}")
    return value


def _path(name: str, value: Any) -> Any:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise TypeError(f"{name} must be a path, not {value!r}")
    return value


# ---- the model ----

Seed = Annotated[int | None, whole(0, "Seed of all random numbers: initial weights, dropout, the "
    "order in which records, sequences and shuffled windows are read, and the samples shown during "
    "training. None: different ones in each run.", least=0)]


class ShapeSettings(TypedDict, total=False):
    """The settings that, with cell and hidden_size, decide the number of parameters."""

    num_layers: Annotated[int, whole(1, "Number of stacked recurrent layers.")]
    embedding_size: Annotated[int | None, whole(None, "Size of the trained embedding vector of "
        "each input symbol. None: inputs are one-hot.")]
    reset_after: Annotated[bool, Setting(True, boolean, "GRU only: apply the reset gate after the "
        "product with Wh, as PyTorch and cuDNN do, not before it.")]
    labels: Annotated[Sequence[str] | None, Setting(None, _labels, "The labels of records, which "
        "are inputs of the model; fastrnn.train takes those of the corpus where not given.")]


SPECTRAL_RADIUS = Setting(
    0.9, partial(finite_float, most=1e6), "Largest absolute eigenvalue of the recurrent weights of "
    "an echo state network (esn); below 1 the state mostly forgets the distant past.")
LEAK_RATE = Setting(
    1.0, finite_float, "Fraction, above 0 and at most 1, of the state of an echo state network "
    "(esn) that each step replaces; a smaller one makes the state change more slowly.")
INPUT_SCALE = Setting(
    1.0, partial(finite_float, most=1e6), "The input and feedback weights of an echo state network "
    "(esn) are uniform between minus this and this.")
DENSITY = Setting(
    0.1, finite_float, "Fraction, above 0 and at most 1, of the recurrent weights of an echo state "
    "network (esn) that are not 0.")


class ReservoirSettings(TypedDict, total=False):
    """The random recurrent layer, or reservoir, of an echo state network."""

    spectral_radius: Annotated[float, SPECTRAL_RADIUS]
    leak_rate: Annotated[float, LEAK_RATE]
    input_scale: Annotated[float, INPUT_SCALE]
    density: Annotated[float, DENSITY]


class CellSettings(TypedDict, total=False):
    """The cell and its size."""

    cell: Annotated[str, one_of("rnn", CELLS, "The recurrent cell: " + "; ".join(
        f'"{name}" is {cell.summary}' for name, cell in CELLS.items()) + ".")]
    hidden_size: Annotated[int, whole(100, "Number of hidden units in each layer.")]


class StartSettings(TypedDict, total=False):
    """The initial weights, the regularization and the loss of a model."""

    dropout: Annotated[float, Setting(0.0, partial(fraction, most=0.999), "Probability, in [0, 1), "
        "with which each output of a recurrent layer is set to 0 in training.")]
    weight_drop: Annotated[float, Setting(0.0, partial(fraction, most=0.999), "Probability, in "
        "[0, 1), with which each recurrent weight, an entry of Wh, is set to 0 for all time steps "
        "of an update in training.")]
    forget_bias: Annotated[float, Setting(
        1.0, partial(finite_float, most=1e3), "lstm and mlstm only: initial bias of "
        "the forget gates.")]
    init: Annotated[str | None, one_of(
        None, INIT_SCALES, 'Distribution of the initial weights; "identity" is "normal" with the '
        'identity matrix as Wh. Where not given "xavier" for cells with gates, else "normal".')]
    init_scale: Annotated[float | None, Setting(
        None, partial(positive_float, zero=True, most=1e3), "Scale of the initial weights. Where "
        "not given 0.01 for normal and identity, 0.08 for uniform, 1 for xavier and orthogonal.")]
    loss: Annotated[str | None, one_of(None, kernels.LOSSES, "The loss to minimize: the "
        "cross-entropy (of a softmax) or the binary cross-entropy for symbols, the mean squared "
        "error for numbers. Where not given the cross-entropy or the mean squared error.")]
    dtype: Annotated[str, Setting("float32", checked_dtype, "Floating-point type of the parameters "
        "and of all computations. mixed_bfloat16: float32, but the operands of matrix products are "
        "rounded to bfloat16, which is faster on some processors.", DTYPES)]


class NetworkSettings(CellSettings, ShapeSettings, StartSettings, ReservoirSettings, total=False):
    """All settings of a model except its seed."""


class ModelSettings(NetworkSettings, total=False):
    """The keywords of `fastrnn.Model`."""

    seed: Seed


def _field(setting: Setting) -> Any:
    """A field of a dataclass, with its declaration."""
    return field(default=setting.default, metadata={"setting": setting})


Each = float | NDArray[Any]  # a number, or one for each unit or feature


def _weights(what: str) -> Any:
    """A field for weights that are not drawn."""
    return _field(Setting(None, matrix, f"{what}, dense or sparse, in place of random ones, and "
                          "not scaled."))


@dataclass(eq=False, repr=False)
class EchoSettings:
    """The parameters of `fastrnn.EchoStateNetwork`."""

    units: int = _field(whole(500, "Number of units in the reservoir."))
    spectral_radius: float = _field(SPECTRAL_RADIUS)
    leak_rate: Each = _field(replace(LEAK_RATE, check=one_or_each(finite_float)))
    input_scale: Each = _field(replace(INPUT_SCALE, check=one_or_each(INPUT_SCALE.check)))
    density: float = _field(DENSITY)
    bias_scale: float = _field(Setting(
        0.0, partial(finite_float, most=1e6),
        "The biases are uniform between -bias_scale and bias_scale."))
    feedback: bool = _field(Setting(
        False, boolean, "Whether the outputs are fed back into the reservoir."))
    ridge: float | str = _field(Setting(1e-6, _ridge, "Penalty on the sum of the squared output "
        "weights but for the bias, beside the squared errors of all fitted steps. \"auto\": the "
        "one with the least error of cross-validation over time, in which each of 5 to 10 blocks "
        "of neighbouring steps is predicted by the fit on the others."))
    seed: int | None = _field(whole(
        0, "Seed of the random weights; None: different ones in each fit.", least=0))
    dtype: str = _field(Setting(
        "float64", partial(checked_dtype, refused=RESERVOIR_DTYPE), "Floating-point type of states "
        "and outputs. The recurrent weights are float32 and the ridge regression is in float64 in "
        "either case.", ("float64", "float32")))
    warmup: int = _field(whole(
        100, "Steps at the start of each series that are not fitted, while the state still depends "
        "on the zero state; of a series that is not longer its first half. With start=\"repeat\" "
        "also the number of times that the first input is read beforehand.", least=0, below=10**6))
    start: str = _field(one_of("repeat", ("repeat", "zero"), 'Where predict, score and generate '
        'start a series. "repeat": in the state after its first input, read warmup times, so that '
        'the first outputs are as good as the others; "zero": in the zero state, as fit does.'))
    random_state: int | np.random.RandomState | np.random.Generator | None = _field(Setting(
        None, random_seed, "scikit-learn's name for seed, which counts in its place where it is "
        "not None. Of a RandomState or Generator each fit draws another seed."))
    input_to_readout: bool = _field(Setting(True, boolean, "Whether the readout reads the inputs "
        "beside the states; False: the states alone."))
    noise: float = _field(Setting(0.0, partial(positive_float, zero=True), "Standard deviation of "
        "normal noise that fit adds inside the tanh of each unit at each step (Jaeger 2001), which "
        "makes free runs stable. No other call adds any."))
    feedback_noise: float = _field(Setting(0.0, partial(positive_float, zero=True), "With "
        "feedback: standard deviation of normal noise that fit adds to the targets where they are "
        "fed back."))
    W: Any = _field(Setting(None, matrix, "Recurrent weights (units, units), dense or sparse, in "
        "place of random ones; spectral_radius and density do not change them, and `units` is then "
        "their number. They are kept in float32."))
    Win: Any = _weights("Input weights (units, D)")
    bias: Any = _weights("Biases (units,)")
    Wfb: Any = _weights("With feedback: weights (units, K) of what is fed back")


# ---- training ----

class LoopSettings(TypedDict, total=False):
    """All settings of a training run except its seed."""

    seq_length: Annotated[int, whole(25, "Number of symbols of a text, or of steps of long "
        "sequences, in one window, through which the gradient is propagated back in time. Records "
        "are read whole, and sequences too where it is not given.")]
    batch_size: Annotated[int, whole(
        1, "Number of streams of a text or of windows, or of records or sequences, in one "
        "update.")]
    order: Annotated[str, one_of("stream", ORDERS, 'How windows are read. "stream": windows from '
        'left to right, the hidden state carried over from one to the next. "shuffled": windows '
        "that begin at every offset, in random order, each from the zero state.")]
    long_rows: Annotated[str, one_of("alone", ("alone", "together"), 'For records and sequences: '
        '"alone": those that are far longer than the others have an update of their own, since a '
        'batch with one takes batch_size times the memory; "together": all are in batches.')]
    balance: Annotated[str | None, one_of(
        None, ("labels",), "For records: sample each label equally often.")]
    scale: Annotated[bool, Setting(True, boolean, "For sequences of numbers: scale inputs and "
        "targets inside the model by their means and standard deviations in the training data, "
        "each number by itself; predictions and losses are in the units of the data.")]
    optimizer: Annotated[str, one_of("adagrad", LEARNING_RATES, "The update rule.")]
    learning_rate: Annotated[float | None, Setting(None, partial(positive_float, most=1e6),
        "Learning rate; where not given 0.1 for adagrad and sgd, 0.001 for rmsprop and adam.")]
    learning_rate_decay: Annotated[float, Setting(1.0, positive_float, "Factor in (0, 1] that "
        "multiplies the learning rate once learning_rate_decay_after epochs are completed, and "
        "again every learning_rate_decay_every epochs (0.97 in char-rnn).")]
    learning_rate_decay_after: Annotated[int, whole(
        10, "Number of completed epochs at which the learning rate decays for the first time.")]
    learning_rate_decay_every: Annotated[int, whole(
        1, "Number of epochs from one decay of the learning rate to the next.")]
    schedule: Annotated[str, one_of("constant", SCHEDULES, '"cosine": the learning rate falls over '
        'the run, to 0 or schedule_end, along half a cosine; "constant": it does not.')]
    schedule_end: Annotated[float, Setting(0.0, fraction, "The fraction of the learning rate to "
        "which the cosine schedule falls; above 0 together with weight_average.")]
    warmup: Annotated[int, whole(
        0, "Number of updates over which the learning rate first rises linearly.", least=0)]
    momentum: Annotated[float, Setting(0.0, fraction, "SGD only, in [0, 1): v = momentum v + g, "
        "and the step is -learning_rate v.")]
    decay_rate: Annotated[float, Setting(0.9, fraction, "RMSProp only, in [0, 1): decay of the "
        "running mean of the squared gradients.")]
    beta1: Annotated[float, Setting(0.9, fraction, "Adam only, in [0, 1): decay of the running "
        "mean of the gradients.")]
    beta2: Annotated[float, Setting(0.999, fraction, "Adam only, in [0, 1): decay of the running "
        "mean of the squared gradients.")]
    epsilon: Annotated[float, Setting(1e-8, _epsilon, "Added to the divisor of a step, so that it "
        "is not 0; for all optimizers but sgd.")]
    epsilon_inside: Annotated[bool, Setting(True, boolean, "AdaGrad and RMSProp: the divisor is "
        "sqrt(m + epsilon), so that entries whose gradients stay below sqrt(epsilon) make smaller "
        "steps; otherwise it is sqrt(m) + epsilon, as in PyTorch (and in Adam always).")]
    weight_decay: Annotated[float, Setting(0.0, partial(positive_float, zero=True, most=1e6),
        "Before each step every parameter p, biases too, loses the learning rate times this times "
        "p: with adam this is AdamW, with sgd the penalty of half of this times the sum of p^2, "
        "but outside momentum and clipping.")]
    weight_average: Annotated[float, Setting(0.0, fraction, "Above 0: a running average of the "
        "parameters is kept beside them, over about this fraction of the updates so far, such as "
        "0.2. It is what is validated, sampled, saved as the best and returned.")]
    clip_value: Annotated[float | None, Setting(5.0, positive_float, "Each entry of the gradient "
        "is clipped to at most this in size. None: no clipping by value.")]
    clip_norm: Annotated[float | None, Setting(
        None, positive_float, "The gradient of all parameters together is scaled down to this "
        "norm where its own is larger, before clip_value. None: no clipping by norm.")]
    epochs: Annotated[int | None, whole(None, "Number of passes over the training data; `Trainer` "
        "makes 1 where neither updates nor minutes is given.")]
    updates: Annotated[int | None, whole(None, "Total number of updates, in place of epochs.")]
    minutes: Annotated[float | None, Setting(None, partial(positive_float, most=1e6),
        "Training time in minutes, in place of epochs; the cosine schedule is fitted to it. Of a "
        "run whose settings are chosen the most that it takes: a small source would over-fit.")]
    valid_fraction: Annotated[float, Setting(0.0, fraction, "Fraction, in [0, 1), of the data held "
        "out for validation. The validation loss is computed after each epoch, and the model with "
        "the lowest is kept as the best.")]
    valid_split: Annotated[str | None, one_of(None, SPLITS_OFF, 'Which part valid_fraction holds '
        'out: "end", or "random" records or sequences, in proportion of each class where every '
        "sequence has one symbol as its target. Where not given the end of a text, random records "
        "and sequences, and of sequences that are read in windows the last steps of each.")]
    valid: Annotated[Any, Setting(None, anything, "Validation data of one's own, in place of "
        "valid_fraction: a text file, read as the training data, or in Python also a Corpus or "
        "Sequences. Its symbols must be among those of the training data.")]
    teacher: Annotated[Any, Setting(None, anything, "A trained model whose probabilities are "
        "learned beside the text, by a smaller one for example: its file, or in Python also a "
        "Model or a `fastrnn.average`. It has the same symbols.")]
    teacher_weight: Annotated[float, Setting(0.5, partial(positive_float, zero=True, most=1.0),
        "Part of the teacher's probabilities in "
        "what is learned, from 0 to 1. The losses that are shown are those of the text alone.")]
    valid_every: Annotated[int | None, whole(
        None, "Number of updates from one validation to the next, in place of an epoch.")]
    patience: Annotated[int | None, whole(None, "Early stopping after this many validations in a "
        "row without a lower loss. None: no early stopping.")]
    on_divergence: Annotated[str, one_of("raise", ("raise", "rollback"), 'What to do where the '
        'loss is no longer finite, or far above that of guessing: "raise" a DivergenceError, or '
        '"rollback": go on from the last good state with half the learning rate.')]
    accuracy: Annotated[bool, Setting(
        False, boolean, "Compute the accuracy on the training data after each epoch.")]
    threads: Annotated[int | None, whole(None, "Number of threads that share a batch; no more "
        "than the cores that this process may use, which is the default. The results are the same "
        "bits for any number.")]
    progress: Annotated[bool, Setting(True, boolean, "Show a progress bar on standard error and, "
        "for a text or records, samples on standard output.")]
    sample_every: Annotated[int | None, whole(None, "Number of updates from one sample to the "
        "next, before the first update and at the end of the run too; 0: none but those of "
        "samples_at. Where neither is given: ten samples over the run.", least=0)]
    samples_at: Annotated[Sequence[int | str] | None, Setting(None, _samples_at, "The numbers of "
        'updates after which there is a sample, or of epochs as "5e"; '
        "sample_every adds others. The text and the update of each sample are in history.samples "
        "and in the checkpoint.")]
    sample_length: Annotated[int, whole(
        200, "Number of symbols in each of these samples, at most 99,999.", below=100_000)]
    checkpoint: Annotated[Path | None, Setting(
        None, anything, "A .safetensors file to write during training and at its end.")]
    overwrite: Annotated[bool, Setting(False, boolean, "Whether the checkpoint may replace a file "
        "that fastrnn did not write.")]
    checkpoint_every: Annotated[int | None, whole(
        None, "Number of updates from one checkpoint to the next; 0: only at the end. Where not "
        "given one a minute.", least=0)]
    log: Annotated[Path | None, Setting(None, _path, "A file, such as run.jsonl, that gets a line "
        "of JSON for each event of the run: settings, progress, validations, samples, saves, the "
        "end. `fastrnn watch` draws it.")]
    tensorboard: Annotated[Path | None, Setting(None, _path, "A directory that gets the same "
        "events for TensorBoard.")]
    on_event: Annotated[Callable[[Any], Any] | None, Setting(None, partial(
        _function, of="an event"), "Function called as on_event(event) with each of these events, "
        "a `fastrnn.Event`.")]
    log_every: Annotated[int | None, whole(None, "Number of updates from one event of progress to "
        "the next. Where not given ten a second at first, later one in a thousandth of the time "
        "so far.")]
    callback: Annotated[Callable[[Any], Any] | None, Setting(
        None, partial(_function, of="the trainer"), "Function called as callback(trainer) as "
        "callback_every says and at the end of a run; a true return value ends the run.")]
    callback_every: Annotated[int | None, whole(None, "Number of updates from one call of the "
        "callback to the next; 0: only at the end. Where not given: whenever a sample is due "
        "(shown or not), or with sample_every=0 ten times over the run.", least=0)]


class TrainerSettings(LoopSettings, total=False):
    """The keywords of `fastrnn.Trainer`."""

    seed: Seed


class TrainSettings(NetworkSettings, LoopSettings, total=False):
    """The keywords of `fastrnn.train`."""

    seed: Seed
    preset: Annotated[str | None, Setting(None, partial(choice, choices=tuple(PRESETS)), "Fixed "
        "settings by name, those of a course or a known program (`fastrnn presets` lists them), in "
        "place of chosen ones; any setting beside it wins.")]
    init_from: Annotated[Path | None, Setting(None, anything, "A trained model to start from, for "
        "another text: its network and weights, without the state of its training. Symbols that "
        "it does not know get new rows.")]
    resume: Annotated[Path | None, Setting(
        None, anything, "A checkpoint to continue from, bit for bit, to its planned end or to the "
        "epochs, updates or minutes given now. Its other settings stay; a different value for one "
        "is an error. Checkpoints go to the same file unless `checkpoint` names another.")]
    repeat: Annotated[Path | None, Setting(
        None, anything, "A checkpoint whose run is made again from its start, bit for bit: the "
        "same settings, updates and learning rates, also where its length was given in minutes.")]


# these belong to one run on one machine: no checkpoint stores them
NOT_STORED = frozenset(("threads", "progress", "checkpoint", "overwrite", "callback", "valid",
                        "log", "tensorboard", "on_event", "log_every", "teacher"))


# ---- scikit-learn's estimators ----

def _again(settings: type, name: str, default: Any, text: str = "") -> Any:
    """A field with the declaration that a setting has elsewhere, and its own default and text."""
    setting: Setting = get_type_hints(settings, include_extras=True)[name].__metadata__[0]
    return _field(replace(setting, default=default, text=text or setting.text))


@dataclass(eq=False, repr=False)
class SequenceSettings:
    """The parameters that `fastrnn.SequenceRegressor` and `SequenceClassifier` share."""

    cell: str = _again(ModelSettings, "cell", "gru")
    hidden_size: int = _again(ModelSettings, "hidden_size", 64)
    num_layers: int = _again(ModelSettings, "num_layers", 1)
    dropout: float = _again(ModelSettings, "dropout", 0.0)
    epochs: int | None = _again(TrainerSettings, "epochs", 100, "Number of passes over the "
        "training data, by the end of which the learning rate has fallen to 0 along half a cosine.")
    minutes: float | None = _again(TrainerSettings, "minutes", None,
                                   "Train for so many minutes, in place of epochs.")
    batch_size: int = _again(TrainerSettings, "batch_size", 32, "Number of series in an update; at "
        "most a quarter of them, so that an epoch has at least four updates.")
    learning_rate: float = _again(TrainerSettings, "learning_rate", 5e-3,
                                  "The largest learning rate of Adam.")
    seq_length: int | None = _again(TrainerSettings, "seq_length", 100, "With targets at each step "
        "the number of steps through which the gradient goes back: longer series are read in "
        "windows of so many, the state carried from each to the next; None: whole. Series with a "
        "target at their end are read whole in any case.")
    scale: bool = _again(TrainerSettings, "scale", True, "Scale inputs and targets inside the "
        "model by the means and standard deviations of the training data.")
    early_stopping: bool = _field(Setting(False, boolean, "Hold out validation_fraction of the "
        "data, validate after each epoch, stop after `patience` epochs in a row without a new "
        "lowest validation loss, and keep the model that had the lowest."))
    validation_fraction: float = _field(Setting(0.1, fraction, "Fraction of the series, above 0 "
        "and below 1, that early_stopping holds out: random ones, of each class alike; of series "
        "that are read in windows the last steps of each."))
    patience: int = _again(TrainerSettings, "patience", 10,
                           "Epochs without a new lowest validation loss that early_stopping waits.")
    random_state: int | np.random.RandomState | np.random.Generator | None = _field(Setting(
        0, random_seed, "Seed of initial weights, order, dropout and the choice of validation "
        "data; None: another one in each fit. Of a RandomState or Generator each fit draws one."))
    threads: int | None = _again(TrainerSettings, "threads", None)
    dtype: str = _again(ModelSettings, "dtype", "float32")
    progress: bool = _again(TrainerSettings, "progress", False)


@dataclass(eq=False, repr=False)
class RegressorSettings(SequenceSettings):
    """The parameters of `fastrnn.SequenceRegressor`."""

    horizon: int = _field(whole(1, "Without targets (y=None): how many steps of the series are "
                                "forecast at once."))


@dataclass(eq=False, repr=False)
class ClassifierSettings(SequenceSettings):
    """The parameters of `fastrnn.SequenceClassifier`."""

    class_weight: Any = _field(Setting(None, anything, 'The weight of each class in the loss: a '
        'dict of class -> weight (of those that it does not name 1), or "balanced": inversely '
        "proportional to how often the class occurs."))


# ---- vocabularies, sampling and gradient checks ----

class WordSettings(TypedDict, total=False):
    """How a vocabulary splits a text into words or tokens."""

    split: Annotated[str, one_of(
        "blank", SPLITS, 'For words: where they end. "blank": at each blank and line end; "space": '
        'at runs of white space; "mark": as "space", and punctuation marks are words too.')]
    lower: Annotated[bool, Setting(True, boolean, "For words: lower-case the text first.")]
    min_count: Annotated[int, whole(
        1, "For words: those that occur less often than this become <unk>.")]
    vocabulary_size: Annotated[int | None, whole(
        None, 'For unit "bpe": the most distinct tokens, at least 257; by default 1,000.')]


class SourceSettings(WordSettings, total=False):
    """What `fastrnn train` learns from, and how it is read."""

    file: Annotated[str | list[str] | None, Setting(
        None, anything, "A text file, in UTF-8 or another encoding.")]
    dataset: Annotated[str | None, Setting(None, anything, "A data set of fastrnn.datasets.")]
    records: Annotated[str | list[str] | None, Setting(
        None, anything, "Text files, or a folder of .txt files, with a record on each line, each "
        "read by itself.")]
    file_labels: Annotated[bool | None, Setting(None, boolean, "Whether the label of a record is "
        "the name of its file, without .txt; where not given it is, of several files or a "
        "folder.")]
    table: Annotated[str | None, Setting(
        None, anything, "A TSV or CSV file with a record and its label in each row.")]
    columns: Annotated[list[str], Setting(
        ["0", "1"], anything, "Columns of the table: of the records, and of the labels.")]
    column: Annotated[str | None, Setting(
        None, anything, "In place of columns the one of records to be learned without labels, by "
        "name or number.")]
    header: Annotated[bool | None, Setting(
        None, boolean, "Whether the first row of the table names its columns; where not given it "
        "is found in the rows.")]
    separator: Annotated[str | None, Setting(
        None, anything, 'Between the columns of the table: a character, or "tab"; where not given '
        "that comma, semicolon, tab or bar that cuts all rows alike.")]
    encoding: Annotated[str | None, Setting(
        None, encoding_name, "Encoding of the file, such as cp1252 or utf-16-le; where not "
        "given that of its byte order mark, or UTF-8.")]
    max_length: Annotated[int | None, whole(None, "Largest number of symbols of a record.")]
    too_long: Annotated[str, one_of("refuse", TOO_LONG, "What is done with longer records.")]
    unit: Annotated[str, one_of("char", UNITS, "What a symbol is.")]
    plot: Annotated[str | None, Setting(
        None, anything, "Draw the losses into this file (PNG, PDF, SVG), while it trains and at "
        "the end.")]


class SampleSettings(TypedDict, total=False):
    """The keywords of `Model.sample` and `Model.stream`."""

    prime: Annotated[str | bytes | Sequence[str], Setting("", anything, "Text that the model reads "
        "first, or a list of n such texts, one for each that is generated. Without it the first "
        "symbol of a text is one with which a line (or, of words, a sentence) of the training text "
        "begins, as often as there.")]
    echo: Annotated[bool, Setting(
        False, boolean, "Whether the prime is part of the result, before what is generated.")]
    label: Annotated[Any, Setting(
        None, anything, "For models of records with labels: a label, or a mixture as a dict of "
        'label to weight, such as {"Netherlands": 0.5, "Poland": 0.5}; or a list of n of these.')]
    max_length: Annotated[int | None, whole(
        None, "For records: another name of length, the largest number of symbols of a record.")]
    temperature: Annotated[float, Setting(
        1.0, partial(positive_float, zero=True), "Symbols are sampled from softmax(scores / "
        "temperature): below 1 likely symbols become likelier; 0 always takes the likeliest.")]
    new_only: Annotated[bool, Setting(False, boolean, "For models of records: sample anew what is "
        "a record of the training data, at most 1,000 times; it is an error if it is one still.")]
    top_k: Annotated[int | None, whole(None, "Sample only from the k likeliest symbols.")]
    top_p: Annotated[float | None, Setting(
        None, _nucleus, "Nucleus sampling: sample only from the fewest likeliest symbols whose "
        "probabilities sum to at least p, above 0 and at most 1.")]
    min_p: Annotated[float, Setting(0.0, fraction, "Sample only from symbols with at least this "
        "fraction, in [0, 1), of the largest probability; 0: from all.")]
    repetition_penalty: Annotated[float, Setting(1.0, positive_float, "Makes symbols of the prime "
        "and of the text so far less likely: their scores are divided by it if positive, else "
        "multiplied. 1: off; 1.1 to 1.3 is usual, for words.")]
    stop: Annotated[str | Sequence[str] | None, Setting(None, anything, "The text ends before the "
        "first occurrence of this string, or of one of these strings.")]
    seed: Annotated[int | None, whole(
        None, "Seed of the sampling; None: a different text each time.", least=0)]


class RecurrentSettings(TypedDict, total=False):
    """The keywords that `fastrnn.nn.RNN`, `GRU` and `LSTM` have in common."""

    num_layers: Annotated[int, whole(1, "Layers, of which each reads the h of the one below.",
                                     below=1001)]
    bidirectional: Annotated[bool, Setting(False, boolean, "Whether each layer reads the sequences "
        "in both directions, each with parameters of its own.")]
    bias: Annotated[bool, Setting(True, boolean, "False: the layers have no b (and no bhn).")]
    batch_first: Annotated[bool, Setting(True, boolean, "False: x and h are (T, N, ...), as is "
        "PyTorch's default.")]
    dropout: Annotated[float, Setting(0.0, fraction, "Probability, in [0, 1), with which each h is "
        "set to 0 in training before the next layer reads it; that of the last layer never is.")]
    init: Annotated[str, one_of("xavier", INIT_SCALES, "How the weights are drawn, as in "
        "`fastrnn.Model`; biases start at 0.")]
    init_scale: Annotated[float | None, Setting(None, partial(positive_float, zero=True), "As in "
        "`fastrnn.Model`.")]
    dtype: Annotated[str, Setting("float64", checked_dtype, "Of parameters and results; inputs are "
        "converted. mixed_bfloat16: they are float32, and the operands of matrix products are "
        "rounded to bfloat16.", DTYPES)]
    seed: Annotated[int | None, whole(0, "Seed of the weights and of dropout; None: different ones "
        "in each run.", least=0)]
    threads: Annotated[int | None, whole(None, "At most so many, and no more than the cores that "
        "this process may use, as for None. Any number gives the same bits.")]


class ExportSettings(TypedDict, total=False):
    """The keywords of `fastrnn.export`."""

    dtype: Annotated[str, one_of("float32", ("float32", "int8"), "Of the weights in the file. int8 "
        "takes a quarter of the place: each column of a matrix is a scale times whole numbers from "
        "-127 to 127; biases stay float32. What that changes is measured and stated.")]
    title: Annotated[str | None, Setting(None, _title, "Heading of the page. Where not given the "
        "name of its file, on the command line that of the model's.")]
    softmax: Annotated[bool, Setting(False, boolean, "Of an ONNX graph that predicts symbols: "
        "whether its output is their probabilities, and not the scores.")]
    sample_rate: Annotated[int | None, whole(None, "Of RTNeural's JSON: the samples of sound in a "
        "second, which the model was trained on. Plug-ins take 48,000 where the file does not "
        "tell.")]


class ImportSettings(TypedDict, total=False):
    """The keywords of `fastrnn.import_model`."""

    vocabulary: Annotated[Any, Setting(None, anything, "The symbols, where the file does not have "
        "them: a fastrnn model that has the same, or a .json file with a list of the symbols in "
        "the order of their ids; in Python also a Vocabulary, or Sizes. By default symbols are "
        "only known by number.")]
    nonlinearity: Annotated[str, one_of("tanh", ("tanh", "relu"), "Of an RNN, where the file "
        "does not tell.")]


class LookSettings(TypedDict, total=False):
    """The keywords of `fastrnn.look`."""

    label: Annotated[Any, Setting(None, anything, "For a model of records with labels: that of "
        "the record, or a mixture as a dict of label to weight.")]
    unit: Annotated[str | None, Setting(
        None, anything, 'What is shown first, such as "0:37" (layer 0, output h of unit 37) or '
        '"0:c:37" (its cell state); by default a unit that follows something closely.')]
    length: Annotated[int | None, whole(
        None, "How many symbols at the start of a text are shown; by default 2,000, or as many as "
        "keep the page below 3 MB, but at least 100. A record is shown whole.")]


class GradcheckSettings(TypedDict, total=False):
    """How `fastrnn.gradcheck` computes numerical gradients."""

    step: Annotated[float, Setting(
        1e-4, positive_float, "How far each entry is moved, up and down.")]
    tolerance: Annotated[float, Setting(
        1e-6, positive_float, "The relative error of every entry must be below this.")]
    entries: Annotated[int | None, whole(
        None, "Number of entries of each tensor to check, chosen at random; where not given all, "
        "but on the command line 200 if the model has more than 10,000 parameters.")]
    dropout: Annotated[bool, Setting(
        False, boolean, "Check with the model's dropout, of units and of weights; all passes drop "
        "the same ones.")]
    seed: Annotated[int | None, whole(
        0, "Seed of the choice of entries, of the initial state and of dropout.", least=0)]


# ---- signatures, docstrings and checks from the declarations ----

# types as docstrings call them
KINDS: dict[Any, str] = {kind: kind.__name__ for kind in (int, float, str, bool, bytes)} | {
    os.PathLike: "path-like", Callable: "callable", Sequence: "sequence of str",
    list: "list of str",
    np.ndarray: "ndarray", np.random.RandomState: "RandomState", np.random.Generator: "Generator"}


def _scaled_by(name: str, value: Any) -> Any:
    if isinstance(value, bool | str | bytes) or hasattr(value, "predictions"):
        return value
    raise TypeError(f"{name} must be True, False or the training text, not {value!r}")


class AdaptSettings(TypedDict, total=False):
    """The keys of the argument `adapt` of `Model.score` and `Model.surprisal`."""

    learning_rate: Annotated[float | None, Setting(None, positive_float, "Of the steps, on the "
        "gradient of the summed loss of a window. None: 0.004, and 0.01 without rms.")]
    decay: Annotated[float, Setting(0.005, partial(positive_float, zero=True), "With each window "
        "the parameters go back by this fraction towards the trained ones; with rms by more where "
        "gradients are usually larger, at most the whole way.")]
    seq_length: Annotated[int, whole(64, "Symbols in a window of a text; a record is one window.")]
    rms: Annotated[Any, Setting(True, _scaled_by, "Whether steps are divided by the root mean "
        "square of each parameter's gradients. True measures it in the first 20 windows that are "
        "read, which are scored without adapting and then learned from; a text or Corpus, such as "
        "the training text: in 20 windows of it.")]


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
    def elements(self) -> tuple[Any, ...]:
        """The types of the elements, of a setting that may be a list."""
        return tuple(part for kind in self.kinds if get_origin(kind) in (list, Sequence)
                     for given in get_args(kind) for part in get_args(given) or (given,))

    @property
    def optional(self) -> bool:
        return type(None) in self.kinds or self.type is Any

    def checked(self, value: Any) -> Any:
        """The validated value; raises ValueError or TypeError for a wrong one."""
        if value is None and self.optional:
            return None
        return self.setting.check(self.name, value)

    @property
    def entry(self) -> str:
        """The setting as an entry of a numpydoc docstring."""
        names = ["sequence of int or str" if int in self.elements and get_origin(kind) else
                 KINDS.get(get_origin(kind) or kind, "object")
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
    hints = get_type_hints(settings, include_extras=True)
    if is_dataclass(settings):
        return {f.name: Declared(f.name, f.metadata["setting"], hints[f.name])
                for f in fields(settings)}
    parts = {name: get_args(hint) for name, hint in hints.items()}
    return {name: Declared(name, setting, kind) for name, (kind, setting) in parts.items()}


def checked(settings: type, given: dict[str, Any], what: str) -> dict[str, Any]:
    """All settings of a TypedDict: the given ones, validated, and the defaults of the others.
    Raises TypeError for an unknown name (the message suggests one) or a wrong type, and ValueError
    for a value out of range."""
    known = declared(settings)
    for name in given:
        if name not in known:
            hint = suggestion(name, known)
            raise TypeError(f"{what} has no argument {name!r}{hint and ': '}{hint}")
    return {name: one.checked(given.get(name, one.setting.default)) for name, one in known.items()}


class Fixed(dict[str, Any]):
    """Settings that decide how the arrays of an object are read: they cannot be changed."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the settings of a model do not change: make a new Model with others")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        return list(value) if isinstance(value, tuple) else value  # a copy, for the labels

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default

    def __reduce__(self) -> Any:  # a copy, or what is unpickled, is a dict of its own
        return dict, (dict(self),)


def given_to(settings: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values whose names are settings of this TypedDict."""
    return {name: values[name] for name in declared(settings) if name in values}


Call = TypeVar("Call", bound=Callable[..., Any])


def documented(settings: type) -> Callable[[Call], Call]:
    """Decorate a function or class that takes ``**settings`` of a TypedDict: its signature and its
    docstring then list every setting, for ``help()`` and for completion in a notebook. In the
    docstring they replace the line ``**settings`` and what is indented below it."""
    known = declared(settings)

    def add(call: Call) -> Call:
        function: Any = call.__init__ if inspect.isclass(call) else call
        signature = inspect.signature(function)
        own = [p.replace(annotation=known[p.name].type) if p.name in known else p
               for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.setting.default,
                                  annotation=one.type)
                for name, one in known.items() if name not in signature.parameters]
        function.__signature__ = signature.replace(parameters=own + more)
        if call.__doc__:
            head, rest = re.split(r"\n\*\*settings(?:\n    .*)+", inspect.cleandoc(call.__doc__))
            entries = [one.entry for name, one in known.items()
                       if not re.search(rf"^{name} :", head, re.MULTILINE)]
            call.__doc__ = "\n".join([head, *entries]) + rest
        return call

    return add
