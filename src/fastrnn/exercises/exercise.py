"""An exercise: the functions that a student writes, and what a check of them says."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from .comparing import Wrong

MISSING, WRONG, RIGHT = "not filled in yet", "wrong", "right"


@dataclass(frozen=True)
class Outcome:
    """What the check of one function found.

    Attributes
    ----------
    piece : str
        The name of the function.
    status : str
        "right", "wrong" or "not filled in yet".
    text : str
        What is wrong, and where first; "" where nothing is.
    """

    piece: str
    status: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.piece}: {self.status}" + (f": {self.text}" if self.text else "")


@dataclass(frozen=True)
class Exercise:
    """A folder that a teacher hands out.

    Attributes
    ----------
    name : str
    title : str
    file : str
        The file that the student fills in.
    pieces : dict of str -> function
        For each function of that file, in their order, the check of it: called with the student's
        module it raises `Wrong` where the function is.
    """

    name: str
    title: str
    file: str
    pieces: dict[str, Callable[[ModuleType], None]] = field(repr=False)

    def check(self, piece: str, own: ModuleType) -> Outcome:
        """Check one function of a student's module."""
        try:
            with np.errstate(all="ignore"):  # what overflows is judged, not warned of
                self.pieces[piece](own)
        except NotImplementedError as error:
            other = str(error)
            needed = other in self.pieces and other != piece
            return Outcome(piece, MISSING, f"it needs {other}" if needed else "")
        except Wrong as wrong:
            return Outcome(piece, WRONG, str(wrong))
        except (Exception, SystemExit) as error:  # whatever a student's code raises
            return Outcome(piece, WRONG, stopped(error, own))
        return Outcome(piece, RIGHT)


def stopped(error: BaseException, own: ModuleType) -> str:
    """The error of a student's code and the last line of their file that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == own.__file__]
    place = f" in line {lines[-1]} of {own.__name__}.py" if lines else ""
    return f"it stops{place} with {type(error).__name__}: {error}"
