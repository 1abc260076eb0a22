"""Checks of arguments: one clear error with the argument's name and what it must be."""

import codecs
import difflib
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from encodings.aliases import aliases
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

MOST_WEIGHT = 1e6  # of a loss
# codecs from bytes to str that are no encodings of a text file
NO_TEXT = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "charmap")


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


def one_or_each(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """The check of a number that may also be one for each unit or feature, an array (n,)."""
    def checked(name: str, value: Any) -> Any:
        if np.ndim(value) == 0:
            return check(name, value)
        array = read_array(name, value)
        if array.ndim != 1:
            raise ValueError(f"{name} has the shape {array.shape} and must be a number, or (n,)")
        return np.array([check(f"{name}[{i}]", one) for i, one in enumerate(array)])
    return checked


def matrix(name: str, value: Any) -> Any:
    """Return value as an array of finite numbers, or as csr_array if it is a sparse matrix."""
    sparse = bool(issparse(value))  # so that type checkers do not narrow it to what has no data
    array: Any = csr_array(value) if sparse else read_array(name, value)
    numbers: NDArray[Any] = array.data if sparse else array
    if numbers.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be of real numbers, not {numbers.dtype}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} has numbers that are not finite")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


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
    """The end of an error about an unknown name: "did you mean" one that ends like it, such as
    mixed_bfloat16 for bfloat16, or the nearest one, or nothing."""
    start, known = str(name)[:50], list(known)  # the time for the nearest grows with the length
    near = ([one for one in known if start and one.endswith(f"_{start}")]
            or difflib.get_close_matches(start, known, n=1))
    return f"did you mean {near[0]!r}?" if near else ""


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return value if it is one of the choices; the error suggests the nearest."""
    choices = list(choices)
    if value not in choices:
        hint = suggestion(value, choices)
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}"
                         f"{hint and ': '}{hint}")
    return str(value)


def encoding_name(name: str, value: Any) -> str:
    """Python's name of a text encoding, which may be given by any of its names."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be the name of an encoding, such as 'cp1252', not {value!r}")
    try:
        found = codecs.lookup(value)
    except (LookupError, ValueError):  # ValueError: a null character
        hint = suggestion(value.lower(), {*aliases, *aliases.values()})
        raise ValueError(f"{name} must be an encoding that Python knows, such as 'cp1252', "
                         f"'latin-1' or 'utf-16', not {value[:50]!r}{hint and ': '}{hint}"
                         ) from None
    if not found._is_text_encoding or found.name in NO_TEXT:
        raise ValueError(f"{name} must be an encoding of texts, such as 'cp1252', and {value!r} is "
                         "none")
    return found.name


def generator(seed: int | None) -> np.random.Generator:
    """A NumPy generator from a seed of at least 0, or from None."""
    return np.random.default_rng(None if seed is None else positive_int("seed", seed, least=0))


def random_seed(name: str, value: Any) -> int:
    """A seed of at least 0: the one given, or one drawn from a RandomState or Generator."""
    if isinstance(value, np.random.RandomState):
        return int(value.randint(2**31 - 1))
    if isinstance(value, np.random.Generator):
        return int(value.integers(2**31 - 1))
    try:
        return positive_int(name, value, least=0, below=2**32)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, a RandomState or a Generator of NumPy, "
                        f"not {value!r}") from None


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


def all_frozen(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of an object that was copied or unpickled, its arrays `frozen` again."""
    return {name: frozen(value) if isinstance(value, np.ndarray) else value
            for name, value in state.items()}


def dtype_name(dtype: Any) -> str:
    """NumPy's name of a dtype; anything else as text, for the error that follows."""
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        return str(dtype)


OTHER_KINDS = {"O": "objects of mixed types or lengths", "U": "texts", "S": "bytes", "V": "records",
               "c": "complex numbers", "M": "dates", "m": "time differences"}
FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))  # of this machine's byte order


def read_masked(
    name: str, value: Any, wanted: str = "an array of numbers"
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """What a user gives as an array, and where it is masked (None: nowhere): whole numbers, bool,
    float32 or float64 in the byte order of this machine.

    The border of all arrays. Lists and everything with ``__array__`` are taken, in any order and
    byte order, read-only or not; float16 becomes float32 and longdouble float64. An array that
    needs no conversion is not copied. TypeError for other types, which `wanted` is part of."""
    if type(value) is np.ndarray and value.dtype in FLOATS:  # most arrays: nothing to convert
        return value, None
    if isinstance(value, list | tuple) and any(isinstance(v, np.ma.MaskedArray) for v in value):
        value = np.ma.array(value)  # NumPy itself would drop the masks
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    dtype = array.dtype
    if dtype.kind not in "biuf":
        what = OTHER_KINDS.get(dtype.kind, str(dtype))
        raise TypeError(f"{name} must be {wanted}, not of {what}: convert it first")
    if dtype.kind == "f":
        dtype = np.dtype(np.float32 if dtype.itemsize <= np.float32().itemsize else np.float64)
    array = array.astype(dtype.newbyteorder("="), copy=False)
    hidden = np.ma.getmask(value)
    return array, np.broadcast_to(hidden, array.shape) if np.any(hidden) else None


def read_array(name: str, value: Any, wanted: str = "an array of numbers") -> NDArray[Any]:
    """`read_masked` where nothing may be masked; ValueError where something is."""
    array, hidden = read_masked(name, value, wanted)
    if hidden is not None:
        raise ValueError(f"{name} has masked entries ({int(hidden.sum())} of {hidden.size}), whose "
                         f"values are not known: fill them, as {name}.filled(0) does, or leave "
                         "them out")
    return array


def as_numbers(name: str, value: Any) -> NDArray[Any]:
    """An array of float32 or float64 where it is known that numbers and no symbols are meant, still
    masked where it was."""
    array, hidden = read_masked(name, value)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    return array if hidden is None else np.ma.array(array, mask=hidden)


def converted(name: str, array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The array as C-contiguous array of a dtype; ValueError for numbers beyond its range."""
    try:
        with np.errstate(over="raise"):
            return np.ascontiguousarray(array, dtype)
    except FloatingPointError:
        raise ValueError(f"{name} has numbers that {np.dtype(dtype)} cannot hold: scale them, or "
                         "take dtype='float64'") from None


def float_array(name: str, value: ArrayLike, shape: tuple[Any, ...],
                dtype: Any = None) -> NDArray[Any]:
    """Return value as a C-contiguous array of `dtype`, by default its own float32 or float64. In
    `shape` a letter is any size of at least 1, and a leading ... any axes."""
    array = as_numbers(name, read_array(name, value))
    fixed = shape[1:] if shape[:1] == (...,) else shape
    more = array.ndim - len(fixed)  # axes before the fixed ones
    fits = more == 0 or (more > 0 and fixed is not shape)
    if not fits or not all(size >= 1 if isinstance(want, str) else size == want
                           for size, want in zip(array.shape[more:], fixed, strict=True)):
        wanted = ", ".join("..." if want is ... else str(want) for want in shape)
        advice = one_axis_more(name, array.shape, shape[2]) if shape[:2] == ("N", "T") else ""
        raise ValueError(f"{name} has the shape {array.shape} and must have "
                         f"({wanted}{',' * (len(shape) == 1)}){advice}")
    return converted(name, array, dtype or array.dtype)


def one_axis_more(name: str, shape: tuple[int, ...], D: int | str) -> str:
    """The end of an error: how an array of this shape becomes (N, T, D), where D is a size, or a
    letter for any; nothing where it has not one axis or two."""
    one_number = D in (1, "D")
    if len(shape) == 1 and one_number:
        return (f": give {name}[None, :, None] if it is one sequence of {shape[0]} steps with one "
                "number each")
    if len(shape) != 2:  # noqa: PLR2004
        return ""
    N, T = shape
    ways = [f"{name}[None] if it is one sequence of {N} steps with {T} numbers each"] * (
        D in (T, "D"))
    ways += [f"{name}[..., None] if it is {N} sequences of {T} steps with one number each"] * (
        one_number)
    return f": give {', or '.join(ways)}" if ways else ""


def whole_numbers(name: str, value: ArrayLike, count: int,
                  shape: tuple[int, ...] | None = None) -> NDArray[np.intp]:
    """Return value as an array of whole numbers from 0 to count - 1, of this shape if given."""
    array = read_array(name, value, "whole numbers")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, not {array.dtype}: convert it first, as "
                        f"{name}.astype(int) does")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape} and must have {shape}")
    if array.size and (array.min() < 0 or array.max() >= count):
        place = tuple(int(i) for i in np.argwhere((array < 0) | (array >= count))[0])
        raise ValueError(f"{name} has {array[place]} at {list(place)}: they go from 0 to "
                         f"{count - 1}")
    return array.astype(np.intp)


def weights_of(name: str, given: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Weights of losses, checked: finite numbers of 0 or more, of this shape, not all 0."""
    weights = read_array(name, given).astype(np.float64)
    if weights.shape != shape:
        raise ValueError(f"{name} has the shape {weights.shape} and must have {shape}")
    wrong = ~((weights >= 0) & (weights <= MOST_WEIGHT))
    for place in np.argwhere(wrong):
        raise ValueError(f"{name} has {weights[tuple(place)]:g} at {place.tolist()}: weights are "
                         f"finite numbers from 0 to {MOST_WEIGHT:g}")
    if not weights.any():
        raise ValueError(f"{name} are all 0, so that nothing would count: leave them out, or give "
                         "some that are above 0")
    return weights


def checked_arrays(what: str, state: Any,
                   wanted: Mapping[str, tuple[tuple[int, ...], Any]]) -> list[NDArray[Any]]:
    """The arrays of a state in the order of `wanted`, name -> (shape, dtype), which they must have;
    ValueError for any other."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{what} must be a dict of arrays, not {type(state).__name__}")
    missing, unknown = ([name for name in a if name not in b] for a, b in
                        ((wanted, state), (state, wanted)))
    if missing or unknown:
        raise ValueError(f"{what} " + " and ".join(
            f"{verb} {', '.join(map(repr, names[:10]))}" for verb, names in
            (("lacks", missing), ("has the unknown", unknown)) if names)
            + ": give that of the same layers")
    arrays = []
    for name, (shape, dtype) in wanted.items():
        array = read_array(f"{what}[{name!r}]", state[name])
        if (array.shape, array.dtype) != (shape, dtype):
            raise ValueError(f"{what}[{name!r}] is {array.dtype} {array.shape} and must be {dtype} "
                             f"{shape}")
        arrays.append(array)
    return arrays


def changeable(name: str, value: Any) -> NDArray[Any]:
    """Return value, which must be an array that is changed in place: a writable one of float32 or
    float64 in the byte order of this machine."""
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
        what = f"of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name} must be a NumPy array of float32 or float64, which is changed in "
                        f"place, not {what}: give np.array({name}, np.float32)")
    if not value.flags.writeable:
        raise ValueError(f"{name} is read-only, and is to be changed in place: give a copy, "
                         f"np.array({name})")
    if np.ma.isMaskedArray(value):
        read_array(name, value)
    return value
