"""Ctrl-C while training."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """A context in which Ctrl-C only sets a flag, so that it cannot come between an update and its
    record; a second Ctrl-C is raised at once. Yields a function that returns the flag."""
    pressed = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Python handles signals in the main thread only
        return
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(*_: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before or signal.default_int_handler)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
