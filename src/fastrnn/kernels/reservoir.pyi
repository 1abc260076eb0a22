from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

class Reservoir:
    dtype: Final[np.dtype[Any]]
    def __init__(self, dtype: DTypeLike, leak: NDArray[Any] | float, Win: NDArray[Any],
                 Wfb: NDArray[Any], b: NDArray[Any], first: NDArray[Any], at: NDArray[Any],
                 strips: NDArray[np.float32]) -> None: ...
    def run(self, T: int, state: NDArray[Any], last: NDArray[Any], u: NDArray[Any] | None = None,
            y: NDArray[Any] | None = None, Wout: NDArray[Any] | None = None,
            states: NDArray[Any] | None = None, noise: NDArray[Any] | None = None, fed: int = 0,
            threads: int = 1) -> Any: ...
