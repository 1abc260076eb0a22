"""The losses of a run that goes on, drawn anew from time to time."""

import io
import os
import time
import warnings
from importlib import import_module
from typing import Any

from .axes import axes_for, check_kind, in_notebook, save, write
from .losses import draw_losses

PAUSE = 2.0  # seconds between two pictures, at least
EFFORT = 50  # and all of them take at most 1 / EFFORT of the time
EXPECTED = 0.2  # seconds for the first picture


class Live:
    """Draws the losses of a run, told its events: into a file, or where that is None into the
    output of a notebook's cell. `current` says whether the picture has all that was trained."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        if path is not None:
            check_kind(path)
        elif not in_notebook():
            raise ValueError("live() shows the losses in a notebook: elsewhere name a file, "
                             "live('loss.png')")
        self._path, self.current = path, False
        self._shown: Any = None  # the picture in a notebook
        self._begin()

    def _begin(self) -> None:
        self._cost, self._spent, self._last = EXPECTED, 0.0, time.perf_counter()
        self._began, self._failed = self._last, False

    def __call__(self, event: Any) -> None:
        if event.kind in ("started", "resumed"):
            self._begin()
        now = time.perf_counter()
        due = (now - self._last >= PAUSE
               and now - self._began >= EFFORT * (self._spent + self._cost))
        self.current = False
        if len(event.trainer.history) and (due or event.kind == "ended"):
            self._draw(event.trainer.history)
            self._last = time.perf_counter()
            self._cost = self._last - now
            self._spent += self._cost

    def _draw(self, history: Any) -> None:
        (axes,) = axes_for(None, 8, 4.5, shown=False)
        draw_losses({"": history}, ax=axes)
        if self._path is None:
            self._show(axes)
        else:
            try:
                write(axes, self._path)
            except OSError as error:
                if not self._failed:
                    warnings.warn(f"{error}; the training goes on", stacklevel=8)
                self._failed = True
                return
        self._failed, self.current = False, True

    def _show(self, axes: Any) -> None:
        """Put the picture into the output of the cell, in the place of the last one."""
        picture = io.BytesIO()
        save(axes, picture, "png", dpi=90)
        display = import_module("IPython.display")
        image = display.Image(data=picture.getvalue())
        if self._shown is None:
            self._shown = display.display(image, display_id=True)
        else:
            self._shown.update(image)
