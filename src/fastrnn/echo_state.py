"""Echo state networks: a recurrent layer that is not trained, and a linear readout that is."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .blas import one_thread
from .reservoir import Reservoir, draw
from .ridge import Ridge
from .validate import choice, dtype_name, float_array, generator, positive_float, positive_int


class EchoStateNetwork:
    """Echo state network (Jaeger 2001) for time series, in scikit-learn's manner.

    A series u of D numbers a step drives a reservoir, a random layer that stays as it is:

        x_t = (1 - a) x_{t-1} + a tanh(Win u_t + W x_{t-1} + b), from x = 0 on,

    and with `feedback` Wfb y_{t-1} inside the tanh, y being the outputs, in `fit` the targets. The
    outputs y_t = Wout [1; u_t; x_t] are fitted by ridge regression in one pass.

    Parameters
    ----------
    units : int
        Numbers of x.
    spectral_radius : float
        Largest absolute eigenvalue of W: below 1 what was long ago is mostly forgotten.
    leak_rate : float
        a, above 0 and at most 1: the smaller, the slower x moves.
    input_scale : float
        Win and Wfb are uniform between -input_scale and input_scale.
    density : float
        Share of the entries of W that are not 0, above 0 and at most 1. A row has about
        density * units of them, uniform numbers before the scaling. Which ones is random in
        pieces (`fastrnn.reservoir`), so that a step takes a fraction of the time.
    bias_scale : float
        b is uniform between -bias_scale and bias_scale.
    feedback : bool
        Whether outputs are fed back into the reservoir.
    ridge : float
        Penalty on the squares of Wout, over all steps that are fitted.
    seed : int or None
        Of NumPy's generator; None: another network with each `fit`.
    dtype : {"float64", "float32"}
        Of states and outputs. W has float32 values in both; ridge regression is in float64.

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

    def __init__(
        self, units: int = 500, spectral_radius: float = 0.9, leak_rate: float = 1.0,
        input_scale: float = 1.0, density: float = 0.1, bias_scale: float = 0.0,
        feedback: bool = False, ridge: float = 1e-6, seed: int | None = 0,
        dtype: str = "float64",
    ) -> None:
        # scikit-learn's convention: kept as they are, checked by fit
        self.units = units
        self.spectral_radius = spectral_radius
        self.leak_rate = leak_rate
        self.input_scale = input_scale
        self.density = density
        self.bias_scale = bias_scale
        self.feedback = feedback
        self.ridge = ridge
        self.seed = seed
        self.dtype = dtype

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
        dtype = choice("dtype", dtype_name(self.dtype), ("float64", "float32"))
        units = positive_int("units", self.units)
        ridge = positive_float("ridge", self.ridge, zero=True)
        positive_int("warmup", warmup, least=0)
        inputs = _series("X", X, dtype)
        targets, flat = _targets(Y, X, inputs, dtype)
        for i, u in enumerate(inputs):
            if len(u) <= warmup:
                raise ValueError(f"series {i} has {len(u)} steps, and the warm-up takes {warmup}: "
                                 "give a longer one, or a smaller warmup")
        D, K = inputs[0].shape[1], targets[0].shape[1]
        reservoir = self._draw(units, D, K if self.feedback else 0, dtype)
        sums = Ridge(1 + D + units, K)
        with one_thread():
            for u, y in zip(inputs, targets, strict=True):
                for start, features in reservoir.features(u, y):
                    skip = max(0, warmup - start)
                    sums.add(features[skip:], y[start + skip : start + len(features)])
            Wout = sums.solve(ridge)
        self._reservoir, self._warmup, self._flat = reservoir, warmup, flat
        self.Wout_ = Wout.astype(dtype)
        return self

    def states(self, X: Any) -> Any:
        """The states that a series leads through, shape (T, units), or a list of them.

        Of a network that has not been fitted those of the reservoir that `fit` would draw, unless
        outputs are fed back.
        """
        fitted = hasattr(self, "Wout_")
        if not fitted and self.feedback:
            raise ValueError("outputs that are fed back need a readout: call fit first")
        dtype = (self._reservoir.b.dtype if fitted
                 else choice("dtype", dtype_name(self.dtype), ("float64", "float32")))
        inputs = _series("X", X, dtype)
        reservoir = self._reservoir if fitted else self._draw(
            positive_int("units", self.units), inputs[0].shape[1], 0, dtype)
        self._check_inputs(inputs, reservoir)
        out = []
        with one_thread():
            for u in inputs:
                states = np.empty((len(u), len(reservoir.b)), u.dtype)
                state, last = reservoir.start()
                reservoir.kernels.run(
                    len(u), state, last, u=u, states=states,
                    Wout=self.Wout_ if reservoir.Wfb.shape[1] else None,
                    threads=reservoir.threads())
                out.append(states)
        return out[0] if _is_array(X) else out

    def predict(self, X: Any) -> Any:
        """The outputs for a series, shape (T, K), or (T,) where the targets were; or a list."""
        inputs = self._fitted_inputs("X", X)
        reservoir = self._reservoir
        outputs = []
        with one_thread():
            for u in inputs:
                if reservoir.Wfb.shape[1]:
                    state, last = reservoir.start()
                    y = reservoir.kernels.run(len(u), state, last, u=u, Wout=self.Wout_)
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
        outputs = []
        with one_thread():
            for u in inputs:
                state, last = self._reservoir.start()[0], np.zeros(K, u.dtype)
                run = self._reservoir.kernels.run
                first = run(len(u), state, last, u=u, Wout=self.Wout_)[-1:]
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
        """Write the fitted network to a ``.safetensors`` file; `load` reads it.

        Raises
        ------
        ValueError
            The network has not been fitted.
        OSError
            The file cannot be written; one that was there is still whole.
        """
        from .checkpoint import write

        self._check_fitted()
        tensors = {"Wout": self.Wout_} | self._reservoir.tensors
        write(path, tensors, {"echo_state_network": {
            "parameters": self.get_params(), "inputs": self.n_features_in_,
            "leak_rate": self._reservoir.leak_rate, "units": len(self.b_),
            "fed_back": self.Wfb_.shape[1], "warmup": self._warmup, "flat": self._flat,
            "dtype": self.b_.dtype.name}})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EchoStateNetwork:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            As `fastrnn.load`.
        """
        from .checkpoint import DAMAGE, damaged, open_file

        tensors, about = open_file(path)
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
        units, D, dtype = about["units"], about["inputs"], about["dtype"]
        reservoir = Reservoir.from_tensors(
            tensors, about["leak_rate"], units, D, about["fed_back"],
            choice("dtype", dtype, ("float64", "float32")))
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
        return self._fitted_reservoir.Win.shape[1]

    @property
    def _fitted_reservoir(self) -> Reservoir:
        if not hasattr(self, "Wout_"):  # AttributeError, as scikit-learn's tests of a fit expect
            raise AttributeError("this network has not been fitted: call fit first")
        return self._reservoir

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "Wout_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(estimator_type="regressor", target_tags=TargetTags(
            required=True, multi_output=True), regressor_tags=RegressorTags(),
            input_tags=InputTags())

    def __repr__(self) -> str:
        changed = [f"{name}={value!r}" for name, value in self.get_params().items()
                   if value is not PARAMETERS[name].default and value != PARAMETERS[name].default]
        return f"EchoStateNetwork({', '.join(changed)})"

    def _draw(self, units: int, inputs: int, fed_back: int, dtype: str) -> Reservoir:
        return draw(units, inputs, fed_back, generator(self.seed), dtype,
                    spectral_radius=self.spectral_radius, leak_rate=self.leak_rate,
                    input_scale=self.input_scale, density=self.density,
                    bias_scale=self.bias_scale)

    def _check_fitted(self) -> None:
        if not hasattr(self, "Wout_"):
            raise ValueError("this network has not been fitted: call fit first")

    def _fitted_inputs(self, name: str, X: Any) -> list[NDArray[Any]]:
        self._check_fitted()
        inputs = _series(name, X, self._reservoir.b.dtype)
        self._check_inputs(inputs, self._reservoir)
        return inputs

    @staticmethod
    def _check_inputs(inputs: list[NDArray[Any]], reservoir: Reservoir) -> None:
        D = reservoir.Win.shape[1]
        if inputs[0].shape[1] != D:
            raise ValueError(f"the series has {inputs[0].shape[1]} numbers a step, and the network "
                             f"was fitted with {D}")

    def _shaped(self, outputs: list[NDArray[Any]], X: Any) -> Any:
        if self._flat:
            outputs = [y[:, 0] for y in outputs]
        return outputs[0] if _is_array(X) else outputs


PARAMETERS = {name: parameter
              for name, parameter in inspect.signature(EchoStateNetwork).parameters.items()}


def _is_array(X: Any) -> bool:
    """Whether this is one series, not a list of them."""
    return not (isinstance(X, list | tuple) and len(X) and all(np.ndim(x) == 2 for x in X)
                or np.ndim(X) == 3)


def _series(name: str, X: Any, dtype: Any) -> list[NDArray[Any]]:
    """Each series, (T, D) of one D, of this dtype and finite."""
    parts = [X] if _is_array(X) else list(X)
    if np.ndim(parts[0]) == 1:
        raise ValueError(f"{name} has the shape {np.shape(parts[0])} and must be (T, D): for one "
                         f"number a step give {name}.reshape(-1, 1)")
    out: list[NDArray[Any]] = []
    for i, part in enumerate(parts):
        what = name if _is_array(X) else f"{name}[{i}]"
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
    parts = [Y] if _is_array(X) else list(Y)
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
