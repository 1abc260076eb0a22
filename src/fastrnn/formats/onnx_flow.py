"""What goes through an ONNX graph while it is read: an input of the graph, and what became of it.

The graph is run without numbers. A value is a constant of the file (an ndarray), a `Flow`,
`Lengths` of axes, `States` after the last step, or `ZEROS`, an initial state.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.store import short
from .onnx_file import numbers
from .onnx_layers import library

ZEROS = "zeros"  # zeros of any shape
# bounds of what a file may ask for: axes, lengths or states side by side, steps one after another,
# numbers of an attribute
MOST_AXES, MOST_STEPS, MOST_NUMBERS = 64, 100, 4096


@dataclass(frozen=True)
class Step:
    """What a node does to a flow: its kind, the node's name for messages, and its numbers."""

    kind: str
    node: str
    about: dict[str, Any]


@dataclass(frozen=True)
class Flow:
    """An input of the graph after some steps.

    Attributes
    ----------
    source : str
        The name of the input.
    axes : tuple of str
        The names of the axes: "F" are the features, "1" is an axis of size 1; the others keep their
        names wherever they go.
    features : int or None
        How many features there are; None: not known, or symbols.
    steps : tuple of Step
    part : bool
        Whether it is a part of the input, such as the state of one layer.
    sizes : dict of str -> int
        Of the axes whose sizes the graph fixes.
    """

    source: str
    axes: tuple[str, ...]
    features: int | None = None
    steps: tuple[Step, ...] = ()
    part: bool = False
    sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.axes) > MOST_AXES or len(self.steps) > MOST_STEPS:
            raise ValueError(f"more than {MOST_AXES} axes or {MOST_STEPS} steps")

    def then(self, kind: str, node: "Node", axes: tuple[str, ...] | None = None,
             features: int | None = None, **about: Any) -> "Flow":
        """The flow after one more step."""
        return replace(self, axes=self.axes if axes is None else axes,
                       features=self.features if features is None else features,
                       steps=(*self.steps, Step(kind, node.name, about)))

    @property
    def time(self) -> str | None:
        """The axis along which the last layer ran."""
        times = [step.about["time"] for step in self.steps if step.kind == "layer"]
        return times[-1] if times else None


@dataclass(frozen=True)
class Lengths:
    """Lengths of axes, each the name of an axis, a number, or "?"."""

    of: tuple[int | str, ...]

    def __post_init__(self) -> None:
        if len(self.of) > MOST_AXES:
            raise ValueError(f"more than {MOST_AXES} lengths")


@dataclass(frozen=True)
class States:
    """States after the last step, layer by layer: the outputs there, or None for a cell state."""

    layers: tuple[Flow | None, ...]

    def __post_init__(self) -> None:
        if len(self.layers) > MOST_STEPS:
            raise ValueError(f"more than {MOST_STEPS} layers")


Value = NDArray[Any] | Flow | Lengths | States | str | None  # ZEROS; None: left out


class Refused(ValueError):
    """A node or a tensor, which the message names, that fastrnn cannot express or read."""


@dataclass(frozen=True)
class Node:
    """A node whose inputs are known."""

    op: str
    name: str  # with its operator, for messages
    inputs: list[Value]
    attributes: dict[str, Any]
    outputs: int
    weights: dict[str, NDArray[Any]]  # that the body of a Scan reads, by names such as Wh

    def refused(self, reason: str) -> Refused:
        return Refused(f"node {self.name}: {reason}")

    def flow(self, i: int = 0) -> Flow:
        """The input i, which must be a flow."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if not isinstance(value, Flow):
            raise self.refused("it is not applied to what an input of the graph becomes")
        return value

    def constant(self, i: int, what: str) -> NDArray[Any]:
        """The input i, which must be a constant."""
        value = self.inputs[i] if i < len(self.inputs) else None
        if not isinstance(value, np.ndarray):
            raise self.refused(f"{what} must be a constant of the file")
        return value

    def integers(self, name: str, i: int) -> list[int] | None:
        """Numbers that older operators have as an attribute and newer ones as input i; None where
        they are left out."""
        found = self.attributes.get(name)
        if found is None and (i >= len(self.inputs) or self.inputs[i] is None):
            return None
        array = np.asarray(self.constant(i, name) if found is None else found)
        if array.dtype.kind not in "iu" or array.size > 16:
            raise self.refused(f"{name} must be a few whole numbers")
        return [int(one) for one in array.ravel()]

    def places(self, axes: list[int], rank: int) -> list[int]:
        """Axes counted from 0, each once."""
        found = [axis + rank if axis < 0 else axis for axis in axes]
        if len(set(found)) < len(found) or not all(0 <= axis < rank for axis in found):
            raise self.refused(f"axes {short(axes)} of {rank}")
        return found


def node_of(proto: Any, values: dict[str, Any]) -> Node:
    """A NodeProto with the values of its inputs; ValueError where one is missing, or cannot be
    read."""
    helper = library().helper
    outputs = ", ".join([each for each in proto.output if each][:1])
    name = f"{short(proto.name or outputs)[:100]} ({short(proto.op_type)[1:-1][:50]})"
    if proto.domain not in ("", "ai.onnx"):
        raise Refused(f"node {name}: fastrnn has no operator of the domain "
                      f"{short(proto.domain)[:100]}")
    inputs = []
    for each in proto.input:
        if each and each not in values:
            raise Refused(f"node {name}: nothing before it makes {short(each)[:100]}")
        inputs.append(_value(values, each) if each else None)
    if any(len(each) > MOST_NUMBERS for a in proto.attribute for each in (
            a.ints, a.floats, a.strings)):
        raise Refused(f"node {name}: an attribute has more than {MOST_NUMBERS:,} numbers")
    attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    weights: dict[str, Any] = {}
    if proto.op_type == "Scan":  # what comes from outside of the body is no input
        for each in dict.fromkeys(each for inner in attributes["body"].node
                                  for each in inner.input if each in values):
            weights[each.rpartition(".")[2]] = _value(values, each)
    return Node(proto.op_type, name, inputs, attributes, len(proto.output), weights)


def _value(values: dict[str, Any], name: str) -> Any:
    """A value; of a tensor of the file its array, which is made once."""
    if not isinstance(values[name], Flow | Lengths | States | str | np.ndarray | None):
        values[name] = tensor_of(values[name])
    return values[name]


def tensor_of(tensor: Any) -> NDArray[Any]:
    """The numbers of a TensorProto; ValueError with its name."""
    try:
        return numbers(tensor)
    except ValueError as error:
        raise Refused(f"tensor {short(tensor.name)[:100]}: {error}") from None
