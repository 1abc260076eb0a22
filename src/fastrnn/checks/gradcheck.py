"""Gradients against finite differences through the compiled kernels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..model.model import Model
from ..settings import GradcheckSettings, checked, documented
from ..validate import float_array

Array = NDArray[Any]
EPS = np.finfo(np.float64).eps
SEQUENCE = 3  # axes of an array of sequences (N, T, D)


@dataclass(frozen=True)
class Worst:
    """The entry of a tensor where the analytic and the numerical gradient differ most.

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


@dataclass(eq=False, repr=False)
class Report:
    """The result of `gradcheck`: ``report["layer0.Wh"]`` is the worst relative error of a tensor,
    ``report.max_error`` of all tensors; printing it shows a table.

    Attributes
    ----------
    worst : dict of str -> Worst
    certain_error : float
        The largest error of all once 4 times `rounding` is subtracted from each difference: 0 where
        rounding alone explains the difference, as it may in gradients that are nearly 0.
    step : float
    rounding : float
        About how far the numerical gradients may be off because losses are rounded. An entry no
        larger than this cannot be checked; a larger step has less of it.
    first_wrong : tuple of int or None
        Of a checked function: the first entry, in the order of the array, whose certain error is
        above the tolerance.
    wrong_steps : list of int or None
        Of a checked function of sequences (N, T, D): the time steps with such entries. Gradients
        flow from the last step back to the first; where one step is right and all steps before it
        are wrong, the backward pass from that step to the one before it is wrong.
    """

    worst: dict[str, Worst]
    certain_error: float
    step: float
    rounding: float
    first_wrong: tuple[int, ...] | None = None
    wrong_steps: list[int] | None = None

    @property
    def max_error(self) -> float:
        return max(worst.error for worst in self.worst.values())

    def __getitem__(self, name: str) -> float:
        return self.worst[name].error

    def __str__(self) -> str:
        lines = [f"{'tensor':12} {'checked':>13} {'worst error':>12}  {'at':13} "
                 f"{'analytic':>13} {'numerical':>13}"]
        for name, w in self.worst.items():
            lines.append(f"{name:12} {f'{w.checked} of {w.size}':>13} {w.error:12.2e}  "
                         f"{list(w.index)!s:13} {w.analytic:13.6e} {w.numeric:13.6e}")
        lines.append(f"largest relative error {self.max_error:.2e} (step {self.step:g}; numerical "
                     f"gradients are rounded by about {self.rounding:.0e}, beyond which the error "
                     f"is {self.certain_error:.2e})")
        if self.first_wrong is not None:
            lines.append(f"first wrong entry: {list(self.first_wrong)}")
        if self.wrong_steps:
            lines.append(f"wrong at time steps {str(self.wrong_steps)[1:-1]}: first at step "
                         f"{self.wrong_steps[0]}")
        return "\n".join(lines)

    __repr__ = __str__  # notebooks show the table


@documented(GradcheckSettings)
def gradcheck(
    model: Model | Callable[[NDArray[Any]], ArrayLike], inputs: ArrayLike, targets: ArrayLike, *,
    state: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, labels: Any = None, dout: ArrayLike | None = None,
    **settings: Unpack[GradcheckSettings],
) -> Report:
    """Compare gradients with central differences, (L(p + step) - L(p - step)) / (2 step).

    ``gradcheck(model, inputs, targets)`` checks a model. Both gradients come from the compiled
    kernels, in float64 whatever the model's dtype; the model is not changed.

    ``gradcheck(f, x, df)`` checks any function f of an array x of float64 with its analytic
    gradient df, an array like x. Where f(x) is an array, df is the gradient of the sum of
    dout * f(x), * the elementwise product.

    Parameters
    ----------
    model : Model or callable
    inputs : array_like of int ids, shape (N, T), or of float, shape (N, T, D); for a function x,
        any shape
    targets : array_like of int ids, shape (N, T), or of float, shape (N, T, K); for a function df,
        of the shape of x
    state : array_like, shape (N, P), optional
        A model's state before the first step; small random numbers where not given, because zeros
        would hide a wrong gradient of the first step.
    mask, lengths : array_like, optional
        For a model: steps that count and lengths, as in `Sequences`.
    labels : sequence of N labels, or one, optional
        For a model with labels: each a str or a dict of label -> weight.
    dout : array_like, optional
        The weights of f(x), of its shape; ones where not given.
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
    rng = np.random.default_rng(how["seed"])
    if not isinstance(model, Model):
        if not callable(model):
            raise TypeError(f"gradcheck takes a Model or a function, not {model!r}")
        return _check_function(model, inputs, targets, dout, how)
    twin = model.in_float64()
    if state is None:
        state = rng.normal(0, 0.1, twin.zero_state(len(np.asarray(inputs))).shape)
    slices = twin.network(*np.shape(inputs)[1::-1]).slices if how["dropout"] else []
    seeds = rng.integers(2**63, size=len(slices))

    def call(method: Callable[..., Any]) -> Any:
        generators = [np.random.default_rng(int(s)) for s in seeds] or None  # the same masks again
        return method(inputs, targets, state, mask=mask, lengths=lengths, labels=labels,
                      generators=generators)

    _, grads, _ = call(twin.loss_and_gradients)
    losses = call(twin.losses)  # (N, T)
    # the sum over time of losses that are each rounded by themselves, averaged over the batch
    rounding = float(EPS * np.linalg.norm(losses) / len(losses) / how["step"])
    return _report({name: _compare(p, grads[name], lambda: call(twin.losses),
                                   lambda change: math.fsum(change.flat) / len(change), rounding,
                                   how, rng)
                    for name, p in twin.params.items()}, how["step"], rounding)


def _check_function(f: Callable[[Array], ArrayLike], x: ArrayLike, df: ArrayLike,
                    dout: ArrayLike | None, how: dict[str, Any]) -> Report:
    x = float_array("x", x, (...,), np.float64).copy()
    df = float_array("df", df, x.shape, np.float64)
    y = np.array(f(x.copy()), np.float64)
    weights = np.ones_like(y) if dout is None else float_array("dout", dout, y.shape, np.float64)
    # each entry of f(x) is rounded by itself
    rounding = float(EPS * np.linalg.norm(y * weights) / how["step"])
    found = _compare(x, df, lambda: np.array(f(x.copy()), np.float64),
                     lambda change: math.fsum((change * weights).flat), rounding, how,
                     np.random.default_rng(how["seed"]))
    if not found:
        raise ValueError("x has no entries to check")
    report = _report({"x": found}, how["step"], rounding)
    wrong = [entry.index for entry, certain in found if certain > how["tolerance"]]
    report.first_wrong = min(wrong, default=None)
    report.wrong_steps = sorted({index[1] for index in wrong}) if x.ndim == SEQUENCE else None
    return report


def _compare(p: Array, gradient: Array, values: Callable[[], Array],
             total: Callable[[Array], float], rounding: float, how: dict[str, Any],
             rng: np.random.Generator) -> list[tuple[Worst, float]]:
    """Each checked entry of p with its certain error; values() are the losses with p as it is now,
    total(change) sums their changes."""
    count = p.size if how["entries"] is None else min(how["entries"], p.size)
    places = np.arange(p.size) if count == p.size else rng.choice(p.size, count, replace=False)
    found = []
    for place in places:
        index = tuple(int(i) for i in np.unravel_index(place, p.shape))
        before = p[index]
        high, low = before + how["step"], before - how["step"]
        p[index] = high
        above = values()
        p[index] = low
        change = above - values()  # before the sum, whose rounding would hide it
        p[index] = before
        a, n = float(gradient[index]), float(total(change) / (high - low))
        size = max(1e-12, abs(a) + abs(n))
        error, certain = abs(a - n) / size, (abs(a - n) - 4 * rounding) / size
        if not math.isfinite(a - n):  # a NaN would be lost in comparisons
            error = certain = math.inf
        found.append((Worst(error, index, a, n, count, p.size), certain))
    return found


def _report(found: dict[str, list[tuple[Worst, float]]], step: float, rounding: float) -> Report:
    worst = {name: max((entry for entry, _ in entries), key=lambda entry: entry.error)
             for name, entries in found.items()}
    certain = max(certain for entries in found.values() for _, certain in entries)
    return Report(worst, max(0.0, certain), step, rounding)
