"""What each operator of an ONNX graph does to what goes through it."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.store import DAMAGE, short
from .onnx_file import TYPES
from .onnx_flow import ZEROS, Flow, Lengths, Node, Refused, States, Value, tensor_of
from .onnx_recurrent import recurrent, scan

MOST_CONSTANT = 2**26  # bytes of a constant that is computed from others
END = 2**31 - 1  # of a slice that goes on to the end


def run(node: Node) -> list[Value]:
    """The values of a node's outputs; Refused, naming the node, for what fastrnn lacks."""
    try:
        return _run(node)
    except Refused:
        raise
    except (*DAMAGE, IndexError) as error:
        raise node.refused(f"its inputs or attributes do not fit ({short(error)[:300]})") from None


def _run(node: Node) -> list[Value]:
    given = [value for value in node.inputs if value is not None]
    if node.op in RESHAPING and given and all(isinstance(value, np.ndarray) for value in given):
        return [_constant(node)]
    if node.op in RESHAPING and given and (given[0] is ZEROS or isinstance(
            given[0], States) and node.op not in ("Gather", "Concat")):
        return [given[0]] * node.outputs
    if any(isinstance(value, Lengths) for value in given) and all(
            isinstance(value, Lengths | np.ndarray) for value in given) and (
            node.op not in ("ConstantOfShape", "Expand")):
        return [_lengths(node)]
    if node.op not in OPERATORS:
        raise node.refused("fastrnn has no such operator")
    found = OPERATORS[node.op](node)
    return found if isinstance(found, list) else [found] * node.outputs


def _lengths(node: Node) -> Value:
    """Lengths of axes that are picked and joined; what is computed from them is not known."""
    value = node.inputs[0]
    of = value.of if isinstance(value, Lengths) else ()
    match node.op:
        case "Cast" | "Identity" | "Squeeze" | "Unsqueeze":
            return Lengths(of)
        case "Gather":
            return Lengths(tuple(of[i] for i in node.constant(1, "indices").ravel()[:16]))
        case "Slice":
            return Lengths(of[_slices(node, 1)[0]])
        case "Concat":
            return Lengths(tuple(one for value in node.inputs for one in (
                value.of if isinstance(value, Lengths) else
                value.ravel()[:16].tolist() if isinstance(value, np.ndarray) else ())))
    return Lengths(("?",))


def _constant(node: Node) -> NDArray[Any]:
    """A constant in another shape."""
    array = node.constant(0, "input")
    match node.op:
        case "Transpose":
            return array.transpose(node.places(
                node.attributes.get("perm", range(array.ndim)[::-1]), array.ndim))
        case "Squeeze" | "Unsqueeze":
            axes = node.integers("axes", 1)
            if axes is None:
                return array.squeeze()
            return (array.squeeze(tuple(axes)) if node.op == "Squeeze" else
                    np.expand_dims(array, tuple(axes)))
        case "Reshape":
            shape = node.integers("shape", 1) or []
            return array.reshape([array.shape[i] if size == 0 and i < array.ndim else size
                                  for i, size in enumerate(shape)])
        case "Slice":
            return array[_slices(node, array.ndim)]
        case "Concat":
            arrays = [node.constant(i, "input") for i in range(len(node.inputs))]
            if sum(each.nbytes for each in arrays) > MOST_CONSTANT:
                raise node.refused("it joins constants of many bytes: fold them before")
            return np.concatenate(arrays, node.attributes.get("axis", 0))
        case "Gather":
            indices = node.constant(1, "indices")
            if indices.size > 16 or array.nbytes > 2**16:
                raise node.refused("it picks from a constant: fold it before")
            return np.asarray(np.take(array, indices, node.attributes.get("axis", 0)))
        case "Split":
            raise node.refused("it splits a constant: fold it before")
        case "Cast" if array.dtype.kind == "f":
            to = TYPES.get(node.attributes.get("to", 0), ("",))[0]
            if to != array.dtype.str:
                raise node.refused("it changes the type of weights: fold it before")
    return array


def _slices(node: Node, rank: int) -> tuple[slice, ...]:
    """What a Slice keeps of each axis."""
    starts, ends = node.integers("starts", 1) or [], node.integers("ends", 2) or []
    axes = node.integers("axes", 3)
    axes = node.places(list(range(len(starts))) if axes is None else axes, rank)
    steps = node.integers("steps", 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.refused("its starts, ends, axes and steps do not fit")
    found = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        found[axis] = slice(start, None if end >= END else end, step)
    return tuple(found)


# ---- shapes ----

def _same(node: Node) -> Value:
    return node.flow()


def _cast(node: Node) -> Value:
    flow = node.flow()
    if flow.features is not None and TYPES.get(node.attributes.get("to", 0), ("",))[0][1:2] != "f":
        raise node.refused("fastrnn computes in float32 and float64")
    return flow


def _dropout(node: Node) -> list[Value]:
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is not None and not (isinstance(mode, np.ndarray) and not mode.any()):
        raise node.refused("dropout is at work: export the graph for inference")
    return [node.flow(), *[None] * (node.outputs - 1)]


def _transpose(node: Node) -> Value:
    flow = node.flow()
    rank = len(flow.axes)
    perm = node.places([*node.attributes.get("perm", range(rank)[::-1])], rank)
    if len(perm) != rank:
        raise node.refused(f"perm {perm} of {rank} axes")
    return replace(flow, axes=tuple(flow.axes[i] for i in perm))


def _squeeze(node: Node) -> Value:
    flow, axes = node.flow(), node.integers("axes", 1)
    if axes is None:
        raise node.refused("it does not say which axes it drops")
    places = node.places(axes, len(flow.axes))
    whole = all(flow.axes[i] == "1" for i in places)
    if flow.steps and not whole:
        raise node.refused("it drops an axis that may have a size other than 1")
    return replace(flow, part=flow.part or not whole, axes=tuple(
        axis for i, axis in enumerate(flow.axes) if i not in places))


def _unsqueeze(node: Node) -> Value:
    flow, axes = node.flow(), node.integers("axes", 1) or []
    rank = len(flow.axes) + len(axes)
    places, old = node.places(axes, rank), iter(flow.axes)
    return replace(flow, axes=tuple("1" if i in places else next(old) for i in range(rank)))


def _reshape(node: Node) -> Value:
    flow, target = node.flow(), node.inputs[1] if len(node.inputs) > 1 else None
    if flow.axes == ("rows", "F"):  # back, after the head
        return replace(flow, axes=("?", "?", "F"))
    shape = [*target.of] if isinstance(target, Lengths) else node.integers("shape", 1) or []
    if not flow.steps:
        return replace(flow, axes=tuple(f"r{i}" for i in range(len(shape))), part=True)
    features = ("F", flow.features)
    if len(shape) == 2 and shape[0] == -1 and shape[1] in features and flow.axes[-1] == "F":
        return replace(flow, axes=("rows", "F"))
    # one length may be left to be computed; all others are those of the axes without those of 1
    left, copied = tuple(axis for axis in flow.axes if axis != "1"), (
        -2 if node.attributes.get("allowzero") else 0)
    sure = [size == copied and flow.axes[i] == left[i] or size == left[i]
            or size == (flow.features if left[i] == "F" else flow.sizes.get(left[i]))
            for i, size in enumerate(shape)] if len(shape) == len(left) else []
    if sure.count(False) > 1 or not sure or any(
            size not in (-1, "?") for size, one in zip(shape, sure, strict=True) if not one):
        raise node.refused(f"the shape {short(shape)} mixes time steps, sequences and units, or "
                           "may do so: use Squeeze")
    return replace(flow, axes=left)


def _gather(node: Node) -> Value:
    axis = node.attributes.get("axis", 0)
    if isinstance(node.inputs[0], np.ndarray):
        table, ids = node.inputs[0], node.flow(1)
        if table.ndim != 2 or axis != 0 or ids.steps or "F" in ids.axes or ids.part:
            raise node.refused("an embedding is a table (symbols, size) whose rows the ids of the "
                               "input pick")
        return ids.then("embedding", node, (*ids.axes, "F"), table.shape[1], W=table)
    if isinstance(node.inputs[0], States):
        return _of_last_layer(node, node.inputs[0])
    flow, index = node.flow(), node.constant(1, "index")
    place = node.places([axis], len(flow.axes))[0]
    name = flow.axes[place]
    if flow.steps and (index.size != 1 or not (
            name == "1" or int(index.ravel()[0]) == -1 and name == flow.time)):
        raise node.refused("it picks a step, a sequence or a unit that is not the last step")
    new = ("1",) if index.ndim else ()
    return replace(flow, axes=flow.axes[:place] + new + flow.axes[place + 1 :],
                   part=flow.part or not flow.steps)


def _of_last_layer(node: Node, states: States) -> Value:
    """The states of the last layer, h_n[-1], are its outputs at the last step."""
    index, last = node.constant(1, "index"), states.layers[-1]
    if last is None or node.attributes.get("axis", 0) != 0 or index.size != 1 or (
            int(index.ravel()[0]) not in (-1, len(states.layers) - 1)):
        raise node.refused("of the states only those of the last layer, h, can go on")
    return last if index.ndim else replace(last, axes=last.axes[1:])


def _slice(node: Node) -> Value:
    flow = node.flow()
    kept = _slices(node, len(flow.axes))
    if not flow.steps:
        return replace(flow, part=True)
    axes = list(flow.axes)
    for i, part in enumerate(kept):
        if part.start == -1 and part.stop is None and part.step == 1 and axes[i] == flow.time:
            axes[i] = "1"  # the last step
        elif part not in (slice(None), slice(0, None, 1)):
            raise node.refused("it keeps some steps, sequences or units, which fastrnn does only "
                               "with the last step (a network that was unrolled for a fixed number "
                               "of steps cannot be imported: export it with a layer of ONNX)")
    return replace(flow, axes=tuple(axes))


def _split(node: Node) -> list[Value]:
    flow = node.flow()
    if flow.steps:
        raise node.refused("it splits what a layer has computed")
    return [replace(flow, part=True)] * node.outputs


def _expand(node: Node) -> Value:
    value = node.inputs[0]
    if value is ZEROS or isinstance(value, np.ndarray) and not value.any():
        return ZEROS
    flow = node.flow()
    if flow.steps:
        raise node.refused("it repeats what a layer has computed")
    return replace(flow, part=True, axes=tuple(
        "every" if axis == "1" else axis for axis in flow.axes))


def _concat(node: Node) -> Value:
    flows = [value for value in node.inputs if isinstance(value, Flow)]
    axis = node.attributes.get("axis", 0)
    if axis == 0 and all(isinstance(value, States) or isinstance(value, Flow) and value.steps
                         and value.axes[:1] == ("1",) for value in node.inputs):
        return States(tuple(one for value in node.inputs for one in (
            value.layers if isinstance(value, States) else
            (value,) if isinstance(value, Flow) else ())))
    if len(flows) == len(node.inputs) == 2 and axis in (2, -1):
        x, labels = flows
        if labels.axes[:1] == ("every",) and labels.axes[-1:] == ("F",) and not labels.steps and (
                x.features is not None and x.axes[-1:] == ("F",) and labels.features):
            return x.then("labels", node, None, x.features + labels.features,
                          count=labels.features)
    raise node.refused("it joins several values, which fastrnn does only with labels, the same at "
                       "every step, beside the inputs of the first layer")


def _constant_of_shape(node: Node) -> Value:
    value = node.attributes.get("value")
    if value is not None and tensor_of(value).any():
        raise node.refused("only zeros can be an initial state")
    return ZEROS


def _shape(node: Node) -> Value:
    value = node.inputs[0]
    if isinstance(value, np.ndarray):
        return np.array(value.shape, np.int64)
    axes = value.axes if isinstance(value, Flow) else ("?",) * 3
    known: dict[str, int | str] = {"1": 1}
    if isinstance(value, Flow) and value.features:
        known["F"] = value.features
    return Lengths(tuple(known.get(axis, axis) for axis in axes)[
        node.attributes.get("start", 0) : node.attributes.get("end")])


# ---- numbers ----

def _one_hot(node: Node) -> Value:
    ids, depth, values = node.flow(), node.constant(1, "depth"), node.constant(2, "values")
    axis = node.attributes.get("axis", -1)
    if (ids.steps or "F" in ids.axes or ids.part or depth.size != 1 or values.tolist() != [0, 1]
            or axis not in (-1, len(ids.axes))):
        raise node.refused("one-hot inputs are 0 and 1 for the ids of an input, on the last axis")
    count = int(depth.ravel()[0])
    return ids.then("one_hot", node, (*ids.axes, "F"), count, count=count)


def _mat_mul(node: Node) -> Value:
    return _linear(node, node.constant(1, "the matrix"), None)


def _gemm(node: Node) -> Value:
    usual = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    for name, value in usual.items():
        if node.attributes.get(name, value) != value:
            raise node.refused(f"{name} must be {value}")
    W = node.constant(1, "the matrix")
    more = len(node.inputs) > 2 and node.inputs[2] is not None
    return _linear(node, W.T if node.attributes.get("transB") else W,
                   node.constant(2, "the bias") if more else None)


def _linear(node: Node, W: NDArray[Any], b: NDArray[Any] | None) -> Value:
    flow = node.flow()
    if W.ndim != 2 or flow.axes[-1:] != ("F",) or flow.features not in (None, W.shape[0]):
        raise node.refused(f"a matrix {W.shape} does not fit {flow.features} features")
    flow = flow.then("linear", node, None, W.shape[1], W=W, b=None)
    return flow if b is None else _with_bias(node, flow, b)


def _with_bias(node: Node, flow: Flow, b: NDArray[Any]) -> Value:
    *before, linear = flow.steps
    if b.size not in (1, flow.features) or b.ndim and b.shape[-1] != b.size:
        raise node.refused(f"a bias {b.shape} does not fit {flow.features} outputs")
    b = np.broadcast_to(b.ravel(), (flow.features or 0,))
    return replace(flow, steps=(*before, replace(linear, about=linear.about | {"b": b})))


def _arithmetic(node: Node) -> Value:
    """A constant that is added and so on: the bias of a linear layer, or a part of a scaling."""
    order = [1, 0] if isinstance(node.inputs[0], np.ndarray) else [0, 1]
    if order[0] and node.op in ("Sub", "Div"):
        raise node.refused("it subtracts from a constant, or divides one")
    flow, number = node.flow(order[0]), node.constant(order[1], "one of the two")
    last = flow.steps[-1] if flow.steps else None
    if node.op == "Add" and last is not None and last.kind == "linear" and last.about["b"] is None:
        return _with_bias(node, flow, number)
    features = flow.features or number.size
    if number.size not in (1, features) or flow.axes[-1:] != ("F",) or (
            number.ndim and number.shape[-1] != number.size):
        raise node.refused(f"{number.shape} numbers do not fit {flow.features} features")
    return flow.then(node.op, node, number=number.ravel())


def _literal(node: Node) -> Value:
    """The constant of a Constant."""
    for name, value in node.attributes.items():
        if name == "value":
            return tensor_of(value)
        if name in ("value_int", "value_ints", "value_float", "value_floats"):
            return np.array(value, np.int64 if "int" in name else np.float32)
    raise node.refused("it has no numbers")


def _softmax(node: Node) -> Value:
    flow = node.flow()
    axis = node.attributes.get("axis", -1)
    if axis not in (-1, len(flow.axes) - 1) or flow.axes[-1:] != ("F",):
        raise node.refused("its axis must be the last one")
    return flow.then("softmax", node)


RESHAPING = {"Transpose": _transpose, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
             "Reshape": _reshape, "Slice": _slice, "Gather": _gather, "Concat": _concat,
             "Split": _split, "Identity": _same, "Cast": _cast}
OPERATORS = RESHAPING | {
    "Constant": _literal, "ConstantOfShape": _constant_of_shape, "Shape": _shape,
    "Expand": _expand, "Dropout": _dropout, "OneHot": _one_hot, "MatMul": _mat_mul, "Gemm": _gemm,
    "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic, "Div": _arithmetic,
    "Softmax": _softmax, "LogSoftmax": _softmax, "LSTM": recurrent, "GRU": recurrent,
    "RNN": recurrent, "Scan": scan}
