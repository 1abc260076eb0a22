"""The events of a run: what the log, TensorBoard and users' functions get."""
import json
import math
import os
import signal
import struct
import subprocess
import sys
import warnings
from datetime import datetime

import numpy as np
import pytest
from runs import SIZES, corpus_of, train

import fastrnn
from fastrnn.checks import reference
from fastrnn.training.log import Reader

CORPUS = corpus_of()


@pytest.fixture
def corpus():
    return CORPUS


def trainer_of(corpus, **settings):
    model = fastrnn.Model(corpus.vocabulary, cell=settings.pop("cell", "rnn"), hidden_size=9,
                          embedding_size=settings.pop("embedding_size", None), seed=1,
                          dtype=settings.pop("dtype", "float32"))
    return fastrnn.Trainer(model, corpus, **{"seq_length": 6, "progress": False} | settings)


def lines_of(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def of_kind(events, kind):
    return [event for event in events if event["event"] == kind]


def test_the_log_of_a_run(corpus, tmp_path):
    """Every number beside what the history, the model and the clock say."""
    path, heard = tmp_path / "run.jsonl", []
    trainer = trainer_of(corpus, updates=100, log=path, log_every=30, valid_fraction=0.1,
                         valid_every=40, samples_at=[50], accuracy=True, on_event=heard.append,
                         checkpoint=tmp_path / "m.safetensors", checkpoint_every=60)
    trainer.run()
    events, history = lines_of(path), trainer.history
    assert events == fastrnn.read_log(path)
    assert [e.kind for e in heard] == [e["event"] for e in events]
    first, last = events[0], events[-1]
    assert (first["event"], first["update"]) == ("started", 0)
    assert first["settings"] == {**trainer.model.config, **trainer.config}
    assert first["source"] == corpus.name and first["loss_unit"] == "nats per char"
    assert first["parameters"] == trainer.model.block.size and first["planned_updates"] == 100
    assert first["build"] == fastrnn.build_info()
    assert (last["event"], last["update"], last["stopped"]) == ("ended", 100, "finished")
    progress = of_kind(events, "progress")
    assert [e["update"] for e in progress] == [30, 60, 90, 100]
    before = 0
    for e in progress:
        assert e["loss"] == pytest.approx(history.loss[before : e["update"]].mean() / 6, rel=1e-12)
        assert e["smoothed_loss"] == history.smooth_loss[e["update"] - 1]
        assert e["learning_rate"] == history.learning_rate[e["update"] - 1]
        assert e["epoch"] == e["update"] / trainer.updates_per_epoch
        assert e["predictions_per_second"] > 0
        before = e["update"]
    valid = of_kind(events, "validation")
    assert [e["update"] for e in valid] == history.valid_updates.tolist() == [40, 80, 100]
    assert [e["loss"] for e in valid] == history.valid_loss.tolist()
    assert valid[-1]["best"] == trainer.best_loss and valid[-1]["best_update"] == \
        trainer.best_update
    assert [e["accuracy"] for e in of_kind(events, "accuracy")] == history.accuracy.tolist()
    assert [(e["update"], e["text"]) for e in of_kind(events, "sample")] == history.samples
    assert [e["update"] for e in of_kind(events, "saved")] == [60, 100]
    seconds = [e["seconds"] for e in events]
    assert seconds == sorted(seconds) and 0 <= seconds[0] and seconds[-1] < 60
    moments = [datetime.fromisoformat(e["time"]).timestamp() for e in events]
    assert moments[-1] - moments[0] == pytest.approx(seconds[-1] - seconds[0], abs=0.1)


@pytest.mark.parametrize("settings", [
    {"optimizer": "adagrad"},  # of one-hot inputs only the rows that are picked are computed
    {"optimizer": "adagrad", "batch_size": 4},
    {"optimizer": "adam", "clip_norm": 0.5, "cell": "lstm", "learning_rate": 1e-3},
    {"optimizer": "sgd", "embedding_size": 3, "cell": "gru"},
], ids=lambda s: "-".join(map(str, s.values())))
def test_the_gradient_norm_is_that_of_the_last_update(corpus, settings):
    """Compared with the NumPy twin's gradient for the parameters and states before the update."""
    heard, before = [], {}
    trainer = trainer_of(corpus, dtype="float64", updates=12, log_every=1, callback_every=1,
                         on_event=heard.append, **settings,
                         callback=lambda t: before.update({t.update: (
                             t.model.copy(), t.state.copy(), t.position)}))
    trainer.run()
    N = settings.get("batch_size", 1)
    ids = corpus.ids[: len(corpus.ids) // N * N].reshape(N, -1)
    norms = [e.values["gradient_norm"] for e in heard if e.kind == "progress"]
    assert len(norms) == 12
    for update, norm in enumerate(norms):
        model, state, at = before[update]
        window = ids[:, at : at + 7].astype(int)
        _, grads, _ = reference.loss_and_gradients(
            model.params, window[:, :-1], window[:, 1:], state if at else np.zeros_like(state),
            model.config["cell"])
        expected = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
        assert norm == pytest.approx(expected, rel=1e-9), update


def test_the_norm_in_a_divergence_error_is_that_of_its_update(corpus):
    """Rows of earlier updates that this one did not pick do not count."""
    states = {}

    def spoil(trainer):
        if trainer.update == 12:
            trainer.model.block *= 50
        states[trainer.update] = trainer.model.copy(), trainer.state.copy(), trainer.position

    trainer = trainer_of(corpus, dtype="float64", updates=40, callback_every=1, cell="relu",
                         callback=spoil)
    with pytest.raises(fastrnn.DivergenceError) as found:
        trainer.run()
    assert found.value.update == 13
    model, state, at = states[12]
    window = corpus.ids[None, at : at + 7].astype(int)
    _, grads, _ = reference.loss_and_gradients(
        model.params, window[:, :-1], window[:, 1:], state if at else np.zeros_like(state), "relu")
    expected = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
    assert found.value.gradient_norm == pytest.approx(expected, rel=1e-9)


def test_listeners_change_no_number(corpus, tmp_path):
    def bits(**settings):
        trainer = trainer_of(corpus, updates=150, valid_fraction=0.1, batch_size=2, **settings)
        trainer.run()
        return (trainer.model.block.tobytes(), trainer.state.tobytes(),
                trainer.history.loss.tobytes(), trainer.history.samples)

    assert bits() == bits(log=tmp_path / "a", log_every=7, on_event=lambda e: None)


def test_progress_is_told_now_and_then(corpus):
    """At most every tenth of a second, and not for every update of which something else is due."""
    heard, calls = [], []
    trainer_of(corpus, minutes=0.02, callback=lambda t: calls.append(t.update), callback_every=1,
               on_event=heard.append).run()
    seconds = [e.seconds for e in heard if e.kind == "progress"]
    assert 2 < len(seconds) < 15 < len(calls)
    assert min(np.diff(seconds[:-1])) > 0.099  # the last one comes with the end
    updates = [e.update for e in heard if e.kind == "progress"]
    assert updates[-1] == heard[-1].update == calls[-1]


# ---- the file ----

def test_a_resumed_run_goes_on_in_the_log(corpus, tmp_path):
    log, path = tmp_path / "run.jsonl", tmp_path / "m.safetensors"
    settings = {"log_every": 10, "log": log, "samples_at": [20, 40]}
    train(corpus, **SIZES, updates=30, checkpoint=path, **settings)
    first = log.read_bytes()
    train(corpus, resume=path, updates=50, **settings)
    assert log.read_bytes().startswith(first)
    events = fastrnn.read_log(log)
    assert [(e["event"], e["update"]) for e in events if e["event"] in ("resumed", "ended")] == [
        ("ended", 30), ("resumed", 30), ("ended", 50)]
    assert [e["update"] for e in of_kind(events, "progress")] == [10, 20, 30, 40, 50]
    assert of_kind(events, "resumed")[0]["settings"]["updates"] == 50
    whole = tmp_path / "whole.jsonl"
    train(corpus, **SIZES, updates=50, **settings | {"log": whole})
    for kind, name in (("progress", "loss"), ("progress", "gradient_norm"), ("sample", "text")):
        assert [e[name] for e in of_kind(events, kind)] == [
            e[name] for e in of_kind(fastrnn.read_log(whole), kind)]
    train(corpus, **SIZES, updates=10, **settings)  # a new run begins the file anew
    assert [e["event"] for e in fastrnn.read_log(log)] == ["started", "progress", "ended"]


KILLED = """
import os, signal
import fastrnn
from runs import SIZES, corpus_of, train
def kill(trainer):
    if trainer.update == 35:
        with open("run.jsonl", "a") as file:
            file.write('{"event": "progr')
        os.kill(os.getpid(), signal.SIGKILL)
train(corpus_of(), **SIZES, updates=50, log="run.jsonl", log_every=5, checkpoint="m.safetensors",
      checkpoint_every=20, callback=kill, callback_every=5, samples_at=[20, 30, 40],
      valid_fraction=0.1, valid_every=20)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_what_a_killed_run_made_after_its_checkpoint_counts_once(corpus, tmp_path):
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = os.pathsep.join([folder, *sys.path])
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    log = tmp_path / "run.jsonl"
    before = fastrnn.read_log(log)  # half a line is left for the next time
    assert [e["update"] for e in of_kind(before, "progress")][-1] == 35
    train(corpus, resume=tmp_path / "m.safetensors", log=log, log_every=5)
    events = fastrnn.read_log(log)
    assert len(lines_of(log)) > len(events)
    assert [e["update"] for e in of_kind(events, "progress")] == list(range(5, 51, 5))
    assert [e["update"] for e in of_kind(events, "validation")] == [20, 40, 50]
    assert [e["update"] for e in of_kind(events, "sample")] == [20, 30, 40]
    assert [e["update"] for e in events] == sorted(e["update"] for e in events)
    whole = tmp_path / "whole.jsonl"
    train(corpus, **SIZES, updates=50, log=whole, log_every=5, samples_at=[20, 30, 40],
          valid_fraction=0.1, valid_every=20)
    for kind, name in (("progress", "loss"), ("validation", "loss"), ("sample", "text")):
        assert [e[name] for e in of_kind(events, kind)] == [
            e[name] for e in of_kind(fastrnn.read_log(whole), kind)]


def test_a_run_that_goes_back_tells_it(corpus, tmp_path):
    log = tmp_path / "run.jsonl"
    with pytest.warns(UserWarning, match="goes on from update"):
        trainer = trainer_of(corpus, cell="relu", updates=300, learning_rate=20.0, clip_value=None,
                             log=log, log_every=1, on_divergence="rollback")
        trainer.run()
    back = of_kind(fastrnn.read_log(log), "diverged")
    assert back and back[-1]["learning_rate_factor"] == 0.5 ** len(of_kind(
        lines_of(log), "diverged"))
    assert all(e["at"] > e["update"] for e in back)
    progress = of_kind(fastrnn.read_log(log), "progress")
    assert [e["update"] for e in progress] == list(range(1, 301))
    np.testing.assert_allclose([e["loss"] for e in progress], trainer.history.loss / 6)


def test_the_end_of_a_run_says_why(corpus, tmp_path):
    log = tmp_path / "run.jsonl"

    def fails(trainer):
        if trainer.update == 20:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError):
        train(corpus, **SIZES, updates=40, log=log, callback=fails, callback_every=10)
    last = fastrnn.read_log(log)[-1]
    assert (last["event"], last["update"], last["stopped"]) == ("ended", 20, "error")
    assert last["error"] == "RuntimeError: mine"
    train(corpus, **SIZES, updates=40, log=log, callback=lambda t: t.update == 10,
          callback_every=10)
    assert fastrnn.read_log(log)[-1]["stopped"] == "callback"
    trainer = trainer_of(corpus, cell="relu", updates=300, learning_rate=1e3, clip_value=None,
                         log=log)
    with pytest.raises(fastrnn.DivergenceError) as found, np.errstate(all="ignore"):
        trainer.run()
    events = fastrnn.read_log(log)
    assert [e["event"] for e in events][-2:] == ["diverged", "ended"]
    assert events[-2]["at"] == found.value.update and events[-2]["learning_rate_factor"] is None
    assert json.loads(log.read_text().splitlines()[-2], parse_constant=pytest.fail)


@pytest.mark.parametrize("kind", ["started", "progress", "ended"])
def test_a_function_that_fails_leaves_the_log_complete(corpus, tmp_path, kind):
    log = tmp_path / "run.jsonl"

    def fails(event):
        if event.kind == kind:
            raise RuntimeError("mine")

    trainer = trainer_of(corpus, log=log, log_every=50, updates=20, on_event=fails)
    with pytest.raises(RuntimeError, match="mine"):
        trainer.run()
    last = fastrnn.read_log(log)[-1]
    assert last["event"] == "ended"
    assert last.get("error") == (None if kind == "ended" else "RuntimeError: mine")
    trainer_of(corpus, log=log, updates=1).run()  # it is closed


def test_a_run_while_an_error_is_handled_did_not_fail(corpus, tmp_path):
    log = tmp_path / "run.jsonl"
    try:
        raise KeyError("earlier")
    except KeyError:
        trainer_of(corpus, log=log, updates=20).run()
    last = fastrnn.read_log(log)[-1]
    assert last["stopped"] == "finished" and "error" not in last


def test_paths_that_cannot_be_a_log(corpus, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("my homework\n")
    for path, error in ((mine, FileExistsError), (tmp_path, IsADirectoryError),
                        (tmp_path / "no" / "x", FileNotFoundError)):
        with pytest.raises(error, match=str(path)):
            trainer_of(corpus, log=path)
    assert mine.read_text() == "my homework\n"
    assert sorted(os.listdir(tmp_path)) == ["mine.txt"]
    with pytest.raises(TypeError, match="log must be a path, not 3"):
        trainer_of(corpus, log=3)
    with pytest.raises(TypeError, match="on_event must be a function of an event"):
        trainer_of(corpus, on_event="x")
    trainer_of(corpus, log=mine, overwrite=True, updates=1).run()
    assert [e["event"] for e in fastrnn.read_log(mine)][:1] == ["started"]


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_two_runs_in_one_log(corpus, tmp_path):
    log = tmp_path / "run.jsonl"

    def another(trainer):
        if trainer.update == 10:
            with pytest.raises(OSError, match="another run is writing it"):
                trainer_of(corpus, log=log, updates=3).run()

    trainer_of(corpus, log=log, updates=20, callback=another, callback_every=10).run()
    assert fastrnn.read_log(log)[-1]["update"] == 20


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_leaves_whole_lines(corpus, tmp_path):
    """A limit of the size of files stands for it; one warning, and the run is the same."""
    code = """
import resource, warnings
import fastrnn
from runs import SIZES, corpus_of, train
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
def limit(trainer):
    full = 20 <= trainer.update < 60
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500 if full else limits[0], limits[1]))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model = train(corpus_of(), **SIZES, updates=100, log="run.jsonl", log_every=1,
                  callback_every=10, callback=limit)
print(len(told), told[0].message)
"""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = os.pathsep.join([folder, *sys.path])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                          text=True, env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 cannot write the log 'run.jsonl'")
    updates = [e["update"] for e in of_kind(fastrnn.read_log(tmp_path / "run.jsonl"), "progress")]
    assert updates == [*range(1, 21), *range(61, 101)]


@pytest.mark.parametrize("content", [
    b"my homework\n", b"{}\n", b'{"event": "x"}\n', b'{"event": "x", "update": "1"}\n',
    b'{"event": 3, "update": 1}\n', b'{"event": "' + b"[" * 100_000 + b"\n", b"\x00" * 100])
def test_what_is_no_log(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x.jsonl"):
        fastrnn.read_log(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        fastrnn.read_log(tmp_path / "none")


def test_a_log_is_read_while_it_grows(corpus, tmp_path):
    log, seen = tmp_path / "run.jsonl", []
    log.touch()
    reader = Reader(log)
    assert not reader.more() and reader.events == []

    def look(trainer):
        reader.more()
        seen.append(reader.events[-1]["update"])

    trainer_of(corpus, log=log, log_every=5, updates=20, callback=look, callback_every=5).run()
    assert seen == [0, 5, 10, 15, 20]
    whole = log.read_bytes()
    log.write_bytes(whole[:-10])
    late = Reader(log)
    late.more()
    assert late.events == fastrnn.read_log(log) and len(late.events) == len(whole.split(b"\n")) - 2
    log.write_bytes(whole)
    assert late.more() and late.events[-1]["event"] == "ended" and not late.more()
    trainer_of(corpus, log=log, log_every=5, updates=2).run()
    assert late.more() and late.events == fastrnn.read_log(log)  # a shorter file is a new one


def test_the_same_warning_comes_once(corpus, tmp_path):
    """Saves that fail again and again; one that succeeds in between makes it new."""
    path, mine = tmp_path / "m.safetensors", b"mine"

    def other_program(trainer):
        if trainer.update in (10, 50):
            path.write_bytes(mine)
        elif trainer.update in (40, 90):
            path.unlink()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(corpus, **SIZES, updates=100, checkpoint=path, checkpoint_every=10,
              callback=other_program, callback_every=10)
    assert len(told) == 2 and all("tries again" in str(w.message) for w in told)


# ---- TensorBoard ----

def records(path):
    """The events in a file as tensorboardX's messages: each is its length, a checksum of that, the
    message, a checksum of it. The end may be cut off."""
    from tensorboardX.crc32c import crc32c
    from tensorboardX.proto.event_pb2 import Event
    data, at = path.read_bytes(), 0
    while len(data) - at >= 12:
        length, = struct.unpack_from("<Q", data, at)
        message = data[at + 12 : at + 12 + length]
        if len(data) < at + 16 + length:
            return
        for part, where in ((data[at : at + 8], at + 8), (message, at + 12 + length)):
            crc = crc32c(part)
            masked = (((crc >> 15) | (crc << 17)) + 0xa282ead8) % 2**32
            assert struct.unpack_from("<I", data, where) == (masked,)
        yield Event.FromString(message)
        at += 16 + length


def parsed(folder):
    """Scalars and texts, by the rule that a start hides what was written of its step and later."""
    found = []
    for path in sorted(folder.iterdir()):
        for event in records(path):
            if event.HasField("session_log"):
                found = [each for each in found if each[1] < event.step]
            for value in event.summary.value:
                text = value.tensor.string_val
                found.append((value.tag, event.step,
                              text[0].decode() if text else value.simple_value))
    return found


def read_back(folder):
    """The same of `parsed`, and of TensorBoard where it is installed: (step, value) by tag."""
    found = {}
    for tag, step, value in parsed(folder):
        found.setdefault(tag, []).append((step, value))
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError:
        return found
    board = event_accumulator.EventAccumulator(
        str(folder), size_guidance={"scalars": 0, "tensors": 0})
    board.Reload()
    shown = {tag: [(e.step, e.value) for e in board.Scalars(tag)]
             for tag in board.Tags()["scalars"]}
    shown |= {tag: [(e.step, e.tensor_proto.string_val[0].decode()) for e in board.Tensors(tag)]
              for tag in board.Tags()["tensors"]}
    assert shown == found
    return found


def test_tensorboard_reads_the_same(corpus, tmp_path):
    pytest.importorskip("tensorboardX")
    folder, log = tmp_path / "board" / "one", tmp_path / "run.jsonl"
    settings = {"log": log, "tensorboard": folder, "log_every": 10, "samples_at": [20, 40],
                "valid_fraction": 0.1, "valid_every": 20, "checkpoint_every": 20, "accuracy": True}

    def fails(trainer):
        if trainer.update == 35:
            (tmp_path / "m.safetensors").rename(tmp_path / "kept.safetensors")

    train(corpus, **SIZES, updates=120, checkpoint=tmp_path / "m.safetensors", **settings,
          callback=lambda t: fails(t) or t.update == 35, callback_every=5)
    train(corpus, resume=tmp_path / "kept.safetensors", **settings | {"checkpoint_every": 0})
    found = read_back(folder)
    events = fastrnn.read_log(log)
    for kind, name, tag in (("progress", "loss", "loss/training"),
                            ("progress", "smoothed_loss", "loss/smoothed"),
                            ("progress", "gradient_norm", "gradient_norm"),
                            ("progress", "learning_rate", "learning_rate"),
                            ("validation", "loss", "loss/validation"),
                            ("accuracy", "accuracy", "accuracy")):
        expected = [(e["update"], e[name]) for e in of_kind(events, kind)]
        shown = dict(found[tag])  # a validation right after the checkpoint's update comes twice
        assert list(shown) == [step for step, _ in expected], tag
        np.testing.assert_allclose([*shown.values()], [v for _, v in expected], rtol=1e-6)
    shown = [(step, "\n".join(line[4:] for line in text.split("\n")))
             for step, text in dict(found["sample/text_summary"]).items()]
    assert shown == [(e["update"], e["text"].rstrip("\n")) for e in of_kind(events, "sample")]
    assert '"hidden_size": 9' in found["run/text_summary"][-1][1]


def test_a_directory_that_tensorboard_cannot_have(corpus, tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="tensorboard: cannot write into .*file"):
        trainer_of(corpus, tensorboard=tmp_path / "file")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[tensorboard\]"'):
        trainer_of(corpus, tensorboard=tmp_path / "board")


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_tensorboard_on_a_full_disk(corpus, tmp_path):
    """One warning; what comes after it is there again."""
    pytest.importorskip("tensorboardX")
    code = """
import resource, warnings
from fastrnn.training import tensorboard
from runs import SIZES, corpus_of, train
tensorboard.RETRY = tensorboard.FLUSH = 0
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
def limit(trainer):
    full = 20 <= trainer.update < 60
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000 if full else limits[0], limits[1]))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    train(corpus_of(), **SIZES, updates=100, tensorboard="board", log_every=1, callback_every=10,
          callback=limit)
print(len(told), told[0].message)
"""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([folder, *sys.path])})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 cannot write for TensorBoard into 'board' (File too large)")
    updates = [step for step, _ in read_back(tmp_path / "board")["loss/training"]]
    assert updates == sorted(set(updates)) and {*range(1, 21), *range(61, 101)} <= {*updates}
    assert len(updates) < 100
