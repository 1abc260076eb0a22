"""What a fit leaves, a reservoir with its readout, and how it runs: beside a series, and freely."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.continuation import Targets
from .reservoir import Reservoir, State

Array = NDArray[Any]
BEYOND = 1e6  # times the spread of the targets: no output of a sound network is so far from them
CHECKED = 256  # steps after which a run is looked at


def limits(told: Targets) -> NDArray[np.float64]:
    """The mean and standard deviation (2, K) of the known targets. That of a target which never
    moves is its size, or 1."""
    spread = np.sqrt(told.squares / np.maximum(1, told.count))
    spread = np.where(spread > 0, spread, np.maximum(1, np.abs(told.mean)))
    return np.stack([told.mean, np.minimum(spread, np.finfo(np.float64).max)])


@dataclass
class Fitted:
    """A reservoir of H units, D inputs and K outputs with its readout.

    Attributes
    ----------
    params : dict
        The parameters of the fit.
    reservoir : Reservoir
    Wout : ndarray, shape (K, 1 + D + H)
    ridge : float
        That of the fit.
    flat : bool
        Whether targets were (T,), so that outputs are.
    continues : bool
        Whether the targets can be meant as the next inputs.
    about : float64 ndarray, shape (2, K)
        What `limits` said of the targets.
    """

    params: dict[str, Any]
    reservoir: Reservoir
    Wout: Array
    ridge: float
    flat: bool
    continues: bool
    about: NDArray[np.float64]

    def begin(self, u: Array, known: Array) -> State:
        """The state (H,) and outputs (K,) before the first step of a series u (T, D) whose outputs
        are known at the first steps (t, K): zeros, or what they are after the first input, read
        `warmup` times, with the first known output fed back or else the network's own."""
        state, last = self.reservoir.start()
        steps = self.params["warmup"]
        if self.params["start"] == "repeat" and steps:
            arrays: dict[str, Any] = {"u": u[:1]} | ({"y": known[:1]} if len(known) else {})
            arrays = {name: np.repeat(one, steps, axis=0) for name, one in arrays.items()}
            self.reservoir.run(steps, state, last, **arrays, Wout=self.Wout if last.size else None)
        return state, last

    def outputs(self, u: Array, known: Array) -> Array:
        """The outputs (T, K) at the steps of a series."""
        begin = self.begin(u, known)
        if self.reservoir.Wfb.size:
            return self.run(u, known, *begin)
        return np.concatenate([features @ self.Wout.T
                               for _, features in self.reservoir.features(u, begin=begin)])

    def run(self, u: Array, known: Array, state: Array, last: Array) -> Array:
        """The outputs (T, K) at the steps of u (T, D); fed back are those that are known (t, K),
        then the network's own. The state (H,) and last (K,) become those after the series."""
        t, run = len(known), self.reservoir.run
        forced = run(t, state, last, u=u[:t], y=known, Wout=self.Wout)
        if self.reservoir.Wfb.size:
            free = self.free_run(len(u) - t, state, last, t, u=u[t:])
        else:
            free = run(len(u) - t, state, last, u=u[t:], Wout=self.Wout)
        return np.concatenate([forced, free])

    def forecast(self, steps: int, u: Array, known: Array, ahead: Array,
                 fed: int) -> tuple[Array, Array]:
        """The outputs (T, K) at the steps of a series and (steps, K) behind it, where `fed` inputs
        are outputs of the step before and the others come from `ahead` (steps, D - fed)."""
        state, last = self.begin(u, known)
        last = last if last.size else np.zeros(len(self.Wout), u.dtype)
        read = self.run(u, known, state, last)
        first = read[-1:] if fed else read[:0]
        y = self.free_run(steps - len(first), state, last, len(first), u=ahead, fed=fed)
        return read, np.concatenate([first, y])

    def free_run(self, steps: int, state: Array, last: Array, done: int = 0,
                 **inputs: Any) -> Array:
        """The outputs (steps, K) from a state (H,) and last outputs (K,) on, which both become
        those of the last step. `done` steps came before, for the message; `inputs` are u (steps, D
        - fed) and fed, as `kernels.Reservoir.run` reads them.

        Raises
        ------
        FloatingPointError
            An output is further from the mean of the targets than BEYOND times their spread, or no
            number. The run ends there.
        """
        out = [np.empty((0, len(self.Wout)), state.dtype)]
        for start in range(0, steps, CHECKED):
            stop = min(steps, start + CHECKED)
            block = {name: value[start:stop] if name == "u" else value
                     for name, value in inputs.items()}
            y = self.reservoir.run(stop - start, state, last, Wout=self.Wout, **block)
            with np.errstate(over="ignore", invalid="ignore"):
                inside = np.isfinite(y) & (np.abs(y - self.about[0]) <= BEYOND * self.about[1])
            if not inside.all():
                t, k = map(int, np.argwhere(~inside)[0])
                raise FloatingPointError(
                    f"the free run left all bounds at step {done + start + t}, where output {k} is "
                    f"{y[t, k]:.3g} and the targets of fit were {self.about[0, k]:.3g} on average "
                    f"with a standard deviation of {self.about[1, k]:.3g}: give a larger ridge (or "
                    "ridge='auto'), a smaller spectral_radius, or noise in fit")
            out.append(y)
        return np.concatenate(out)

    def inputs_that_are_outputs(self, teacher: bool) -> int:
        """How many inputs of a free run are the outputs of the step before: K, or 0 where the
        outputs only go back into the reservoir, which takes a teacher."""
        K, D = len(self.Wout), self.reservoir.Win.shape[1]
        if self.continues and K <= D:
            return K
        if self.reservoir.Wfb.size:
            if teacher:
                return 0
            raise ValueError("the targets of fit were no next inputs, so that the series is "
                             "continued by what is fed back alone: give the known outputs of the "
                             "warm-up as teacher" + (", and as future the inputs of the steps "
                                                     "behind it" if D else ""))
        if K > D:
            raise ValueError(f"a free run feeds {K} outputs to {D} inputs: fit with targets that "
                             "are the next inputs, Y = X[1:] for X[:-1]")
        raise ValueError("a free run feeds the outputs back as the next "
                         + ("inputs" if K == D else f"{K} of {D} inputs") + ", and the targets of "
                         "fit were no next inputs: give the inputs of all steps to predict")
