"""Exercises: the folders, the command, and the sentence about two arrays."""
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn import cli, exercises

HERE = Path(__file__).parent
ALL = pytest.mark.parametrize("name", exercises.EXERCISES)


def solution(name):
    return (HERE / f"solutions_{name}.py").read_text(encoding="utf-8")


# ---- folders ----

@ALL
def test_a_new_folder_is_not_filled_in(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = exercises.new(name)
    assert {path.name for path in written} == set(os.listdir(name)) >= {
        "README.md", "test_exercise.py", exercises.EXERCISES[name].file}
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert "@" not in text.replace("@pytest", "").replace(" @ ", "")
        if path.suffix == ".py":
            compile(text, path.name, "exec")
    found = exercises.check(name)
    assert [o.piece for o in found] == list(exercises.EXERCISES[name].pieces)
    assert {o.status for o in found} == {"not filled in yet"}
    readme = (tmp_path / name / "README.md").read_text(encoding="utf-8")
    places = [readme.find(f"**`{piece}`**") for piece in exercises.EXERCISES[name].pieces]
    assert places == sorted(places) and places[0] > 0  # each is explained, in this order


@ALL
def test_a_solution_is_right(name, tmp_path):
    exercises.new(name, tmp_path)
    (tmp_path / exercises.EXERCISES[name].file).write_text(solution(name), encoding="utf-8")
    assert {o.status for o in exercises.check(tmp_path)} == {"right"}


@ALL
def test_the_skeleton_has_the_functions_of_the_solution(name, tmp_path):
    exercises.new(name, tmp_path)
    head = re.compile(r"^def (\w+)\((.*)\):", re.M)
    skeleton = (tmp_path / exercises.EXERCISES[name].file).read_text(encoding="utf-8")
    assert head.findall(skeleton) == head.findall(solution(name))
    assert [function for function, _ in head.findall(skeleton)] == list(
        exercises.EXERCISES[name].pieces)


def test_pytest_in_the_folder(tmp_path):
    name = "kth"
    exercises.new(name, tmp_path)
    file = tmp_path / exercises.EXERCISES[name].file

    def run():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
            cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout

    pieces = exercises.EXERCISES[name].pieces
    code, out = run()
    assert code == 1 and f"{len(pieces)} failed" in out and "Traceback" not in out
    assert all(f"\n{piece}: not filled in yet" in out for piece in pieces)
    file.write_text(solution(name), encoding="utf-8")
    code, out = run()
    assert code == 0 and f"{len(pieces)} passed" in out


@pytest.mark.parametrize(("name", "words", "files"), [
    ("kth", ["data.txt", "20"], {"losses.csv", "smoothed_loss.png"}),
    ("lstm", ["6", "20"], {"losses.csv", "losses.png"}), ("echo", [], {"free_run.png"}),
    ("names", ["data.txt", "1"], {"losses.csv", "losses.png"})])
def test_the_program_of_the_folder(name, words, files, tmp_path):
    exercises.new(name, tmp_path)
    (tmp_path / exercises.EXERCISES[name].file).write_text(solution(name), encoding="utf-8")
    (tmp_path / "data.txt").write_text("Jan\tPoland\nEwa\n\nHanna\n" * 40, encoding="utf-8")
    done = subprocess.run([sys.executable, "run.py", *words], cwd=tmp_path, capture_output=True,
                          text=True, env=os.environ | {"MPLBACKEND": "agg"})
    assert done.returncode == 0, done.stderr
    assert done.stdout and files <= set(os.listdir(tmp_path))
    if name in ("kth", "names"):
        done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True,
                              text=True)
        assert done.returncode == 1 and done.stderr.startswith("say which ")


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    folder = tmp_path / "mine"
    exercises.new("kth", folder)
    (folder / "rnn.py").write_text("mine")
    with pytest.raises(FileExistsError, match="mine' is not empty.*name another folder"):
        exercises.new("kth", folder)
    assert (folder / "rnn.py").read_text() == "mine"
    with pytest.raises(FileExistsError, match="rnn.py' is a file: name another folder"):
        exercises.new("kth", folder / "rnn.py")
    with pytest.raises(ValueError, match="name must be one of .*did you mean 'kth'"):
        exercises.new("khh", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    (tmp_path / "empty").mkdir()
    assert exercises.new("kth", tmp_path / "empty")


def test_what_is_no_exercise(tmp_path):
    with pytest.raises(ValueError, match="no folder of an exercise"):
        exercises.check(tmp_path)
    exercises.new("kth", tmp_path)
    with pytest.raises(ValueError, match="pieces must be one of .*'forward'.* not 'forwards'"):
        exercises.check(tmp_path, ["forwards"])
    for text, message in (("def read(:", "line 1 cannot be run: SyntaxError"),
                          ("import nothing_of_this_name", "ModuleNotFoundError"),
                          ("raise SystemExit", "SystemExit")):
        (tmp_path / "rnn.py").write_text(text)
        with pytest.raises(ValueError, match=f"rnn.py'.*{message}"):
            exercises.check(tmp_path)


def test_a_quick_change_is_seen(tmp_path):
    """Python's import takes an older compiled file of the same size and second."""
    exercises.new("kth", tmp_path)
    for text, status in (("grads", "wrong"), ("{n: np.clip(g, -limit, limit) for n, g in "
                                              "grads.items()}", "right")):
        (tmp_path / "rnn.py").write_text("import numpy as np\ndef clip(grads, limit):\n"
                                         f"    return {text:60}")
        assert exercises.check(tmp_path, ["clip"])[0].status == status


def test_a_student_s_file_may_import_others_of_its_folder(tmp_path):
    (tmp_path / "beside_rnn.py").write_text(solution("kth"))
    (tmp_path / "rnn.py").write_text("from beside_rnn import *")
    assert exercises.check(tmp_path, ["loss"])[0].status == "right"
    del sys.modules["beside_rnn"]


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.main(["exercise", *words])
        return code, *capsys.readouterr()

    code, out, _ = run("list")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == [*exercises.EXERCISES]
    code, out, _ = run("new", "kth")
    assert code == 0 and "fastrnn exercise check kth" in out
    code, out, _ = run("check", "kth")
    assert code == 1 and out.endswith("\n10 not filled in yet\n")
    (tmp_path / "kth" / "rnn.py").write_text(solution("kth").replace("- limit, limit", "0, limit"))
    code, out, _ = run("check", "kth")
    assert (code, out.splitlines()[-1]) == (0, "10 right")
    (tmp_path / "kth" / "rnn.py").write_text(solution("kth").replace("-limit, limit", "0, limit"))
    code, out, _ = run("check", "kth")
    assert code == 1 and out.splitlines()[-2:] == [
        "8 right, 2 wrong", "Begin with the first one that is wrong: others may call it."]
    monkeypatch.chdir("kth")
    assert run("check")[0] == 1
    code, out, err = run("new", "kth", ".")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "is not empty" in err
    code, out, err = run("check", "nowhere")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "no folder of an exercise" in err
    for words, message in ((["new", "khh"], "NAME must be one of .* did you mean kth"),
                           (["new"], "give NAME"), ([], "give ACTION"),
                           (["make"], "ACTION must be one of list, new, check"),
                           (["list", "kth"], "'kth' is one argument too many")):
        with pytest.raises(SystemExit) as ended:
            cli.main(["exercise", *words])
        err = capsys.readouterr().err
        assert ended.value.code == 2 and err.count("\n") == 1 and re.search(message, err)


# ---- first_difference ----

@pytest.mark.parametrize(("got", "want", "axes", "backwards", "sentence"), [
    (1.5, 1.5, (), False, None),
    (1.5, 2.5, (), False, "x is 1.5, expected 2.5"),
    ([1, 2], [1, 3], (), False, "x[1] is 2, expected 3; 1 of 2 entries is wrong"),
    ([[0, 9], [8, 0], [7, 7]], np.zeros((3, 2)), ("unit", "time step"), False,
     "x[1, 0] is 8, expected 0 (unit 1, time step 0); 4 of 6 entries are wrong: time step 0, where "
     "the computation begins, is wrong already"),
    ([[0, 0], [8, 0], [7, 7]], np.zeros((3, 2)), ("time step", "unit"), False,
     "x[1, 0] is 8, expected 0 (time step 1, unit 0); 3 of 6 entries are wrong, and time step 0 is "
     "right"),
    ([[0, 9], [8, 0], [0, 0], [0, 0]], np.zeros((4, 2)), ("time step", "unit"), True,
     "x[1, 0] is 8, expected 0 (time step 1, unit 0); 2 of 8 entries are wrong, and time steps 2 "
     "to 3 are right"),
    ([np.nan, 0], [0, 0], (), False, "x[0] is nan, expected 0; 1 of 2 entries is wrong"),
    ([np.inf, np.nan], [np.inf, 1], (), False, "x[1] is nan, expected 1; 1 of 2 entries is wrong"),
    ([1 + 2e-6, 1], [1, 1], (), False, "x[0] is 1.000002, expected 1; 1 of 2 entries is wrong"),
    ([1 + 2e-7, 1], [1, 1], (), False, None),
    ([1e-5, 1000], [0, 1000], (), False, None),  # a millionth of the largest is 0.001
    ([1, 2], [1, 2, 3], ("unit",), False, "x has the shape (2,), expected (3,), the axes unit"),
    ([[1], [2]], [[1, 2]], (), False, "x has the shape (2, 1), expected (1, 2): it is transposed"),
    ([[1], [3]], [[1, 2]], (), False, "x has the shape (2, 1), expected (1, 2)"),
    (None, [1], (), False, "x must be an array of real numbers, not None"),
    ("abc", [1], (), False, "x must be an array of real numbers, not str"),
    ([1j], [1], (), False, "x must be an array of real numbers, not complex"),
    ([[1], [1, 2]], [1], (), False,
     "x is no array of numbers: its rows have different lengths")])
def test_first_difference(got, want, axes, backwards, sentence):
    assert exercises.first_difference(got, want, "x", axes, backwards=backwards) == sentence
