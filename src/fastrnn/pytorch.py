"""How PyTorch stores recurrent layers: names, order of the gates, transposes, two biases.

``GATES`` is the one table of it, which docs/guides/pytorch.md shows. Nothing here imports torch but
`library`: modules are known by their attributes, and tensors become arrays.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .validate import positive_int

Arrays = dict[str, NDArray[Any]]

# cell -> the gates in the order of our columns, and of PyTorch's rows
GATES = {"rnn": ("h", "h"), "relu": ("h", "h"), "lstm": ("ifog", "ifgo"), "gru": ("rzn", "rzn")}
# ours -> PyTorch's, transposed. In PyTorch a gate has two biases, which are added, but for n of the
# GRU, whose second one is multiplied by r: our bhn. Else what we write into the second is 0.
TENSORS = {"Wx": "weight_ih", "Wh": "weight_hh", "b": "bias_ih", "bhn": "bias_hh"}
MODULES = {"rnn": "RNN", "relu": "RNN", "lstm": "LSTM", "gru": "GRU"}
CELL_OF_GATES = {len(ours): cell for cell, (ours, _) in reversed(GATES.items())}
MODES = {"RNN_TANH": "rnn", "RNN_RELU": "relu", "LSTM": "lstm", "GRU": "gru"}
NAME = re.compile(r"(.*?)(weight|bias)_(ih|hh)(?:_l(\d{1,4})(_reverse)?)?")


def library() -> Any:
    """The package torch; ImportError where it is not installed."""
    try:
        return import_module("torch")
    except ImportError:
        raise ImportError('this needs PyTorch: pip install "fastrnn[torch]"') from None


def _turned(array: NDArray[Any], order: str, wanted: str) -> NDArray[Any]:
    """Rows (G H, ...) of gates in one order -> in another."""
    places = [order.index(gate) for gate in wanted]
    parts = array.reshape(len(order), -1, *array.shape[1:])
    return np.ascontiguousarray(parts[places].reshape(array.shape))


def to_theirs(cell: str, ours: Mapping[str, NDArray[Any]]) -> Arrays:
    """The tensors of one layer and direction as PyTorch has them: name without its end -> array.

    Parameters
    ----------
    cell : str
        One of GATES.
    ours : mapping of str -> ndarray
        ``Wx`` (D, G H), ``Wh`` (H, G H), ``b`` (G H) unless without bias, ``bhn`` (H) of a GRU.
    """
    order, wanted = GATES[cell]
    theirs = {TENSORS[name]: _turned(ours[name].T, order, wanted)
              for name in ("Wx", "Wh", "b") if name in ours}
    if "b" in ours:
        theirs["bias_hh"] = np.zeros_like(theirs["bias_ih"])
        if "bhn" in ours:
            theirs["bias_hh"][-len(ours["bhn"]):] = ours["bhn"]
    return theirs


def to_ours(cell: str, theirs: Mapping[str, NDArray[Any]]) -> Arrays:
    """What `to_theirs` was made of: bit for bit, where the second bias is that of `to_theirs`."""
    order, wanted = GATES[cell]
    ours = {name: np.ascontiguousarray(_turned(theirs[TENSORS[name]], wanted, order).T)
            for name in ("Wx", "Wh")}
    if "bias_ih" not in theirs:
        return ours
    first, second = theirs["bias_ih"], theirs["bias_hh"].copy()
    if cell == "gru":
        H = len(second) // 3
        bhn, second[2 * H :] = second[2 * H :].copy(), 0
    ours["b"] = _turned(np.where(second == 0, first, first + second), wanted, order)  # -0 stays
    return ours | ({"bhn": bhn} if cell == "gru" else {})


def array_of(name: str, value: Any) -> NDArray[Any]:
    """A tensor of float32 or float64 as an array of its own; TypeError for another."""
    kind = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
    if kind not in ("float32", "float64"):
        raise TypeError(f"tensor {name!r} is of {kind}, and fastrnn reads float32 and float64: "
                        "convert the module with .float() first")
    try:
        value = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise TypeError(f"tensor {name!r} holds no numbers that can be read: {error}") from None
    return np.array(value, kind)


def tensors_of(module: Any, kind: str, names: tuple[str, ...]) -> Arrays:
    """The tensors of a module of this kind, of which only a bias may be missing. ValueError for
    another module, or other tensors."""
    if kind not in {base.__name__ for base in type(module).__mro__} or not callable(
            getattr(module, "state_dict", None)):
        raise ValueError(f"give a torch.nn.{kind}, not {type(module).__name__}")
    state = module.state_dict()
    if not {*names} - {"bias"} <= {*state} <= {*names}:
        raise ValueError(f"the {kind} has the tensors {', '.join(list(state)[:5]) or 'none'}, and "
                         f"fastrnn's {' and '.join(names) or 'none'}")
    return {name: array_of(name, tensor) for name, tensor in state.items()}


def refuse_tensor(name: str, value: Any) -> Any:
    """The value, unless it is a tensor of PyTorch: TypeError, since its weights are transposed and
    their gates in another order, which shapes alone need not show."""
    if type(value).__module__.partition(".")[0] == "torch":
        raise TypeError(f"{name} is a tensor of PyTorch, whose weights are transposed and in "
                        "another order: use from_torch, or np.asarray of it if it is fastrnn's")
    return value


@dataclass(frozen=True)
class Layers:
    """Recurrent layers of PyTorch: what can be read of their settings, and of each layer, and in it
    each direction, the tensors as PyTorch has them, without the ends of their names."""

    cell: str
    D: int
    H: int
    settings: dict[str, Any]  # num_layers, bidirectional, bias, batch_first, dropout, dtype
    tensors: list[Arrays]

    @property
    def module(self) -> str:
        """The name of the class, in PyTorch and in fastrnn.nn."""
        return MODULES[self.cell]

    def checked(self, *cells: str) -> str:
        """The cell, which must be one of these."""
        if self.cell not in cells:
            raise ValueError(f"this is a {self.module} of PyTorch, and no {MODULES[cells[0]]}: use "
                             f"nn.{self.module}.from_torch")
        return self.cell

    def ours(self) -> list[Arrays]:
        """The tensors of each layer and direction as fastrnn has them."""
        return [to_ours(self.cell, tensors) for tensors in self.tensors]


def recurrent_in(module: Any) -> Any:
    """The one recurrent module in a module, or the state_dict that was given."""
    if not callable(getattr(module, "state_dict", None)):
        return module
    found = [(name, one) for name, one in module.named_modules()
             if hasattr(one, "weight_hh_l0") or hasattr(one, "weight_hh")]
    if len(found) != 1:
        names = ", ".join(repr(name) for name, _ in found[:5])
        raise ValueError(f"{type(module).__name__} has {len(found)} recurrent modules"
                         f"{': ' * bool(names)}{names}: give one of them, an RNN, LSTM or GRU")
    return found[0][1]


def read_layers(module: Any, layer: int | None = None, reverse: bool | None = None) -> Layers:
    """The recurrent layers of a module or state_dict, or one of them, or one direction.

    Raises
    ------
    ValueError, TypeError
        There are none, or not all tensors of them, or other ones besides; a proj_size; shapes that
        do not fit; other types than float32 and float64.
    """
    module = recurrent_in(module)
    state = module.state_dict() if callable(getattr(module, "state_dict", None)) else module
    if not isinstance(state, Mapping):
        raise TypeError("give a module of PyTorch or its state_dict, not "
                        f"{type(module).__name__}")
    if module is not state:
        _refuse_others(state)
    places, prefix = _places(state)
    count = 1 + max((at for at, _ in places), default=-1)
    directions = 2 if any(back for _, back in places) else 1
    if not count:
        raise ValueError("there is no recurrent layer: no tensor has a name like weight_ih_l0")
    scans = [places.get((k // directions, k % directions), {}) for k in range(count * directions)]
    ends = [f"_l{k // directions}" + "_reverse" * (k % directions) for k in range(len(scans))]
    first = _complete(scans[0], prefix, ends[0])
    H = first["weight_hh"].shape[-1]
    cell = CELL_OF_GATES.get(len(first["weight_hh"]) // max(H, 1), "")
    D, bias = first["weight_ih"].shape[-1], "bias_ih" in first
    if not cell:
        raise ValueError(f"{prefix}weight_hh{ends[0]} is {first['weight_hh'].shape}: an RNN, GRU "
                         "or LSTM has 1, 3 or 4 times as many rows as columns")
    for k, (tensors, end) in enumerate(zip(scans, ends, strict=True)):
        wanted = _shapes(cell, directions * H if k >= directions else D, H, bias)
        _check(_complete(tensors, prefix, end), wanted, first["weight_ih"].dtype, prefix, end)
    cell = _named_cell(module, cell)
    keep = range(count) if layer is None else [positive_int("layer", layer, 0, count)]
    ways = range(directions) if reverse is None else [int(bool(reverse))]
    if max(ways) >= directions:
        raise ValueError("the module is not bidirectional: leave reverse out")
    chosen = [scans[at * directions + way] for at in keep for way in ways]
    one_batch_first = bool(getattr(module, "batch_first", True))
    return Layers(cell, chosen[0]["weight_ih"].shape[1], H, {
        "num_layers": len(keep), "bidirectional": len(ways) > 1, "bias": bias,
        "batch_first": one_batch_first, "dropout": float(getattr(module, "dropout", 0.0)),
        "dtype": first["weight_ih"].dtype.name}, chosen)


def _places(state: Mapping[str, Any]) -> tuple[dict[tuple[int, int], Arrays], str]:
    """Tensors of each (layer, whether reverse), and what their names begin with."""
    places: dict[tuple[int, int], Arrays] = {}
    prefixes = set()
    for name, value in state.items():
        match = NAME.fullmatch(name) if isinstance(name, str) else None
        if match:
            prefixes.add(match[1])
            place = int(match[4] or 0), int(bool(match[5]))
            places.setdefault(place, {})[f"{match[2]}_{match[3]}"] = array_of(name, value)
    prefix = min(prefixes, default="")
    if len(prefixes) > 1:
        names = ", ".join(sorted(prefixes)[:5])
        raise ValueError(f"there are several recurrent modules ({names}): "
                         "give the state_dict of one")
    _refuse_others(name for name in map(str, state) if (
        name.startswith(prefix) if prefix else "_l0" in name))
    return places, prefix


def _refuse_others(names: Iterable[str]) -> None:
    """Raise ValueError for a tensor that a recurrent module of PyTorch does not have, or only one
    with proj_size."""
    for name in names:
        if "weight_hr" in name:
            raise ValueError(f"{name!r} is of an LSTM with proj_size, which fastrnn has not: train "
                             "one without it, with a Linear layer after it")
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no tensor of an RNN, LSTM or GRU of PyTorch, such as "
                             "weight_ih_l0: fastrnn's layers cannot express it")


def _complete(tensors: Arrays, prefix: str, end: str) -> Arrays:
    """The tensors of a layer, of which the matrices are there; ValueError where they are not."""
    for name in ("weight_ih", "weight_hh"):
        if name not in tensors or tensors[name].ndim != 2 or not tensors[name].size:
            raise ValueError(f"{prefix}{name}{end} is missing, or no matrix")
    return tensors


def _shapes(cell: str, D: int, H: int, bias: bool) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a layer with D inputs and H units."""
    rows = len(GATES[cell][0]) * H
    biases: dict[str, tuple[int, ...]] = {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
    return {"weight_ih": (rows, D), "weight_hh": (rows, H)} | biases


def _check(tensors: Arrays, wanted: dict[str, tuple[int, ...]], dtype: Any, prefix: str,
           end: str) -> None:
    """Raise ValueError or TypeError unless these are all tensors of a layer."""
    for name in [*wanted, *tensors]:
        found = tensors[name].shape if name in tensors else "missing"
        if name not in wanted or found != wanted[name]:
            raise ValueError(f"{prefix}{name}{end} is {found}, and of an RNN, GRU or LSTM with "
                             f"these sizes it would be {wanted.get(name, 'missing')}")
        if tensors[name].dtype != dtype:
            raise TypeError(f"{prefix}{name}{end} is of {tensors[name].dtype}, and others of "
                            f"{dtype}: convert all to one")


def _named_cell(module: Any, cell: str) -> str:
    """The cell, of an RNN with the nonlinearity that the module has."""
    mode = getattr(module, "mode", None)
    if mode is not None and MODES.get(mode) is None:
        raise ValueError(f"the module's mode is {mode!r}, and fastrnn has {', '.join(MODES)}")
    if cell != "rnn":
        return cell
    nonlinearity = getattr(module, "nonlinearity", "tanh")
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"the nonlinearity is {nonlinearity!r}, and fastrnn has tanh and relu")
    return "relu" if nonlinearity == "relu" else "rnn"
