"""Series as scikit-learn's tools give them, side by side in one array."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimator import feature_names
from ..validate import read_masked

Numbers = NDArray[Any]
TABLE, CUBE = 2, 3  # axes of an array with a series in each row, of one number a step or of several


@dataclass(frozen=True)
class Series:
    """N series of at most T steps with D numbers each.

    Attributes
    ----------
    numbers : ndarray, shape (N, T, D)
        0 in padding.
    lengths : int64 ndarray, shape (N,)
    listed : bool
        Whether they came as a list, so that predictions for their steps are a list too.
    table : bool
        Whether they came as a table (N, T), whose columns are scikit-learn's features.
    flat : bool
        Whether their steps were single numbers, without an axis of their own.
    """

    numbers: Numbers
    lengths: NDArray[np.int64]
    listed: bool
    table: bool
    flat: bool

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def features(self) -> int:
        """What scikit-learn calls features: columns of a table, else the D numbers of a step."""
        return int(self.numbers.shape[1 if self.table else 2])

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which steps (N, T) are no padding."""
        return np.asarray(np.arange(self.numbers.shape[1]) < self.lengths[:, None])

    def at_ends(self, values: Numbers) -> Numbers:
        """The last step of each series, of values (N, T, ...)."""
        return values[np.arange(len(self)), self.lengths - 1]

    def as_given(self, values: Numbers) -> Any:
        """Values (N, T, ...) of all steps, as a list of (T, ...) where the series came so."""
        if not self.listed:
            return values
        return [part[:length] for part, length in zip(values, self.lengths, strict=True)]


def read_series(X: Any, who: str) -> Series:
    """The X of an estimator, checked. `who` is the estimator's name, for messages in the words of
    scikit-learn; ValueError or TypeError for what is no series."""
    if hasattr(X, "toarray"):
        raise TypeError(f"Sparse data was passed for X, but dense data is required by {who}: give "
                        "X.toarray()")
    if is_list(X):
        return _side_by_side([_one(f"X[{i}]", x, (1, 2)) for i, x in enumerate(X)], who)
    array = _one("X", X, (TABLE, CUBE))
    kinds = ("sample(s)", "feature(s)" if array.ndim == TABLE else "step(s)", "feature(s)")
    for size, what in zip(array.shape, kinds, strict=False):
        if size == 0:
            raise ValueError(f"Found array with 0 {what} (shape={array.shape}) while a minimum of "
                             f"1 is required by {who}.")
    flat = array.ndim == TABLE
    return Series(array[:, :, None] if flat else array, np.full(len(array), array.shape[1]), False,
                  flat, flat)


def is_list(values: Any) -> bool:
    """Whether these are a list of series, and no array in the form of nested lists."""
    if isinstance(values, np.ndarray):
        return values.dtype == object and values.ndim == 1 and any(
            getattr(value, "shape", ()) or isinstance(value, list) for value in values)
    if not isinstance(values, list | tuple):
        return False
    if any(getattr(value, "shape", ()) or _is_lazy(value) for value in values):
        return True
    return len({len(value) if isinstance(value, list | tuple) else None for value in values}) > 1


def _one(name: str, value: Any, axes: tuple[int, int]) -> Numbers:
    """Finite numbers with so many axes, as float32 or float64."""
    array, hidden = _numbers(name, value)
    if array.ndim not in axes:
        wanted = ("2D array (n_samples, n_steps), or a 3D array (n_samples, n_steps, n_features)"
                  if axes == (TABLE, CUBE) else "1D array (n_steps,) or a 2D array (n_steps, "
                  "n_features)")
        advice = ("Reshape your data: X.reshape(1, -1) if it is one series of one number a step."
                  if array.ndim == 1 else "")
        raise ValueError(f"Expected {wanted}, got an array of shape {array.shape} as {name}. "
                         f"{advice}")
    if hidden is not None:
        raise ValueError(f"{name} has masked entries, whose values are not known: fill them, as "
                         f"{name}.filled(0) does")
    if not np.isfinite(array).all():
        what = ("NaN" if np.isnan(array).any() else
                f"infinity or a value too large for {array.dtype}")
        place = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise ValueError(f"Input {name} contains {what}, at {place}: mend or leave out what is not "
                         "finite.")
    return array


def _numbers(name: str, value: Any) -> tuple[Numbers, NDArray[np.bool_] | None]:
    """Floats, also from bool, whole numbers and objects that are numbers; and what is masked."""
    if _is_lazy(value):
        raise TypeError(f"{name} is a table that is not read yet: give {name}.collect()")
    try:
        plain = value if np.ma.isMaskedArray(value) else np.asarray(value)
    except ValueError as error:  # nested lists of different lengths
        raise ValueError(f"{name} has rows of different lengths: give a list of NumPy arrays, one "
                         "for each series") from error
    if plain.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must be real numbers")
    if plain.dtype.kind in "OUS":
        try:
            plain = _as_floats(plain)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name} must be numbers, and {_no_numbers(value, plain)}: {error}"
                       ) from None
    array, hidden = read_masked(name, plain)
    return (array if array.dtype.kind == "f" else array.astype(np.float64)), hidden


def _is_lazy(value: Any) -> bool:
    """Whether it is a table of polars that is not read yet."""
    return hasattr(value, "collect") and not hasattr(value, "__len__")


def _as_floats(array: Numbers) -> Numbers:
    """Objects or texts that are numbers, and pandas' NA, as float64."""
    if array.dtype.kind == "O":
        missing = [type(value).__name__ == "NAType" for value in array.flat]
        array = np.where(np.reshape(missing, array.shape), np.nan, array)
    return array.astype(np.float64)


def _no_numbers(value: Any, array: Numbers) -> str:
    """What is no number, with the names of the columns of a table that have such."""
    names, wrong = feature_names(value), []
    for column, name in zip(array.T if array.ndim == TABLE else (), () if names is None else names,
                            strict=False):
        try:
            _as_floats(column)
        except (TypeError, ValueError):
            wrong.append(str(name))
    if not wrong:
        return f"has {array.dtype.name} that are none"
    return (f"its column {wrong[0]} is none, leave it out" if len(wrong) == 1 else
            f"its columns {', '.join(wrong)} are none, leave them out")


def _side_by_side(parts: list[Numbers], who: str) -> Series:
    """A list of series (T, D) or (T,) as one padded array."""
    flat = all(part.ndim == 1 for part in parts)
    columns = [part[:, None] if part.ndim == 1 else part for part in parts]
    D = columns[0].shape[1]
    for i, part in enumerate(columns):
        if part.shape[1] != D:
            raise ValueError(f"X[{i}] has {part.shape[1]} features and X[0] {D}: all series must "
                             "have as many")
        if not part.size:
            raise ValueError(f"Found array with 0 step(s) or feature(s) (shape={parts[i].shape}) "
                             f"as X[{i}] while a minimum of 1 is required by {who}.")
    return Series(padded(columns, 0.0), np.array([len(part) for part in columns]), True, False,
                  flat)


def padded(parts: list[Any], filler: Any) -> NDArray[Any]:
    """Arrays (T, ...) of different T as one (N, T, ...), filled up."""
    T = max(map(len, parts))
    whole = np.full((len(parts), T, *parts[0].shape[1:]), filler, np.result_type(*parts))
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return whole


def read_numbers(y: Any, series: Series, who: str) -> tuple[Numbers, bool, bool]:
    """The targets of a regressor: numbers (N, K) at the ends of the series, or (N, T, K) at their
    steps, NaN in padding and where they are not known; whether they are at the steps; and whether
    they came without the axis of the K."""
    _check_count(y, series, who)
    if is_list(y):
        parts = [_targets(f"y[{i}]", part) for i, part in enumerate(y)]
        at_steps = not series.table and all(len(part) == length and part.ndim in (1, TABLE) for
                                            part, length in zip(parts, series.lengths, strict=True))
        if not at_steps:
            if len({part.shape for part in parts}) > 1:
                raise ValueError(_other_steps(parts, series))
            return np.stack(parts), False, False
        flat = parts[0].ndim == 1
        columns = [part[:, None] if flat else part for part in parts]
        if len({part.shape[1:] for part in columns}) > 1:
            raise ValueError("y must have as many numbers at each step in all series")
        return padded(columns, np.nan), True, flat
    array = _targets("y", y)
    if array.ndim == CUBE:
        if array.shape[1] != series.numbers.shape[1]:
            raise ValueError(f"y has {array.shape[1]} steps and X {series.numbers.shape[1]}: give "
                             "one target for each step")
        return np.where(series.inside[:, :, None], array, np.nan), True, False
    if array.ndim not in (1, TABLE):
        raise ValueError(f"y should be a 1d or 2d array (one number, or K, for each series), or 3d "
                         f"(K at each step), got an array of shape {array.shape} instead.")
    if array.ndim == TABLE and not series.table and 1 < array.shape[1] == series.numbers.shape[1]:
        warnings.warn(f"y of shape {array.shape} is read as {array.shape[1]} numbers at the end of "
                      "each series: for one number at each of its steps give y[..., None]",
                      UserWarning, stacklevel=4)
    return (array[:, None], False, True) if array.ndim == 1 else (array, False, False)


def _targets(name: str, value: Any) -> Numbers:
    """Floats, NaN where they are not known."""
    array, hidden = _numbers(name, value)
    if hidden is not None:
        array = np.where(hidden, np.nan, array)
    if np.isinf(array).any():
        raise ValueError(f"Input {name} contains infinity or a value too large for "
                         f"dtype({str(array.dtype)!r}).")
    return array


def _other_steps(parts: list[Any], series: Series) -> str:
    i = next(i for i, (part, length) in enumerate(zip(parts, series.lengths, strict=True))
             if np.shape(part)[:1] != (length,))
    return (f"y[{i}] has the shape {np.shape(parts[i])} and X[{i}] {series.lengths[i]} steps: give "
            "one target for each step, or one for each series")


def _check_count(y: Any, series: Series, who: str) -> None:
    """ValueError unless there are targets of as many series."""
    if y is None:
        raise ValueError(f"{who} requires y to be passed, but the target y is None")
    if isinstance(y, list | tuple):
        count = len(y)
    else:
        shape = np.asarray(y).shape
        if not shape:
            raise ValueError(f"y should be a 1d array, or have the targets of each series, not {y}")
        count = shape[0]
    if count != len(series):
        raise ValueError("Found input variables with inconsistent numbers of samples: "
                         f"[{len(series)}, {count}]")


def read_labels(y: Any, series: Series, who: str) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """The targets of a classifier: the distinct labels (C,), in order; the index of the label of
    each series (N,), or of its steps (N, T), where it is 0 in padding; and whether it is at the
    steps."""
    _check_count(y, series, who)
    if is_list(y):
        parts = [np.asarray(part) for part in y]
        for part, length in zip(parts, series.lengths, strict=True):
            if part.shape != (length,):
                raise ValueError(_other_steps(parts, series))
        flat, at_steps = np.concatenate(parts), True
    else:
        array = np.asarray(y)
        if array.ndim == TABLE and array.shape[1] == 1:
            if series.numbers.shape[1] > 1:
                warnings.warn("A column-vector y was passed when a 1d array was expected. Please "
                              "change the shape of y to (n_samples,), for example using ravel().",
                              _conversion_warning(), stacklevel=4)
            array = array[:, 0]
        at_steps = array.ndim == TABLE
        if array.ndim not in (1, TABLE) or at_steps and array.shape != series.inside.shape:
            raise ValueError("y should be a 1d array (a label for each series), or have one for "
                             f"each step, {series.inside.shape}, got an array of shape "
                             f"{array.shape} instead.")
        flat = array[series.inside] if at_steps else array
    classes, index = np.unique(_labels(flat), return_inverse=True)
    if len(classes) < 2:  # noqa: PLR2004
        raise ValueError(f"The number of classes has to be greater than one; got {len(classes)} "
                         "class")
    if not at_steps:
        return classes, index.reshape(-1), False
    steps = np.zeros(series.inside.shape, np.int64)
    steps[series.inside] = index.reshape(-1)
    return classes, steps, True


def _labels(y: NDArray[Any]) -> NDArray[Any]:
    """Labels that can be told apart: texts, whole numbers, bool; ValueError for numbers that are
    measured, and for what is missing."""
    if y.dtype.kind == "f":
        if np.isnan(y).any():
            raise ValueError("Input y contains NaN.")
        if np.isinf(y).any():
            raise ValueError(f"Input y contains infinity or a value too large for {y.dtype}.")
        if (y != np.floor(y)).any():
            raise ValueError("Unknown label type: continuous. Maybe you are trying to fit a "
                             "classifier, which expects discrete classes on a regression target "
                             "with continuous values.")
    if y.dtype.kind == "O" and any(label is None or label != label for label in y):
        raise ValueError("Input y contains NaN: every series needs a label.")
    if y.dtype.kind == "O" and len({isinstance(label, str) for label in y}) > 1:
        raise ValueError("Mix of label input types (string and number): give labels of one type")
    return y


def _conversion_warning() -> type[Warning]:
    """scikit-learn's warning for a column in place of a vector."""
    try:
        from sklearn.exceptions import DataConversionWarning
    except ImportError:
        return UserWarning
    return DataConversionWarning  # type: ignore[no-any-return]


def read_weights(given: Any, series: Series) -> NDArray[np.float64] | None:
    """The weight of each series (N,), 0 or more; None: all alike."""
    if given is None:
        return None
    weights, hidden = _numbers("sample_weight", given)
    if weights.ndim == 0:
        weights = np.full(len(series), weights)
    if weights.shape != (len(series),):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(len(series),)}!" if
                         weights.ndim == 1 else "Sample weights must be 1D array or scalar")
    if hidden is not None or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight must be finite numbers of 0 or more")
    if not weights.any():
        raise ValueError("sample_weight is zero for every series, so that nothing would count")
    return weights.astype(np.float64)
