"""What the compiled code trusts cannot be changed after it was checked, and numbers and sizes that
make no sense are refused by name, before memory is taken."""
import copy
import json
import pickle
import re
import tracemalloc

import numpy as np
import pytest
from runs import SIZES, corpus_of, train

import fastrnn
from fastrnn.kernels import memory

RNG = np.random.default_rng(0)


def sources():
    numbers = RNG.normal(size=(6, 5, 2))
    return {
        "text": corpus_of(),
        "held out": corpus_of().hold_out(0.2, 0)[0],
        "records": fastrnn.Corpus.from_records(
            ["abc", "de", "f"] * 4, ["x", "y", "x"] * 4).weighted({"y": 3.0}),
        "numbers": fastrnn.Sequences(numbers, numbers, lengths=[5, 4, 3, 5, 5, 2],
                                     weights=RNG.uniform(0, 1, (6, 5))),
        "symbols": fastrnn.Sequences(RNG.integers(0, 4, (6, 5)), RNG.integers(0, 4, (6, 5)),
                                     symbols=4, class_weights=[1, 2, 3, 4]),
    }


@pytest.mark.parametrize("copied", [
    lambda x: x, copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)),
    lambda x: pickle.loads(pickle.dumps(x, 2))],
    ids=["itself", "copy", "deepcopy", "pickle", "protocol 2"])
@pytest.mark.parametrize(("kind", "name"), [
    *((kind, "ids") for kind in ("text", "held out", "records")),
    *(("records", f"records.{name}") for name in ("starts", "steps", "labels", "weights")),
    *((kind, name) for kind in ("numbers", "symbols")
      for name in ("inputs", "targets", "mask", "lengths", "ends", "weights"))])
def test_the_arrays_of_a_source_are_read_only(kind, name, copied):
    source = sources()[kind]
    owner = copied(source)
    assert owner.fingerprint() == source.fingerprint()
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    array = getattr(owner, last)
    before = array.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        array[:] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.setflags(write=True)
    assert getattr(owner, last).tobytes() == before


@pytest.mark.parametrize("view", [False, True], ids=["array", "read-only view of an array"])
def test_ids_of_the_caller_s_own_are_copied(view):
    ids = RNG.integers(0, 10, 500).astype(np.uint8)
    expected, given = ids.tobytes(), ids.view()
    given.setflags(write=not view)
    corpus = fastrnn.Corpus(given, corpus_of().vocabulary)
    trainer = fastrnn.Trainer(fastrnn.Model(corpus.vocabulary, hidden_size=9), corpus,
                              seq_length=6, progress=False)
    ids[:] = 255
    assert corpus.ids.tobytes() == expected
    trainer.run(updates=20)
    assert np.isfinite(trainer.history.loss).all()


def test_numbers_of_the_caller_s_own_are_copied():
    numbers = RNG.normal(size=(6, 5, 2))
    sequences, before = fastrnn.Sequences(numbers, numbers), numbers.copy()
    numbers[:] = np.nan
    np.testing.assert_array_equal(sequences.inputs, before)


def test_a_corpus_of_a_text_holds_one_copy_of_its_ids():
    corpus = corpus_of()
    first, second = corpus.hold_out(0.2, 0)
    assert np.shares_memory(first.ids, corpus.ids) and np.shares_memory(second.ids, corpus.ids)


@pytest.mark.parametrize("change", [
    lambda config: config.__setitem__("hidden_size", 5000), lambda config: config.pop("cell"),
    lambda config: config.update(cell="lstm"), lambda config: config.clear(),
    lambda config: config.__delitem__("cell"), lambda config: config.setdefault("x", 1),
    lambda config: config.popitem(), lambda config: config.__ior__({"cell": "lstm"})])
def test_the_settings_of_a_model_do_not_change(change):
    model = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3)
    before = dict(model.config)
    with pytest.raises(TypeError, match="make a new Model"):
        change(model.config)
    assert model.config == before


def test_the_labels_of_a_model_do_not_change():
    records = sources()["records"]
    model = fastrnn.Model(records.vocabulary, hidden_size=3, labels=["x", "y"])
    for labels in (model.config["labels"], model.config.get("labels")):
        assert labels == ["x", "y"]
        labels.append("z")
    assert model.config["labels"] == ["x", "y"]
    assert model.network(3, 1)  # with the parameters of two labels
    assert json.loads(json.dumps(model.config))["labels"] == ["x", "y"]


def test_copies_of_settings_are_dicts_of_their_own():
    model = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3)
    for other in (dict(model.config), copy.deepcopy(model.config), model.config | {},
                  pickle.loads(pickle.dumps(model.config))):
        other["hidden_size"] = 4
        assert model.config["hidden_size"] == 3


def test_another_block_is_refused():
    corpus = corpus_of()
    model = train(corpus, **SIZES, updates=3)
    model.block = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="params must be"):
        model.sample(5)


# ---- numbers and sizes ----

@pytest.mark.parametrize("init", ["normal", "uniform", "xavier", "orthogonal", "identity"])
def test_a_scale_of_minus_zero_is_zero(init):
    models = [fastrnn.Model(fastrnn.Vocabulary("abc"), init=init, init_scale=scale, hidden_size=3)
              for scale in (-0.0, 0.0)]
    assert models[0].block.tolist() == models[1].block.tolist()
    assert str(models[0].config["init_scale"]) == "0.0"


@pytest.mark.parametrize(("name", "value", "most"), [
    ("dropout", 0.9999999, "0.999"), ("forget_bias", 1e300, "1000"), ("init_scale", 1e300, "1000"),
    ("learning_rate", 1e300, "1e\\+06"), ("minutes", 1e300, "1e\\+06")])
def test_numbers_that_make_no_sense(name, value, most):
    cell = {"cell": "lstm"} if name == "forget_bias" else {}
    said = rf"{name} must be at most {most}.*not {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=said):
        fastrnn.train(corpus_of(), **cell, **{name: value})


@pytest.mark.parametrize("name", ["spectral_radius", "input_scale", "bias_scale"])
def test_numbers_of_a_reservoir_that_make_no_sense(name):
    with pytest.raises(ValueError, match=f"{name} must be at most 1e\\+06"):
        fastrnn.EchoStateNetwork(9, **{name: 1e300}).fit(np.ones((200, 1)), np.ones((200, 1)))


def model_of(hidden_size, **settings):
    return fastrnn.Model(corpus_of().vocabulary, hidden_size=hidden_size, **settings)


@pytest.mark.parametrize(("call", "said"), [
    (lambda: model_of(6000), "a model of 36,.* parameters needs .*smaller hidden_size"),
    (lambda: fastrnn.Trainer(model_of(1500), corpus_of(), optimizer="adam"),
     "training 2,.* parameters with a batch of 1 and 25 steps .*smaller hidden_size, batch_size"),
    (lambda: model_of(1000).network(300, 400),
     "a batch of 400 sequences of 300 steps .*smaller batch_size, seq_length or hidden_size"),
    (lambda: fastrnn.EchoStateNetwork(10**6, density=1.0).fit(*[np.ones((200, 1))] * 2),
     "a reservoir of 1,000,000 units at density 1 .*fewer units or a smaller density"),
    (lambda: model_of(10**5, cell="esn", density=1.0), "a reservoir of 100,000 units"),
    (lambda: fastrnn.train(corpus_of(), hidden_size=6000), "a model of .* parameters"),
])
def test_sizes_beyond_the_memory_are_refused_before_it_is_taken(monkeypatch, call, said):
    monkeypatch.setattr(memory, "physical_memory", lambda: 10**8)
    tracemalloc.start()
    with pytest.raises(ValueError, match=said):
        call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**8  # far less than what was asked for


def test_the_memory_of_this_machine():
    assert 2**28 < memory.physical_memory() < 2**50
    with pytest.raises(ValueError, match=r"x needs 1,048,576\.0 GiB of memory, and this machine "
                                         r"has [\d,]+\.\d GiB: give less"):
        memory.check_memory(2.0**50, "x", "less")
