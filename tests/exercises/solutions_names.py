"""A solution of exercise names, as a student would write it."""
import numpy as np


def code(names):
    symbols = ["\n", *sorted(set("".join(names)))]
    T = max(len(name) for name in names) + 1
    inputs, targets = np.zeros((len(names), T), int), np.zeros((len(names), T), int)
    mask = np.zeros((len(names), T))
    for n, name in enumerate(names):
        ids = [symbols.index(character) for character in name]
        inputs[n, 1:len(ids) + 1] = ids
        targets[n, :len(ids)] = ids
        mask[n, :len(ids) + 1] = 1
    return symbols, inputs, targets, mask


def forward(params, inputs):
    N, T = inputs.shape
    h, H = np.zeros((N, len(params["b"]))), []
    for t in range(T):
        h = np.tanh(params["Wx"][inputs[:, t]] + h @ params["Wh"] + params["b"])
        H.append(h)
    H = np.stack(H, axis=1)
    return H, H @ params["V"] + params["c"]


def loss(scores, targets, mask):
    N, T, K = scores.shape
    shifted = scores - scores.max(axis=2, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    n, t = np.indices((N, T))
    total = -(log_p[n, t, targets] * mask).sum() / N
    d = np.exp(log_p)
    d[n, t, targets] -= 1
    return total, d * mask[:, :, None] / N


def backward(params, inputs, H, dscores):
    grads = {name: np.zeros_like(p) for name, p in params.items()}
    dH, dz = np.zeros_like(H), np.zeros_like(H[:, 0])
    for t in reversed(range(H.shape[1])):
        dH[:, t] = dscores[:, t] @ params["V"].T + dz @ params["Wh"].T
        dz = dH[:, t] * (1 - H[:, t] ** 2)
        grads["V"] += H[:, t].T @ dscores[:, t]
        grads["c"] += dscores[:, t].sum(axis=0)
        if t > 0:
            grads["Wh"] += H[:, t - 1].T @ dz
        grads["b"] += dz.sum(axis=0)
        np.add.at(grads["Wx"], inputs[:, t], dz)
    return grads, dH


def clip(grads, limit):
    norm = np.sqrt(sum((g ** 2).sum() for g in grads.values()))
    return {name: g * min(1, limit / norm) for name, g in grads.items()}


def sample(params, uniforms):
    h, k, ids = np.zeros(len(params["b"])), 0, []
    for u in uniforms:
        h = np.tanh(params["Wx"][k] + h @ params["Wh"] + params["b"])
        scores = h @ params["V"] + params["c"]
        p = np.exp(scores - scores.max())
        k = int(np.argmax(np.cumsum(p / p.sum()) > u))
        if k == 0:
            break
        ids.append(k)
    return np.array(ids)
