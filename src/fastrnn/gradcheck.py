"""Are the gradients right? Finite differences through the compiled kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .model import Model
from .validate import generator, positive_float, positive_int


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
    """

    def __init__(
        self, worst: dict[str, Worst], certain_error: float, step: float, rounding: float
    ) -> None:
        self.worst, self.certain_error = worst, certain_error
        self.step, self.rounding = step, rounding

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
        return "\n".join(lines)

    __repr__ = __str__  # notebooks show the table


def gradcheck(
    model: Model,
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    state: ArrayLike | None = None,
    step: float = 1e-5,
    entries: int | None = None,
    dropout: bool = False,
    seed: int | None = 0,
) -> Report:
    """Compare the model's gradients with central differences, (L(p + step) - L(p - step)) / 2 step.

    Both come from the compiled kernels, in float64 whatever the model's dtype; the model is not
    changed.

    Parameters
    ----------
    model : Model
    inputs, targets : array_like of int ids, shape (N, T)
    state : array_like, shape (N, P), optional
        Before the first step; small random numbers where not given, because zeros would hide a
        wrong gradient of the first step.
    step : float
        By which an entry is moved, up and down.
    entries : int, optional
        Entries to check of each tensor, drawn at random; all where not given.
    dropout : bool
        Check with the model's dropout at work; the same units are dropped in all passes.
    seed : int or None
        Of the generator that draws these entries, the state and what is dropped; None: others
        each time.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        As `Model.loss_and_gradients`.
    """
    step = positive_float("step", step)
    rng = generator(seed)
    twin = Model(model.vocabulary, **(model.config | {"dtype": "float64"}))
    twin.block[:] = model.block
    if state is None:
        state = rng.normal(0, 0.1, twin.zero_state(len(np.asarray(inputs))).shape)
    N, T = twin._checked_ids("inputs", inputs).shape
    seeds = rng.integers(2**63, size=len(twin.network(T, N).slices)) if dropout else []

    def generators() -> list[np.random.Generator] | None:  # at their start, so that masks repeat
        return [np.random.default_rng(int(s)) for s in seeds] or None

    _, grads, _ = twin.loss_and_gradients(inputs, targets, state, generators=generators())

    def losses_at(view: Any, index: tuple[int, ...], value: float) -> NDArray[np.float64]:
        before = view[index]
        view[index] = value
        losses = twin.losses(inputs, targets, state, generators=generators())  # (N, T)
        view[index] = before
        return losses

    losses = twin.losses(inputs, targets, state, generators=generators())
    rounding = float(np.finfo(np.float64).eps * np.abs(losses).max() / step)
    worst, certain = {}, 0.0
    for name, p in twin.params.items():
        count = p.size if entries is None else min(positive_int("entries", entries), p.size)
        chosen = np.arange(p.size) if count == p.size else rng.choice(p.size, count, replace=False)
        found = None
        for flat in chosen:
            index = tuple(int(i) for i in np.unravel_index(flat, p.shape))
            high, low = p[index] + step, p[index] - step
            # each prediction's difference first: the sums are so large that they round it away
            change = losses_at(p, index, high) - losses_at(p, index, low)
            n = math.fsum(change.flat) / len(change) / (high - low)
            a = float(grads[name][index])
            error = math.inf  # also of a NaN, which would be lost in comparisons
            if math.isfinite(a - n):
                error = abs(a - n) / max(1e-12, abs(a) + abs(n))
                certain = max(certain, error - 4 * rounding / max(1e-12, abs(a) + abs(n)))
            else:
                certain = math.inf
            if found is None or error > found.error:
                found = Worst(error, index, a, n, count, p.size)
        worst[name] = found
    return Report(worst, certain, step, rounding)
