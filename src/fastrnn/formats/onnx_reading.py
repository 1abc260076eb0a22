"""A model of an ONNX graph: symbols or numbers in, layers of one kind, a linear head."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..data.source import Sizes
from ..files.store import DAMAGE, Tensors, parsed, short
from ..kernels import MIXED
from ..model.history import History
from ..model.model import Model
from ..model.storing import DECIDING, HISTORY
from .foreign import read_as
from .onnx_file import opened
from .onnx_flow import Flow, Step, node_of
from .onnx_layers import states_of
from .onnx_operators import run
from .onnx_recurrent import weights_of_layer

ARITHMETIC = ("Add", "Sub", "Mul", "Div")
MOST_COMPUTED = 2**27  # bytes of constants that nodes compute, together


def read(path: str | os.PathLike[str], vocabulary: Any = None) -> Model:
    """The model of an ONNX file. `fastrnn.import_model` says the rest."""
    try:
        proto = opened(path)
        flow = _flow_of(proto)
        _check_size(flow, os.path.getsize(path))
        tensors, about = _network(flow)
        if proto.producer_name == "fastrnn":
            _add_metadata(tensors, about, proto)
        if vocabulary is not None:
            about |= _given(vocabulary, about)
        return Model.from_stored(tensors, about)
    except DAMAGE as error:
        reason = short(error) if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{str(Path(path))!r} cannot be imported: {reason[:700]}") from None


def _given(vocabulary: Any, about: dict[str, Any]) -> dict[str, Any]:
    """The vocabulary or the sizes that the caller gives for a file that has none."""
    if about["vocabulary"] is not None:
        raise ValueError("the file has a vocabulary: leave vocabulary out")
    sizes = Sizes(**about["sizes"])
    found = read_as(vocabulary, sizes.inputs, sizes.outputs, not sizes.input_symbols)
    return ({"sizes": asdict(found)} if isinstance(found, Sizes) else
            {"vocabulary": found.to_dict()})


def _flow_of(proto: Any) -> Flow:
    """What the output of a graph is: the one that most steps lead to."""
    graph = proto.graph
    opset = max(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx"))
    if graph.sparse_initializer:
        raise ValueError("it has sparse tensors, which fastrnn does not read: make them dense")
    values: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
    values |= {each.name: _input(each) for each in graph.input if each.name not in values}
    computed = 0  # bytes of constants
    for each in graph.node:
        node = node_of(each, values)
        if node.op in ("Softmax", "LogSoftmax") and opset < 13:
            node.attributes.setdefault("axis", 1)
        made = run(node)
        values.update((name, value) for name, value in zip(each.output, made, strict=False)
                      if name)
        if node.op in ("Concat", "Gather", "Reshape", "Constant"):
            computed += sum(one.nbytes for one in made if isinstance(one, np.ndarray))
            if computed > MOST_COMPUTED:
                raise node.refused("with it the constants that are computed are too large: fold "
                                   "them before")
    ends = [values.get(each.name) for each in graph.output]
    flows = [value for value in ends if isinstance(value, Flow) and value.time is not None]
    if not flows:
        raise ValueError("no output of the graph comes from an LSTM, GRU or RNN that reads an "
                         "input: fastrnn imports recurrent networks")
    found = max(flows, key=lambda flow: len(flow.steps))
    for flow in flows:
        for one, other in zip(flow.steps, found.steps, strict=False):
            if one is not other:
                raise ValueError(f"node {one.node}: it leads to another output than node "
                                 f"{other.node}, and fastrnn's models have one head")
    return found


def _check_size(flow: Flow, file_bytes: int) -> None:
    """Raise ValueError where steps that share tensors would make a model far larger than the
    file."""
    arrays = [array for step in flow.steps for about in (step.about, step.about.get("given", {}))
              for array in about.values() if isinstance(array, np.ndarray)]
    if sum(array.nbytes for array in arrays) > 2 * file_bytes + 2**20:
        raise ValueError("its layers share weights, and each layer of a model has its own, which "
                         "would take far more memory than the file")


def _input(given: Any) -> Flow:
    """An input of the graph as it comes in."""
    kind = given.type.tensor_type
    names = tuple(f"{given.name}.{i}" for i in range(len(kind.shape.dim)))
    sizes = {name: dim.dim_value for name, dim in zip(names, kind.shape.dim, strict=True)
             if dim.dim_value > 0}
    if kind.elem_type in (1, 11) and names:
        return Flow(given.name, (*names[:-1], "F"), sizes.get(names[-1]), sizes=sizes)
    return Flow(given.name, names, sizes=sizes)


def _network(flow: Flow) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the JSON of a model, as `Model.from_stored` reads them."""
    steps = [*flow.steps]
    first, before = _taken(steps, ("embedding", "one_hot")), _taken(steps, ARITHMETIC, 3)
    labels, layers = _taken(steps, ("labels",)), _taken(steps, ("layer",), len(steps))
    head, after = _taken(steps, ("linear",)), _taken(steps, ARITHMETIC, 3)
    ends = _taken(steps, ("softmax",))
    wrong = [*(before if first else []), *([] if layers else head), *(after if ends else []),
             *steps]
    if wrong or not layers:
        at = (wrong or flow.steps)[0].node
        raise ValueError(f"node {at}: fastrnn's models read symbols, embedded or one-hot, or "
                         "numbers, scaled or not; then come layers of one kind, and a linear head "
                         "with or without a softmax")
    tensors, about = _tensors_of_layers(layers, labels)
    config, H = about["model"], about["model"]["hidden_size"]
    tensors |= _head(head, H, config["dtype"])
    D, K = len(tensors["layer0.Wx"] if "layer0.Wx" in tensors else tensors["reservoir.Win"].T), (
        tensors["head.W"].shape[1])
    if first and first[0].kind == "embedding":
        tensors["embedding.W"] = W = first[0].about["W"]
        config["embedding_size"], D = W.shape[1], len(W)
    language = bool(first) and D == K and not after
    sizes = Sizes(**{f"input_{'symbols' if first else 'size'}": D,
                     f"output_{'symbols' if ends or language else 'size'}": K})
    for name, arithmetic in (("inputs", before), ("targets", after)):
        if arithmetic:
            tensors[f"scaling.{name}"] = _scaling(
                arithmetic, D if name == "inputs" else K, name == "targets")
    return tensors, about | {"sizes": asdict(sizes), "vocabulary": None}


def _taken(steps: list[Step], kinds: tuple[str, ...], most: int = 1) -> list[Step]:
    """The steps at the front that are of these kinds, taken off."""
    count = 0
    while count < min(most, len(steps)) and steps[count].kind in kinds:
        count += 1
    taken, steps[:] = steps[:count], steps[count:]
    return taken


def _tensors_of_layers(layers: list[Step], labels: list[Step]) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the settings of the recurrent layers."""
    first = layers[0].about
    for layer in layers:
        if any(layer.about[name] != first[name] for name in ("cell", "reset_after", "units")):
            raise ValueError(f"node {layer.node}: it is another kind of layer than the first, or "
                             "has another number of units; in fastrnn's models all are equal")
    H, weights = first["units"], [weights_of_layer(layer.about) for layer in layers]
    dtype = str(weights[0]["Wx"].dtype)
    config: dict[str, Any] = {
        "cell": first["cell"], "hidden_size": H, "num_layers": len(layers), "dtype": dtype,
        "embedding_size": None, "reset_after": first["reset_after"]}
    if first["cell"] == "esn":
        tensors = _reservoir(weights[0], config)
    else:
        tensors = {f"layer{i}.{name}": array for i, each in enumerate(weights)
                   for name, array in each.items()}
    if labels:
        C = labels[0].about["count"]
        Wx = tensors["layer0.Wx"]
        tensors |= {"layer0.Wx": Wx[:-C], "layer0.Wc": Wx[-C:]}
        config["labels"] = [str(i) for i in range(C)]
    P = len(states_of(first["cell"])) * H * len(layers)
    tensors |= {"state": np.zeros((1, P), dtype), "known": np.zeros(0, np.uint64)}
    tensors |= {f"history.{name}": np.zeros(0, kind) for name, kind in HISTORY.items()}
    history = History()
    return tensors, {"model": config, "history": {
        "seq_length": history.seq_length, "one_stream": history.one_stream}}


def _reservoir(weights: Tensors, config: dict[str, Any]) -> Tensors:
    """The tensors of an esn's reservoir; its leak rate becomes a setting."""
    rates = weights["leak_rate"]
    if (rates != rates[0]).any():
        raise ValueError("its units have different leak rates, which a model cannot have: use "
                         "EchoStateNetwork")
    config["leak_rate"] = float(rates[0])
    W = csr_array(weights["Wh"].T, dtype=np.float32)
    tensors = {"Win": weights["Wx"].T, "b": weights["b"], "W.data": W.data,
               "W.indices": W.indices, "W.indptr": W.indptr,
               "Wfb": np.zeros((len(rates), 0), weights["b"].dtype)}
    return {f"reservoir.{name}": array for name, array in tensors.items()}


def _head(head: list[Step], H: int, dtype: str) -> Tensors:
    """The weights of the head; of a graph without one those of the identity."""
    if not head:
        return {"head.W": np.eye(H, dtype=dtype), "head.b": np.zeros(H, dtype)}
    W, b = head[0].about["W"], head[0].about["b"]
    return {"head.W": W, "head.b": np.zeros(W.shape[1], dtype) if b is None else b}


def _scaling(steps: list[Step], size: int, targets: bool) -> NDArray[np.float64]:
    """The mean and the deviation (2, size) of (x - mean) / deviation or, of targets, x deviation +
    mean, where a graph computes it from constants."""
    mean, deviation = np.zeros(size), np.ones(size)
    for step in steps:
        number = step.about["number"].astype(np.float64)
        if step.kind in ("Add", "Sub"):
            sign = 1 if (step.kind == "Add") == targets else -1
            mean = mean + sign * number * (1 if targets else deviation)
        elif (step.kind == "Mul") == targets:
            mean, deviation = mean * number if targets else mean, deviation * number
        else:
            mean, deviation = mean / number if targets else mean, deviation / number
    return np.stack(np.broadcast_arrays(mean, deviation))


def _add_metadata(tensors: Tensors, about: dict[str, Any], proto: Any) -> None:
    """Add what fastrnn wrote into a file beside the graph; ValueError where the two differ."""
    room = sum(array.nbytes for array in tensors.values())
    said = {each.key: parsed(each.value, room) for each in proto.metadata_props
            if each.key in ("settings", "vocabulary", "sizes", "state", "starts", "label_counts",
                            "continues")}
    if "settings" not in said:  # another program has taken it out
        return
    found, settings = about["model"], said["settings"]
    names = [name for name in DECIDING if name != "dtype"
             and (name != "reset_after" or found["cell"] == "gru")]
    for name, ours, theirs in (*((name, found[name], settings[name]) for name in names),
                               ("number of labels", *(len(each.get("labels") or ())
                                                      for each in (found, settings)))):
        if ours != theirs:
            raise ValueError(f"the graph has the {name} {ours}, and the metadata says "
                             f"{short(theirs)}")
    if "leak_rate" in found and np.float32(settings["leak_rate"]) != np.float32(
            found["leak_rate"]):
        raise ValueError("graph and metadata have different leak rates")
    mixed = settings["dtype"] == MIXED and found["dtype"] == "float32"
    about["model"] = settings | {"dtype": MIXED if mixed else found["dtype"]}
    about["vocabulary"], about["continues"] = said.get("vocabulary"), said.get("continues")
    if about["vocabulary"] is None and "sizes" in said:
        about["sizes"] = _agreed(Sizes(**about["sizes"]), Sizes(**said["sizes"]))
    states = states_of(found["cell"])
    if "state" in said:
        shape = found["num_layers"], 1, found["hidden_size"]
        try:
            parts = [np.array(said["state"][f"{name}_0"], found["dtype"]) for name in states]
        except ValueError:  # lists of different lengths
            parts = []
        if not parts or any(part.shape != shape or not np.isfinite(part).all() for part in parts):
            raise ValueError(f"the state in the metadata is not an array {shape}")
        tensors["state"] = np.concatenate(parts, axis=1).reshape(1, -1)
    tensors |= {name: np.array(said[name], np.float64) for name in ("starts", "label_counts")
                if name in said}


def _agreed(graph: Sizes, said: Sizes) -> dict[str, int]:
    """The sizes that the metadata says, which tell symbols from numbers where a graph does not."""
    if (graph.input_symbols, graph.inputs, graph.outputs) != (
            said.input_symbols, said.inputs, said.outputs):
        raise ValueError(f"the graph has {graph}, and the metadata says {said}")
    return asdict(said)
