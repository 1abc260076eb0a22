"""Pickled models and optimizers, states of layers and optimizers, and their files."""
import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from safetensors.numpy import load_file

import fastrnn
from fastrnn import nn, optim

TEXT = "a stitch in time saves nine. " * 30


def trained(seed, **settings):
    return fastrnn.train(fastrnn.Corpus.from_text(TEXT), updates=12, hidden_size=6, seed=seed,
                         progress=False, **settings)


# ---- models ----

CHANNELS = pytest.mark.parametrize(
    "copied", [lambda x: pickle.loads(pickle.dumps(x)), lambda x: pickle.loads(pickle.dumps(x, 2)),
               copy.copy, copy.deepcopy], ids=["pickle", "protocol 2", "copy", "deepcopy"])


@CHANNELS
@pytest.mark.parametrize("settings", [
    {"cell": "lstm", "num_layers": 2, "dtype": "float64"}, {"cell": "esn", "density": 0.5},
    {"cell": "gru", "embedding_size": 3, "valid_fraction": 0.2}], ids=str)
def test_a_model_comes_back_whole(copied, settings):
    model = trained(3, **settings)
    other = copied(model)
    assert type(other) is fastrnn.Model and other.config == model.config
    assert other.vocabulary == model.vocabulary
    assert other.block.tobytes() == model.block.tobytes()
    assert other.state.tobytes() == model.state.tobytes()
    assert other.starts.tolist() == model.starts.tolist()
    for name in ("loss", "smooth_loss", "valid_loss", "learning_rate"):
        assert np.array_equal(getattr(other.history, name), getattr(model.history, name))
    assert other.sample(30, seed=1) == model.sample(30, seed=1)
    assert other.score(TEXT) == model.score(TEXT)
    other.params["head.b"][:] += 1
    assert other.block.tobytes() != model.block.tobytes()  # still views, and its own
    trainer = fastrnn.Trainer(other, fastrnn.Corpus.from_text(TEXT), progress=False)
    trainer.run(updates=2)


def test_models_of_records_and_sequences_come_back():
    rng = np.random.default_rng(0)
    for source in (fastrnn.Corpus.from_records(["anna", "bo", "eva"], ["x", "y", "x"]),
                   fastrnn.Sequences(rng.normal(size=(6, 5, 2)), rng.normal(size=(6, 5, 1)))):
        model = fastrnn.train(source, hidden_size=4, updates=3, batch_size=2, progress=False)
        other = pickle.loads(pickle.dumps(model))
        assert other.score(source) == model.score(source)
        assert other.known.tolist() == model.known.tolist() and other.sizes == model.sizes


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_models_trained_in_processes_come_back(how):
    if how not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {how} here")
    with ProcessPoolExecutor(2, multiprocessing.get_context(how)) as pool:
        models = list(pool.map(trained, (1, 2)))
    for seed, model in zip((1, 2), models, strict=True):
        expected = trained(seed)
        assert np.array_equal(model.history.loss, expected.history.loss)
        assert np.array_equal(model.block, expected.block)


def test_a_pickled_model_is_what_save_writes(tmp_path):
    model = trained(1)
    model.save(tmp_path / "m")
    (kind, data) = model.__reduce__()[1]
    assert kind is fastrnn.Model and data == (tmp_path / "m").read_bytes()


def test_damaged_bytes_are_refused():
    rebuild, (kind, data) = trained(1).__reduce__()
    for wrong in (b"", b"x" * 100, b"only a text, no model", data[:-1], data + b"\0",
                  data.replace(b'"hidden_size\\": 6', b'"hidden_size\\": 7')):
        with pytest.raises(ValueError, match="a pickled model"):
            rebuild(kind, wrong)


def test_a_trainer_says_what_is_pickled():
    trainer = fastrnn.Trainer(trained(1), fastrnn.Corpus.from_text(TEXT), progress=False)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="take trainer.model, or trainer.save"):
            copied(trainer)


# ---- optimizers ----

OPTIMIZERS = [
    lambda p: optim.SGD(p, 0.1), lambda p: optim.SGD(p, 0.1, momentum=0.8, weight_decay=0.1),
    lambda p: optim.AdaGrad(p, 0.1, epsilon_inside=False),
    lambda p: optim.RMSProp(p, 0.01, decay_rate=0.7), lambda p: optim.Adam(p, 0.01, beta1=0.8)]
ALL_OPTIMIZERS = pytest.mark.parametrize("make", OPTIMIZERS)


def network_of(seed=0, dtype="float64"):
    return nn.Sequential(nn.Embedding(4, 3, seed=seed, dtype=dtype),
                         nn.GRU(3, 5, seed=seed, dtype=dtype),
                         nn.Linear(5, 4, seed=seed, dtype=dtype))


def steps(network, optimizer, n, seed=0):
    """n updates, each with other data."""
    rng, loss = np.random.default_rng(seed), nn.SoftmaxCrossEntropy()
    for _ in range(n):
        ids = rng.integers(0, 4, (3, 7))
        loss.forward(network.forward(ids[:, :-1]), ids[:, 1:])
        network.backward(loss.backward())
        optimizer.step(network.grads)


def everything(network):
    return {name: p.tobytes() for name, p in network.params.items()}


@ALL_OPTIMIZERS
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_network_and_its_optimizer_go_on_together(make, copied):
    network = network_of()
    optimizer = make(network.params)
    steps(network, optimizer, 3)
    other, twin = copied((network, optimizer))
    steps(network, optimizer, 3, seed=1)
    assert everything(other) != everything(network)
    steps(other, twin, 3, seed=1)  # it moves the parameters of the copy
    assert everything(other) == everything(network) and twin.updates == 6


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_model_and_its_optimizer_go_on_together(copied):
    model = trained(1)
    optimizer = optim.Adam(model.params, 0.01)
    ids = np.array([[0, 1, 2, 3, 1]])
    optimizer.step(model.loss_and_gradients(ids[:, :-1], ids[:, 1:])[1])
    other, twin = copied((model, optimizer))
    for net, opt in ((model, optimizer), (other, twin)):
        opt.step(net.loss_and_gradients(ids[:, :-1], ids[:, 1:])[1])
    assert other.block.tobytes() == model.block.tobytes()
    assert not np.shares_memory(other.block, model.block)
    alone = copied(optimizer)  # without its model it has parameters of its own
    assert np.array_equal(alone.params["head.W"], model.params["head.W"])
    assert type(copy.copy(model.params)) is dict


@ALL_OPTIMIZERS
def test_states_go_on_bit_for_bit(tmp_path, make):
    network = network_of()
    optimizer = make(network.params)
    steps(network, optimizer, 3)
    optimizer.learning_rate = 0.02
    path = tmp_path / "run.safetensors"
    nn.save_state(path, {"network": network.state_dict(), "optimizer": optimizer.state_dict()})
    steps(network, optimizer, 3, seed=1)
    other = network_of(seed=5)
    twin = make(other.params)
    arrays = dict(other.params)
    state = nn.load_state(path)
    other.load_state_dict(state["network"])
    twin.load_state_dict(state["optimizer"])
    assert twin.updates == 3 and twin.learning_rate == 0.02
    steps(other, twin, 3, seed=1)
    assert everything(other) == everything(network)
    assert all(p is arrays[name] for name, p in other.params.items())  # in place


def test_the_names_are_pytorch_s():
    network = network_of()
    assert list(network.state_dict()) == ["0.W", "1.Wx", "1.Wh", "1.b", "1.bhn", "2.W", "2.b"]
    assert list(network.layers[2].state_dict()) == ["W", "b"]
    assert nn.Dropout(0.5).state_dict() == {}
    state = network.state_dict()
    state["2.b"][:] = 7  # a copy
    assert (network.params["2.b"] == 0).all()
    adam = optim.Adam(network.params).state_dict()
    assert list(adam["memories"])[:3] == ["0.W.0", "0.W.1", "1.Wx.0"]
    assert adam["settings"] == {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0}


@pytest.mark.parametrize(("change", "message"), [
    (lambda s: s.pop("1.Wh"), "state lacks '1.Wh': give"),
    (lambda s: s.update({"9.W": np.ones(3)}), "state has the unknown '9.W'"),
    (lambda s: s.update({"3.W": s.pop("2.W")}), "state lacks '2.W' and has the unknown '3.W'"),
    (lambda s: s.update({"2.b": np.ones(5)}), r"state\['2.b'\] is float64 \(5,\) and must be"),
    (lambda s: s.update({"2.b": np.ones(4, np.float32)}), r"is float32 \(4,\) and must be float64"),
    (lambda s: s.update({"2.b": np.ma.array(np.ones(4), mask=True)}), "masked"),
    (lambda s: s.clear(), "state lacks"),
])
def test_a_state_is_loaded_wholly_or_not_at_all(change, message):
    network, state = network_of(), network_of(seed=3).state_dict()
    before = everything(network)
    change(state)
    with pytest.raises(ValueError, match=message):
        network.load_state_dict(state)
    with pytest.raises(TypeError, match="state must be a dict of arrays, not list"):
        network.load_state_dict([])
    assert everything(network) == before
    frozen = network_of()
    frozen.layers[2].params["b"].setflags(write=False)
    before = everything(frozen)
    with pytest.raises(ValueError, match="read-only"):
        frozen.load_state_dict(network_of(seed=3).state_dict())
    assert everything(frozen) == before


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda s: s.update(optimizer="sgd"), ValueError, "the state of 'sgd', and this optimizer is"),
    (lambda s: s.pop("updates"), ValueError, "an optimizer's state has learning_rate, memories"),
    (lambda s: s.update(updates=-1), ValueError, "updates must be"),
    (lambda s: s.update(updates=1.5), TypeError, "updates must be"),
    (lambda s: s.update(learning_rate=0), ValueError, "learning_rate must be"),
    (lambda s: s["settings"].update(beta1=2), ValueError, "beta1 must be"),
    (lambda s: s["settings"].pop("beta1"), ValueError, "settings must be beta1"),
    (lambda s: s["memories"].pop("0.W.1"), ValueError, "memories lacks '0.W.1'"),
    (lambda s: s["memories"].update({"0.W.1": np.ones(3)}), ValueError, "memories"),
])
def test_a_state_of_an_optimizer_is_loaded_wholly_or_not_at_all(change, error, message):
    network = network_of()
    optimizer = optim.Adam(network.params)
    steps(network, optimizer, 2)
    state, before = optimizer.state_dict(), pickle.dumps(optimizer.state_dict())
    for memory in state["memories"].values():
        memory += 1
    change(state)
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(state)
    assert pickle.dumps(optimizer.state_dict()) == before



@ALL_OPTIMIZERS
@pytest.mark.parametrize("wrong", ["missing", "shape", "nan", "infinity", "text", "masked",
                                   "rate", "frozen", "replaced"])
def test_a_step_changes_all_or_nothing(make, wrong):
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=(3, 2)) for name in "abc"}
    optimizer = make(params)
    optimizer.step({name: np.ones((3, 2)) for name in "abc"})
    grads = {name: np.ones((3, 2)) for name in "abc"}
    bad = {"shape": np.ones((2, 3)), "nan": np.full((3, 2), np.nan), "text": "x",
           "infinity": np.full((3, 2), -np.inf), "masked": np.ma.array(grads["c"], mask=True)}
    if wrong in bad:
        grads["c"] = bad[wrong]
    elif wrong == "missing":
        del grads["c"]
    elif wrong == "rate":
        optimizer.learning_rate = np.nan
    elif wrong == "frozen":
        params["c"].setflags(write=False)
    else:
        params["c"], grads["c"] = np.ones((2, 2)), np.ones((2, 2))
        if not optimizer.state_dict.__self__._rule.memories:
            pytest.skip("without memories a parameter may be replaced by another")
    before = {name: p.copy() for name, p in params.items()}
    with pytest.raises((ValueError, TypeError)):
        optimizer.step(grads)
    assert all(np.array_equal(p, before[name]) for name, p in params.items())
    assert optimizer.updates == 1
    if wrong not in ("replaced", "frozen"):  # and the memories have not changed either
        optimizer.learning_rate = make({"a": np.ones(1)}).learning_rate
        again = {name: p.copy() for name, p in params.items()}
        twin = make(again)
        twin.load_state_dict(optimizer.state_dict())
        for one in (optimizer, twin):
            one.step({name: np.full((3, 2), 0.3) for name in "abc"})
        assert all(np.array_equal(p, again[name]) for name, p in params.items())


# ---- files of states ----

def test_other_programs_read_the_arrays(tmp_path):
    path, network = tmp_path / "net.safetensors", network_of(dtype="float32")
    nn.save_state(path, {"network": network.state_dict(), "ids": np.arange(3)})
    arrays = load_file(path)
    assert sorted(arrays) == ["ids", *sorted(f"network.{name}" for name in network.params)]
    assert np.array_equal(arrays["network.1.Wx"], network.params["1.Wx"])


def test_values_come_back(tmp_path):
    state = {"a": {"b": {"c": np.arange(6).reshape(2, 3), "empty": {}}, "x.y": np.float32(1.5)},
             "n": 2**100, "f": 1e-300, "t": "ü\n\ud800", "yes": True, "none": None,
             "strided": np.arange(12.0).reshape(3, 4).T[::2], "zero": np.zeros((0, 3)),
             "point": np.array(2.5), "big": np.arange(3, dtype=">f8")}
    nn.save_state(tmp_path / "s.safetensors", state)
    found = nn.load_state(tmp_path / "s")
    assert found.keys() == state.keys() and found["a"]["b"]["empty"] == {}
    for name in ("n", "f", "t", "yes", "none"):
        assert found[name] == state[name] and type(found[name]) is type(state[name])
    assert found["a"]["x.y"] == 1.5
    assert np.array_equal(found["a"]["b"]["c"], state["a"]["b"]["c"])
    for name in ("strided", "zero", "point", "big"):
        assert np.array_equal(found[name], state[name]) and found[name].shape == state[name].shape


@pytest.mark.parametrize(("state", "error", "message"), [
    ([1], TypeError, "state must be a dict"), (np.ones(2), TypeError, "state must be a dict"),
    ({"a": {3: 1}}, TypeError, r"state\['a'\] has the key 3"),
    ({"a": [1, 2]}, TypeError, r"state\['a'\] must be a dict .*, not \[1, 2\]"),
    ({"a": float("nan")}, TypeError, r"state\['a'\] must be .* finite number"),
    ({"a": 10**60}, TypeError, r"state\['a'\] must be"),
    ({"a": np.ones(2, np.float16)}, TypeError, "array 'a' is of float16: convert it"),
    ({"a": np.array(["x"])}, TypeError, "array 'a' is of <U1"),
    ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, ValueError, "two arrays of the name 'a.b'"),
    ({"__metadata__": np.ones(1)}, ValueError, "rename one"),
    ({str(i): i for i in range(20_000)}, ValueError, "more than"),
    ({str(i): np.ones(1) for i in range(2_000)}, ValueError, "more than 1,000 arrays"),
])
def test_what_is_no_state_is_not_written(tmp_path, state, error, message):
    path = tmp_path / "s"
    with pytest.raises(error, match=message):
        nn.save_state(path, state)
    assert not path.exists()


def test_the_largest_states_are_read(tmp_path):
    path = tmp_path / "s"
    for state in ({str(i): np.ones(0) for i in range(1000)}, {str(i): i for i in range(5000)}):
        nn.save_state(path, state)
        assert nn.load_state(path).keys() == state.keys()
    deep = np.ones(1)
    for _ in range(10):
        deep = {"x": deep}
    nn.save_state(path, deep)
    assert nn.load_state(path)["x"]
    with pytest.raises(TypeError, match="in at most 10 others"):
        nn.save_state(path, {"x": deep})


def test_each_kind_of_file_names_its_reader(tmp_path):
    path = tmp_path / "file"
    nn.save_state(path, nn.Linear(2, 3).state_dict())
    with pytest.raises(ValueError, match="a state of layers or optimizers, not a model: use fastr"):
        fastrnn.load(path)
    with pytest.raises(ValueError, match="file"):
        fastrnn.EchoStateNetwork.load(path)
    trained(1).save(path)
    with pytest.raises(ValueError, match="holds no state of layers .* fastrnn.load"):
        nn.load_state(path)
    path.write_text("some text that is no file of ours")
    with pytest.raises(ValueError, match="file"):
        nn.load_state(path)
    with pytest.raises(FileExistsError, match="did not write it"):
        nn.save_state(path, {})
    assert path.read_text().startswith("some text")
    nn.save_state(path, {}, overwrite=True)
    assert nn.load_state(path) == {}
