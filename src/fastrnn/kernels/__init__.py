"""The compiled kernels: what Python may call of csrc/, a file for each object."""
# ruff: noqa: I001  several names a line

from .border import (
    CELL_TABLE, CELLS, FUNCTIONS, ISAS, LOSSES, MOST_LAYERS, OPTIMIZERS, PRECISIONS, RUN, STRIP,
    CellInfo, aligned_zeros, available_isas, compiler, lanes, running_isa,
)
from .measure import map, peak
from .network import Network
from .optimizer import Optimizer
from .precision import MIXED, array_dtype, round_to_bfloat16
from .reservoir import Reservoir
from .stepping import ReservoirSteps, Steps
from .team import Team
from .training import Training

__all__ = [
    "CELL_TABLE", "CELLS", "FUNCTIONS", "ISAS", "LOSSES", "MIXED", "MOST_LAYERS", "OPTIMIZERS",
    "PRECISIONS", "RUN", "STRIP", "CellInfo", "Network", "Optimizer", "Reservoir",
    "ReservoirSteps", "Steps", "Team", "Training", "aligned_zeros", "array_dtype",
    "available_isas", "compiler", "lanes", "map", "peak", "round_to_bfloat16", "running_isa",
]
