"""Optimizers for your own training loop: steps over a dict of parameters, on the compiled kernels.

>>> optimizer = fastrnn.optim.Adam(model.params, learning_rate=5e-4)
>>> fastrnn.optim.clip_norm_(model.grads, 5.0)
>>> optimizer.step(model.grads)
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .settings import LEARNING_RATES, TrainerSettings, declared
from .validate import changeable, float_array, positive_float

__all__ = ["Optimizer", "SGD", "AdaGrad", "RMSProp", "Adam", "clip_value_", "clip_norm_"]

SETTINGS = declared(TrainerSettings)
DEFAULTS = {name: one.setting.default for name, one in SETTINGS.items()}
MOMENTUM, DECAY_RATE, BETA1, BETA2, EPSILON, INSIDE, WEIGHT_DECAY = (DEFAULTS[name] for name in (
    "momentum", "decay_rate", "beta1", "beta2", "epsilon", "epsilon_inside", "weight_decay"))
DECAYS = {"rmsprop": ("decay_rate",), "adam": ("beta1", "beta2"), "sgd": ("momentum",)}

Array = NDArray[Any]


def rule_of(config: Mapping[str, Any]) -> kernels.Optimizer:
    """The compiled rule that a trainer's settings name; those that are not there have their
    defaults."""
    settings = DEFAULTS | dict(config)
    decays = (settings[name] for name in DECAYS.get(settings["optimizer"], ()))
    others = ("epsilon", "epsilon_inside", "weight_decay", "clip_value", "clip_norm")
    return kernels.Optimizer(settings["optimizer"], *decays,
                             **{name: settings[name] for name in others})


def _rule(kind: str, **numbers: Any) -> kernels.Optimizer:
    """The rule of an optimizer without clipping, its numbers checked."""
    checked = {name: SETTINGS[name].checked(value) for name, value in numbers.items()}
    return rule_of({"optimizer": kind, "clip_value": None} | checked)


class Optimizer:
    """Base of all optimizers.

    Parameters
    ----------
    params : mapping of str -> ndarray of float32 or float64
        Of a layer, a Sequential or a `fastrnn.Model`; changed in place by `step`.
    learning_rate : float

    Attributes
    ----------
    learning_rate : float
        May be changed between steps.
    updates : int
        Steps made.
    """

    def __init__(self, params: Mapping[str, Array], learning_rate: float,
                 rule: kernels.Optimizer) -> None:
        for name, p in params.items():
            changeable(f'params["{name}"]', p)
        self.params, self._rule = params, rule
        self.learning_rate = positive_float("learning_rate", learning_rate)
        self.updates = 0
        self._memories: dict[str, list[Array]] = {}

    def step(self, grads: Mapping[str, Array]) -> None:
        """Move every parameter against its gradient.

        Parameters
        ----------
        grads : mapping of str -> ndarray
            Keys and shapes as `params`; not changed.

        Raises
        ------
        ValueError
            A gradient is missing, or has another shape; then no parameter has changed.
        """
        missing = ", ".join(repr(name) for name in self.params if name not in grads)
        if missing:
            raise ValueError(f"grads has no {missing}: call backward first")
        ready = {name: float_array(f'grads["{name}"]', grads[name],
                                   changeable(f'params["{name}"]', p).shape, p.dtype)
                 for name, p in self.params.items()}
        self.updates += 1
        for name, g in ready.items():
            p = self.params[name]
            whole = np.ascontiguousarray(p)  # p itself where it is contiguous
            memories = self._memories.setdefault(
                name, [np.zeros_like(whole) for _ in range(self._rule.memories)])
            self._rule.step(self.updates, float(self.learning_rate), whole, g, memories)
            if whole is not p:
                p[...] = whole


class SGD(Optimizer):
    """p -= learning_rate weight_decay p, v = momentum v + g, p -= learning_rate v.

    Without momentum the weight decay is the gradient of weight_decay / 2 |p|^2, as in PyTorch; with
    momentum it stays outside v (SGDW of Loshchilov and Hutter 2019).
    """

    def __init__(self, params: Mapping[str, Array], learning_rate: float = LEARNING_RATES["sgd"],
                 momentum: float = MOMENTUM, weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate,
                         _rule("sgd", momentum=momentum, weight_decay=weight_decay))


class AdaGrad(Optimizer):
    """m += g^2, p -= learning_rate g / sqrt(m + epsilon) (Duchi et al. 2011); with
    epsilon_inside=False the divisor is sqrt(m) + epsilon, as in PyTorch. Before each step p loses
    learning_rate weight_decay p."""

    def __init__(self, params: Mapping[str, Array],
                 learning_rate: float = LEARNING_RATES["adagrad"], epsilon: float = EPSILON,
                 epsilon_inside: bool = INSIDE, weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate, _rule(
            "adagrad", epsilon=epsilon, epsilon_inside=epsilon_inside, weight_decay=weight_decay))


class RMSProp(Optimizer):
    """m = decay_rate m + (1 - decay_rate) g^2, p -= learning_rate g / sqrt(m + epsilon) (Tieleman
    and Hinton 2012); with epsilon_inside=False the divisor is sqrt(m) + epsilon, as in PyTorch
    (whose decay_rate is called alpha, 0.99). Before each step p loses learning_rate weight_decay p.
    """

    def __init__(self, params: Mapping[str, Array],
                 learning_rate: float = LEARNING_RATES["rmsprop"], decay_rate: float = DECAY_RATE,
                 epsilon: float = EPSILON, epsilon_inside: bool = INSIDE,
                 weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate, _rule(
            "rmsprop", decay_rate=decay_rate, epsilon=epsilon, epsilon_inside=epsilon_inside,
            weight_decay=weight_decay))


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
    p -= learning_rate m' / (sqrt(v') + epsilon), where m' = m / (1 - beta1^t) and
    v' = v / (1 - beta2^t) (Kingma and Ba 2015). With weight_decay it is AdamW (Loshchilov and
    Hutter 2019): before each step p loses learning_rate weight_decay p."""

    def __init__(self, params: Mapping[str, Array], learning_rate: float = LEARNING_RATES["adam"],
                 beta1: float = BETA1, beta2: float = BETA2, epsilon: float = EPSILON,
                 weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate, _rule(
            "adam", beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay))


def clip_value_(grads: Mapping[str, Array], c: float) -> None:
    """Cut every gradient entry to [-c, c], in place."""
    c = positive_float("c", c)
    for g in [changeable(f'grads["{name}"]', g) for name, g in grads.items()]:
        np.clip(g, -c, c, out=g)


def clip_norm_(grads: Mapping[str, Array], c: float) -> float:
    """Scale all gradients, in place, so that the norm of all entries together is at most c.

    Returns
    -------
    float
        The norm before.
    """
    c = positive_float("c", c)
    arrays = [changeable(f'grads["{name}"]', g) for name, g in grads.items()]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in arrays))
    if norm > c:
        for g in arrays:
            g *= c / norm
    return norm
