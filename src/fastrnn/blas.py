"""SciPy's BLAS: how many threads it may use, and what it is."""

from __future__ import annotations

from functools import cache
from typing import Any

import scipy.linalg.cython_blas  # noqa: F401  loads the library, so that it can be found
from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def one_thread() -> Any:
    """A context in which BLAS uses one thread: at our sizes a second one only costs time, and
    sums would depend on the number of cores."""
    return _controller().limit(limits=1)


def libraries() -> list[str]:
    """The BLAS libraries in this process, as "name version"."""
    return sorted({f"{lib['internal_api']} {lib['version']}" for lib in _controller().info()})
