"""The checks of exercise "echo": an echo state network, its readout by ridge regression."""

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from scipy.sparse import csr_array

from ..echo.reservoir import Reservoir
from ..echo.ridge import Ridge
from .comparing import Array, call, judge, named
from .exercise import Exercise

T, M, K = 9, 4, 2  # time steps, units, and inputs, which are as many as outputs, of the checks
LEAK, PENALTY, RADIUS = 0.3, 0.05, 0.9


@dataclass(frozen=True)
class Series:
    """Weights W (m, m), Win (m, k), b (m), a readout Wout (k, 1 + m), inputs u and targets y
    (T, k), and a state h (m)."""

    W: Array
    Win: Array
    b: Array
    Wout: Array
    u: Array
    y: Array
    h: Array

    def reservoir(self) -> Reservoir:
        return Reservoir(csr_array(self.W.astype(np.float32)), self.Win, self.b, np.zeros((M, 0)),
                         LEAK)

    def states(self) -> Array:
        """The states (T, m) from 0 on, by the kernels."""
        H = np.zeros((T, M))
        self.reservoir().run(T, np.zeros(M), np.zeros(0), u=self.u, states=H)
        return H


@cache
def series() -> Series:
    rng = np.random.default_rng(2010)  # the largest eigenvalues of W are complex
    W = rng.normal(0, 0.5, (M, M)).astype(np.float32).astype(np.float64)  # as the kernels have it
    shapes = ((M, K), (M,), (K, 1 + M), (T, K), (T, K), (M,))
    return Series(W, *(rng.normal(0, 0.6, shape) for shape in shapes))


def check_scale(own: ModuleType) -> None:
    W = series().W
    sizes = np.abs(np.linalg.eigvals(W))

    def divided(by: float) -> dict[str, Array]:
        return {"W": W * RADIUS / by}

    judge(named("scale", call(own, "scale", W, RADIUS), "W"), divided(sizes.max()),
          {"W": ("unit", "unit before")}, {
        "The largest singular value is taken: the spectral radius is the largest absolute value of "
        "an eigenvalue.": divided(float(np.linalg.norm(W, 2))),
        "The largest real part is taken: take the absolute values of the eigenvalues.":
            divided(np.linalg.eigvals(W).real.max()),
        "The norm of all entries is taken: take the largest absolute value of an eigenvalue.":
            divided(float(np.linalg.norm(W))),
        "The largest entry is taken: take the largest absolute value of an eigenvalue.":
            divided(np.abs(W).max()),
        "W is not divided by its own spectral radius first.": {"W": W * RADIUS}})


def wrong_states(w: Series, mistake: str) -> Array:
    h, out = np.zeros(M), []
    for u in w.u:
        before = np.zeros(M) if mistake == "not carried" else h
        z = w.Win @ u + (w.W.T if mistake == "transposed" else w.W) @ before
        z = np.tanh(z + (0 if mistake == "no b" else w.b))
        new, old = (1 - LEAK, LEAK) if mistake == "exchanged" else (LEAK, 1 - LEAK)
        h = z if mistake == "no leak" else old * before + new * z
        if mistake == "leak inside":
            h = np.tanh((1 - LEAK) * before + LEAK * (w.Win @ u + w.W @ before + w.b))
        out.append(h)
    return np.array(out)


STATES_MISTAKES = {
    "not carried": "Every step starts from 0: let each one start from the state before it.",
    "transposed": "W is transposed: the equation has W h, with h as a column.",
    "no b": "b is missing.",
    "exchanged": "a and 1 - a are exchanged.",
    "no leak": "The part (1 - a) h_{t-1} is missing.",
    "leak inside": "The part of h_{t-1} stands inside tanh: it is added to a tanh(...)."}


def check_states(own: ModuleType) -> None:
    w = series()
    got = call(own, "states", w.W, w.Win, w.b, LEAK, w.u)
    judge(named("states", got, "H"), {"H": w.states()}, {"H": ("time step", "unit")},
          {text: {"H": wrong_states(w, mistake)} for mistake, text in STATES_MISTAKES.items()})


def check_ridge(own: ModuleType) -> None:
    w = series()
    H = w.states()
    fit = Ridge(1 + M, K)
    F = np.column_stack([np.ones(T), H])
    fit.add(F, w.y)

    def solved(F: Array, penalty: Array) -> dict[str, Array]:
        return {"Wout": np.linalg.solve(F.T @ F + np.diag(penalty), F.T @ w.y).T}

    free = np.append(0, np.full(M, PENALTY))
    judge(named("ridge", call(own, "ridge", H, w.y, PENALTY), "Wout"),
          {"Wout": fit.solve(PENALTY)}, {"Wout": ("output", "column")}, {
        "The intercept is penalized too: its place on the diagonal gets no penalty.":
            solved(F, np.full(1 + M, PENALTY)),
        "There is no penalty.": solved(F, np.zeros(1 + M)),
        "The penalty is squared.": solved(F, free * PENALTY),
        "The penalty is multiplied by the number of steps.": solved(F, free * T)})


def check_nrmse(own: ModuleType) -> None:
    w = series()
    errors, spread = w.u - w.y, w.y - w.y.mean(0)
    right = np.sqrt((errors**2).mean() / (spread**2).mean())
    judge(named("nrmse", call(own, "nrmse", w.u, w.y), "error"), {"error": right}, {}, {
        "The root is missing.": {"error": right**2},
        "It is not divided by the spread of the targets.": {"error": np.sqrt((errors**2).mean())},
        "The root is divided by the variance: divide before it, or by the standard deviation.":
            {"error": np.sqrt((errors**2).mean()) / (spread**2).mean()},
        "It is divided by the mean square of the targets: subtract their mean first.":
            {"error": np.sqrt((errors**2).mean() / (w.y**2).mean())}})


def wrong_run(w: Series, mistake: str) -> Array:
    h, y, out = w.h, w.y[0], []
    for _ in range(T):
        before = w.h if mistake == "not carried" else h
        h = (1 - LEAK) * before + LEAK * np.tanh(w.Win @ y + w.W @ before + w.b)
        new = w.Wout[:, 1:] @ h + (0 if mistake == "no intercept" else w.Wout[:, 0])
        y = y if mistake == "not fed back" else new
        out.append(new)
    return np.array(out)


RUN_MISTAKES = {
    "not fed back": "Every step reads the first y: the output of each step is the next input.",
    "not carried": "Every step starts from the first h: let each one start from the h before it.",
    "no intercept": "The intercept, column 0 of Wout, is missing."}


def check_free_run(own: ModuleType) -> None:
    w = series()
    padded = np.hstack([w.Wout[:, :1], np.zeros((K, K)), w.Wout[:, 1:]])  # theirs reads u too
    right = w.reservoir().compiled.run(T, w.h.copy(), w.y[0].copy(), Wout=padded)
    mistakes = {text: {"outputs": wrong_run(w, mistake)} for mistake, text in RUN_MISTAKES.items()}
    late = np.vstack([w.y[:1], right[:-1]])
    got = call(own, "free_run", w.W, w.Win, w.b, LEAK, w.Wout, w.h, w.y[0], T)
    judge(named("free_run", got, "outputs"), {"outputs": right},
          {"outputs": ("time step", "output")}, mistakes | {
        "The outputs begin with the y that was given: they begin with the first computed one.":
            {"outputs": late}})


EXERCISE = Exercise(
    "echo", "an echo state network in NumPy: reservoir, ridge regression, free run", "echo.py",
    {"scale": check_scale, "states": check_states, "ridge": check_ridge, "nrmse": check_nrmse,
     "free_run": check_free_run})
