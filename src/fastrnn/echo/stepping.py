"""One time step after the other of an echo state network, from a state that goes on."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..kernels.team import no_fork
from ..validate import float_array, read_array
from .fitted import Fitted


class Stepwise:
    """What an estimator with a reservoir has beside scikit-learn's methods."""

    _fit: Fitted | None = None
    _steps: kernels.ReservoirSteps | None = None

    @property
    def _fitted(self) -> Fitted:
        """What was fitted; raises NotFittedError before."""
        raise NotImplementedError

    def step(self, x: Any) -> NDArray[Any]:
        """Read one time step of N series and return the outputs, carrying the state on: steps one
        after the other give what `predict` gives on the whole.

        The first step after `reset`, `fit` or `load` starts as `predict` does, as the parameter
        `start` says; with `feedback` the network's own outputs are fed back.

        Parameters
        ----------
        x : array_like, shape (N, D), or (D,) for one series
            The input of each series. N stays the same until `reset`.

        Returns
        -------
        ndarray, shape (N, K), or (K,) for one series given as (D,)

        Raises
        ------
        ValueError, TypeError
            No `fit` before; an x of another shape, or of another N than the step before; NaN or
            infinity.
        """
        steps = self._steps
        found = None if steps is None else steps.step(x)
        return self._checked_step(x) if found is None else found

    def _checked_step(self, given: Any) -> NDArray[Any]:
        """The first step, or one whose x needs a closer look than the compiled code takes."""
        reservoir = self._fitted.reservoir
        D = reservoir.Win.shape[1]
        dtype, x = reservoir.b.dtype, np.asarray(read_array("x", given))
        x = x[None] if x.ndim == 0 else x
        if x.ndim not in (1, 2) or x.shape[-1] != D or not len(x) >= (x.ndim == 2):  # noqa: PLR2004
            raise ValueError(f"x has the shape {x.shape} and must have (N, {D}), or ({D},) for one "
                             "series")
        x = float_array("x", x, (..., x.shape[-1]), dtype)
        if not np.isfinite(x).all():
            raise ValueError("x holds NaN or infinity: a step needs all numbers")
        with no_fork:
            rows = x[None] if x.ndim == 1 else x
            steps = self._steps
            if steps is None:  # of threads that come here together one begins, for all
                steps = vars(self).setdefault("_steps", self._begun(rows))
            if steps.N != len(rows):
                raise ValueError(f"x has {len(rows)} series, and the state is that of {steps.N}: "
                                 "call reset() first to begin with others")
            found = steps.step(x)
        assert found is not None  # x is as it must be
        return found

    def _begun(self, rows: NDArray[Any]) -> kernels.ReservoirSteps:
        """Steps of series whose first inputs are the rows (N, D)."""
        fit = self._fitted
        nothing = np.empty((0, len(fit.Wout)), rows.dtype)
        state = np.zeros((len(rows), len(fit.reservoir.b) + len(fit.Wout)), rows.dtype)
        for row, u in zip(state, rows, strict=True):
            first, last = fit.begin(u[None], nothing)
            row[: len(first)], row[len(first) : len(first) + len(last)] = first, last
        return self._steps_from(state)

    def _steps_from(self, state: NDArray[Any]) -> kernels.ReservoirSteps:
        fit = self._fitted
        return kernels.ReservoirSteps(
            fit.reservoir.compiled, np.ascontiguousarray(fit.Wout, state.dtype), state)

    def reset(self) -> None:
        """The next `step` begins anew, with any number of series."""
        vars(self).pop("_steps", None)

    @property
    def step_state(self) -> NDArray[Any] | None:
        """The state (N, units + K) after the last `step`, a copy: reservoir, then outputs.
        None after `reset` and `fit`. It can be set: the next step goes on from it.
        ``save(path, step_state=True)`` keeps it in the file."""
        steps = self._steps
        return None if steps is None else steps.copied_state()

    @step_state.setter
    def step_state(self, state: ArrayLike | None) -> None:
        if state is None:
            self.reset()
            return
        fit = self._fitted
        array = float_array("step_state", state, ("N", len(fit.reservoir.b) + len(fit.Wout)),
                            fit.reservoir.b.dtype).copy()
        if not np.isfinite(array).all():
            raise ValueError("step_state has NaN or infinity: start from a finite one")
        self._steps = self._steps_from(array)

    def __getstate__(self) -> dict[str, Any]:  # for copy and pickle
        return {name: value for name, value in vars(self).items() if name != "_steps"} | (
            {} if self._steps is None else {"_step_state": self.step_state})

    def __setstate__(self, state: dict[str, Any]) -> None:
        step_state = state.pop("_step_state", None)
        vars(self).update(state)
        if step_state is not None:
            self.step_state = step_state
