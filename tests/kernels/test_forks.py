"""Forks while other threads work: the child has whole models, and hangs nowhere."""
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from test_threads import in_a_process, start

from fastrnn.kernels import blas
from fastrnn.kernels.team import end_helpers, helpers, no_fork

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

PATIENCE = 60  # seconds for a child: it needs less than one


def in_a_child(work):
    """The exit status of a child that does some work, 0 where all went well."""
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.__stderr__.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# Threads that train with a bar, sample, score and use layers; children that do the same.
FORKS = """
import contextlib
import io
import multiprocessing
from test_forks import *
from test_threads import *
model, (trainer, other) = trainers((16, 16), threads=2)
trainer.progress, trainer.config["updates"] = True, 10**9
esn = fastrnn.EchoStateNetwork(units=70)
series = np.sin(np.arange(300.0))[:, None]
esn.fit(series[:-1], series[1:])
layers = nn.Sequential(nn.LSTM(5, 20, threads=2), nn.Linear(20, 3))
x = np.ones((9, 7, 5))

def use():
    model.sample(30)
    model.score("abc def gh" * 20)
    layers.backward(layers.forward(x))
    esn.predict(series)

def again():
    while True:
        use()

for work in trainer.run, again, again:
    threading.Thread(target=work, daemon=True).start()

def all_of_it():
    use()
    esn.fit(series[:-1], series[1:])
    other.run(updates=other.update + 3)
    new = trainers((16,), threads=2)[1][0]
    new.progress = True
    with contextlib.redirect_stderr(io.StringIO()):
        new.run(updates=3)
        trainer.run(updates=3)  # which another thread of the parent is running

while not trainer.update:
    time.sleep(0.01)
statuses = [in_a_child(all_of_it) for _ in range({forks})]
process = multiprocessing.get_context("fork").Process(target=all_of_it)
process.start()
process.join(PATIENCE)
print(*set(statuses), process.exitcode, flush=True)
os._exit(0)
"""


def test_forks_while_other_threads_work():
    assert in_a_process(FORKS.format(forks=15)).splitlines()[-1] == "0 0"


def test_many_forks(long):
    assert in_a_process(FORKS.format(forks=400), 1200).splitlines()[-1] == "0 0"


def test_a_child_never_has_half_an_update():
    """Its parameters are those between two calls of the run that another thread is in."""
    one = start("gru", 9)
    between = {one.model.block.tobytes(): 0}
    for update in range(5, 501, 5):
        one.run(5)
        between[one.model.block.tobytes()] = update
    run = start("gru", 9, threads=2)
    thread = threading.Thread(target=lambda: [run.run(5) for _ in range(100)])
    thread.start()

    def check():
        assert between[run.model.block.tobytes()] == run.training.update
        run.run(5)
        assert between.get(run.model.block.tobytes(), 505) == run.training.update

    while thread.is_alive():
        assert in_a_child(check) == 0
    thread.join()
    assert between[run.model.block.tobytes()] == 500


def test_a_fork_waits_for_other_threads_alone():
    """Also for a thread that enters again while the fork waits; not for the one that forks."""
    entered, times = threading.Event(), {}

    def stay():
        with no_fork:
            entered.set()
            time.sleep(0.3)
            with no_fork:
                time.sleep(0.1)
            times["left"] = time.monotonic()

    def come():
        time.sleep(0.1)
        with no_fork:
            times["came"] = time.monotonic()

    threads = [threading.Thread(target=work) for work in (stay, come)]
    for thread in threads:
        thread.start()
    entered.wait()
    with no_fork:  # it would wait for itself
        assert in_a_child(lambda: None) == 0
    assert "left" not in times

    def check():
        assert "left" in times
        with no_fork:
            pass

    assert in_a_child(check) == 0
    for thread in threads:
        thread.join()
    assert sorted(times) == ["came", "left"]


def test_the_child_starts_a_pool_of_its_own():
    """And the parent's helpers have ended before the fork."""
    end_helpers()
    run, other = (start("lstm", 65, threads=3) for _ in range(2))
    run.run(5)
    assert helpers() == 2

    def work():
        assert helpers() == 0
        run.run(5)
        assert helpers() == 2
        assert in_a_child(lambda: run.run(5)) == 0

    assert in_a_child(work) == 0
    assert helpers() == 0
    for one in (run, other, other):
        one.run(5)
    assert helpers() == 2 and run.everything() == other.everything()


def test_two_threads_fork():
    done = []

    def work():
        for _ in range(20):
            done.append(in_a_child(lambda: start("rnn", 9, threads=2).run(2)))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert done == [0] * 40


def test_blas_has_its_threads_back_in_the_child():
    """At the end of the child's first context, though the thread that had one open is not there."""
    def threads():
        return [library.num_threads for library in blas._controller().lib_controllers]

    before, leave, entered = threads(), threading.Event(), threading.Event()

    def stay():
        with blas.one_thread():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()

    def check():
        with blas.one_thread():
            assert set(threads()) == {1}
        assert threads() == before
        with blas.one_thread():
            assert set(threads()) == {1}
        assert threads() == before

    assert in_a_child(check) == 0
    with blas.one_thread():  # the one who forks is in the child, so its context stays open
        def inside():
            with blas.one_thread():
                pass
            assert set(threads()) == {1}

        assert in_a_child(inside) == 0
        leave.set()
        thread.join()
        assert set(threads()) == {1}
    assert threads() == before
    assert np.ones(2) @ np.ones(2) == 2
