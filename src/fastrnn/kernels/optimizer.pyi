from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

class Optimizer:
    memories: Final[int]
    def __init__(self, kind: str, decay: float = 0, decay2: float = 0, epsilon: float = 1e-8,
                 clip_value: float | None = None, clip_norm: float | None = None,
                 epsilon_inside: bool = True, weight_decay: float = 0) -> None: ...
    def step(self, update: int, rate: float, params: NDArray[Any], grads: NDArray[Any],
             memories: Sequence[NDArray[Any]]) -> None: ...
