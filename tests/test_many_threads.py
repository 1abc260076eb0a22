"""Many threads that share models, trainers and what is made at first use: they compute what one
thread computes, bit for bit, with Python's global lock and without it."""
import sysconfig
import warnings

import numpy as np
import pytest
from test_threads import in_a_process, in_threads, trainers

import fastrnn
from fastrnn.screen import without_warnings

THREADS = 8
FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.mark.skipif(not FREE, reason="this Python has a global lock")
def test_the_global_lock_stays_off():
    """A module that did not say that it needs none would switch it on, with a warning."""
    assert in_a_process("import sys, fastrnn; print(sys._is_gil_enabled())",
                        PYTHONWARNINGS="error::RuntimeWarning").split() == ["False"]


def test_one_model_is_used_by_all():
    """Sampled, scored, its symbols ranked by surprise and its gradients computed."""
    model, (trainer,) = trainers((8,))
    trainer.run(updates=20)
    text = "abc def gh" * 20
    ids = model.text_vocabulary.encode(text)[None]

    def work(i):
        loss, grads, state = model.loss_and_gradients(ids[:, : 20 + i], ids[:, 1 : 21 + i])
        return (model.sample(30, seed=i), model.score(text[i:]), loss, state.tobytes(),
                model.surprisal(text[i:]).tobytes(), "".join(model.stream(length=30, seed=i)),
                [g.tobytes() for g in grads.values()])

    alone = [work(i) for i in range(THREADS)]
    assert len({one[0] for one in alone}) == THREADS
    for i, found in enumerate(in_threads(THREADS, lambda i: [work(i) for _ in range(5)])):
        assert found == [alone[i]] * 5


def test_texts_are_drawn_while_one_thread_trains():
    """Some symbols never: these parameters are a copy, and a whole one."""
    (one, (alone,)), (model, (trainer,)) = trainers((8,)), trainers((8,))
    rates = np.full(3, 0.1)

    def drawn(model):
        return model.draw(20, model.zero_state(3), [0, 1, 2], 1.0, np.random.default_rng(0),
                          never=(0,)).tobytes()

    possible = {drawn(one)}
    for _ in range(100):
        alone._updates.training.run(rates)
        possible.add(drawn(one))
    assert len(possible) > 50

    def work(i):
        for _ in range(100):
            if i:
                assert drawn(model) in possible
            else:
                trainer._updates.training.run(rates)

    in_threads(THREADS, work)
    assert model.block.tobytes() == one.block.tobytes()


def test_one_model_is_stepped_by_all():
    """All steps have the same input: so they are those of one thread, in some order."""
    model = fastrnn.Model(fastrnn.data.source.Sizes(input_size=2, output_size=3), hidden_size=10,
                          loss="mean_squared_error", seed=1)
    one, x = model.copy(), np.array([0.5, -1.0])
    serial, states = [], [one.zero_state().tobytes()]
    for _ in range(THREADS * 50):
        serial.append(one.step(x).tobytes())
        states.append(one.step_state.tobytes())
    seen = []

    def work(i):
        found = []
        for _ in range(50):
            found.append(model.step(x).tobytes())
            seen.append(model.step_state.tobytes())
        return found

    found = [each for all_of_it in in_threads(THREADS, work) for each in all_of_it]
    assert sorted(found) == sorted(serial) and {*seen} <= {*states}
    assert model.step_state.tobytes() == states[-1]


def test_one_echo_state_network_is_used_by_all():
    rng, esn = np.random.default_rng(0), fastrnn.EchoStateNetwork(units=40, warmup=10)
    series = rng.normal(size=(300, 1))
    esn.fit(series[:-1], series[1:])
    given = [rng.normal(size=(50, 1)) for _ in range(THREADS)]
    alone = [esn.predict(x).tobytes() for x in given]
    assert in_threads(THREADS, lambda i: esn.predict(given[i]).tobytes()) == alone
    serial = []
    for _ in range(THREADS * 20):
        esn.step(given[0][0])
        serial.append(esn.step_state.tobytes())
    esn.reset()

    def work(i):
        seen = []
        for _ in range(20):
            esn.step(given[0][0])
            seen.append(esn.step_state.tobytes())
        return {*seen} <= {*serial}

    assert all(in_threads(THREADS, work)) and esn.step_state.tobytes() == serial[-1]


@pytest.mark.parametrize("threads", [1, 2])
def test_each_thread_has_a_trainer(threads):
    """With dropout and a validation, each with settings of its own."""
    corpus = fastrnn.Corpus.from_text("".join(
        np.random.default_rng(0).choice([*"abcdefgh \n"], 3000)))

    def work(i):
        model = fastrnn.Model(corpus.vocabulary, cell=("lstm", "gru")[i % 2], hidden_size=10 + i,
                              dropout=0.1, num_layers=2, seed=i)
        trainer = fastrnn.Trainer(model, corpus, seq_length=10, batch_size=8 + i, threads=threads,
                                  valid_fraction=0.1, valid_every=10, progress=False, seed=i)
        trainer.run(updates=30)
        history = trainer.history
        return (model.block.tobytes(), trainer.best_model().block.tobytes(),
                model.sample(20, seed=1), history.loss.tobytes(),
                history.valid_loss.tobytes(), trainer.epoch)

    alone = [work(i) for i in range(THREADS)]
    assert in_threads(THREADS, work) == alone


def test_a_history_is_shown_while_it_grows():
    """Losses and updates of validations belong together; a copy and a page are of one moment."""
    model, (trainer,) = trainers((8,), valid_fraction=0.1, valid_every=1, seq_length=5)
    history, seen = trainer.history, []

    def work(i):
        if not i:
            trainer.run(updates=120)
            return True
        while trainer.update < 120:
            before = trainer.update
            copy = history.copy()
            assert len(copy) == len(copy.loss) >= before
            assert copy.valid_loss.shape == copy.valid_updates.shape
            assert len(history.train_loss) >= before
            if history.valid_loss.size:
                loss, update = history.lowest_validation()
                assert np.isfinite(loss) and update >= 1
                assert "<svg" in history._repr_html_() and "validation" in repr(history)
            seen.append(before)
        return trainer.best_loss <= history.valid_loss[0]

    assert all(in_threads(4, work))
    assert seen and history.valid_updates.tolist() == [*range(1, 121)]


def test_warnings_are_back():
    """The filters belong to the process: those that were there are there again."""
    before = warnings.filters[:]

    def work(i):
        for _ in range(20):
            with without_warnings():
                warnings.warn("nobody sees this", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as seen:
        in_threads(THREADS, work)
    assert not seen and warnings.filters[:] == before


AT_FIRST = """
import threading
barrier, found, errors = threading.Barrier(8), [None] * 8, []

def work(i):
    try:
        barrier.wait()
        import fastrnn
        import numpy as np
        from fastrnn import kernels, nn
        corpus = fastrnn.Corpus.from_text("to be or not to be that is the question " * 9)
        model = fastrnn.train(corpus, preset="classic", updates=20, hidden_size=9, seed=1,
                              progress=False)
        esn = fastrnn.EchoStateNetwork(units=20, warmup=5).fit(np.ones((40, 1)), np.ones((40, 1)))
        found[i] = (model.block.tobytes(), model.sample(20, seed=2), kernels.running_isa(),
                    corpus.fingerprint(), nn.LSTM(3, 4).forward(np.ones((2, 5, 3))).tobytes(),
                    esn.predict(np.ones((9, 1))).tobytes())
    except BaseException as error:
        errors.append(error)

threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not errors, errors
print(found[0] is not None and all(each == found[0] for each in found))
"""


def test_what_is_made_at_first_use_is_made_by_all():
    """In a new process, whose threads all import fastrnn first."""
    assert in_a_process(AT_FIRST).split() == ["True"]


def test_data_and_workspaces_are_shared():
    """What a corpus keeps once it is computed, and a model as long as it has room."""
    text = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 3000))
    corpora = [fastrnn.Corpus.from_text(text) for _ in range(2)]
    expected = corpora[0].fingerprint(), corpora[0].vocabulary.encode(text).tobytes()
    model = fastrnn.Model(corpora[1].vocabulary, hidden_size=8, seed=1)

    def scores():
        """A model keeps few workspaces: others come and go."""
        ids = model.text_vocabulary.encode(text[:40])[None]
        return [model.losses(ids[:, :n], ids[:, 1 : n + 1]).tobytes() for n in range(3, 30)]

    def work(i):
        vocabulary = corpora[1].vocabulary
        return corpora[1].fingerprint(), vocabulary.encode(text).tobytes(), scores()

    assert in_threads(THREADS, work) == [(*expected, scores())] * THREADS
