"""One time step after the other, from a state that goes on."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..data.scaling import Scaling, scaled
from ..validate import converted, float_array, read_array, whole_numbers
from .network import Network


def steps(network: Network, state: NDArray[Any]) -> kernels.Steps:
    """What makes the steps of a network from a state (N, P), which changes."""
    if network.config["labels"]:
        raise ValueError("step is for models without labels: this one has "
                         f"{len(network.config['labels'])}")
    by = network.scaling or Scaling()
    # a network of its own, which keeps the packed weights from step to step
    return kernels.Steps(
        network.compiled(1, len(state), packed=True), network.block, state, network.lock,
        by.inputs, by.targets, network.sizes.output_symbols > 0)


def inputs(network: Network, given: ArrayLike, N: int | None) -> NDArray[Any]:
    """The checked inputs of a step, float64 (N, D) or (D,), or int64 (N,) or (); of N series where
    N is known."""
    D, by = network.sizes.input_size, (network.scaling or Scaling()).inputs
    if D:
        x = np.asarray(read_array("x", given))
        x = float_array("x", x[None] if x.ndim == 0 else x, (D,) if x.ndim < 2 else ("N", D),
                        np.float64)
        if not np.isfinite(x).all():
            raise ValueError("x holds NaN or infinity: a step needs all numbers")
        converted("x", x if by is None else scaled(x, by), network.block.dtype)
    else:
        x = whole_numbers("x", given, network.sizes.input_symbols).astype(np.int64)
        if x.ndim > 1 or not x.size:
            raise ValueError(f"x has the shape {x.shape} and must have (N,): one symbol of each of "
                             "N series")
    rows = 1 if x.ndim == (0 if not D else 1) else len(x)
    if N is not None and rows != N:
        raise ValueError(f"x has {rows} series, and the state is that of {N}: call reset() first "
                         "to begin with others")
    return x


def checked_state(network: Network, given: ArrayLike) -> NDArray[Any]:
    """A copy of a state (N, P) that steps can go on from."""
    P = network.state.shape[1]
    state = float_array("step_state", given, ("N", P), network.block.dtype).copy()
    if not np.isfinite(state).all():
        raise ValueError("step_state has NaN or infinity: start from a finite one")
    return state
