from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .network import Network
from .reservoir import Reservoir

class Steps:
    N: Final[int]
    state: Final[NDArray[Any]]
    def __init__(self, network: Network, params: NDArray[Any], state: NDArray[Any], lock: Any,
                 inputs: NDArray[np.float64] | None = None,
                 outputs: NDArray[np.float64] | None = None,
                 probabilities: bool = False) -> None: ...
    def copied_state(self) -> NDArray[Any]: ...
    def step(self, given: Any) -> NDArray[Any] | None: ...

class ReservoirSteps(Steps):
    def __init__(self, reservoir: Reservoir, Wout: NDArray[Any],
                 state: NDArray[Any]) -> None: ...
