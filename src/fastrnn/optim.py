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
from .kernels.blas import one_thread_for
from .settings import LEARNING_RATES, TrainerSettings, declared
from .validate import changeable, checked_arrays, float_array, positive_float, positive_int

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

    _kind: str

    def __init__(self, params: Mapping[str, Array], learning_rate: float,
                 **numbers: float) -> None:
        for name, p in params.items():
            changeable(f'params["{name}"]', p)
        self.params = params
        self.learning_rate = positive_float("learning_rate", learning_rate)
        self.updates = 0
        self._memories: dict[str, list[Array]] = {}
        self._numbers, self._rule = self._checked(numbers)

    def _checked(self, numbers: Mapping[str, Any]) -> tuple[dict[str, Any], kernels.Optimizer]:
        """The numbers of the rule, checked, and the compiled rule, which does not clip."""
        checked = {name: SETTINGS[name].checked(value) for name, value in numbers.items()}
        kind = type(self)._kind
        return checked, rule_of({"optimizer": kind, "clip_value": None} | checked)

    def __getstate__(self) -> dict[str, Any]:  # for copy and pickle
        return {name: value for name, value in vars(self).items() if name != "_rule"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._rule = self._checked(self._numbers)[1]

    def step(self, grads: Mapping[str, Array]) -> None:
        """Move every parameter against its gradient, or, where there is an error, none.

        Parameters
        ----------
        grads : mapping of str -> ndarray
            Keys and shapes as `params`; not changed.

        Raises
        ------
        ValueError, TypeError
            A gradient is missing, has another shape, or is not finite; a parameter or the learning
            rate is none any more. Nothing has changed then.
        """
        missing = ", ".join(repr(name) for name in self.params if name not in grads)
        if missing:
            raise ValueError(f"grads has no {missing}: call backward first")
        rate, ready = positive_float("learning_rate", self.learning_rate), []
        for name, p in self.params.items():
            shape = changeable(f'params["{name}"]', p).shape
            g = float_array(f'grads["{name}"]', grads[name], shape, p.dtype)
            if not np.isfinite(g).all():
                raise ValueError(f'grads["{name}"] has NaN or infinity, and no parameter has been '
                                 "changed: clip gradients, or take a smaller learning rate")
            whole = np.ascontiguousarray(p)  # p itself where it is contiguous
            ready.append((p, whole, g, self._memory(name, p)))
        self.updates += 1
        for p, whole, g, memories in ready:
            self._rule.step(self.updates, rate, whole, g, memories)
            if whole is not p:
                p[...] = whole

    def _memory(self, name: str, p: Array) -> list[Array]:
        """The memories of a parameter, 0 at first."""
        memories = self._memories.get(name)
        if memories is None:
            memories = [np.zeros(p.shape, p.dtype) for _ in range(self._rule.memories)]
            self._memories[name] = memories
        for memory in memories:
            if (memory.shape, memory.dtype) != (p.shape, p.dtype):
                raise ValueError(f'params["{name}"] is {p.dtype} {p.shape} and was {memory.dtype} '
                                 f"{memory.shape}: make a new optimizer for it")
        return memories

    def state_dict(self) -> dict[str, Any]:
        """What the next steps depend on besides the parameters, as copies: ``optimizer`` (its
        name), ``updates``, ``learning_rate``, ``settings`` and ``memories``, a dict with the arrays
        ``"0.Wx.0"`` and so on: a parameter's name and the number of the memory, in the order of the
        formula. `fastrnn.nn.save_state` writes it into a file."""
        memories = {f"{name}.{i}": memory.copy() for name, p in self.params.items()
                    for i, memory in enumerate(self._memory(name, p))}
        return {"optimizer": self._kind, "updates": self.updates,
                "learning_rate": float(self.learning_rate), "settings": dict(self._numbers),
                "memories": memories}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the optimizer whose `state_dict` this is: the next steps are the same bits.

        Raises
        ------
        ValueError, TypeError
            The state of another optimizer or of other parameters (the message names what is
            missing, unknown or of another shape or type), or numbers outside their range. Nothing
            has changed then.
        """
        expected = {"optimizer", "updates", "learning_rate", "settings", "memories"}
        if not isinstance(state, Mapping) or state.keys() != expected:
            raise ValueError(f"an optimizer's state has {', '.join(sorted(expected))}: give what "
                             "state_dict of one returned")
        if state["optimizer"] != self._kind:
            raise ValueError(f"this is the state of {state['optimizer']!r}, and this optimizer is "
                             f"{self._kind!r}: make one of the same kind")
        settings = state["settings"]
        if not isinstance(settings, Mapping) or settings.keys() != self._numbers.keys():
            raise ValueError(f"settings must be {', '.join(self._numbers)}")
        numbers, rule = self._checked(settings)
        updates = positive_int("updates", state["updates"], least=0, below=2**63)
        rate = positive_float("learning_rate", state["learning_rate"])
        shapes = {f"{name}.{i}": (p.shape, p.dtype) for name, p in self.params.items()
                  for i in range(rule.memories)}
        arrays = iter(checked_arrays("memories", state["memories"], shapes))
        self._memories = {name: [next(arrays).copy() for _ in range(rule.memories)]
                          for name in self.params}
        self._numbers, self._rule, self.updates, self.learning_rate = numbers, rule, updates, rate


class SGD(Optimizer):
    """p -= learning_rate weight_decay p, v = momentum v + g, p -= learning_rate v.

    Without momentum the weight decay is the gradient of weight_decay / 2 times the sum of p^2, as
    in PyTorch; with momentum it stays outside v (SGDW of Loshchilov and Hutter 2019).

    Parameters
    ----------
    params, learning_rate
        As `Optimizer`.
    momentum : float
        In [0, 1).
    weight_decay : float
        0 or more.
    """

    _kind = "sgd"

    def __init__(self, params: Mapping[str, Array], learning_rate: float = LEARNING_RATES["sgd"],
                 momentum: float = MOMENTUM, weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate, momentum=momentum, weight_decay=weight_decay)


class AdaGrad(Optimizer):
    """m += g^2, p -= learning_rate g / sqrt(m + epsilon) (Duchi et al. 2011); with
    epsilon_inside=False the divisor is sqrt(m) + epsilon, as in PyTorch. Before each step p loses
    learning_rate weight_decay p.

    Parameters
    ----------
    params, learning_rate
        As `Optimizer`.
    epsilon : float
        From 1e-30 to 1.
    epsilon_inside : bool
    weight_decay : float
        0 or more.
    """

    _kind = "adagrad"

    def __init__(self, params: Mapping[str, Array],
                 learning_rate: float = LEARNING_RATES["adagrad"], epsilon: float = EPSILON,
                 epsilon_inside: bool = INSIDE, weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate, epsilon=epsilon, epsilon_inside=epsilon_inside,
                         weight_decay=weight_decay)


class RMSProp(Optimizer):
    """m = decay_rate m + (1 - decay_rate) g^2, p -= learning_rate g / sqrt(m + epsilon) (Tieleman
    and Hinton 2012); with epsilon_inside=False the divisor is sqrt(m) + epsilon, as in PyTorch
    (whose decay_rate is called alpha, 0.99). Before each step p loses learning_rate weight_decay p.

    Parameters
    ----------
    params, learning_rate
        As `Optimizer`.
    decay_rate : float
        In [0, 1).
    epsilon : float
        From 1e-30 to 1.
    epsilon_inside : bool
    weight_decay : float
        0 or more.
    """

    _kind = "rmsprop"

    def __init__(self, params: Mapping[str, Array],
                 learning_rate: float = LEARNING_RATES["rmsprop"], decay_rate: float = DECAY_RATE,
                 epsilon: float = EPSILON, epsilon_inside: bool = INSIDE,
                 weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate, decay_rate=decay_rate, epsilon=epsilon,
                         epsilon_inside=epsilon_inside, weight_decay=weight_decay)


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
    p -= learning_rate m' / (sqrt(v') + epsilon), where m' = m / (1 - beta1^t) and
    v' = v / (1 - beta2^t) (Kingma and Ba 2015). With weight_decay it is AdamW (Loshchilov and
    Hutter 2019): before each step p loses learning_rate weight_decay p.

    Parameters
    ----------
    params, learning_rate
        As `Optimizer`.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        From 1e-30 to 1.
    weight_decay : float
        0 or more.
    """

    _kind = "adam"

    def __init__(self, params: Mapping[str, Array], learning_rate: float = LEARNING_RATES["adam"],
                 beta1: float = BETA1, beta2: float = BETA2, epsilon: float = EPSILON,
                 weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(params, learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon,
                         weight_decay=weight_decay)


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

    Raises
    ------
    ValueError
        The gradients have NaN or infinity; none has changed.
    """
    c = positive_float("c", c)
    arrays = [changeable(f'grads["{name}"]', g) for name, g in grads.items()]
    with one_thread_for(max((g.size for g in arrays), default=0)):
        with np.errstate(over="ignore"):
            norm = math.sqrt(sum(float(np.vdot(g, g)) for g in arrays))
    if not math.isfinite(norm):  # squares overflow, or the gradients are not finite
        if not all(np.isfinite(g).all() for g in arrays):
            raise ValueError("grads have NaN or infinity, which no scale mends: take a smaller "
                             "learning rate, or look for the first step where they come up")
        most = max(float(np.abs(g).max()) for g in arrays if g.size)
        norm = most * math.sqrt(sum(float(np.square(g / most, dtype=float).sum()) for g in arrays))
    if norm > c:
        for g in arrays:
            g *= c / norm
    return norm
