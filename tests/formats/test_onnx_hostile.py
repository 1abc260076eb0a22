"""ONNX files that lie: one clear error each, soon, and in memory that their size bounds."""
import subprocess
import sys
import time

import numpy as np
import pytest
from networks import random_model
from test_onnx_import import Builder, plain

import fastrnn

onnx = pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.onnx"


def good(tmp_path, kind="lstm", **settings):
    """The ModelProto of one of our files."""
    model = random_model(kind, "float32", 6, 5, **settings)
    fastrnn.export(model, tmp_path / "good.onnx")
    return onnx.load(tmp_path / "good.onnx")


def refused(path, message):
    start = time.process_time()
    with pytest.raises(ValueError, match=f"(?s)hostile.onnx' cannot be imported: .*{message}") as e:
        fastrnn.import_model(path)
    assert time.process_time() - start < 3
    assert len(str(e.value)) < 1000


def tensor_of(proto, name="layer0.W"):
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def external(tensor):
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def dims(*sizes):
    def change(tensor):
        tensor.dims[:] = sizes
    return change


def more_floats(tensor):
    tensor.ClearField("raw_data")
    tensor.float_data.extend([0.5] * 7)


def many_integers(tensor):
    tensor.data_type = onnx.TensorProto.INT64
    tensor.ClearField("raw_data")
    tensor.int64_data.extend([1] * 100_000)


def shortened(tensor):
    tensor.raw_data = tensor.raw_data[:-3]


TENSORS = {
    "another file": (external, "'layer0.W': its numbers are in another file"),
    "giant": (dims(1, 2**40, 2**40), r"its shape is \(1, 1099511627776.*and it has 120 numbers"),
    "overflowing": (dims(2**62, 4, 0), "do not fit|shape"),
    "negative": (dims(-1, -20, 6), "its shape is"),
    "too many axes": (dims(*[1] * 40), "its shape is"),
    "fewer bytes": (shortened, "its shape is"),
    "fewer numbers": (more_floats, "it has 7 numbers"),
    "integers": (lambda t: setattr(t, "data_type", 7), "its shape is"),
    "many integers": (many_integers, "100,000 whole numbers"),
    "strings": (lambda t: setattr(t, "data_type", 8), "its type is string"),
    "float16": (lambda t: setattr(t, "data_type", 10), "its type is float16"),
    "an unknown type": (lambda t: setattr(t, "data_type", 77), "its type is unknown"),
    "not a matrix": (dims(120), "do not fit"),
    "turned": (dims(1, 6, 20), "do not fit"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name, path, tmp_path):
    proto = good(tmp_path)
    change, message = TENSORS[name]
    change(tensor_of(proto))
    path.write_bytes(proto.SerializeToString())
    refused(path, message)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_stay(value, path, tmp_path):
    """As in a checkpoint: sampling and training refuse them, scores are NaN."""
    proto = good(tmp_path)
    bias = onnx.numpy_helper.to_array(tensor_of(proto, "head.b")).copy()
    bias[0] = value
    tensor_of(proto, "head.b").raw_data = bias.tobytes()
    path.write_bytes(proto.SerializeToString())
    model = fastrnn.import_model(path)
    with pytest.raises(ValueError, match="finite|infinite"):
        model.sample(5)


def no_nodes(proto):
    del proto.graph.node[:]


def cycle(proto):
    proto.graph.node[0].input[0] = proto.graph.node[3].output[0]


def sparse(proto):
    proto.graph.sparse_initializer.add()


def long_name(proto):
    proto.graph.node[2].name = "x\x1b[31m" * 100_000
    proto.graph.node[2].op_type = "Nothing" * 100_000


GRAPHS = {
    "no nodes": (no_nodes, "it has 0 nodes"),
    "opset": (lambda p: setattr(p.opset_import[0], "version", 2), "opset 2"),
    "an opset to come": (lambda p: setattr(p.opset_import[0], "version", 10**9), "opset 10"),
    "cycle": (cycle, "nothing before it makes"),
    "sparse tensors": (sparse, "sparse"),
    "long name": (long_name, "no such operator"),
    "no inputs": (lambda p: p.graph.ClearField("input"), "nothing before it makes 'ids'"),
    "no outputs": (lambda p: p.graph.ClearField("output"), "no output"),
    "no tensors": (lambda p: p.graph.ClearField("initializer"), "nothing before it makes"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name, path, tmp_path):
    proto = good(tmp_path)
    change, message = GRAPHS[name]
    change(proto)
    path.write_bytes(proto.SerializeToString())
    refused(path, message)


@pytest.mark.parametrize(("data", "message"), [
    (b"", "0 nodes"), (b"To be or not to be, that is the question", "not an ONNX file"),
    (b"\x08\x08\x3a\xff\xff\xff\xff\x7f", "not an ONNX file"), (b"\x3a" * 999, "not an ONNX"),
    (b"\xff" * 10_000, "not an ONNX|0 nodes")])
def test_files_that_are_none(data, message, path):
    path.write_bytes(data)
    refused(path, message)


def test_cut_short(path, tmp_path):
    whole = good(tmp_path).SerializeToString()
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        refused(path, "")


# ---- files whose values would be far larger than they are ----

def many_nodes(b):
    b.nodes += [onnx.NodeProto()] * 60_000
    return plain(b)


def deep(b):
    graph = onnx.helper.make_graph([], "g", [], [])
    for _ in range(12):
        graph = onnx.helper.make_graph([onnx.helper.make_node("If", [], [], body=graph)], "g", [],
                                       [])
    b.nodes.append(onnx.helper.make_node("If", [], [], body=graph))
    return plain(b)


def doubled(op, **attributes):
    """What grows to twice its size 40 times."""
    def make(b):
        x = b.random(1000) if op == "Concat" else b.node("Shape", b.input("y", (1, 2, 3)))
        for _ in range(40):
            x = b.node("Concat", x, x, axis=0)
        return plain(b)
    return make


def many_copies(b):
    W = b.random(1, 2000, 100)
    for _ in range(2000):
        b.node("Reshape", b.node("Transpose", W, perm=[2, 1, 0]), b.tensor(np.array([100, 2000])))
    return plain(b)


def shared_weights(b):
    x = b.swap(b.input("x", ("N", "T", 300)))
    given = [b.random(1, 1200, 300), b.random(1, 1200, 300)]
    for _ in range(60):
        x = b.squeeze(b.node("LSTM", x, *given))
    return x


def many_layers(b):
    """Side by side, each with the same weights."""
    x = b.swap(b.input("x", ("N", "T", 300)))
    given = [b.random(1, 300, 300), b.random(1, 300, 300)]
    for _ in range(3000):
        y = b.node("RNN", x, *given)
    return b.squeeze(y)


def long_chain(b):
    x = plain(b)
    for _ in range(5000):
        x = b.node("Mul", x, b.tensor(np.float32(2)))
    return x


def many_axes(b):
    x = b.input("x", ("N", "T", 4))
    for _ in range(3000):
        x = b.node("Unsqueeze", x, b.tensor(np.arange(10)))
    return x


def giant_one_hot(b):
    x = b.node("OneHot", b.ids(), b.tensor(np.array(2**62)), b.tensor(np.array([0, 1], np.float32)))
    return plain(b, x=x)


def giant_attribute(b):
    return b.node("Transpose", plain(b), perm=list(range(500_000)))


def giant_zeros(b):
    state = b.node("ConstantOfShape", b.tensor(np.array([2**40, 2**40])))
    x = b.swap(b.input("x", ("N", "T", 4)))
    y = b.node("RNN", x, b.random(1, 5, 4), b.random(1, 5, 5), "", "", state)
    return b.node("MatMul", b.squeeze(y), b.random(5, 2))


LARGE = {
    "many nodes": (many_nodes, "more than 50,000 parts"), "deep": (deep, "nested"),
    "constants": (doubled("Concat"), "bytes|too large"),
    "lengths": (doubled("Shape"), "64 lengths"),
    "many copies": (many_copies, "too large"), "shared weights": (shared_weights, "share weights"),
    "a long chain": (long_chain, "100 steps"), "many axes": (many_axes, "64 axes|do not fit"),
    "one-hot": (giant_one_hot, "it reads 4 numbers"), "an attribute": (giant_attribute, "4,096"),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_values(name, path):
    make, message = LARGE[name]
    b = Builder()
    b.save(path, make(b))
    refused(path, message)


def test_zeros_of_any_shape_are_never_made(path):
    b = Builder()
    b.save(path, giant_zeros(b))
    assert fastrnn.import_model(path).config["hidden_size"] == 5


PROGRAM = """
import resource, sys
import fastrnn
fastrnn.import_model(sys.argv[1])
for path in sys.argv[2:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        fastrnn.import_model(path)
    except ValueError:
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KB on Linux")
def test_memory(tmp_path):
    """No file of up to 4 MB takes more than 200 MB."""
    good(tmp_path)
    made = LARGE | {"zeros": (giant_zeros, ""), "many layers": (many_layers, "")}
    paths = [tmp_path / f"{i}.onnx" for i in range(len(made))]
    for path, (make, _) in zip(paths, made.values(), strict=True):
        b = Builder()
        b.save(path, make(b))
        assert path.stat().st_size < 4 * 2**20
    found = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / "good.onnx", *paths],
                           capture_output=True, text=True, check=True).stdout.split()
    growth = dict(zip(made, map(int, found), strict=True))
    assert max(growth.values()) < 200_000, growth


def test_changed_bytes(path, tmp_path):
    """Files with a few changed bytes open, or raise ValueError."""
    seeds = [good(tmp_path, kind, num_layers=layers).SerializeToString()
             for kind, layers in (("gru", 2), ("lstm", 1), ("mgu", 2), ("esn", 1))]
    rng, opened = np.random.default_rng(0), 0
    for i in range(400):
        data = bytearray(seeds[i % len(seeds)])
        for _ in range(rng.integers(1, 4)):
            at, other = rng.integers(0, len(data), 2)
            match rng.integers(3):
                case 0:
                    data[at] = rng.integers(256)
                case 1:
                    del data[at : at + rng.integers(1, 9)]
                case _:
                    data[at:at] = data[other : other + rng.integers(1, 40)]
        path.write_bytes(data)
        try:
            fastrnn.import_model(path)
            opened += 1
        except ValueError as error:
            assert "hostile.onnx" in str(error)
    assert 0 < opened < 400
