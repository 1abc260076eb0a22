"""Types of the compiled border; see _core.pyx."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

CELLS: tuple[str, ...]
OPTIMIZERS: tuple[str, ...]
MEMORIES: tuple[int, ...]
FUNCTIONS: tuple[str, ...]
ISAS: tuple[str, ...]

def available_isas() -> list[str]: ...
def running_isa() -> str: ...
def lanes(dtype: DTypeLike) -> int: ...
def compiler() -> str: ...
def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]: ...
def map(function: str, x: NDArray[Any]) -> NDArray[Any]: ...

class Network:
    dtype: np.dtype[Any]
    def __init__(
        self, cell: str, offsets: Mapping[str, int], size: int, K: int, H: int, T: int, N: int,
        dtype: DTypeLike,
    ) -> None: ...
    def unroll(
        self, params: NDArray[Any], inputs: NDArray[np.int32], state: NDArray[Any],
        targets: NDArray[np.int32] | None = None, grads: NDArray[Any] | None = None,
    ) -> NDArray[np.float64]: ...
    def sample(
        self, params: NDArray[Any], state: NDArray[Any], id: int, temperature: float,
        uniforms: NDArray[np.float64],
    ) -> NDArray[np.int32]: ...

class Optimizer:
    def __init__(
        self, kind: str, learning_rate: float, decay: float = 0, decay2: float = 0,
        epsilon: float = 1e-8, clip_value: float | None = None, clip_norm: float | None = None,
    ) -> None: ...
    def step(
        self, update: int, params: NDArray[Any], grads: NDArray[Any],
        memories: Sequence[NDArray[Any]],
    ) -> None: ...

class Training:
    def __init__(
        self, network: Network, optimizer: Optimizer, params: NDArray[Any],
        memories: Sequence[NDArray[Any]], state: NDArray[Any], best: NDArray[Any],
        ids: NDArray[np.unsignedinteger], best_every: int = 100,
    ) -> None: ...
    def run(self, updates: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    counters: dict[str, Any]
    @property
    def update(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> int: ...
