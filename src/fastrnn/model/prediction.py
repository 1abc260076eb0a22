"""The outputs of a network at each step, and predictions that are fed back as inputs."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from ..data.continuation import known_inputs, tell_where_flat
from ..data.scaling import Scaling, scaled, unscaled
from ..data.source import ROWS, Source, piece_of, time_major
from ..kernels.blas import one_thread
from ..validate import converted, float_array, positive_int, whole_numbers
from .network import Network


def predict(network: Network, inputs: ArrayLike | Source) -> NDArray[Any]:
    """Probabilities or numbers (N, T, K) at each step, from the zero state; NaN in padding."""
    found, _, lengths = _outputs(network, inputs)
    found[np.arange(found.shape[1]) >= lengths[:, None]] = np.nan
    return found if network.sizes.output_size else softmax(found, axis=2)


def extrapolate(network: Network, inputs: ArrayLike | Source, steps: int,
                future: ArrayLike | None = None) -> NDArray[Any]:
    """Predicted numbers (N, steps, K) or most probable symbols (N, steps), each the next input, in
    front of the known ones in `future`."""
    positive_int("steps", steps)
    sizes = network.sizes
    D, K = sizes.input_size, sizes.output_size
    if bool(D) != bool(K) or D < K or sizes.input_symbols != sizes.output_symbols:
        raise ValueError("extrapolate feeds predictions back as inputs, so they must be of the "
                         f"same kind and size, or no more numbers: this model has {sizes}")
    found, state, lengths = _outputs(network, inputs)
    known = known_inputs(future, len(lengths), steps, D, K)
    read = [row[:length] for row, length in zip(found, lengths, strict=True)]
    found = found[np.arange(len(lengths)), lengths - 1][:, None]  # (N, 1, K)
    predicted: list[NDArray[Any]] = []
    for step in range(steps):
        predicted.append(found if K else found.argmax(axis=2))
        if len(predicted) < steps:
            following = predicted[-1]
            if D > K:
                following = np.concatenate([following, known[:, step : step + 1]], axis=2)
            found, state, _ = _outputs(network, following, state)
    out = np.concatenate(predicted, axis=1)
    if K:
        tell_where_flat(read, out, "Train for longer, or with a larger hidden_size or "
                        "seq_length", level=3)
    return out


def _checked(
    network: Network, given: ArrayLike | Source
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Ids (N, T) or numbers (N, T, D) that the network can read, and the length of each row."""
    lengths = None
    if isinstance(given, Source):
        given.check_fits(None, network.sizes, None)
        given, lengths = given.padded()
    D, by = network.sizes.input_size, (network.scaling or Scaling()).inputs
    x = (float_array("inputs", given, ("N", "T", D), network.block.dtype if by is None else None)
         if D else whole_numbers("inputs", given, network.sizes.input_symbols))
    if D and not np.isfinite(x).all():
        raise ValueError("inputs hold NaN or infinity: mend or leave out what is not finite")
    if by is not None:
        x = converted("inputs", scaled(x, by), network.block.dtype)
    if not D and (x.ndim != 2 or x.size == 0):
        raise ValueError(f"inputs have the shape {x.shape} and must have (N, T)"
                         + ": give inputs[None] if it is one sequence" * (x.ndim == 1))
    return x, np.full(len(x), x.shape[1], np.int64) if lengths is None else lengths


def _outputs(
    network: Network, inputs: ArrayLike | Source, state: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """The outputs of the head (N, T, K), numbers in the units of the data, from a state (N, P), by
    default zero; the last state; and the length of each row. A long row is read piece by piece."""
    x, lengths = _checked(network, inputs)
    (N, T), dtype = x.shape[:2], network.block.dtype
    found = np.zeros((N, T, network.sizes.outputs), dtype)
    state = network.zero_state(N) if state is None else state
    rows, steps = min(N, max(1, ROWS // T)), piece_of(T)
    kernel = network.network(steps, rows)
    with one_thread():
        for start in range(0, N, rows):
            part = slice(min(start, N - rows), min(start, N - rows) + rows)
            fresh = slice(start - part.start, None)  # the last part may repeat rows
            now = state[part].copy()
            for first in range(0, lengths[part].max(), steps):
                piece = x[part, first : first + steps]
                left = np.clip(lengths[part] - first, 0, piece.shape[1])
                inside = np.arange(piece.shape[1])[:, None] < left  # (T, rows)
                out = np.empty((*piece.shape[:2], found.shape[2]), dtype)
                kernel.unroll(network.block, piece if x.ndim == 3 else time_major(piece), now,
                              out=out, mask=inside.astype(np.uint8), lengths=left)
                found[start : part.stop, first : first + steps] = out[fresh]
            state[start : part.stop] = now[fresh]
    by = (network.scaling or Scaling()).targets
    return found if by is None else unscaled(found, by), state, lengths
