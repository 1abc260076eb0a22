"""Files of states: what `state_dict` of layers and optimizers returns."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .store import DAMAGE, DEEPEST, DTYPES, MOST_VALUES, Tensors, damaged, read, write

MOST_ARRAYS = MOST_VALUES // 10  # each has some values in the header and one in the places

def save_state(path: str | os.PathLike[str], state: Mapping[str, Any], *,
               overwrite: bool = False) -> None:
    """Write a state to a ``.safetensors`` file, which `load_state` reads.

    The file is written beside the old one, which it then replaces in one step.

    Parameters
    ----------
    path : str or path-like
    state : mapping of str
        What ``state_dict()`` of a layer, a Sequential or an optimizer returns, or a dict of several
        such states and of values of your own: arrays of float32, float64, int32, int64 or uint64,
        numbers, texts, bool and None, in dicts that may be nested. Other programs see the arrays
        under their names, after the names of the dicts around them: ``network.0.Wx``.
    overwrite : bool
        Whether a file that fastrnn did not write may be replaced.

    Raises
    ------
    OSError
        The file cannot be written; an earlier file stays unchanged.
    TypeError, ValueError
        Values of other types, numbers that are not finite, or two arrays of the same name.

    Examples
    --------
    >>> nn.save_state("run.safetensors", {"network": network.state_dict(),
    ...                                   "optimizer": optimizer.state_dict(), "epoch": 3})
    """
    tensors: Tensors = {}
    places: dict[str, list[str]] = {}
    values = _values(state, [], tensors, places)
    if len(tensors) > MOST_ARRAYS or json.dumps(values).count(",") > MOST_VALUES // 2:
        raise ValueError(f"state has more than {MOST_ARRAYS:,} arrays, or {MOST_VALUES // 2:,} "
                         "other values, which no file of a state may have: join some in arrays")
    write(path, tensors, {"state": values, "places": places}, overwrite=overwrite)


def _values(state: Any, place: list[str], tensors: Tensors, places: dict[str, list[str]]) -> Any:
    """The JSON of a state without its arrays, which go into `tensors`, and to `places` where in the
    state they are."""
    shown = "".join(f"[{key!r}]" for key in place)
    if isinstance(state, Mapping) and len(place) < DEEPEST // 2:
        for key in state:
            if not isinstance(key, str):
                raise TypeError(f"state{shown} has the key {key!r}: keys must be of type str")
        return {key: _values(value, [*place, key], tensors, places) for key, value in state.items()
                if not _is_tensor(value, [*place, key], tensors, places)}
    if isinstance(state, np.generic):
        state = state.item()
    number = (isinstance(state, int) and abs(state) < 2**128) or (
        isinstance(state, float) and math.isfinite(state))
    if place and (state is None or isinstance(state, str) or number):
        return state
    raise TypeError(f"state{shown} must be a dict (in at most {DEEPEST // 2} others), an array, a "
                    f"finite number, a text, a bool or None, not {state!r:.80}")


def _is_tensor(value: Any, place: list[str], tensors: Tensors,
               places: dict[str, list[str]]) -> bool:
    """Whether the value is an array; if so it is noted, checked."""
    if not isinstance(value, np.ndarray):
        return False
    name = ".".join(place)
    if value.dtype.newbyteorder("=").name not in DTYPES.values() or np.ma.isMaskedArray(value):
        raise TypeError(f"array {name!r} is of {value.dtype}: convert it to one of "
                        f"{', '.join(DTYPES.values())}")
    if name in tensors or name == "__metadata__":
        raise ValueError(f"there are two arrays of the name {name!r}, or it has a meaning of its "
                         "own: rename one")
    tensors[name], places[name] = np.asarray(value), place
    return True


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a state from a file of `save_state`.

    Nothing in the file is believed, and no code in it runs: what is damaged is refused before it
    takes memory. `load_state_dict` of a layer then checks names, shapes and types.

    Returns
    -------
    dict of str
        What was given to `save_state`: dicts, arrays and values.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ValueError
        The file is damaged, or holds a model or something else.
    """
    tensors, about = read(path)
    if "places" not in about:
        raise ValueError(f"{str(Path(path))!r} holds no state of layers or optimizers: a model is "
                         "read by fastrnn.load, an echo state network by EchoStateNetwork.load")
    try:
        return _filled(about["state"], tensors, about["places"])
    except DAMAGE as error:
        raise damaged(path, error) from None


def _filled(state: dict[str, Any], tensors: Tensors, places: dict[str, Any]) -> dict[str, Any]:
    """The state with its arrays in their places; ValueError, KeyError, TypeError or AttributeError
    for what `save_state` cannot have written."""
    if type(state) is not dict or places.keys() != tensors.keys():
        raise ValueError("the places are not those of the tensors")
    for name, place in places.items():
        if not isinstance(place, list) or not all(type(key) is str for key in place) \
                or ".".join(place) != name:
            raise ValueError("a tensor has no place")
        inside = state
        for key in place[:-1]:
            inside = inside[key]
        if type(inside) is not dict or place[-1] in inside:
            raise ValueError(f"the place of a tensor is taken: {place!r:.200}")
        inside[place[-1]] = tensors[name]
    return state
