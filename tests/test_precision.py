"""dtype="mixed_bfloat16" as users meet it: the calls, files, the command line, what is refused.
tests/kernels/test_mixed.py has its numbers."""
import json
import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from runs import SIZES, classic_command, corpus_of, train

import fastrnn
from fastrnn import cli, kernels, nn, optim
from fastrnn.files import store
from fastrnn.kernels import MIXED

FLOAT32 = np.dtype("float32")
KNOWN = "dtype must be one of 'float32', 'float64', 'mixed_bfloat16', not 'bf16'"


@pytest.fixture
def corpus():
    return corpus_of()


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Call the command in an empty directory -> code, out, err."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        try:
            code = cli.main(classic_command(arguments))
        except SystemExit as end:  # how argparse leaves
            code = end.code
        return code, *capsys.readouterr()

    return call


# ---- models and training ----

def test_a_model_holds_float32(corpus):
    """It begins with the weights of the float32 model of its seed."""
    model = fastrnn.Model(corpus.vocabulary, hidden_size=40, cell="lstm", dtype=MIXED)
    twin = fastrnn.Model(corpus.vocabulary, hidden_size=40, cell="lstm")
    assert model.config["dtype"] == MIXED and MIXED in repr(model)
    assert {p.dtype for p in (*model.params.values(), model.state, model.block)} == {FLOAT32}
    assert model.block.tobytes() == twin.block.tobytes()
    x = corpus.ids[:30].reshape(3, 10)
    loss, grads, state = model.loss_and_gradients(x, x)
    other, of_twin, _ = twin.loss_and_gradients(x, x)
    assert {g.dtype for g in (*grads.values(), state)} == {FLOAT32}
    assert 0 < abs(loss - other) < 1e-3 * other
    assert grads["layer0.Wh"].tobytes() != of_twin["layer0.Wh"].tobytes()
    assert model.in_float64().config["dtype"] == "float64"
    assert model.copy().config["dtype"] == MIXED


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_training_keeps_up_with_float32(corpus, optimizer):
    """On the way the losses differ by what rounding changes, and not by more."""
    settings = {"cell": "gru", "hidden_size": 48, "batch_size": 4, "seq_length": 10,
                "optimizer": optimizer, "epochs": 3, "seed": 3}
    mixed, plain = (train(corpus, dtype=dtype, **settings) for dtype in (MIXED, "float32"))
    far = np.abs(mixed.history.loss - plain.history.loss) / plain.history.loss
    assert 0 < far.max() < 0.02
    assert mixed.score(corpus) == pytest.approx(plain.score(corpus), rel=0.01)


def test_everything_that_a_trained_model_does(corpus, tmp_path):
    model = train(corpus, dtype=MIXED, cell="lstm", hidden_size=33, updates=40,
                  valid_fraction=0.2)
    assert len(model.sample(50, seed=1)) == 50
    assert len(model.sample(20, n=3, prime="ab", temperature=0.5, top_p=0.9)) == 3
    assert "".join(islice(model.stream(seed=1), 5)) == model.sample(5, seed=1)
    twin = fastrnn.Model(corpus.vocabulary, **model.config | {"dtype": "float32"})
    twin.block[:] = model.block
    assert model.score(corpus) == pytest.approx(twin.score(corpus), rel=1e-3)
    assert fastrnn.gradient_norms(model, corpus, seq_length=5).mean_absolute.shape[0] > 0
    again = fastrnn.Model(corpus.vocabulary, **model.config)
    optimizer = optim.Adam(again.params)
    optimizer.step(again.loss_and_gradients([[1, 2, 3]], [[2, 3, 4]])[1])
    nn.save_state(tmp_path / "o", {"optimizer": optimizer.state_dict()})
    arrays = store.read(tmp_path / "o")[0]
    assert len(arrays) == 2 * len(again.params) and {a.dtype for a in arrays.values()} == {FLOAT32}


def test_numbers_and_records():
    rng = np.random.default_rng(0)
    data = fastrnn.Sequences(rng.normal(size=(30, 7, 3)), rng.normal(size=(30, 7, 2)))
    model = train(data, dtype=MIXED, hidden_size=20, batch_size=10, updates=9)
    twin = fastrnn.Model(model.sizes, **model.config | {"dtype": "float32"})
    twin.block[:], twin.scaling = model.block, model.scaling
    found, expected = (m.predict(data.inputs) for m in (model, twin))
    apart = np.abs(found - expected).max()
    assert 0 < apart < 0.02 * np.abs(expected).max()
    names = fastrnn.Corpus.from_records(["anna", "bram", "jan"] * 9, ["N", "N", "P"] * 9)
    model = train(names, dtype=MIXED, hidden_size=20, batch_size=4, updates=9)
    assert {ranked.label for ranked in model.rank_labels("anna")} == {"N", "P"}


def test_names_of_the_dtype(corpus):
    """An unknown one is answered with those there are."""
    for make in (lambda d: fastrnn.Model(corpus.vocabulary, dtype=d),
                 lambda d: train(corpus, dtype=d), lambda d: nn.LSTM(2, 3, dtype=d),
                 lambda d: nn.Linear(2, 3, dtype=d), lambda d: nn.Dropout(0.1, dtype=d)):
        with pytest.raises(ValueError, match=KNOWN):
            make("bf16")
    with pytest.raises(ValueError, match="not 'bfloat16': did you mean 'mixed_bfloat16'"):
        fastrnn.Model(corpus.vocabulary, dtype="bfloat16")
    for given in ("float32", np.float32, np.dtype("f4")):
        assert fastrnn.Model(corpus.vocabulary, dtype=given).config["dtype"] == "float32"
    assert nn.GRU(2, 3, dtype=MIXED).precision == MIXED
    assert nn.GRU(2, 3, dtype=np.float64).precision == "float64"


# ---- files ----

def test_files_say_it_and_hold_float32(corpus, tmp_path):
    path = tmp_path / "m.safetensors"
    model = train(corpus, **SIZES, dtype=MIXED, updates=30, optimizer="adam", checkpoint=path)
    tensors, about = store.read(path)
    assert about["model"]["dtype"] == MIXED
    assert {a.dtype for name, a in tensors.items() if "layer0" in name} == {FLOAT32}
    read = fastrnn.load(path)
    assert read.config["dtype"] == MIXED and read.block.tobytes() == model.block.tobytes()
    assert read.sample(40, seed=2) == model.sample(40, seed=2)
    assert read.score(corpus) == model.score(corpus)


@pytest.mark.parametrize("settings", [
    {"cell": "lstm", "num_layers": 2, "dropout": 0.2, "batch_size": 9, "optimizer": "adam"},
    {"cell": "rnn", "valid_fraction": 0.2, "valid_every": 7}])
def test_a_run_in_two_parts_is_one_run(corpus, tmp_path, settings):
    path, settings = tmp_path / "m", settings | {"dtype": MIXED, "hidden_size": 35, "seq_length": 7}
    whole = train(corpus, **settings, updates=31, threads=2)
    train(corpus, **settings, updates=13, checkpoint=path)
    model = train(corpus, resume=path, dtype=MIXED, updates=31, threads=1)
    assert model.history.loss.tobytes() == whole.history.loss.tobytes()
    assert model.block.tobytes() == whole.block.tobytes()


@pytest.mark.parametrize(("first", "second"), [
    (MIXED, "float32"), ("float32", MIXED), (MIXED, "float64")])
def test_a_run_keeps_its_dtype(corpus, tmp_path, first, second):
    path = tmp_path / "m"
    train(corpus, **SIZES, dtype=first, updates=5, checkpoint=path)
    with pytest.raises(ValueError, match=f"was made with dtype='{first}'"):
        train(corpus, resume=path, dtype=second, updates=9)
    with pytest.raises(ValueError, match=f"has dtype='{first}', not '{second}'"):
        train(corpus, init_from=path, dtype=second, updates=9)
    assert train(corpus, init_from=path, updates=3).config["dtype"] == first


def test_a_run_goes_on_with_its_own_instruction_set(corpus, tmp_path, monkeypatch):
    isas = kernels.available_isas(MIXED)
    path, first, last = tmp_path / "m", isas[0], isas[-1]
    settings = SIZES | {"dtype": MIXED, "hidden_size": 40}
    monkeypatch.setenv("FASTRNN_ISA", last)
    train(corpus, **settings, updates=20, checkpoint=path)
    whole = train(corpus, **settings, updates=40)
    assert store.read(path)[1]["trainer"]["isa"] == last
    if first != last:
        monkeypatch.setenv("FASTRNN_ISA", first)
        with pytest.warns(UserWarning, match=f"set {last}, and it goes on with {first}"):
            train(corpus, resume=path, updates=40, checkpoint=tmp_path / "other")
    monkeypatch.delenv("FASTRNN_ISA")
    assert train(corpus, resume=path, updates=40).block.tobytes() == whole.block.tobytes()


@pytest.mark.parametrize(("change", "message"), [
    ({"dtype": "bf16"}, KNOWN), ({"dtype": 3}, "dtype must be one of"),
    ({"dtype": ["mixed_bfloat16"]}, "dtype must be one of"),
    ({"dtype": "float64"}, "should be float64"), ({"cell": "esn"}, "is for trained networks")])
def test_hostile_files(corpus, tmp_path, change, message):
    path = tmp_path / "m.safetensors"
    fastrnn.Model(corpus.vocabulary, hidden_size=4, dtype=MIXED).save(path)
    tensors, about = store.read(path)
    about["model"] |= change
    store.write(path, tensors, about)
    with pytest.raises(ValueError, match=rf"m\.safetensors.*{message}"):
        fastrnn.load(path)


def test_hostile_tensors(corpus, tmp_path):
    path = tmp_path / "m.safetensors"
    fastrnn.Model(corpus.vocabulary, hidden_size=4, dtype=MIXED).save(path)
    tensors, about = store.read(path)
    store.write(path, tensors | {"head.b": tensors["head.b"].astype(np.float64)}, about)
    with pytest.raises(ValueError, match="tensor head.b is float64 .* should be float32"):
        fastrnn.load(path)


# ---- the command line ----

def test_the_command_line(call, corpus, tmp_path):
    Path("book.txt").write_text(corpus.vocabulary.decode(corpus.ids))
    train_it = ["train", "book.txt", "--hidden-size", 9, "--updates", 20, "--no-progress"]
    assert call(*train_it, "--dtype", MIXED, "--checkpoint", "m.safetensors")[0] == 0
    Path("run.toml").write_text(f'file = "book.txt"\ndtype = "{MIXED}"\nhidden_size = 9\n'
                                'updates = 20\npreset = "classic"\nprogress = false\n')
    assert call("train", "--config", "run.toml", "--checkpoint", "n.safetensors")[0] == 0
    models = [fastrnn.load(f"{name}.safetensors") for name in "mn"]
    assert {model.config["dtype"] for model in models} == {MIXED}
    assert models[0].block.tobytes() == models[1].block.tobytes()
    code, out, _ = call("info", "m.safetensors")
    assert code == 0 and re.search(rf"^dtype +{MIXED}$", out, re.M)
    code, out, _ = call("info", "m.safetensors", "--toml")
    assert code == 0 and f'dtype = "{MIXED}"' in out
    for command in (["sample", "m.safetensors", "--length", 9], ["score", "m.safetensors",
                                                                 "book.txt"]):
        assert call(*command)[0] == 0
    code, _, err = call(*train_it, "--dtype", "bf16")
    assert code == 2 and KNOWN.replace("dtype must", "--dtype must") in err
    code, out, _ = call("train", "--help")
    assert code == 0 and "float32,float64,mixed_bfloat16" in out and "bfloat16" in out


# ---- what is refused ----

TRAINED = "mixed_bfloat16.* is for trained networks, .*give .*float64"


def test_reservoirs_refuse_it(corpus, call):
    with pytest.raises(ValueError, match=TRAINED):
        fastrnn.Model(corpus.vocabulary, cell="esn", dtype=MIXED)
    with pytest.raises(ValueError, match=TRAINED):
        fastrnn.EchoStateNetwork(20, dtype=MIXED).fit(np.zeros((9, 1)), np.zeros((9, 1)))
    with pytest.raises(ValueError, match="dtype must be one of 'float32', 'float64', not 'bf16'"):
        fastrnn.EchoStateNetwork(20, dtype="bf16").fit(np.zeros((9, 1)), np.zeros((9, 1)))
    Path("book.txt").write_text("abc" * 200)
    code, out, err = call("train", "book.txt", "--cell", "esn", "--dtype", MIXED)
    assert (code, out, err.count("error")) == (2, "", 1)
    assert "--dtype mixed_bfloat16 is for trained networks" in err
    assert "give --dtype float64 or --dtype float32" in err


def test_gradcheck_refuses_it(corpus, call):
    model = fastrnn.Model(corpus.vocabulary, hidden_size=4, dtype=MIXED)
    with pytest.raises(ValueError, match="too coarse for finite differences: use float64, by "
                                         r"model\.in_float64\(\) or dtype='float64'"):
        fastrnn.gradcheck(model, [[1, 2, 3]], [[2, 3, 4]])
    assert fastrnn.gradcheck(model.in_float64(), [[1, 2, 3]], [[2, 3, 4]]).passed
    model.save("m.safetensors")
    for arguments in (["--dtype", MIXED], ["m.safetensors"]):
        code, out, err = call("gradcheck", *arguments)
        assert (code, out, err.count("error")) == (2, "", 1)
        assert MIXED in err and "too coarse for finite differences: use --dtype float64" in err
    code, _, err = call("gradcheck", "--dtype", "float16")
    assert code == 2 and "--dtype must be one of 'float32', 'float64', not 'float16'" in err


# ---- which variant runs ----

def test_build_info_tells_which_variant_runs(mixed_isa):
    info = fastrnn.build_info()
    assert info[MIXED] == mixed_isa and mixed_isa in info["isas"]
    assert info["isa"] == (mixed_isa if mixed_isa in kernels.available_isas() else "avx512")
    model = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3, dtype=MIXED)
    assert model.network(2, 1).isa == mixed_isa
    plain = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3)
    assert plain.network(2, 1).isa == info["isa"]


def test_the_best_variant_is_not_slower_than_the_exact_one_by_name():
    """What runs by itself is one that is there, and amx where that is there."""
    if "FASTRNN_ISA" not in os.environ:
        isas = kernels.available_isas(MIXED)
        assert kernels.running_isa(MIXED) in isas
        assert "amx" not in isas or kernels.running_isa(MIXED) == "amx"


# A process whose stack for signals is too small for the registers of AMX is refused them by Linux.
WITHOUT_AMX = """
import ctypes, json, os
class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
memory = ctypes.create_string_buffer(8192)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.sigaltstack(ctypes.byref(Stack(ctypes.addressof(memory), 0, 8192)), None) == 0
import fastrnn
model = fastrnn.Model(fastrnn.Vocabulary("abc"), hidden_size=40, dtype="mixed_bfloat16")
try:
    model.loss_and_gradients([[0, 1, 2]], [[1, 2, 0]])
    os.environ["FASTRNN_ISA"] = "amx"
    fastrnn.build_info()
except ImportError as error:
    print(json.dumps([str(error), model.network(3, 1).isa]))
"""


@pytest.mark.skipif("amx" not in kernels.available_isas(MIXED), reason="amx does not run here")
def test_where_the_system_refuses_amx_another_variant_runs():
    """And FASTRNN_ISA=amx is one clear error, as any variant that does not run."""
    environment = {k: v for k, v in os.environ.items() if k != "FASTRNN_ISA"}
    done = subprocess.run([sys.executable, "-c", WITHOUT_AMX], capture_output=True, text=True,
                          env=environment, check=True)
    message, isa = json.loads(done.stdout)
    assert isa in kernels.available_isas(MIXED) and isa != "amx"
    assert message.startswith("FASTRNN_ISA=amx does not run here: unset it, or choose one of ")
    assert isa in message and not message.endswith("amx")


@pytest.mark.parametrize("isa", ["avx1024", *(["amx"] * ("amx" not in kernels.ISAS))])
def test_a_variant_that_does_not_run(monkeypatch, isa):
    monkeypatch.setenv("FASTRNN_ISA", isa)
    model = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3, dtype=MIXED)
    with pytest.raises(ImportError, match=f"FASTRNN_ISA={isa} does not run here: unset it"):
        model.loss_and_gradients([[0, 1]], [[1, 0]])
