"""A model as an ONNX graph.

Inputs: ``ids`` (batch, time) or ``inputs`` (batch, time, D), ``labels`` (batch, C) of a model of
labels, and the states before the first step: ``h_0`` (layers, batch, units), of an LSTM ``c_0``
too, of the memory cell ``m_0``. Outputs: ``scores``, ``probabilities`` or ``predictions`` (batch,
time, K), and the states after the last step, ``h_n`` and so on. metadata_props: JSON under the
keys that `_about` returns.
"""

import json
import os
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cells import kernel_cell
from ..data.scaling import Scaling
from ..files.store import replacing
from ..model.model import Model
from .onnx_bodies import BODIES, body_of, weights_of
from .onnx_layers import ACTIVATIONS, GATES, Weights, library, states_of, to_onnx

OPSET, IR = 17, 8  # which runtimes read since 2022
MOST_BYTES = 2**31 - 2**26  # protobuf ends at 2 GiB; some is for nodes and vocabulary
MARK = b"\x08\x08\x12\x07fastrnn"  # how our files begin: the IR version, and who wrote them


def write(model: Model, path: str | os.PathLike[str], overwrite: bool = False, *,
          softmax: bool = False) -> None:
    """Write a model as an ONNX file. `fastrnn.export` says the rest."""
    file_bytes = graph_of(model, softmax).SerializeToString()
    with replacing(path, overwrite or is_ours(path)) as file:
        file.write(file_bytes)


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, an ONNX file that fastrnn wrote."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(MARK)) == MARK


def graph_of(model: Model, softmax: bool = False) -> Any:
    """The ModelProto of a model, its weights in float32; ValueError for one that has none."""
    if softmax and not model.sizes.output_symbols:
        raise ValueError("softmax is for models that predict symbols, and this one predicts "
                         "numbers: leave it out")
    units, cell = model.config["hidden_size"], model.config["cell"]
    if cell not in (*GATES, *BODIES):
        raise ValueError(f"there is no graph of ONNX for the cell {cell!r}: export a C header "
                         "(.h) or a page (.html)")
    dense = units * (units + model.sizes.inputs) if model.reservoir is not None else 0
    if 4 * (model.block.size + dense) > MOST_BYTES:
        raise ValueError("the model is too large for a file of ONNX, which holds 2 GiB: export one "
                         "with a smaller hidden_size")
    helper, graph = library().helper, _Graph(model)
    _states_before(graph)
    out = _head(graph, _layers(graph, _first_layer_input(graph)), softmax)
    _states_after(graph)
    outputs = [graph.info(out, ("batch", "time", model.sizes.outputs)),
               *(graph.info(f"{state}_n", graph.state_shape) for state in graph.states)]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "fastrnn", graph.inputs, outputs, graph.tensors),
        ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="fastrnn",
        doc_string=f"{model!r} of fastrnn. The weights are float32. Where a sequence begins the "
                   "states are zero; a text goes on from those in the metadata.")
    helper.set_model_props(proto, {name: json.dumps(value)
                                   for name, value in _about(model, graph.states).items()})
    return proto


def _about(model: Model, states: tuple[str, ...]) -> dict[str, Any]:
    """What the file says of a model beside its graph, each a value for JSON."""
    about: dict[str, Any] = {"settings": dict(model.config), "continues": model.continues}
    about |= ({"sizes": asdict(model.sizes)} if model.vocabulary is None else
              {"vocabulary": model.vocabulary.to_dict()})
    layers = model.state.astype(np.float32).reshape(-1, len(states), model.config["hidden_size"])
    if not np.isfinite(layers).all():
        raise ValueError("the model's state is not finite: load an earlier checkpoint")
    # str: the shortest numbers that are the same in float32
    about["state"] = {f"{state}_0": [[[float(str(x)) for x in h]] for h in layers[:, i]]
                      for i, state in enumerate(states)}
    return about | {name: getattr(model, name).tolist() for name in ("starts", "label_counts")
                    if getattr(model, name).size}


class _Graph:
    """The nodes, tensors and inputs of a graph while they are collected."""

    def __init__(self, model: Model) -> None:
        self.onnx, self.model = library(), model
        config = model.config
        self.cell, self.units, self.depth = (
            config[name] for name in ("cell", "hidden_size", "num_layers"))
        self.states = states_of(self.cell)
        self.state_shape = (self.depth, "batch", self.units)
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.inputs: list[Any] = []

    def node(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add a node, which has the name of its first output; returns that."""
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, outputs[0], **attributes))
        return outputs[0]

    def tensor(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        self.tensors.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def weights(self, name: str, array: NDArray[Any]) -> str:
        """Add weights in float32; returns their name. ValueError where they are not finite."""
        with np.errstate(over="ignore"):
            narrow = np.ascontiguousarray(array, np.float32)
        if not np.isfinite(narrow).all():
            raise ValueError("the model's parameters are not finite in float32: load an earlier "
                             "checkpoint, or train anew with a lower learning_rate")
        return self.tensor(name, narrow)

    def info(self, name: str, shape: tuple[Any, ...], kind: str = "FLOAT") -> Any:
        """Name, type and shape of an input or output."""
        return self.onnx.helper.make_tensor_value_info(
            name, getattr(self.onnx.TensorProto, kind), shape)


def _states_before(graph: _Graph) -> None:
    """The states before the first step: an input of the graph for each, split into layers."""
    for state in graph.states:
        if graph.depth > 1:
            parts = [_of_layer(state, layer) for layer in range(graph.depth)]
            graph.node("Split", [f"{state}_0"], *parts, axis=0)


def _of_layer(state: str, layer: int, when: str = "0") -> str:
    return f"layer{layer}.{state}_{when}"


def _states_after(graph: _Graph) -> None:
    for state in graph.states:
        graph.inputs.append(graph.info(f"{state}_0", graph.state_shape))
        graph.node("Concat", [_of_layer(state, layer, "n") for layer in range(graph.depth)],
                   f"{state}_n", axis=0)


def _first_layer_input(graph: _Graph) -> str:
    """The numbers (time, batch, D) that the first layer reads, from the inputs of the graph."""
    sizes, config = graph.model.sizes, graph.model.config
    if sizes.input_symbols:
        graph.inputs.append(graph.info("ids", ("batch", "time"), "INT64"))
        ids = graph.node("Transpose", ["ids"], "ids_by_time", perm=[1, 0])
        if config["embedding_size"]:
            table = graph.weights("embedding.W", graph.model.params["embedding.W"])
            x = graph.node("Gather", [table, ids], "embedded", axis=0)
        else:
            depth = graph.tensor("symbols", np.array(sizes.input_symbols, np.int64))
            values = graph.tensor("off_on", np.array([0, 1], np.float32))
            x = graph.node("OneHot", [ids, depth, values], "one_hot", axis=-1)
    else:
        graph.inputs.append(graph.info("inputs", ("batch", "time", sizes.input_size)))
        scaling = (graph.model.scaling or Scaling()).inputs
        x = "inputs" if scaling is None else _scaled(graph, "inputs", scaling)
        x = graph.node("Transpose", [x], "inputs_by_time", perm=[1, 0, 2])
    return _with_labels(graph, x) if config["labels"] else x


def _scaled(graph: _Graph, x: str, by: NDArray[Any]) -> str:
    """(x - mean) / deviation, in float64: a mean far from 0 leaves fewer digits to float32."""
    mean, deviation = (graph.tensor(f"{x}.{name}", part)
                       for name, part in zip(("mean", "deviation"), by, strict=True))
    wide = graph.node("Cast", [x], f"{x}_wide", to=graph.onnx.TensorProto.DOUBLE)
    centred = graph.node("Sub", [wide, mean], f"{x}_centred")
    scaled = graph.node("Div", [centred, deviation], f"{x}_scaled_wide")
    return graph.node("Cast", [scaled], f"{x}_scaled", to=graph.onnx.TensorProto.FLOAT)


def _with_labels(graph: _Graph, x: str) -> str:
    """Beside the numbers of each step the probabilities of the labels, the same at every step."""
    graph.inputs.append(graph.info("labels", ("batch", len(graph.model.config["labels"]))))
    axis = graph.tensor("first_axis", np.array([0], np.int64))
    ones = graph.tensor("ones", np.array([1, 1], np.int64))
    one_step = graph.node("Unsqueeze", ["labels", axis], "labels_of_a_step")
    steps = graph.node("Shape", [x], "steps", start=0, end=1)
    shape = graph.node("Concat", [steps, ones], "steps_by_one", axis=0)
    every = graph.node("Expand", [one_step, shape], "labels_by_time")
    return graph.node("Concat", [x, every], "with_labels", axis=2)


def _layers(graph: _Graph, x: str) -> str:
    """The outputs (time, batch, units) of the last layer."""
    model = graph.model
    if graph.cell in GATES:
        axes = graph.tensor("direction_axis", np.array([1], np.int64))
    for layer in range(graph.depth):
        name = f"layer{layer}"
        weights = {key.removeprefix(f"{name}."): array for key, array in model.params.items()
                   if key.startswith(f"{name}.")}
        if "Wc" in weights:
            weights["Wx"] = np.concatenate([weights["Wx"], weights.pop("Wc")])
        if model.reservoir is not None:
            r = model.reservoir
            weights = {"Wx": r.Win.T, "b": r.b, "Wh": r.W.toarray().T,
                       "leak_rate": np.broadcast_to(r.leak_rate, r.b.shape)}
        before = [_of_layer(state, layer) if graph.depth > 1 else f"{state}_0"
                  for state in graph.states]
        after = [_of_layer(state, layer, "n") for state in graph.states]
        if graph.cell in GATES:
            y = _operator(graph, name, x, weights, before, after)
            x = graph.node("Squeeze", [y, axes], f"{name}.h")
        else:
            x = _scan(graph, name, x, weights, before[0], after[0])
    return x


def _operator(graph: _Graph, layer: str, x: str, weights: Weights, before: list[str],
              after: list[str]) -> str:
    """A layer that is one operator; returns its outputs (time, 1, batch, units)."""
    names = [graph.weights(f"{layer}.{name}", array)
             for name, array in zip("WRB", to_onnx(graph.cell, weights), strict=True)]
    more: dict[str, Any] = {"activations": ACTIVATIONS[graph.cell]}
    if graph.cell == "gru":
        more["linear_before_reset"] = int(graph.model.config["reset_after"])
    return graph.node(GATES[graph.cell][0], [x, *names, "", *before], f"{layer}.Y", *after,
                      hidden_size=graph.units, **more)


def _scan(graph: _Graph, layer: str, x: str, weights: Weights, before: str, after: str) -> str:
    """A layer that ONNX has no operator for; returns its outputs (time, batch, units)."""
    if graph.cell == "mgu":
        weights["Uf"], weights["Un"] = np.split(weights["Wh"], 2, axis=1)
    Wx, b = (graph.weights(f"{layer}.{name}", weights[name]) for name in ("Wx", "b"))
    for name in weights_of(graph.cell):
        graph.weights(f"{layer}.{name}", weights[name])
    product = graph.node("MatMul", [x, Wx], f"{layer}.product")
    a = graph.node("Add", [product, b], f"{layer}.a")
    axis = graph.tensor(f"{layer}.axis", np.array([0], np.int64))
    start = graph.node("Squeeze", [before, axis], f"{layer}.start")
    body = body_of(graph.cell, layer, kernel_cell(graph.cell).gates, graph.units)
    graph.node("Scan", [start, a], f"{layer}.end", f"{layer}.h", body=body, num_scan_inputs=1)
    graph.node("Unsqueeze", [f"{layer}.end", axis], after)
    return f"{layer}.h"


def _head(graph: _Graph, x: str, softmax: bool) -> str:
    """The outputs (batch, time, K) of the graph."""
    model = graph.model
    x = graph.node("Transpose", [x], "h_by_row", perm=[1, 0, 2])
    W, b = (graph.weights(name, model.params[name]) for name in ("head.W", "head.b"))
    product = graph.node("MatMul", [x, W], "head.product")
    if not model.sizes.output_symbols:
        scaling = (model.scaling or Scaling()).targets
        out = graph.node("Add", [product, b], "predictions" if scaling is None else "scaled")
        return out if scaling is None else _unscaled(graph, out, scaling)
    scores = graph.node("Add", [product, b], "scores")
    return graph.node("Softmax", [scores], "probabilities", axis=-1) if softmax else scores


def _unscaled(graph: _Graph, x: str, by: NDArray[Any]) -> str:
    """Predictions in the units of the data, computed in float64."""
    mean, deviation = (graph.tensor(f"predictions.{name}", part)
                       for name, part in zip(("mean", "deviation"), by, strict=True))
    wide = graph.node("Cast", [x], "scaled_wide", to=graph.onnx.TensorProto.DOUBLE)
    spread = graph.node("Mul", [wide, deviation], "spread")
    moved = graph.node("Add", [spread, mean], "predictions_wide")
    return graph.node("Cast", [moved], "predictions", to=graph.onnx.TensorProto.FLOAT)
