"""What this fastrnn is built from, and what it runs on."""

import platform
from importlib.metadata import version
from typing import Any

from .. import kernels
from . import blas


def build_info() -> dict[str, Any]:
    """What this fastrnn is made of and which of its variants runs.

    Returns
    -------
    dict
        ``version``; ``isa``, the instruction set in use ("baseline", "avx2", "avx512"),
        ``mixed_bfloat16``, the one that models of that dtype use ("avx512_bf16" and "amx" too), and
        ``isas``, those that this processor could use: the environment variable FASTRNN_ISA chooses
        one; ``lanes``, numbers in one vector register, by dtype; ``compiler``; ``blas``;
        ``python``, ``numpy``, ``scipy``; ``machine``.
    """
    return {
        "version": version("fastrnn"),
        "isa": kernels.running_isa(),
        kernels.MIXED: kernels.running_isa(kernels.MIXED),
        "isas": kernels.available_isas(kernels.MIXED),
        "lanes": {dtype: kernels.lanes(dtype) for dtype in ("float32", "float64")},
        "compiler": kernels.compiler(),
        "blas": blas.libraries(),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "machine": platform.machine(),
    }
