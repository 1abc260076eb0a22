"""The exercises by name."""

from .echo import EXERCISE as ECHO
from .exercise import Exercise
from .kth import EXERCISE as KTH
from .lstm import EXERCISE as LSTM
from .names import EXERCISE as NAMES

EXERCISES: dict[str, Exercise] = {each.name: each for each in (KTH, LSTM, ECHO, NAMES)}
