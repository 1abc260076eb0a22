"""What scikit-learn asks of its estimators, for classes that work without it too."""

import copy
import html
import inspect
import warnings
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from .validate import suggestion


class NotFittedError(ValueError, AttributeError):
    """Raised before `fit` where scikit-learn, whose error of this name has the same bases, is not
    installed."""


class Estimator:
    """Base class of estimators in the manner of scikit-learn's.

    The parameters are the arguments of the constructor, which keeps each under its name and checks
    none: `fit` does. `clone`, pipelines, searches and ensembles of scikit-learn then work, and
    nothing here needs it. A subclass says what it is (`_estimator_type`) and whether it is fitted
    (`__sklearn_is_fitted__`).
    """

    _estimator_type: str
    feature_names_in_: NDArray[Any]

    @property
    def n_features_in_(self) -> int:
        """The number of features of the X of `fit`."""
        raise NotImplementedError

    def __sklearn_is_fitted__(self) -> bool:
        raise NotImplementedError

    # ---- parameters ----

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; `deep` changes nothing."""
        return {name: getattr(self, name) for name in _defaults(type(self))}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, which count from the next `fit` on, and return the estimator. An
        unknown name raises ValueError, and nothing is set."""
        known = _defaults(type(self))
        for name in params:
            if name not in known:
                hint = suggestion(name, known)
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}. Valid "
                                 f"parameters are: {list(known)}{hint and ': '}{hint}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = _defaults(type(self))
        changed = [f"{name}={value!r}" for name, value in self.get_params().items()
                   if repr(value) != repr(defaults[name])]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _repr_html_(self) -> str:
        """How a notebook shows the estimator: as scikit-learn does, or a table of parameters."""
        try:
            from sklearn.utils import estimator_html_repr
        except ImportError:
            rows = "".join(f"<tr><td>{name}</td><td>{html.escape(repr(value))}</td></tr>"
                           for name, value in self.get_params().items())
            return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"
        return str(estimator_html_repr(self))

    # ---- whether it is fitted, and with which features ----

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise_not_fitted(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                             "with appropriate arguments before using this estimator.")

    def _check_feature_count(self, count: int, name: str = "X") -> None:
        if count != self.n_features_in_:
            raise ValueError(f"{name} has {count} features, but {type(self).__name__} is expecting "
                             f"{self.n_features_in_} features as input")

    def _keep_feature_names(self, X: Any) -> None:
        """Set `feature_names_in_` to the names of the columns in `fit`, if they have any."""
        names = _names_of_all(X)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _check_feature_names(self, X: Any) -> None:
        """Raise ValueError for other columns than those of `fit`, or for the same in another order;
        warn where only one of them has names."""
        fitted, given = getattr(self, "feature_names_in_", None), _names_of_all(X)
        name = type(self).__name__
        if fitted is None and given is not None:
            warnings.warn(f"X has feature names, but {name} was fitted without feature "
                          "names", UserWarning, stacklevel=4)
        elif fitted is not None and given is None:
            warnings.warn(f"X does not have valid feature names, but {name} was fitted with "
                          "feature names", UserWarning, stacklevel=4)
        elif fitted is not None and given is not None and list(fitted) != list(given):
            raise ValueError(_other_names(list(fitted), list(given)))

    # ---- what only scikit-learn asks ----

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags
        regressor = self._estimator_type == "regressor"
        params = self.get_params()
        return Tags(estimator_type=self._estimator_type, input_tags=InputTags(),
                    non_deterministic=params.get("seed") is params.get("random_state") is None,
                    target_tags=TargetTags(required=True, multi_output=regressor),
                    regressor_tags=RegressorTags() if regressor else None,
                    classifier_tags=None if regressor else ClassifierTags())

    def get_metadata_routing(self) -> Any:
        """The arguments that scikit-learn's pipelines, searches and ensembles pass on, as its
        `MetadataRequest`; by default none are."""
        from sklearn.utils.metadata_routing import MetadataRequest
        kept = getattr(self, "_metadata_request", None)
        if kept is not None:
            return copy.deepcopy(kept)
        routing = MetadataRequest(owner=type(self).__name__)
        for method in ("fit", "partial_fit", "predict", "predict_proba", "score"):
            for name in _metadata(getattr(type(self), method, None)):
                getattr(routing, method).add_request(param=name, alias=None)
        return routing

    def set_fit_request(self, **requests: bool | str | None) -> Self:
        """Say which arguments of `fit` scikit-learn's metadata routing passes on, by name: True,
        False, None (an error where it is given) or the name under which it is given."""
        return self._set_request("fit", requests)

    def set_predict_request(self, **requests: bool | str | None) -> Self:
        """As `set_fit_request`, for `predict`."""
        return self._set_request("predict", requests)

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """As `set_fit_request`, for `score`."""
        return self._set_request("score", requests)

    def _set_request(self, method: str, requests: dict[str, Any]) -> Self:
        from sklearn import get_config
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError("This method is only available when metadata routing is enabled. "
                               "You can enable it using "
                               "sklearn.set_config(enable_metadata_routing=True).")
        routing, known = self.get_metadata_routing(), _metadata(getattr(type(self), method))
        for name, alias in requests.items():
            if name not in known:
                raise TypeError(f"Unexpected args: {name!r} in {method}. Accepted arguments are: "
                                f"{known}")
            if alias != "$UNCHANGED$":
                getattr(routing, method).add_request(param=name, alias=alias)
        self._metadata_request = routing
        return self


def raise_not_fitted(message: str) -> NoReturn:
    """Raise scikit-learn's NotFittedError, or where it is not installed the one of this file."""
    try:
        from sklearn.exceptions import NotFittedError as Error
    except ImportError:
        Error = NotFittedError
    raise Error(message)


def r2(y: NDArray[Any], found: NDArray[Any], weights: NDArray[Any]) -> float:
    """The coefficient of determination of outputs (n, K) with weights (n,), the mean over those of
    the K outputs that have known targets; NaN in y is not known."""
    if len(y) < 2:  # noqa: PLR2004
        warnings.warn("R^2 score is not well-defined with less than two samples.", UserWarning,
                      stacklevel=3)
        return float("nan")
    by = weights[:, None] * ~np.isnan(y)  # (n, K)
    counted = by.any(axis=0)
    if not counted.any():
        raise ValueError("y has no known target at the steps that count: there is nothing to score")
    by = by[:, counted]
    y, found = (np.where(by > 0, part[:, counted], 0) for part in (y, found))
    mean = (by * y).sum(axis=0) / by.sum(axis=0)
    left, spread = ((by * (y - other) ** 2).sum(axis=0) for other in (found, mean))
    ratio = np.divide(left, spread, out=(left > 0).astype(float), where=spread > 0)
    return float(1 - ratio.mean())


def as_numbers(name: str, X: Any) -> Any:
    """X, which may be anything that makes an array, with what scikit-learn's users give beside
    arrays of numbers: objects that are numbers become float64, and sparse and complex arrays are
    refused in its words. The elements of a list of arrays are for the caller."""
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError(f"Sparse data was passed for {name}, but dense data is required: give "
                        f"{name}.toarray()")
    if np.ma.isMaskedArray(X) or (isinstance(X, list | tuple) and any(map(np.ma.isMaskedArray, X))):
        return X  # np.asarray would drop the mask
    try:
        array = np.asarray(X)
    except ValueError:  # rows of different lengths, which read_array explains
        return X
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must be an array of real, not of "
                         "complex numbers: convert it first")
    if array.dtype.kind != "O":
        return array
    try:
        return np.array([float(one) for one in array.flat]).reshape(array.shape)
    except TypeError as error:
        raise TypeError(f"{name} must be an array of numbers, and not of objects of other types: "
                        f"convert it first ({error})") from None


def feature_names(X: Any) -> NDArray[Any] | None:
    """The names of the columns of a table (of pandas, polars, pyarrow or another library), or None
    where there are none; TypeError where only some are strings."""
    columns = getattr(X, "columns", None)
    if columns is None or callable(columns):
        return None
    # those of pyarrow are the columns themselves
    names = list(X.column_names if hasattr(X, "column_names") and hasattr(X, "schema") else columns)
    strings = [isinstance(name, str) for name in names]
    if any(strings) and not all(strings):
        kinds = sorted({type(name).__name__ for name in names})
        raise TypeError("Feature names are only supported if all input features have string names, "
                        f"but your input has {kinds} as feature name / column name types. If you "
                        "want feature names to be stored and validated, you must convert them all "
                        "to strings, by using X.columns = X.columns.astype(str) for example. "
                        "Otherwise you can remove feature / column names from your input data, or "
                        "convert them all to a non-string data type.")
    return np.array(names, object) if names and all(strings) else None


def _names_of_all(X: Any) -> NDArray[Any] | None:
    """The names of the columns of X, or of all frames of a list, which must be the same."""
    if not isinstance(X, list | tuple):
        return feature_names(X)
    found = [names for names in map(feature_names, X) if names is not None]
    for i, names in enumerate(found):
        if list(names) != list(found[0]):
            raise ValueError(f"X[{i}]: " + _other_names(list(found[0]), list(names)))
    return found[0] if found and len(found) == len(X) else None


def _other_names(fitted: list[str], given: list[str]) -> str:
    """The error for other names than those of `fit`."""
    lines = ["The feature names should match those that were passed during fit."]
    unseen, missing = sorted({*given} - {*fitted}), sorted({*fitted} - {*given})
    for what, names in (("Feature names unseen at fit time", unseen),
                        ("Feature names seen at fit time, yet now missing", missing)):
        if names:
            lines += [f"{what}:", *(f"- {name}" for name in names[:5])] + ["- ..."] * (
                len(names) > 5)  # noqa: PLR2004
    if not unseen and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
    return "\n".join(lines) + "\n"


def _defaults(cls: type) -> dict[str, Any]:
    """The parameters of the constructor with their defaults."""
    return {name: p.default for name, p in inspect.signature(cls).parameters.items()}


def _metadata(method: Any) -> list[str]:
    """The arguments of a method that are neither features nor targets."""
    names = list(inspect.signature(method).parameters) if method else []
    return [name for name in names[2:] if name not in ("y", "Y")]
