"""Models of ONNX files: ours come back bit for bit, those of others compute the same, and what
cannot be expressed is refused with the name of its node."""
import warnings
from importlib import import_module

import numpy as np
import pytest
from networks import random_model
from test_onnx import SOME_KINDS, H, K, labelled

import fastrnn
from fastrnn import nn
from fastrnn.data.scaling import Scaling
from fastrnn.data.source import Sizes
from fastrnn.formats import onnx_layers
from fastrnn.model.prediction import _outputs

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
helper, from_array = onnx.helper, onnx.numpy_helper.from_array


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def outputs(model, x):
    """The outputs of the head (N, T, K), without a softmax."""
    return _outputs(model, x)[0]


# ---- our own files ----

def same(model, back):
    assert dict(back.config) == dict(model.config) and back.sizes == model.sizes
    assert back.vocabulary == model.vocabulary and back.continues == model.continues
    for name in ("block", "state", "starts", "label_counts"):
        assert getattr(back, name).tobytes() == getattr(model, name).tobytes(), name


@SOME_KINDS
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("embedding_size", [None, 4])
@pytest.mark.parametrize("softmax", [False, True])
def test_ours_come_back(kind, num_layers, embedding_size, softmax, path):
    if kind == "esn" and (num_layers > 1 or embedding_size):
        pytest.skip("an esn has one layer and one-hot inputs")
    model = random_model(kind, "float32", K, H, num_layers=num_layers, dropout=0.1,
                         embedding_size=embedding_size)
    model.block[3] = -0.0
    model.params["head.b"][0] = 1e-42
    model.state[:] = np.random.default_rng(0).normal(size=model.state.shape)
    model.starts, model.continues = np.arange(K, dtype=float), True
    fastrnn.export(model, path, softmax=softmax)
    back = fastrnn.import_model(path)
    same(model, back)
    ids = np.random.default_rng(1).integers(0, K, (3, 9))
    assert np.array_equal(back.predict(ids), model.predict(ids))
    assert back.sample(20, seed=1) == model.sample(20, seed=1)
    assert back.history.loss.size == 0
    if kind == "esn":
        for name, array in model.reservoir.tensors.items():
            if not name.startswith("W."):
                assert np.array_equal(getattr(back.reservoir, name), array)
        assert (back.reservoir.W != model.reservoir.W).nnz == 0


@pytest.mark.parametrize("kind", ["lstm", "gru", "memory", "mgu"])
@pytest.mark.parametrize("embedding_size", [None, 4])
def test_ours_with_labels(kind, embedding_size, path):
    model = labelled(kind, num_layers=2, embedding_size=embedding_size)
    model.label_counts = np.array([3.0, 1.0, 2.0])
    fastrnn.export(model, path)
    back = fastrnn.import_model(path)
    same(model, back)
    assert back.rank_labels("bay", prior="training") == model.rank_labels("bay", prior="training")


@pytest.mark.parametrize("scaling", [
    None, Scaling(np.array([[1e6, -3.3], [0.1, 7]])), Scaling(None, np.array([[1.7], [1e-3]])),
    Scaling(np.array([[0.1, 0], [1 / 3, 1]]), np.array([[-1 / 3], [1e5]]))])
def test_ours_of_numbers(scaling, path):
    model = fastrnn.Model(Sizes(input_size=2, output_size=1), cell="gru", hidden_size=H)
    model.scaling = scaling
    fastrnn.export(model, path)
    back = fastrnn.import_model(path)
    same(model, back)
    for name in ("inputs", "targets"):  # bit for bit
        assert np.array_equal(getattr(back.scaling or Scaling(), name),
                              getattr(scaling or Scaling(), name))


@pytest.mark.parametrize("sizes", [Sizes(input_symbols=4, output_symbols=3),
                                   Sizes(input_symbols=4, output_size=4),
                                   Sizes(input_size=3, output_symbols=3)])
def test_ours_of_sequences(sizes, path):
    """The graph without a softmax does not tell symbols from numbers: the metadata does."""
    model = fastrnn.Model(sizes, cell="lstm", hidden_size=H)
    fastrnn.export(model, path)
    same(model, fastrnn.import_model(path))


def test_metadata_that_another_program_took_out(path):
    model = random_model("lstm", "float32", K, H, num_layers=2, embedding_size=3)
    fastrnn.export(model, path)
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, path)
    back = fastrnn.import_model(path)
    assert back.vocabulary is None and back.sizes == model.sizes
    assert np.array_equal(back.block, model.block)


@pytest.mark.parametrize(("key", "old", "new", "message"), [
    ("settings", '"lstm"', '"gru"', "has the cell lstm, and the metadata says 'gru'"),
    ("settings", '"num_layers": 2', '"num_layers": 3', "num_layers 2, and the metadata says 3"),
    ("settings", '"hidden_size": 5', '"hidden_size": 5000000', "hidden_size 5, and"),
    ("settings", '"labels": null', '"labels": ["a"]', "number of labels 0, and"),
    ("settings", '"dropout": 0.0', '"dropout": 7', "dropout"),
    ("settings", "{", "[" * 200, "nested"),
    ("vocabulary", '"symbols": [', '"symbols": ["z", ', "head.W|embedding|layer0.Wx"),
    ("vocabulary", '"unit": "char"', '"unit": "bpe"', "bpe"),
    ("state", '"h_0": [[[', '"h_0": [[[1, ', "state"),
    ("state", '"h_0"', '"x_0"', "h_0"),
])
def test_metadata_that_lies(key, old, new, message, path):
    model = random_model("lstm", "float32", K, H, num_layers=2)
    model.state[:] = 1
    fastrnn.export(model, path)
    proto = onnx.load(path)
    entry = next(each for each in proto.metadata_props if each.key == key)
    assert old in entry.value
    entry.value = entry.value.replace(old, new)
    onnx.save(proto, path)
    with pytest.raises(ValueError, match=f"model.onnx' cannot be imported: .*({message})"):
        fastrnn.import_model(path)


# ---- the tests of the package onnx ----

@pytest.fixture(scope="module")
def cases():
    """The cases of the package onnx by name; to collect those of all operators takes long."""
    package = import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for op in "lstm", "gru", "rnn":
            import_module(f"{package.__name__}.{op}")
    return {case.name: case for case in package._NodeTestCases if case.model is not None
            and case.model.graph.node[0].op_type in ("LSTM", "GRU", "RNN")}


def attributes_of(case):
    node = case.model.graph.node[0]
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def of_case(case):
    """The model of a case, its weights as constants of the graph, and its input and outputs."""
    (given, expected), = case.data_sets
    proto = onnx.ModelProto.FromString(case.model.SerializeToString())
    names = [name for name in proto.graph.node[0].input if name]
    for name, array in zip(names[1:], given[1:], strict=True):
        proto.graph.initializer.append(from_array(array, name))
    outputs = dict(zip([name for name in proto.graph.node[0].output if name], expected,
                       strict=True))
    return proto, given[0], outputs


FORWARD = [f"test_{name}" for name in (
    "gru_defaults", "gru_with_initial_bias", "gru_seq_length", "gru_batchwise", "lstm_defaults",
    "lstm_with_initial_bias", "lstm_batchwise", "simple_rnn_defaults",
    "simple_rnn_with_initial_bias", "rnn_seq_length", "simple_rnn_batchwise")]
BOTH = [f"test_{op}_{way}" for op in ("gru", "lstm", "simple_rnn")
        for way in ("reverse", "bidirectional")]
PEEPHOLES = "test_lstm_with_peepholes"


def test_no_case_is_left_out(cases):
    older = {name for name in [*FORWARD, *BOTH, PEEPHOLES] if name not in cases}
    assert set(cases) <= {*FORWARD, *BOTH, PEEPHOLES}
    assert not older & set(FORWARD)


@pytest.mark.parametrize("name", FORWARD)
def test_cases_by_import(cases, name, path):
    proto, x, expected = of_case(cases[name])
    onnx.save(proto, path)
    model = fastrnn.import_model(path)
    batch_first = attributes_of(cases[name]).get("layout", 0)
    h = model.predict(x if batch_first else x.swapaxes(0, 1))  # the head is the identity
    last = h[:, -1][:, None] if batch_first else h[:, -1][None]
    np.testing.assert_allclose(last, expected["Y_h"], rtol=0, atol=1e-6)
    if "Y" in expected:
        y = h[:, :, None] if batch_first else h.swapaxes(0, 1)[:, None]
        np.testing.assert_allclose(y, expected["Y"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_cases_by_layers(cases, name, path):
    """Layers that read backwards: ours read a series that is turned around."""
    if name not in cases:
        pytest.skip("this version of onnx has no such test")
    proto, x, expected = of_case(cases[name])
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    op, found = proto.graph.node[0].op_type, []
    cell = {"RNN": "rnn"}.get(op, op.lower())
    ways = ["reverse"] if "reverse" in name else ["forward", "reverse"]
    for i, way in enumerate(ways):
        W, R = tensors["W"][i], tensors["R"][i]
        weights = onnx_layers.from_onnx(cell, W, R, np.zeros(2 * len(W), np.float32), False)
        more = {"reset_after": False} if op == "GRU" else {}
        layer = getattr(nn, op)(W.shape[1], R.shape[1], dtype="float32", **more)
        layer.load_state_dict(weights)
        turn = slice(None, None, -1 if way == "reverse" else 1)
        found.append(layer.forward(x.swapaxes(0, 1)[:, turn])[:, turn])
    last = [h[:, 0 if way == "reverse" else -1] for h, way in zip(found, ways, strict=True)]
    np.testing.assert_allclose(np.stack(last), expected["Y_h"], rtol=0, atol=1e-6)
    if "Y" in expected:
        y = np.stack([h.swapaxes(0, 1) for h in found], axis=1)
        np.testing.assert_allclose(y, expected["Y"], rtol=0, atol=1e-6)
    onnx.save(proto, path)
    with pytest.raises(ValueError, match="direction '(reverse|bidirectional)'.*read forwards"):
        fastrnn.import_model(path)


def test_peepholes(cases, path):
    onnx.save(of_case(cases[PEEPHOLES])[0], path)
    with pytest.raises(ValueError, match="node 'Y_h' .LSTM.: it has sequence_lens"):
        fastrnn.import_model(path)


# ---- graphs of others ----

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Builder:
    """A graph that is written node by node; weights are random."""

    def __init__(self, dtype="float32", seed=0):
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.kind = onnx.TensorProto.FLOAT if dtype == "float32" else onnx.TensorProto.DOUBLE
        self.nodes, self.tensors, self.inputs, self.count = [], [], [], 0

    def input(self, name, shape, kind=None):
        self.inputs.append(helper.make_tensor_value_info(name, kind or self.kind, shape))
        return name

    def ids(self):
        return self.input("ids", ("N", "T"), onnx.TensorProto.INT64)

    def tensor(self, array):
        self.count += 1
        self.tensors.append(from_array(np.asarray(array), f"t{self.count}"))
        return f"t{self.count}"

    def random(self, *shape):
        return self.tensor(self.rng.normal(0, 0.6, shape).astype(self.dtype))

    def node(self, op, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"{op.lower()}{self.count}" + "_" * i for i in range(outputs)]
        self.nodes.append(helper.make_node(
            op, inputs, names, f"my {op} {self.count}", **attributes))
        return names[0] if outputs == 1 else names

    def layer(self, op, x, D, H=5, bias=True, **attributes):
        """An operator with random weights -> Y, Y_h."""
        G = GATES[op]
        given = [x, self.random(1, G * H, D), self.random(1, G * H, H)]
        given += [self.random(1, 2 * G * H)] if bias else []
        return self.node(op, *given, outputs=2, hidden_size=H, **attributes)

    def squeeze(self, x, axis=1):
        return self.node("Squeeze", x, self.tensor(np.array([axis], np.int64)))

    def swap(self, x):
        return self.node("Transpose", x, perm=[1, 0, 2])

    def save(self, path, *outputs, **more):
        """Write the file; returns the ModelProto."""
        infos = [helper.make_tensor_value_info(name, self.kind, None) for name in outputs]
        proto = helper.make_model(
            helper.make_graph(self.nodes, "g", self.inputs, infos, self.tensors), ir_version=8,
            opset_imports=[helper.make_opsetid("", 17)], **more)
        onnx.save(proto, path)
        return proto

    def run(self, path, *outputs, **inputs):
        """The first output, as onnxruntime computes it."""
        self.save(path, *outputs)
        return runtime.InferenceSession(path).run(None, inputs)[0]


def agree(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    limit = 1e-6 if found.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=0,
                               atol=limit * max(1, np.abs(expected).max()))


IDS = np.random.default_rng(3).integers(0, 7, (3, 8))


@pytest.mark.parametrize(("op", "more"), [
    ("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {}),
    ("RNN", {"activations": ["Relu"]}), ("LSTM", {"activations": ["sigmoid", "tanh", "tanh"]})])
@pytest.mark.parametrize("bias", [True, False])
def test_two_layers_with_an_embedding(op, more, bias, path):
    b = Builder()
    x = b.swap(b.node("Gather", b.random(7, 4), b.ids()))
    x = b.squeeze(b.layer(op, x, 4, bias=bias, **more)[0])
    x = b.swap(b.squeeze(b.layer(op, x, 5, bias=bias, **more)[0]))
    out = b.node("Add", b.random(7), b.node("MatMul", x, b.random(5, 7)))
    expected = b.run(path, out, ids=IDS)
    model = fastrnn.import_model(path)
    assert model.sizes == Sizes(input_symbols=7, output_symbols=7) and model.vocabulary is None
    agree(outputs(model, IDS), expected)


def test_softmax_and_one_hot(path):
    b = Builder()
    x = b.node("OneHot", b.node("Transpose", b.ids(), perm=[1, 0]),
               b.tensor(np.array([7])), b.tensor(np.array([0, 1], np.float32)))
    x = b.squeeze(b.layer("GRU", x, 7)[0])
    x = b.node("Softmax", b.node("MatMul", b.swap(x), b.random(5, 3)), axis=2)
    expected = b.run(path, x, ids=IDS)
    model = fastrnn.import_model(path)
    assert model.sizes == Sizes(input_symbols=7, output_symbols=3)
    agree(model.predict(IDS), expected)


def language_model(path):
    b = Builder()
    x = b.swap(b.node("Gather", b.random(7, 4), b.ids()))
    b.save(path, b.node("MatMul", b.swap(b.squeeze(b.layer("GRU", x, 4)[0])), b.random(5, 7)))


def test_a_vocabulary_for_a_graph_that_has_none(path, tmp_path):
    language_model(path)
    (tmp_path / "symbols.json").write_text('["a", "b", "c", "d", "e", "f", "\\n"]')
    given = fastrnn.Vocabulary("abcdef\n")
    for vocabulary in given, [*"abcdef\n"], tmp_path / "symbols.json":
        model = fastrnn.import_model(path, vocabulary=vocabulary)
        assert model.vocabulary == given and len(model.sample(9, seed=0)) == 9
    same(model, fastrnn.import_model(path, vocabulary=given))
    sizes = Sizes(input_symbols=7, output_size=7)
    assert fastrnn.import_model(path, vocabulary=sizes).sizes == sizes
    for vocabulary, message in ((fastrnn.Vocabulary("abc"), "the vocabulary has 3 symbols"),
                                (Sizes(input_size=7, output_size=7), "for 7 symbols and 7"),
                                (5, "must be a Vocabulary")):
        with pytest.raises(ValueError, match=f"model.onnx' cannot be imported: .*{message}"):
            fastrnn.import_model(path, vocabulary=vocabulary)
    with pytest.raises(ValueError, match="leave nonlinearity out: it is for .pt.safetensors, not"):
        fastrnn.import_model(path, nonlinearity="relu")
    fastrnn.export(model, path, overwrite=True)
    with pytest.raises(ValueError, match="the file has a vocabulary: leave vocabulary out"):
        fastrnn.import_model(path, vocabulary=given)


def numbers(shape=(3, 8, 4), dtype=np.float32):
    return np.random.default_rng(5).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("how", ["gather", "slice", "Y_h"])
@pytest.mark.parametrize("trans", [0, 1])
def test_the_last_step_alone(how, trans, path):
    b = Builder()
    y, last = b.layer("LSTM", b.swap(b.input("x", ("N", "T", 4))), 4)
    h = b.swap(b.squeeze(y))
    if how == "gather":
        h = b.node("Gather", h, b.tensor(np.array(-1)), axis=1)
    elif how == "slice":
        ends = [b.tensor(np.array([one])) for one in (-1, 2**63 - 1, 1)]
        h = b.squeeze(b.node("Slice", h, *ends))
    else:
        h = b.squeeze(last, 0)
    W = b.random(3, 5) if trans else b.random(5, 3)
    out = b.node("Gemm", h, W, b.random(3), transB=trans)
    expected = b.run(path, out, x=numbers())
    model = fastrnn.import_model(path)
    assert model.sizes == Sizes(input_size=4, output_size=3)
    agree(outputs(model, numbers())[:, -1], expected)


def test_the_last_layers_state(path):
    """h_n[-1] of two layers."""
    b = Builder()
    y, first = b.layer("GRU", b.swap(b.input("x", ("N", "T", 4))), 4)
    second = b.layer("GRU", b.squeeze(y), 5)[1]
    states = b.node("Concat", first, second, axis=0)
    out = b.node("MatMul", b.node("Gather", states, b.tensor(np.array(-1)), axis=0),
                 b.random(5, 2))
    expected = b.run(path, out, x=numbers())
    agree(outputs(fastrnn.import_model(path), numbers())[:, -1], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_first(dtype, path):
    """layout=1, which onnxruntime has not, against the same weights with layout=0; float64, which
    its LSTM has not, by onnx's own evaluator."""
    def graph(layout):
        b = Builder(dtype)
        x = b.input("x", ("N", "T", 4))
        y, _ = b.layer("LSTM", x if layout else b.swap(x), 4, layout=layout)
        h = b.squeeze(y, 2) if layout else b.swap(b.squeeze(y))
        out = b.node("MatMul", h, b.random(5, 2))
        return b.save(path, out)

    x = numbers(dtype=dtype)
    evaluator = import_module("onnx.reference").ReferenceEvaluator(graph(0))
    expected = evaluator.run(None, {"x": x})[0].astype(dtype)
    graph(1)
    model = fastrnn.import_model(path)
    assert model.config["dtype"] == dtype
    agree(outputs(model, x), expected)


@pytest.mark.parametrize("shape", [[0, 0, -1], [0, -1, 5]])
def test_reshape_in_place_of_squeeze(shape, path):
    b = Builder()
    y, _ = b.layer("RNN", b.swap(b.input("x", ("N", "T", 4))), 4)
    y = b.node("Transpose", y, perm=[0, 2, 1, 3]) if shape[1] == 0 else y
    h = b.swap(b.node("Reshape", y, b.tensor(np.array(shape))))
    out = b.node("MatMul", h, b.random(5, 2))
    expected = b.run(path, out, x=numbers())
    agree(outputs(fastrnn.import_model(path), numbers()), expected)


def test_rows_of_all_steps_and_constants_that_are_computed(path):
    b = Builder()
    x = b.input("x", ("N", "T", 4))
    G = b.node("Unsqueeze", b.node("Transpose", b.random(4, 20)), b.tensor(np.array([0])))
    B = b.node("Concat", b.random(1, 20), b.random(1, 20), axis=1)
    zeros = b.node("ConstantOfShape", b.node("Concat", b.tensor(np.array([1])), b.node(
        "Shape", x, start=0, end=1), b.tensor(np.array([5])), axis=0))
    y = b.node("LSTM", b.swap(x), G, b.random(1, 20, 5), B, "", zeros, zeros, hidden_size=5)
    rows = b.node("Reshape", b.swap(b.squeeze(y)), b.tensor(np.array([-1, 5])))
    rows = b.node("Gemm", b.node("Dropout", rows), b.random(5, 2), b.random(2))
    shape = b.node("Concat", b.node("Shape", x, start=0, end=2), b.tensor(np.array([2])), axis=0)
    out = b.node("Reshape", rows, shape)
    expected = b.run(path, out, x=numbers())
    agree(outputs(fastrnn.import_model(path), numbers()), expected)


def test_scaled_inputs_and_outputs(path):
    b = Builder()
    mean, deviation = np.array([3, -2, 0.5, 9], np.float32), np.array([2, 0.1, 5, 1], np.float32)
    x = b.node("Div", b.node("Sub", b.input("x", ("N", "T", 4)), b.tensor(mean)),
               b.tensor(deviation))
    h = b.swap(b.squeeze(b.layer("GRU", b.swap(x), 4)[0]))
    y = b.node("Add", b.node("MatMul", h, b.random(5, 2)), b.random(2))
    out = b.node("Add", b.node("Mul", y, b.tensor(np.float32(3))),
                 b.tensor(np.array([7, -7], np.float32)))
    given = numbers() * deviation + mean
    expected = b.run(path, out, x=given)
    model = fastrnn.import_model(path)
    np.testing.assert_array_equal(model.scaling.inputs, [mean, deviation])
    np.testing.assert_array_equal(model.scaling.targets, [[7, -7], [3, 3]])
    np.testing.assert_allclose(model.predict(given), expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("states", [False, True])
def test_pytorch_writes(dynamo, kind, states, path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    if dynamo and kind == "RNN":
        pytest.skip("this exporter unrolls nn.RNN for a fixed number of steps")
    count = states * (2 if kind == "LSTM" else 1)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(7, 4)
            self.rnn = getattr(torch.nn, kind)(4, 5, 2, batch_first=True)
            self.head = torch.nn.Linear(5, 7)

        def forward(self, ids, *state):
            h, last = self.rnn(self.embedding(ids), *([state] if len(state) == 2 else state))
            return (self.head(h), last) if state else self.head(h)

    net = Net().eval()
    given = torch.from_numpy(IDS), *[torch.zeros(2, 3, 5)] * count
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        how = {"dynamo": True, "external_data": False} if dynamo else {
            "dynamo": False, "input_names": ["ids"], "dynamic_axes": {"ids": [0, 1]}}
        torch.onnx.export(net, given, str(path), opset_version=18, verbose=False, **how)
        expected = net(*given)
    model = fastrnn.import_model(path)
    agree(outputs(model, IDS), (expected[0] if states else expected).numpy())


# ---- what cannot be expressed ----

def plain(b, op="LSTM", x=None, **attributes):
    """A layer between numbers and a head -> the output."""
    x = b.swap(b.input("x", ("N", "T", 4))) if x is None else x
    h = b.swap(b.squeeze(b.layer(op, x, 4, **attributes)[0]))
    return b.node("MatMul", h, b.random(5, 2))


def with_input(b, place, value):
    """The plain graph, with one more input of the layer."""
    out = plain(b)
    layer = next(node for node in b.nodes if node.op_type == "LSTM")
    layer.input.extend([""] * (place + 1 - len(layer.input)))
    layer.input[place] = value
    return out


REFUSED = {
    "clip": (lambda b: plain(b, clip=1.0), r"'my LSTM \d+' \(LSTM\): it clips"),
    "input_forget": (lambda b: plain(b, input_forget=1), "couples"),
    "activations": (lambda b: plain(b, activations=["HardSigmoid", "Tanh", "Tanh"]),
                    "no LSTM of the activations HardSigmoid, Tanh, Tanh"),
    "parameters of activations": (lambda b: plain(b, "RNN", activations=["Relu"],
                                                  activation_alpha=[0.5]), "activation_alpha"),
    "direction": (lambda b: plain(b, direction="reverse"), "direction 'reverse'"),
    "hidden_size": (lambda b: plain(b, "GRU", linear_before_reset=1, **{"bias": True}) and
                    setattr(b.nodes[1].attribute[0], "i", 6) or "matmul", "do not fit 6 units"),
    "sequence_lens": (lambda b: with_input(b, 4, b.tensor(np.array([1, 2, 3], np.int32))),
                      "sequence_lens"),
    "peepholes": (lambda b: with_input(b, 7, b.random(1, 15)), r"peepholes \(P\)"),
    "initial state": (lambda b: with_input(b, 5, b.random(1, 3, 5)), "initial state"),
    "weights that are an input": (lambda b: with_input(b, 1, b.input("W", (1, 20, 4))),
                                  "W must be a constant"),
    "two kinds of layers": (lambda b: plain(b, x=b.squeeze(b.layer("GRU", b.swap(
        b.input("x", ("N", "T", 4))), 4, H=4)[0])), "another kind of layer"),
    "two sizes": (lambda b: plain(b, x=b.squeeze(b.layer("LSTM", b.swap(
        b.input("x", ("N", "T", 4))), 4, H=4)[0])), "another number of units"),
    "a layer along the batch": (lambda b: plain(b, x=b.swap(b.squeeze(b.layer("LSTM", b.swap(
        b.input("x", ("N", "T", 4))), 4, H=4)[0]))), "another axis"),
    "a linear layer before": (lambda b: plain(b, x=b.node("MatMul", b.swap(
        b.input("x", ("N", "T", 3))), b.random(3, 4))), r"'my MatMul \d+' \(MatMul\)"),
    "two linear layers": (lambda b: b.node("MatMul", plain(b), b.random(2, 2)), "linear head"),
    "an activation of the head": (lambda b: b.node("Relu", plain(b)), r"'my Relu \d+' \(Relu\): "
                                  "fastrnn has no such operator"),
    "a residual connection": (lambda b: b.node("Add", plain(b), plain(b)), "constant"),
    "no layer": (lambda b: b.node("MatMul", b.input("x", ("N", "T", 3)), b.random(3, 4)),
                 "no output of the graph comes from"),
    "one step": (lambda b: b.node("Gather", plain(b), b.tensor(np.array(0)), axis=1),
                 "not the last step"),
    "some units": (lambda b: b.node("Slice", plain(b), *[b.tensor(np.array([i])) for i in
                                                         (0, 1, 2)]), "keeps some"),
    "a mixing reshape": (lambda b: b.node("Reshape", b.squeeze(b.layer("LSTM", b.swap(b.input(
        "x", ("N", "T", 4))), 4)[0]), b.tensor(np.array([3, 8, 5]))), "mixes"),
    "float16": (lambda b: with_input(b, 3, b.tensor(np.zeros((1, 40), np.float16))),
                "tensor 't.*': its type is float16"),
    "a scaled embedding": (lambda b: plain(b, x=b.node("Mul", b.node(
        "Gather", b.random(7, 4), b.ids()), b.tensor(np.float32(2)))), r"'my Mul \d+'"),
    "a temperature": (lambda b: b.node("Softmax", b.node("Div", plain(b), b.tensor(
        np.float32(2)))), r"'my Div \d+'"),
    "an input that is repeated": (lambda b: plain(b, x=b.node("Expand", b.node(
        "Unsqueeze", b.input("x", ("N", 4)), b.tensor(np.array([0]))), b.tensor(
            np.array([3, 1, 1])))), "part of an input"),
    "two types": (lambda b: with_input(b, 3, b.tensor(np.zeros((1, 40)))), "float64"),
    "a loop": (lambda b: b.node("Loop", plain(b)), "Loop"),
    "a scale below 0": (lambda b: plain(b, x=b.node("Mul", b.swap(b.input("x", ("N", "T", 4))),
                                                    b.tensor(np.float32(-2)))), "deviations"),
    "the softmax of another axis": (lambda b: b.node("Softmax", plain(b), axis=1), "last one"),
    "one-hot with 2": (lambda b: plain(b, x=b.node("OneHot", b.ids(), b.tensor(np.array(4)),
                                                   b.tensor(np.array([0, 2], np.float32)))),
                       "0 and 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, path):
    make, message = REFUSED[name]
    b = Builder()
    b.save(path, make(b))
    with pytest.raises(ValueError, match=f"model.onnx' cannot be imported: .*{message}"):
        fastrnn.import_model(path)


def test_two_heads(path):
    b = Builder()
    h = b.swap(b.squeeze(b.layer("LSTM", b.swap(b.input("x", ("N", "T", 4))), 4)[0]))
    one, two = (b.node("MatMul", h, b.random(5, 2)) for _ in range(2))
    both = b.node("Softmax", one)
    b.save(path, one, both)  # scores and probabilities
    assert fastrnn.import_model(path).sizes == Sizes(input_size=4, output_symbols=2)
    b.save(path, one, two)
    with pytest.raises(ValueError, match="leads to another output than node .*one head"):
        fastrnn.import_model(path)


def test_operators_of_another_domain(path):
    b = Builder()
    out = plain(b)
    b.nodes[1].domain = "com.microsoft"
    b.save(path, out)
    with pytest.raises(ValueError, match="no operator of the domain 'com.microsoft'"):
        fastrnn.import_model(path)


def test_a_scan_that_is_not_ours(path):
    model = random_model("mgu", "float32", K, H)
    fastrnn.export(model, path)
    proto = onnx.load(path)
    scan = next(node for node in proto.graph.node if node.op_type == "Scan")
    step = next(node for node in scan.attribute[0].g.node if node.op_type == "Tanh")
    step.op_type = "Sigmoid"
    onnx.save(proto, path)
    with pytest.raises(ValueError, match=r"\(Scan\): fastrnn reads no loops but those of its own"):
        fastrnn.import_model(path)


def test_import_needs_a_file(tmp_path):
    for name, kind, message in (("none.onnx", FileNotFoundError, "no file"),
                                ("dir.onnx", OSError, "not a regular file")):
        (tmp_path / "dir.onnx").mkdir(exist_ok=True)
        with pytest.raises(kind, match=message):
            fastrnn.import_model(tmp_path / name)
