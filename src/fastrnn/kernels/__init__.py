"""Shim until the kernels are split."""
from typing import NamedTuple

from .._core import *  # noqa
from .._core import CELLS as _CELLS
from .._core import (
    FUNCTIONS,
    ISAS,
    LOSSES,
    MOST_LAYERS,
    OPTIMIZERS,
    RUN,
    STRIP,
    Optimizer,
    Reservoir,
    Team,
    Training,
    aligned_zeros,
    available_isas,
    compiler,
    lanes,
    map,
    peak,
    running_isa,
)
from .._core import Network as _Network


class CellInfo(NamedTuple):
    name: str
    gates: int
    states: int
    state_is_output: bool
    trained: bool
    tensors: tuple


_B = (("Wx", "D", "G"), ("Wh", "H", "G"), ("b", "1", "G"))
CELL_TABLE = (
    CellInfo("rnn", 1, 1, True, True, _B), CellInfo("relu", 1, 1, True, True, _B),
    CellInfo("lstm", 4, 2, True, True, _B),
    CellInfo("gru", 3, 1, True, True, (*_B, ("bhn", "1", "H"))),
    CellInfo("memory", 1, 1, False, True, (*_B, ("Wm", "H", "H"), ("bm", "1", "H"))),
    CellInfo("esn", 1, 1, True, False, ()), CellInfo("gru_before", 3, 1, True, True, _B))
CELLS = tuple(c.name for c in CELL_TABLE)


class Network(_Network):
    def __init__(self, config, *a, **k):
        super().__init__({**config, "cell": config["cell"].removesuffix("_before")}, *a, **k)
