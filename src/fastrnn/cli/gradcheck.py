"""Compare gradients with finite differences: exit code 0 passed, 1 FAILED, 3 not conclusive."""

import argparse
import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np

from ..cells import CELLS
from ..checks.gradcheck import TOO_COARSE, gradcheck
from ..data.corpus import Corpus
from ..data.vocabulary import Vocabulary
from ..kernels import MIXED
from ..model.model import Model
from ..screen import show
from ..settings import (
    EXACT_DTYPES,
    UNITS,
    GradcheckSettings,
    Setting,
    checked,
    checked_dtype,
    declared,
    given_to,
    one_of,
    whole,
)
from ..training.checkpoint import load
from ..validate import boolean, positive_float
from .flags import add_settings

EXIT_CODES = {True: 0, False: 1, None: 3}
LARGE = 10_000  # parameters from which not all are checked ...
EPS = 1e-6  # of the courses' measure
ENTRIES = 200  # ... but so many of each tensor, where --entries is not given


class BatchSettings(TypedDict, total=False):
    """The batch on which the gradients are checked."""

    seq_length: Annotated[int, whole(7, "Time steps.")]
    batch_size: Annotated[int, whole(3, "Sequences in the batch.")]


class RandomModel(TypedDict, total=False):
    """Settings of the random model whose gradients are checked, unless a checkpoint is given."""

    cell: Annotated[str, one_of("rnn", CELLS, "The recurrent cell.")]
    hidden_size: Annotated[int, whole(5, "Hidden units in each layer.")]
    num_layers: Annotated[int, whole(1, "Recurrent layers.")]
    embedding_size: Annotated[int | None, whole(
        None, "Size of the embedding; where not given inputs are one-hot.")]
    dropout_fraction: Annotated[float, Setting(
        0.4, positive_float, "Probability with which --dropout drops.")]
    reset_after: Annotated[bool, Setting(True, boolean, "GRU only: reset after the product.")]
    init_scale: Annotated[float | None, Setting(
        None, positive_float, "Standard deviation of the weights; where not given 0.3 or "
        "1/sqrt(hidden size), whichever is less, so that the recurrence is not chaotic.")]
    dtype: Annotated[str, Setting(
        "float32", partial(checked_dtype, refused=f"dtype={MIXED!r} is a precision {TOO_COARSE}: "
                           "use dtype='float64'"),
        "float32: also compare the gradients of the float32 kernels with those of float64.",
        EXACT_DTYPES)]
    unit: Annotated[str, one_of("char", UNITS, "What a symbol of a text FILE is.")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", default=None,
                        help="a checkpoint, whose model is checked on random inputs, or a text, on "
                             "which a random model is checked; without it a random model reads "
                             "random inputs")
    parser.add_argument("--dropout-share", "--dropout_share", dest="dropout_fraction", type=float,
                        default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="print every checked entry: both "
                        "gradients, |a - n|, |a - n| / max(eps, |a| + |n|), and the relative error "
                        "that decides")
    parser.add_argument("--eps", type=float, default=EPS, help="in the list (default: 1e-06)")
    add_settings(parser, RandomModel)
    add_settings(parser, BatchSettings)
    add_settings(parser, GradcheckSettings)


def run(file: str | None, list: bool, eps: float, **given: Any) -> int:
    positive_float("eps", eps)
    shape, how = given_to(RandomModel, given), given_to(GradcheckSettings, given)
    batch = checked(BatchSettings, given_to(BatchSettings, given), "gradcheck")
    N, T = batch["batch_size"], batch["seq_length"]
    seed = declared(GradcheckSettings)["seed"].checked(how.get("seed", 0))
    rng = np.random.default_rng(seed)
    windows, labels = None, None
    if file is not None and _is_checkpoint(file):
        if shape:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in shape)
            raise ValueError(f"{file!r} is a checkpoint, which fixes the model: leave out {names}")
        model = load(file)
        if model.config["dtype"] == MIXED:
            raise ValueError(f"{file!r} is a model of {MIXED}, {TOO_COARSE}: use dtype='float64', "
                             "for a random model of its shape or in training")
        if model.config["labels"]:
            labels = [str(label) for label in rng.choice(model.config["labels"], N)]
    else:
        if file is None and "unit" in shape:
            raise ValueError("--unit says what a symbol of a text is: give a text FILE")
        size = checked(RandomModel, shape, "gradcheck")
        vocabulary, unit = Vocabulary("abcdefghijklmnopqrstuvw"), size.pop("unit")
        if file is not None:
            corpus = Corpus.from_file(Path(file), unit)
            vocabulary, windows = corpus.vocabulary, _windows(corpus, N, T, rng)
        model = _random_model(vocabulary, seed, size, rng)
    if model.block.size > LARGE:
        how.setdefault("entries", ENTRIES)
    inputs, targets = _random_batch(model, N, T, rng) if windows is None else windows
    report = gradcheck(model, inputs, targets, labels=labels, **how)
    config = model.config
    show(f"{f'{file}: ' if file else ''}cell {config['cell']}, L {config['num_layers']}, "
         f"K {model.sizes.outputs}, H {config['hidden_size']}, T {T}, N {N}, {config['dtype']}")
    if list:
        show(report.listing(eps=eps))
    show(report)
    return EXIT_CODES[report.passed]


def _is_checkpoint(path: str) -> bool:
    """Whether a file is no text: .safetensors by its name, or by its first bytes, the length of a
    header in 8 bytes, of which most are 0."""
    if path.endswith(".safetensors"):
        return True
    try:
        if Path(path).is_file():  # what is read from a pipe would be gone
            with Path(path).open("rb") as file:
                return file.read(8).endswith(b"\0\0")
    except OSError:  # reading it as a text says what to do
        pass
    return False


def _random_model(vocabulary: Vocabulary, seed: int | None, size: dict[str, Any],
                  rng: np.random.Generator) -> Model:
    scale = size.pop("init_scale") or min(0.3, 1 / math.sqrt(size["hidden_size"]))
    # so few units have too few weights for a density below 1
    dense: dict[str, Any] = {"density": 1.0} if size["cell"] == "esn" else {}
    model = Model(vocabulary, dropout=size.pop("dropout_fraction"), seed=seed, init_scale=scale,
                  **size, **dense)
    for p in model.params.values():
        if p.ndim == 1:  # so that no ReLU is at its kink
            p[:] = rng.normal(0, scale, p.shape)
    return model


def _windows(corpus: Corpus, N: int, T: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """N windows of a text at random, (N, T) inputs and targets."""
    if len(corpus) <= T:
        raise ValueError(f"{corpus.name} has {len(corpus)} symbols, and --seq-length {T} needs at "
                         f"least {T + 1}: give a longer text or a smaller --seq-length")
    starts = rng.integers(len(corpus) - T, size=(N, 1))
    ids = corpus.ids[starts + np.arange(T + 1)]
    return ids[:, :-1], ids[:, 1:]


def _random_batch(model: Model, N: int, T: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Random symbols (N, T) or numbers (N, T, D), inputs and targets."""
    def draw(symbols: int, numbers: int) -> Any:
        return rng.integers(symbols, size=(N, T)) if symbols else rng.normal(size=(N, T, numbers))

    sizes = model.sizes
    return (draw(sizes.input_symbols, sizes.input_size),
            draw(sizes.output_symbols, sizes.output_size))
