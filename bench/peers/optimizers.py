"""One AdaGrad step on a flat array of parameters, the gradient clipped in place first."""

from collections.abc import Callable

import numpy as np


def numpy_adagrad(p: np.ndarray, g: np.ndarray, learning_rate: float, clip_value: float
                  ) -> Callable[[], object]:
    m, s = np.zeros_like(p), np.empty_like(p)

    def step() -> None:
        np.clip(g, -clip_value, clip_value, out=g)
        np.multiply(g, g, out=s)
        np.add(m, s, out=m)
        np.add(m, 1e-8, out=s)
        np.sqrt(s, out=s)
        np.divide(g, s, out=s)
        np.multiply(s, learning_rate, out=s)
        np.subtract(p, s, out=p)

    return step


def torch_adagrad(p: np.ndarray, g: np.ndarray, learning_rate: float, clip_value: float
                  ) -> Callable[[], object]:
    import torch

    tensor = torch.nn.Parameter(torch.from_numpy(p))
    tensor.grad = torch.from_numpy(g)
    optimizer = torch.optim.Adagrad([tensor], lr=learning_rate, fused=True,
                                    initial_accumulator_value=1e-8, eps=0.0)

    def step() -> None:
        torch.set_num_threads(1)  # PyTorch does not divide so few elements among threads
        tensor.grad.clamp_(-clip_value, clip_value)
        optimizer.step()

    return step
