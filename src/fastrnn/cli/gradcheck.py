"""Compare the gradients of a small random model with finite differences."""

import argparse
from typing import Annotated, Any, TypedDict

import numpy as np

from ..cells import CELLS
from ..checks.gradcheck import gradcheck
from ..data.vocabulary import Vocabulary
from ..model.model import Model
from ..settings import GradcheckSettings, Setting, checked, declared, given_to, one_of, whole
from ..validate import boolean, positive_float
from .flags import add_settings


class RandomModel(TypedDict, total=False):
    """Settings of the random model whose gradients are checked."""

    cell: Annotated[str, one_of("rnn", CELLS, "The recurrent cell.")]
    hidden_size: Annotated[int, whole(5, "Hidden units in each layer.")]
    num_layers: Annotated[int, whole(1, "Recurrent layers.")]
    seq_length: Annotated[int, whole(7, "Time steps.")]
    batch_size: Annotated[int, whole(3, "Sequences in the batch.")]
    embedding_size: Annotated[int | None, whole(
        None, "Size of the embedding; where not given inputs are one-hot.")]
    dropout_fraction: Annotated[float, Setting(
        0.4, positive_float, "Probability with which --dropout drops.")]
    reset_after: Annotated[bool, Setting(True, boolean, "GRU only: reset after the product.")]
    init_scale: Annotated[float, Setting(0.3, positive_float, "Standard deviation of the weights.")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dropout-share", "--dropout_share", dest="dropout_fraction", type=float,
                        default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_settings(parser, RandomModel)
    add_settings(parser, GradcheckSettings)


def run(**given: Any) -> int:
    size = checked(RandomModel, given_to(RandomModel, given), "gradcheck")
    how = given_to(GradcheckSettings, given)
    tolerance = declared(GradcheckSettings)["tolerance"].checked(how.pop("tolerance", 1e-6))
    seed = how.get("seed", 0)
    rng = np.random.default_rng(declared(GradcheckSettings)["seed"].checked(seed))
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvw")
    T, N = size.pop("seq_length"), size.pop("batch_size")
    # so few units have too few weights for a density below 1
    dense: dict[str, Any] = {"density": 1.0} if size["cell"] == "esn" else {}
    model = Model(vocabulary, dropout=size.pop("dropout_fraction"), seed=seed, **size, **dense)
    for p in model.params.values():
        if p.ndim == 1:  # so that no ReLU is at its kink
            p[:] = rng.normal(0, size["init_scale"], p.shape)
    ids = rng.integers(len(vocabulary), size=(2, N, T))
    report = gradcheck(model, ids[0], ids[1], **how)
    passed = report.certain_error < tolerance
    print(f"cell {size['cell']}, L {size['num_layers']}, K {len(vocabulary)}, "
          f"H {size['hidden_size']}, T {T}, N {N}")
    print(report)
    print(f"{'passed' if passed else 'FAILED'}: the tolerance is {tolerance:g}")
    return 0 if passed else 1
