"""The cells that ONNX has no operator for, as the body of a Scan over the time steps."""

from typing import Any

from .onnx_layers import library

# cell: its step, a line for each node: operator, inputs, outputs. "before" is the state (N, H), a
# (N, G H) the input times Wx plus b; next and out are the new state and the output. The names with
# a dot are weights.
BODIES = {
    "memory": """\
MatMul before .Wh -> recurrent
Add a recurrent -> sum
Relu sum -> out
MatMul out .Wm -> written
Add before written -> with_output
Add with_output .bm -> next""",
    "mgu": """\
Split a -> a_f a_n
MatMul before .Uf -> recurrent_f
Add a_f recurrent_f -> sum_f
Sigmoid sum_f -> f
Mul f before -> forgotten
MatMul forgotten .Un -> recurrent_n
Add a_n recurrent_n -> sum_n
Tanh sum_n -> n
Mul f n -> new
Sub before forgotten -> kept
Add kept new -> next
Identity next -> out""",
    "esn": """\
MatMul before .Wh -> recurrent
Add a recurrent -> sum
Tanh sum -> n
Mul .leak_rate n -> new
Mul .leak_rate before -> left
Sub before left -> kept
Add kept new -> next
Identity next -> out""",
}


def weights_of(cell: str) -> tuple[str, ...]:
    """The names of the weights that a body reads, such as Wh."""
    words = BODIES[cell].split()
    return tuple(dict.fromkeys(word[1:] for word in words if word.startswith(".")))


def body_of(cell: str, layer: str, gates: int, units: int) -> Any:
    """The GraphProto of a cell's step, whose weights are called `layer`.Wh and so on."""
    onnx = library()
    helper, nodes = onnx.helper, []
    for line in BODIES[cell].splitlines():
        before, after = line.split(" -> ")
        op, *inputs = before.split()
        inputs = [layer + name if name.startswith(".") else name for name in inputs]
        nodes.append(helper.make_node(op, inputs, after.split(),
                                      **({"axis": 1} if op == "Split" else {})))

    def info(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ("batch", size))

    return helper.make_graph(nodes, f"{layer}.step", [info("before", units),
                                                      info("a", gates * units)],
                             [info("next", units), info("out", units)])
