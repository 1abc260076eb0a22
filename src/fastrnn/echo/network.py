"""Echo state networks: a recurrent layer that is not trained, and a linear readout that is."""

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..estimator import Estimator, as_numbers
from ..files.store import DAMAGE, damaged, expect, read, write
from ..kernels.blas import one_thread
from ..settings import EchoSettings, ReservoirSettings, declared, documented, given_to
from ..validate import (
    boolean,
    choice,
    float_array,
    generator,
    positive_float,
    positive_int,
    read_array,
    read_masked,
    weights_of,
)
from .blocks import Blocks, filled
from .free_run import free_run, limits, tell_where_flat
from .reservoir import Noise, Reservoir, State, draw
from .ridge import Block, Ridge
from .stepping import Stepwise

PARAMETERS = declared(EchoSettings)
GIVEN = ("W", "Win", "bias", "Wfb")  # weights that need not be drawn
EACH = ("leak_rate", "input_scale")  # numbers that may be arrays
Arrays = list[NDArray[Any]]


@documented(EchoSettings)
class EchoStateNetwork(EchoSettings, Stepwise, Estimator):
    """Echo state network (Jaeger 2001) for time series, with the methods of scikit-learn's
    estimators.

    A series u of D numbers a step drives a reservoir, a random layer that is not trained:

        x_t = (1 - a) x_{t-1} + a tanh(Win u_t + W x_{t-1} + b), from x = 0 on,

    with `feedback` also + Wfb y_{t-1} inside the tanh, y being the outputs, or in `fit` the
    targets. The readout y_t = Wout [1; u_t; x_t] is fitted by ridge regression in one pass, in
    which the weight of the 1 is not penalized, as in scikit-learn's Ridge.

    Parameters
    ----------
    **settings
        `EchoSettings`.

    Attributes
    ----------
    W_ : csr_array of float32, shape (units, units)
    Win_, b_, Wfb_ : ndarray, shapes (units, D), (units,), (units, K); K is 0 without feedback
    Wout_ : ndarray, shape (K, 1 + D + units)
    n_features_in_ : int
        D.
    feature_names_in_ : ndarray of str, shape (D,)
        The names of the columns, where the X of `fit` had them: then `predict` and `score` refuse
        other columns, and the same in another order.
    ridge_ : float
        The ridge of the fit, which ``ridge="auto"`` chose.

    The attributes exist after `fit`. A series is an array (T, D) of T steps; several series are a
    list of such arrays. Targets are (T, K), or (T,) for one number a step, and predictions have the
    shape of the targets.

    `fit` reads each series from the zero state and leaves out the first `warmup` steps. `predict`,
    `score` and `generate` first read the first input of a series `warmup` times (start="repeat"),
    so that no output shows the zero state, and scikit-learn's scorers may count all of them.
    """

    _estimator_type = "regressor"
    _blocks: Blocks | None = None  # of partial_fit

    def fit(self, X: Any, y: Any = None, warmup: int | None = None, *, sample_weight: Any = None,
            Y: Any = None) -> "EchoStateNetwork":
        """Draw a random reservoir, fit the readout, and return the network.

        Parameters
        ----------
        X : array_like, shape (T, D), or list of such
        y : array_like, shape (T, K) or (T,), or list of such
            The target of each step. One that is NaN or masked is not fitted, and each output is
            fitted on the steps where it is known; fed back is its last known value.
        warmup : int, optional
            In place of the parameter `warmup` (deprecated).
        sample_weight : array_like, shape (T,), or list of such, optional
            The weight of each step in the sum of the squared errors, 0 or more. A step of weight 0
            is read, but not fitted.
        Y : array_like, optional
            An older name of y.

        Raises
        ------
        ValueError, TypeError
            NaN or infinity, X and Y that do not fit together, a parameter outside its range, or a
            spectral radius that W cannot have.

        Warns
        -----
        UserWarning
            A series is not longer than the warm-up.
        """
        params = self._checked_params()
        if warmup is not None:
            warnings.warn("fit(warmup=) is deprecated: give EchoStateNetwork(warmup=), a parameter "
                          "like the others", FutureWarning, stacklevel=2)
            params["warmup"] = PARAMETERS["warmup"].checked(warmup)
        inputs = _series("X", X, params["dtype"])
        targets, flat = _targets(y if Y is None else Y, X, inputs, params["dtype"])
        weights = _weights(sample_weight, X, inputs)
        reservoir, sums, noise_seed = _reservoir_and_sums(params, inputs, targets[0].shape[1])
        left_out = _left_out(params, inputs)

        def blocks() -> Iterator[Block]:
            noise = Noise(params, noise_seed)
            for u, goal, w, skipped in zip(inputs, targets, weights, left_out, strict=True):
                fed = noise.of_feedback(filled(goal))
                for start, features in reservoir.features(u, fed, skipped, sums.centre,
                                                          noise=noise):
                    rows = slice(start, start + len(features))
                    yield features, goal[rows], None if w is None else w[rows]

        with one_thread():
            for block in blocks():
                sums.add(*block)
            ridge = sums.choose(blocks()) if params["ridge"] == "auto" else params["ridge"]
            Wout = _readout(sums, ridge, reservoir)
        self._keep_feature_names(X)
        self._fitted_params, self._reservoir, self._flat = params, reservoir, flat
        self._continues, self._about = _are_next_inputs(inputs, targets), limits(targets)
        self.Wout_, self.ridge_ = Wout.astype(params["dtype"]), ridge
        self._blocks = None
        self.reset()
        return self

    def partial_fit(self, X: Any, y: Any = None, *, sample_weight: Any = None,
                    new_series: bool = False) -> "EchoStateNetwork":
        """Fit on a block of a series, together with the blocks before it, and return the network.

        The blocks of a series, one call after the other, give what `fit` gives on the whole: the
        state goes on from block to block, the warm-up is left out once, and the sums of the
        regression are kept, so that no block is read again. The first call draws the reservoir; the
        parameters are those of that time. Before a step behind the warm-up has been read, the
        network is not fitted yet.

        Parameters
        ----------
        X : array_like, shape (T, D)
        y : array_like, shape (T, K) or (T,)
            The target of each step; NaN or masked as in `fit`.
        sample_weight : array_like, shape (T,), optional
            The weight of each step, as in `fit`.
        new_series : bool
            Whether X begins another series, from the zero state, with a warm-up of its own.

        Raises
        ------
        ValueError, TypeError
            As `fit`; a list of series, other numbers of inputs or outputs than before, or
            ridge="auto", which reads a series twice.

        Warns
        -----
        UserWarning
            The network comes from `fit` or `load`, which keep no sums: the fit begins anew.
        """
        blocks = self._blocks
        if blocks is None and self.__sklearn_is_fitted__():
            warnings.warn("partial_fit goes on from its own calls alone, since fit and load "
                          "keep no sums: it begins anew", UserWarning, stacklevel=2)
        params = self._checked_params() if blocks is None else self._fitted_params
        if params["ridge"] == "auto":
            raise ValueError('ridge="auto" reads a series twice: give partial_fit a number')
        if not _is_one_series(X):
            raise ValueError("partial_fit takes one series, not a list: give one after the other, "
                             "each with new_series=True")
        inputs = _series("X", X, params["dtype"])
        (goal,), flat = _targets(y, X, inputs, params["dtype"])
        weights = _weights(sample_weight, X, inputs, zero=True)[0]
        if blocks is None:
            reservoir, sums, seed = _reservoir_and_sums(params, inputs, goal.shape[1])
            self._keep_feature_names(X)
            self._fitted_params, self._reservoir, self._flat = params, reservoir, flat
            self._blocks = blocks = Blocks(reservoir, sums, Noise(params, seed), params["warmup"],
                                           goal.shape[1])
            self.__dict__.pop("Wout_", None)  # of another reservoir
            self.reset()
        self._check_feature_names(X)
        self._check_feature_count(inputs[0].shape[1])
        if goal.shape[1] != len(blocks.mean):
            raise ValueError(f"y has {goal.shape[1]} numbers a step, and the blocks before "
                             f"{len(blocks.mean)}")
        if boolean("new_series", new_series):
            blocks.begin()
        with one_thread():
            blocks.add(inputs[0], goal, weights)
            if blocks.fitted.all():
                Wout = _readout(blocks.sums, params["ridge"], blocks.reservoir)
                self.Wout_, self.ridge_ = Wout.astype(params["dtype"]), params["ridge"]
                self.step_state = self.step_state  # goes on with this readout
        self._continues, self._about = blocks.continues, blocks.about
        return self

    def set_partial_fit_request(self, **requests: bool | str | None) -> "EchoStateNetwork":
        """As `set_fit_request`, for `partial_fit`."""
        return self._set_request("partial_fit", requests)

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
        if self.__sklearn_is_fitted__() or self.feedback:
            inputs, reservoir = self._fitted_inputs("X", X), self._reservoir
        else:
            params = self._checked_params()
            inputs = _series("X", X, params["dtype"])
            reservoir = _draw(params, _rng(params), inputs[0].shape[1], 0)
        out = []
        with one_thread():
            for u in inputs:
                states = np.empty((len(u), len(reservoir.b)), u.dtype)
                reservoir.run(len(u), *reservoir.start(), u=u, states=states,
                              Wout=self.Wout_ if reservoir.Wfb.size else None)
                out.append(states)
        return _as_given(out, X)

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
        inputs = self._fitted_inputs("X", X)
        return self._shaped(self._outputs(inputs, self._teachers(teacher, X, inputs)), X)

    def _outputs(self, inputs: Arrays, teachers: Arrays) -> Arrays:
        """The outputs (T, K) at the steps of each series."""
        reservoir, outputs = self._reservoir, []
        with one_thread():
            for u, known in zip(inputs, teachers, strict=True):
                begin = self._begin(u, known)
                if reservoir.Wfb.size:
                    y = self._run(u, known, *begin)
                else:
                    y = np.concatenate([features @ self.Wout_.T
                                        for _, features in reservoir.features(u, begin=begin)])
                outputs.append(y)
        return outputs

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
            D - K columns, or all D of a network whose outputs are not inputs.

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
        inputs = self._fitted_inputs("warmup_input", warmup_input)
        fed = _inputs_that_are_outputs(len(self.Wout_), self._reservoir, self._continues, teacher)
        teachers = self._teachers(teacher, warmup_input, inputs)
        given = _future(future, warmup_input, inputs, steps, fed)
        outputs, K = [], len(self.Wout_)
        with one_thread():
            for u, known, ahead in zip(inputs, teachers, given, strict=True):
                state, last = self._begin(u, known)
                last = last if last.size else np.zeros(K, u.dtype)
                read = self._run(u, known, state, last)
                first = read[-1:] if fed else read[:0]
                y = free_run(self._reservoir, self.Wout_, steps - len(first), state, last,
                             self._about, len(first), u=ahead, fed=fed)
                outputs.append(np.concatenate([first, y]))
                tell_where_flat(read, outputs[-1])
        return self._shaped(outputs, warmup_input)

    def score(self, X: Any, y: Any = None, warmup: int | None = None, *, sample_weight: Any = None,
              Y: Any = None) -> float:
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
        Y : array_like, optional
            An older name of y.

        Raises
        ------
        ValueError, TypeError
            As `predict`; targets of another K, or a series not longer than the warm-up.
        """
        inputs = self._fitted_inputs("X", X)
        targets, _ = _targets(y if Y is None else Y, X, inputs, np.float64)
        weights = [np.ones(len(u)) if w is None else w
                   for u, w in zip(inputs, _weights(sample_weight, X, inputs), strict=True)]
        if targets[0].shape[1] != len(self.Wout_):
            raise ValueError(f"y has {targets[0].shape[1]} numbers a step, and the network "
                             f"{len(self.Wout_)} outputs")
        if warmup is None:
            warmup = self._fitted_params["warmup"] if self._fitted_params["start"] == "zero" else 0
        warmup = _checked_warmup(warmup, inputs)
        outputs = self._outputs(inputs, self._teachers(None, X, inputs))
        goal, found, w = (np.concatenate([part[warmup:] for part in parts])
                          for parts in (targets, outputs, weights))
        known = w[:, None] * ~np.isnan(goal)  # (n, K)
        counted = known.any(axis=0)
        if not counted.any():
            raise ValueError("y has no known target behind the warm-up: there is nothing to score")
        goal, found, known = (part[:, counted] for part in (goal, found, known))
        goal = np.where(known > 0, goal, 0.0)
        mean = (known * goal).sum(axis=0) / known.sum(axis=0)
        left, spread = ((known * (goal - z) ** 2).sum(axis=0) for z in (found, mean))
        ratio = np.divide(left, spread, out=(left > 0).astype(float), where=spread > 0)
        return float(1 - ratio.mean())

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False,
             step_state: bool = False) -> None:
        """Write the fitted network, with the parameters of the fit, to a ``.safetensors`` file;
        `load` reads it.

        Parameters
        ----------
        path : str or path-like
        overwrite : bool
            Whether a file that fastrnn did not write may be replaced.
        step_state : bool
            Whether to save `step_state` too, so that the loaded network goes on with `step`.

        Raises
        ------
        ValueError
            The network has not been fitted.
        OSError
            The file cannot be written; an older file there stays whole.
        """
        reservoir = self._fitted
        params = self._fitted_params.copy()
        given = [name for name in GIVEN if params[name] is not None]
        each = {name: params[name] for name in EACH if np.ndim(params[name])}
        params |= dict.fromkeys([*given, *each])  # they are tensors
        tensors = {"Wout": self.Wout_, "targets": self._about} | each | reservoir.tensors
        if step_state and self._steps is not None:
            tensors["step_state"] = self._steps.state
        write(path, tensors, {"echo_state_network": {
            "parameters": params, "given": given, "inputs": self.n_features_in_,
            "fed_back": reservoir.Wfb.shape[1], "flat": self._flat,
            "continues": self._continues, "ridge": self.ridge_}},
            overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "EchoStateNetwork":
        """Read a network from a file that `save` wrote.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            The file is damaged, or holds something else.
        """
        tensors, about = read(path)
        if "echo_state_network" not in about:
            raise ValueError(f"{str(path)!r} holds a model, not an echo state network: use "
                             "fastrnn.load")
        try:
            about = about["echo_state_network"]
            params = about["parameters"]
            if "warmup" not in params:  # a file of fastrnn 0.1
                params = params | {"warmup": about["warmup"], "start": "zero"}
            params = params | {name: tensors[name] for name in EACH if params[name] is None}
            network = cls(**params)
            network._fitted_params = params = network._checked_params()
            units, dtype, Wout = params["units"], params["dtype"], tensors["Wout"]
            D = positive_int("inputs", about["inputs"], least=0 if params["feedback"] else 1)
            K = positive_int("outputs", len(Wout))
            fed_back = positive_int("fed_back", about["fed_back"], least=0)
            expect(tensors, "Wout", (K, 1 + D + units), dtype)
            if fed_back != (K if params["feedback"] else 0) or not np.isfinite(Wout).all():
                raise ValueError("tensor Wout is not finite, or has another K than Wfb")
            network._reservoir = Reservoir.from_tensors(
                tensors, params["leak_rate"], units, D, fed_back, dtype)
            network.Wout_ = Wout
            for name in about.get("given", ()):
                weights = getattr(network, "b_" if name == "bias" else f"{name}_")
                setattr(network, choice("given", name, GIVEN), weights)
                params[name] = weights
            network._about = tensors.get("targets", np.array([[0.0], [np.inf]]).repeat(K, 1))
            if "targets" in tensors:
                expect(tensors, "targets", (2, K), "float64")
                if not np.isfinite(network._about).all():
                    raise ValueError("tensor targets is not finite")
            network._flat = boolean("flat", about["flat"])
            # files of fastrnn 0.1 do not say these
            network._continues = boolean("continues", about.get("continues", True))
            network.ridge_ = positive_float("ridge", about.get("ridge", params["ridge"]), zero=True)
            if network._flat and K > 1:
                raise ValueError(f"flat is for one output, and there are {K}")
            network.step_state = tensors.get("step_state")
        except DAMAGE as error:
            raise damaged(path, error) from None
        return network

    @property
    def W_(self) -> csr_array:
        return self._fitted.W

    @property
    def Win_(self) -> NDArray[Any]:
        return self._fitted.Win

    @property
    def b_(self) -> NDArray[Any]:
        return self._fitted.b

    @property
    def Wfb_(self) -> NDArray[Any]:
        return self._fitted.Wfb

    @property
    def n_features_in_(self) -> int:
        begun = getattr(self, "_reservoir", None)  # by partial_fit, perhaps within the warm-up
        return int((begun or self._fitted).Win.shape[1])

    @property
    def _fitted(self) -> Reservoir:
        """The reservoir of the fit; raises NotFittedError where there is none."""
        self._check_fitted()
        return self._reservoir

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "Wout_")

    def _checked_params(self) -> dict[str, Any]:
        """The parameters, checked, as plain Python values."""
        return {name: one.checked(getattr(self, name)) for name, one in PARAMETERS.items()}

    def _fitted_inputs(self, name: str, X: Any) -> Arrays:
        inputs = _series(name, X, self._fitted.b.dtype)
        self._check_feature_names(X)
        self._check_feature_count(inputs[0].shape[1], name)
        return inputs

    def _teachers(self, teacher: Any, X: Any, inputs: Arrays) -> Arrays:
        """The known outputs (t, K) of each series, with t = 0 where there are none."""
        K, dtype = len(self.Wout_), self._reservoir.b.dtype
        if teacher is None:
            return [np.empty((0, K), dtype)] * len(inputs)
        if not self._reservoir.Wfb.size:
            raise ValueError("teacher is for a network with feedback=True: this one reads its "
                             "inputs alone, so leave teacher out")
        known, _ = _targets(teacher, X, inputs, dtype, name="teacher")
        if known[0].shape[1] != K:
            raise ValueError(f"teacher has {known[0].shape[1]} numbers a step, and the network {K} "
                             "outputs")
        return known

    def _begin(self, u: NDArray[Any], known: NDArray[Any]) -> State:
        """The state (units,) and outputs (K,) before the first step of a series u (T, D) whose
        outputs are known at the first steps (t, K): zeros, or what they are after the first input,
        read `warmup` times, with the first known output fed back or else the network's own."""
        state, last = self._reservoir.start()
        steps = self._fitted_params["warmup"]
        if self._fitted_params["start"] == "repeat" and steps:
            arrays: dict[str, Any] = {"u": u[:1]} | ({"y": known[:1]} if len(known) else {})
            arrays = {name: np.repeat(one, steps, axis=0) for name, one in arrays.items()}
            self._reservoir.run(steps, state, last, **arrays,
                                Wout=self.Wout_ if last.size else None)
        return state, last

    def _run(self, u: NDArray[Any], known: NDArray[Any], state: NDArray[Any],
             last: NDArray[Any]) -> NDArray[Any]:
        """The outputs (T, K) at the steps of u (T, D); fed back are those that are known (t, K),
        then the network's own. The state (units,) and last (K,) become those after the series."""
        t, run = len(known), self._reservoir.run
        forced = run(t, state, last, u=u[:t], y=known, Wout=self.Wout_)
        if self._reservoir.Wfb.size:
            free = free_run(self._reservoir, self.Wout_, len(u) - t, state, last, self._about, t,
                            u=u[t:])
        else:
            free = run(len(u) - t, state, last, u=u[t:], Wout=self.Wout_)
        return np.concatenate([forced, free])

    def _shaped(self, outputs: Arrays, X: Any) -> Any:
        if self._flat:
            outputs = [y[:, 0] for y in outputs]
        return _as_given(outputs, X)


def _inputs_that_are_outputs(K: int, reservoir: Reservoir, continues: bool, teacher: Any) -> int:
    """How many inputs of a free run are the outputs of the step before: K, or 0 where the
    outputs only go back into the reservoir, which takes a teacher."""
    D = reservoir.Win.shape[1]
    if continues and K <= D:
        return K
    if reservoir.Wfb.size:
        if teacher is not None:
            return 0
        raise ValueError("the targets of fit were no next inputs, so that the series is continued "
                         "by what is fed back alone: give the known outputs of the warm-up as "
                         "teacher" + (", and as future the inputs of the steps behind it" if D
                                      else ""))
    if K > D:
        raise ValueError(f"a free run feeds {K} outputs to {D} inputs: fit with targets that are "
                         "the next inputs, Y = X[1:] for X[:-1]")
    raise ValueError("a free run feeds the outputs back as the next "
                     + ("inputs" if K == D else f"{K} of {D} inputs") + ", and the targets of fit "
                     "were no next inputs: give the inputs of all steps to predict")


def _rng(params: dict[str, Any]) -> np.random.Generator:
    return generator(
        params["seed"] if params["random_state"] is None else params["random_state"])


def _draw(params: dict[str, Any], rng: np.random.Generator, inputs: int,
          fed_back: int) -> Reservoir:
    return draw(params["units"], inputs, fed_back, rng, params["dtype"], **given_to(
        ReservoirSettings, params), bias_scale=params["bias_scale"],
        given={name: params[name] for name in GIVEN})


def _reservoir_and_sums(params: dict[str, Any], inputs: Arrays,
                        K: int) -> tuple[Reservoir, Ridge, int]:
    """A random reservoir for these inputs and K outputs, the sums of its regression, 0, and the
    seed of the noise."""
    D = inputs[0].shape[1]
    if not D and not params["feedback"]:
        raise ValueError(f"X has no columns, 0 feature(s) (shape={inputs[0].shape}) while a "
                         "minimum of 1 is required. A network without inputs needs feedback=True")
    with np.errstate(over="ignore"):
        centre = np.mean([u.mean(axis=0, dtype=float) for u in inputs], axis=0)
    rng = _rng(params)
    reservoir = _draw(params, rng, D, K if params["feedback"] else 0)
    params["units"] = len(reservoir.b)  # where W is given
    centre = centre if params["input_to_readout"] else centre[:0]
    seed = int(rng.integers(2**63)) if params["noise"] or params["feedback_noise"] else 0
    return reservoir, Ridge(1 + len(centre) + params["units"], K, centre), seed


def _readout(sums: Ridge, ridge: float, reservoir: Reservoir) -> NDArray[np.float64]:
    """Wout (K, 1 + D + units), 0 for inputs that are not read."""
    H, D = reservoir.Win.shape
    Wout = sums.solve(ridge)
    return np.insert(Wout, [1] * (1 + D + H - Wout.shape[1]), 0.0, axis=1)


def _as_given(found: Arrays, X: Any) -> Any:
    """What was found for each series: of one, an array; of a list, a list; of an array (N, T, D),
    an array of N."""
    if _is_one_series(X):
        return found[0]
    return found if isinstance(X, list | tuple) else np.stack(found)


def _is_one_series(X: Any) -> bool:
    """Whether X is one series and not a list of them, of which at least one must be (T, D)."""
    if isinstance(X, list | tuple):
        return not any(_axes(x) == 2 for x in X)
    return _axes(X) != 3


def _axes(x: Any) -> int:
    """The number of axes; np.ndim would ask what only makes an array for its own function."""
    return int(x.ndim) if hasattr(x, "ndim") else np.asarray(x).ndim


def _listed(X: Any) -> Any:
    """The series of a list of them, or of an array (N, T, D)."""
    return X if isinstance(X, list | tuple) else np.asanyarray(X)


def _named(name: str, X: Any, one: bool) -> dict[str, Any]:
    """The arrays of one series or of several, by what messages call them."""
    return {name: as_numbers(name, X)} if one else {
        f"{name}[{i}]": as_numbers(f"{name}[{i}]", x) for i, x in enumerate(_listed(X))}


def _weights(given: Any, X: Any, inputs: Arrays,
             zero: bool = False) -> list[NDArray[np.float64] | None]:
    """The weights (T,) of the steps of each series, or None where all count alike. Whether all may
    be 0 says `zero`."""
    if given is None:
        return [None] * len(inputs)
    named = _named("sample_weight", given, _is_one_series(X))
    if len(named) != len(inputs):
        raise ValueError(f"X has {len(inputs)} series and sample_weight {len(named)}: give the "
                         "weights of each")
    for (what, w), u in zip(named.items(), inputs, strict=True):
        if np.shape(w) != (len(u),):
            raise ValueError(f"{what} has the shape {np.shape(w)} and must have ({len(u)},), a "
                             "weight for each step")
    ends = np.cumsum([len(u) for u in inputs])
    if not zero and not any(np.any(w) for w in named.values()):
        raise ValueError("sample_weight is zero at all steps: leave it out, or weigh some more")
    flat = np.append(np.concatenate(list(named.values())), 1)  # weights_of refuses zeros alone
    return list(np.split(weights_of("sample_weight", flat, flat.shape)[:-1], ends[:-1]))


def _series(name: str, X: Any, dtype: Any) -> Arrays:
    """The series of X as arrays (T, D)."""
    named = _named(name, X, _is_one_series(X))
    shape: tuple[int, ...] = np.shape(next(iter(named.values()), ()))
    if not shape[0] or (0 in shape and len(shape) != 2):  # noqa: PLR2004
        raise ValueError(f"{name} has no steps: give at least one series (T, D)")
    for what, u in named.items():
        if np.ndim(u) == 1:
            raise ValueError(f"{what} has the shape {np.shape(u)} and must be (T, D). Reshape your "
                             f"data: for one number a step give np.reshape({what}, (-1, 1))")
    return _arrays(named, ("T", 0 if 0 in shape else "D"), dtype)


def _targets(Y: Any, X: Any, inputs: Arrays, dtype: Any,
             name: str = "y") -> tuple[Arrays, bool]:
    """The targets as arrays (T, K), and whether they came as (T,). Those called teacher may have
    fewer steps than their series."""
    one = _is_one_series(X)
    if Y is None:
        raise ValueError("This EchoStateNetwork estimator requires y to be passed, but the target "
                         "y is None.")
    if not one and not (isinstance(Y, list | tuple) or np.ndim(Y) == 3):
        raise ValueError(f"X is a list of {len(inputs)} series: give {name} as a list of as many "
                         f"targets, not as {type(Y).__name__}")
    given = _named(name, Y, one)
    read = read_array if name == "teacher" else _with_nan
    named = {what: read(what, y) for what, y in given.items()}
    if len(named) != len(inputs):
        raise ValueError(f"X has {len(inputs)} series and {name} {len(named)}: give one for each")
    columns = {what: y[:, None] if y.ndim == 1 else y for what, y in named.items()}
    targets = _arrays(columns, ("T", "K"), dtype, missing=name != "teacher")
    for what, y, u in zip(named, targets, inputs, strict=True):
        if name == "teacher" and len(y) > len(u):
            raise ValueError(f"{what} has {len(y)} steps and its series {len(u)}: give at most as "
                             "many known outputs")
        if name != "teacher" and len(y) != len(u):
            raise ValueError(f"{what} has {len(y)} steps and its series {len(u)}: give one target "
                             "for each step")
    return targets, next(iter(named.values())).ndim == 1


def _future(future: Any, X: Any, inputs: Arrays, steps: int, fed: int) -> Arrays:
    """The known inputs (steps, D - fed) of each series in a free run."""
    D, dtype = inputs[0].shape[1], inputs[0].dtype
    if D == fed:
        if future is not None:
            raise ValueError("future is for inputs that are not outputs of the step before, and "
                             f"here {'all of them are' if D else 'there are none'}: leave it out")
        return [np.empty((steps, 0), dtype)] * len(inputs)
    wanted = f"({steps}, {D - fed})"
    if future is None:
        raise ValueError(f"a free run feeds back {fed} of {D} inputs: give the other {D - fed} of "
                         f"the steps behind the series as future, {wanted}")
    one = _is_one_series(X)
    given = [future] if one else list(_listed(future))
    if len(given) != len(inputs):
        raise ValueError(f"there are {len(inputs)} series and {len(given)} arrays in future: give "
                         f"one {wanted} for each")
    named = {"future" if one else f"future[{i}]": read_array("future", part)
             for i, part in enumerate(given)}
    for what, part in named.items():
        if part.shape != (steps, D - fed) and (part.shape, D - fed) != ((steps,), 1):
            raise ValueError(f"{what} has the shape {part.shape} and must be {wanted}: the known "
                             f"inputs of the {steps} steps that are returned, which are "
                             + (f"the last {D - fed} of {D}" if fed else f"all {D}"))
    return _arrays({what: part.reshape(steps, -1) for what, part in named.items()},
                   ("T", "D"), dtype)


def _are_next_inputs(inputs: Arrays, targets: Arrays) -> bool:
    """Whether the K targets can be meant as the next ones of the first K inputs: there are as many,
    and the targets are nearer to them than to their own mean."""
    K = targets[0].shape[1]
    if inputs[0].shape[1] < K:
        return False
    y = np.concatenate(targets).astype(float)
    mean = np.nansum(y, axis=0) / np.maximum(1, (~np.isnan(y)).sum(axis=0))
    with np.errstate(over="ignore"):
        apart = sum(float(np.nansum((u[1:, :K].astype(float) - y[:-1]) ** 2))
                    for u, y in zip(inputs, targets, strict=True))
        return apart <= float(np.nansum((y - mean) ** 2))


def _with_nan(name: str, value: Any) -> NDArray[Any]:
    """The array, with NaN in place of what is masked."""
    array, hidden = read_masked(name, value)
    return array if hidden is None else np.where(hidden, np.nan, array)


def _arrays(named: dict[str, Any], shape: tuple[str, str | int], dtype: Any,
            missing: bool = False) -> Arrays:
    """The values as arrays with as many columns as the first, which are finite, or where some may
    be missing NaN."""
    out: Arrays = []
    for name, value in named.items():
        array = float_array(name, value, shape, dtype)
        wrong = np.isinf(array) if missing else ~np.isfinite(array)
        if wrong.any():
            t, d = map(int, np.argwhere(wrong)[0])
            what = "NaN" if np.isnan(array[t, d]) else "infinity"
            raise ValueError(f"{name} contains {what} at step {t}: mend or leave out what is not "
                             "finite")
        if out and array.shape[1] != out[0].shape[1]:
            raise ValueError(f"{name} has {array.shape[1]} numbers a step and {next(iter(named))} "
                             f"{out[0].shape[1]}: all must have as many")
        out.append(array)
    return out


def _left_out(params: dict[str, Any], inputs: Arrays) -> list[int]:
    """The steps at the start of each series that are not fitted: the warm-up, or the first half of
    a series that is not longer."""
    warmup = params["warmup"]
    short = [len(u) <= warmup for u in inputs]
    if any(short):
        i = short.index(True)
        warnings.warn(f"series {i} has {len(inputs[i])} steps, and the warm-up takes {warmup}: "
                      f"only its first {len(inputs[i]) // 2} steps are left out of the fit; give a "
                      "longer series, or a smaller warmup", UserWarning, stacklevel=3)
    return [len(u) // 2 if one else warmup for u, one in zip(inputs, short, strict=True)]


def _checked_warmup(warmup: int, inputs: Arrays) -> int:
    """A warm-up shorter than each series."""
    warmup = positive_int("warmup", warmup, least=0)
    for i, u in enumerate(inputs):
        if len(u) <= warmup:
            raise ValueError(f"series {i} has {len(u)} steps, and the warm-up takes {warmup}: "
                             "give a longer one, or a smaller warmup")
    return warmup
