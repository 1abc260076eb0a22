"""The cell "esn" of a model: a reservoir that stays as it is, and a head that is trained."""

import json

import numpy as np
import pytest
from networks import all_weights
from runs import classic
from safetensors.numpy import load_file, save_file
from scipy.special import log_softmax

import fastrnn
from fastrnn.checks import reference
from fastrnn.files.store import FORMAT_VERSION

TEXT = "the cat sat on the mat and the dog sat on the log. " * 12
ESN = {"cell": "esn", "hidden_size": 37, "leak_rate": 0.8, "density": 0.3}


@pytest.fixture
def corpus():
    return fastrnn.Corpus.from_text(TEXT)


def about_of(path):
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["fastrnn"])


@pytest.mark.parametrize("batch_size", [1, 3, 9])
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_training_is_that_of_numpy(corpus, optimizer, batch_size):
    model = fastrnn.Model(corpus.vocabulary, **ESN, dtype="float64")
    params, fixed = all_weights(model), {k: v.copy() for k, v in model.reservoir.tensors.items()}
    trainer = fastrnn.Trainer(model, corpus, seq_length=6, batch_size=batch_size,
                              optimizer=optimizer, updates=40, progress=False)
    trainer.run()
    rate = trainer.config["learning_rate"]
    run = reference.train(params, corpus.ids, 6, batch_size, "esn", optimizer, rate)
    losses = [next(run)[0] for _ in range(40)]
    np.testing.assert_allclose(model.history.loss, losses, rtol=1e-9)
    for name, p in model.params.items():
        np.testing.assert_allclose(p, params[name], atol=1e-9)
    for name, array in model.reservoir.tensors.items():
        assert np.array_equal(array, fixed[name])
    assert losses[-1] < losses[0]


def test_parameters_are_those_of_the_head(corpus):
    model = fastrnn.Model(corpus.vocabulary, **ESN)
    K = len(corpus.vocabulary)
    assert {name: p.shape for name, p in model.params.items()} == {
        "head.W": (37, K), "head.b": (K,)}
    assert fastrnn.parameter_count(model) == 38 * K
    assert fastrnn.hidden_size_for("esn", 38 * K, corpus.vocabulary) == 37
    assert model.reservoir.Win.shape == (37, K) and not model.reservoir.b.any()
    assert np.abs(np.linalg.eigvals(model.reservoir.W.toarray())).max() == pytest.approx(0.9, 1e-5)
    assert {name: model.config[name] for name in (
        "spectral_radius", "leak_rate", "input_scale", "density")} == {
            "spectral_radius": 0.9, "leak_rate": 0.8, "input_scale": 1.0, "density": 0.3}
    assert np.abs(model.params["head.W"]).max() < 0.06  # normal, 0.01


def test_gradcheck_covers_all_that_is_trained(corpus):
    model = fastrnn.Model(corpus.vocabulary, **ESN, dtype="float64", init_scale=0.5)
    rng, K = np.random.default_rng(1), len(corpus.vocabulary)
    report = fastrnn.gradcheck(model, rng.integers(0, K, (3, 5)), rng.integers(0, K, (3, 5)),
                               state=rng.uniform(-1, 1, (3, 37)))
    assert list(report.worst) == ["head.W", "head.b"]
    assert all(report.worst[name].checked == p.size for name, p in model.params.items())
    assert report.max_error < 1e-6


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_dropout(corpus, threads):
    """The same bits with any number."""
    settings = ESN | {"dropout": 0.3, "batch_size": 17, "seq_length": 7, "updates": 12,
                      "progress": False}
    alone = classic(corpus, **settings, threads=1)
    assert np.array_equal(classic(corpus, **settings, threads=threads).block, alone.block)


def test_symbol_by_symbol(corpus):
    """Samples and scores read the reservoir that training did."""
    model = classic(corpus, **ESN, dtype="float64", updates=300, progress=False)
    params, ids = all_weights(model), corpus.ids[:200].astype(int)
    scores = reference.forward(params, ids[None, :-1], model.state, "esn")[0][0]
    losses = -log_softmax(scores, axis=1)[np.arange(199), ids[1:]]
    assert model.score(model.vocabulary.decode(ids)) == pytest.approx(losses.mean(), rel=1e-12)

    uniforms = np.random.default_rng(5).random(30)
    expected = reference.sample(params, model.state[0], 3, uniforms, 0.8, "esn")
    network = model.network(1, 1)
    found = network.sample(model.block, model.state.copy(), np.array([3], np.int32), 0.8,
                           uniforms[:, None])
    assert list(found[:, 0]) == list(expected)
    assert set(model.sample(50, seed=0)) <= set(corpus.vocabulary.symbols)


@pytest.mark.parametrize("numbers", [False, True])
def test_sequences(numbers):
    """Of numbers, and of symbols."""
    if numbers:
        sequences = fastrnn.tasks.sine(60, 30)
    else:
        sequences = fastrnn.tasks.memorization(60, 3, blanks=1)
    model = fastrnn.Model(sequences.sizes, **ESN, dtype="float64", init_scale=0.3)
    x, y = sequences.inputs[:4], sequences.targets[:4]
    loss, grads, _ = model.loss_and_gradients(x, y)
    expected, wanted, _ = reference.loss_and_gradients(
        all_weights(model), x, y, model.zero_state(4), "esn")
    assert loss == pytest.approx(expected, rel=1e-12)
    for name, g in grads.items():
        np.testing.assert_allclose(g, wanted[name], atol=1e-12)
    trained = classic(sequences, **ESN, epochs=30, batch_size=10, optimizer="adam",
                            learning_rate=0.01, progress=False)
    assert trained.history.loss[-6:].mean() < 0.6 * trained.history.loss[:6].mean()


def test_records():
    corpus = fastrnn.Corpus.from_records(["anna", "bert", "carla", "dora"] * 20)
    model = classic(corpus, **ESN, epochs=40, batch_size=4, learning_rate=0.3, progress=False)
    assert set(model.sample(10, n=20, seed=0)) & {"anna", "bert", "carla", "dora"}


def test_files_keep_the_reservoir(corpus, tmp_path):
    """Also one that no seed would draw again; and a run goes on bit for bit."""
    path = tmp_path / "esn.safetensors"
    settings = ESN | {"seed": None, "batch_size": 2, "seq_length": 5, "progress": False}
    model = classic(corpus, **settings, updates=20, checkpoint=path)
    other = fastrnn.load(path)
    for name, array in model.reservoir.tensors.items():
        assert np.array_equal(array, other.reservoir.tensors[name])
    assert other.score(TEXT) == model.score(TEXT)
    assert model.copy().score(TEXT) == model.score(TEXT)
    more = classic(corpus, resume=path, updates=33, progress=False)
    assert not np.array_equal(more.block, model.block) and len(more.history) == 33
    for name, array in model.reservoir.tensors.items():
        assert np.array_equal(array, more.reservoir.tensors[name])


def test_a_run_that_goes_on_is_one_run(corpus, tmp_path):
    path = tmp_path / "esn.safetensors"
    settings = ESN | {"batch_size": 2, "seq_length": 5, "dropout": 0.2, "progress": False}
    classic(corpus, **settings, updates=20, checkpoint=path)
    parts = classic(corpus, resume=path, updates=50, progress=False)
    assert np.array_equal(parts.block, classic(corpus, **settings, updates=50).block)
    with pytest.raises(ValueError, match="leak_rate=0.8"):
        classic(corpus, resume=path, leak_rate=0.3)


def test_damaged_files(corpus, tmp_path):
    path = tmp_path / "esn.safetensors"
    classic(corpus, **ESN, updates=3, progress=False).save(path)
    tensors, about = load_file(path), about_of(path)

    def refuses(tensors, about=about):
        save_file(tensors, path, {"fastrnn": json.dumps(about)})
        with pytest.raises(ValueError, match="damaged"):
            fastrnn.load(path)

    for name in [name for name in tensors if name.startswith("reservoir.")]:
        refuses({key: array for key, array in tensors.items() if key != name})
        refuses(tensors | {name: tensors[name][:-1].copy()})
    for value in (0.0, 1.5, None, "x"):
        refuses(tensors, about | {"model": about["model"] | {"leak_rate": value}})
    refuses(tensors, about | {"model": about["model"] | {"hidden_size": 10**9}})


def test_a_file_of_the_version_before(corpus, tmp_path):
    """Version 4 had no reservoirs, and was otherwise as it is."""
    path = tmp_path / "lstm.safetensors"
    model = classic(corpus, cell="lstm", hidden_size=5, updates=3, progress=False)
    model.save(path)
    about = about_of(path)
    assert about["format_version"] == FORMAT_VERSION and "spectral_radius" not in about["model"]
    save_file(load_file(path), path, {"fastrnn": json.dumps(about | {"format_version": 4})})
    assert fastrnn.load(path).score(TEXT) == model.score(TEXT)


# ---- ridge regression on one-hot targets ----


@pytest.mark.parametrize("warmup", [0, 30])
def test_fit_head(corpus, warmup):
    model = fastrnn.Model(corpus.vocabulary, **ESN, dtype="float64")
    loss = model.fit_head(corpus, ridge=30.0, warmup=warmup)
    K, ids, weights = len(corpus.vocabulary), corpus.ids.astype(int), all_weights(model)
    h = reference.esn_forward(np.eye(K)[ids[None, :-1]], np.zeros((1, 37)),
                              *(weights[f"reservoir.{name}"] for name in ("W", "Win", "b")), 0.8)[0]
    F, Y = np.hstack([np.ones((len(h), 1)), h])[warmup:], np.eye(K)[ids[1 + warmup :]]
    penalty = np.diag(np.append(0.0, np.full(37, 30.0)))  # of all but the bias
    W = np.linalg.solve(F.T @ F + penalty, F.T @ Y)
    head = np.vstack([model.params["head.b"], model.params["head.W"]])
    gain = np.sum(head * W) / np.sum(W * W)
    np.testing.assert_allclose(head, gain * W, atol=1e-7 * np.abs(head).max())

    def cross_entropy(gain):
        return -(log_softmax(gain * (F @ W), axis=1) * Y).sum() / len(Y)

    assert loss == pytest.approx(cross_entropy(gain), rel=1e-6)
    assert loss <= min(cross_entropy(gain * factor) for factor in (0.9, 0.99, 1.01, 1.1))
    np.testing.assert_allclose(model.state[0], h[-1], atol=1e-12)


def test_fit_head_learns():
    draw = np.random.default_rng(0)
    text = " ".join(draw.choice("the cat sat on a mat and saw the moon".split(), 2000))
    corpus = fastrnn.Corpus.from_text(text)
    model = fastrnn.Model(corpus.vocabulary, cell="esn", hidden_size=150)
    model.fit_head(text[:6000])
    assert model.score(text[6000:]) < 1.0  # where all symbols alike are 2.6, and their rates 2.3


@pytest.mark.parametrize("warmup", [63, 64, 65, 130, 600, 610])
def test_a_warm_up_of_any_number_of_blocks(corpus, monkeypatch, warmup):
    from fastrnn.echo import reservoir

    whole, parts = (fastrnn.Model(corpus.vocabulary, **ESN, dtype="float64") for _ in range(2))
    loss = whole.fit_head(corpus, warmup=warmup)
    monkeypatch.setattr(reservoir, "BLOCK", 1)  # blocks of 64 steps
    assert parts.fit_head(corpus, warmup=warmup) == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(parts.block, whole.block, rtol=1e-5, atol=1e-7)


def test_fit_head_refuses(corpus):
    model = fastrnn.Model(corpus.vocabulary, **ESN)
    records = fastrnn.Corpus.from_records(["ab", "ba"])
    of_records = fastrnn.Model(records.vocabulary, **ESN)
    for call, message in (
            (lambda: fastrnn.Model(corpus.vocabulary).fit_head(corpus), "'esn', not 'rnn'"),
            (lambda: of_records.fit_head(records), "not records"),
            (lambda: model.fit_head(TEXT[:50]), "50 symbols is too short for a warm-up of 100"),
            (lambda: model.fit_head("zzz" * 100), "z"),
            (lambda: model.fit_head(corpus, ridge=-1), "ridge"),
            (lambda: model.fit_head(corpus, warmup=-1), "warmup")):
        with pytest.raises(ValueError, match=message):
            call()
    assert not model.params["head.b"].any()


# ---- bad input ----


@pytest.mark.parametrize(("settings", "message"), [
    ({"num_layers": 2}, "leave num_layers out"), ({"labels": ["a", "b"]}, "leave labels out"),
    ({"embedding_size": 4}, "leave embedding_size out"), ({"leak_rate": 0}, "leak_rate"),
    ({"density": 0.001}, "no weight at all"), ({"spectral_radius": -1}, "spectral_radius"),
    ({"input_scale": "x"}, "input_scale")])
def test_bad_settings(corpus, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        classic(corpus, **(ESN | settings), progress=False)


@pytest.mark.parametrize("name", ["spectral_radius", "leak_rate", "input_scale", "density"])
def test_settings_of_an_esn_are_not_for_others(corpus, name):
    with pytest.raises(ValueError, match=f"{name} is for cell='esn', not 'lstm'"):
        classic(corpus, cell="lstm", **{name: 0.5}, progress=False)


def test_no_gradient_goes_back_in_time():
    sequences = fastrnn.tasks.sine(10, 20)
    model = fastrnn.Model(sequences.sizes, **ESN)
    with pytest.raises(ValueError, match="not trained"):
        fastrnn.gradient_norms(model, sequences)


def test_commands(tmp_path, capsys):
    from fastrnn.cli import main

    path, book = tmp_path / "esn.safetensors", tmp_path / "book.txt"
    book.write_text(TEXT)
    assert main(["train", "--preset", "classic", str(book), "--cell", "esn",
                 "--hidden-size", "40", "--leak-rate", "0.9",
                 "--spectral-radius", "0.8", "--density", "0.2", "--updates", "30",
                 "--checkpoint", str(path)]) == 0
    assert fastrnn.load(path).config["spectral_radius"] == 0.8
    assert main(["sample", str(path), "--length", "20"]) == 0
    assert main(["gradcheck", "--cell", "esn"]) == 0
    assert "head.W" in capsys.readouterr().out


def test_a_copy_in_float64_has_the_same_reservoir():
    """The random layer is not drawn anew, which without a seed would be another one."""
    model = fastrnn.Model(fastrnn.Vocabulary("abcde"), cell="esn", hidden_size=20, density=0.5,
                          seed=None)
    twin = model.in_float64()
    inputs, targets = np.random.default_rng(0).integers(5, size=(2, 3, 6))
    np.testing.assert_allclose(
        twin.losses(inputs, targets), model.losses(inputs, targets), rtol=1e-5)
    assert twin.reservoir.W is model.reservoir.W and twin.reservoir.Win.dtype == np.float64
