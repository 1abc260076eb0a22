"""The checks of exercise "lstm": one LSTM layer, forward and backward, step by step.

Its parameters are those of `fastrnn.nn.LSTM`: Wx (D, 4 H), Wh (H, 4 H), b (4 H), the gates in the
order i, f, o, g.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import expit

from .. import nn
from .comparing import Array, Arrays, Wrong, call, first_difference, judge, named
from .exercise import Exercise

N, T, D, H = 2, 5, 3, 4  # sequences, time steps, inputs and hidden units of the checks
GATES = ("i", "f", "o", "g")
ROW = ("sequence", "unit")
STEP_NAMES = ("dx", "dh_before", "dc_before", "dWx", "dWh", "db")
BACK_NAMES = ("dx", "dh0", "dWx", "dWh", "db")


@dataclass(frozen=True)
class Batch:
    """Parameters, inputs x (N, T, D), states h0 and c0 (N, H), gradients dh and dc (N, T, H)."""

    Wx: Array
    Wh: Array
    b: Array
    x: Array
    h0: Array
    c0: Array
    dh: Array
    dc: Array

    @property
    def weights(self) -> tuple[Array, Array, Array]:
        return self.Wx, self.Wh, self.b

    def layer(self) -> nn.LSTM:
        """The compiled layer with these weights."""
        layer = nn.LSTM(D, H, dtype="float64")
        layer.load_state_dict({"Wx": self.Wx, "Wh": self.Wh, "b": self.b})
        return layer


@cache
def batch() -> Batch:
    rng = np.random.default_rng(231)
    shapes = ((D, 4 * H), (H, 4 * H), (4 * H,), (N, T, D), (N, H), (N, H), (N, T, H), (N, T, H))
    return Batch(*(rng.normal(0, 0.6, shape) for shape in shapes))


def check_sigmoid(own: ModuleType) -> None:
    z = np.array([[-1000.0, -2.0, 0.0], [0.5, 30.0, 1000.0]])
    judge(named("sigmoid", call(own, "sigmoid", z), "s"), {"s": expit(z)}, {}, {
        "exp overflows in a quotient inf / inf: no exp of a large positive number is needed.":
            {"s": np.exp(z) / (1 + np.exp(z))},
        "The sign is wrong: it is 1 / (1 + exp(-z)).": {"s": expit(-z)}})


def wrong_step(w: Batch, x: Array, h: Array, c: Array, mistake: str) -> tuple[Array, Array]:
    """h and c after a step with a mistake."""
    z = np.split(x @ w.Wx + h @ w.Wh + (0 if mistake == "no b" else w.b), 4, axis=1)
    i, f, o, g = (z[0], z[1], z[3], z[2]) if mistake == "order" else z
    i, f, o, g = expit(i), expit(f), expit(o), expit(g) if mistake == "g" else np.tanh(g)
    f = {"no f": np.ones_like(f), "i and f": i}.get(mistake, f)
    i = expit(z[1]) if mistake == "i and f" else i
    c = f * c + i * g
    return o * (c if mistake == "no tanh" else np.tanh(c)), c


STEP_MISTAKES = {
    "order": "The blocks are taken in the order i, f, g, o: it is i, f, o, g.",
    "no b": "b is missing.",
    "g": "g has a sigmoid: it has tanh.",
    "i and f": "i and f are exchanged.",
    "no f": "The forget gate is missing: c_t = f c_{t-1} + i g.",
    "no tanh": "h = o c: it is o tanh(c)."}


def check_step(own: ModuleType) -> None:
    w, x = batch(), batch().x[:, 0]
    got = named("step", call(own, "step", x, w.h0, w.c0, *w.weights), "h", "c", "cache")
    h, c, _ = w.layer().step(x, w.h0, w.c0)
    mistakes = {text: wrong_step(w, x, w.h0, w.c0, mistake)
                for mistake, text in STEP_MISTAKES.items()}
    judge(got, {"c": c, "h": h}, {"c": ROW, "h": ROW},
          {text: {"h": pair[0], "c": pair[1]} for text, pair in mistakes.items()})


def by_gate(arrays: Mapping[str, Any], right: Arrays) -> dict[str, Any]:
    """The gradients with respect to the parameters, gate by gate, then the others; an array of a
    wrong shape raises Wrong."""
    for name, array in right.items():
        if np.shape(arrays[name]) != array.shape:
            raise Wrong(str(first_difference(arrays[name], array, name)))
    parts: dict[str, Any] = {}
    for name in ("db", "dWx", "dWh"):
        blocks = np.split(np.asarray(arrays[name]), 4, axis=-1)
        parts |= {f"{name} of gate {gate}": block
                  for gate, block in zip(GATES, blocks, strict=True)}
    return parts | {name: array for name, array in arrays.items()
                    if name not in ("db", "dWx", "dWh")}


def step_backward(w: Batch, mistake: str = "") -> dict[str, Array]:
    """What step_backward returns for the first step, with a mistake if one is named."""
    x, dh, dc = w.x[:, 0], w.dh[:, 0], w.dc[:, 0]
    z = np.split(x @ w.Wx + w.h0 @ w.Wh + w.b, 4, axis=1)
    i, f, o, g = expit(z[0]), expit(z[1]), expit(z[2]), np.tanh(z[3])
    c = f * w.c0 + i * g
    slope = 1 if mistake == "no slope of c" else 1 - np.tanh(c) ** 2
    total = (0 if mistake == "no dc" else dc) + (0 if mistake == "no dh" else dh * o * slope)
    before = c if mistake == "c after" else w.c0
    dgates = [total * g, total * before, dh * np.tanh(c), total * i]
    slopes = [i * (1 - i), f * (1 - f), o * (1 - o), 1 - g**2]
    if mistake == "no slope of gates":
        slopes[:3] = [np.ones_like(i)] * 3
    if mistake == "no slope of g":
        slopes[3] = np.ones_like(g)
    dz = np.hstack([d * s for d, s in zip(dgates, slopes, strict=True)])
    if mistake == "order":
        dz = np.hstack([dz[:, : 2 * H], dz[:, 3 * H :], dz[:, 2 * H : 3 * H]])
    return {"dx": dz @ w.Wx.T, "dh_before": dz @ w.Wh.T,
            "dc_before": total * (1 if mistake == "no f" else f), "dWx": x.T @ dz,
            "dWh": w.h0.T @ dz, "db": dz.mean(0) if mistake == "mean" else dz.sum(0)}


STEP_BACKWARD_MISTAKES = {
    "no dc": "dc, the gradient from the step after, is missing in that with respect to c.",
    "no dh": "The way from h to c is missing: c gets dh o (1 - tanh²(c)) besides dc.",
    "no slope of c": "The factor 1 - tanh²(c) is missing on the way from h to c.",
    "c after": "The gradient of f takes c_t: f was multiplied by c_{t-1}.",
    "no slope of gates": "The factors s (1 - s) of the sigmoids are missing.",
    "no slope of g": "The factor 1 - g² of tanh is missing.",
    "order": "The blocks are in the order i, f, g, o: it is i, f, o, g.",
    "no f": "dc_before is the gradient with respect to c_t times f.",
    "mean": "db is a mean over the sequences: take the sum."}


def check_step_backward(own: ModuleType) -> None:
    w, x = batch(), batch().x[:, 0]
    cache = named("step", call(own, "step", x, w.h0, w.c0, *w.weights), "h", "c", "cache")["cache"]
    got = named("step_backward", call(own, "step_backward", w.dh[:, 0], w.dc[:, 0], cache),
                *STEP_NAMES)
    layer = w.layer()
    kept = layer.step(x, w.h0, w.c0)[2]
    right = dict(zip(STEP_NAMES, layer.step_backward(w.dh[:, 0], w.dc[:, 0], kept), strict=True))
    axes = {"dx": ("sequence", "input"), "dh_before": ROW, "dc_before": ROW}
    judge(by_gate(got, right), by_gate(right, right), axes,
          {text: by_gate(step_backward(w, mistake), right)
           for mistake, text in STEP_BACKWARD_MISTAKES.items()})


def check_forward(own: ModuleType) -> None:
    w = batch()

    def wrong(mistake: str) -> dict[str, Array]:
        h, c, out = w.h0, np.zeros((N, H)), []
        for t in range(T):
            h, c = wrong_step(w, w.x[:, t], w.h0 if mistake == "h" else h,
                              np.zeros((N, H)) if mistake == "c" else c, mistake)
            out.append(h)
        return {"H": np.stack(out, 1)}

    got = named("forward", call(own, "forward", w.x, w.h0, *w.weights), "H", "cache")
    judge(got, {"H": w.layer().forward(w.x, w.h0)}, {"H": ("sequence", "time step", "unit")}, {
        "Every step starts from h0: let each one start from the h before it.": wrong("h"),
        "Every step starts from c = 0: let each one start from the c before it.": wrong("c")})


def backward(w: Batch, mistake: str = "") -> dict[str, Array]:
    """What backward returns, with a mistake if one is named."""
    layer, steps, h, c = w.layer(), [], w.h0, np.zeros((N, H))
    for t in range(T):
        h, c, kept = layer.step(w.x[:, t], h, c)
        steps.append(kept)
    dx, dh, dc = np.zeros((N, T, D)), np.zeros((N, H)), np.zeros((N, H))
    sums: list[Any] = [0, 0, 0]
    for t in reversed(range(T)):
        dh = w.dh[:, t] + (0 if mistake == "no dh" else dh)
        dc = np.zeros((N, H)) if mistake == "no dc" else dc
        dx[:, t], dh, dc, *parts = layer.step_backward(dh, dc, steps[t])
        sums = parts if mistake == "not added" else [a + b for a, b in zip(sums, parts,
                                                                           strict=True)]
    return dict(zip(BACK_NAMES, (dx, dh, *sums), strict=True))


def check_backward(own: ModuleType) -> None:
    w = batch()
    cache = named("forward", call(own, "forward", w.x, w.h0, *w.weights), "H", "cache")["cache"]
    got = named("backward", call(own, "backward", w.dh, cache), *BACK_NAMES)
    layer = w.layer()
    layer.forward(w.x, w.h0)
    dx, dh0 = layer.backward(w.dh)[:2]
    right = {"dx": dx, "dh0": dh0} | {f"d{name}": layer.grads[name] for name in ("Wx", "Wh", "b")}
    mistakes = {
        "The gradient that comes back to h from the next time step is missing.": "no dh",
        "The gradient that comes back to c from the next time step is missing.": "no dc",
        "The gradients of the weights are those of time step 0 alone: add them up.": "not added"}
    judge(got, right, {"dx": ("sequence", "time step", "input"), "dh0": ROW},
          {text: backward(w, mistake) for text, mistake in mistakes.items()}, ("dx",))


EXERCISE = Exercise(
    "lstm", "one LSTM layer in NumPy, forward and backward, step by step", "lstm.py",
    {"sigmoid": check_sigmoid, "step": check_step, "step_backward": check_step_backward,
     "forward": check_forward, "backward": check_backward})
