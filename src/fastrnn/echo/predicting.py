"""The outputs and states of an echo state network at the steps of series, and behind their ends."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..data.continuation import known_inputs, tell_where_flat
from ..estimator import Estimator, r2
from ..kernels.blas import one_thread
from ..validate import converted, positive_int
from .reservoir import Reservoir
from .series import Arrays, as_given, checked_warmup, read_series, read_targets, read_weights
from .stepping import Stepwise


class Predicting(Stepwise, Estimator):
    """What an estimator predicts with its reservoir and readout."""

    feedback: bool

    def _drawn(self, X: Any) -> tuple[Arrays, Reservoir]:
        """The series of X, and the reservoir that `fit` would draw for them."""
        raise NotImplementedError

    @overload
    def states(self, X: NDArray[Any]) -> NDArray[Any]: ...

    @overload
    def states(self, X: Sequence[NDArray[Any]]) -> Arrays: ...

    @overload
    def states(self, X: Any) -> Any: ...

    def states(self, X: Any) -> Any:
        """The states (T, units) of the reservoir at the steps of a series X (T, D), or a list of
        them for a list of series. Before `fit` the reservoir is the one that `fit` would draw (with
        seed=None a different one each time).

        Raises
        ------
        ValueError, TypeError
            A series that `fit` would refuse, another D than in `fit`, or `feedback` before `fit`.
        """
        if self._fit is None and not self.feedback:
            inputs, reservoir = self._drawn(X)
        else:
            inputs, reservoir = self._inputs("X", X), self._fitted.reservoir
        out = []
        with one_thread():
            for u in inputs:
                states = np.empty((len(u), len(reservoir.b)), u.dtype)
                reservoir.run(len(u), *reservoir.start(), u=u, states=states,
                              Wout=self._fitted.Wout if reservoir.Wfb.size else None)
                out.append(states)
        return as_given(out, X)

    @overload
    def predict(self, X: NDArray[Any], teacher: Any = None) -> NDArray[Any]: ...

    @overload
    def predict(self, X: Sequence[NDArray[Any]], teacher: Any = None) -> Arrays: ...

    @overload
    def predict(self, X: Any, teacher: Any = None) -> Any: ...

    def predict(self, X: Any, teacher: Any = None) -> Any:
        """The outputs at the steps of a series X (T, D): (T, K), or (T,) where the targets of `fit`
        were (T,); a list of them for a list of series, and an array (N, T, K) for (N, T, D).

        Parameters
        ----------
        X : array_like, shape (T, D), or list of such
        teacher : array_like, shape (t, K) or (t,), or list of such, optional
            For a network with `feedback`: the known outputs of the first t <= T steps, which are
            fed back in place of the network's own, as `fit` does with the targets (teacher
            forcing). From step t on the network reads its own outputs. So
            ``predict(X, teacher=y)[len(y):]`` continues the series y where X has inputs.

        Raises
        ------
        ValueError, TypeError
            No `fit` before, a series that `fit` would refuse, or another D than in `fit`; a teacher
            of a network without feedback, longer than its series or with another K.
        """
        inputs = self._inputs("X", X)
        return self._shaped(self._outputs(inputs, self._teachers(teacher, X, inputs)), X)

    @overload
    def generate(self, steps: int, warmup_input: NDArray[Any], teacher: Any = None,
                 future: Any = None) -> NDArray[Any]: ...

    @overload
    def generate(self, steps: int, warmup_input: Sequence[NDArray[Any]], teacher: Any = None,
                 future: Any = None) -> Arrays: ...

    @overload
    def generate(self, steps: int, warmup_input: Any, teacher: Any = None,
                 future: Any = None) -> Any: ...

    def generate(self, steps: int, warmup_input: Any, teacher: Any = None,
                 future: Any = None) -> Any:
        """Read a series and continue it with the network's own outputs.

        Where the targets of `fit` were the next inputs, or the next ones of the first K of D
        inputs, each output is an input of the next step, and the other D - K inputs are given by
        `future`. Where they were not, a network with `feedback` is continued by what it feeds back,
        and all D inputs (none, for an X of width 0) are given by `future`.

        Parameters
        ----------
        steps : int
            How many outputs to return.
        warmup_input : array_like, shape (T, D), or list of such
            Read before; it should be so long that the state no longer depends on where it started.
        teacher : array_like, shape (t, K) or (t,), or list of such, optional
            For a network with `feedback`: the known outputs of the first t <= T steps of the
            warm-up, as in `predict`. It must be given where the outputs are not inputs.
        future : array_like, shape (steps, D - K) or (N, steps, D - K), or list of such, optional
            The known inputs of the steps that are returned, such as calendar or weather: the last
            D - K columns, or all D of a network whose outputs are not inputs. Of several series one
            array (steps, D - K) is the same for all.

        Returns
        -------
        ndarray, shape (steps, K), or (steps,) where the targets were (T,); or a list of them
            What comes behind the series: the first is the output at the last step of
            `warmup_input`, which is the next first input, or, where the outputs are not inputs,
            that at the first step of `future`.

        Raises
        ------
        ValueError, TypeError
            The outputs are no next inputs: there are more of them than inputs, or the targets of
            `fit` were further from the inputs of the next steps than from their own mean; a future
            of another length or width, or missing; or as `predict`.
        FloatingPointError
            An output is further from the mean of the targets of `fit` than a million times their
            standard deviation.

        Warns
        -----
        UserWarning
            The forecast is flat: it stands still, and the series before it did not.
        """
        steps = positive_int("steps", steps)
        inputs, fit = self._inputs("warmup_input", warmup_input), self._fitted
        D, fed = inputs[0].shape[1], fit.inputs_that_are_outputs(teacher is not None)
        teachers = self._teachers(teacher, warmup_input, inputs)
        ahead = converted("future", known_inputs(future, len(inputs), steps, D, fed),
                          inputs[0].dtype)
        with one_thread():
            both = [fit.forecast(steps, *each, fed)
                    for each in zip(inputs, teachers, ahead, strict=True)]
        read, outputs = ([pair[i] for pair in both] for i in range(2))
        tell_where_flat(read, outputs, "Scale the inputs to about 1 (large ones drive tanh to its "
                        "ends), or give a smaller input_scale, a spectral_radius near 1, a "
                        "bias_scale above 0, or a smaller ridge", level=2)
        return self._shaped(outputs, warmup_input)

    def score(self, X: Any, y: Any = None, warmup: int | None = None, *, sample_weight: Any = None,
              teacher: Any = None, Y: Any = None) -> float:
        """The coefficient of determination R^2, averaged over the K outputs: 1 is perfect, 0 as
        good as predicting the mean of y.

        Parameters
        ----------
        X : array_like, shape (T, D), or list of such
        y : array_like, shape (T, K) or (T,), or list of such
            What is NaN or masked does not count.
        warmup : int, optional
            Steps at the start of each series that do not count: by default none, or with
            start="zero" those of the warm-up.
        sample_weight : array_like, shape (T,), or list of such, optional
            The weight of each step, 0 or more.
        teacher : array_like, shape (t, K) or (t,), or list of such, optional
            With `feedback`: known outputs of the first t steps, as in `predict`, which count as the
            others. ``score(X, y, teacher=y)`` scores the next step.
        Y : array_like, optional
            An older name of y.

        Raises
        ------
        ValueError, TypeError
            As `predict`; targets of another K, or a series not longer than the warm-up.
        """
        inputs, fit = self._inputs("X", X), self._fitted
        targets, _ = read_targets(y if Y is None else Y, X, inputs, np.float64)
        weights = [np.ones(len(u)) if w is None else w
                   for u, w in zip(inputs, read_weights(sample_weight, X, inputs), strict=True)]
        if targets[0].shape[1] != len(fit.Wout):
            raise ValueError(f"y has {targets[0].shape[1]} numbers a step, and the network "
                             f"{len(fit.Wout)} outputs")
        if warmup is None:
            warmup = fit.params["warmup"] if fit.params["start"] == "zero" else 0
        warmup = checked_warmup(warmup, inputs)
        outputs = self._outputs(inputs, self._teachers(teacher, X, inputs))
        return r2(*(np.concatenate([part[warmup:] for part in parts])
                     for parts in (targets, outputs, weights)))

    def _inputs(self, name: str, X: Any) -> Arrays:
        """The series of X, with the features of `fit`."""
        inputs = read_series(name, X, self._fitted.reservoir.b.dtype)
        self._check_feature_names(X)
        self._check_feature_count(inputs[0].shape[1], name)
        return inputs

    def _teachers(self, teacher: Any, X: Any, inputs: Arrays) -> Arrays:
        """The known outputs (t, K) of each series, with t = 0 where there are none."""
        K, reservoir = len(self._fitted.Wout), self._fitted.reservoir
        if teacher is None:
            return [np.empty((0, K), reservoir.b.dtype)] * len(inputs)
        if not reservoir.Wfb.size:
            raise ValueError("teacher is for a network with feedback=True: this one reads its "
                             "inputs alone, so leave teacher out")
        known, _ = read_targets(teacher, X, inputs, reservoir.b.dtype, name="teacher")
        if known[0].shape[1] != K:
            raise ValueError(f"teacher has {known[0].shape[1]} numbers a step, and the network {K} "
                             "outputs")
        return known

    def _outputs(self, inputs: Arrays, teachers: Arrays) -> Arrays:
        """The outputs (T, K) at the steps of each series."""
        with one_thread():
            return [self._fitted.outputs(u, known)
                    for u, known in zip(inputs, teachers, strict=True)]

    def _shaped(self, outputs: Arrays, X: Any) -> Any:
        if self._fitted.flat:
            outputs = [y[:, 0] for y in outputs]
        return as_given(outputs, X)
