"""Exercises: nothing is filled in at first, solutions are right, and typical mistakes are named at
the first wrong entry and time step, with a hint that is true."""
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn import cli, exercises
from fastrnn.checks import reference
from fastrnn.exercises import kth

HERE = Path(__file__).parent
ALL = pytest.mark.parametrize("name", exercises.EXERCISES)


def solution(name):
    return (HERE / f"solutions_{name}.py").read_text(encoding="utf-8")


@pytest.fixture
def outcome(tmp_path):
    """The outcome of one function of a solution in which a text is replaced."""
    def outcome(name, piece, right, wrong):
        text = solution(name)
        start = text.index(f"def {piece}(")
        end = text.find("\n\n\n", start)
        body = text[start : end if end > 0 else None]
        assert right in body, f"the solution of {piece} has no {right!r}"
        changed = text.replace(body, body.replace(right, wrong), 1)
        (tmp_path / exercises.EXERCISES[name].file).write_text(changed, encoding="utf-8")
        (found,) = exercises.check(tmp_path, [piece])
        return found

    return outcome


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
    assert {str(o) for o in found} == {f"{o.piece}: not filled in yet" for o in found}
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


@ALL
def test_pytest_in_the_folder(name, tmp_path):
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
    assert all(f"\n{piece}: not filled in yet\n" in out for piece in pieces)
    file.write_text(solution(name), encoding="utf-8")
    code, out = run()
    assert code == 0 and f"{len(pieces)} passed" in out


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
    assert (code, out.splitlines()[-1]) == (1, "8 right, 2 wrong")
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


# ---- mistakes ----

EARLY = "time step 0, where the computation begins, is wrong already"
LATE = "time step 4, where the computation begins, is wrong already"
MISTAKES = [
    ("kth", "read", "sorted(set(text))", "list(dict.fromkeys(text))", "symbols of .* sorted"),
    ("kth", "read", "symbols.index(character)", "symbols.index(character) + 1",
     r"ids\[0\] is 8, expected 7 .*begin with 0"),
    ("kth", "one_hot", "return X", "return X.T", r"X has the shape \(6, 4\).*transposed"),
    ("kth", "one_hot", "return X", "pass", "one_hot returns None"),
    ("kth", "forward", '@ h + params["U"]', '@ h0 + params["U"]',
     r"^H\[1, 0\] .*time step 0 is right\. Every time step starts from h0"),
    ("kth", "forward", 'params["W"] @', 'params["W"].T @',
     rf"^H\[0, 0\].*{EARLY}. W is transposed"),
    ("kth", "forward", ' + params["b"]', "", "b is missing"),
    ("kth", "forward", "np.tanh(a)", "a", "tanh is missing"),
    ("kth", "forward", ' + params["c"]', "", rf"^P\[0, 0\].*{EARLY}. c is missing"),
    ("kth", "forward", "(o - o.max())", "(o)", r"^P\[0, 1\] is nan.*exp overflows"),
    ("kth", "forward", "np.array(H), np.array(P)", "np.array(H)", "forward returns ndarray, "
     "expected 2 values: return H, P"),
    ("kth", "loss", "sum()", "mean()", "^loss is .* take the sum"),
    ("kth", "loss", "-np.log", "np.log", "sign is wrong"),
    ("kth", "loss", "np.log", "np.log2", "natural logarithm"),
    ("kth", "backward", ' + params["W"].T @ da', "",
     r"^dH\[3, 0\] .*time step 4 is right. The gradient that comes back .* missing"),
    ("kth", "backward", ' + params["W"].T @ da', ' + params["W"] @ da',
     r"^dH\[3, .*time step 4 is right. W is transposed"),
    ("kth", "backward", "dh * (1 - H[t] ** 2)", "dh",
     r"^dH\[3, .*time step 4 is right. The factor 1 - h² of tanh is missing"),
    ("kth", "backward", "dh * (1 - H[t] ** 2)", "dh * (1 - np.arctanh(H[t]) ** 2)", "1 - a²"),
    ("kth", "backward", '@ da\n', "@ (dH[t + 1] if t + 1 < len(X) else da)\n",
     r"^dH\[3, .*W\^T dh_t"),
    ("kth", "backward", "H[t - 1] if t > 0 else h0", "H[t]",
     r"^grads\['W'\]\[0, 0\] .*dW takes h_t"),
    ("kth", "backward", "else h0", "else 0 * h0", r"^grads\['W'\].*take h0"),
    ("kth", "backward", "P[t] - one_hot(Y[t:t + 1], P.shape[1])[0]",
     "one_hot(Y[t:t + 1], P.shape[1])[0] - P[t]", rf"^dH\[4, 0\] .*{LATE}. The sign is wrong"),
    ("kth", "backward", "- one_hot(Y[t:t + 1], P.shape[1])[0]", "", "1 at the right symbol"),
    ("kth", "backward", "return grads, dH",
     "return {n: g / len(X) for n, g in grads.items()}, dH / len(X)", "take the sum"),
    ("kth", "backward", "+= da\n", "-= da\n",
     r"^grads\['b'\]\[0\] is .* 4 of 4 entries are wrong$"),
    ("kth", "backward", "return grads, dH",
     "return {'W': grads['W']}, dH", r"^grads\['U'\] is missing"),
    ("kth", "backward", "return grads, dH", "return list(grads.values()), dH", "expected a dict"),
    ("kth", "clip", "np.clip(g, -limit, limit)",
     "g * min(1, limit / np.sqrt(sum((x ** 2).sum() for x in grads.values())))",
     r"^W\[0, 0\] is .*clip each entry"),
    ("kth", "clip", "-limit, limit", "None, limit", "below its negative"),
    ("kth", "adagrad", "np.sqrt(memory[name] + eps)", "(np.sqrt(memory[name]) + eps)",
     r"^after update 1 params\['b'\]\[0\] .*eps stands outside"),
    ("kth", "adagrad", "memory[name] +=", "memory[name] =",
     r"^after update 2 params\['W'\]\[0, 0\] .*last g² only"),
    ("kth", "adagrad", "params[name] -= ", "params[name] = params[name] + ", "subtract"),
    ("kth", "adagrad", "np.sqrt(memory[name] + eps)", "(memory[name] + eps)", "root is missing"),
    ("kth", "adagrad", "params[name] -= eta * g / np.sqrt(memory[name] + eps)", "g = -g",
     "params did not change"),
    ("kth", "smooth", "0.999 * smoothed + 0.001 * loss", "0.001 * smoothed + 0.999 * loss",
     r"^smoothed\[1\] .*update 0 is right. 0.999 and 0.001 are exchanged"),
    ("kth", "smooth", "loss if smoothed is None else 0.999 * smoothed",
     "0.999 * (smoothed or 0)", "the first smoothed loss is the first loss"),
    ("kth", "sample", "k = int(", "j = k\n        k = int(", "right"),
    ("kth", "sample", '["U"][:, k]', '["U"][:, first]', "drawn symbol is not the next input"),
    ("kth", "sample", "/ temperature", "* temperature",
     r"^ids\[\d\] .*draw.*divide them"),
    ("kth", "sample", " / temperature", "", "temperature has no effect"),
    ("kth", "sample", 'tanh(params["W"] @ h +', 'tanh(params["W"] @ h0 +', "starts from h0"),
    ("kth", "sample", "int(np.argmax(np.cumsum(p / p.sum()) > u))", "int(np.argmax(p))",
     "likeliest"),
    ("kth", "train", "h, last = H[-1], H[-1]", "last = H[-1]",
     r"^losses\[1\] .*update 0 is right. Each window starts from h = 0"),
    ("kth", "train", "e, h = 0, np.zeros_like(h)", "e = 0",
     r"^losses\[5\] .*updates 0 to 4 are right. A new epoch begins with the last h"),
    ("kth", "train", "clip(grads, 5)", "grads", "not clipped"),
    ("kth", "train", "e += seq_length", "e += 1", "moves by one character"),
    ("kth", "train", "e + seq_length + 1 >= len(ids)", "e + seq_length + 1 > len(ids)",
     "one too many: a new epoch"),
    ("kth", "train", "if after:", "if False:", "states given to after has the shape"),
    ("kth", "train", "backward(", "int(", "stops in line 83 of rnn.py with TypeError"),
]


@pytest.mark.parametrize(("name", "piece", "right", "wrong", "message"), MISTAKES)
def test_mistakes_are_named(outcome, name, piece, right, wrong, message):
    found = outcome(name, piece, right, wrong)
    if message == "right":
        assert found.status == "right"
    else:
        assert found.status == "wrong" and re.search(message, found.text), found.text


def test_a_function_that_calls_one_that_is_missing(outcome):
    found = outcome("kth", "train", "clip(grads, 5)", "(_ for _ in ()).throw("
                    "NotImplementedError('clip'))")
    assert str(found) == "train: not filled in yet: it calls clip"


def test_a_function_that_is_gone(outcome):
    found = outcome("kth", "clip", "def clip(", "def klip(")
    assert (found.status, found.text) == ("wrong", "there is no function clip in the file")


# ---- the right arrays ----

def test_kth_gradients_are_those_of_the_kernels():
    """dH by the tails of the window, in each of which the state that it starts from is h_t."""
    w, ours = kth.window(), kth.backward(kth.window())
    for name, g in kth.kernel_gradients(w)[1].items():
        np.testing.assert_allclose(ours[name], g, rtol=1e-9, atol=1e-12)
    H, P = w.forward()
    (Wx, Wh, _), dout = w.ours(), (P - np.eye(kth.K)[w.Y]) @ w.params["V"]
    for t in range(kth.T - 1):
        tail = slice(t + 1, None)
        carried = reference.rnn_backward(dout[None, tail], w.X[None, tail], H[None, t],
                                         H[None, tail], Wx, Wh)[1][0]
        np.testing.assert_allclose(ours["dH"][t], dout[t] + carried, rtol=1e-9, atol=1e-12)


def test_kth_mistakes_differ():
    """A hint is only true where no other mistake gives the same arrays."""
    w = kth.window()
    found = [kth.backward(w, mistake) for mistake in ("", *kth.BACKWARD_MISTAKES)]
    for i, a in enumerate(found):
        for b in found[:i]:
            assert any(not np.allclose(a[name], b[name], rtol=1e-4) for name in a)
