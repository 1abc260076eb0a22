"""A solution of exercise echo, as a student would write it."""
import numpy as np


def scale(W, radius):
    return W * radius / np.abs(np.linalg.eigvals(W)).max()


def states(W, Win, b, leak, u):
    h, H = np.zeros(len(b)), []
    for x in u:
        h = (1 - leak) * h + leak * np.tanh(Win @ x + W @ h + b)
        H.append(h)
    return np.array(H)


def ridge(H, Y, penalty):
    F = np.column_stack([np.ones(len(H)), H])
    P = penalty * np.eye(F.shape[1])
    P[0, 0] = 0
    return np.linalg.solve(F.T @ F + P, F.T @ Y).T


def nrmse(predicted, Y):
    return np.sqrt(np.mean((predicted - Y) ** 2) / np.mean((Y - Y.mean(axis=0)) ** 2))


def free_run(W, Win, b, leak, Wout, h, y, steps):
    outputs = []
    for _ in range(steps):
        h = (1 - leak) * h + leak * np.tanh(Win @ y + W @ h + b)
        y = Wout[:, 0] + Wout[:, 1:] @ h
        outputs.append(y)
    return np.array(outputs)
