"""The exercises by name."""

from .exercise import Exercise
from .kth import EXERCISE as KTH

EXERCISES: dict[str, Exercise] = {each.name: each for each in (KTH,)}
