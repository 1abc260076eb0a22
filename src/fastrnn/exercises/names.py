"""The checks of exercise "names": batches of names of different lengths, with a masked loss.

The student's parameters are Wx (K, H), Wh (H, H), b (H), V (H, K) and c (K), which multiply rows as
ours do.
"""

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from scipy.special import log_softmax, softmax

from .. import nn
from ..checks import reference
from ..data.vocabulary import Vocabulary
from ..model.model import Model
from ..optim import clip_norm_
from .comparing import Array, Arrays, Wrong, call, judge, named
from .exercise import Exercise

N, T, H, K = 3, 5, 4, 6  # names, time steps, hidden units and symbols of the checks
LENGTHS = np.array([5, 2, 4])  # steps that count, of each name
NAMES = ["Jan", "Ewa", "Hanna"]
OURS = {"Wx": "layer0.Wx", "Wh": "layer0.Wh", "b": "layer0.b", "V": "head.W", "c": "head.b"}
STEP = ("name", "time step", "unit")


@dataclass(frozen=True)
class Batch:
    """Parameters and a batch: inputs, targets (N, T) of int, mask (N, T) of 0 and 1."""

    params: dict[str, Array]
    inputs: Array
    targets: Array
    mask: Array

    def model(self) -> Model:
        """The same network on the kernels."""
        model = Model(Vocabulary([chr(97 + i) for i in range(K)]), cell="rnn", hidden_size=H,
                      dtype="float64")
        for name, ours in OURS.items():
            model.params[ours][:] = self.params[name]
        return model

    def forward(self) -> tuple[Array, Array]:
        """H (N, T, H) by the kernels, and the scores (N, T, K)."""
        layer = nn.RNN(K, H, dtype="float64")
        layer.load_state_dict({name: self.params[name] for name in ("Wx", "Wh", "b")})
        states = layer.forward(np.eye(K)[self.inputs])
        return states, self.scores(states)

    def scores(self, states: Array) -> Array:
        scores: Array = states @ self.params["V"] + self.params["c"]
        return scores

    def gradients(self) -> tuple[float, dict[str, Array]]:
        """The loss and its gradients, by the kernels."""
        loss, grads, _ = self.model().loss_and_gradients(self.inputs, self.targets, mask=self.mask)
        return loss, {name: grads[ours] for name, ours in OURS.items()}


@cache
def batch() -> Batch:
    rng = np.random.default_rng(12)
    shapes = {"Wx": (K, H), "Wh": (H, H), "b": (H,), "V": (H, K), "c": (K,)}
    params = {name: rng.normal(0, 0.7, shape) for name, shape in shapes.items()}
    mask = (np.arange(T) < LENGTHS[:, None]).astype(float)
    inputs, targets = (np.where(mask > 0, rng.integers(0, K, (N, T)), 0) for _ in range(2))
    return Batch(params, inputs, targets, mask)


def check_code(own: ModuleType) -> None:
    symbols = sorted({"\n", *"".join(NAMES)})
    steps = max(map(len, NAMES)) + 1
    ids = np.zeros((len(NAMES), steps), int)
    for row, name in zip(ids, NAMES, strict=True):
        row[: len(name)] = [symbols.index(character) for character in name]
    inputs, lengths = np.roll(ids, 1, axis=1), np.array([len(name) for name in NAMES])[:, None]
    right = {"inputs": inputs, "targets": ids, "mask": (np.arange(steps) <= lengths).astype(float)}
    got = named("code", call(own, "code", NAMES), "symbols", "inputs", "targets", "mask")
    if list(got["symbols"]) != symbols:
        raise Wrong(f"symbols of {NAMES} is {got['symbols']!r}, expected {symbols!r}: the line "
                    "end, then each character once, sorted")
    axes = dict.fromkeys(right, ("name", "time step"))
    judge(got, right, axes, {
        "The inputs are the targets: they begin with the line end, one step before.":
            right | {"inputs": ids},
        "The end of each name does not count: it is learned, too.":
            right | {"mask": (np.arange(steps) < lengths).astype(float)},
        "The padding counts, too: mask is 0 behind the end of a name.":
            right | {"mask": np.ones(ids.shape)}})


def wrong_forward(w: Batch, mistake: str) -> dict[str, Array]:
    p, out = w.params, []
    h = np.zeros((N, H))
    for t in range(T):
        before = np.zeros((N, H)) if mistake == "not carried" else h
        z = p["Wx"][w.inputs[:, t]] + before @ (p["Wh"].T if mistake == "transposed" else p["Wh"])
        z = z + (0 if mistake == "no b" else p["b"])
        h = z if mistake == "no tanh" else np.tanh(z)
        out.append(h)
    states = np.stack(out, axis=1)
    return {"H": states, "scores": w.scores(states) - (p["c"] if mistake == "no c" else 0)}


FORWARD_MISTAKES = {
    "not carried": "Every step starts from 0: let each one start from the h before it.",
    "transposed": "Wh is transposed: the equation has h Wh, with h as a row.",
    "no b": "b is missing.", "no tanh": "tanh is missing.", "no c": "c is missing."}


def check_forward(own: ModuleType) -> None:
    w = batch()
    states, scores = w.forward()
    judge(named("forward", call(own, "forward", w.params, w.inputs), "H", "scores"),
          {"H": states, "scores": scores}, {"H": STEP, "scores": ("name", "time step", "symbol")},
          {text: wrong_forward(w, mistake) for mistake, text in FORWARD_MISTAKES.items()})


def masked(w: Batch, scores: Array, mistake: str = "") -> dict[str, Array]:
    """The loss and dscores (N, T, K), with a mistake if one is named."""
    mask = np.ones((N, T)) if mistake == "no mask" else w.mask
    over = {"steps": w.mask.sum(), "sum": 1.0}.get(mistake, float(N))
    log_p = log_softmax(scores, axis=2)
    losses = -np.take_along_axis(log_p, w.targets[..., None], 2)[..., 0]
    d = softmax(scores, axis=2) - np.eye(K)[w.targets]
    d = d / (1 if mistake == "gradient of the sum" else over)
    return {"loss": (losses * mask).sum() / over,
            "dscores": d if mistake == "gradient not masked" else d * mask[..., None]}


LOSS_MISTAKES = {
    "no mask": "The padding counts: multiply by mask.",
    "steps": "It is a mean over the time steps: take the sum over them, divided by the number of "
             "names.",
    "sum": "It is a sum over the names: divide by their number.",
    "gradient not masked": "The gradient is not 0 in the padding: multiply it by mask, too.",
    "gradient of the sum": "The gradient is not divided by the number of names."}


def check_loss(own: ModuleType) -> None:
    w = batch()
    scores = w.forward()[1]
    right = {"loss": np.asarray(w.gradients()[0]),
             "dscores": reference.softmax_cross_entropy(scores, w.targets, w.mask)[1]}
    got = call(own, "loss", scores, w.targets, w.mask)
    judge(named("loss", got, "loss", "dscores"), right,
          {"dscores": ("name", "time step", "symbol")},
          {text: masked(w, scores, mistake) for mistake, text in LOSS_MISTAKES.items()})
    large = 1000 * scores
    total, d = reference.softmax_cross_entropy(large, w.targets, w.mask)
    found = named("loss", call(own, "loss", large, w.targets, w.mask), "loss", "dscores")
    if not np.isfinite(found["loss"]):
        raise Wrong(f"loss is {found['loss']} where scores are large: exp overflows or log gets 0. "
                    "Subtract the largest score of a step first, and take log p = score - log sum "
                    "exp")
    judge(found, {"loss": np.asarray(total), "dscores": d},
          {"dscores": ("name", "time step", "symbol")}, {})


def backward(w: Batch, mistake: str = "") -> dict[str, Array]:
    """dH and the gradients of the parameters, with a mistake if one is named."""
    (states, scores), p = w.forward(), w.params
    dscores = masked(w, scores)["dscores"]
    dH, dZ, carried = np.zeros((N, T, H)), np.zeros((N, T, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        dH[:, t] = dscores[:, t] @ p["V"].T + (0 if mistake == "not carried" else carried)
        dZ[:, t] = dH[:, t] * (1 if mistake == "no slope" else 1 - states[:, t] ** 2)
        passed = dH[:, t] if mistake == "slope not carried" else dZ[:, t]
        carried = passed @ (p["Wh"] if mistake == "transposed" else p["Wh"].T)
    before = np.concatenate([np.zeros((N, 1, H)), states[:, :-1]], axis=1)
    before = states if mistake == "h of the same step" else before
    return {"dH": dH, "V": np.einsum("nth,ntk->hk", states, dscores), "c": dscores.sum((0, 1)),
            "Wh": np.einsum("nth,ntj->hj", before, dZ), "b": dZ.sum((0, 1)),
            "Wx": np.einsum("ntk,nth->kh", np.eye(K)[w.inputs], dZ)}


BACKWARD_MISTAKES = {
    "not carried": "The gradient that comes back from the next time step is missing.",
    "no slope": "The factor 1 - h² of tanh is missing.",
    "slope not carried": "What goes back to h_{t-1} lacks the factor 1 - h_t².",
    "transposed": "Wh is not transposed: what goes back to h_{t-1} is dz_t Wh^T.",
    "h of the same step": "The gradient of Wh takes h_t: z_t was computed from h_{t-1}."}


def check_backward(own: ModuleType) -> None:
    w = batch()
    states, scores = w.forward()
    got = named("backward", call(own, "backward", w.params, w.inputs, states,
                                 masked(w, scores)["dscores"]), "grads", "dH")
    if not isinstance(got["grads"], dict):
        raise Wrong(f"grads is a {type(got['grads']).__name__}, expected a dict with the names of "
                    "params")
    right = {"dH": backward(w)["dH"]} | w.gradients()[1]
    rows = {"V": ("unit", "symbol"), "c": ("symbol",), "b": ("unit",), "Wx": ("symbol", "unit"),
            "Wh": ("unit before", "unit")}
    judge({"dH": got["dH"]} | got["grads"], right, rows | {"dH": STEP},
          {text: backward(w, mistake) for mistake, text in BACKWARD_MISTAKES.items()}, ("dH",))


def check_clip(own: ModuleType) -> None:
    def scaled(grads: Arrays, by: dict[str, float]) -> dict[str, Array]:
        return {name: g * by[name] for name, g in grads.items()}

    small = {"Wh": np.array([[0.5, -0.25], [0.0, 1.0]]), "b": np.array([0.75, -0.5])}
    for grads in ({name: 8 * g for name, g in small.items()}, small):
        norms = {name: float(np.linalg.norm(g)) for name, g in grads.items()}
        whole = float(np.linalg.norm([*norms.values()]))
        right = {name: g.copy() for name, g in grads.items()}
        clip_norm_(right, 5.0)
        got = call(own, "clip", grads, 5.0)
        if not isinstance(got, dict):
            raise Wrong(f"clip returns {type(got).__name__}, expected a dict: return the clipped "
                        "gradients by their names")
        judge(got, right, {}, {
            "Each entry is clipped: scale all gradients by one number.":
                reference.clip(grads, clip_value=5.0),
            "Each array is scaled by its own norm: take the norm of all entries together.":
                scaled(grads, {name: min(1, 5 / norm) for name, norm in norms.items()}),
            "Gradients of a smaller norm are scaled up: leave them.":
                scaled(grads, dict.fromkeys(grads, 5 / whole)),
            "The norm becomes 1: let it become the limit.":
                scaled(grads, dict.fromkeys(grads, 1 / whole)),
            "Nothing is clipped.": grads})


def drawn(w: Batch, uniforms: Array, mistake: str = "") -> Array:
    """The symbols of a name, with a mistake if one is named."""
    p, h, k, found = w.params, np.zeros(H), 0, []
    for u in uniforms:
        before = np.zeros(H) if mistake == "not carried" else h
        h = np.tanh(p["Wx"][0 if mistake == "not fed back" else k] + before @ p["Wh"] + p["b"])
        sums = np.cumsum(softmax(w.scores(h)))
        k = int(min(np.searchsorted(sums, u, side="right"), K - 1))
        if k == 0 and mistake == "end kept":
            found.append(k)
        if k == 0 and mistake != "not ended":
            break
        found.append(k)
    return np.array(found)


SAMPLE_MISTAKES = {
    "not fed back": "The drawn symbol is not the next input: every step reads the line end.",
    "not carried": "Every step starts from 0: let each one start from the h before it.",
    "not ended": "It goes on behind the end of the name: stop where symbol 0 is drawn.",
    "end kept": "Symbol 0, the end, is part of the result: leave it out."}


def check_sample(own: ModuleType) -> None:
    w, rng = batch(), np.random.default_rng(8)
    ours = {name: p for name, p in w.model().params.items()}
    for _ in range(6):
        uniforms = rng.random(12)
        ids = reference.sample(ours, np.zeros(H), 0, uniforms)
        right = np.array(ids[: ids.index(0)] if 0 in ids else ids)
        got = np.asarray(named("sample", call(own, "sample", w.params, uniforms), "ids")["ids"])
        mistakes = {text: drawn(w, uniforms, mistake) for mistake, text in SAMPLE_MISTAKES.items()}
        if got.shape != right.shape:  # its length is drawn, too
            why = [text for text, wrong in mistakes.items() if np.array_equal(got, wrong)]
            raise Wrong(f"ids is {got.tolist()}, expected {right.tolist()}"
                        + (f". {why[0]}" if len(why) == 1 else ""))
        judge({"ids": got}, {"ids": right}, {"ids": ("draw",)},
              {text: {"ids": wrong} for text, wrong in mistakes.items()})


EXERCISE = Exercise(
    "names", "a tanh RNN in NumPy that learns names, in batches with a masked loss", "names.py",
    {"code": check_code, "forward": check_forward, "loss": check_loss, "backward": check_backward,
     "clip": check_clip, "sample": check_sample})
