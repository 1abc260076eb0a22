"""Models as modules of PyTorch and as files under its names, there and back."""
import json
import re
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn import cli, pytorch
from fastrnn.files import store

DOCS = Path(__file__).parents[2] / "docs" / "guides"
CELLS = {"rnn": {}, "relu": {}, "lstm": {}, "gru": {}, "gru_before": {"reset_after": False},
         "mgu": {}, "memory": {}, "esn": {}}
TEXT = "abcdefg hij" * 3
VOCABULARY = fastrnn.Vocabulary.from_text(TEXT)
SIZES = fastrnn.Sizes(input_size=3, output_size=2)
cells = pytest.mark.parametrize("cell", CELLS)


def made(cell, read=VOCABULARY, seed=0, **settings):
    """A model with random weights, biases and state."""
    kind = "gru" if cell == "gru_before" else cell
    settings = {"hidden_size": 7, "dtype": "float64"} | CELLS[cell] | settings
    model = fastrnn.Model(read, cell=kind, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    for p in model.params.values():
        p[...] = rng.normal(0, 0.4, p.shape)
        if p.ndim == 1:
            p[0] = -0.0
    model.state[:] = rng.normal(size=model.state.shape)
    return model


def loss_of(torch, model, scores, targets):
    """The loss of `loss_and_gradients`: summed over time, averaged over the batch."""
    if model.sizes.output_size:
        return ((scores - targets) ** 2).mean(2).sum() / len(targets)
    scores = scores.flatten(0, 1)
    return torch.nn.functional.cross_entropy(
        scores, targets.flatten(), reduction="sum") / len(targets)


def same(a, b):
    """Whether two models have the same bits."""
    (ours, about), (theirs, other) = a.stored(), b.stored()
    assert about["model"] == other["model"] and about["vocabulary"] == other["vocabulary"]
    assert about["sizes"] == other["sizes"]
    for name in ours:
        if not name.startswith("history") and name != "known":
            if name in ("reservoir.W.indices", "reservoir.W.indptr"):  # 32 or 64 bits
                ours[name] = ours[name].astype(theirs[name].dtype)
            assert ours[name].dtype == theirs[name].dtype, name
            assert ours[name].tobytes() == theirs[name].tobytes(), name
    return True


SHAPES = [{}, {"num_layers": 3}, {"embedding_size": 5, "num_layers": 2},
          {"labels": ["x", "y", "z"], "num_layers": 2}]


# ---- the module ----

@cells
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize("shape", [*SHAPES, "numbers"])
def test_outputs_losses_gradients_and_states(cell, dtype, tolerance, shape):
    torch = pytest.importorskip("torch")
    if cell == "esn" and shape not in ({}, "numbers"):
        pytest.skip("an esn has one layer, and neither embedding nor labels")
    read = SIZES if shape == "numbers" else VOCABULARY
    model = made(cell, read, dtype=dtype, **({} if shape == "numbers" else shape))
    module = model.to_torch()
    rng, N, T = np.random.default_rng(1), 4, 6
    if shape == "numbers":
        x, y = rng.normal(size=(N, T, 3)).astype(dtype), rng.normal(size=(N, T, 2)).astype(dtype)
    else:
        x, y = rng.integers(0, 11, (N, T)), rng.integers(0, 11, (N, T))
    labels = ["x", "z", {"x": 0.25, "y": 0.75}, "y"] if model.config["labels"] else None
    mixture = torch.tensor([[1, 0, 0], [0, 0, 1], [0.25, 0.75, 0], [0, 1, 0]], dtype=torch.float64)
    state = rng.normal(size=(N, model.state.shape[1])).astype(dtype)
    L = model.config["num_layers"]
    by_layer = state.reshape(N, L, -1, 7)  # h, of an LSTM also c
    parts = [torch.tensor(by_layer[:, :, s].swapaxes(0, 1).copy())
             for s in range(by_layer.shape[2])]
    given = tuple(parts) if len(parts) > 1 else parts[0]
    scores, last = module(torch.tensor(x), given, *([mixture] if labels else []))
    loss = loss_of(torch, model, scores, torch.tensor(y))
    loss.backward()

    mine, grads, end = model.loss_and_gradients(x, y, state, labels=labels)
    assert abs(mine - loss.item()) < tolerance * max(1, abs(mine))
    lasts = last if isinstance(last, tuple) else (last,)
    theirs = np.stack([part.detach().numpy().swapaxes(0, 1) for part in lasts], 2)
    assert np.abs(end - theirs.reshape(N, -1)).max() < tolerance * max(1, np.abs(end).max())
    other = made(cell, read, dtype=dtype, **({} if shape == "numbers" else shape))
    for name, p in grads_by_our_names(torch, module, model).items():
        other.params[name][...] = p
        scale = max(1, np.abs(grads[name]).max())
        assert np.abs(grads[name] - p).max() < 10 * tolerance * scale, name
    if not labels:
        zero, _ = module(torch.tensor(x))
        expected = zero if shape == "numbers" else zero.softmax(2)
        assert np.abs(model.predict(x) - expected.detach().numpy()).max() < 2 * tolerance * max(
            1, zero.abs().max().item())


def grads_by_our_names(torch, module, model):
    """The gradients of a module as `fastrnn.Model` has them. Both biases have the same one."""
    from fastrnn.formats.pytorch import _parameters
    state = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        grad = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
        state[name] = grad.numpy().copy()
        if name.startswith("rnn.bias_hh"):  # of the GRU's n it is another one
            state[name][: 14 if model.config["cell"] == "gru" else None] = 0
    return _parameters(state, model.config, model.sizes)


@cells
@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [*SHAPES, "numbers"])
def test_a_model_becomes_a_module_and_a_model_again_bit_for_bit(cell, dtype, shape):
    torch = pytest.importorskip("torch")
    if cell == "esn" and (shape not in ({}, "numbers") or dtype == "mixed_bfloat16"):
        pytest.skip("an esn has one layer, and neither embedding nor labels")
    model = made(cell, SIZES if shape == "numbers" else VOCABULARY, dtype=dtype, dropout=0.25,
                 **({} if shape == "numbers" else shape))
    module = model.to_torch()
    assert not module.training and module.dropout.p == 0.25
    assert isinstance(module.rnn, getattr(torch.nn, {
        "rnn": "RNN", "relu": "RNN", "lstm": "LSTM", "gru": "GRU"}.get(cell, "Module")))
    assert same(model, fastrnn.from_torch(module))


def test_where_the_weight_is_square():
    """4 H = D: neither transpose nor order of the gates shows in the shapes."""
    torch = pytest.importorskip("torch")
    model = made("lstm", fastrnn.Sizes(input_size=28, output_size=2))
    x = np.random.default_rng(0).normal(size=(2, 3, 28))
    found = model.to_torch()(torch.tensor(x))[0].detach().numpy()
    assert np.abs(model.predict(x) - found).max() < 1e-12
    assert same(model, fastrnn.from_torch(model.to_torch()))


def test_a_trained_model_with_scaled_numbers():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = 1e4 + 50 * rng.normal(size=(6, 9, 3))
    model = fastrnn.train(fastrnn.Sequences(x, 5 * x[..., :2]), cell="gru", hidden_size=7,
                          updates=5, batch_size=3, progress=False, dtype="float64")
    module = model.to_torch()
    found = module(torch.tensor(x))[0].detach().numpy()
    assert np.abs(found / model.predict(x) - 1).max() < 1e-12
    assert same(model, fastrnn.from_torch(module))
    assert (fastrnn.from_torch(module).predict(x) == model.predict(x)).all()


def test_a_text_goes_on_from_the_models_state():
    """`start` is `Model.state`; a sample of an imported model is that of the first."""
    torch = pytest.importorskip("torch")
    model = fastrnn.train(fastrnn.Corpus.from_text(TEXT * 20), cell="lstm", hidden_size=9,
                          num_layers=2, updates=20, seq_length=5, progress=False, dtype="float64")
    module = model.to_torch()
    ids = torch.tensor(model.vocabulary.encode(TEXT).astype(int))[None]
    scores, _ = module(ids, module.start())
    nats = torch.nn.functional.cross_entropy(scores[0, :-1], ids[0, 1:])
    assert abs(nats.item() - model.score(TEXT)) < 1e-12
    assert [s.shape for s in module.start(3)] == [(2, 3, 9)] * 2
    again = fastrnn.from_torch(module)
    assert again.sample(40, seed=1) == model.sample(40, seed=1)
    assert again.score(TEXT) == model.score(TEXT)


def test_after_more_training_in_pytorch():
    """Both biases move there, and come back as their sum."""
    torch = pytest.importorskip("torch")
    model = made("gru", num_layers=2, embedding_size=4)
    module = model.to_torch()
    ids = torch.tensor(np.random.default_rng(0).integers(0, 11, (4, 6)))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(ids)[0].flatten(0, 1), ids.flatten()).backward()
        optimizer.step()
    again = fastrnn.from_torch(module)
    found = module(ids)[0].softmax(2).detach().numpy()
    assert np.abs(again.predict(ids.numpy()) - found).max() < 1e-12
    assert np.abs(again.predict(ids.numpy()) - model.predict(ids.numpy())).max() > 1e-4


@cells
def test_in_another_precision(cell):
    pytest.importorskip("torch")
    module = made(cell, dtype="float32").to_torch().double()
    again = fastrnn.from_torch(module)
    assert again.config["dtype"] == "float64"
    assert same(fastrnn.from_torch(module.float()), made(cell, dtype="float32"))


def test_a_setting_that_the_module_has_not_is_refused(monkeypatch):
    """A cell or a shape that comes later is refused, until someone writes it here too."""
    from fastrnn.formats import pytorch as room
    monkeypatch.setattr(room, "CELLS", room.CELLS[:1])
    with pytest.raises(ValueError, match="no module of PyTorch for the cell 'mgu'"):
        fastrnn.export(made("mgu"), "net.pt.safetensors")
    monkeypatch.setattr(room, "SHAPE", room.SHAPE - {"num_layers"})
    with pytest.raises(ValueError, match="num_layers=2 has no counterpart"):
        fastrnn.export(made("lstm", num_layers=2), "net.pt.safetensors")


# ---- other modules ----

def other_module(torch, kind="LSTM", dtype=None, embedding=True, head_bias=True, **settings):
    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Embedding(11, 5, dtype=dtype) if embedding else None
            self.body = getattr(torch.nn, kind)(5 if embedding else 11, 7, dtype=dtype, **settings)
            self.drop = torch.nn.Dropout(0.3)
            self.decoder = torch.nn.Linear(7, 11, bias=head_bias, dtype=dtype)

        def forward(self, x):  # (T, N)
            x = self.encoder(x) if embedding else torch.nn.functional.one_hot(x, 11).to(
                self.decoder.weight.dtype)
            return self.decoder(self.drop(self.body(x)[0]))

    torch.manual_seed(1)
    return Theirs()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize("settings", [
    {}, {"num_layers": 3, "dropout": 0.2}, {"embedding": False}, {"bias": False},
    {"head_bias": False}])
def test_a_module_of_someone_else(kind, dtype, tolerance, settings, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    module = other_module(torch, kind, getattr(torch, dtype), **settings).eval()
    ids = np.random.default_rng(0).integers(0, 11, (4, 6))
    with torch.no_grad():
        expected = module(torch.tensor(ids.T)).softmax(2).numpy().swapaxes(0, 1)
    path = tmp_path / "lstm.safetensors"
    safetensors.save_file(module.state_dict(), path)
    models = [fastrnn.from_torch(module, VOCABULARY), fastrnn.from_torch(module.state_dict()),
              fastrnn.from_torch(module, VOCABULARY.symbols), fastrnn.import_model(path)]
    for model in models:
        assert model.config["dtype"] == dtype and not model.state.any()
        assert np.abs(model.predict(ids) - expected).max() < tolerance
        assert np.array_equal(model.block, models[0].block)
    assert models[0].vocabulary == models[2].vocabulary == VOCABULARY
    assert models[1].vocabulary is None and models[1].sizes == fastrnn.Sizes(11, 0, 11, 0)
    assert models[0].config["dropout"] == settings.get("dropout", 0.3)


def test_relu_and_cells_and_numbers():
    torch = pytest.importorskip("torch")
    relu = other_module(torch, "RNN", nonlinearity="relu")
    assert fastrnn.from_torch(relu).config["cell"] == "relu"
    assert fastrnn.from_torch(relu.state_dict(), nonlinearity="relu").config["cell"] == "relu"
    parts = torch.nn.ModuleDict({"cell": torch.nn.GRUCell(3, 7), "out": torch.nn.Linear(7, 2)})
    model = fastrnn.from_torch(parts, SIZES)
    x, h = torch.randn(2, 3), torch.zeros(2, 7)
    expected = parts["out"](parts["cell"](x, h)).detach().numpy()
    assert np.abs(model.predict(x.numpy()[:, None])[:, 0] - expected).max() < 1e-6


def test_what_a_model_cannot_express():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    module = other_module(torch)
    state = module.state_dict()

    def of(**parts):
        return nn.ModuleDict({"rnn": nn.LSTM(5, 7), "out": nn.Linear(7, 11)} | parts)

    refused = [
        (of(rnn=nn.LSTM(5, 7, bidirectional=True)), None, "left to right: use fastrnn.nn.LSTM"),
        (of(rnn=nn.LSTM(5, 7, proj_size=3)), None, "proj_size"),
        (of(act=nn.GELU()), None, "layer 'act' is a GELU"),
        (of(norm=nn.LayerNorm(7)), None, "layer 'norm' is a LayerNorm"),
        (of(more=nn.Linear(11, 11)), None, "out, more: a Model has one Linear"),
        (of(emb=nn.Embedding(11, 4)), None, r"emb.weight is \(11, 4\), .* 5 inputs and 7 outputs"),
        (of(emb=nn.Embedding(11, 5, max_norm=1.0)), None, "layer 'emb' has a max_norm"),
        (of(out=nn.Linear(6, 11)), None, r"out.weight is \(11, 6\)"),
        (of(out=nn.Linear(7, 11, bias=False), a=nn.Embedding(11, 7), rnn=nn.GRU(7, 7)), None,
         "'emb' in its name"),
        (nn.LSTM(5, 7), None, "besides the recurrent layers there are none"),
        (of(second=nn.GRU(7, 7)), None, "2 recurrent modules: 'rnn', 'second'"),
        (of(out=nn.Linear(7, 11, dtype=torch.float64)), None, "is of float64, and others of fl"),
        (module, "abc", "the vocabulary has 3 symbols, and the weights are for 11 inputs and 11"),
        (module, SIZES, "the weights are for 11 symbols and 11 outputs, not for"),
        (module, 7, "vocabulary must be a Vocabulary"),
        (made("lstm").to_torch(), VOCABULARY, "knows its vocabulary"),
        ({n: t for n, t in state.items() if "hh" not in n}, None, "weight_hh_l0 is missing"),
        (state | {"body.weight_ci_l0": state["body.bias_hh_l0"]}, None, "'body.weight_ci_l0'"),
        (state | {"scale": state["body.bias_hh_l0"]}, None, "layer '' has"),
        (3, None, "not int"),
    ]
    for given, vocabulary, message in refused:
        with pytest.raises((ValueError, TypeError), match=message):
            fastrnn.from_torch(given, vocabulary)


# ---- files ----

@cells
@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [*SHAPES, "numbers"])
def test_a_file_there_and_back_bit_for_bit(cell, dtype, shape, tmp_path):
    if cell == "esn" and (shape not in ({}, "numbers") or dtype == "mixed_bfloat16"):
        pytest.skip("an esn has one layer, and neither embedding nor labels")
    model = made(cell, SIZES if shape == "numbers" else VOCABULARY, dtype=dtype,
                 **({} if shape == "numbers" else shape))
    path = tmp_path / "net.pt.safetensors"
    assert fastrnn.export(model, path) is None
    assert same(model, fastrnn.import_model(path))


@cells
def test_pytorch_reads_the_file(cell, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors")
    torch_files = pytest.importorskip("safetensors.torch")
    model = made(cell)
    path = tmp_path / "net.pt.safetensors"
    fastrnn.export(model, path)
    other = made(cell)
    other.block[:] = 0
    module = other.to_torch()
    assert (module.head.weight == 0).all()
    module.load_state_dict(torch_files.load_file(path))
    assert same(model, fastrnn.from_torch(module))
    with safetensors.safe_open(path, "np") as file:
        about = json.loads(file.metadata()["fastrnn"])
    assert about["torch"]["vocabulary"]["symbols"] == list(VOCABULARY.symbols)
    if cell == "lstm":
        plain = torch.nn.LSTM(11, 7)
        plain.load_state_dict({name[4:]: tensor for name, tensor in
                               torch_files.load_file(path).items() if name.startswith("rnn.")})


def test_the_command_line(tmp_path, capsys):
    model, path = made("gru"), tmp_path / "m.safetensors"
    model.save(path)
    there, back = str(tmp_path / "m.pt.safetensors"), str(tmp_path / "back.safetensors")
    assert cli.main(["export", str(path), there]) == 0
    assert "tensors under PyTorch's names" in capsys.readouterr().out
    assert cli.main(["import", there, "-o", back]) == 0
    assert same(model, fastrnn.load(back)) and "11 symbols" in capsys.readouterr().out
    assert cli.main(["export", str(path), str(tmp_path / "m.pt")]) == 2
    assert "name it" in capsys.readouterr().err
    # one without a vocabulary
    plain = tmp_path / "plain.safetensors"
    tensors, _ = store.read_any(there)
    write_foreign(plain, tensors)
    names = tmp_path / "symbols.json"
    names.write_text(json.dumps(VOCABULARY.symbols))
    for vocabulary in (names, path):
        assert cli.main(["import", str(plain), "-o", back, "--vocabulary", str(vocabulary)]) == 0
        assert (fastrnn.load(back).block == model.block).all()
        assert fastrnn.load(back).vocabulary == VOCABULARY
    names.write_text('["a", "b"]')
    capsys.readouterr()
    assert cli.main(["import", str(plain), "-o", back, "--vocabulary", str(names)]) == 2
    assert "the vocabulary has 2 symbols" in capsys.readouterr().err
    names.write_text("[[")
    assert cli.main(["import", str(plain), "-o", back, "--vocabulary", str(names)]) == 2
    assert "is not JSON" in capsys.readouterr().err
    assert cli.main(["sample", there, "-n", "5"]) == 2
    assert "fastrnn import" in capsys.readouterr().err


def write_foreign(path, tensors, **changes):
    """A safetensors file without our JSON."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        header[name] = {"dtype": f"F{8 * array.itemsize}", "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    for name, change in changes.items():
        header[name.replace("__", ".")] |= change
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_files_that_lie(tmp_path):
    path = tmp_path / "net.safetensors"
    model = made("lstm", dtype="float32")
    fastrnn.export(model, tmp_path / "net.pt.safetensors")
    tensors, about = store.read_any(tmp_path / "net.pt.safetensors")
    for change, message in [
            ({"dtype": "BF16"}, "is of 'BF16', and fastrnn reads F32.*convert the module"),
            ({"shape": [2**40, 2**40]}, "not where and as large"),
            ({"shape": [77]}, "not where and as large|is no Embedding and no Linear"),
            ({"data_offsets": [0, 2**50]}, "not a safetensors file"),
            ({"dtype": 7}, "no valid dtype")]:
        write_foreign(path, tensors, head__weight=change)
        with pytest.raises(ValueError, match=message):
            fastrnn.import_model(path)
    changed = [
        ({"head.weight": tensors["head.weight"].T.copy()}, {}),
        ({"rnn.weight_hh_l0": np.float32(1).reshape(())}, {}),
        ({"rnn.bias_hh_l0": np.zeros((28, 2), np.float32)}, {}),
        ({"more": np.zeros(3, np.float32)}, {}),
        ({}, {"state": [1.0, 2.0]}), ({}, {"state": "x"}), ({}, {"starts": [-1.0] * 11}),
        ({}, {"vocabulary": {"unit": "char", "symbols": ["a"]}}), ({}, {"vocabulary": None}),
        ({}, {"model": {}}), ({}, {"model": about["torch"]["model"] | {"hidden_size": 10**9}}),
        ({}, {"model": about["torch"]["model"] | {"num_layers": 10**12}}),
        ({}, {"scaled": {"input": 3}}), ({}, {"model": 3})]
    for more, other in changed:
        store.write(path, tensors | more, {"torch": about["torch"] | other}, overwrite=True)
        with pytest.raises(ValueError, match="net.safetensors"):
            fastrnn.import_model(path)
    store.write(path, {n: t for n, t in tensors.items() if n != "head.bias"}, about,
                overwrite=True)
    with pytest.raises(ValueError, match="net.safetensors"):
        fastrnn.import_model(path)
    model.save(path)
    with pytest.raises(ValueError, match="it is a checkpoint of fastrnn: use fastrnn.load"):
        fastrnn.import_model(path)
    with pytest.raises(ValueError, match="under PyTorch's names: use fastrnn.import_model"):
        fastrnn.load(tmp_path / "net.pt.safetensors")


def test_what_is_pickled_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    for name in ("net.pt", "net.pth", "net.safetensors"):
        torch.save(other_module(torch).state_dict(), tmp_path / name)
        with pytest.raises(ValueError, match=r"is pickled, .*save_file\(module.state_dict\(\)"):
            fastrnn.import_model(tmp_path / name)
    with pytest.raises(OSError, match="no file"):
        fastrnn.import_model(tmp_path / "none.pt")


def test_nothing_is_imported_by_a_pickle_that_runs_code(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R.")
    with pytest.raises(ValueError, match="is pickled"):
        fastrnn.import_model(tmp_path / "net.pt")


def test_a_checkpoint_is_not_written_over(tmp_path):
    model, path = made("lstm"), tmp_path / "m.safetensors"
    model.save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=re.escape("m.pt.safetensors: .safetensors alone is")):
        fastrnn.export(model, path)
    assert path.read_bytes() == before


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[torch\]"'):
        made("lstm").to_torch()


def test_changed_files(tmp_path):
    """One error of ours, or a model, for whatever is in a file."""
    path = tmp_path / "net.pt.safetensors"
    rng, refused = np.random.default_rng(0), 0
    for cell in ("lstm", "esn"):
        fastrnn.export(made(cell, dtype="float32"), path)
        data = path.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        plain = tmp_path / "plain.safetensors"
        write_foreign(plain, store.read_any(path)[0])
        for good in (data, plain.read_bytes()):
            for _ in range(400):
                changed = bytearray(good)
                for at in rng.integers(0, min(start, len(good)), rng.integers(1, 4)):
                    changed[at] = rng.choice([*b'0123456789[]{}",:ab'])
                if rng.random() < 0.1:
                    del changed[int(rng.integers(len(changed))):]
                plain.write_bytes(changed)
                try:
                    fastrnn.import_model(plain)
                except (ValueError, TypeError, OSError) as error:
                    assert len(str(error)) < 1000
                    refused += 1
    assert refused > 1000


# ---- the page ----

def test_the_python_of_the_page(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors.torch")
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "pytorch.md").read_text(encoding="utf-8")
    space = {}
    for code in re.findall(r"^(?:<!--|```) ?python\n(.*?)^(?:-->|```)$", page, re.M | re.S):
        exec(code.replace("hidden_size=32)", "hidden_size=32, updates=5, progress=False)"), space)
    assert same(space["back"], fastrnn.from_torch(space["module"])) and space["upper"].D == 32
    assert space["model"].vocabulary.symbols == tuple("abcdefghi")
    assert fastrnn.import_model("theirs.safetensors").sizes.input_symbols == 9


def test_the_table_of_the_docs_is_that_of_the_code():
    page = (DOCS / "pytorch.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([a-z ]+) \|", page, re.MULTILINE))
    order = re.findall(r"^\| `(\w+)` \| ([a-z ]+) \| ([a-z ]+) \|", page, re.MULTILINE)
    assert rows and {cell: (ours.replace(" ", ""), theirs.replace(" ", ""))
                     for cell, ours, theirs in order} == pytorch.GATES
    for ours, theirs in pytorch.TENSORS.items():
        assert re.search(rf"^\| `{ours}` .*`{theirs}_l0`", page, re.MULTILINE), ours
