"""What all layers have: parameters, gradients, and what each thread's last forward pass left."""

import threading
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..model.initial import draw_weights
from ..pytorch import refuse_tensor
from ..settings import INIT_SCALES, checked_dtype
from ..validate import (
    changeable,
    checked_arrays,
    choice,
    float_array,
    generator,
    positive_float,
)

Array = NDArray[Any]


class Own(threading.local):
    """What the passes of one thread leave in a layer or loss."""

    def __init__(self) -> None:
        self.seen: tuple[Any, ...] | None = None
        self.grads: dict[str, Array] = {}
        self.block: Array | None = None  # parameters as the kernels read them
        self.networks: dict[tuple[int, int], kernels.Network] = {}
        self.inside: Array | None = None  # the x whose forward these hold


class Pass:
    """A forward pass that stores, for its thread, what the backward pass needs."""

    _own: Own

    def __new__(cls, *_: Any, **__: Any) -> Self:
        self = super().__new__(cls)
        self._own = Own()
        return self

    def __init__(self) -> None:  # so that a class without its own refuses arguments
        pass

    def __getstate__(self) -> dict[str, Any]:  # for copy and pickle
        return vars(self) | {"_own": (self._own.seen, self._own.grads)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._own.seen, self._own.grads = state["_own"]
        vars(self).update({name: value for name, value in state.items() if name != "_own"})

    def _last(self) -> tuple[Any, ...]:
        if self._own.seen is None:
            raise RuntimeError(f"{type(self).__name__}.backward has nothing to go back through in "
                               "this thread: call forward first")
        return self._own.seen


class Layer(Pass):
    """Base of all layers; those without parameters have empty dicts.

    Attributes
    ----------
    precision : str
        As given by `dtype`.
    dtype : numpy.dtype
        Of the arrays: float32 for mixed_bfloat16.
    params : dict of str -> ndarray
    grads : dict of str -> ndarray
        From the last `backward` of the thread that asks.
    training : bool
        False switches dropout off.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]] | None = None,
                 dtype: str = "float64") -> None:
        self.precision = checked_dtype("dtype", dtype)
        self.dtype = kernels.array_dtype(self.precision)
        self._shapes = dict(shapes or {})
        self.params: dict[str, Array] = {name: np.zeros(shape, self.dtype)
                                         for name, shape in self._shapes.items()}
        self.training = True

    @property
    def grads(self) -> dict[str, Array]:
        return self._own.grads

    @grads.setter
    def grads(self, value: dict[str, Array]) -> None:
        self._own.grads = value

    def forward(self, x: Any) -> Any:
        raise NotImplementedError

    def backward(self, dout: Any) -> Any:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name, of a Sequential ``"0.Wx"`` and so on. `save_state`
        writes them into a file."""
        return {name: p.copy() for name, p in self.params.items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Copy parameters into `params`, whose arrays stay the same ones.

        Parameters
        ----------
        state : mapping of str -> array_like
            What `state_dict` of a layer with the same shapes returned.

        Raises
        ------
        ValueError, TypeError
            A name is missing or unknown, an array has another shape or type, or is a tensor of
            PyTorch, which `from_torch` reads; then nothing has changed.
        """
        own = {name: changeable(f'params["{name}"]', p) for name, p in self.params.items()}
        for name in state if isinstance(state, Mapping) else ():
            refuse_tensor(f"state[{name!r}]", state[name])
        arrays = checked_arrays("state", state, {
            name: (p.shape, p.dtype) for name, p in own.items()})
        for p, array in zip(own.values(), arrays, strict=True):
            p[...] = array

    def _start(self, init: str, init_scale: float | None, columns: int | None,
               seed: int | None, picked: bool = False) -> None:
        """Draw the weights in the order of `params`; biases stay 0."""
        scale = INIT_SCALES[choice("init", init, INIT_SCALES)]
        if init_scale is not None:
            scale = positive_float("init_scale", init_scale, zero=True)
        rng = generator(seed)
        for name, p in self.params.items():
            if p.ndim == 2:
                draw_weights(init, scale, name, p, columns or p.shape[1], rng, picked)

    def _param(self, name: str) -> Array:
        """A parameter, checked because users may replace the array."""
        shown = f'params["{name}"]'
        return float_array(shown, refuse_tensor(shown, self.params[name]), self._shapes[name],
                           self.dtype)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self._shapes.items())
        return f"<nn.{type(self).__name__}{': ' * bool(shapes)}{shapes}>"
