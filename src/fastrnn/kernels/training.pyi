from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .network import Network
from .optimizer import Optimizer

class Training:
    def __init__(self, network: Network, optimizer: Optimizer, params: NDArray[Any],
                 memories: Sequence[NDArray[Any]], state: NDArray[Any], best: NDArray[Any],
                 ids: NDArray[np.unsignedinteger] | None = None,
                 generators: Sequence[np.random.Generator] | None = None, threads: int = 1,
                 best_every: int = 100, epoch_updates: int = 0, targets: NDArray[Any] | None = None,
                 x: NDArray[Any] | None = None, mask: NDArray[np.bool_] | None = None,
                 weights: NDArray[np.float64] | None = None,
                 units: NDArray[np.float64] | None = None,
                 average: NDArray[Any] | None = None, averaged: float = 0) -> None: ...
    def run(self, rates: NDArray[np.float64], starts: NDArray[np.int64] | None = None,
            lengths: NDArray[np.int64] | None = None, labels: NDArray[np.int32] | None = None,
            carried: NDArray[np.bool_] | None = None,
            ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def next_loss(self, starts: NDArray[np.int64] | None = None,
                  lengths: NDArray[np.int64] | None = None,
                  labels: NDArray[np.int32] | None = None) -> float: ...
    def share(self, ranks: Any) -> None: ...
    def gradient_norm(self) -> float: ...
    counters: dict[str, Any]
    most_loss: float
    @property
    def grads(self) -> NDArray[Any]: ...
    @property
    def losses(self) -> NDArray[np.float64]: ...
    @property
    def update(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> int: ...
