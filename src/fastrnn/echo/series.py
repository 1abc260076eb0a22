"""Series, targets and weights as users give them, and as lists of arrays, one of each series."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimator import as_numbers
from ..validate import float_array, positive_int, read_array, read_masked, weights_of

Arrays = list[NDArray[Any]]


def as_given(found: Arrays, X: Any) -> Any:
    """What was found for each series: of one, an array; of a list, a list; of an array (N, T, D),
    an array of N."""
    if is_one_series(X):
        return found[0]
    return found if isinstance(X, list | tuple) else np.stack(found)


def is_one_series(X: Any) -> bool:
    """Whether X is one series and not a list of them, of which at least one must be (T, D)."""
    if isinstance(X, list | tuple):
        return not any(_axes(x) == 2 for x in X)
    return _axes(X) != 3


def _axes(x: Any) -> int:
    """The number of axes; np.ndim would ask what only makes an array for its own function."""
    return int(x.ndim) if hasattr(x, "ndim") else np.asarray(x).ndim


def read_series(name: str, X: Any, dtype: Any) -> Arrays:
    """The series of X as arrays (T, D)."""
    named = _named(name, X, is_one_series(X))
    shape: tuple[int, ...] = np.shape(next(iter(named.values()), ()))
    if not shape[0] or (0 in shape and len(shape) != 2):  # noqa: PLR2004
        raise ValueError(f"{name} has no steps: give at least one series (T, D)")
    for what, u in named.items():
        if np.ndim(u) == 1:
            raise ValueError(f"{what} has the shape {np.shape(u)} and must be (T, D). Reshape your "
                             f"data: for one number a step give np.reshape({what}, (-1, 1))")
    return _arrays(named, ("T", 0 if 0 in shape else "D"), dtype)


def read_targets(Y: Any, X: Any, inputs: Arrays, dtype: Any,
             name: str = "y") -> tuple[Arrays, bool]:
    """The targets as arrays (T, K), and whether they came as (T,). Those called teacher may have
    fewer steps than their series."""
    one = is_one_series(X)
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
    missing = {"missing": True} if name != "teacher" else {
        "advice": "its outputs are all known, so fill it, or end it before"}
    targets = _arrays(columns, ("T", "K"), dtype, **missing)
    for what, y, u in zip(named, targets, inputs, strict=True):
        if name == "teacher" and len(y) > len(u):
            raise ValueError(f"{what} has {len(y)} steps and its series {len(u)}: give at most as "
                             "many known outputs")
        if name != "teacher" and len(y) != len(u):
            raise ValueError(f"{what} has {len(y)} steps and its series {len(u)}: give one target "
                             "for each step")
    return targets, next(iter(named.values())).ndim == 1


def read_weights(given: Any, X: Any, inputs: Arrays,
             zero: bool = False) -> list[NDArray[np.float64] | None]:
    """The weights (T,) of the steps of each series, or None where all count alike. Whether all may
    be 0 says `zero`."""
    if given is None:
        return [None] * len(inputs)
    named = _named("sample_weight", given, is_one_series(X))
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


def checked_warmup(warmup: int, inputs: Arrays) -> int:
    """A warm-up shorter than each series."""
    warmup = positive_int("warmup", warmup, least=0)
    for i, u in enumerate(inputs):
        if len(u) <= warmup:
            raise ValueError(f"series {i} has {len(u)} steps, and the warm-up takes {warmup}: "
                             "give a longer one, or a smaller warmup")
    return warmup


def _listed(X: Any) -> Any:
    """The series of a list of them, or of an array (N, T, D)."""
    return X if isinstance(X, list | tuple) else np.asanyarray(X)


def _named(name: str, X: Any, one: bool) -> dict[str, Any]:
    """The arrays of one series or of several, by what messages call them."""
    return {name: as_numbers(name, X)} if one else {
        f"{name}[{i}]": as_numbers(f"{name}[{i}]", x) for i, x in enumerate(_listed(X))}


def _with_nan(name: str, value: Any) -> NDArray[Any]:
    """The array, with NaN in place of what is masked."""
    array, hidden = read_masked(name, value)
    return array if hidden is None else np.where(hidden, np.nan, array)


def _arrays(named: dict[str, Any], shape: tuple[str, str | int], dtype: Any,
            missing: bool = False, advice: str = "mend or leave out what is not finite") -> Arrays:
    """The values as arrays with as many columns as the first, which are finite, or where some may
    be missing NaN."""
    out: Arrays = []
    for name, value in named.items():
        array = float_array(name, value, shape, dtype)
        wrong = np.isinf(array) if missing else ~np.isfinite(array)
        if wrong.any():
            t, d = map(int, np.argwhere(wrong)[0])
            what = "NaN" if np.isnan(array[t, d]) else "infinity"
            raise ValueError(f"{name} contains {what} at step {t}: {advice}")
        if out and array.shape[1] != out[0].shape[1]:
            raise ValueError(f"{name} has {array.shape[1]} numbers a step and {next(iter(named))} "
                             f"{out[0].shape[1]}: all must have as many")
        out.append(array)
    return out
