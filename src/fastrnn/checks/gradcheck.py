"""Gradients against finite differences through the compiled kernels."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import html, kernels
from ..model.model import Model
from ..settings import GradcheckSettings, checked, documented
from ..validate import float_array, positive_float, read_array, read_masked
from .differences import SURE, Array, Entry, Losses, Status, amplified_noise, noise_of_losses

EPS32 = float(np.finfo(np.float32).eps)
COURSES = 1e-7  # the relative error that karpathy's min-char-rnn and the courses expect
LARGE32 = 1e19  # products of such gradients are infinite in float32
MOVES32 = 32  # roundings by which weights are moved to see whether float32 can tell anything
SEQUENCE = 3  # axes of an array of sequences (N, T, D)
# An entry within a step of a kink of relu is a matter of chance; in a chaotic recurrence nearly all
# entries are unsettled, so that this fraction tells the two apart.
MOST_UNSETTLED = 0.01
TOO_FAST = ("the loss changes too fast around these weights (a chaotic recurrence or a kink of "
            "relu)")
TOO_COARSE = "whose rounded products are too coarse for finite differences"


@dataclass(frozen=True)
class Worst:
    """The entry of a tensor where the analytic and the numerical gradient differ most, of those
    that are compared; of all entries where the tensor cannot be judged.

    Attributes
    ----------
    error : float
        |a - n| / max(1e-12, |a| + |n|) of the analytic gradient a and the numerical one n.
    index : tuple of int
    analytic, numeric : float
    checked, size : int
        Entries looked at, and entries of the tensor.
    too_small : int
        Entries so small that rounding of the losses could hide an error of the tolerance.
    unsettled : int
        Entries whose numerical gradient depends on the step, so that it is no measure.
    judged : bool
        Whether the entries that could be compared are enough to judge the tensor.
    """

    error: float
    index: tuple[int, ...]
    analytic: float
    numeric: float
    checked: int
    size: int
    too_small: int
    unsettled: int
    judged: bool


@dataclass(frozen=True)
class InFloat32:
    """The gradients g32 of the float32 kernels beside those of float64, g64, of the same weights.

    Attributes
    ----------
    errors : dict of str -> float
        ||g32 - g64|| / ||g64|| of each tensor.
    bound : float
        The largest that passes: 32 eps sqrt(T) with eps = 2^-23, as roundings add up over T steps,
        divided by the root mean square of 1 - p where the probabilities p of the targets are near
        1, since float32 does not know 1 - p better.
    sensitivity : float
        How far the float64 gradients move, measured in the same way, where the weights are moved
        by up to 32 roundings of float32. Where this is above the bound, errors up to it are not
        conclusive.
    """

    errors: dict[str, float]
    bound: float
    sensitivity: float

    @property
    def max_error(self) -> float:
        return max(self.errors.values())


@dataclass(eq=False, repr=False)
class Report:
    """The result of `gradcheck`; printing it shows a table and the verdict.

    ``report["layer0.Wh"]`` is the worst relative error of a tensor and ``report.max_error`` that of
    all, which is compared with the tolerance. ``report.entries("layer0.Wh")`` are all entries of
    it that were checked, and ``print(report.listing("layer0.Wh"))`` shows them.

    Attributes
    ----------
    passed : bool or None
        True: `max_error` is below the tolerance (and for a float32 model `float32.max_error` within
        its bound). False: an entry is wrong. None: not conclusive; `verdict` says why.
    verdict : str
        One sentence: "passed", "FAILED" or "not conclusive", with the reason.
    worst : dict of str -> Worst
    tolerance, step : float
    rounding : float
        About how far central differences of this step are off because losses are rounded.
    float32 : InFloat32 or None
        For a float32 model: how far the float32 kernels are from those of float64.
    first_wrong : tuple of int or None
        Of a checked function: the first wrong entry, in the order of the array.
    found : dict of str -> list of Entry
        Every checked entry of each tensor.
    wrong_steps : list of int or None
        Of a checked function of sequences (N, T, D): the time steps with wrong entries. Gradients
        flow from the last step back to the first; where one step is right and all steps before it
        are wrong, the backward pass from that step to the one before it is wrong.
    """

    worst: dict[str, Worst]
    passed: bool | None
    verdict: str
    tolerance: float
    step: float
    rounding: float
    float32: InFloat32 | None = None
    first_wrong: tuple[int, ...] | None = None
    wrong_steps: list[int] | None = None
    found: dict[str, list[Entry]] = field(default_factory=dict)

    @property
    def max_error(self) -> float:
        return max(worst.error for worst in self.worst.values())

    @property
    def max_difference(self) -> float:
        """The largest |a - n| of all checked entries, n the central difference with the step."""
        return max(entry.difference for entry in self.entries())

    def entries(self, name: str | None = None) -> list[Entry]:
        """The checked entries of a tensor ("x" for a checked function) or, where not given, of all,
        in order.

        Raises
        ------
        KeyError
            A tensor that was not checked.
        """
        if name is not None and name not in self.found:
            raise KeyError(f"no tensor {name!r} was checked: they are {', '.join(self.found)}")
        each = [self.found[name]] if name is not None else self.found.values()
        return [entry for entries in each for entry in sorted(entries, key=lambda e: e.index)]

    def listing(self, name: str | None = None, eps: float = 1e-6) -> str:
        """A table of the checked entries of a tensor or, where not given, of all: the analytic
        gradient a, the central difference n, |a - n|, the courses' |a - n| / max(eps, |a| + |n|),
        and the relative error that decides, of a numerical gradient that is better where the
        central difference was not good enough.

        Raises
        ------
        KeyError
            A tensor that was not checked.
        ValueError
            eps is not above 0.
        """
        positive_float("eps", eps)
        lines = []
        for tensor in self.found if name is None else [name]:
            entries = self.entries(tensor)
            lines += [f"{tensor}: {len(entries)} of {self.worst[tensor].size} entries, step "
                      f"{self.step:g}; course: |a - n| / max({eps:g}, |a| + |n|)",
                      f"{'at':13} {'analytic a':>13} {'central n':>13} {'|a - n|':>9} "
                      f"{'course':>9} {'error':>9}  status"]
            lines += [f"{list(e.index)!s:13} {e.analytic:13.6e} {e.central:13.6e} "
                      f"{e.difference:9.2e} {e.course_error(eps):9.2e} {e.error:9.2e}  {e.status}"
                      for e in entries]
        return "\n".join(lines)

    def _absolute(self) -> str:
        """The largest absolute difference, and why a relative error above what courses ask for is
        no mistake."""
        said = f"largest absolute difference {self.max_difference:.1e}"
        worst = max(self.entries(), key=lambda entry: entry.course_error(1e-12))
        error = worst.course_error(1e-12)
        if self.passed is False or not error > COURSES:
            return said
        if worst.difference <= 2 * SURE * self.rounding:
            why = (f"is rounding, which moves a central difference by about {self.rounding:.0e} "
                   "however small the gradient is")
        elif self.passed:
            why = "comes from the step: differences of higher order agree better"
        else:
            return said
        return (f"{said}\nrelative errors of central differences reach {error:.1e}, where the "
                f"gradient is {worst.analytic:.0e}: that {why}")

    def __getitem__(self, name: str) -> float:
        return self.worst[name].error

    def __str__(self) -> str:
        lines = [f"{'tensor':12} {'checked':>13} {'too small':>9} {'worst error':>12}  {'at':13} "
                 f"{'analytic':>13} {'numerical':>13}" + ("  float32" if self.float32 else "")]
        for name, w in self.worst.items():
            lines.append(f"{name:12} {f'{w.checked} of {w.size}':>13} {w.too_small:9} "
                         f"{w.error:12.2e}  {list(w.index)!s:13} {w.analytic:13.6e} "
                         f"{w.numeric:13.6e}"
                         + (f" {self.float32.errors[name]:8.1e}" if self.float32 else ""))
        return "\n".join([*lines, *self._sentences(), self.verdict])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """How a notebook shows it: the verdict, and a line for each tensor."""
        head = ["tensor", "checked", "too small", "worst error", "at", "analytic", "numerical",
                *(["float32"] if self.float32 else [])]
        rows = [[name, f"{w.checked} of {w.size}", w.too_small, f"{w.error:.2e}",
                 str(list(w.index)), f"{w.analytic:.6e}", f"{w.numeric:.6e}",
                 *([f"{self.float32.errors[name]:.1e}"] if self.float32 else [])]
                for name, w in self.worst.items()]
        said = "".join(f"<li>{html.visible(text)}</li>" for text in self._sentences())
        return html.fragment(f"<p><strong>{html.visible(self.verdict)}</strong></p>"
                             f"{html.table(rows, head, 'Gradient check')}<ul>{said}</ul>")

    def _sentences(self) -> list[str]:
        """What is said below the table, before the verdict."""
        lines = [f"largest relative error {self.max_error:.2e} (step {self.step:g}; rounding "
                 f"moves numerical gradients by about {self.rounding:.0e})"]
        if self.found:
            lines += self._absolute().split("\n")
        if self.float32:
            lines.append(f"largest error of float32 {self.float32.max_error:.1e} (its bound is "
                         f"{self.float32.bound:.1e})")
        if self.first_wrong is not None:
            lines.append(f"first wrong entry: {list(self.first_wrong)}")
        if self.wrong_steps:
            lines.append(f"wrong at time steps {str(self.wrong_steps)[1:-1]}: first at step "
                         f"{self.wrong_steps[0]}")
        return lines


@documented(GradcheckSettings)
def gradcheck(
    model: Model | Callable[[NDArray[Any]], ArrayLike], inputs: ArrayLike, targets: ArrayLike, *,
    state: ArrayLike | None = None, mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None, labels: Any = None, dout: ArrayLike | None = None,
    **settings: Unpack[GradcheckSettings],
) -> Report:
    """Compare gradients with central differences, (L(p + step) - L(p - step)) / (2 step).

    ``gradcheck(model, inputs, targets)`` checks a model. Both gradients come from the compiled
    kernels, in float64; the model is not changed. For a float32 model the gradient of the float32
    kernels is compared with that of float64 as well. A model of mixed_bfloat16 is refused: check
    ``model.in_float64()``.

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
        ``report.passed`` is True, False, or None where rounding or a loss that changes too fast
        hides the answer.

    Raises
    ------
    ValueError, TypeError
        As `Model.loss_and_gradients`; a step that is lost in the rounding of an entry.

    Notes
    -----
    An entry that its central difference does not show to be right, or that is too small for it, is
    looked at again with differences of fourth order and steps from step / 256 to 1024 step. It is
    wrong only where those agree with one another.
    """
    how = checked(GradcheckSettings, dict(settings), "gradcheck")
    rng = np.random.default_rng(how["seed"])
    if not isinstance(model, Model):
        if not callable(model):
            raise TypeError(f"gradcheck takes a Model or a function, not {model!r}")
        return _check_function(model, inputs, targets, dout, how)
    return _check_model(model, inputs, targets, state, how, rng,
                        {"mask": mask, "lengths": lengths, "labels": labels})


def _check_model(model: Model, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None,
                 how: dict[str, Any], rng: np.random.Generator, more: dict[str, Any]) -> Report:
    if model.config["dtype"] == kernels.MIXED:
        raise ValueError(f"the model has dtype={kernels.MIXED!r}, {TOO_COARSE}: use float64, "
                         "by model.in_float64() or dtype='float64'")
    twin = model.in_float64()
    shape = read_masked("inputs", inputs)[0].shape
    if state is None:  # numbers that float32 has too
        state = rng.normal(0, 0.1, twin.zero_state(*shape[:1]).shape).astype(np.float32)
    seed = int(rng.integers(2**63))

    def call(network: Model, method: str) -> Any:
        generators = None
        if how["dropout"]:  # the same masks again
            slices = network.network(*shape[1::-1]).slices
            generators = np.random.default_rng(seed).spawn(len(slices))
        return getattr(network, method)(inputs, targets, state, generators=generators, **more)

    _, grads, _ = call(twin, "loss_and_gradients")
    start = call(twin, "losses")  # (N, T)

    def total(change: Array) -> float:
        return math.fsum(change.flat) / len(change)

    # -log p is the difference of two numbers of about 1, or larger, even where it is nearly 0
    parts = start if model.sizes.output_size else start + (start > 0)
    noise = amplified_noise(noise_of_losses(parts, len(start)), twin.block,
                            lambda: total(call(twin, "losses") - start), rng)
    losses = Losses(lambda: call(twin, "losses"), total, start, noise)
    found = {name: _compare(losses, p, grads[name], how, rng) for name, p in twin.params.items()}
    float32 = _in_float32(model, twin, grads, start, call, rng) if model.block.dtype == np.float32 \
        else None
    return _report(found, {name: p.size for name, p in twin.params.items()}, how, noise, float32)


def _in_float32(model: Model, twin: Model, grads: dict[str, Array], losses: Array,
                call: Callable[..., Any], rng: np.random.Generator) -> InFloat32:
    """How far the gradients of the float32 model are from those (`grads`) of its float64 twin."""
    _, in_float32, _ = call(model, "loss_and_gradients")
    sensitivity = 0.0 if max(np.abs(g).max() for g in grads.values()) < LARGE32 else math.inf
    for _ in range(8):
        twin.block *= 1 + MOVES32 * EPS32 * rng.uniform(-1, 1, twin.block.shape)
        _, moved, _ = call(twin, "loss_and_gradients")
        twin.block[:] = model.block
        sensitivity = max(sensitivity, *(_distance(g, grads[name]) for name, g in moved.items()))
    # A probability p near 1 is known to one rounding, and so is 1 - p, the gradient of its score.
    near = 1.0
    if model.sizes.output_symbols and losses.any():
        near = float(np.sqrt(np.mean(np.square(np.expm1(-losses[losses > 0])))))
    bound = 32 * EPS32 * math.sqrt(losses.shape[1]) / near
    return InFloat32({name: _distance(g, grads[name]) for name, g in in_float32.items()}, bound,
                     sensitivity)


def _distance(g: Array, exact: Array) -> float:
    """||g - exact|| / ||exact||"""
    apart, norm = np.linalg.norm(g.astype(np.float64) - exact), np.linalg.norm(exact)
    if not np.isfinite(apart):
        return math.inf
    return float(apart / norm) if norm > 0 else 0.0 if apart == 0 else math.inf


def _check_function(f: Callable[[Array], ArrayLike], x: ArrayLike, df: ArrayLike,
                    dout: ArrayLike | None, how: dict[str, Any]) -> Report:
    x = float_array("x", x, (...,), np.float64).copy()
    df = float_array("df", df, x.shape, np.float64)
    y = read_array("f(x)", f(x.copy()))
    for name, array in ("x", x), ("f(x)", y):  # NaN in df is a wrong gradient
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has NaN or infinity, of which there are no differences: give "
                             "finite numbers")
    y = y.astype(y.dtype if y.dtype.kind == "f" else np.float64)
    weights = np.ones(y.shape) if dout is None else float_array("dout", dout, y.shape, np.float64)
    noise = noise_of_losses(y * weights.astype(y.dtype), 1)
    losses = Losses(lambda: np.array(f(x.copy()), np.float64),
                    lambda change: math.fsum((change * weights).flat), y.astype(np.float64), noise)
    found = _compare(losses, x, df, how, np.random.default_rng(how["seed"]))
    if not found:
        raise ValueError("x has no entries to check")
    report = _report({"x": found}, {"x": x.size}, how, noise)
    wrong = [entry.index for entry in found if entry.status == "wrong"]
    report.first_wrong = min(wrong, default=None)
    report.wrong_steps = sorted({index[1] for index in wrong}) if x.ndim == SEQUENCE else None
    return report


def _compare(losses: Losses, p: Array, gradient: Array, how: dict[str, Any],
             rng: np.random.Generator) -> list[Entry]:
    """Each checked entry of p."""
    count = p.size if how["entries"] is None else min(how["entries"], p.size)
    places = np.arange(p.size) if count == p.size else rng.choice(p.size, count, replace=False)
    indices = [tuple(int(i) for i in np.unravel_index(place, p.shape)) for place in places]
    return [losses.check(p, index, float(gradient[index]), how["step"], how["tolerance"])
            for index in indices]


def _worst(entries: list[Entry], size: int, tolerance: float, settled: bool) -> Worst:
    """The worst entry of a tensor; `settled` is whether its unsettled entries, if any, are too few
    of the whole report to count."""
    def has(*status: str) -> list[Entry]:
        return [entry for entry in entries if entry.status in status]

    def worst_of(some: list[Entry]) -> Entry:
        return max(some, key=lambda entry: entry.error)

    compared = has("right", "wrong")
    # as good as 0 in a gradient of this size, such as those of saturated units
    negligible = tolerance * max(abs(entry.analytic) for entry in entries)
    hidden = has("unsettled") + [entry for entry in has("small")
                                 if abs(entry.analytic) + abs(entry.numeric) > negligible]
    small = len(has("small"))
    judged = settled and len(hidden) <= len(compared)
    pool = (compared + has("zero") if judged else []) or entries
    if settled and not judged and worst_of(entries).error < tolerance:
        judged, small = True, 0  # rounding was less than it might have been
    w = worst_of(has("wrong") or pool)
    return Worst(w.error, w.index, w.analytic, w.numeric, len(entries), size, small,
                 len(has("unsettled")), judged)


def _report(found: dict[str, list[Entry]], sizes: dict[str, int], how: dict[str, Any],
            noise: float, float32: InFloat32 | None = None) -> Report:
    tolerance = how["tolerance"]
    every = [entry.status for entries in found.values() for entry in entries]
    few = every.count("unsettled") <= MOST_UNSETTLED * len(every)
    worst = {name: _worst(entries, sizes[name], tolerance,
                          few or not any(e.status == "unsettled" for e in entries))
             for name, entries in found.items()}
    verdict = _verdict(worst, every, tolerance, few, float32)
    passed = {"passed": True, "FAILED": False}.get(verdict.partition(":")[0])
    return Report(worst, passed, verdict, tolerance, how["step"], noise / how["step"], float32,
                  found=found)


def _verdict(worst: dict[str, Worst], every: list[Status], tolerance: float, few: bool,
             float32: InFloat32 | None) -> str:
    """The sentence; `few` is whether the unsettled entries are too few to count."""
    name, w = max(worst.items(), key=lambda item: item[1].error)
    wrong, unsettled = every.count("wrong"), every.count("unsettled")
    small = sum(each.too_small for each in worst.values())
    if wrong:
        return (f"FAILED: {wrong} of {len(every)} entries {_are(wrong)} wrong; the relative error "
                f"{w.error:.2e} of {name} at {list(w.index)} is above the tolerance {tolerance:g}")
    beyond = float32 is not None and not float32.max_error <= float32.bound
    if not few:
        return (f"not conclusive: {unsettled} of {len(every)} entries cannot be judged, since "
                f"{TOO_FAST}: take smaller weights or fewer time steps")
    if float32 and beyond and not float32.max_error <= float32.sensitivity:
        return (f"FAILED: the gradients of the float32 kernels are off by {float32.max_error:.1e}, "
                f"above their bound {float32.bound:.1e}; no entry of float64 is wrong")
    for name, w in worst.items():
        if not w.judged and w.too_small >= w.unsettled:
            return (f"not conclusive: most gradients of {name} are so small that rounding could "
                    f"hide an error of the tolerance {tolerance:g}: take a larger step or "
                    "tolerance, or weights nearer to 0")
        if not w.judged:
            return (f"not conclusive: most gradients of {name} cannot be judged, since {TOO_FAST}: "
                    "take smaller weights or fewer time steps")
    if float32 and beyond:
        return (f"not conclusive: float64 passes, but a few roundings of float32 move the "
                f"gradients by up to {float32.sensitivity:.1e}, since {TOO_FAST}: take smaller "
                "weights or fewer time steps")
    largest = max(w.error for w in worst.values())
    parts = [f"passed: the largest relative error {largest:.2e} is below the tolerance "
             f"{tolerance:g}"]
    if float32:
        parts.append("float32 is within its bound")
    if small:
        parts.append(f"{small} of {len(every)} entries {_are(small)} too small to check")
    if unsettled:
        parts.append(f"{unsettled} {_are(unsettled)} not judged, at most 1 in 100, since "
                     f"{TOO_FAST}")
    return "; ".join(parts)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
