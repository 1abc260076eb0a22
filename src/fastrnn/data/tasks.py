"""Tasks that test a network's memory: sequences to repeat, to continue and to add up.

Each function draws from ``numpy.random.default_rng(seed)``; another seed gives other sequences.
"""

import numpy as np

from ..validate import finite_float, generator, positive_float, positive_int
from .sequences import Sequences

__all__ = ["memorization", "sine", "adding"]


def memorization(n: int, length: int, symbols: int = 8, blanks: int = 0,
                 seed: int | None = 0) -> Sequences:
    """Read some symbols, wait, and repeat them (Hochreiter and Schmidhuber 1997, as the copying
    problem of Arjovsky, Shah and Bengio 2016).

    With b the blank and d the delimiter, ``length`` 3 and ``blanks`` 2::

        inputs   s1 s2 s3 b  b  d  b  b  b
        targets  b  b  b  b  b  b  s1 s2 s3

    All steps count in the loss; ``model.accuracy(sequences, last=length)`` is the fraction of
    remembered symbols that are right.

    Parameters
    ----------
    n : int
        Number of sequences.
    length : int
        Symbols to remember; a sequence has 2 length + blanks + 1 steps.
    symbols : int
        Number of distinct symbols to remember, 0 to symbols - 1, equally likely. The blank is
        ``symbols``, the delimiter ``symbols + 1``.
    blanks : int
        Steps between the last symbol and the delimiter.
    seed : int or None

    Returns
    -------
    Sequences
        Inputs and targets (n, 2 length + blanks + 1), unsigned integers.
    """
    n, length = positive_int("n", n), positive_int("length", length)
    symbols, blanks = positive_int("symbols", symbols), positive_int("blanks", blanks, least=0)
    remembered = generator(seed).integers(symbols, size=(n, length))
    inputs = np.full((n, 2 * length + blanks + 1), symbols)
    targets = inputs.copy()
    inputs[:, :length] = targets[:, -length:] = remembered
    inputs[:, length + blanks] = symbols + 1
    return Sequences(inputs, targets, symbols=symbols + 2, name="memorization")


def sine(
    n: int, steps: int, step: float = 0.15, divisor: tuple[float, float] = (1.0, 2.0),
    seed: int | None = 0,
) -> Sequences:
    """Sine curves whose next value is predicted (an exercise of RWTH Aachen).

    Value t of a curve is sin(step t / d + p), with d uniform in `divisor` and p in [0, 2 pi). The
    target of a step is the next value, so a curve has steps + 1 values.

    Parameters
    ----------
    n : int
        Number of curves.
    steps : int
        Steps of each sequence.
    step : float
        Radians between values for d = 1.
    divisor : pair of float
        Lowest and highest d, above 0.
    seed : int or None

    Returns
    -------
    Sequences
        Inputs and targets (n, steps, 1), float64.
    """
    n, steps = positive_int("n", n), positive_int("steps", steps)
    if np.shape(divisor) != (2,):
        raise ValueError(f"divisor must be a low and a high value, not {divisor}")
    low, high = (positive_float("divisor", d) for d in divisor)
    if low > high:
        raise ValueError(f"divisor must be a low and a high value, not {divisor}")
    rng = generator(seed)
    frequency = finite_float("step", step) / rng.uniform(low, high, (n, 1))
    samples = np.sin(frequency * np.arange(steps + 1) + rng.uniform(0, 2 * np.pi, (n, 1)))
    return Sequences(samples[:, :-1, None], samples[:, 1:, None], name="sine")


def adding(n: int, length: int, seed: int | None = 0) -> Sequences:
    """Add two marked numbers of a sequence (Hochreiter and Schmidhuber 1997, in the form of Le,
    Jaitly and Hinton 2015).

    Each step has two inputs: a number uniform in [0, 1), and a mark, 1 at one step of each half and
    else 0. The target is the sum of the two marked numbers; only the last step counts in the loss.
    Always predicting 1 has a mean squared error of 1/6.

    Parameters
    ----------
    n : int
        Number of sequences.
    length : int
        Steps of each sequence, at least 2.
    seed : int or None

    Returns
    -------
    Sequences
        Inputs (n, length, 2), targets (n, length, 1), float64.
    """
    n, length = positive_int("n", n), positive_int("length", length, least=2)
    rng = generator(seed)
    numbers, marks = rng.random((n, length)), np.zeros((n, length))
    half, rows = length // 2, np.arange(n)
    marks[rows, rng.integers(0, half, n)] = 1
    marks[rows, rng.integers(half, length, n)] = 1
    targets, last = np.zeros((n, length, 1)), np.zeros((n, length), bool)
    targets[:, -1, 0] = (numbers * marks).sum(axis=1)
    last[:, -1] = True
    return Sequences(np.stack([numbers, marks], axis=2), targets, last, name="adding")
