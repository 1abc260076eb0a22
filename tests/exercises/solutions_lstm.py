"""A solution of exercise lstm, as a student would write it."""
import numpy as np


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def step(x, h, c, Wx, Wh, b):
    H = h.shape[1]
    z = x @ Wx + h @ Wh + b
    i, f, o = sigmoid(z[:, :H]), sigmoid(z[:, H:2 * H]), sigmoid(z[:, 2 * H:3 * H])
    g = np.tanh(z[:, 3 * H:])
    new = f * c + i * g
    return o * np.tanh(new), new, (x, h, c, Wx, Wh, i, f, o, g, new)


def step_backward(dh, dc, cache):
    x, h, c, Wx, Wh, i, f, o, g, new = cache
    t = np.tanh(new)
    dc = dc + dh * o * (1 - t ** 2)
    di, df, do, dg = dc * g, dc * c, dh * t, dc * i
    dz = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    return dz @ Wx.T, dz @ Wh.T, dc * f, x.T @ dz, h.T @ dz, dz.sum(axis=0)


def forward(x, h0, Wx, Wh, b):
    h, c, H, caches = h0, np.zeros_like(h0), [], []
    for t in range(x.shape[1]):
        h, c, cache = step(x[:, t], h, c, Wx, Wh, b)
        H.append(h)
        caches.append(cache)
    return np.stack(H, axis=1), caches


def backward(dH, cache):
    N, T, H = dH.shape
    dh, dc, dx, sums = np.zeros((N, H)), np.zeros((N, H)), [], [0, 0, 0]
    for t in reversed(range(T)):
        one, dh, dc, *parts = step_backward(dH[:, t] + dh, dc, cache[t])
        dx.append(one)
        sums = [a + b for a, b in zip(sums, parts, strict=True)]
    return np.stack(dx[::-1], axis=1), dh, *sums
