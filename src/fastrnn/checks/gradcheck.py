"""Are the gradients right? Finite differences through the compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..model.model import Model
from ..settings import GradcheckSettings, checked, documented
from ..validate import float_array

SEQUENCE = 3  # axes of an array of sequences (N, T, D)


@dataclass(frozen=True)
class Worst:
    """The entry of a tensor whose gradients differ most.

    Attributes
    ----------
    error : float
        |a - n| / max(1e-12, |a| + |n|) of the analytic gradient a and the numerical one n.
    index : tuple of int
    analytic, numeric : float
    checked, size : int
        Entries compared, and entries of the tensor.
    """

    error: float
    index: tuple[int, ...]
    analytic: float
    numeric: float
    checked: int
    size: int


class Report:
    """What `gradcheck` found: ``report["layer0.Wh"]`` is the worst relative error of a tensor,
    ``report.max_error`` of all; printing it shows a table.

    Attributes
    ----------
    worst : dict of str -> Worst
    certain_error : float
        The largest error of all once 4 times `rounding` is taken from each difference: 0 where
        rounding alone explains what differs, as it may in gradients that are nearly 0.
    step : float
    rounding : float
        About how far the numerical gradients may be off because losses are rounded. An entry no
        larger than this cannot be checked; a larger step has less of it.
    first_wrong : tuple of int or None
        Of a checked function: the first entry, as they stand in the array, whose certain error is
        above the tolerance.
    wrong_steps : list of int or None
        Of a checked function of sequences (N, T, D): the time steps with such entries. The gradient
        comes from the last step back to the first; so where step 4 of 6 is right and those before
        are not, the way from one step to the one before is wrong.
    """

    def __init__(
        self, worst: dict[str, Worst], certain_error: float, step: float, rounding: float,
        first_wrong: tuple[int, ...] | None = None, wrong_steps: list[int] | None = None,
    ) -> None:
        self.worst, self.certain_error = worst, certain_error
        self.step, self.rounding = step, rounding
        self.first_wrong, self.wrong_steps = first_wrong, wrong_steps

    @property
    def max_error(self) -> float:
        return max(worst.error for worst in self.worst.values())

    def __getitem__(self, name: str) -> float:
        return self.worst[name].error

    def __str__(self) -> str:
        lines = [f"{'tensor':12} {'checked':>13} {'worst error':>12}  at {'':10} "
                 f"{'analytic':>13} {'numerical':>13}"]
        for name, w in self.worst.items():
            index = ", ".join(map(str, w.index))
            lines.append(f"{name:12} {f'{w.checked} of {w.size}':>13} {w.error:12.2e}  "
                         f"[{index}]{'':{max(0, 11 - len(index))}} "
                         f"{w.analytic:13.6e} {w.numeric:13.6e}")
        lines.append(f"largest relative error {self.max_error:.2e} (step {self.step:g}; numerical "
                     f"gradients are rounded by about {self.rounding:.0e}, beyond which the error "
                     f"is {self.certain_error:.2e})")
        if self.first_wrong is not None:
            lines.append(f"first wrong entry: {list(self.first_wrong)}")
        if self.wrong_steps:
            lines.append(f"wrong at time steps {', '.join(map(str, self.wrong_steps))}: first at "
                         f"step {self.wrong_steps[0]}")
        return "\n".join(lines)

    __repr__ = __str__  # notebooks show the table


@documented(GradcheckSettings)
def gradcheck(
    model: Model | Callable[[NDArray[Any]], ArrayLike],
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    state: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    labels: Any = None,
    dout: ArrayLike | None = None,
    **settings: Unpack[GradcheckSettings],
) -> Report:
    """Compare gradients with central differences, (L(p + step) - L(p - step)) / 2 step.

    ``gradcheck(model, inputs, targets)`` checks a model. Both gradients come from the compiled
    kernels, in float64 whatever the model's dtype; the model is not changed.

    ``gradcheck(f, x, df)`` checks any function f of an array x of float64 with its analytic
    gradient df, an array like x. Where f(x) is an array, df is that of the sum of dout o f(x).

    Parameters
    ----------
    model : Model or callable
    inputs : array_like of int ids, shape (N, T), or of float, shape (N, T, D); for a function x,
        any shape
    targets : array_like of int ids, shape (N, T), or of float, shape (N, T, K); for a function df,
        of the shape of x
    mask, lengths : array_like, optional
        Of a model: steps that count and lengths, as in `Sequences`.
    labels : sequence of N labels, or one, optional
        Of a model that has some: each a str or a dict of shares.
    dout : array_like, optional
        Of the shape of f(x); ones where not given.
    state : array_like, shape (N, P), optional
        Before the first step; small random numbers where not given, because zeros would hide a
        wrong gradient of the first step.
    **settings
        `GradcheckSettings`.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        As `Model.loss_and_gradients`.
    """
    how = checked(GradcheckSettings, dict(settings), "gradcheck")
    step, entries, rng = how["step"], how["entries"], np.random.default_rng(how["seed"])
    if not isinstance(model, Model):
        if not callable(model):
            raise TypeError(f"gradcheck takes a Model or a function, not {model!r}")
        return _check_function(model, inputs, targets, dout, step, how["tolerance"], entries, rng)
    twin = model.in_float64()
    if state is None:
        state = rng.normal(0, 0.1, twin.zero_state(len(np.asarray(inputs))).shape)
    slices = twin.network(*np.shape(inputs)[1::-1]).slices if how["dropout"] else []
    seeds = rng.integers(2**63, size=len(slices))

    def generators() -> list[np.random.Generator] | None:  # at their start, so that masks repeat
        return [np.random.default_rng(int(s)) for s in seeds] or None

    about: dict[str, Any] = {"mask": mask, "lengths": lengths, "labels": labels}
    _, grads, _ = twin.loss_and_gradients(inputs, targets, state, generators=generators(), **about)

    def losses_at(view: Any, index: tuple[int, ...], value: float) -> NDArray[np.float64]:
        before = view[index]
        view[index] = value
        losses = twin.losses(inputs, targets, state, generators=generators(), **about)  # (N, T)
        view[index] = before
        return losses

    losses = twin.losses(inputs, targets, state, generators=generators(), **about)
    rounding = float(np.finfo(np.float64).eps * np.abs(losses).max() / step)
    worst: dict[str, Worst] = {}
    certain = 0.0
    for name, p in twin.params.items():
        chosen = _chosen(p, entries, rng)
        found: Worst | None = None
        for index in chosen:
            high, low = p[index] + step, p[index] - step
            # each prediction's difference first: the sums are so large that they round it away
            change = losses_at(p, index, high) - losses_at(p, index, low)
            n = math.fsum(change.flat) / len(change) / (high - low)
            a = float(grads[name][index])
            error, sure = _errors(a, n, rounding)
            certain = max(certain, sure)
            if found is None or error > found.error:
                found = Worst(error, index, a, n, len(chosen), p.size)
        if found is not None:
            worst[name] = found
    return Report(worst, certain, step, rounding)


def _check_function(
    f: Callable[[NDArray[Any]], ArrayLike], x: ArrayLike, df: ArrayLike, dout: ArrayLike | None,
    step: float, tolerance: float, entries: int | None, rng: np.random.Generator,
) -> Report:
    x = float_array("x", x, (...,), np.float64).copy()
    df = float_array("df", df, x.shape, np.float64)
    y = np.array(f(x.copy()), np.float64)
    weights = np.ones_like(y) if dout is None else float_array("dout", dout, y.shape, np.float64)
    # each entry of f(x) is rounded by itself
    rounding = float(np.finfo(np.float64).eps * np.linalg.norm(y * weights) / step)
    chosen = _chosen(x, entries, rng)
    certain, found, wrong = 0.0, None, []
    for index in chosen:
        results = []
        for value in (x[index] + step, x[index] - step):
            moved = x.copy()
            moved[index] = value
            results.append((np.array(f(moved), np.float64), value))
        (above, high), (below, low) = results
        n = math.fsum(((above - below) * weights).flat) / (high - low)
        a = float(df[index])
        error, sure = _errors(a, n, rounding)
        certain = max(certain, sure)
        if sure > tolerance:
            wrong.append(index)
        if found is None or error > found.error:
            found = Worst(error, index, a, n, len(chosen), x.size)
    if found is None:
        raise ValueError("x has no entries to check")
    steps = sorted({index[1] for index in wrong}) if x.ndim == SEQUENCE else None
    return Report({"x": found}, certain, step, rounding, min(wrong, default=None), steps)


def _chosen(
    array: NDArray[Any], entries: int | None, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Places in an array: all, or so many drawn at random."""
    count = array.size if entries is None else min(entries, array.size)
    flat = (np.arange(array.size) if count == array.size
            else rng.choice(array.size, count, replace=False))
    return [tuple(int(i) for i in np.unravel_index(place, array.shape)) for place in flat]


def _errors(a: float, n: float, rounding: float) -> tuple[float, float]:
    """The relative error, and what is left of it without 4 times `rounding`."""
    if not math.isfinite(a - n):  # a NaN would be lost in comparisons
        return math.inf, math.inf
    size = max(1e-12, abs(a) + abs(n))
    return abs(a - n) / size, (abs(a - n) - 4 * rounding) / size
