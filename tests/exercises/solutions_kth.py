"""A solution of exercise kth, as a student would write it."""
import numpy as np


def read(text):
    symbols = sorted(set(text))
    return symbols, np.array([symbols.index(character) for character in text])


def one_hot(ids, K):
    X = np.zeros((len(ids), K))
    X[np.arange(len(ids)), ids] = 1
    return X


def forward(params, X, h0):
    h, H, P = h0, [], []
    for x in X:
        a = params["W"] @ h + params["U"] @ x + params["b"]
        h = np.tanh(a)
        o = params["V"] @ h + params["c"]
        e = np.exp(o - o.max())
        H.append(h)
        P.append(e / e.sum())
    return np.array(H), np.array(P)


def loss(P, Y):
    return -np.log(P[np.arange(len(Y)), Y]).sum()


def backward(params, X, Y, h0, H, P):
    grads = {name: np.zeros_like(p) for name, p in params.items()}
    dH, da = np.zeros_like(H), np.zeros_like(h0)
    for t in reversed(range(len(X))):
        do = P[t] - one_hot(Y[t:t + 1], P.shape[1])[0]
        dh = params["V"].T @ do + params["W"].T @ da
        da = dh * (1 - H[t] ** 2)
        dH[t] = dh
        grads["V"] += np.outer(do, H[t])
        grads["c"] += do
        grads["W"] += np.outer(da, H[t - 1] if t > 0 else h0)
        grads["U"] += np.outer(da, X[t])
        grads["b"] += da
    return grads, dH


def clip(grads, limit):
    return {name: np.clip(g, -limit, limit) for name, g in grads.items()}


def adagrad(params, grads, memory, eta, eps=1e-8):
    for name, g in grads.items():
        memory[name] += g ** 2
        params[name] -= eta * g / np.sqrt(memory[name] + eps)


def smooth(smoothed, loss):
    return loss if smoothed is None else 0.999 * smoothed + 0.001 * loss


def sample(params, h0, first, uniforms, temperature=1.0):
    h, k, ids = h0, first, []
    for u in uniforms:
        h = np.tanh(params["W"] @ h + params["U"][:, k] + params["b"])
        o = (params["V"] @ h + params["c"]) / temperature
        p = np.exp(o - o.max())
        k = int(np.argmax(np.cumsum(p / p.sum()) > u))
        ids.append(k)
    return np.array(ids)


def train(params, ids, seq_length, updates, eta, after=None):
    K, h = len(params["c"]), np.zeros(len(params["b"]))
    memory = {name: np.zeros_like(p) for name, p in params.items()}
    e, smoothed, losses, smooths = 0, None, [], []
    for update in range(1, updates + 1):
        X, Y = one_hot(ids[e:e + seq_length], K), ids[e + 1:e + seq_length + 1]
        H, P = forward(params, X, h)
        losses.append(loss(P, Y))
        smoothed = smooth(smoothed, losses[-1])
        smooths.append(smoothed)
        grads, _ = backward(params, X, Y, h, H, P)
        adagrad(params, clip(grads, 5), memory, eta)
        h, last = H[-1], H[-1]
        e += seq_length
        if e + seq_length + 1 >= len(ids):
            e, h = 0, np.zeros_like(h)
        if after:
            after(update, smoothed, last, e)
    return losses, smooths
