"""Where an array first differs from the right one, in a sentence, and why where that is sure."""

import copy
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Axes = tuple[str, ...]

TOLERANCE = 1e-6  # times the largest number of the right array
ORDERED = ("time step", "update", "draw")  # axes along which one thing is computed after the other


class Wrong(Exception):
    """What a student's function returned is wrong; the message is the sentence to show."""


def first_difference(got: ArrayLike, want: ArrayLike, name: str = "array", axes: Axes = (), *,
                     backwards: bool = False) -> str | None:
    """Say which entry of an array is wrong first.

    Parameters
    ----------
    got : array_like
        The array to be judged.
    want : array_like
        The right one. An entry is wrong where it differs from it by more than a millionth of the
        largest number of `want`, or is not finite where that of `want` is.
    name : str
        What to call the array.
    axes : tuple of str
        The names of its axes, such as ("sequence", "time step", "unit"). Of wrong entries the first
        along an axis named "time step", "update" or "draw" is named; without such an axis the
        first in the order of the array.
    backwards : bool
        The array is computed from its last time step back, as gradients are: then the wrong entry
        of the latest time step is the first.

    Returns
    -------
    str or None
        One sentence; None where nothing is wrong.

    Examples
    --------
    >>> first_difference([[0.1, 0.2], [0.3, 0.9]], [[0.1, 0.2], [0.3, 0.4]], "h",
    ...                  ("time step", "unit"))
    'h[1, 1] is 0.9, expected 0.4 (time step 1, unit 1); 1 of 4 entries is wrong, and time step 0 is right'
    """  # noqa: E501
    try:
        array, right = np.asarray(got), np.asarray(want)
    except ValueError:  # rows of unequal length
        return f"{name} is no array of numbers: its rows have different lengths"
    if array.dtype.kind not in "biuf":
        return f"{name} must be an array of real numbers, not {_kind(got, array)}"
    if array.shape != right.shape:
        named = f", the axes {', '.join(axes)}" if axes else ""
        turned = array.shape == right.shape[::-1] and same(array.T, right)
        return (f"{name} has the shape {array.shape}, expected {right.shape}{named}"
                + (": it is transposed" if turned else ""))
    wrong = _wrong(array, right)
    if not wrong.any():
        return None
    along = next((k for k, axis in enumerate(axes) if axis in ORDERED), None)
    places = np.argwhere(wrong)
    if along is not None:
        steps = places[:, along]
        places = places[steps == (steps.max() if backwards else steps.min())]
    place = tuple(int(i) for i in places[0])
    index = f"[{', '.join(map(str, place))}]" if place else ""
    where = ", ".join(f"{axis} {i}" for axis, i in zip(axes, place, strict=False))
    sentence = f"{name}{index} is {_numbers(array[place], right[place])}"
    count = int(wrong.sum())
    if place:
        sentence += f"{f' ({where})' if where else ''}; {count} of {wrong.size} entries "
        sentence += "is wrong" if count == 1 else "are wrong"
    if along is not None:
        sentence += _right_steps(axes[along], place[along], wrong.shape[along], backwards)
    return sentence


def same(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether no entry of a is wrong beside b."""
    try:
        first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    except (TypeError, ValueError):  # no array of numbers
        return False
    return first.shape == second.shape and not _wrong(first, second).any()


def _wrong(array: Array, right: Array) -> NDArray[np.bool_]:
    """Where entries differ, of the same shape."""
    a, b = np.asarray(array, np.float64), np.asarray(right, np.float64)
    limit = TOLERANCE * np.max(np.abs(b), initial=0.0, where=np.isfinite(b))
    with np.errstate(invalid="ignore"):
        close: NDArray[np.bool_] = ((np.abs(a - b) <= limit) | (a == b)
                                    | (np.isnan(a) & np.isnan(b)))
    return ~close


def _kind(got: Any, array: Array) -> str:
    if got is None:
        return "None"
    return "complex" if array.dtype.kind == "c" else type(got).__name__


def _numbers(got: Any, want: Any) -> str:
    """Both numbers with as many digits as show the difference."""
    for digits in (6, 10, 17):
        shown = f"{float(got):.{digits}g}", f"{float(want):.{digits}g}"
        if shown[0] != shown[1]:
            break
    return f"{shown[0]}, expected {shown[1]}"


def _right_steps(axis: str, step: int, steps: int, backwards: bool) -> str:
    """Which time steps before the first wrong one are right."""
    first, last = (step + 1, steps - 1) if backwards else (0, step - 1)
    if first > last:
        return f": {axis} {step}, where the computation begins, is wrong already"
    if first == last:
        return f", and {axis} {first} is right"
    return f", and {axis}s {first} to {last} are right"


def call(own: ModuleType, function: str, *arguments: Any) -> Any:
    """What a student's function returns for copies of the arguments, so that it cannot change
    them for another check."""
    called = getattr(own, function, None)
    if not callable(called):
        raise Wrong(f"there is no function {function} in the file")
    return called(*copy.deepcopy(arguments))


def named(function: str, returned: Any, *names: str) -> dict[str, Any]:
    """The values that a function returned, by their names."""
    if len(names) == 1:
        found: Any = (returned,)
    elif isinstance(returned, (tuple, list)) and len(returned) == len(names):
        found = returned
    else:
        what = (f"{len(returned)} values" if isinstance(returned, (tuple, list))
                else type(returned).__name__ if returned is not None else "None")
        raise Wrong(f"{function} returns {what}, expected {len(names)} values: "
                    f"return {', '.join(names)}")
    if returned is None:
        raise Wrong(f"{function} returns None: let it end with return {names[0]}")
    return dict(zip(names, found, strict=True))


def judge(got: Mapping[str, Any], want: Arrays, axes: Mapping[str, Axes],
          mistakes: Mapping[str, Arrays], backwards: tuple[str, ...] = ()) -> None:
    """Raise Wrong for the first array, in the order of `want`, that differs from the right one.

    mistakes holds, for a hint, the arrays to which that mistake leads, with the names of `want`;
    `hint` says when it is given. backwards names the arrays that are computed from the last time
    step back."""
    for name, right in want.items():
        if name not in got:
            raise Wrong(f"{name} is missing: the names are {', '.join(want)}")
        sentence = first_difference(got[name], right, name, axes.get(name, ()),
                                    backwards=name in backwards)
        if sentence is not None:
            raise Wrong(sentence + hint(got, want, name, mistakes))


def hint(got: Mapping[str, Any], want: Arrays, name: str, mistakes: Mapping[str, Arrays]) -> str:
    """What leads to the wrong array of this name, where that is sure: the mistake that gives it and
    leaves the arrays before it right. Where several do, the one that gives all others too."""
    before = list(want)[: list(want).index(name)]
    found = {text: arrays for text, arrays in mistakes.items()
             if name in arrays and not same(arrays[name], want[name])
             and same(got[name], arrays[name])
             and all(same(arrays.get(each, want[each]), want[each]) for each in before)}
    if len(found) > 1:
        found = {text: arrays for text, arrays in found.items()
                 if all(same(got[each], array) for each, array in arrays.items() if each in got)}
    return f". {next(iter(found))}" if len(found) == 1 else ""
