"""Layers without a state: Embedding, Linear and Dropout."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import kernels
from ..kernels.blas import one_thread_for
from ..kernels.team import no_fork
from ..pytorch import library, tensors_of
from ..validate import boolean, float_array, fraction, generator, positive_int, whole_numbers
from .layer import Array, Layer


class Embedding(Layer):
    """y = W[id]: each of K ids selects a row of W (K, D).

    Parameters
    ----------
    K, D : int
    init, init_scale, dtype, seed
        As `RNN`.
    """

    def __init__(self, K: int, D: int, *, init: str = "xavier", init_scale: float | None = None,
                 dtype: str = "float64", seed: int | None = 0) -> None:
        super().__init__({"W": (positive_int("K", K), positive_int("D", D))}, dtype)
        self._start(init, init_scale, None, seed, picked=True)

    def forward(self, x: ArrayLike) -> Array:
        """Ids (N, T), or of any shape -> rows (N, T, D).

        Raises
        ------
        ValueError
            An id outside 0..K-1; the message names it and its place.
        """
        W = self._param("W")
        ids = whole_numbers("ids", x, len(W)).copy()
        self._own.seen = (ids,)
        rows: Array = W[ids]
        return rows

    def backward(self, dout: ArrayLike) -> None:
        """The gradient with respect to the rows (N, T, D) fills `grads`; ids have none."""
        (ids,), shape = self._last(), self._shapes["W"]
        dout = float_array("dout", dout, (*ids.shape, shape[1]), self.dtype)
        self.grads = {"W": np.zeros(shape, self.dtype)}
        np.add.at(self.grads["W"], ids, dout)

    @classmethod
    def from_torch(cls, module: Any) -> Self:
        """The layer with the weights (K, D) of a torch.nn.Embedding; the row of its padding_idx is
        trained as the others are.

        Raises
        ------
        ValueError, TypeError
            Another module, a max_norm, or weights of other types than float32 and float64.
        """
        W = tensors_of(module, "Embedding", ("weight",))["weight"]
        if module.max_norm is not None:
            raise ValueError("the Embedding has a max_norm, which fastrnn's has not")
        K, D = W.shape
        made = cls(K, D, dtype=W.dtype.name)
        made.params["W"][...] = W
        return made

    def to_torch(self) -> Any:
        """The torch.nn.Embedding with the same weights; ImportError where PyTorch is missing."""
        torch = library()
        return torch.nn.Embedding.from_pretrained(torch.tensor(self._param("W")), freeze=False)


class Linear(Layer):
    """y = x W + b with W (D, M) and b (M).

    Parameters
    ----------
    D, M : int
    bias : bool
        False: y = x W, and there is no b.
    init, init_scale, dtype, seed
        As `RNN`.
    """

    def __init__(self, D: int, M: int, bias: bool = True, *, init: str = "xavier",
                 init_scale: float | None = None, dtype: str = "float64",
                 seed: int | None = 0) -> None:
        D, M = positive_int("D", D), positive_int("M", M)
        b: dict[str, tuple[int, ...]] = {"b": (M,)} if boolean("bias", bias) else {}
        super().__init__({"W": (D, M)} | b, dtype)
        self._start(init, init_scale, None, seed)

    def forward(self, x: ArrayLike) -> Array:
        """x (N, T, D), or any array whose last axis has D -> (N, T, M)."""
        x = self._operand(float_array("x", x, (..., self._shapes["W"][0]), self.dtype))
        W = self._operand(self._param("W").copy())
        self._own.seen = x, W
        with no_fork, one_thread_for(x.size // len(W), *W.shape):
            y = x @ W
        if "b" in self._shapes:
            y += self._param("b")
        return y

    def backward(self, dout: ArrayLike) -> Array:
        """The gradient with respect to y -> with respect to x; fills `grads`."""
        x, W = self._last()
        dx: Array
        D, M = W.shape
        dout = float_array("dout", dout, (*x.shape[:-1], M), self.dtype)
        dy, rows = self._operand(dout), dout.reshape(-1, M)
        with no_fork, one_thread_for(len(rows), D, M):
            dW, dx = x.reshape(-1, D).T @ dy.reshape(-1, M), dy @ W.T
        self.grads = {"W": dW} | ({"b": rows.sum(0)} if "b" in self._shapes else {})
        return dx

    @classmethod
    def from_torch(cls, module: Any) -> Self:
        """The layer with the weights of a torch.nn.Linear, transposed.

        Raises
        ------
        ValueError, TypeError
            Another module, or weights of other types than float32 and float64.
        """
        found = tensors_of(module, "Linear", ("weight", "bias"))
        M, D = found["weight"].shape
        made = cls(D, M, "bias" in found, dtype=found["weight"].dtype.name)
        made.params["W"][...] = found["weight"].T
        if "bias" in found:
            made.params["b"][...] = found["bias"]
        return made

    def to_torch(self) -> Any:
        """The torch.nn.Linear with the same weights; ImportError where PyTorch is missing."""
        torch, bias = library(), "b" in self._shapes
        module = torch.nn.Linear(*self._shapes["W"], bias=bias,
                                 dtype=getattr(torch, self.dtype.name))
        state = {"weight": self._param("W").T.copy()} | (
            {"bias": self._param("b")} if bias else {})
        module.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
        return module

    def _operand(self, array: Array) -> Array:
        """An array as products take it."""
        return kernels.round_to_bfloat16(array) if self.precision == kernels.MIXED else array


class Dropout(Layer):
    """In training each number becomes 0 with probability p, and the others are divided by 1 - p
    (Srivastava et al. 2014); with `training` False nothing changes.

    Parameters
    ----------
    p : float
        In [0, 1).
    dtype : {"float32", "float64", "mixed_bfloat16"}
    seed : int or None

    Raises
    ------
    ValueError, TypeError
        p outside its range; complex or object arrays.
    """

    def __init__(self, p: float, *, dtype: str = "float64", seed: int | None = 0) -> None:
        super().__init__(None, dtype)
        self.p = fraction("p", p)
        self._rng = generator(seed)

    def forward(self, x: ArrayLike) -> Array:
        """x of any shape -> the same shape; another mask in each call."""
        x = float_array("x", x, (...,), self.dtype)
        mask = np.ones_like(x)
        if self.training and self.p:
            mask = (self._rng.random(x.shape) >= self.p) / self.dtype.type(1 - self.p)
        self._own.seen = (mask,)
        y: Array = x * mask
        return y

    def backward(self, dout: ArrayLike) -> Array:
        """The gradient with respect to y -> with respect to x, through the mask of `forward`."""
        (mask,) = self._last()
        dx: Array = float_array("dout", dout, mask.shape, self.dtype) * mask
        return dx

    @classmethod
    def from_torch(cls, module: Any, dtype: str = "float64") -> Self:
        """The layer with the p of a torch.nn.Dropout; ValueError for another module. The masks come
        from other random numbers than PyTorch's."""
        tensors_of(module, "Dropout", ())
        return cls(module.p, dtype=dtype)

    def to_torch(self) -> Any:
        """The torch.nn.Dropout with the same p; ImportError where PyTorch is missing."""
        return library().nn.Dropout(self.p)
