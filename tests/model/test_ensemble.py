"""fastrnn.average: losses and samples against NumPy's averages of the models' probabilities."""
import math

import numpy as np
import pytest

import fastrnn
from fastrnn.cli import main
from fastrnn.model.ensemble import _chosen

SYMBOLS = "abcde \n"
TEXT = "abc de\nad bead cab\nbe a bad ace\n" * 5


def make(cell="lstm", seed=0, symbols=SYMBOLS, unit="char", H=9, dtype="float64", **how):
    """A model of random weights and state."""
    vocabulary = symbols if isinstance(symbols, fastrnn.Vocabulary) else fastrnn.Vocabulary(
        symbols, unit)
    model = fastrnn.Model(vocabulary, cell=cell, hidden_size=H, dtype=dtype, **how)
    rng = np.random.default_rng(seed)
    model.block[:] = rng.normal(0, 0.6, model.block.size)
    model.state[:] = rng.uniform(-1, 1, model.state.shape)
    return model


def three():
    return [make("lstm", 1), make("gru", 2, H=5), make("rnn", 3, num_layers=2)]


@pytest.mark.parametrize("weights", [None, [1, 2, 5], [0, 3, 1]])
def test_losses_are_those_of_averaged_probabilities(weights):
    models = three()
    both = fastrnn.average(models, weights)
    shares = np.ones(3) / 3 if weights is None else np.array(weights) / np.sum(weights)
    p = sum(share * np.exp(-model.surprisal(TEXT))
            for model, share in zip(models, shares, strict=True))
    np.testing.assert_allclose(both.surprisal(TEXT), -np.log(p), rtol=0, atol=1e-12)
    assert both.score(TEXT) == pytest.approx(-np.log(p).mean(), abs=1e-12)
    assert both.score([TEXT, TEXT[:9]]) == pytest.approx(
        (-np.log(p).sum() + both.surprisal(TEXT[:9]).sum()) / (len(p) + 8), abs=1e-12)
    assert both.score(TEXT) <= sum(
        share * model.score(TEXT) for model, share in zip(models, shares, strict=True))
    np.testing.assert_allclose(both.weights, shares, rtol=1e-15)


def test_one_model_alone_is_itself():
    model = make("gru", 4)
    one = fastrnn.average([model])
    np.testing.assert_allclose(one.surprisal(TEXT), model.surprisal(TEXT), rtol=0, atol=1e-12)
    for how in ({}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.7}, {"min_p": 0.2},
                {"temperature": 1.5, "top_k": 5, "top_p": 0.9, "min_p": 0.05}, {"temperature": 0},
                {"prime": "bad", "echo": True}, {"stop": "\n"}, {"prime": ["a", "bad "]}):
        assert one.sample(150, seed=7, **how) == model.sample(150, seed=7, **how), how
    assert one.sample(60, n=3, seed=1) == model.sample(60, n=3, seed=1)
    assert "".join(one.stream(length=100, seed=3)) == model.sample(100, seed=3)


def test_the_likeliest_symbols_by_hand():
    """Temperature 0 takes the likeliest symbol of the average, which all models read."""
    models = [make("lstm", 1), make("gru", 2, H=5), make("mgu", 8, dtype="float32")]
    shares = np.array([0.5, 0.3, 0.2])
    written, text = "", "be"
    for _ in range(25):
        p = np.zeros(len(SYMBOLS))
        for symbol in SYMBOLS:
            p[SYMBOLS.index(symbol)] = sum(
                share * math.exp(-model.surprisal(text + symbol)[-1])
                for model, share in zip(models, shares, strict=True))
        assert p.sum() == pytest.approx(1, abs=1e-5)
        text += SYMBOLS[p.argmax()]
        written += SYMBOLS[p.argmax()]
    both = fastrnn.average(models, shares)
    assert both.sample(25, prime="be", temperature=0) == written
    states = [model.state.copy() for model in models]
    both.sample(5)
    for model, state in zip(models, states, strict=True):
        np.testing.assert_array_equal(model.state, state)


def test_frequencies_of_samples():
    """First symbols after a prime come as often as the averaged probabilities say."""
    models = three()
    both = fastrnn.average(models)
    p = np.array([np.mean([math.exp(-m.surprisal("b" + s)[-1]) for m in models]) for s in SYMBOLS])
    n = 20_000
    drawn = "".join(both.sample(1, prime="b", n=n, seed=0))
    found = np.array([drawn.count(s) for s in SYMBOLS])
    np.testing.assert_array_less(np.abs(found - n * p), 5 * np.sqrt(n * p * (1 - p)) + 1e-9)


def test_choices_of_symbols():
    p = np.array([[0.1, 0.4, 0.4, 0.1]])
    for how, kept in (((1.0, 0, 1.0, 0.0), p[0]), ((1.0, 1, 1.0, 0.0), [0, 1, 0, 0]),
                      ((1.0, 3, 1.0, 0.0), [0.1, 0.4, 0.4, 0]), ((1.0, 0, 0.5, 0.0), [0, 1, 1, 0]),
                      ((1.0, 0, 1.0, 0.5), [0, 1, 1, 0]), ((0.5, 0, 1.0, 0.0), p[0] ** 2)):
        n = 4000
        drawn = _chosen(np.repeat(p, n, axis=0), (np.arange(n) + 0.5) / n, *how)
        wanted = np.array(kept) / np.sum(kept)
        np.testing.assert_allclose(np.bincount(drawn, minlength=4) / n, wanted, atol=1.01 / n)


def records(seeds=(1, 2), labels=("x", "y")):
    corpus = fastrnn.Corpus.from_records(
        ["abba", "bead", "cab", "ace"], list("xyxy") if labels else None)
    models = [make("gru", seed, corpus.vocabulary, labels=list(labels) if labels else None)
              for seed in seeds]
    return corpus, models


def test_records_with_labels():
    corpus, models = records()
    both = fastrnn.average(models)
    for label in ("x", {"x": 0.3, "y": 0.7}):
        p = np.mean([np.exp(-m.surprisal("bead", label=label)) for m in models], axis=0)
        np.testing.assert_allclose(both.surprisal("bead", label=label), -np.log(p), atol=1e-12)
    losses = [both.surprisal(text, label=label)
              for text, label in zip(["abba", "bead", "cab", "ace"], "xyxy", strict=True)]
    assert both.score(corpus) == pytest.approx(np.concatenate(losses).mean(), abs=1e-12)
    weights = np.array([1.0, 5, 2, 0])
    total = sum(w * each.sum() for w, each in zip(weights, losses, strict=True))
    count = sum(w * len(each) for w, each in zip(weights, losses, strict=True))
    assert both.score(corpus.weighted(weights)) == pytest.approx(total / count, abs=1e-12)
    names = both.sample(30, n=40, label="x", seed=0)
    assert len(names) == 40 and all(names) and not {"\x02", "\x03"} & set("".join(names))
    one = fastrnn.average(models[:1])
    assert one.sample(30, n=9, label="y", seed=2) == models[0].sample(30, n=9, label="y", seed=2)
    with pytest.raises(ValueError, match="needs a label"):
        both.sample(3)


@pytest.mark.parametrize("labels", [None, ["y", "x"]])
def test_labels_by_bayes_rule(labels):
    corpus, models = records()
    weights = np.array([2.0, 1.0])
    for model, counts in zip(models, ([3.0, 1.0], [0.0, 5.0]), strict=True):
        model.label_counts = np.array(counts)
    both = fastrnn.average(models, weights)
    total = {label: -np.log(np.average([np.exp(-m.surprisal("bead", label=label)) for m in models],
                                       axis=0, weights=weights)).sum() for label in "xy"}
    prior = {"x": 0.75 * 2 / 3, "y": 0.25 * 2 / 3 + 1 / 3}  # the weighted mean of 3/4 and 0
    for given, used in ((None, {"x": 0.5, "y": 0.5}), ("training", prior),
                        ({"x": 0.1, "y": 0.9}, {"x": 0.1, "y": 0.9})):
        p = {label: used[label] * np.exp(-total[label]) for label in "xy"}
        found = both.rank_labels("bead", labels, prior=given)
        assert [one.label for one in found] == sorted("xy", key=p.get, reverse=True)
        for one in found:
            assert one.probability == pytest.approx(p[one.label] / sum(p.values()), abs=1e-9)
            assert one.total == pytest.approx(total[one.label], abs=1e-9)
            assert one.loss == pytest.approx(one.total / 5, abs=1e-9)  # 4 letters and the end
    with pytest.raises(ValueError, match="label 'z' never came"):
        both.rank_labels("bead", ["z"])
    with pytest.raises(ValueError, match="has none to rank"):
        fastrnn.average(records(labels=())[1]).rank_labels("bead")


def test_words_and_bytes():
    for unit, symbols, text in (("word", ["be", "not", "or", "to"], "to be or not to be"),
                                ("byte", [0x61, 0xA9, 0xC3], "aéaaé")):
        models = [make("lstm", seed, symbols, unit) for seed in (1, 2)]
        p = np.mean([np.exp(-model.surprisal(text)) for model in models], axis=0)
        both = fastrnn.average(models)
        np.testing.assert_allclose(both.surprisal(text), -np.log(p), atol=1e-12)
        assert both.sample(9, seed=0, prime=text, echo=True).startswith(text)


def test_what_is_no_average():
    a = make()
    for models, message in (
            ([], "the list is empty"),
            ([a, make(symbols="abcd")], "model 1 has another vocabulary than model 0"),
            ([a, make(symbols="abcde\n ")], "model 1 has another vocabulary"),
            ([records()[1][0], records(labels=())[1][0]], "model 1 has other labels"),
            ([fastrnn.Model(fastrnn.Sizes(input_size=1, output_size=1))], "one of sequences")):
        with pytest.raises(ValueError, match=message):
            fastrnn.average(models)
    for models in (a, 3, [a, "b.safetensors"]):
        with pytest.raises(TypeError, match="models must be a list of models"):
            fastrnn.average(models)
    with pytest.raises(ValueError, match=r"weights has the shape \(1,\)"):
        fastrnn.average([a, a], [1])
    with pytest.raises(ValueError, match="all 0"):
        fastrnn.average([a, a], [0, 0])
    with pytest.raises(ValueError, match="repetition_penalty"):
        fastrnn.average([a]).sample(5, repetition_penalty=1.2)
    with pytest.raises(ValueError, match="surprisal is for one text"):
        both = fastrnn.average(records()[1])
        both.surprisal(records()[0])


def test_the_command(tmp_path, capsys):
    def call(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    models = three()
    for name, model in zip("abc", models, strict=True):
        model.save(tmp_path / name)
    (tmp_path / "text").write_text(TEXT)
    both = fastrnn.average(models)
    more = ["--with", tmp_path / "b", "--with", tmp_path / "c"]
    code, out, err = call("score", tmp_path / "a", tmp_path / "text", *more)
    assert (code, err) == (0, "") and "average    of the probabilities of 3 models\n" in out
    assert f"loss       {both.score(TEXT):.4f} nats per char\n" in out and "accuracy" not in out
    code, out, err = call("sample", tmp_path / "a", *more, "--seed", 1, "--length", 40)
    assert (code, out, err) == (0, both.sample(40, seed=1) + "\n", "")
    for flags in (["--compare"], ["--color=always"]):
        code, _, err = call("score", tmp_path / "a", tmp_path / "text", *more, *flags)
        assert code == 2 and "leave out --with" in err
    assert "leave out --with" in call("sample", tmp_path / "a", *more, "--stream")[2]
    for name, model in zip("xy", records()[1], strict=True):
        model.save(tmp_path / name)
    code, out, err = call("rank", tmp_path / "x", "bead", "--with", tmp_path / "y")
    best = fastrnn.average(records()[1]).rank_labels("bead")[0]
    assert (code, err) == (0, "") and f"1  {best.label:5}  {best.probability:11.2%}" in out
    make(symbols="abcd").save(tmp_path / "d")
    code, _, err = call("score", tmp_path / "a", tmp_path / "text", "--with", tmp_path / "d")
    assert code == 2 and "model 1 has another vocabulary than model 0" in err
