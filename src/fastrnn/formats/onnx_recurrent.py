"""The layers of an ONNX graph: LSTM, GRU, RNN, and the cells that fastrnn writes as a Scan."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cells import kernel_cell
from .onnx_bodies import BODIES, body_of, weights_of
from .onnx_flow import Flow, Lengths, Node, States, Value
from .onnx_layers import ACTIVATIONS, GATES, Weights, from_onnx

OTHER_LOOP = "fastrnn reads no loops but those of its own files"


def recurrent(node: Node) -> list[Value]:
    cell = _cell(node)
    flow, W, R, B = node.flow(), *_weights(node, cell)
    _initial(node, 5, 2 if cell == "lstm" else 1)
    if len(flow.axes) != 3 or flow.axes[2] != "F" or flow.features not in (None, W.shape[1]):
        raise node.refused(f"it reads {W.shape[1]} numbers at each step, and is given "
                           f"{flow.features} on axes {flow.axes}")
    batch_first = node.attributes.get("layout", 0)
    batch, time = flow.axes[:2] if batch_first else flow.axes[1::-1]
    after = bool(node.attributes.get("linear_before_reset", 0)) or cell != "gru"
    axes = (batch, time, "1", "F") if batch_first else (time, "1", batch, "F")
    y = _layer(node, flow, axes, R.shape[1], time, cell=cell, reset_after=after,
               given={"W": W, "R": R, "B": B})
    last = replace(y, axes=(batch, "1", "F") if batch_first else ("1", batch, "F"))
    found: list[Value] = [y, last, States((None,))]
    return found[: node.outputs]


def _layer(node: Node, flow: Flow, axes: tuple[str, ...], H: int, time: str, **about: Any) -> Flow:
    """The flow after a layer of H units that runs along the axis `time`."""
    if flow.part:
        raise node.refused("it reads a part of an input")
    if flow.time not in (None, time):
        raise node.refused("it runs along another axis than the layer before it")
    return flow.then("layer", node, axes, H, time=time, units=H, **about)


def weights_of_layer(about: dict[str, Any]) -> Weights:
    """The weights of our layer, with our names, of what a step says about a layer."""
    cell, given = about["cell"], dict(about["given"])
    if cell in GATES:
        return from_onnx(cell, given["W"], given["R"], given["B"], about["reset_after"])
    if cell == "mgu":
        given["Wh"] = np.concatenate([given.pop("Uf"), given.pop("Un")], axis=1)
    return given


def _cell(node: Node) -> str:
    """The cell that an operator computes; ValueError for one that fastrnn lacks."""
    given = node.attributes
    direction = given.get("direction", b"forward")
    if direction != b"forward":
        raise node.refused(f"direction {direction.decode(errors='replace')[:50]!r}: fastrnn's "
                           "models read forwards")
    names = [name.decode(errors="replace")[:50] for name in given.get("activations", [])]
    fitting = [cell for cell, (op, _, _) in GATES.items() if op == node.op and (
        not names or [name.lower() for name in names] == [
            name.lower() for name in ACTIVATIONS[cell]])]
    if not fitting:
        raise node.refused(f"fastrnn has no {node.op} of the activations {', '.join(names)}")
    for name, reason in (("clip", "it clips its activations"),
                         ("input_forget", "it couples the input and the forget gate"),
                         ("activation_alpha", "its activations have parameters"),
                         ("activation_beta", "its activations have parameters")):
        if given.get(name):
            raise node.refused(f"{reason} ({name}), which fastrnn does not do")
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        raise node.refused("it has sequence_lens: fastrnn's layers read all steps")
    peepholes = node.inputs[7] if len(node.inputs) > 7 else None
    if peepholes is not None and not (isinstance(peepholes, np.ndarray) and not peepholes.any()):
        raise node.refused("it has peepholes (P), which fastrnn's LSTM has not")
    return fitting[0]


def _weights(node: Node, cell: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """W (G H, D), R (G H, H) and B (2 G H) of an operator."""
    W, R = node.constant(1, "W"), node.constant(2, "R")
    rows = W.shape[1] if W.ndim == 3 else 0
    H = rows // len(GATES[cell][1])
    B = node.inputs[3] if len(node.inputs) > 3 else None
    B = np.zeros((1, 2 * rows), W.dtype) if B is None else node.constant(3, "B")
    hidden_size = node.attributes.get("hidden_size", H)
    if not H or hidden_size != H or (W.shape[:1], R.shape, B.shape) != (
            (1,), (1, rows, H), (1, 2 * rows)) or rows % len(GATES[cell][1]):
        raise node.refused(f"W {W.shape}, R {R.shape} and B {B.shape} do not fit "
                           f"{hidden_size} units")
    return W[0], R[0], B[0]


def _initial(node: Node, first: int, count: int) -> None:
    """Raise ValueError unless the initial states are zeros, or inputs of the graph."""
    for value in node.inputs[first : first + count]:
        if isinstance(value, np.ndarray) and value.any() or isinstance(
                value, States | Lengths) or isinstance(value, Flow) and value.steps:
            raise node.refused("its initial state is neither zero nor an input of the graph")


def scan(node: Node) -> list[Value]:
    """One of the cells that fastrnn writes as a Scan, whose input is a linear layer's output."""
    flow, given, weights = node.flow(1), node.attributes, node.weights
    linear = flow.steps[-1] if flow.steps else None
    cell = next((cell for cell in BODIES if tuple(weights) == weights_of(cell)), None)
    if cell is None or len(flow.axes) != 3 or flow.axes[2] != "F" or (
            linear is None or linear.kind != "linear" or linear.about["b"] is None):
        raise node.refused(OTHER_LOOP)
    gates, G = kernel_cell(cell).gates, flow.features or 0
    H, name = G // gates, given["body"].name.removesuffix(".step")
    if (given.keys() != {"body", "num_scan_inputs"} or given["num_scan_inputs"] != 1
            or len(node.inputs) != 2 or given["body"] != body_of(cell, name, gates, H)
            or G % gates or any(W.shape != (H, H)[: W.ndim] or not W.ndim
                                for W in weights.values())):
        raise node.refused(OTHER_LOOP)
    _initial(node, 0, 1)
    found = {"Wx": linear.about["W"], "b": linear.about["b"]} | weights
    time = flow.axes[0]
    before = replace(flow, steps=flow.steps[:-1])
    y = _layer(node, before, flow.axes, H, time, cell=cell, reset_after=True, given=found)
    return [States((None,)), y]
