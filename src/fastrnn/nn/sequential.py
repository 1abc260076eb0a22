"""Layers one after the other."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from numpy.typing import ArrayLike

from ..kernels.blas import one_thread
from .layer import Array, Layer
from .recurrent import GRU, LSTM, RNN, Recurrent
from .simple import Dropout, Embedding, Linear

KINDS: dict[str, Any] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM, "Embedding": Embedding,
                         "Linear": Linear, "Dropout": Dropout}


def float_type(module: Any) -> str:
    """The type of a module's first tensor, without its "torch."; "" where it has none."""
    state = module.state_dict() if hasattr(module, "state_dict") else {}
    return next((str(tensor.dtype).removeprefix("torch.") for tensor in state.values()), "")


class _Joined(Mapping[str, Array]):
    """The current params or grads of several layers, under the names "0.Wx" and so on."""

    def __init__(self, layers: tuple[Layer, ...], kind: str) -> None:
        self._layers, self._kind = layers, kind

    def _now(self) -> dict[str, Array]:
        return {f"{i}.{name}": array for i, layer in enumerate(self._layers)
                for name, array in getattr(layer, self._kind).items()}

    def __getitem__(self, name: str) -> Array:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


class Sequential(Layer):
    """Layers one after the other; recurrent ones start each `forward` from the zero state.

    Parameters
    ----------
    layers : Layer
        Each reads the output of the one before.

    Attributes
    ----------
    layers : tuple of Layer
    params, grads : mapping of str -> ndarray
        Of all layers, ``"0.Wx"`` being ``layers[0].params["Wx"]``; arrays are replaced there, not
        here.
    """

    def __init__(self, *layers: Layer) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layer {i} must be one of fastrnn.nn, not {layer!r}")
        if not layers:
            raise ValueError("Sequential needs at least one layer")
        self.layers = layers

    @classmethod
    def from_torch(cls, module: Any) -> "Sequential":
        """The layers of a torch.nn.Sequential, or of a list of modules of PyTorch: RNN, LSTM, GRU,
        Embedding, Linear and Dropout.

        Raises
        ------
        ValueError, TypeError
            Another module among them, with its place, or one that the layer's from_torch refuses.
        """
        modules = list(module)
        types = [float_type(one) for one in modules]
        layers: list[Layer] = []
        for i, one in enumerate(modules):
            kind = next((base.__name__ for base in type(one).__mro__ if base.__name__ in KINDS),
                        None)
            if kind is None:
                raise ValueError(f"module {i} is a {type(one).__name__}, and fastrnn.nn has "
                                 f"{', '.join(KINDS)}")
            more = {"dtype": max(types)} if kind == "Dropout" and max(types) else {}
            layers.append(KINDS[kind].from_torch(one, **more))
        return cls(*layers)

    @property
    def params(self) -> Mapping[str, Array]:  # type: ignore[override]
        return _Joined(self.layers, "params")

    @property  # type: ignore[misc]
    def grads(self) -> Mapping[str, Array]:  # type: ignore[override]
        return _Joined(self.layers, "grads")

    @property
    def training(self) -> bool:
        return all(layer.training for layer in self.layers)

    @training.setter
    def training(self, value: bool) -> None:
        for layer in self.layers:
            layer.training = value

    def forward(self, x: Any, *, lengths: ArrayLike | None = None) -> Any:
        """x through all layers; lengths (N,) are the steps of each sequence, for the recurrent
        ones."""
        with self._threads():
            for layer in self.layers:
                more = {"lengths": lengths} if isinstance(layer, Recurrent) else {}
                x = layer.forward(x, **more)
        return x

    def _threads(self) -> AbstractContextManager[None]:
        """One context for all layers in place of one for each recurrent layer."""
        recurrent = any(isinstance(layer, Recurrent) for layer in self.layers)
        return one_thread() if recurrent else nullcontext()

    def backward(self, dout: Any) -> Any:
        """The gradient with respect to the output -> with respect to x (None where the first layer
        is an Embedding); fills `grads`."""
        with self._threads():
            for layer in reversed(self.layers):
                dout = layer.backward(dout)
                if isinstance(layer, Recurrent):
                    dout = dout[0]  # without the gradients of the zero states
        return dout

    def __repr__(self) -> str:
        return f"<nn.Sequential of {', '.join(map(repr, self.layers))}>"
