"""Signals that ask a training run to end: Ctrl-C (SIGINT), SIGTERM and SIGHUP."""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any

from ..figures.axes import in_notebook

SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT")  # schedulers send SIGTERM, a closed terminal SIGHUP
AT_ONCE = 3  # the Ctrl-C that does not wait for a long save
GRACE = 0.5  # seconds from the first one that even impatient presses leave to a save


class Interrupts:
    """A context in which these signals only set a flag, so that none comes between an update and
    its record, or into a save; calling the context returns the flag. A third Ctrl-C ends the
    process (in an interactive session: raises KeyboardInterrupt) half a second after the first, or
    at once if that has passed.

    Outside the main thread, which alone can handle signals, nothing is installed, and a signal
    that the program ignores stays ignored. Inside another such context it shares its flag."""

    def __init__(self, shown: bool) -> None:
        self._shown, self._presses = shown, 0
        self._outer: Interrupts | None = None
        self._number: int | None = None  # the first signal that came
        self._before: dict[int, Any] = {}
        self._first = 0.0  # when the first one came
        self._alarm: Any = None  # the handler of SIGALRM before, where one is set

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
            before: Any = signal.getsignal(number)
            owner = getattr(before, "__self__", None)
            if isinstance(owner, Interrupts):
                self._outer = owner
            elif before not in (signal.SIG_IGN, None):  # None: a handler that is not Python's
                self._before[number] = before
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._alarm is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._alarm)
        for number, before in self._before.items():  # SIGINT last, whose handler may raise
            signal.signal(number, before)

    def __call__(self) -> bool:
        return self._outer() if self._outer else self._number is not None

    @property
    def ending(self) -> int | None:
        """The signal that came, unless that was Ctrl-C, which comes to all ranks."""
        return None if self._number == signal.SIGINT else self._number

    def _on_signal(self, number: int, _: Any) -> None:
        self._first = self._first or time.monotonic()
        self._number = self._number or number
        self._presses += number == signal.SIGINT
        left = self._first + GRACE - time.monotonic()
        if number != signal.SIGINT or self._presses < AT_ONCE - 1:
            return
        if self._presses < AT_ONCE:
            if self._shown:
                with contextlib.suppress(OSError):  # a print may be under way: write beside it
                    os.write(2, b"\nsaving; Ctrl-C again ends without that\n")
        elif left > 0 and hasattr(signal, "setitimer"):
            self._alarm = self._alarm or signal.signal(signal.SIGALRM, self._end) or signal.SIG_DFL
            signal.setitimer(signal.ITIMER_REAL, left)
        else:
            self._end()

    def _end(self, *_: Any) -> None:
        if hasattr(sys, "ps1") or in_notebook():
            raise KeyboardInterrupt
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)

    def deliver(self) -> None:
        """After the context: hand the signal that came to the program's own handler, which raises
        KeyboardInterrupt or ends the process; raise KeyboardInterrupt if it does neither."""
        if self():
            if self._number is not None:
                signal.raise_signal(self._number)
            raise KeyboardInterrupt
