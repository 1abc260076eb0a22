"""Free runs of an echo state network: its outputs are fed back, as inputs or into the reservoir."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reservoir import Reservoir

Array = NDArray[Any]
BEYOND = 1e6  # times the spread of the targets: no output of a sound network is so far from them
CHECKED = 256  # steps after which a run is looked at
AT_REST, LEAST = 1e-3, 20  # fraction of the spread that is no movement; steps that can show it


def limits(targets: list[Array]) -> NDArray[np.float64]:
    """The mean and standard deviation (2, K) of the known targets (T, K). That of a target which
    never moves is its size, or 1."""
    y = np.concatenate(targets).astype(np.float64)
    count = np.maximum(1, (~np.isnan(y)).sum(axis=0))
    with np.errstate(over="ignore"):
        mean = np.nansum(y / count, axis=0)
        spread = np.sqrt(np.nansum((y - mean) ** 2 / count, axis=0))
    return moments(mean, spread)


def moments(mean: Array, spread: Array) -> NDArray[np.float64]:
    """What `limits` returns, from the mean and standard deviation (K,)."""
    spread = np.where(spread > 0, spread, np.maximum(1, np.abs(mean)))
    return np.stack([mean, np.minimum(spread, np.finfo(np.float64).max)])


def free_run(reservoir: Reservoir, Wout: Array, steps: int, state: Array, last: Array,
             about: Array, done: int = 0, **inputs: Any) -> Array:
    """The outputs (steps, K) from a state (units,) and last outputs (K,) on, which both become
    those of the last step.

    Parameters
    ----------
    about : ndarray, shape (2, K)
        What `limits` gave.
    done : int
        Steps that came before, for the message.
    **inputs
        u (steps, D - fed) and fed, as `kernels.Reservoir.run` reads them.

    Raises
    ------
    FloatingPointError
        An output is further from the mean of the targets than BEYOND times their spread, or no
        number. The run ends there.
    """
    out = [np.empty((0, len(Wout)), state.dtype)]
    for start in range(0, steps, CHECKED):
        stop = min(steps, start + CHECKED)
        block = {name: value[start:stop] if name == "u" else value
                 for name, value in inputs.items()}
        y = reservoir.run(stop - start, state, last, Wout=Wout, **block)
        with np.errstate(over="ignore", invalid="ignore"):
            inside = np.isfinite(y) & (np.abs(y - about[0]) <= BEYOND * about[1])
        if not inside.all():
            t, k = map(int, np.argwhere(~inside)[0])
            raise FloatingPointError(
                f"the free run left all bounds at step {done + start + t}, where output {k} is "
                f"{y[t, k]:.3g} and the targets of fit were {about[0, k]:.3g} on average with a "
                f"standard deviation of {about[1, k]:.3g}: give a larger ridge (or ridge='auto'), "
                "a smaller spectral_radius, or noise in fit")
        out.append(y)
    return np.concatenate(out)


def tell_where_flat(before: Array, after: Array) -> None:
    """Warn where the second half of a forecast (steps, K) stands still, and as many outputs before
    it did not."""
    steps = len(after)
    half, seen = after[steps // 2 :], before[-steps:]
    moved = np.ptp(half, axis=0) > AT_REST * np.ptp(seen, axis=0)
    if steps >= LEAST and len(seen) >= LEAST and not moved.any() and np.ptp(seen, axis=0).any():
        warnings.warn("the forecast is flat: the second half of the free run stands still, though "
                      "the series before it moves. Scale the inputs to about 1 (large ones drive "
                      "tanh to its ends), or give a smaller input_scale, a spectral_radius near 1, "
                      "a bias_scale above 0, or a smaller ridge", UserWarning, stacklevel=3)
