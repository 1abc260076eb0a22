"""Exercises for a course: a skeleton in NumPy that students fill in, and checks of each function.

>>> from fastrnn import exercises
>>> exercises.new("kth")                     # the folder kth, with README.md and rnn.py
>>> for outcome in exercises.check("kth"):   # what is right, and what is wrong where first
...     print(outcome)

`EXERCISES` are the exercises by name. `first_difference` says where two arrays differ first, for a
test of your own.
"""

from .comparing import first_difference
from .exercise import Exercise, Outcome
from .folder import check, new
from .table import EXERCISES

__all__ = ["EXERCISES", "Exercise", "Outcome", "check", "first_difference", "new"]
