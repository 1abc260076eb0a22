"""Checks of arguments: one clear error with the argument's name and what it must be."""

import difflib
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def positive_int(name: str, value: Any, least: int = 1, below: int = 2**31) -> int:
    """Return value as an int of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if isinstance(value, bool) or not least <= number < below:
        most = f" and below {below}" if number >= below else ""
        raise ValueError(f"{name} must be a whole number of at least {least}{most}, not {value!r}")
    return number


def positive_float(name: str, value: Any, *, zero: bool = False, most: float = math.inf) -> float:
    """Return value as a finite float above 0, or at least 0 if `zero`, and at most `most`."""
    bound = " of 0 or more" if zero else " above 0"
    number = finite_float(name, value, bound, most)
    if number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be a finite number{bound}, not {value!r}")
    return number


def finite_float(name: str, value: Any, bound: str = "", most: float = math.inf) -> float:
    """Return value as a finite float from -most to most; `bound` is named in the message only."""
    try:
        number = float(value)
    except OverflowError:  # a whole number
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number{bound}, not {value!r}")
    if abs(number) > most:
        raise ValueError(f"{name} must be at most {most:g} in size, not {value!r}")
    return number + 0.0  # 0 for -0, which random generators refuse as a scale


def fraction(name: str, value: Any, most: float = 1.0) -> float:
    """Return value as a float from 0 to below 1, and at most `most`."""
    number = finite_float(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {value!r}")
    if number > most:
        raise ValueError(f"{name} must be at most {most:g}, not {value!r}")
    return number


def boolean(name: str, value: Any) -> bool:
    """Return value, which must be True or False."""
    if not isinstance(value, int | np.bool_) or value not in (0, 1):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def suggestion(name: Any, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: "did you mean" the nearest one, or nothing."""
    near = difflib.get_close_matches(str(name)[:50], known, n=1)  # its time grows with the length
    return f"did you mean {near[0]!r}?" if near else ""


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return value if it is one of the choices; the error suggests the nearest."""
    choices = list(choices)
    if value not in choices:
        hint = suggestion(value, choices)
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}"
                         f"{hint and ': '}{hint}")
    return str(value)


def generator(seed: int | None) -> np.random.Generator:
    """A NumPy generator from a seed of at least 0, or from None."""
    return np.random.default_rng(None if seed is None else positive_int("seed", seed, least=0))


def freeze(array: NDArray[Any]) -> NDArray[Any]:
    """A view through which nobody can write into an array, as kernels need that trust what was
    checked once. The array must be the caller's own."""
    array.setflags(write=False)
    return array.view()  # of which the flag cannot be set again


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array, if it is what `freeze` made or a part of that, else such a copy."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        if owner.base is None:
            return array
        owner = owner.base
    return freeze(array.copy())


def dtype_name(dtype: Any) -> str:
    """NumPy's name of a dtype; anything else as text, for the error that follows."""
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        return str(dtype)


def float_array(name: str, value: ArrayLike, shape: tuple[Any, ...],
                dtype: Any = None) -> NDArray[Any]:
    """Return value as a C-contiguous array of `dtype`, by default its own float32 or float64. In
    `shape` a letter is any size of at least 1, and a leading ... any axes."""
    array = np.asarray(value)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be an array of float32 or float64, not of {array.dtype}: "
                        "convert it first")
    fixed = shape[1:] if shape[:1] == (...,) else shape
    more = array.ndim - len(fixed)  # axes before the fixed ones
    fits = more == 0 or (more > 0 and fixed is not shape)
    if not fits or not all(size >= 1 if isinstance(want, str) else size == want
                           for size, want in zip(array.shape[more:], fixed, strict=True)):
        wanted = ", ".join("..." if want is ... else str(want) for want in shape)
        raise ValueError(f"{name} has the shape {array.shape} and must have "
                         f"({wanted}{',' * (len(shape) == 1)})")
    return np.ascontiguousarray(array, dtype or array.dtype)


def whole_numbers(name: str, value: ArrayLike, count: int,
                  shape: tuple[int, ...] | None = None) -> NDArray[np.intp]:
    """Return value as an array of whole numbers from 0 to count - 1, of this shape if given."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, not {array.dtype}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape} and must have {shape}")
    if array.size and (array.min() < 0 or array.max() >= count):
        place = tuple(int(i) for i in np.argwhere((array < 0) | (array >= count))[0])
        raise ValueError(f"{name} has {array[place]} at {list(place)}: they go from 0 to "
                         f"{count - 1}")
    return array.astype(np.intp)
