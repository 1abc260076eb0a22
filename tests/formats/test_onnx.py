"""An exported ONNX graph: valid, and in onnxruntime the same outputs as ours."""
import json
from pathlib import Path

import numpy as np
import pytest
from networks import EVERY_KIND, all_weights, cell_of, random_model
from scipy.sparse import csr_array
from scipy.special import softmax

import fastrnn
from fastrnn.checks import reference
from fastrnn.cli import main
from fastrnn.data.scaling import Scaling
from fastrnn.data.source import Sizes
from fastrnn.echo.reservoir import Reservoir
from fastrnn.formats import onnx_layers

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

SOME_KINDS = pytest.mark.parametrize("kind", [each for each in EVERY_KIND if each != "mlstm"])
K, H = 6, 5
BATCHES = ((1, 1), (1, 9), (4, 3), (3, 20))  # N and T of the runs of one session


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def exported(model, path, **settings):
    """A session with the exported file, which is checked."""
    fastrnn.export(model, path, **settings)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version == 8
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 17)]
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(path, options)


def by_name(model, state):
    """A state (N, P) as the inputs of the graph: each (L, N, H)."""
    names = onnx_layers.states_of(model.config["cell"])
    parts = state.reshape(len(state), model.config["num_layers"], len(names), -1)
    return {f"{name}_0": np.ascontiguousarray(parts[:, :, i].swapaxes(0, 1), np.float32)
            for i, name in enumerate(names)}


def run(session, model, inputs, state=None, **more):
    """The outputs (N, T, K) and the last state (N, P)."""
    N = len(inputs)
    state = model.zero_state(N) if state is None else state
    name = session.get_inputs()[0].name
    out, *last = session.run(None, {name: inputs} | by_name(model, state) | more)
    return out, np.stack(last, axis=2).swapaxes(0, 1).reshape(N, -1)


def close(found, expected):
    """The same to 1e-6 of the largest number, or of 1."""
    np.testing.assert_allclose(found, expected, rtol=0,
                               atol=1e-6 * max(1, np.abs(expected).max()))


@SOME_KINDS
@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize("embedding_size", [None, 3])
def test_outputs_and_states(kind, num_layers, embedding_size, path):
    if kind == "esn" and (num_layers > 1 or embedding_size):
        pytest.skip("an esn has one layer and one-hot inputs")
    model = random_model(kind, "float32", K, H, num_layers=num_layers,
                         embedding_size=embedding_size)
    session = exported(model, path)
    rng = np.random.default_rng(2)
    for N, T in BATCHES:
        ids = rng.integers(0, K, (N, T))
        state = rng.uniform(-1, 1, model.zero_state(N).shape)
        expected, last, _, _ = reference.forward(all_weights(model), ids, state,
                                                 model.config["cell"])
        found, end = run(session, model, ids, state)
        close(found, expected)
        close(end, last)
        scores, _ = run(session, model, ids)
        close(softmax(scores, axis=2), model.predict(ids))


@SOME_KINDS
def test_states_carry_on(kind, path):
    model = random_model(kind, "float32", K, H, num_layers=1 if kind == "esn" else 2)
    session = exported(model, path)
    ids = np.random.default_rng(0).integers(0, K, (3, 12))
    whole, _ = run(session, model, ids)
    state, parts = None, []
    for start, stop in (0, 5), (5, 6), (6, 12):
        out, state = run(session, model, ids[:, start:stop], state)
        parts.append(out)
    close(np.concatenate(parts, axis=1), whole)


def test_a_cell_without_a_graph_is_refused(path):
    with pytest.raises(ValueError, match=r"no graph of ONNX for the cell 'mlstm': export a C"):
        fastrnn.export(random_model("mlstm", "float32", K, H), path)
    assert not path.exists()


def test_softmax(path):
    model = random_model("lstm", "float32", K, H)
    ids = np.arange(6)[None]
    session = exported(model, path, softmax=True)
    assert [out.name for out in session.get_outputs()] == ["probabilities", "h_n", "c_n"]
    close(run(session, model, ids)[0], model.predict(ids))


def labelled(kind="gru", **settings):
    vocabulary = fastrnn.Corpus.from_records(["anna", "bea", "cy"]).vocabulary
    model = fastrnn.Model(vocabulary, **cell_of(kind), hidden_size=H, labels=["x", "y", "z"],
                          **settings)
    model.block[:] = np.random.default_rng(0).normal(0, 0.5, model.block.size)
    return model


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru, reset before", "memory", "mgu"])
@pytest.mark.parametrize("embedding_size", [None, 3])
def test_labels(kind, embedding_size, path):
    model = labelled(kind, embedding_size=embedding_size, num_layers=2)
    session = exported(model, path)
    ids = np.random.default_rng(1).integers(0, len(model.vocabulary), (2, 7))
    weights = np.array([[0, 1, 0], [0.25, 0, 0.75]])
    expected = reference.forward(all_weights(model), ids, model.zero_state(2).astype(float),
                                 model.config["cell"], labels=weights)[0]
    close(run(session, model, ids, labels=weights.astype(np.float32))[0], expected)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "memory", "mgu", "esn"])
@pytest.mark.parametrize("scale", [True, False])
def test_numbers(kind, scale, path):
    rng = np.random.default_rng(0)
    means, deviations = np.array([100, -3, 1e6]), np.array([5, 0.1, 300])
    x = rng.normal(size=(8, 11, 3)) * deviations + means if scale else rng.normal(size=(8, 11, 3))
    model = fastrnn.Model(Sizes(input_size=3, output_size=2), cell=kind, hidden_size=H,
                          **({"density": 0.9} if kind == "esn" else {}))
    model.block[:] = rng.normal(0, 0.3, model.block.size)
    if scale:
        by = np.stack([means, deviations])
        model.scaling = Scaling(by, by[:, :2])
    session = exported(model, path)
    assert [each.name for each in session.get_inputs()][0] == "inputs"
    assert session.get_outputs()[0].name == "predictions"
    x = x.astype(np.float32)
    expected = model.predict(x)
    np.testing.assert_allclose(run(session, model, x)[0], expected, rtol=1e-6, atol=1e-6)


def test_an_esn_of_float64(path):
    model = random_model("esn", "float64", K, H)
    ids = np.random.default_rng(0).integers(0, K, (2, 9))
    close(softmax(run(exported(model, path), model, ids)[0], axis=2), model.predict(ids))
    assert fastrnn.import_model(path).config["leak_rate"] == model.config["leak_rate"]


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_other_dtypes_are_written_in_float32(dtype, path):
    model = random_model("lstm", dtype, K, H, num_layers=2)
    twin = fastrnn.Model(model.vocabulary, **model.config | {"dtype": "float32"})
    twin.block[:] = model.block
    ids = np.random.default_rng(0).integers(0, K, (2, 9))
    close(softmax(run(exported(model, path), model, ids)[0], axis=2), twin.predict(ids))
    back = fastrnn.import_model(path)
    assert back.config["dtype"] == ("float32" if dtype == "float64" else dtype)
    assert back.block.tobytes() == twin.block.tobytes()


def test_what_the_file_says(path):
    model = random_model("lstm", "float32", K, H, num_layers=2)
    model.state[:] = np.random.default_rng(0).normal(size=model.state.shape)
    session = exported(model, path)
    inputs = {each.name: (each.type, each.shape) for each in session.get_inputs()}
    assert inputs == {"ids": ("tensor(int64)", ["batch", "time"]),
                      "h_0": ("tensor(float)", [2, "batch", H]),
                      "c_0": ("tensor(float)", [2, "batch", H])}
    outputs = {each.name: each.shape for each in session.get_outputs()}
    assert outputs == {"scores": ["batch", "time", K], "h_n": [2, "batch", H],
                       "c_n": [2, "batch", H]}
    meta = session.get_modelmeta()
    said = {name: json.loads(value) for name, value in meta.custom_metadata_map.items()}
    assert meta.producer_name == "fastrnn" and "2 layers of 5 units" in meta.description
    assert said["settings"] == dict(model.config)
    assert said["vocabulary"] == model.vocabulary.to_dict()
    start = by_name(model, model.state)
    for name, array in start.items():  # bit for bit, in the shape of the input
        assert np.array_equal(np.array(said["state"][name], np.float32), array)
    names = [node.name for node in onnx.load(path).graph.node]
    assert len(set(names)) == len(names) and "layer1.Y" in names


def test_the_same_model_makes_the_same_bytes(path, tmp_path):
    model = random_model("gru", "float32", K, H)
    fastrnn.export(model, path)
    fastrnn.export(model, tmp_path / "again.onnx")
    assert path.read_bytes() == (tmp_path / "again.onnx").read_bytes()


def test_unit_bpe_has_its_merges_in_the_file(path):
    pytest.importorskip("tokenizers")
    corpus = fastrnn.Corpus.from_text("the cat sat on the mat. " * 20, "bpe", vocabulary_size=270)
    model = fastrnn.Model(corpus.vocabulary, hidden_size=H)
    fastrnn.export(model, path)
    back = fastrnn.import_model(path).vocabulary
    assert back == corpus.vocabulary
    assert np.array_equal(back.encode("the mat"), corpus.vocabulary.encode("the mat"))


# ---- what is refused ----

def test_softmax_of_numbers(path):
    model = fastrnn.Model(Sizes(input_size=2, output_size=3), hidden_size=H)
    with pytest.raises(ValueError, match="softmax is for models that predict symbols"):
        fastrnn.export(model, path, softmax=True)
    assert not path.exists()


def test_settings_of_other_formats(path):
    model = random_model("rnn", "float32", K, H)
    with pytest.raises(ValueError, match="leave title out"):
        fastrnn.export(model, path, title="x")
    with pytest.raises(ValueError, match="leave softmax out: it is for .onnx, not for .html"):
        fastrnn.export(model, path.with_suffix(".html"), softmax=True)


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "float32"), (np.inf, "float64"),
                                              (1e300, "float64")])
def test_parameters_that_are_not_finite(value, dtype, path):
    model = random_model("gru", dtype, K, H)
    model.params["layer0.Wh"][1, 2] = value
    with pytest.raises(ValueError, match="not finite in float32: load an earlier checkpoint"):
        fastrnn.export(model, path)
    assert not path.exists()


def test_too_large(path):
    units = 30_000  # whose recurrent weights take 3.6 GB when they are dense
    reservoir = Reservoir(csr_array((units, units), dtype=np.float32),
                          np.zeros((units, 2), np.float32), np.zeros(units, np.float32),
                          np.zeros((units, 0), np.float32), 1.0)
    model = fastrnn.Model(fastrnn.Vocabulary("ab"), cell="esn", hidden_size=units,
                          reservoir=reservoir)
    with pytest.raises(ValueError, match="2 GiB: export one with a smaller hidden_size"):
        fastrnn.export(model, path)


def test_without_the_library(path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    model = random_model("rnn", "float32", K, H)
    path.write_bytes(b"")
    monkeypatch.setattr(onnx_layers, "import_module", missing)
    for call in (lambda: fastrnn.export(model, path), lambda: fastrnn.import_model(path)):
        with pytest.raises(ImportError, match=r'pip install "fastrnn\[onnx\]"'):
            call()


def test_a_file_of_another_program_stays(path, capsys):
    model = random_model("rnn", "float32", K, H)
    other = onnx.helper.make_model(onnx.helper.make_graph([], "other", [], []))
    onnx.save(other, path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="fastrnn did not write it"):
        fastrnn.export(model, path)
    assert path.read_bytes() == before
    fastrnn.export(model, path, overwrite=True)
    fastrnn.export(model, path, softmax=True)  # our own is replaced
    assert path.read_bytes() != before


def test_commands(path, tmp_path, capsys):
    model = random_model("lstm", "float32", K, H)
    saved, back = tmp_path / "model.safetensors", tmp_path / "back.safetensors"
    model.save(saved)
    assert main(["export", str(saved), str(path), "--softmax"]) == 0
    assert "an ONNX graph" in " ".join(capsys.readouterr().out.split())
    assert main(["import", str(path), "-o", str(back)]) == 0
    assert "lstm, 5 units" in capsys.readouterr().out
    assert np.array_equal(fastrnn.load(back).block, model.block)
    assert main(["export", str(saved), str(path), "--title", "x"]) == 2
    assert "leave --title out" in capsys.readouterr().err


def test_the_page_has_the_table_of_gates():
    page = (Path(__file__).parents[2] / "docs" / "guides" / "onnx.md").read_text(encoding="utf-8")
    columns = {"rnn": "Wx", "relu": "Wx", "lstm": "Wx = [i f o g]", "gru": "Wx = [r z n]"}
    for cell, (op, ours, theirs) in onnx_layers.GATES.items():
        row = next(line for line in page.splitlines() if line.startswith(f'| `"{cell}"` |'))
        assert f"`{op}`" in row and " ".join(theirs) in row and columns[cell] in row
        assert len(ours) == len(theirs) and set(ours) == set(theirs)
