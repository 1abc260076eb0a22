"""Echo state networks: a recurrent layer that is not trained, and a linear readout that is."""

import os
import warnings
from typing import Any

from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..files.store import DAMAGE, damaged, read, write
from ..kernels.blas import one_thread
from ..settings import EchoSettings, documented
from ..validate import boolean
from .fitted import Fitted
from .fitting import Fitting, drawn, generator_of
from .predicting import Predicting
from .reservoir import Reservoir
from .series import Arrays, is_one_series, read_series, read_targets, read_weights
from .storing import PARAMETERS, checked_params, restored, stored


@documented(EchoSettings)
class EchoStateNetwork(EchoSettings, Predicting):
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
    _fitting: Fitting | None = None  # of partial_fit

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
        params = checked_params(self)
        if warmup is not None:
            warnings.warn("fit(warmup=) is deprecated: give EchoStateNetwork(warmup=), a parameter "
                          "like the others", FutureWarning, stacklevel=2)
            params["warmup"] = PARAMETERS["warmup"].checked(warmup)
        inputs = read_series("X", X, params["dtype"])
        targets, flat = read_targets(y if Y is None else Y, X, inputs, params["dtype"])
        weights = read_weights(sample_weight, X, inputs)
        fitting = Fitting(params, inputs, targets[0].shape[1], flat)
        with one_thread():
            for u, goal, w, left_out in zip(inputs, targets, weights, _left_out(params, inputs),
                                            strict=True):
                fitting.begin(left_out)
                fitting.add(u, goal, w)
            fit = fitting.fitted()
        self._keep_feature_names(X)
        self._fit, self._fitting = fit, None
        self.reset()
        return self

    def partial_fit(self, X: Any, y: Any = None, *, sample_weight: Any = None,
                    new_series: bool = False) -> "EchoStateNetwork":
        """Fit on a block of a series, together with the blocks before it, and return the network.

        The blocks of a series, one call after the other, give what `fit` gives on the whole: the
        state goes on from block to block, the warm-up is left out once, and the sums of the
        regression are kept, so that no block is read again. The first call draws the reservoir; the
        parameters are those of that time. Before a step behind the warm-up has been read, the
        network is not fitted yet. With ``ridge="auto"`` each call chooses the ridge anew, which
        takes much longer than to read a short block.

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
            As `fit`; a list of series, or other numbers of inputs or outputs than before.

        Warns
        -----
        UserWarning
            The network comes from `fit` or `load`, which keep no sums: the fit begins anew.
        """
        fitting = self._fitting
        if fitting is None and self.__sklearn_is_fitted__():
            warnings.warn("partial_fit goes on from its own calls alone, since fit and load "
                          "keep no sums: it begins anew", UserWarning, stacklevel=2)
        params = checked_params(self) if fitting is None else fitting.params
        if not is_one_series(X):
            raise ValueError("partial_fit takes one series, not a list: give one after the other, "
                             "each with new_series=True")
        inputs = read_series("X", X, params["dtype"])
        (goal,), flat = read_targets(y, X, inputs, params["dtype"])
        weights = read_weights(sample_weight, X, inputs, zero=True)[0]
        if fitting is None:
            fitting = Fitting(params, inputs, goal.shape[1], flat)
            self._keep_feature_names(X)
            self._fit, self._fitting = None, fitting
            self.reset()
        self._check_feature_names(X)
        self._check_feature_count(inputs[0].shape[1])
        if goal.shape[1] != fitting.K:
            raise ValueError(f"y has {goal.shape[1]} numbers a step, and the blocks before "
                             f"{fitting.K}")
        if boolean("new_series", new_series):
            fitting.begin(params["warmup"])
        with one_thread():
            fitting.add(inputs[0], goal, weights)
            if fitting.sums.determined:
                self._fit = fitting.fitted()
                self.step_state = self.step_state  # goes on with this readout
        return self

    def set_partial_fit_request(self, **requests: bool | str | None) -> "EchoStateNetwork":
        """As `set_fit_request`, for `partial_fit`."""
        return self._set_request("partial_fit", requests)

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
        tensors, about = stored(self._fitted, self.step_state if step_state else None)
        write(path, tensors, {"echo_state_network": about}, overwrite=overwrite)

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
            settings, fit = restored(tensors, about["echo_state_network"])
            network = cls(**settings)
            network._fit = fit
            network.step_state = tensors.get("step_state")
        except DAMAGE as error:
            raise damaged(path, error) from None
        return network

    @property
    def W_(self) -> csr_array:
        return self._fitted.reservoir.W

    @property
    def Win_(self) -> NDArray[Any]:
        return self._fitted.reservoir.Win

    @property
    def b_(self) -> NDArray[Any]:
        return self._fitted.reservoir.b

    @property
    def Wfb_(self) -> NDArray[Any]:
        return self._fitted.reservoir.Wfb

    @property
    def Wout_(self) -> NDArray[Any]:
        return self._fitted.Wout

    @Wout_.setter
    def Wout_(self, Wout: NDArray[Any]) -> None:
        self._fitted.Wout = Wout

    @property
    def ridge_(self) -> float:
        return self._fitted.ridge

    @property
    def n_features_in_(self) -> int:
        begun = self._fitting  # perhaps within the warm-up
        return int((self._fitted if begun is None else begun).reservoir.Win.shape[1])

    @property
    def _fitted(self) -> Fitted:
        self._check_fitted()
        assert self._fit is not None
        return self._fit

    def _drawn(self, X: Any) -> tuple[Arrays, Reservoir]:
        params = checked_params(self)
        inputs = read_series("X", X, params["dtype"])
        return inputs, drawn(params, generator_of(params), inputs[0].shape[1], 0)

    def __sklearn_is_fitted__(self) -> bool:
        return self._fit is not None


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
