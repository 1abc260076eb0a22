"""Exercises: solutions are right, and typical mistakes are named at the first wrong entry and time
step, with a hint that is true."""
import re
from pathlib import Path

import numpy as np
import pytest

from fastrnn import exercises
from fastrnn.checks import reference
from fastrnn.exercises import kth, lstm

HERE = Path(__file__).parent


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
    ("kth", "clip", "return ", "exit() #", "^it stops in line 49 of rnn.py with SystemExit: None"),
    ("names", "loss", "return total,", "return None,", "^loss must be an array of .* not None"),
    ("names", "forward", "np.tanh(", "np.tanhh(", "^it stops in line 22 of names.py with Attrib"),
    ("lstm", "sigmoid", "np.where(z >= 0, 1 / (1 + e), e / (1 + e))", "np.exp(z) / (1 + np.exp(z))",
     r"^s\[1, 2\] is nan, expected 1.*overflows"),
    ("lstm", "sigmoid", "z >= 0", "z < 0", "sign is wrong"),
    ("lstm", "step", " + b", "", r"^c\[0, 0\] .*b is missing"),
    ("lstm", "step", "f * c + i * g", "c + i * g", "forget gate is missing"),
    ("lstm", "step", "i, f, o =", "f, i, o =", "i and f are exchanged"),
    ("lstm", "step", "np.tanh(z[", "sigmoid(z[", "g has a sigmoid"),
    ("lstm", "step", "np.tanh(new)", "new", r"^h\[0, 0\] .*o tanh\(c\)"),
    ("lstm", "step_backward", "dc = dc + dh", "dc = dh", "from the step after, is missing"),
    ("lstm", "step_backward", "dc + dh * o * (1 - t ** 2)", "dc", "way from h to c is missing"),
    ("lstm", "step_backward", " * (1 - t ** 2)", "", r"1 - tanh²\(c\) is missing"),
    ("lstm", "step_backward", "dc * g, dc * c", "dc * g, dc * new",
     r"^db of gate f\[0\] .*c_\{t-1\}"),
    ("lstm", "step_backward", " * (1 - g ** 2)", "", r"^db of gate g\[0\] .*1 - g²"),
    ("lstm", "step_backward", " * o * (1 - o)", "", r"^db of gate o\[0\] .*wrong$"),
    ("lstm", "step_backward", "dc * f, x.T", "dc, x.T", r"^dc_before\[0, 0\] .*times f"),
    ("lstm", "step_backward", "dz.sum(axis=0)", "dz.mean(axis=0)", "db is a mean"),
    ("lstm", "step_backward", "dz @ Wx.T, dz @ Wh.T", "dz @ Wh.T, dz @ Wx.T",
     r"^dx has the shape \(2, 4\), expected \(2, 3\)"),
    ("lstm", "forward", "h, c, cache = step(x[:, t], h, c", "h, c, cache = step(x[:, t], h0, c",
     r"^H\[0, 1, 0\] .*time step 0 is right. Every step starts from h0"),
    ("lstm", "forward", "h, c, cache = step(x[:, t], h, c", "h, c, cache = step(x[:, t], h, 0 * c",
     r"^H\[0, 1, 0\] .*time step 0 is right. Every step starts from c = 0"),
    ("lstm", "forward", "axis=1", "axis=0", r"^H has the shape \(5, 2, 4\)"),
    ("lstm", "backward", "dH[:, t] + dh", "dH[:, t]",
     r"^dx\[0, 3, 0\] .*time step 4 is right. The gradient that comes back to h"),
    ("lstm", "backward", ", dc, cache[t]", ", 0 * dc, cache[t]",
     r"^dx\[0, 3, 0\] .*time step 4 is right. The gradient that comes back to c"),
    ("lstm", "backward", "[a + b for a, b in zip(sums, parts, strict=True)]", "parts",
     r"^dWx\[0, 0\] .*of time step 0 alone"),
    ("lstm", "backward", "dx[::-1]", "dx", r"^dx\[0, 4, 0\] .*is wrong already$"),
    ("echo", "scale", "np.abs(np.linalg.eigvals(W)).max()", "np.linalg.norm(W, 2)",
     "singular value"),
    ("echo", "scale", "np.abs(np.linalg.eigvals(W)).max()", "np.linalg.eigvals(W).real.max()",
     "largest real part"),
    ("echo", "scale", "np.abs(np.linalg.eigvals(W)).max()", "np.linalg.norm(W)", "norm of all"),
    ("echo", "scale", " / np.abs(np.linalg.eigvals(W)).max()", "", "its own spectral radius"),
    ("echo", "states", "W @ h + b", "W @ (0 * h) + b",
     r"^H\[1, 0\] .*time step 0 is right$"),
    ("echo", "states", "W @ h", "W.T @ h",
     r"^H\[1, 0\] .*time step 0 is right. W is transposed"),
    ("echo", "states", " + b)", ")", r"^H\[0, 0\] .*b is missing"),
    ("echo", "states", "(1 - leak) * h + leak", "leak * h + (1 - leak)", "exchanged"),
    ("echo", "states", "(1 - leak) * h + leak * ", "", "h_{t-1} is missing"),
    ("echo", "ridge", "    P[0, 0] = 0\n", "", "intercept is penalized"),
    ("echo", "ridge", "F.T @ F + P", "F.T @ F", "There is no penalty"),
    ("echo", "ridge", "P[0, 0] = 0", "P[0, 0] = 0; P *= penalty", "penalty is squared"),
    ("echo", "ridge", "Y).T", "Y)", r"^Wout has the shape \(5, 2\).* it is transposed"),
    ("echo", "nrmse", "np.sqrt", "", "root is missing"),
    ("echo", "nrmse", " - Y.mean(axis=0)", "", "subtract their mean"),
    ("echo", "free_run", "y = Wout[:, 0] + Wout[:, 1:] @ h\n        outputs.append(y)",
     "outputs.append(Wout[:, 0] + Wout[:, 1:] @ h)",
     r"^outputs\[1, 0\] .*time step 0 is right. Every step reads the first y"),
    ("echo", "free_run", "Wout[:, 0] + ", "", "intercept, column 0"),
    ("names", "code", "inputs[n, 1:len(ids) + 1]", "inputs[n, :len(ids)]",
     r"^inputs\[0, 0\] .*one step before"),
    ("names", "code", "mask[n, :len(ids) + 1]", "mask[n, :len(ids)]",
     r"^mask\[0, 3\] is 0, expected 1 .*The end of each name"),
    ("names", "code", "mask = np.zeros", "mask = np.ones", "padding counts"),
    ("names", "code", '["\\n", *sorted', '[*sorted', "symbols of .*the line end"),
    ("names", "forward", "+ h @", "+ 0 * h @",
     r"^H\[0, 1, 0\] .*time step 0 is right. Every step starts from 0"),
    ("names", "forward", 'h @ params["Wh"]', 'h @ params["Wh"].T', "Wh is transposed"),
    ("names", "forward", ' + params["c"]', "", r"^scores\[0, 0, 0\] .*c is missing"),
    ("names", "loss", " * mask)", ")", r"^loss is [\d.]*, expected [\d.]*\. The padding"),
    ("names", "loss", "    n, t =", "    mask = mask * 0 + 1\n    n, t =", "The padding counts"),
    ("names", "loss", ".sum() / N", ".sum() / mask.sum()", "mean over the time steps"),
    ("names", "loss", ".sum() / N", ".sum()", "sum over the names"),
    ("names", "loss", "d * mask[:, :, None] / N", "d / N",
     r"^dscores\[1, 2, 0\] .*not 0 in the padding"),
    ("names", "loss", "[:, :, None] / N", "[:, :, None]", "not divided by the number"),
    ("names", "loss", "scores - scores.max(axis=2, keepdims=True)", "scores", "exp overflows"),
    ("names", "backward", ' + dz @ params["Wh"].T', "",
     r"^dH\[0, 3, 0\] .*time step 4 is right. The gradient that comes back"),
    ("names", "backward", ' + dz @ params["Wh"].T', ' + dz @ params["Wh"]',
     r"^dH\[0, 3, 0\] .*time step 4 is right. Wh is not transposed"),
    ("names", "backward", " * (1 - H[:, t] ** 2)", "", "1 - h² of tanh"),
    ("names", "backward", 'if t > 0:\n            grads["Wh"] += H[:, t - 1]',
     'if True:\n            grads["Wh"] += H[:, t]', r"^Wh\[0, 0\] .*takes h_t"),
    ("names", "backward", "np.add.at(grads[\"Wx\"], inputs[:, t], dz)",
     "grads[\"Wx\"][inputs[:, t]] += dz", r"^Wx\[.*wrong$"),
    ("names", "clip", "min(1, limit / norm)", "limit / norm", "leave them"),
    ("names", "clip", "g * min(1, limit / norm)", "np.clip(g, -limit, limit)",
     "scale all gradients by one number"),
    ("names", "clip", "min(1, limit / norm)", "min(1, limit / np.linalg.norm(g))", "its own norm"),
    ("names", "clip", "min(1, limit / norm)", "(1 / norm if norm > limit else 1)",
     "The norm becomes 1"),
    ("names", "sample", '"Wx"][k]', '"Wx"][0]', "drawn symbol is not the next input"),
    ("names", "sample", "            break", "            pass", "stop where symbol 0"),
    ("names", "sample", "            break", "            ids.append(0); break", "leave it out"),
    ("names", "sample", "h @ params[\"Wh\"] +", "0 * h @ params[\"Wh\"] +", "starts from 0"),
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
    assert str(found) == "train: not filled in yet: it needs clip"


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


def test_lstm_gradients_are_those_of_the_kernels():
    """What the mistakes are made from, without a mistake."""
    w, layer = lstm.batch(), lstm.batch().layer()
    kept = layer.step(w.x[:, 0], w.h0, w.c0)[2]
    right = layer.step_backward(w.dh[:, 0], w.dc[:, 0], kept)
    for a, b in zip(lstm.step_backward(w).values(), right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    layer.forward(w.x, w.h0)
    ours, (dx, dh0) = lstm.backward(w), layer.backward(w.dh)[:2]
    for name, g in ({"dx": dx, "dh0": dh0}
                    | {f"d{name}": layer.grads[name] for name in layer.grads}).items():
        np.testing.assert_allclose(ours[name], g, rtol=1e-9, atol=1e-12)
