"""The checks of exercise "kth": a tanh RNN that learns to write, as in KTH's course DD2424.

The student's parameters are U (m, K), W (m, m), V (K, m), b (m) and c (K), which multiply column
vectors: ours are U.T, W.T and V.T.
"""

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import softmax

from .. import nn
from ..checks import reference
from ..data.corpus import Corpus
from ..data.vocabulary import Vocabulary
from ..model.model import Model
from ..optim import AdaGrad
from ..training.trainer import Trainer
from .comparing import Array, Arrays, Wrong, call, first_difference, hint, judge, named
from .exercise import Exercise

T, M, K = 5, 4, 6  # time steps, hidden units and symbols of the checks
TEXT = "a snitch flew up and down"  # where the limit of an epoch is met exactly
SEQ_LENGTH, ETA, UPDATES = 4, 0.1, 12  # of the training that is checked, more than two epochs
OURS = {"U": "layer0.Wx", "W": "layer0.Wh", "b": "layer0.b", "V": "head.W", "c": "head.b"}
MEAN = "The mean over the time steps is taken: take the sum."


@dataclass(frozen=True)
class Window:
    """Parameters and a window of text: X (T, K) one-hot, Y (T), h0 (m)."""

    params: dict[str, Array]
    X: Array
    Y: Array
    h0: Array

    def model(self) -> Model:
        return model_of(self.params)

    def ours(self) -> tuple[Array, Array, Array]:
        """Wx, Wh and b as the kernels have them."""
        return self.params["U"].T, self.params["W"].T, self.params["b"]

    def forward(self) -> tuple[Array, Array]:
        """H (T, m) by the kernels, and P (T, K)."""
        layer = nn.RNN(K, M, dtype="float64")
        layer.load_state_dict(dict(zip(("Wx", "Wh", "b"), self.ours(), strict=True)))
        H = layer.forward(self.X[None], self.h0[None])[0]
        return H, softmax(self.scores(H), axis=1)

    def scores(self, H: Array) -> Array:
        scores: Array = H @ self.params["V"].T + self.params["c"]
        return scores


def draw_params(rng: np.random.Generator, m: int, k: int) -> dict[str, Array]:
    shapes = {"U": (m, k), "W": (m, m), "V": (k, m), "b": (m,), "c": (k,)}
    return {name: rng.normal(0, 0.6, shape) for name, shape in shapes.items()}


def model_of(params: Arrays) -> Model:
    """The same network on the kernels, in float64."""
    m, k = params["U"].shape
    model = Model(Vocabulary([chr(97 + i) for i in range(k)]), cell="rnn", hidden_size=m,
                  dtype="float64")
    for name, ours in OURS.items():
        model.params[ours][:] = params[name].T
    return model


def theirs(tensors: Arrays) -> dict[str, Array]:
    """Our tensors by the names and in the shapes of the course."""
    return {name: tensors[OURS[name]].T for name in ("U", "W", "V", "b", "c")}


@cache
def window() -> Window:
    rng = np.random.default_rng(23)
    return Window(draw_params(rng, M, K), np.eye(K)[rng.integers(0, K, T)],
                  rng.integers(0, K, T), rng.normal(0, 0.5, M))


def check_read(own: ModuleType) -> None:
    text = "to be\nor not"
    symbols = sorted(set(text))
    got = named("read", call(own, "read", text), "symbols", "ids")
    if list(got["symbols"]) != symbols:
        raise Wrong(f"symbols of {text!r} is {got['symbols']!r}, expected {symbols!r}: each "
                    "character once, sorted, so that they are the same in every run")
    ids = np.array([symbols.index(character) for character in text])
    judge(got, {"ids": ids}, {"ids": ("character",)},
          {"ids begin with 0: this is one too much.": {"ids": ids + 1}})


def check_one_hot(own: ModuleType) -> None:
    ids = np.array([2, 0, 5, 3])
    judge(named("one_hot", call(own, "one_hot", ids, K), "X"), {"X": np.eye(K)[ids]},
          {"X": ("time step", "symbol")}, {})


def wrong_forward(w: Window, mistake: str) -> dict[str, Array]:
    """H and P with a mistake."""
    (Wx, Wh, b), h, H = w.ours(), w.h0, []
    for x in w.X:
        before = w.h0 if mistake == "not carried" else h
        z = x @ Wx + before @ (Wh.T if mistake == "W transposed" else Wh)
        z = z if mistake == "no b" else z + b
        h = z if mistake == "no tanh" else np.tanh(z)
        H.append(h)
    scores = w.scores(np.array(H)) - (w.params["c"] if mistake == "no c" else 0)
    return {"H": np.array(H), "P": softmax(scores, axis=0 if mistake == "axis" else 1)}


def check_forward(own: ModuleType) -> None:
    w = window()
    got = named("forward", call(own, "forward", w.params, w.X, w.h0), "H", "P")
    mistakes = {
        "not carried": "Every time step starts from h0: let each one start from the h before it.",
        "W transposed": "W is transposed: the equation has W h, with h as a column.",
        "no b": "b is missing.", "no tanh": "tanh is missing.", "no c": "c is missing.",
        "axis": "The softmax is over the time steps: let each row of P have the sum 1."}
    right = dict(zip(("H", "P"), w.forward(), strict=True))
    judge(got, right, {"H": ("time step", "unit"), "P": ("time step", "symbol")},
          {text: wrong_forward(w, mistake) for mistake, text in mistakes.items()})
    large = dict(w.params, c=np.where(np.arange(K) == 1, 1000.0, 0.0))
    judge(named("forward", call(own, "forward", large, w.X, w.h0), "H", "P"),
          {"P": np.tile(np.arange(K) == 1, (T, 1)).astype(float)}, {"P": ("time step", "symbol")},
          {"exp overflows where a score is 1000: subtract the largest score of a row first.":
           {"P": np.where(np.arange(K) == 1, np.nan, np.zeros((T, 1)))}})


def check_loss(own: ModuleType) -> None:
    w = window()
    P = w.forward()[1]
    total = np.asarray(kernel_gradients(w)[0])
    picked = P[np.arange(T), w.Y]
    judge(named("loss", call(own, "loss", P, w.Y), "loss"), {"loss": total}, {}, {
        MEAN: {"loss": total / T},
        "The sign is wrong: the loss is -log p.": {"loss": -total},
        "log2 is taken: the natural logarithm is asked for.": {"loss": total / np.log(2)},
        "The logarithm is missing.": {"loss": picked.sum()}})


def kernel_gradients(w: Window) -> tuple[float, dict[str, Array]]:
    """The loss of a window and its gradients, by the compiled kernels."""
    loss, grads, _ = w.model().loss_and_gradients(w.X.argmax(1)[None], w.Y[None], w.h0[None])
    return loss, theirs(grads)


def backward(w: Window, mistake: str = "") -> dict[str, Array]:
    """dH (T, m), the gradient with respect to each h, and those with respect to the parameters;
    with a mistake if one is named."""
    (H, P), (_, Wh, _) = w.forward(), w.ours()
    dO = P - np.eye(K)[w.Y]  # (T, K)
    dO = {"sign": -dO, "mean": dO / T, "only p": P}.get(mistake, dO)
    dH, dA, carried = np.zeros((T, M)), np.zeros((T, M)), np.zeros(M)
    for t in reversed(range(T)):
        dH[t] = dO[t] @ w.params["V"] + (0 if mistake == "not carried" else carried)
        slope = {"no slope": np.ones(M), "slope of the sum": 1 - np.arctanh(H[t]) ** 2}
        dA[t] = dH[t] * slope.get(mistake, 1 - H[t] ** 2)
        passed = dH[t] if mistake == "slope not carried" else dA[t]
        carried = passed @ (Wh if mistake == "W transposed" else Wh.T)
    start = np.zeros(M) if mistake == "no h0" else w.h0
    before = H if mistake == "h of the same step" else np.vstack([start, H[:-1]])
    return {"dH": dH, "V": dO.T @ H, "c": dO.sum(0), "W": dA.T @ before, "U": dA.T @ w.X,
            "b": dA.sum(0)}


BACKWARD_MISTAKES = {
    "sign": "The sign is wrong: the gradient with respect to the scores is p - y.",
    "only p": "The 1 at the right symbol is missing: the gradient with respect to the scores is "
              "p - y.",
    "mean": MEAN,
    "not carried": "The gradient that comes back from the next time step is missing.",
    "no slope": "The factor 1 - h² of tanh is missing.",
    "slope of the sum": "1 - a² is taken, with a before tanh: the factor is 1 - h².",
    "slope not carried": "What goes back to h_{t-1} lacks the factor 1 - h_t²: it is W^T da_t, "
                         "not W^T dh_t.",
    "W transposed": "W is transposed: what goes back to h_{t-1} is W^T da_t.",
    "h of the same step": "dW takes h_t: a_t was computed from h_{t-1}.",
    "no h0": "dW takes 0 for the state before the first time step: take h0."}


def check_backward(own: ModuleType) -> None:
    w = window()
    H, P = w.forward()
    got = named("backward", call(own, "backward", w.params, w.X, w.Y, w.h0, H, P), "grads", "dH")
    if not isinstance(got["grads"], dict):
        raise Wrong(f"grads is a {type(got['grads']).__name__}, expected a dict with the names of "
                    "params")
    right = {"dH": backward(w)["dH"]} | kernel_gradients(w)[1]
    wrong = {text: backward(w, mistake) for mistake, text in BACKWARD_MISTAKES.items()}
    got = {"dH": got["dH"]} | {f"grads[{name!r}]": got["grads"][name]
                               for name in w.params if name in got["grads"]}
    labels = {name: name if name == "dH" else f"grads[{name!r}]" for name in right}
    rows = {"V": "symbol", "c": "symbol", "W": "unit", "U": "unit", "b": "unit"}
    columns = {"V": ("unit",), "W": ("unit before",), "U": ("symbol",)}
    axes = {labels[name]: (row, *columns.get(name, ())) for name, row in rows.items()}
    judge(got, relabelled(right, labels), axes | {"dH": ("time step", "unit")},
          {text: relabelled(arrays, labels) for text, arrays in wrong.items()}, ("dH",))


def relabelled(arrays: Arrays, labels: dict[str, str]) -> dict[str, Array]:
    return {labels[name]: arrays[name] for name in labels}


def check_clip(own: ModuleType) -> None:
    grads = {"W": np.array([[-7.0, 0.5], [5.1, 2.0]]), "b": np.array([4.0, -90.0])}
    right = reference.clip(grads, 5.0)
    got = call(own, "clip", grads, 5.0)
    if not isinstance(got, dict):
        raise Wrong(f"clip returns {type(got).__name__}, expected a dict: return the clipped "
                    "gradients by their names")
    each = {name: g * min(1, 5 / np.linalg.norm(g)) for name, g in grads.items()}
    judge(got, right, {}, {
        "The norm is clipped: clip each entry.": reference.clip(grads, clip_norm=5.0),
        "The norm of each array is clipped: clip each entry.": each,
        "Only what is above the limit is clipped: clip below its negative too.":
            {name: np.minimum(g, 5) for name, g in grads.items()},
        "Nothing is clipped.": grads})


def adagrad(params: Arrays, steps: list[dict[str, Array]], mistake: str) -> list[dict[str, Array]]:
    """The parameters after each step of a wrong AdaGrad."""
    p = {name: a.copy() for name, a in params.items()}
    memory, found = {name: np.zeros_like(a) for name, a in p.items()}, []
    for grads in steps:
        for name, g in grads.items():
            m = g * g if mistake == "no memory" else memory[name] + g * g
            root = np.sqrt(m) + 1e-8 if mistake == "eps outside" else np.sqrt(
                (memory[name] if mistake == "old memory" else m) + 1e-8)
            root = m + 1e-8 if mistake == "no root" else root
            move = 0 if mistake == "not in place" else ETA * g / root
            p[name] += move if mistake == "up" else -move
            memory[name] = m
        found.append({name: a.copy() for name, a in p.items()})
    return found


ADAGRAD_MISTAKES = {
    "not in place": "params did not change: write into its arrays, such as "
                    "params[name] -= ....",
    "eps outside": "eps stands outside the root: the equation has sqrt(m + eps).",
    "no root": "The root is missing.",
    "no memory": "The memory holds the last g² only: it is the sum of all since the beginning.",
    "old memory": "The memory is used before g² is added to it.",
    "up": "The parameters move along the gradient: subtract."}


def check_adagrad(own: ModuleType) -> None:
    """Three steps; the gradients of b are so small that the place of eps counts, those of W so
    large that it does not."""
    rng = np.random.default_rng(7)
    params = {"W": rng.normal(0, 0.5, (2, 3)), "b": rng.normal(0, 0.5, 3)}
    steps = [{"W": rng.uniform(0.5, 2, (2, 3)), "b": rng.normal(0, 1e-4, 3)} for _ in range(3)]
    mine, memory = ({name: a.copy() for name, a in params.items()},
                    {name: np.zeros_like(a) for name, a in params.items()})
    function = getattr(own, "adagrad", None)
    if function is None:
        raise Wrong("there is no function adagrad in the file")
    ours = {name: a.copy() for name, a in params.items()}
    optimizer = AdaGrad(ours, ETA)
    wrong = {text: adagrad(params, steps, mistake) for mistake, text in ADAGRAD_MISTAKES.items()}
    for update, grads in enumerate(steps):
        function(mine, {name: g.copy() for name, g in grads.items()}, memory, ETA)
        optimizer.step(grads)
        for name, right in ours.items():
            sentence = first_difference(mine[name], right, f"params[{name!r}]")
            if sentence:
                arrays = {text: found[update] for text, found in wrong.items()}
                raise Wrong(f"after update {update + 1} {sentence}"
                            + hint(mine, ours, name, arrays))


def check_smooth(own: ModuleType) -> None:
    losses = [110.0, 90.0, 95.0]
    def run(keep: float, start: float | None = None) -> Array:
        found, value = [], start
        for loss in losses:
            value = loss if value is None else keep * value + (1 - keep) * loss
            found.append(value)
        return np.array(found)

    mine, value = [], None
    for loss in losses:
        value = named("smooth", call(own, "smooth", value, loss), "smoothed")["smoothed"]
        mine.append(value)
    judge({"smoothed": mine}, {"smoothed": run(0.999)}, {"smoothed": ("update",)}, {
        "0.999 and 0.001 are exchanged.": {"smoothed": run(0.001)},
        "It starts at 0: the first smoothed loss is the first loss.": {"smoothed": run(0.999, 0)}})


def drawn(w: Window, uniforms: Array, temperature: float, mistake: str) -> Array:
    """The symbols of a wrong sampling, (n)."""
    (Wx, Wh, b), h, x, found = w.ours(), w.h0, int(w.X[0].argmax()), []
    for u in uniforms:
        h = np.tanh(Wx[x] + (w.h0 if mistake == "not carried" else h) @ Wh + b)
        scores = w.scores(h)
        scale = {"times": temperature, "no temperature": 1.0}.get(mistake, 1 / temperature)
        p = softmax(scores) / temperature if mistake == "p" else softmax(scores * scale)
        p = p / p.sum()
        k = int(p.argmax()) if mistake == "likeliest" else int(
            min(np.searchsorted(np.cumsum(p), u, side="right"), K - 1))
        found.append(k)
        x = x if mistake == "not fed back" else k
    return np.array(found)


SAMPLE_MISTAKES = {
    "not fed back": "The drawn symbol is not the next input: every step reads the first symbol.",
    "not carried": "Every step starts from h0: let each one start from the h before it.",
    "likeliest": "The likeliest symbol is taken: draw one with the uniform number.",
    "times": "The scores are multiplied by the temperature: divide them.",
    "no temperature": "The temperature has no effect: divide the scores by it before the softmax."}


def check_sample(own: ModuleType) -> None:
    w, rng = window(), np.random.default_rng(3)
    first, ours = int(w.X[0].argmax()), {name: p for name, p in w.model().params.items()}
    for temperature in (1.0, 0.5):
        uniforms = rng.random(30)
        right = np.array(reference.sample(ours, w.h0, first, uniforms, temperature))
        got = call(own, "sample", w.params, w.h0, first, uniforms, temperature)
        judge(named("sample", got, "ids"), {"ids": right}, {"ids": ("draw",)},
              {text: {"ids": drawn(w, uniforms, temperature, mistake)}
               for mistake, text in SAMPLE_MISTAKES.items()})


def training(params: Arrays, ids: Array, mistake: str) -> dict[str, Array]:
    """Losses and last hidden states of a wrong training."""
    p = {OURS[name]: a.T.copy() for name, a in params.items()}
    memory = {name: [np.zeros_like(a)] for name, a in p.items()}
    state, position, found = np.zeros((1, M)), 0, []
    for update in range(UPDATES):
        if mistake == "not carried":
            state = np.zeros((1, M))
        x = ids[None, position : position + SEQ_LENGTH + 1]
        loss, grads, state = reference.loss_and_gradients(p, x[:, :-1], x[:, 1:], state)
        clipped = grads if mistake == "not clipped" else reference.clip(grads, 5.0)
        for name, g in clipped.items():
            reference.adagrad(p[name], g, memory[name], update + 1, ETA)
        found.append((loss, state[0]))
        position += 1 if mistake == "by one" else SEQ_LENGTH
        if position + SEQ_LENGTH + (0 if mistake == "one more" else 1) >= len(ids):
            position, state = 0, state if mistake == "not reset" else np.zeros((1, M))
    losses, states = zip(*found, strict=True)
    return {"losses": np.array(losses), "states given to after": np.array(states)}


TRAIN_MISTAKES = {
    "not carried": "Each window starts from h = 0: only the first one of an epoch does, the others "
                   "start from the last h of the window before.",
    "not reset": "A new epoch begins with the last h of the one before: it begins with h = 0.",
    "not clipped": "The gradients are not clipped to [-5, 5].",
    "one more": "The last window of an epoch is one too many: a new epoch begins where "
                "e + seq_length + 1 is the length of the text, too.",
    "by one": "The window moves by one character: it moves by seq_length."}


def right_training(params: Arrays, ids: Array) -> dict[str, Array]:
    """Losses, smoothed losses and last hidden states, by the compiled training loop."""
    model = model_of(params)
    corpus = Corpus(ids, model.text_vocabulary)
    trainer = Trainer(model, corpus, seq_length=SEQ_LENGTH, batch_size=1, optimizer="adagrad",
                      learning_rate=ETA, clip_value=5.0, progress=False)
    states: list[Array] = []
    for _ in range(UPDATES):
        start = len(states) % trainer.updates_per_epoch * SEQ_LENGTH
        before = {name: p.copy() for name, p in model.params.items()}
        state = trainer.state.copy() if start else np.zeros((1, M))
        trainer.run(updates=1)
        x = ids[None, start : start + SEQ_LENGTH]
        states.append(reference.forward(before, x, state)[1][0])
    return {"losses": trainer.history.loss, "smoothed": trainer.history.smooth_loss,
            "states given to after": np.array(states)}


def check_train(own: ModuleType) -> None:
    symbols = sorted(set(TEXT))
    ids = np.array([symbols.index(character) for character in TEXT])
    params = {name: 4 * p for name, p in draw_params(np.random.default_rng(1), M,
                                                     len(symbols)).items()}
    states: list[Any] = []

    def after(update: int, smoothed: float, h: Array, position: int) -> None:
        states.append(np.array(h))

    got = call(own, "train", params, ids, SEQ_LENGTH, UPDATES, ETA, after)
    found = named("train", got, "losses", "smoothed") | {"states given to after": states}
    axes = {"losses": ("update",), "smoothed": ("update",),
            "states given to after": ("update", "unit")}
    judge(found, right_training(params, ids), axes,
          {text: training(params, ids, mistake) for mistake, text in TRAIN_MISTAKES.items()})


EXERCISE = Exercise(
    "kth", "a tanh RNN in NumPy that learns to write character by character (KTH DD2424)", "rnn.py",
    {"read": check_read, "one_hot": check_one_hot, "forward": check_forward, "loss": check_loss,
     "backward": check_backward, "clip": check_clip, "adagrad": check_adagrad,
     "smooth": check_smooth, "sample": check_sample, "train": check_train})
