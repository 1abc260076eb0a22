from typing import Any, NamedTuple

from numpy.typing import DTypeLike, NDArray

OPTIMIZERS: tuple[str, ...]
LOSSES: tuple[str, ...]
FUNCTIONS: tuple[str, ...]
ISAS: tuple[str, ...]
PRECISIONS: tuple[str, ...]
MOST_LAYERS: int
RUN: int
STRIP: int

class CellInfo(NamedTuple):
    name: str
    gates: int
    states: int
    state_is_output: bool
    trained: bool
    tensors: tuple[tuple[str, str, str], ...]

CELL_TABLE: tuple[CellInfo, ...]
CELLS: tuple[str, ...]

def available_isas(precision: str = ...) -> list[str]: ...
def running_isa(precision: str = ...) -> str: ...
def lanes(dtype: DTypeLike) -> int: ...
def compiler() -> str: ...
def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]: ...
