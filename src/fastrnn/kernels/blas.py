"""SciPy's BLAS: how many threads it may use, and what it is."""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import scipy.linalg.cython_blas  # noqa: F401  loads the library, so that it can be found
from threadpoolctl import OpenBLASController, ThreadpoolController

from .team import no_fork

# multiply-adds below which OpenBLAS takes one thread by itself: its limits are 262,144, and 9,216
# of a matrix with a vector
SMALL_PRODUCT, SMALL_VECTOR = 2**17, 2**12


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


_lock = threading.RLock()
_open: Counter[int] = Counter()  # by thread, the contexts that are open
_before: list[int] = []  # threads of each library before the first of them


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """A context in which BLAS uses one thread: at our sizes a second one only costs time, and sums
    would depend on the number of cores. The number belongs to the process, so the first context
    sets it and the last to end restores it."""
    thread = threading.get_ident()
    with no_fork, _lock:  # in an order in which the handler of a signal may open one in between
        _open[thread] += 1
        if not _before:
            _before[:] = [library.num_threads for library in _controller().lib_controllers]
            _set_threads([1] * len(_before))
    try:
        yield
    finally:
        with no_fork, _lock:
            _open[thread] -= 1
            if not any(list(_open.values())):  # a list: a handler may change the dict in between
                _open.clear()
                numbers = _before.copy()
                _before.clear()
                _set_threads(numbers)


def one_thread_for(rows: int, inner: int = 1, columns: int = 1) -> AbstractContextManager[None]:
    """`one_thread` for the product of matrices (rows, inner) and (inner, columns), unless it is so
    small that BLAS uses one thread anyway: `one_thread` takes as long as a small product."""
    alone = 1 in (rows, inner, columns)  # of a vector
    small = rows * inner * columns <= (SMALL_VECTOR if alone else SMALL_PRODUCT)
    return nullcontext() if small else one_thread()


def _in_child() -> None:
    """After a fork: only the contexts of the thread that forked will end. Where there are none BLAS
    gets its threads back at the end of the child's first one."""
    thread = threading.get_ident()
    mine = _open[thread]
    _open.clear()
    _open[thread] = mine


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _set_threads(numbers: list[int]) -> None:
    # newer threadpoolctl obeys only the first thread that sets a number, unless that is cleared
    free = getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)
    free(force=True)
    # no numbers: the handler of a signal has set them
    for library, number in zip(_controller().lib_controllers, numbers, strict=False):
        library.set_num_threads(number)
    free(force=True)


def libraries() -> list[str]:
    """The BLAS libraries in this process, as "name version"."""
    return sorted({f"{lib['internal_api']} {lib['version']}" for lib in _controller().info()})


_own: int | None = None  # cores that this process has to itself, where others share the machine


def shared_by(own: int | None) -> None:
    """Say how many cores this process has to itself; None: all that it may use."""
    global _own
    _own = own


def cores() -> int:
    """How many cores this process may use."""
    if _own is not None:
        return _own
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_for(most: int | None) -> int:
    """As many threads as there are cores, at most `most`: more would only wait for each other."""
    return cores() if most is None else min(most, cores())
