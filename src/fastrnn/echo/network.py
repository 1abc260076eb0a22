"""Echo state networks: a recurrent layer that is not trained, and a linear readout that is."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..files.store import DAMAGE, damaged, read, write
from ..kernels.blas import one_thread
from ..settings import EchoSettings, declared, documented
from ..validate import choice, float_array, generator, positive_int
from .reservoir import Reservoir, draw
from .ridge import Ridge

PARAMETERS = declared(EchoSettings)


@documented(EchoSettings)
class EchoStateNetwork(EchoSettings):
    """Echo state network (Jaeger 2001) for time series, in scikit-learn's manner.

    A series u of D numbers a step drives a reservoir, a random layer that stays as it is:

        x_t = (1 - a) x_{t-1} + a tanh(Win u_t + W x_{t-1} + b), from x = 0 on,

    and with `feedback` Wfb y_{t-1} inside the tanh, y being the outputs, in `fit` the targets. The
    outputs y_t = Wout [1; u_t; x_t] are fitted by ridge regression in one pass.

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

    A fitted network has these. Series are (T, D), T steps, or lists of such, each from the zero
    state; targets (T, K), or (T,) for one number a step, and then so are predictions.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **params: Any) -> EchoStateNetwork:
        """Set parameters by name; they count from the next `fit` on.

        Raises
        ------
        ValueError
            A name that is none.
        """
        for name, value in params.items():
            setattr(self, choice("a parameter", name, PARAMETERS), value)
        return self

    def fit(self, X: Any, Y: Any, warmup: int = 100) -> EchoStateNetwork:
        """Draw the reservoir, and fit the readout.

        Parameters
        ----------
        X : array_like, shape (T, D), or list of such
        Y : array_like, shape (T, K) or (T,), or list of such
            What shall come out at each step.
        warmup : int
            Steps at the start of each series that are not fitted, while the state still depends on
            where it started; `score` leaves out as many.

        Raises
        ------
        ValueError, TypeError
            A series not longer than the warm-up, NaN or infinity, X and Y that do not fit together,
            a parameter outside its range, or a spectral radius that W cannot have.
        """
        params = self._checked_params()
        positive_int("warmup", warmup, least=0)
        inputs = _series("X", X, params["dtype"])
        targets, flat = _targets(Y, X, inputs, params["dtype"])
        for i, u in enumerate(inputs):
            if len(u) <= warmup:
                raise ValueError(f"series {i} has {len(u)} steps, and the warm-up takes {warmup}: "
                                 "give a longer one, or a smaller warmup")
        D, K = inputs[0].shape[1], targets[0].shape[1]
        reservoir = _draw(params, D, K if params["feedback"] else 0)
        sums = Ridge(1 + D + params["units"], K)
        with one_thread():
            for u, y in zip(inputs, targets, strict=True):
                for start, features in reservoir.features(u, y, warmup):
                    sums.add(features, y[start : start + len(features)])
            Wout = sums.solve(params["ridge"])
        self._fitted_params, self._reservoir = params, reservoir
        self._warmup, self._flat = warmup, flat
        self.Wout_ = Wout.astype(params["dtype"])
        return self

    def states(self, X: Any) -> Any:
        """The states that a series leads through, shape (T, units), or a list of them.

        Of a network that has not been fitted those of the reservoir that `fit` would draw (with
        seed=None of another one), unless outputs are fed back.

        Raises
        ------
        ValueError, TypeError
            A series that `fit` would refuse, or of another D; outputs that are fed back before a
            fit.
        """
        if self._is_fitted or self.feedback:
            inputs, reservoir = self._fitted_inputs("X", X), self._reservoir
        else:
            params = self._checked_params()
            inputs = _series("X", X, params["dtype"])
            reservoir = _draw(params, inputs[0].shape[1], 0)
        out = []
        with one_thread():
            for u in inputs:
                states = np.empty((len(u), len(reservoir.b)), u.dtype)
                reservoir.run(len(u), *reservoir.start(), u=u, states=states,
                              Wout=self.Wout_ if reservoir.Wfb.size else None)
                out.append(states)
        return out[0] if _is_one_series(X) else out

    def predict(self, X: Any) -> Any:
        """The outputs for a series X (T, D), shape (T, K), or (T,) where the targets were; or a
        list of them for a list.

        Raises
        ------
        ValueError, TypeError
            No fit before, or a series that `fit` would refuse, or of another D.
        """
        inputs, reservoir = self._fitted_inputs("X", X), self._reservoir
        outputs = []
        with one_thread():
            for u in inputs:
                if reservoir.Wfb.size:
                    y = reservoir.run(len(u), *reservoir.start(), u=u, Wout=self.Wout_)
                else:
                    y = np.concatenate([features @ self.Wout_.T
                                        for _, features in reservoir.features(u)])
                outputs.append(y)
        return self._shaped(outputs, X)

    def generate(self, steps: int, warmup_input: Any) -> Any:
        """Read a series and go on from its end: each output is the next input.

        Parameters
        ----------
        steps : int
        warmup_input : array_like, shape (T, D), or list of such
            Read from the zero state; long enough that this no longer matters.

        Returns
        -------
        ndarray, shape (steps, K), or (steps,) where the targets were (T,); or a list of them
            The first is what the last step that was read leads to.

        Raises
        ------
        ValueError
            Outputs that are not as many as the inputs, or as `predict`.
        FloatingPointError
            The outputs grow without bounds.
        """
        positive_int("steps", steps)
        inputs = self._fitted_inputs("warmup_input", warmup_input)
        K, D = len(self.Wout_), self.n_features_in_
        if K != D:
            raise ValueError(f"a free run feeds {K} outputs to {D} inputs: fit with targets that "
                             "are the next inputs, Y = X[1:] for X[:-1]")
        outputs, run = [], self._reservoir.run
        with one_thread():
            for u in inputs:
                state, last = self._reservoir.start()[0], np.zeros(K, u.dtype)
                run(len(u), state, last, u=u, Wout=self.Wout_)
                first = last[None].copy()
                y = np.concatenate([first, run(steps - 1, state, last, Wout=self.Wout_)])
                if not np.isfinite(y).all():
                    raise FloatingPointError(
                        f"the free run left all bounds after {int(np.isfinite(y).all(1).argmin())} "
                        "steps: give a larger ridge, or a smaller spectral_radius")
                outputs.append(y)
        return self._shaped(outputs, warmup_input)

    def score(self, X: Any, Y: Any, warmup: int | None = None) -> float:
        """The coefficient of determination R^2 of the predictions, the mean over the K outputs:
        1 is perfect, 0 as good as the mean of Y.

        Parameters
        ----------
        X, Y
            As for `fit`.
        warmup : int, optional
            Steps at the start of each series that do not count; as many as in `fit` where not
            given.

        Raises
        ------
        ValueError, TypeError
            As `predict`; targets of another K, or a series not longer than the warm-up.
        """
        inputs = self._fitted_inputs("X", X)
        warmup = self._warmup if warmup is None else positive_int("warmup", warmup, least=0)
        targets, _ = _targets(Y, X, inputs, np.float64)
        if targets[0].shape[1] != len(self.Wout_):
            raise ValueError(f"Y has {targets[0].shape[1]} numbers a step, and the network "
                             f"{len(self.Wout_)} outputs")
        if min(map(len, inputs)) <= warmup:
            raise ValueError(f"a series has {min(map(len, inputs))} steps, and {warmup} are left "
                             "out: give a longer one, or warmup, fewer steps to leave out")
        y = np.concatenate([part[warmup:] for part in targets])
        found = np.concatenate([part.reshape(len(u), -1)[warmup:]
                                for u, part in zip(inputs, self.predict(inputs), strict=True)])
        left, spread = ((y - found) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        ratio = np.divide(left, spread, out=(left > 0).astype(float), where=spread > 0)
        return float(1 - ratio.mean())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted network, with the parameters of the fit, to a ``.safetensors`` file;
        `load` reads it.

        Raises
        ------
        ValueError
            The network has not been fitted.
        OSError
            The file cannot be written; one that was there is still whole.
        """
        self._check_fitted()
        tensors = {"Wout": self.Wout_} | self._reservoir.tensors
        write(path, tensors, {"echo_state_network": {
            "parameters": self._fitted_params, "inputs": self.n_features_in_,
            "fed_back": self.Wfb_.shape[1], "warmup": self._warmup, "flat": self._flat}})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EchoStateNetwork:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            As `fastrnn.load`.
        """
        tensors, about = read(path)
        if "echo_state_network" not in about:
            raise ValueError(f"{str(path)!r} holds a model, not an echo state network: use "
                             "fastrnn.load")
        try:
            return cls._stored(tensors, about["echo_state_network"])
        except DAMAGE as error:
            raise damaged(path, error) from None

    @classmethod
    def _stored(cls, tensors: dict[str, NDArray[Any]], about: dict[str, Any]) -> EchoStateNetwork:
        network = cls(**about["parameters"])
        network._fitted_params = params = network._checked_params()
        units, D, dtype = params["units"], about["inputs"], params["dtype"]
        reservoir = Reservoir.from_tensors(
            tensors, params["leak_rate"], units, D, about["fed_back"], dtype)
        Wout = tensors["Wout"]
        if Wout.ndim != 2 or Wout.shape[1] != 1 + D + units or Wout.dtype != dtype or (
                about["fed_back"] not in (0, len(Wout)) or not np.isfinite(Wout).all()):
            raise ValueError(f"tensor Wout is {Wout.dtype} {Wout.shape}")
        network._reservoir, network.Wout_ = reservoir, Wout
        network._warmup = positive_int("warmup", about["warmup"], least=0)
        network._flat = bool(about["flat"])
        return network

    @property
    def W_(self) -> csr_array:
        return self._fitted_reservoir.W

    @property
    def Win_(self) -> NDArray[Any]:
        return self._fitted_reservoir.Win

    @property
    def b_(self) -> NDArray[Any]:
        return self._fitted_reservoir.b

    @property
    def Wfb_(self) -> NDArray[Any]:
        return self._fitted_reservoir.Wfb

    @property
    def n_features_in_(self) -> int:
        return int(self._fitted_reservoir.Win.shape[1])

    @property
    def _is_fitted(self) -> bool:
        return hasattr(self, "Wout_")

    def _check_fitted(self) -> None:
        if not self._is_fitted:
            raise NotFittedError("this network has not been fitted: call fit first")

    @property
    def _fitted_reservoir(self) -> Reservoir:
        self._check_fitted()
        return self._reservoir

    def __sklearn_is_fitted__(self) -> bool:
        return self._is_fitted

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(estimator_type="regressor", target_tags=TargetTags(
            required=True, multi_output=True), regressor_tags=RegressorTags(),
            input_tags=InputTags())

    def __repr__(self) -> str:
        changed = [f"{name}={value!r}" for name, value in self.get_params().items()
                   if repr(value) != repr(PARAMETERS[name].setting.default)]
        return f"EchoStateNetwork({', '.join(changed)})"

    def _checked_params(self) -> dict[str, Any]:
        """The parameters as plain Python values; `draw` checks the ranges of its own."""
        return {name: one.checked(getattr(self, name)) for name, one in PARAMETERS.items()}

    def _fitted_inputs(self, name: str, X: Any) -> list[NDArray[Any]]:
        self._check_fitted()
        inputs = _series(name, X, self._reservoir.b.dtype)
        if inputs[0].shape[1] != self.n_features_in_:
            raise ValueError(f"the series has {inputs[0].shape[1]} numbers a step, and the network "
                             f"was fitted with {self.n_features_in_}")
        return inputs

    def _shaped(self, outputs: list[NDArray[Any]], X: Any) -> Any:
        if self._flat:
            outputs = [y[:, 0] for y in outputs]
        return outputs[0] if _is_one_series(X) else outputs


class NotFittedError(ValueError, AttributeError):
    """A network is asked for what it has only after a fit; both, as scikit-learn's."""


def _draw(params: dict[str, Any], inputs: int, fed_back: int) -> Reservoir:
    drawn = ("spectral_radius", "leak_rate", "input_scale", "density", "bias_scale")
    return draw(params["units"], inputs, fed_back, generator(params["seed"]), params["dtype"],
                **{name: params[name] for name in drawn})


def _is_one_series(X: Any) -> bool:
    """Not a list of them, of which at least one must be (T, D)."""
    if isinstance(X, list | tuple):
        return not any(getattr(x, "ndim", 0) == 2 or np.ndim(x) == 2 for x in X)
    return np.ndim(X) != 3


def _series(name: str, X: Any, dtype: Any) -> list[NDArray[Any]]:
    """Each series, (T, D) of one D, of this dtype and finite."""
    one = _is_one_series(X)
    parts = [X] if one else list(X)
    if not parts or np.size(parts[0]) == 0:
        raise ValueError(f"{name} has no steps: give at least one series (T, D)")
    out: list[NDArray[Any]] = []
    for i, part in enumerate(parts):
        what = name if one else f"{name}[{i}]"
        if np.ndim(part) == 1:
            raise ValueError(f"{what} has the shape {np.shape(part)} and must be (T, D): for one "
                             f"number a step give {what}.reshape(-1, 1)")
        array = float_array(what, part, ("T", "D"), dtype)
        _check_finite(what, array)
        if out and array.shape[1] != out[0].shape[1]:
            raise ValueError(f"{what} has {array.shape[1]} numbers a step and {name}[0] "
                             f"{out[0].shape[1]}: all must have as many")
        out.append(array)
    return out


def _targets(
    Y: Any, X: Any, inputs: list[NDArray[Any]], dtype: Any
) -> tuple[list[NDArray[Any]], bool]:
    """Each target (T, K), as long as its series; and whether they came as (T,)."""
    if not _is_one_series(X) and not (isinstance(Y, list | tuple) or np.ndim(Y) == 3):
        raise ValueError(f"X is a list of {len(inputs)} series: give Y as a list of as many "
                         f"targets, not as {type(Y).__name__}")
    parts = [Y] if _is_one_series(X) else list(Y)
    if len(parts) != len(inputs):
        raise ValueError(f"X has {len(inputs)} series and Y {len(parts)}: give a target for each")
    out: list[NDArray[Any]] = []
    for i, (part, u) in enumerate(zip(parts, inputs, strict=True)):
        what = "Y" if len(parts) == 1 else f"Y[{i}]"
        array = np.asarray(part)
        array = float_array(what, array[:, None] if array.ndim == 1 else array, ("T", "K"), dtype)
        _check_finite(what, array)
        if len(array) != len(u):
            raise ValueError(f"{what} has {len(array)} steps and its series {len(u)}: give one "
                             "target for each step")
        if out and array.shape[1] != out[0].shape[1]:
            raise ValueError(f"{what} has {array.shape[1]} numbers a step and Y[0] "
                             f"{out[0].shape[1]}: all must have as many")
        out.append(array)
    return out, np.ndim(parts[0]) == 1


def _check_finite(name: str, array: NDArray[Any]) -> None:
    if not np.isfinite(array).all():
        t, d = map(int, np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} has {array[t, d]} at step {t}: mend or leave out what is not "
                         "finite")
