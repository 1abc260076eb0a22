"""Dynamic evaluation: a model that learns from what it reads, against the same in NumPy."""
import numpy as np
import pytest
from networks import ALL_KINDS, all_weights, random_model

import fastrnn
from fastrnn import kernels
from fastrnn.checks import reference
from fastrnn.model import adapting

PLAIN = {"learning_rate": 0.05, "decay": 0.07, "seq_length": 4, "rms": False}
SCALED = {"learning_rate": 0.02, "decay": 0.3, "seq_length": 4, "rms": True}
STEPS = pytest.mark.parametrize("how", [PLAIN, SCALED], ids=["plain", "scaled"])


@pytest.fixture(autouse=True)
def few_windows(monkeypatch):
    """The texts of these tests have few windows."""
    monkeypatch.setattr(adapting, "RMS_WINDOWS", 3)


class Twin:
    """Dynamic evaluation as the paper writes it, in float64 on reference.py."""

    def __init__(self, model, how):
        self.model, self.how, self.theta = model, how, all_weights(model)
        self.first = {name: self.theta[name].copy() for name in model.params}
        self.state, self.r = None, {name: np.ones_like(p) for name, p in self.first.items()}

    def window(self, ids, labels, weight):
        """The losses (T,) of a window and its gradients; the state goes on."""
        cell, where = self.model.config["cell"], (ids[None, :-1], ids[None, 1:])
        before = self.state
        scores = reference.forward(self.theta, where[0], before, cell, labels=labels)[0][0]
        _, grads, self.state = reference.loss_and_gradients(
            self.theta, *where, before, cell, labels=labels)
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        losses = -log_p[np.arange(len(scores)), ids[1:]]
        return weight * losses, {name: weight * g for name, g in grads.items()}

    def read(self, windows, start, learn=True):
        """`windows` are (ids, begins, labels, weight): the losses of each, and with `learn` the
        step after each; else r is set to the root mean square of the gradients."""
        found, squares = [], {name: 0.0 for name in self.first}
        for i, (ids, begins, labels, weight) in enumerate(windows):
            if begins or i == 0:
                self.state = start.astype(np.float64)
            losses, grads = self.window(ids, labels, weight)
            found.append(losses)
            for name, g in grads.items():
                squares[name] = squares[name] + g**2
                if learn:
                    self.step(name, g)
        if not learn:
            self.r = {name: np.sqrt(s / len(windows)) for name, s in squares.items()}
        return found

    def step(self, name, g):
        scaled, r = self.how["rms"] is not False, self.r[name]
        mean = np.concatenate([each.ravel() for each in self.r.values()]).mean()
        norm = np.minimum(r / mean, 1 / self.how["decay"])  # the paper's RMS_norm, clipped
        back = self.how["decay"] * norm * (self.first[name] - self.theta[name])
        epsilon = mean if scaled else 0.0
        self.theta[name] = self.theta[name] - self.how["learning_rate"] * g / (r + epsilon) + back

    def losses(self, windows, start, data=None):
        scored = 0
        if data is not None:
            self.read(data, start, learn=False)
        elif self.how["rms"] is True:
            scored = self.read(windows[:3], start, learn=False)
        found = self.read(windows, start)
        return np.concatenate(found if not scored else scored + found[3:])


def windows_of(ids, T):
    """Those of one text."""
    ids = np.asarray(ids).astype(int)
    return [(ids[s : s + T + 1], s == 0, None, 1.0) for s in range(0, len(ids) - 1, T)]


def text_model(kind, dtype="float64", **more):
    """A random model with a state that is not zero, and a text whose last window is short."""
    model = random_model(kind, dtype, 11, 9, **more)
    rng = np.random.default_rng(3)
    model.state[:] = rng.uniform(-1, 1, model.state.shape)
    ids = np.where(rng.random(31) < 0.7, np.arange(31) % 5, rng.integers(0, 11, 31))
    return model, fastrnn.Corpus(ids, model.vocabulary), windows_of(ids, 4)


def everything(model):
    return model.block.tobytes(), model.state.tobytes(), model.history.loss.tobytes()


@ALL_KINDS
@STEPS
@pytest.mark.parametrize("more", [{}, {"num_layers": 2, "embedding_size": 5, "dropout": 0.3}],
                         ids=["classic", "rich"])
def test_losses_equal_those_of_numpy(isa, kind, how, more):
    if kind == "esn":
        more = {}
    model, corpus, windows = text_model(kind, **more)
    before = everything(model)
    expected = Twin(model, how).losses(windows, model.state)
    found = model.surprisal(corpus, adapt=how)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert model.score(corpus, adapt=how) == pytest.approx(expected.mean(), rel=1e-12)
    plain = model.surprisal(corpus)
    same = 12 if how["rms"] else 4  # symbols before the first update
    np.testing.assert_allclose(found[:same], plain[:same], rtol=1e-12)
    assert np.abs(found[same:] - plain[same:]).max() > 1e-3
    assert everything(model) == before


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@STEPS
def test_float32(kind, how):
    model, corpus, windows = text_model(kind, "float32")
    expected = Twin(model, how).losses(windows, model.state)
    np.testing.assert_allclose(model.surprisal(corpus, adapt=how), expected, rtol=2e-4)


@pytest.mark.parametrize("kind", ["lstm", "relu"])
def test_mixed_bfloat16_is_an_unroll_and_a_step_of_each_window(mixed_isa, kind):
    model, corpus, windows = text_model(kind, "mixed_bfloat16")
    other, state, expected = model.copy(), model.state, []
    for ids, *_ in windows:
        expected.append(other.losses(ids[None, :-1], ids[None, 1:], state)[0])
        _, grads, state = other.loss_and_gradients(ids[None, :-1], ids[None, 1:], state)
        for name, g in grads.items():
            p = other.params[name]
            p += np.float32(0.07) * (model.params[name] - p) - np.float32(0.05) * g
    np.testing.assert_allclose(model.surprisal(corpus, adapt=PLAIN), np.concatenate(expected),
                               rtol=1e-2)
    assert not np.allclose(model.surprisal(corpus), np.concatenate(expected), rtol=2e-2)


def test_the_scale_of_steps_from_other_text():
    """r in windows spread evenly over the training text, in each of which the state goes on."""
    model, corpus, windows = text_model("lstm")
    other = np.random.default_rng(8).integers(0, 11, 41)
    cut = windows_of(other, 4)
    expected = Twin(model, SCALED).losses(windows, model.state, data=[cut[0], cut[3], cut[6]])
    how = SCALED | {"rms": fastrnn.Corpus(other, model.vocabulary)}
    np.testing.assert_allclose(model.surprisal(corpus, adapt=how), expected, rtol=1e-9)
    text = model.vocabulary.decode(other)
    assert model.score(corpus, adapt=how | {"rms": text}) == model.score(corpus, adapt=how)


def test_a_text_shorter_than_a_window_is_scored_plainly():
    model, corpus, _ = text_model("gru")
    short = fastrnn.Corpus(corpus.ids[:3], model.vocabulary)
    assert model.score(short, adapt=PLAIN) == pytest.approx(model.score(short), rel=1e-13)
    assert model.score(short, adapt=True) == pytest.approx(model.score(short), rel=1e-13)


def test_texts_of_a_list_are_read_one_after_the_other():
    model, corpus, windows = text_model("lstm")
    text = model.vocabulary.decode(corpus.ids)
    expected = Twin(model, PLAIN).losses(windows * 2, model.state)
    assert model.score([text, text], adapt=PLAIN) == pytest.approx(expected.mean(), rel=1e-10)


@STEPS
def test_records(how):
    """Each from the zero state, with its label; weights count in the losses and the gradients."""
    texts, labels = ["abc", "bad", "cabba", "dada", "ab"], ["x", "y", "x", "x", "y"]
    corpus = fastrnn.Corpus.from_records(texts, labels).weighted([1, 2, 0.5, 1, 1])
    model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=6, labels=corpus.labels,
                          dtype="float64", init_scale=0.5)
    model.params["layer0.Wc"][:] = np.random.default_rng(1).normal(size=(2, 24))
    factors = np.array([1, 2, 0.5, 1, 1])
    factors *= corpus.predictions / (factors * corpus.records.steps).sum()
    windows = [(corpus.ids[s : s + n + 1].astype(int), True, np.eye(2)[[c]], weight)
               for s, n, c, weight in zip(corpus.records.starts, corpus.records.steps,
                                          corpus.records.labels, factors, strict=True)]
    expected = Twin(model, how).losses(windows, model.zero_state())
    assert model.score(corpus, adapt=how) == pytest.approx(
        expected.sum() / corpus.predictions, rel=1e-10)
    assert abs(model.score(corpus, adapt=how) - model.score(corpus)) > 1e-4


def test_one_record_is_scored_plainly():
    corpus = fastrnn.Corpus.from_records(["abc", "bad"])
    model = fastrnn.Model(corpus.vocabulary, hidden_size=6, dtype="float64")
    np.testing.assert_allclose(model.surprisal("cab", adapt=True), model.surprisal("cab"),
                               rtol=1e-13)


def test_words():
    text = "the cat saw the dog . the dog saw the cat and the cat saw the dog ."
    corpus = fastrnn.Corpus.from_text(text, unit="word")
    model = fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=5, embedding_size=3,
                          dtype="float64", init_scale=0.5)
    expected = Twin(model, SCALED).losses(windows_of(corpus.ids, 4), model.state)
    np.testing.assert_allclose(model.surprisal(text, adapt=SCALED), expected, rtol=1e-9)


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(adapting, "cores", lambda threads=threads: threads)
        model = random_model("lstm", "float32", 11, 130, num_layers=2)
        model.network(4, 1, "cross_entropy").cut_for = threads
        corpus = fastrnn.Corpus(np.random.default_rng(0).integers(0, 11, 60), model.vocabulary)
        found.append([model.surprisal(corpus, adapt=SCALED).tobytes(),
                      model.adapted(corpus)[0].block.tobytes()])
    assert found[1] == found[0] and found[2] == found[0]


def test_samples_go_on_from_the_text(monkeypatch):
    """As a model does that has the learned parameters, and the state behind the text."""
    model, corpus, _ = text_model("lstm")
    before, text = everything(model), model.vocabulary.decode(corpus.ids)
    copy, after = model.adapted(text)
    assert after.tolist() == [corpus.ids[-1]] and not np.array_equal(copy.block, model.block)
    twin = Twin(model, {"learning_rate": adapting.RATES[True], "decay": 0.005, "rms": True})
    twin.losses(windows_of(corpus.ids, 64), model.state)
    for name, p in copy.params.items():
        np.testing.assert_allclose(p, twin.theta[name], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(copy.state, twin.state, rtol=1e-9)
    last = model.vocabulary.symbols[int(after[0])]
    how = {"seed": 4, "temperature": 0.7}
    assert model.sample(30, adapt_to=text, **how) == copy.sample(30, prime=last, **how)
    prime = model.vocabulary.symbols[2]
    assert (model.sample(30, adapt_to=text, prime=prime, echo=True, n=2, **how)
            == [prime + each for each in copy.sample(30, prime=last + prime, n=2, **how)])
    assert (model.sample(30, adapt_to=text, **how)
            == "".join(model.stream(length=30, adapt_to=text, **how)))
    assert everything(model) == before


def test_samples_of_records():
    corpus = fastrnn.Corpus.from_records(["abc", "bad", "cab"])
    model = fastrnn.Model(corpus.vocabulary, hidden_size=6, cell="gru")
    copy, after = model.adapted(corpus)
    assert after is None and not copy.state.any()
    assert model.sample(adapt_to=corpus, n=4, seed=1) == copy.sample(n=4, seed=1)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_the_model_stays_as_it_is_when_reading_breaks_off(monkeypatch, stop):
    model, corpus, _ = text_model("lstm")
    before, score, made = everything(model), model.score(corpus), []

    class Broken(kernels.Training):
        def run(self, *arguments):
            made.append(1)
            if len(made) == 5:
                raise stop
            return super().run(*arguments)

    with monkeypatch.context() as patch, pytest.raises(stop):
        patch.setattr(kernels, "Training", Broken)
        model.score(corpus, adapt=PLAIN)
    assert len(made) == 5 and everything(model) == before and model.score(corpus) == score


def test_parameters_that_do_not_stay_finite():
    model, corpus, _ = text_model("relu")
    before = everything(model)
    with pytest.raises(ValueError, match=r"lower learning_rate than 1e\+30 in adapt"):
        model.score(corpus, adapt=PLAIN | {"learning_rate": 1e30})
    assert everything(model) == before


@pytest.mark.parametrize(("adapt", "error", "match"), [
    ({"learning_rat": 1}, TypeError, "adapt has no argument 'learning_rat'.*learning_rate"),
    ({"learning_rate": -1}, ValueError, "learning_rate"), ({"seq_length": 0}, ValueError, "seq_le"),
    ({"rms": 3}, TypeError, "rms must be True, False or the training text"),
    ("yes", TypeError, "adapt must be True, False or a dict"),
    ({"rms": "\x00"}, ValueError, "vocabulary")])
def test_wrong_settings(adapt, error, match):
    model, corpus, _ = text_model("rnn")
    with pytest.raises(error, match=match):
        model.score(corpus, adapt=adapt)


def test_what_cannot_adapt():
    numbers = fastrnn.Sequences(np.zeros((2, 5, 1)), np.zeros((2, 5, 1)))
    with pytest.raises(ValueError, match="adapt is for texts and records"):
        fastrnn.Model(numbers.sizes).score(numbers, adapt=True)
    corpus = fastrnn.Corpus.from_records(["abc", "bad"], ["x", "y"])
    model = fastrnn.Model(corpus.vocabulary, hidden_size=4, labels=corpus.labels)
    with pytest.raises(ValueError, match="one label each, not for mixtures"):
        model.score("abc", {"x": 1, "y": 1}, adapt=True)
    with pytest.raises(ValueError, match="needs a label"):
        model.sample(adapt_to="abc", label="x")
    with pytest.raises(ValueError, match="at least 2 symbols"):
        text_model("rnn")[0].sample(adapt_to="")
