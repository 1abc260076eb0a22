"""Regression and classification of series with scikit-learn's methods, around `fastrnn.train`."""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .data.sequences import Sequences
from .data.series import Series, read_labels, read_numbers, read_series, read_weights
from .estimator import Estimator, r2
from .model.model import Model
from .settings import ClassifierSettings, RegressorSettings, SequenceSettings, declared, documented
from .train import train

WARMUP = 20  # updates in which the learning rate rises, at most
SEVERAL = 4  # updates in an epoch, at least
FEW = 3  # steps of series that nobody forecasts
Numbers = NDArray[Any]


class _SequenceEstimator(SequenceSettings, Estimator):
    """What regressor and classifier share: a model is trained, and read at steps or ends."""

    model_: Model
    _at_steps: bool  # there is a target at each step
    _shape: tuple[int, int, bool]  # D, features, whether X was a table

    @property
    def n_features_in_(self) -> int:
        self._check_fitted()
        return self._shape[1]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.non_deterministic = self.random_state is None
        return tags

    def _read(self, X: Any) -> Series:
        """The series of X as those of `fit`; ValueError for others."""
        self._check_fitted()
        self._check_feature_names(X)
        series, (D, _, table) = read_series(X, type(self).__name__), self._shape
        if table and series.table or series.numbers.shape[2] != D:
            self._check_feature_count(series.features)
        return series

    def _fit(self, X: Any, series: Series, targets: Numbers, known: Numbers,
             weights: NDArray[np.float64] | None, params: dict[str, Any], **more: Any) -> None:
        """Train a model on targets (N, T, ...) where they are `known` (N, T)."""
        rows = known.any(axis=1) & (weights is None or weights > 0)
        if not rows.any():
            raise ValueError("no target is known of a series whose weight is above 0")
        N, T = known[rows].shape
        steps = None if weights is None else np.repeat(weights[rows, None], T, axis=1)
        source = Sequences(series.numbers[rows], targets[rows], known[rows], series.lengths[rows],
                           weights=steps, name="the series", **more)
        model = train(source, **_plan(params, source, self._at_steps))
        self._keep_feature_names(X)
        self._shape = series.numbers.shape[2], series.features, series.table
        self.model_ = model
        if model.history.stopped == "interrupted":  # the model so far is kept, a search ends
            raise KeyboardInterrupt

    def _outputs(self, series: Series) -> Numbers:
        """Predictions (N, T, K) at all steps, NaN in padding."""
        N, T, _ = series.numbers.shape
        K = self.model_.sizes.output_size
        nothing = np.zeros((N, T, K)) if K else np.zeros((N, T), np.int64)
        return self.model_.predict(Sequences(series.numbers, nothing, lengths=series.lengths))


def _plan(params: dict[str, Any], source: Sequences, at_steps: bool) -> dict[str, Any]:
    """The keywords of `train`, for these parameters."""
    same = ("cell", "hidden_size", "num_layers", "dropout", "learning_rate", "scale", "threads",
            "dtype", "progress")
    plan = {name: params[name] for name in same} | {
        "preset": "classic", "optimizer": "adam", "schedule": "cosine", "clip_value": None,
        "clip_norm": 1.0, "seed": params["random_state"]}
    T, held, n = params["seq_length"], 0.0, len(source)
    windows = at_steps and T is not None and T < source.mask.shape[1]
    if params["early_stopping"]:
        held = params["validation_fraction"]
        count = round(n * held)
        if not windows and not 0 < count < n:
            raise ValueError(f"validation_fraction={held:g} is {count} of {n} series: give a "
                             "fraction that holds out at least one and leaves one, or "
                             "early_stopping=False")
        plan |= {"valid_fraction": held, "patience": params["patience"]}
        n -= 0 if windows else count
    if windows:
        plan["seq_length"] = T
        n = int((-(-(source.ends - np.rint(source.ends * held).astype(int)) // T)).sum())
    plan["batch_size"] = max(1, min(params["batch_size"], n // SEVERAL))
    if params["minutes"]:
        return plan | {"minutes": params["minutes"], "warmup": WARMUP}
    epochs = params["epochs"] or 1
    return plan | {"epochs": epochs,
                   "warmup": min(WARMUP, epochs * -(-n // plan["batch_size"]) // 10)}


def _checked(estimator: Any, settings: type) -> dict[str, Any]:
    """The parameters of an estimator, checked."""
    return {name: one.checked(getattr(estimator, name))
            for name, one in declared(settings).items()}


@documented(RegressorSettings)
class SequenceRegressor(RegressorSettings, _SequenceEstimator):
    """A recurrent network that predicts numbers for series, or forecasts them, with the methods of
    scikit-learn's regressors.

    X is a list of series (T_i, D), or (T_i,) of one number a step; an array (n, T, D); or a table
    (n, T), in which each row is a series of T steps with one number each. So one series (T, D) is
    ``[series]``. Tables of pandas, polars and pyarrow are taken as arrays are.

    Parameters
    ----------
    **settings
        `RegressorSettings`.

    Attributes
    ----------
    model_ : Model
        The trained network.
    n_features_in_ : int
        Columns of a table X, else the D numbers of a step.
    feature_names_in_ : ndarray of str
        The names of the columns of X, where they have any.

    Notes
    -----
    Searches and cross-validation of scikit-learn take X in all its forms, and `score` any targets.
    Its scorers by name ("r2") take targets at the ends alone, one or K of each series. For targets
    at each step leave ``scoring`` out, or pool the steps of all series:

    >>> def scoring(model, X, y):
    ...     return -mean_absolute_error(np.concatenate(y), np.concatenate(model.predict(X)))

    For forecasts without y leave ``scoring`` out too.
    """

    _estimator_type = "regressor"

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train a network, and return the estimator.

        Parameters
        ----------
        X : list of series, or array
        y : array_like, optional
            Numbers (n,) or (n, K) at the ends of the series; or at each step an array (n, T, K), or
            a list of arrays (T_i, K) or (T_i,). NaN is not known: the step is read and does not
            count. None: the next `horizon` steps of the series themselves.
        sample_weight : array_like, shape (n,), optional
            The weight of each series, 0 or more.

        Raises
        ------
        ValueError, TypeError
            NaN in X, X and y that do not fit together, a horizon that no series is longer than, or
            a parameter outside its range.
        """
        name, params = type(self).__name__, _checked(self, RegressorSettings)
        series = read_series(X, name)
        weights = read_weights(sample_weight, series)
        N, T = series.inside.shape
        if y is None and series.table and T <= FEW < N:
            warnings.warn(f"X of shape {(N, T)} is read as {N} series of {T} steps, one number "
                          f"each: if it is one series of {N} steps give [X]", UserWarning,
                          stacklevel=2)
        targets, at_steps, flat = (self._next(series, params["horizon"]) if y is None else
                                   read_numbers(y, series, name))
        if not at_steps:
            ends, targets = targets, np.full((*series.inside.shape, targets.shape[1]), np.nan)
            targets[np.arange(len(series)), series.lengths - 1] = ends
        self._at_steps, self._flat, self._forecasts = at_steps, flat, y is None
        known = np.asarray(~np.isnan(targets).all(axis=2))
        self._fit(X, series, targets, known, weights, params,
                  horizon=params["horizon"] if y is None else 1)
        return self

    def predict(self, X: Any) -> Any:
        """Numbers of the shape of y: at the ends of the series, or at their steps (of a list a
        list). After ``fit(X)`` without y the forecast of the `horizon` steps after the end of each,
        (n, horizon, D), or (n, horizon) of series of single numbers.

        Raises
        ------
        ValueError, TypeError
            No `fit` before, or series that `fit` would refuse or of another D.
        """
        series = self._read(X)
        found = self._outputs(series)
        if self._forecasts:
            ahead = series.at_ends(found).reshape(len(series), -1, self._shape[0])
            return ahead[:, :, 0] if self._flat else ahead
        found = found[:, :, 0] if self._flat else found
        return series.as_given(found) if self._at_steps else series.at_ends(found)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The coefficient of determination R^2, the mean over the outputs: 1 is perfect, 0 as good
        as the mean of y. Targets at steps are pooled over all series, and unknown ones (NaN) do not
        count; without y the forecasts at all steps of X are compared with what follows.

        Raises
        ------
        ValueError, TypeError
            As `fit` and `predict`; targets that are not of the kind of those of `fit`.
        """
        series = self._read(X)
        weights = read_weights(sample_weight, series)
        if (y is None) != self._forecasts:
            raise ValueError(f"{type(self).__name__} was fitted "
                             f"{'with' if y is None else 'without'} y: give score the same")
        D = self._shape[0]
        targets, at_steps, _ = (
            self._next(series, self.model_.sizes.output_size // D) if y is None else
            read_numbers(y, series, type(self).__name__))
        found = self._outputs(series)
        if at_steps != self._at_steps or targets.shape[-1] != found.shape[-1]:
            raise ValueError("y must have as many numbers at the same places as in fit")
        found = found if at_steps else series.at_ends(found)
        by = np.ones(len(series)) if weights is None else weights
        if at_steps:
            by = np.repeat(by, found.shape[1])
        K = found.shape[-1]
        return r2(targets.reshape(-1, K).astype(float), found.reshape(-1, K), by)

    @staticmethod
    def _next(series: Series, horizon: int) -> tuple[Numbers, bool, bool]:
        """The next `horizon` steps of each step (N, T, horizon D), NaN after the end."""
        N, T, D = series.numbers.shape
        if horizon >= T:
            raise ValueError(f"horizon={horizon} needs a series of more than {horizon} steps, and "
                             f"the longest has {T}: give longer series or a shorter horizon")
        whole = np.where(series.inside[:, :, None], series.numbers, np.nan)
        ahead = np.full((N, T, horizon, D), np.nan, whole.dtype)
        for h in range(horizon):
            ahead[:, : T - h - 1, h] = whole[:, h + 1 :]
        return ahead.reshape(N, T, -1), True, series.flat

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags


@documented(ClassifierSettings)
class SequenceClassifier(ClassifierSettings, _SequenceEstimator):
    """A recurrent network that tells the class of series, or of their steps, with the methods of
    scikit-learn's classifiers. X is as for `SequenceRegressor`.

    Parameters
    ----------
    **settings
        `ClassifierSettings`.

    Attributes
    ----------
    model_ : Model
        The trained network, which predicts the index of a class in `classes_`.
    classes_ : ndarray, shape (C,)
        The distinct labels, in order.
    n_features_in_ : int
        Columns of a table X, else the D numbers of a step.
    feature_names_in_ : ndarray of str
        The names of the columns of X, where they have any.

    Notes
    -----
    As for `SequenceRegressor`, scikit-learn's scorers by name ("accuracy", "neg_log_loss") take a
    label of each series. For labels of each step leave ``scoring`` out, or pool the steps:

    >>> def scoring(model, X, y):
    ...     return f1_score(np.concatenate(y), np.concatenate(model.predict(X)), average="macro")
    """

    _estimator_type = "classifier"
    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a network, and return the estimator.

        Parameters
        ----------
        X : list of series, or array
        y : array_like
            A label, str or whole number, of each series (n,); or of each step, an array (n, T) or a
            list of arrays (T_i,).
        sample_weight : array_like, shape (n,), optional
            The weight of each series, 0 or more.

        Raises
        ------
        ValueError, TypeError
            NaN in X, X and y that do not fit together, fewer than two classes, a class_weight of a
            class that there is not, or a parameter outside its range.
        """
        name, params = type(self).__name__, _checked(self, ClassifierSettings)
        series = read_series(X, name)
        weights = read_weights(sample_weight, series)
        classes, index, at_steps = read_labels(y, series, name)
        known = series.inside
        if not at_steps:
            known = np.arange(known.shape[1]) == series.lengths[:, None] - 1
            index = np.where(known, index[:, None], 0)
        self._at_steps = at_steps
        self._fit(X, series, index, known, weights, params, symbols=len(classes),
                  class_weights=_by_index(params["class_weight"], classes))
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, (n, C) at the ends of the series, or (n, T, C) at their
        steps (of a list a list of (T_i, C)), in the order of `classes_`.

        Raises
        ------
        ValueError, TypeError
            As `predict`.
        """
        series = self._read(X)
        found = self._outputs(series).astype(np.float64)
        found = found if self._at_steps else series.at_ends(found)
        found /= found.sum(axis=-1, keepdims=True)
        return series.as_given(found) if self._at_steps else found

    def predict_log_proba(self, X: Any) -> Any:
        """The natural logarithms of `predict_proba`, of the same shapes.

        Raises
        ------
        ValueError, TypeError
            As `predict`.
        """
        found = self.predict_proba(X)
        with np.errstate(divide="ignore"):  # a probability that is 0 to rounding
            return [np.log(p) for p in found] if isinstance(found, list) else np.log(found)

    def predict(self, X: Any) -> Any:
        """The likeliest class of each series (n,), or of each of its steps, (n, T) or a list.

        Raises
        ------
        ValueError, TypeError
            No `fit` before, or series that `fit` would refuse or of another D.
        """
        found = self.predict_proba(X)
        if isinstance(found, list):
            return [self.classes_[part.argmax(axis=-1)] for part in found]
        return self.classes_[found.argmax(axis=-1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy: the fraction of series, or of all their steps, whose class is right.

        Raises
        ------
        ValueError, TypeError
            As `predict`; targets of another number.
        """
        series, found = self._read(X), self.predict(X)
        weights = read_weights(sample_weight, series)
        by = np.ones(len(series)) if weights is None else weights
        if len(y) != len(series):
            raise ValueError("Found input variables with inconsistent numbers of samples: "
                             f"[{len(series)}, {len(y)}]")
        if not self._at_steps:
            return float(np.average(np.asarray(y).reshape(-1) == found, weights=by))
        right = [np.asarray(part) == other for part, other in zip(y, found, strict=True)]
        return float(np.average(np.concatenate(right), weights=np.repeat(by, series.lengths)))


def _by_index(given: Any, classes: NDArray[Any]) -> Any:
    """class_weight with the index of each class in place of its label."""
    if not isinstance(given, dict):
        return given
    place = {label: i for i, label in enumerate(classes.tolist())}
    for label in given:
        if label not in place:
            raise ValueError(f"class_weight names {label!r}, and the classes are {list(place)}")
    return {place[label]: weight for label, weight in given.items()}
