"""Training by several processes: real ones under mpiexec, if mpi4py is installed, and threads."""
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from on_ranks import CASES, PLAN

import fastrnn
from fastrnn import distributed, kernels
from fastrnn.distributed import Meeting, pack, unpack
from fastrnn.optim import rule_of

PROGRAM = Path(__file__).with_name("on_ranks.py")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or MPIEXEC is None,
    reason='needs mpi4py and mpiexec: pip install "fastrnn[mpi]" mpich')


def start(ranks, *arguments, **how):
    """A program on so many ranks, one thread each."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env=environment, **how)


def run(ranks, *arguments, **how):
    """Its status, and what it printed."""
    process = start(ranks, *arguments, **how)
    output = process.communicate(timeout=120)[0]
    return process.returncode, output


def on_ranks(ranks, folder, *cases):
    folder.mkdir(exist_ok=True)
    return run(ranks, PROGRAM, folder, *cases)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The checkpoints and models of one process without MPI."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, PROGRAM, folder, *CASES], check=True, timeout=120,
                   capture_output=True)
    return folder


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_gives_the_same_bits(ranks, alone, tmp_path):
    status, output = on_ranks(ranks, tmp_path, *CASES)
    assert status == 0, output
    for case in CASES:
        expected, model = f"{case}.safetensors", f"{case}-0.model"
        assert (tmp_path / expected).read_bytes() == (alone / expected).read_bytes(), case
        for rank in range(ranks):  # train returns the same model on each
            found = tmp_path / f"{case}-{rank}.model"
            assert found.read_bytes() == (alone / model).read_bytes(), (case, rank)


@needs_mpi
def test_resumed_on_another_number_of_ranks(alone, tmp_path):
    for ranks, what in (2, "half"), (3, "resume"):
        status, output = on_ranks(ranks, tmp_path, f"{what}:shuffled", f"{what}:records")
        assert status == 0, output
    for case in "shuffled", "records":
        found = fastrnn.load(tmp_path / f"{case}.safetensors", best=False)
        expected = fastrnn.load(alone / f"{case}.safetensors", best=False)
        assert (found.block == expected.block).all()
        assert (found.history.loss == expected.history.loss).all()


@needs_mpi
def test_rank_0_decides_about_minutes(tmp_path):
    status, output = on_ranks(3, tmp_path, "minutes:text")
    assert status == 0, output
    assert len({(tmp_path / f"text-{rank}.model").read_bytes() for rank in range(3)}) == 1
    assert len(fastrnn.load(tmp_path / "text-2.model").history) > 10


@needs_mpi
def test_a_rank_that_is_killed_ends_all_and_leaves_the_last_checkpoint(tmp_path):
    status, output = on_ranks(3, tmp_path, "kill:text")
    assert status != 0
    assert "KILLED" in output.upper() or "signal" in output
    assert len(fastrnn.load(tmp_path / "text.safetensors", best=False).history) % 5 == 0


@needs_mpi
def test_sigterm_at_any_rank_ends_all_and_loses_nothing(tmp_path):
    status, output = on_ranks(2, tmp_path, "terminate:text")
    assert "interrupted after" in output
    made = int(output.partition("interrupted after ")[2].split()[0])
    assert len(fastrnn.load(tmp_path / "text.safetensors", best=False).history) == made > 0


@needs_mpi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_saves(number, tmp_path):
    path, log = tmp_path / "m.safetensors", tmp_path / "log.jsonl"
    (tmp_path / "t.txt").write_text("to be or not to be, that is the question. " * 200)
    process = start(2, "-m", "fastrnn", "train", "t.txt", "--updates", "10000000", "--hidden-size",
                    "16", "--checkpoint", path, "--log", log, "--seed", "1", cwd=tmp_path)
    while not (log.exists() and '"progress"' in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, output
    assert output.count("to go on: fastrnn train t.txt --resume") == 1
    assert len(fastrnn.load(path, best=False).history) > 0


@needs_mpi
def test_the_command_prints_once_and_reads_standard_input(tmp_path):
    with open(tmp_path / "t.txt", "w+") as file:
        file.write("to be or not to be, that is the question. " * 200)
        file.seek(0)
        status, output = run(
            3, "-m", "fastrnn", "train", "-", "--updates", "20", "--hidden-size", "16",
            "--batch-size", "24", "--checkpoint", tmp_path / "m", stdin=file)
    assert status == 0, output
    words = " ".join(output.split())
    assert words.count("on each of 3 processes") == words.count("20 updates in") == 1
    assert len(fastrnn.load(tmp_path / "m.safetensors", best=False).history) == 20


@needs_mpi
@pytest.mark.parametrize("arguments, message", [
    (["no.txt"], "no file 'no.txt'"), (["--bogus"], "there is no flag --bogus"),
    (["--hidden-size", "0"], "hidden-size")])
def test_the_command_says_once_what_is_wrong(arguments, message, tmp_path):
    status, output = run(2, "-m", "fastrnn", "train", *arguments, cwd=tmp_path)
    assert status == 2
    assert output.count("fastrnn: error:") == 1 and message in output


@needs_mpi
@pytest.mark.parametrize("case, message", [
    ("other-data", "rank 1 on .* has data .*: call fastrnn.train with the same data on all"),
    ("other-settings", r"rank 1 on .* settings .*: .*fastrnn.distributed.use\(None\)"),
    ("diverging", "training has diverged")])
def test_what_is_wrong_ends_all_ranks(case, message, tmp_path):
    status, output = on_ranks(2, tmp_path, f"{case}:text")
    assert status == 1
    assert len(re.findall(message, output)) == 2, output  # a traceback on each
    assert case == "diverging" or not (tmp_path / "text.safetensors").exists()


@needs_mpi
def test_an_error_of_one_rank_ends_all(tmp_path):
    status, output = on_ranks(3, tmp_path, "broken:text")
    assert status != 0
    assert re.search("fastrnn: rank [12] on .*: MemoryError: no room", output), output


@needs_mpi
@pytest.mark.skipif(len(kernels.available_isas()) < 2, reason="there is one instruction set")
def test_ranks_of_different_instruction_sets_are_refused(tmp_path):
    best = kernels.running_isa()
    program = PROGRAM, tmp_path, "text"
    status, output = run(1, *program, ":", "-n", "1", "env", "FASTRNN_ISA=baseline",
                         sys.executable, *program)
    assert status != 0 and "has isa baseline, and rank 0" in output, output
    assert f"{best}: set FASTRNN_ISA to one that all have" in output


@needs_mpi
def test_ranks_that_train_apart(alone, tmp_path):
    status, output = on_ranks(2, tmp_path, "apart:text")
    assert status == 0, output
    for rank in range(2):
        found = (tmp_path / f"text{rank}.safetensors").read_bytes()
        assert found == (alone / "text.safetensors").read_bytes()


def test_mpiexec_without_the_extra_is_refused(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    with pytest.raises(ImportError, match=r"each train alone and overwrite .*fastrnn\[mpi\]"):
        fastrnn.train(fastrnn.Corpus.from_text("abc" * 100), **PLAN)
    monkeypatch.setenv("FASTRNN_MPI", "0")
    assert distributed.size() == 1 and distributed.rank() == 0


@needs_mpi
def test_mpiexec_of_another_library_is_refused():
    environment = os.environ | {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
    found = subprocess.run([sys.executable, "-m", "fastrnn", "train"], env=environment, text=True,
                           capture_output=True, timeout=60)
    assert found.returncode == 2 and "mpi4py sees 1: it was made for another MPI" in found.stderr


def test_messages():
    arrays = {"a": np.arange(6, dtype=np.uint16).reshape(2, 3)[:, ::-1], "empty": np.zeros((0, 2)),
              "b": np.array([True, False])}
    about, found = unpack(pack({"x": float("inf")}, arrays))
    assert about == {"x": float("inf")} and list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and (found[name] == array).all()
        assert found[name].shape == array.shape and found[name].flags.writeable


class Mail:
    """As much of MPI as a `Meeting` needs, for threads of one process."""

    class DOUBLE:
        @staticmethod
        def Create_vector(*shape):
            return Mail.Vector(shape)

    class Vector(tuple):
        def Commit(self):
            return self

        def Free(self):
            pass

    class Prequest:
        @staticmethod
        def Startall(requests):
            for request in requests:
                request.start()

    class Request:
        @staticmethod
        def Testall(requests):
            return all([request.done() for request in requests])

    def __init__(self, rank, box):
        self.rank, self.box = rank, box

    def Send_init(self, what, to, tag):
        return Letter(self.box, (self.rank, to, tag), what, sent=True)

    def Recv_init(self, what, of, tag):
        return Letter(self.box, (of, self.rank, tag), what, sent=False)


class Letter:
    def __init__(self, box, key, what, sent):
        self.box, self.key, self.sent, self.finished = box, key, sent, True
        if isinstance(what, list):  # columns of an array
            flat, _, (T, width, step) = what
            what = np.lib.stride_tricks.as_strided(flat, (T, width), (8 * step, 8))
        self.what = what

    def start(self):
        self.finished = self.sent
        if self.sent:
            self.box.setdefault(self.key, []).append(self.what.copy())

    def done(self):
        if not self.finished and self.box.get(self.key):
            self.what[...] = self.box[self.key].pop(0)
            self.finished = True
        return self.finished

    def Free(self):
        pass


class Rank:
    def __init__(self, rank, size, box):
        self.rank, self.size, self.mail = rank, size, Mail(rank, box)

    def meeting(self, *what):
        return Meeting(self, Mail, self.mail, *what)

    def abort(self, error):
        raise error


def trained(model, ids, N, updates, ranks, threads=1, **rule):
    """The parameters after some updates by so many ranks, threads of this process: of each rank."""
    rule, box, found = rule_of({"optimizer": "adam", "clip_norm": 0.1} | rule), {}, {}

    def work(rank):
        mine = model.copy()  # networks of one model wait for each other
        block, network = mine.block, mine.compiled(5, N)
        training = kernels.Training(
            network, rule, block, [np.zeros_like(block) for _ in range(rule.memories)],
            model.zero_state(N), np.zeros_like(block), ids, threads=threads)
        if ranks > 1:
            training.share(Rank(rank, ranks, box))
        found[rank] = [training.run(np.full(updates, 0.01))[0].tobytes(), block.tobytes()]

    workers = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(ranks)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    return [found[rank] for rank in range(ranks)]


@pytest.mark.parametrize("N, slices", [(3, 1), (33, 4), (70, 6), (140, 10)])
@pytest.mark.parametrize("ranks", [2, 3, 5, 7, 12])
def test_any_ranks_of_threads_give_the_same_bits(N, slices, ranks):
    model = fastrnn.Model(fastrnn.Vocabulary("abcdefg"), hidden_size=11, cell="lstm", seed=1)
    ids = np.random.default_rng(0).integers(0, 7, 40 * N).astype(np.uint8)
    assert len(model.network(5, N).slices) == slices
    for rule in {}, {"optimizer": "adagrad"}:  # one visits only the rows that a batch picks
        one = trained(model, ids, N, 9, 1, **rule)[0]
        for threads in 1, 3:
            assert trained(model, ids, N, 9, ranks, threads, **rule) == [one] * ranks
