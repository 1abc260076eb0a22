"""Ctrl-C, SIGTERM and SIGHUP: nothing is raised between an update and its record, or in a save."""
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from runs import SIZES, TEXT, classic, corpus_of

import fastrnn
from fastrnn.files import store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
SENT = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def corpus():
    return corpus_of()


def default_signals():
    """In a child: where the tests run in the background, Ctrl-C is ignored."""
    for number in SENT:
        signal.signal(number, signal.SIG_DFL)


def trainer_of(corpus, **settings):
    model = fastrnn.Model(corpus.vocabulary, hidden_size=9, seed=1)
    return fastrnn.Trainer(model, corpus, **{"seq_length": 6, "progress": False} | settings)


def press(*numbers):
    for number in numbers:
        signal.raise_signal(number)


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.parametrize("where", ["callback", "header", "replace", "loop"])
def test_ctrl_c_loses_nothing(corpus, tmp_path, monkeypatch, where, presses):
    """Pressed once or twice in a callback, inside a save, or inside the compiled loop."""
    path, done = tmp_path / "m.safetensors", []

    def once(*_):
        if trainer.update >= 20 and not done:
            done.append(trainer.update)
            press(*[signal.SIGINT] * presses)

    trainer = trainer_of(corpus, updates=100, sample_every=10, checkpoint=path, checkpoint_every=7,
                         callback=once if where == "callback" else None)
    if where == "header":
        header = store._header
        monkeypatch.setattr(store, "_header", lambda *a: (once(), header(*a))[1])
    elif where == "replace":
        replace = os.replace
        monkeypatch.setattr(os, "replace", lambda *a: (once(), replace(*a))[1])
    elif where == "loop":
        extend = fastrnn.History.extend
        monkeypatch.setattr(fastrnn.History, "extend", lambda *a: (once(), extend(*a))[1])
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert done and done[0] <= trainer.update <= done[0] + 10
    assert trainer.history.stopped == "interrupted"
    assert len(trainer.history) == trainer.update
    stored = fastrnn.load(path)
    assert len(stored.history) == trainer.update
    assert stored.block.tobytes() == trainer.model.block.tobytes()
    assert not [name for name in os.listdir(tmp_path) if name != "m.safetensors"]
    monkeypatch.undo()
    trainer.callback = None
    trainer.run()
    whole = trainer_of(corpus, updates=100, sample_every=10)
    whole.run()
    assert trainer.model.block.tobytes() == whole.model.block.tobytes()


def test_ctrl_c_in_the_last_save_of_a_finished_run(corpus, tmp_path, monkeypatch):
    path, header = tmp_path / "m.safetensors", store._header
    monkeypatch.setattr(store, "_header", lambda *a: (press(signal.SIGINT), header(*a))[1])
    model = classic(corpus, **SIZES, updates=50, checkpoint=path, progress=False)
    assert model.history.stopped == "interrupted"
    assert len(fastrnn.load(path).history) == 50
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="is finished, after 50 updates"):
        classic(corpus, resume=path, progress=False)


@pytest.mark.parametrize("number", SENT[1:])
def test_a_handler_of_the_program_gets_the_signal_after_the_save(corpus, tmp_path, number):
    path, seen = tmp_path / "m.safetensors", []
    before = signal.signal(number, lambda *_: seen.append(len(fastrnn.load(path).history)))
    try:
        trainer = trainer_of(corpus, updates=100, sample_every=10, checkpoint=path,
                             callback=lambda t: press(number) if t.update == 20 else None)
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
        assert seen == [trainer.update] and trainer.update < 100
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", SENT)
def test_an_ignored_signal_stays_ignored(corpus, number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        trainer = trainer_of(corpus, updates=30, sample_every=10,
                             callback=lambda t: press(number) if t.update == 10 else None)
        trainer.run()
        assert trainer.update == 30
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_outside_the_main_thread_nothing_is_installed(corpus):
    before, seen = [signal.getsignal(number) for number in SENT], []
    trainer = trainer_of(corpus, updates=30, sample_every=10, callback=lambda _: seen.append(
        [signal.getsignal(number) for number in SENT]))
    thread = threading.Thread(target=trainer.run)
    thread.start()
    thread.join()
    assert seen and all(handlers == before for handlers in seen)


def test_all_handlers_come_back(corpus):
    before = [signal.getsignal(number) for number in SENT]
    with pytest.raises(KeyboardInterrupt):
        trainer_of(corpus, updates=30, sample_every=10, callback=lambda _: press(2)).run()
    assert [signal.getsignal(number) for number in SENT] == before


def test_counters_and_history_that_disagree_are_never_written(corpus, tmp_path):
    trainer = trainer_of(corpus, updates=30)
    trainer.run(updates=10)
    trainer.history.extend(*[np.ones(1)] * 3)
    with pytest.raises(RuntimeError, match="10 updates were made, and the losses of 11 recorded"):
        trainer.save(tmp_path / "m.safetensors")
    assert not os.listdir(tmp_path)


def test_a_trainer_runs_in_one_thread_at_a_time(corpus):
    trainer, errors = trainer_of(corpus, updates=30, sample_every=10), []

    def again(trainer):
        try:
            trainer.run()
        except RuntimeError as error:
            errors.append(str(error))

    def elsewhere(trainer):
        if trainer.is_over:  # the call at the end of a run
            return
        again(trainer)
        thread = threading.Thread(target=again, args=[trainer])
        thread.start()
        thread.join()

    trainer.callback = elsewhere
    trainer.run()
    assert len(errors) >= 4 and {"this trainer is running already" in e for e in errors} == {True}
    assert trainer.update == len(trainer.history) == 30


def test_a_save_in_another_thread_is_of_one_moment(corpus, tmp_path):
    trainer, stop = trainer_of(corpus, updates=20_000, sample_every=0), threading.Event()
    found = []

    def save():
        while not stop.is_set():
            trainer.save(tmp_path / "m.safetensors")
            found.append(len(fastrnn.load(tmp_path / "m.safetensors").history))

    thread = threading.Thread(target=save)
    thread.start()
    trainer.run()
    stop.set()
    thread.join()
    assert len(found) > 1 and found == sorted(found)


# ---- from outside ----

def command(folder, *arguments, **how):
    (folder / "book.txt").write_text(TEXT * 20)
    return subprocess.Popen(
        [sys.executable, "-c", "import _fastrnn_command as c, sys; sys.exit(c.main())", "train",
         "book.txt", "--cell", "lstm", "--hidden-size", "64", "--batch-size", "16", "--updates",
         "1000000", "--checkpoint", "m.safetensors", *arguments], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=default_signals,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, **how)


def outcome(child, folder):
    """Status, what was said, and the updates in the checkpoint, or None; no damage is accepted."""
    out, err = child.communicate(timeout=60)
    assert "Traceback" not in err + out
    try:
        return child.returncode, out + err, len(fastrnn.load(folder / "m.safetensors").history)
    except FileNotFoundError:
        return child.returncode, out + err, None


@pytest.mark.parametrize(("number", "status"), [*zip(SENT, (130, 143, 129), strict=True)])
def test_a_signal_from_outside(tmp_path, number, status):
    child = command(tmp_path, "--sample-every", "20")
    while "---- update 20," not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(number)
    code, said, updates = outcome(child, tmp_path)
    assert code == status
    assert f"interrupted after {updates} updates" in said and updates > 20
    assert "to go on: fastrnn train book.txt --resume m.safetensors" in said


def test_a_third_ctrl_c_ends_a_run_that_hangs(tmp_path):
    (tmp_path / "hang.py").write_text("""
import fastrnn, time
corpus = fastrnn.Corpus.from_text("abc" * 100)
def hang(trainer):
    if trainer.update:
        print("hangs", flush=True)
        time.sleep(100)
fastrnn.train(corpus, preset="classic", hidden_size=9, updates=20, sample_every=10, callback=hang,
              checkpoint="m.safetensors", checkpoint_every=1, progress=False)
""")
    child = subprocess.Popen([sys.executable, "hang.py"], cwd=tmp_path, stdout=subprocess.PIPE,
                             text=True, preexec_fn=default_signals)
    assert child.stdout.readline() == "hangs\n"
    for _ in range(3):
        child.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert child.wait(20) == -signal.SIGINT
    assert len(fastrnn.load(tmp_path / "m.safetensors").history) == 10
    child.stdout.close()


def interrupt_at_random(folder, rng, presses, gap, started, *flags):
    folder.mkdir()
    child = command(folder, *flags)
    if started:
        child.stdout.readline()  # the settings of the run
    time.sleep(rng.uniform(0.05 if started else 0.3, 0.8))  # Python itself starts in less
    for _ in range(presses):
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        time.sleep(gap)
    code, said, updates = outcome(child, folder)
    if presses < 3:
        assert code in (130, -2)  # -2: before training, while libraries load
        assert ("interrupted after" in said) == (updates is not None)
        assert updates is None or f"interrupted after {updates} updates" in said
    if updates is not None:  # and it resumes
        more = fastrnn.train(folder / "book.txt", resume=folder / "m.safetensors",
                             updates=updates + 40, progress=False)
        assert len(more.history) == updates + 40
    assert updates is not None or not started


@pytest.mark.parametrize("presses", [1, 2, 4])
def test_ctrl_c_at_random_moments(tmp_path, presses, request):
    runs = 333 if request.config.getoption("--long") else 3
    rng = random.Random(presses)
    for i in range(runs):
        interrupt_at_random(tmp_path / str(i), rng, presses, 0.03, i % 3 > 0,
                            *(["--checkpoint-every", "5"] if i % 2 else []))


def test_kills_leave_a_whole_file(tmp_path, request):
    """kill -9 at random moments: the file is whole, and what is left of an unfinished one is
    removed by the next run."""
    rng, left, files = random.Random(0), 0, 0
    for _ in range(1000 if request.config.getoption("--long") else 3):
        child = command(tmp_path, "--checkpoint-every", "1")
        child.stdout.readline()
        time.sleep(rng.uniform(0.1, 1.0))
        child.kill()
        _, _, updates = outcome(child, tmp_path)
        files += updates is not None
        left += sum(name.endswith(store.TEMPORARY) for name in os.listdir(tmp_path))
    assert files
    store.check_writable(tmp_path / "another.safetensors")
    assert not [name for name in os.listdir(tmp_path) if name.endswith(store.TEMPORARY)]


