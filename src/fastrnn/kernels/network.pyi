from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .reservoir import Reservoir

class Network:
    cut_for: int
    dtype: Final[np.dtype[Any]]
    P: Final[int]
    @property
    def slices(self) -> list[tuple[int, int]]: ...
    def __init__(self, config: Mapping[str, Any], V: int, D: int, K: int,
                 offsets: Mapping[str, int], size: int, T: int, N: int, packed: bool | None = None,
                 reservoir: Reservoir | None = None, lock: Any = None,
                 isa: str | None = None) -> None: ...
    def useful_threads(self, threads: int) -> int: ...
    def measure(self) -> None: ...
    @property
    def stages(self) -> dict[str, tuple[int, int, float, float]]: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def isa(self) -> str: ...
    def sources(self, generators: Sequence[np.random.Generator]) -> NDArray[np.uintp]: ...
    def unroll(self, params: NDArray[Any], inputs: NDArray[Any], state: NDArray[Any],
               targets: NDArray[Any] | None = None, grads: NDArray[Any] | None = None,
               generators: Sequence[np.random.Generator] | None = None, threads: int = 1,
               right: NDArray[np.uint8] | None = None, mask: NDArray[np.uint8] | None = None,
               lengths: NDArray[np.int64] | None = None, out: NDArray[Any] | None = None,
               labels: NDArray[Any] | None = None,
               weights: NDArray[np.float64] | None = None,
               units: NDArray[np.float64] | None = None,
               ranks: Any = None) -> NDArray[np.float64]: ...
    def forward(self, params: NDArray[Any], x: NDArray[Any], state: NDArray[Any],
                threads: int = 1, lengths: NDArray[np.int64] | None = None) -> NDArray[Any]: ...
    def backward(self, params: NDArray[Any], dout: NDArray[Any], dstate: NDArray[Any],
                 grads: NDArray[Any], threads: int = 1,
                 lengths: NDArray[np.int64] | None = None) -> NDArray[Any]: ...
    def sample(self, params: NDArray[Any], state: NDArray[Any], ids: NDArray[np.int32],
               temperature: float, uniforms: NDArray[np.float64], top_k: int = 0,
               top_p: float = 1.0, labels: NDArray[Any] | None = None, min_p: float = 0.0,
               penalty: float = 1.0, seen: NDArray[np.uint8] | None = None,
               threads: int = 1) -> NDArray[np.int32]: ...
