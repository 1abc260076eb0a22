"""The same mathematics in plain NumPy: what every compiled kernel is tested against.

Written to be read and to be right, not fast. Shapes are batch-first: N sequences, T time steps,
D inputs, H hidden units, K symbols. Parameters are a dict with the names of ``Model.params``.
"""
import numpy as np


def rnn_forward(x, h0, Wx, Wh, b, cell="rnn"):
    """h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh ("rnn") or max(0, .) ("relu").

    x (N, T, D), h0 (N, H), Wx (D, H), Wh (H, H), b (H) -> h (N, T, H)
    """
    f = np.tanh if cell == "rnn" else lambda z: np.maximum(z, 0)
    h, out = h0, []
    for t in range(x.shape[1]):
        h = f(x[:, t] @ Wx + h @ Wh + b)  # (N, H)
        out.append(h)
    return np.stack(out, axis=1)


def rnn_backward(dh, x, h0, h, Wx, Wh, cell="rnn"):
    """Gradients of a loss whose gradient by h (N, T, H) is dh (N, T, H).

    Returns dx (N, T, D), dh0 (N, H), dWx (D, H), dWh (H, H), db (H).
    """
    dx = np.empty_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    carried = np.zeros_like(h0)  # (N, H): what reaches h_t from the steps after it
    for t in reversed(range(x.shape[1])):
        slope = 1 - h[:, t] ** 2 if cell == "rnn" else (h[:, t] > 0)
        dz = (dh[:, t] + carried) * slope  # (N, H)
        before = h[:, t - 1] if t > 0 else h0
        dx[:, t] = dz @ Wx.T
        dWx += x[:, t].T @ dz
        dWh += before.T @ dz
        db += dz.sum(axis=0)
        carried = dz @ Wh.T
    return dx, carried, dWx, dWh, db


def softmax_cross_entropy(scores, targets):
    """Cross-entropy in nats, summed over time and averaged over the batch.

    scores (N, T, K), targets int (N, T) -> loss, dscores (N, T, K)
    """
    N, T, _ = scores.shape
    n, t = np.ogrid[:N, :T]
    shifted = scores - scores.max(axis=2, keepdims=True)
    total = np.exp(shifted).sum(axis=2, keepdims=True)
    loss = (np.log(total[:, :, 0]) - shifted[n, t, targets]).sum() / N
    dscores = np.exp(shifted) / total / N
    dscores[n, t, targets] -= 1 / N
    return loss, dscores


def loss_and_gradients(params, inputs, targets, state, cell="rnn"):
    """The character model: one-hot inputs, one layer, softmax head.

    inputs, targets int (N, T), state (N, H) -> loss (nats), gradients (dict), last state (N, H)
    """
    Wx, Wh, b = (params[f"layer0.{name}"] for name in ("Wx", "Wh", "b"))
    V, c = params["head.W"], params["head.b"]
    x = np.eye(len(Wx), dtype=Wx.dtype)[inputs]  # (N, T, K)
    h = rnn_forward(x, state, Wx, Wh, b, cell)
    loss, dscores = softmax_cross_entropy(h @ V + c, targets)
    _, _, dWx, dWh, db = rnn_backward(dscores @ V.T, x, state, h, Wx, Wh, cell)
    grads = {"layer0.Wx": dWx, "layer0.Wh": dWh, "layer0.b": db,
             "head.W": np.einsum("nth,ntk->hk", h, dscores), "head.b": dscores.sum(axis=(0, 1))}
    return loss, grads, h[:, -1]


def clip(grads, clip_value=None, clip_norm=None):
    """All gradients scaled to the norm clip_norm where they exceed it together; then each entry
    cut to [-clip_value, clip_value]. A new dict."""
    scale = 1.0
    if clip_norm is not None:
        norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads.values()))
        scale = min(1.0, clip_norm / norm) if norm > 0 else 1.0
    c = np.inf if clip_value is None else clip_value
    return {name: np.clip(g * scale, -c, c) for name, g in grads.items()}


def adagrad(p, g, memories, update, learning_rate, epsilon=1e-8):
    """m += g^2;  p -= learning_rate g / sqrt(m + epsilon)   (Duchi et al. 2011; DD2424's form)"""
    (m,) = memories
    m += g * g
    p -= learning_rate * g / np.sqrt(m + epsilon)


def rmsprop(p, g, memories, update, learning_rate, decay=0.9, epsilon=1e-8):
    """m = decay m + (1 - decay) g^2, then AdaGrad's step   (Tieleman and Hinton 2012)"""
    (m,) = memories
    m *= decay
    m += (1 - decay) * g * g
    p -= learning_rate * g / np.sqrt(m + epsilon)


def adam(p, g, memories, update, learning_rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Unbiased running means of g and g^2; update counts from 1   (Kingma and Ba 2015)"""
    m, v = memories
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    mean, square = m / (1 - beta1**update), v / (1 - beta2**update)
    p -= learning_rate * mean / (np.sqrt(square) + epsilon)


def sgd(p, g, memories, update, learning_rate):
    """p -= learning_rate g"""
    p -= learning_rate * g


OPTIMIZERS = {"adagrad": (adagrad, 1), "rmsprop": (rmsprop, 1), "adam": (adam, 2), "sgd": (sgd, 0)}


def train(params, ids, seq_length, batch_size=1, cell="rnn", optimizer="adagrad",
          learning_rate=0.1, clip_value=5.0, clip_norm=None):
    """Reads ids (1-D) in windows and changes params in place; yields loss, smoothed loss for ever.

    The text is cut into batch_size equal streams; the state goes from window to window and starts
    at zero with each epoch, which ends when position + seq_length + 1 >= the stream's length.
    """
    T, N = seq_length, batch_size
    length = len(ids) // N
    streams = np.asarray(ids[: length * N], dtype=np.int64).reshape(N, length)
    step, count = OPTIMIZERS[optimizer]
    memories = {name: [np.zeros_like(p) for _ in range(count)] for name, p in params.items()}
    zero = np.zeros((N, len(params["layer0.Wh"])), params["layer0.Wh"].dtype)
    position, state, update, smooth = 0, zero, 0, 0.0
    while True:
        window = streams[:, position : position + T + 1]
        loss, grads, state = loss_and_gradients(params, window[:, :-1], window[:, 1:], state, cell)
        update += 1
        for name, g in clip(grads, clip_value, clip_norm).items():
            step(params[name], g, memories[name], update, learning_rate)
        smooth = loss if update == 1 else 0.999 * smooth + 0.001 * loss
        yield loss, smooth
        position += T
        if position + T + 1 >= length:
            position, state = 0, zero


def sample(params, state, symbol, uniforms, temperature=1.0, cell="rnn"):
    """Ids drawn from softmax(scores / temperature), one for each uniform number in [0, 1).

    state (H) is the state before `symbol` is read. Temperature 0 takes the likeliest symbol.
    """
    h, ids = state[None], []
    for u in uniforms:
        x = np.eye(len(params["layer0.Wx"]), dtype=h.dtype)[[[symbol]]]
        h = rnn_forward(x, h, params["layer0.Wx"], params["layer0.Wh"], params["layer0.b"],
                        cell)[:, 0]
        scores = (h @ params["head.W"] + params["head.b"])[0]
        if temperature == 0:
            symbol = int(np.argmax(scores))
        else:
            p = np.exp((scores - scores.max()) / temperature)
            symbol = min(int(np.searchsorted(np.cumsum(p) / p.sum(), u, side="right")),
                         len(p) - 1)
        ids.append(symbol)
    return ids
