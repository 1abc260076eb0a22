"""Types of the compiled border; see _core.pyx."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

CELLS: tuple[str, ...]
OPTIMIZERS: tuple[str, ...]
LOSSES: tuple[str, ...]
FUNCTIONS: tuple[str, ...]
ISAS: tuple[str, ...]
MOST_LAYERS: int
RUN: int
STRIP: int

def available_isas() -> list[str]: ...
def running_isa() -> str: ...
def lanes(dtype: DTypeLike) -> int: ...
def compiler() -> str: ...
def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]: ...
def map(function: str, x: NDArray[Any]) -> NDArray[Any]: ...
def peak(dtype: DTypeLike, seconds: float = 0.05) -> float: ...

class Reservoir:
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __init__(
        self, dtype: DTypeLike, leak_rate: float, Win: NDArray[Any], Wfb: NDArray[Any],
        b: NDArray[Any], first: NDArray[Any], at: NDArray[Any],
        strips: NDArray[np.float32],
    ) -> None: ...
    def run(
        self, T: int, state: NDArray[Any], last: NDArray[Any], u: NDArray[Any] | None = None,
        y: NDArray[Any] | None = None, Wout: NDArray[Any] | None = None,
        states: NDArray[Any] | None = None, threads: int = 1,
    ) -> Any: ...

class Network:
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def P(self) -> int: ...
    def __init__(
        self, config: Mapping[str, Any], V: int, D: int, K: int, offsets: Mapping[str, int],
        size: int, T: int, N: int, packed: bool | None = None,
        reservoir: Reservoir | None = None,
    ) -> None: ...
    @property
    def slices(self) -> list[tuple[int, int]]: ...
    def sources(self, generators: Sequence[np.random.Generator]) -> NDArray[np.uintp]: ...
    def unroll(
        self, params: NDArray[Any], inputs: NDArray[Any], state: NDArray[Any],
        targets: NDArray[Any] | None = None, grads: NDArray[Any] | None = None,
        generators: Sequence[np.random.Generator] | None = None, threads: int = 1,
        right: NDArray[np.uint8] | None = None, mask: NDArray[np.uint8] | None = None,
        lengths: NDArray[np.int64] | None = None, out: NDArray[Any] | None = None,
        labels: NDArray[Any] | None = None,
    ) -> NDArray[np.float64]: ...
    def forward(
        self, params: NDArray[Any], x: NDArray[Any], state: NDArray[Any], threads: int = 1,
    ) -> NDArray[Any]: ...
    def backward(
        self, params: NDArray[Any], dout: NDArray[Any], dstate: NDArray[Any],
        grads: NDArray[Any], threads: int = 1,
    ) -> NDArray[Any]: ...
    def sample(
        self, params: NDArray[Any], state: NDArray[Any], ids: NDArray[np.int32],
        temperature: float, uniforms: NDArray[np.float64], top_k: int = 0, top_p: float = 1.0,
        labels: NDArray[Any] | None = None,
    ) -> NDArray[np.int32]: ...

class Team:
    def __init__(self, jobs: int, threads: int) -> None: ...
    def __enter__(self) -> Team: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def help(self) -> None: ...

class Optimizer:
    @property
    def memories(self) -> int: ...
    def __init__(
        self, kind: str, decay: float = 0, decay2: float = 0, epsilon: float = 1e-8,
        clip_value: float | None = None, clip_norm: float | None = None,
    ) -> None: ...
    def step(
        self, update: int, rate: float, params: NDArray[Any], grads: NDArray[Any],
        memories: Sequence[NDArray[Any]],
    ) -> None: ...

class Training:
    def __init__(
        self, network: Network, optimizer: Optimizer, params: NDArray[Any],
        memories: Sequence[NDArray[Any]], state: NDArray[Any], best: NDArray[Any],
        ids: NDArray[np.unsignedinteger] | None = None,
        generators: Sequence[np.random.Generator] | None = None, threads: int = 1,
        best_every: int = 100, epoch_updates: int = 0, targets: NDArray[Any] | None = None,
        x: NDArray[Any] | None = None, mask: NDArray[np.bool_] | None = None,
    ) -> None: ...
    def run(
        self, rates: NDArray[np.float64], starts: NDArray[np.int64] | None = None,
        lengths: NDArray[np.int64] | None = None, labels: NDArray[np.int32] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    counters: dict[str, Any]
    @property
    def update(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> int: ...
