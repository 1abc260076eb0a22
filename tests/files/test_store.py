"""Files: a crash loses nothing, and no bad file is trusted."""
import ast
import errno
import json
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import SIZES, corpus, corpus_of, run, train
from safetensors import safe_open
from safetensors.numpy import save_file

import fastrnn

__all__ = ["corpus", "run"]  # fixtures


# ---- crashes ----

SAVING = """
import sys
import numpy as np
import fastrnn
model = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=300)
n = 0
while True:
    n += 1
    model.block[:] = n
    model.save(sys.argv[1])
    print(n, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
def test_kill_9_leaves_a_whole_file(tmp_path):
    path = tmp_path / "m.safetensors"
    for pause in (0.05, 0.13):
        child = subprocess.Popen([sys.executable, "-c", SAVING, path], stdout=subprocess.PIPE,
                                 text=True)
        assert child.stdout.readline() == "1\n"
        for _ in range(5):
            child.send_signal(signal.SIGSTOP)  # as a crash: nothing of it runs from here on
            assert len(np.unique(fastrnn.load(path).block)) == 1  # one save's numbers, not two's
            child.send_signal(signal.SIGCONT)
            time.sleep(pause / 5)
        child.kill()
        said = child.communicate()[0].split()
        last = int(said[-1]) if said else 1
        values = np.unique(fastrnn.load(path).block)
        assert values.size == 1 and values[0] >= last  # what was said to be saved is there
    fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3).save(path)  # saving works as before
    assert fastrnn.load(path).block.size == 3 * 2 + 9 + 3 + 6 + 2


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
@pytest.mark.parametrize("function", ["replace", "fsync", "fdopen"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, corpus, monkeypatch, function, error):
    path = tmp_path / "m.safetensors"
    model = train(corpus, **SIZES, updates=20, checkpoint=path)
    before = path.read_bytes()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
    if isinstance(error, OSError):
        with pytest.raises(OSError, match="No space left"):
            train(corpus, resume=path, updates=30)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == [path.name]
    monkeypatch.undo()
    assert len(train(corpus, resume=path, updates=30).history) == 30


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_the_file_is_as_readable_as_any_other(tmp_path):
    model, path = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3), tmp_path / "m"
    before = os.umask(0o027)
    try:
        model.save(path)
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o604)
        model.save(path)
        assert path.stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    model = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3)
    model.save(target)
    link.symlink_to(target)
    model.block[:] = 5
    model.save(link)
    assert link.is_symlink()
    assert (fastrnn.load(target).block == 5).all()


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_what_is_no_regular_file_is_never_replaced(tmp_path, corpus):
    """A checkpoint at /dev/null would put a file in its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe.*not a (regular )?file"):
        train(corpus, **SIZES, updates=5, checkpoint=pipe)
    assert pipe.is_fifo()


# ---- bad files ----

def test_no_pickle_anywhere(tmp_path):
    banned = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "joblib", "torch"}
    sources = sorted(Path(fastrnn.__file__).parent.rglob("*.py*"))
    assert len(sources) > 50
    for source in sources:
        if source.suffix == ".pyx":
            assert not re.search(rf"^\s*c?import.*\b({'|'.join(banned)})\b", source.read_text(),
                                 re.MULTILINE)
        elif source.suffix == ".py":
            for node in ast.walk(ast.parse(source.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
                # joblib starts processes, and torch is what a model becomes
                allowed = {{"torch_module.py": "torch", "sweep.py": "joblib"}.get(source.name)}
                assert not (banned - allowed) & {name.split(".")[0] for name in names}, source
                # what PyTorch loads and saves is pickled
                assert not ("torch" in allowed and isinstance(node, ast.Attribute)
                            and node.attr in ("load", "save", "hub")), source
                assert not ("joblib" in allowed and isinstance(node, ast.ImportFrom)
                            and node.module == "joblib"
                            and {a.name for a in node.names} != {"Parallel", "delayed"}), source
                assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), source

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "m"
    path.write_bytes(pickle.dumps(Bomb()))
    refuses(path)
    assert not (tmp_path / "exploded").exists()


def refuses(path, match="", also_load=True):
    """Each way to open the file raises ValueError, and the message names the file."""
    pattern = f"(?s)(?=.*{re.escape(path.name)}).*{match}"
    if also_load:
        with pytest.raises(ValueError, match=pattern):
            fastrnn.load(path)
    with pytest.raises(ValueError, match=pattern):
        train(corpus_of(), resume=path, updates=200, checkpoint=path.parent / "never")
    assert not (path.parent / "never").exists()


def rewrite(path, change=None, about=None, metadata=True):
    """Write the checkpoint anew with other tensors (None: left out) or another JSON part."""
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = file.metadata()["fastrnn"]
    tensors = {n: a for n, a in (tensors | (change or {})).items() if a is not None}
    new = path.with_name("changed.safetensors")
    save_file(tensors, new, metadata={"fastrnn": about or text} if metadata else {"format": "pt"})
    return new


def put(path, keys, value):
    """The checkpoint with one value of its JSON part put in the place of another."""
    with safe_open(path, framework="np") as file:
        about = json.loads(file.metadata()["fastrnn"])
    inner = about
    for key in keys[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return rewrite(path, about=json.dumps(about))


def test_cut_short_at_any_length(run):
    data, short = run.read_bytes(), run.with_name("short.safetensors")
    header = 8 + struct.unpack("<Q", data[:8])[0]
    lengths = {0, 1, 7, 8, 9, header - 1, header, header + 1, len(data) - 1,
               *np.linspace(2, len(data) - 2, 25, dtype=int).tolist()}
    for length in lengths:
        short.write_bytes(data[:length])
        refuses(short, "is not a safetensors file, or is cut short")
    short.write_bytes(data + b"\0")
    refuses(short)


def test_flipped_bits_in_the_header(run):
    """A file either opens or is refused with a ValueError that names it; nothing else happens."""
    data, bad = bytearray(run.read_bytes()), run.with_name("bad.safetensors")
    header = 8 + struct.unpack("<Q", data[:8])[0]
    corpus, surprises, refused = corpus_of(), [], 0
    for at in range(0, header, 9):
        data[at] ^= 1 << at % 7
        bad.write_bytes(data)
        data[at] ^= 1 << at % 7
        for call in (lambda: fastrnn.load(bad),
                     lambda: fastrnn.load(bad, best=True),
                     lambda: fastrnn.Trainer.from_checkpoint(bad, corpus)):
            try:
                call()
            except ValueError as error:
                refused += 1
                if "bad.safetensors" not in str(error):
                    surprises.append((at, error))
            except Exception as error:
                surprises.append((at, error))
    assert surprises == []
    assert refused > header / 9


def test_another_version(run):
    for version in (0, 1, 3, 8, 99, "4", None, [3]):
        refuses(put(run, ["format_version"], version), "format version")
    refuses(put(run, ["format_version"], ...))


def test_a_file_of_another_version_is_not_looked_into(run):
    """A later version may have other parts; the message must still be about the version."""
    refuses(rewrite(run, about=json.dumps({"format_version": 8, "network": {}})),
            "format version 8.*reads version 7")


def safetensors_of(path, dtype, size):
    header = json.dumps({"weight": {"dtype": dtype, "shape": [4], "data_offsets": [0, size]},
                         "__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


@pytest.mark.parametrize(("dtype", "size"), [
    ("F32", 16), ("F64", 32), ("F16", 8), ("BF16", 8), ("F8_E4M3", 4), ("BOOL", 4), ("I64", 32)])
def test_a_safetensors_file_of_another_program(tmp_path, dtype, size):
    path = tmp_path / "theirs.safetensors"
    safetensors_of(path, dtype, size)
    refuses(path, "fastrnn did not write it")


def test_safetensors_without_metadata(tmp_path, run):
    save_file({"w": np.zeros(3)}, tmp_path / "plain.safetensors")
    refuses(tmp_path / "plain.safetensors", "fastrnn did not write it")
    refuses(rewrite(run, metadata=False), "fastrnn did not write it")


@pytest.mark.parametrize("name", [
    "layer0.Wx", "layer0.Wh", "layer0.b", "head.W", "head.b", "history.loss",
    "history.smooth_loss", "history.valid_loss", "history.valid_updates", "best", "best_state",
    "optimizer.0", "state"])
def test_tensors_that_are_missing_or_of_another_shape_or_type(run, name):
    also_load = name != "optimizer.0"  # which only a resume needs
    told = re.escape(name) if "history" not in name else "history"
    refuses(rewrite(run, {name: None}), told, also_load)
    with safe_open(run, framework="np") as file:
        good = file.get_tensor(name)
    for bad in (good[..., :-1].copy(), good[None], good.astype(np.float16), good.astype(np.int32),
                np.array(good.flat[0]), good[..., :0]):
        refuses(rewrite(run, {name: bad}), told, also_load)


def test_the_history_must_be_as_long_as_the_run(run):
    """Else a plot and a resumed run would not fit together."""
    refuses(put(run, ["trainer", "counters", "update"], 149), also_load=False)


def short(value):
    return str(value)[:40]


@pytest.mark.parametrize("about", [
    "{", "[]", "5", "null", "NaN", '"text"', "{}", '{"format_version": 4}', "[" * 100_000,
    '{"format_version": 4, "model": {}, "vocabulary": {}}'], ids=short)
def test_json_garbage(run, about):
    refuses(rewrite(run, about=about))


@pytest.mark.parametrize(("keys", "value"), [
    (["model"], None), (["model"], []), (["model", "surprise"], 1), (["model", "cell"], "lstm"),
    (["model", "hidden_size"], 10), (["model", "hidden_size"], 10**9),
    (["model", "hidden_size"], 10**400), (["model", "hidden_size"], 9.0),
    (["model", "hidden_size"], -9), (["model", "hidden_size"], "9"),
    (["model", "dtype"], "float16"), (["model", "dtype"], "float64"), (["model", "dtype"], 4),
    (["model", "num_layers"], 0), (["model", "num_layers"], 2), (["model", "num_layers"], 10**9),
    (["model", "num_layers"], 10**400), (["model", "num_layers"], "1"),
    (["model", "num_layers"], None), (["model", "num_layers"], ...),
    (["model", "embedding_size"], 10**9), (["model", "embedding_size"], "5"),
    (["model", "dropout"], 1), (["model", "dropout"], "x"),
    (["history"], ...), (["history"], 6), (["history", "seq_length"], 0),
    (["history", "seq_length"], "six"), (["history", "seq_length"], ...),
    (["model", "init_scale"], "x"), (["model", "init_scale"], 10**400), (["model", "seed"], -1),
    (["vocabulary"], None), (["vocabulary", "symbols"], []), (["vocabulary", "symbols"], [*"ab"]),
    (["vocabulary", "symbols"], [[]] * 10), (["vocabulary", "symbols"], [*range(10)]),
    (["vocabulary", "unit"], "letter"), (["vocabulary", "unit"], {}),
], ids=short)
def test_wrong_values_in_the_json(run, keys, value):
    refuses(put(run, keys, value), "damaged")


@pytest.mark.parametrize(("keys", "value"), [
    (["trainer"], None), (["trainer"], 5), (["trainer"], {}), (["trainer", "config"], []),
    (["trainer", "config", "surprise"], 1), (["trainer", "config", "seq_length"], -1),
    (["trainer", "config", "seq_length"], 10**9), (["trainer", "config", "batch_size"], 3),
    (["trainer", "config", "optimizer"], "adam"), (["trainer", "config", "optimizer"], "magic"),
    (["trainer", "config", "learning_rate"], 0), (["trainer", "config", "learning_rate"], "x"),
    (["trainer", "counters"], ...), (["trainer", "counters", "update"], -5),
    (["trainer", "counters", "update"], 10**30), (["trainer", "counters", "update"], "x"),
    (["trainer", "counters", "position"], 10**6), (["trainer", "counters", "position"], -1),
    (["trainer", "counters", "smooth_loss"], "x"), (["trainer", "counters", "best_update"], ...),
    (["trainer", "generator"], None), (["trainer", "generator"], {}),
    (["trainer", "generator", "bit_generator"], "MT19937"),
    (["trainer", "generator", "state", "state"], 10**60),
    (["trainer", "generators"], None), (["trainer", "generators"], [{}]),
    (["trainer", "generators"], ...), (["trainer", "seconds"], -1), (["trainer", "seconds"], "x"),
    (["trainer", "seconds"], 1e400), (["trainer", "seconds"], ...),
    (["trainer", "config", "valid_fraction"], 2), (["trainer", "config", "valid_every"], -1),
    (["trainer", "config", "patience"], "x"), (["trainer", "config", "minutes"], 3),
    (["trainer", "config", "schedule"], "sine"), (["trainer", "config", "momentum"], ...),
    (["trainer", "config", "momentum"], 1), (["trainer", "config", "checkpoint"], "never"),
    (["trainer", "text"], None),
], ids=short)
def test_wrong_values_in_the_part_of_the_run(run, keys, value):
    path = put(run, keys, value)
    refuses(path, also_load=False)
    try:  # the model itself may be loaded, or not
        fastrnn.load(path, best=True)
    except ValueError as error:
        assert path.name in str(error)


@pytest.mark.parametrize("name", ["nowhere", "file/under-a-file", "", "nul\0l"])
def test_no_such_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(OSError, match="give the path of a checkpoint file"):
        fastrnn.load(name)
    with pytest.raises(OSError, match="give the path of a checkpoint file"):
        train(corpus_of(), resume=name)


def test_a_directory(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a directory"):
        fastrnn.load(tmp_path)


# ---- what is never replaced ----

FOREIGN = [b"a book, all of it " * 20, b"x", b"\x89PNG\r\n\x1a\n" + bytes(99),
           b"\x10" + bytes(7) + b'{"a": "fastrnn"}']


@pytest.mark.parametrize("data", FOREIGN, ids=range(len(FOREIGN)))
@pytest.mark.parametrize("way", ["path", "relative", "link", "link of a directory"])
def test_a_file_of_another_program_is_not_replaced(tmp_path, corpus, monkeypatch, data, way):
    monkeypatch.chdir(tmp_path)
    book = tmp_path / "book.txt"
    book.write_bytes(data)
    (tmp_path / "link").symlink_to(book)
    (tmp_path / "here").symlink_to(tmp_path)
    path = {"path": book, "relative": "here/../book.txt", "link": "link",
            "link of a directory": "here/book.txt"}[way]
    if way == "relative":
        path = "./book.txt"
    model = fastrnn.Model(corpus.vocabulary, hidden_size=3)
    for write in (model.save, fastrnn.Trainer(model, corpus, progress=False).save,
                  lambda path: train(corpus, hidden_size=3, updates=1, checkpoint=path)):
        with pytest.raises(FileExistsError, match="fastrnn did not write it.*overwrite=True"):
            write(path)
        assert book.read_bytes() == data
    assert sorted(os.listdir()) == ["book.txt", "here", "link"]
    train(corpus, hidden_size=3, updates=1, checkpoint=path, overwrite=True)
    assert len(fastrnn.load(book).history) == 1
    model.save(path)  # now it is fastrnn's


def test_a_file_that_is_replaced_meanwhile_is_left_alone(tmp_path, corpus):
    path = tmp_path / "m.safetensors"

    def other_program(trainer):
        if trainer.update == 20:
            path.write_bytes(b"mine")

    with pytest.raises(FileExistsError), pytest.warns(UserWarning, match="tries again"):
        train(corpus, **SIZES, updates=60, sample_every=10, checkpoint=path, checkpoint_every=10,
              callback=other_program)
    assert path.read_bytes() == b"mine"


def test_an_empty_file_is_replaced(tmp_path):
    path = tmp_path / "m"
    path.touch()
    fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3).save(path)
    assert fastrnn.load(path).block.size == 3 * 2 + 9 + 3 + 6 + 2


# ---- memory and disk ----

LIMITED = """
import os, resource, sys
import numpy as np
import fastrnn
model = fastrnn.Model(fastrnn.Vocabulary("abcd"), cell="lstm", hidden_size=1500)
model.save("warm.safetensors")
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
soft = used + model.block.nbytes // 2  # no second copy fits
resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
try:
    model.block.copy()
except MemoryError:
    model.save("m.safetensors")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
assert fastrnn.load("m.safetensors").block.tobytes() == model.block.tobytes()
print(model.block.nbytes)
"""

FULL = """
import os, resource, warnings
import fastrnn
corpus = fastrnn.Corpus.from_text("abcdefgh" * 200)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
def limit(full):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if full else limits[0], limits[1]))
def fill(full):
    with open("filler", "wb") as file:
        file.write(bytes(200_000 if full else 0))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    fastrnn.train(corpus, preset="classic", hidden_size=90, updates=100, sample_every=10,
                  checkpoint="m.safetensors", checkpoint_every=10, progress=False,
                  callback=lambda trainer: HOW(20 <= trainer.update < 60))
print(len(told), len(fastrnn.load("m.safetensors").history))
print(told[0].message)
print(*sorted(os.listdir(".")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc of Linux")
def test_a_save_needs_no_second_copy_in_memory(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True,
                          text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30e6


def outlives_a_full_disk(folder, how, reason, *inside):
    """A run during which the disk is full from update 20 to 60; four saves fail, and the first is
    told."""
    done = subprocess.run([*inside, sys.executable, "-c", FULL.replace("HOW", how)], cwd=folder,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers, said, names = done.stdout.splitlines()
    assert numbers == "1 100"
    assert f"cannot write 'm.safetensors' ({reason})" in said and "tries again" in said
    assert [name for name in names.split() if name != "filler"] == ["m.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_ends_no_run(tmp_path):
    """A limit of the size of files stands for it."""
    outlives_a_full_disk(tmp_path, "limit", "File too large")


def test_a_small_disk_that_is_full(tmp_path):
    """A file system of 400 kB in a name space of its own. A file takes 136 kB, a save two."""
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
              'mount -t tmpfs -o size=400k none . && cd "$PWD" && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], cwd=tmp_path).returncode:
        pytest.skip("needs unshare of Linux, and leave to mount")
    outlives_a_full_disk(tmp_path, "fill", "No space left on device", *inside)
