"""fastrnn.gradcheck: what is right passes, what is wrong is found and placed, and what rounding, a
kink or chaos hides is called not conclusive."""
import numpy as np
import pytest

import fastrnn
from fastrnn import nn

CELLS = ("rnn", "relu", "lstm", "gru", "mgu", "memory", "mlstm")


def random_model(cell="rnn", H=5, scale=0.3, seed=0, **settings):
    """All weights and biases normal, so that no gradient is 0."""
    model = fastrnn.Model(fastrnn.Vocabulary("abcdefgh"), cell=cell, hidden_size=H,
                          init_scale=scale, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    for p in model.params.values():
        if p.ndim == 1:
            p[:] = rng.normal(0, scale, p.shape)
    return model


def check(model, T=7, N=3, **settings):
    inputs, targets = np.random.default_rng(1).integers(8, size=(2, N, T))
    return fastrnn.gradcheck(model, inputs, targets, **settings)


def spoil(monkeypatch, change):
    """change(grads) is what is wrong with the gradients of all models from now on."""
    right = fastrnn.Model.loss_and_gradients

    def wrong(self, *arguments, **keywords):
        loss, grads, state = right(self, *arguments, **keywords)
        change(grads)
        return loss, grads, state

    monkeypatch.setattr(fastrnn.Model, "loss_and_gradients", wrong)


# ---- functions ----

def test_a_function_of_an_array():
    x = np.random.default_rng(0).normal(size=(3, 4))
    report = fastrnn.gradcheck(lambda v: np.sin(v).sum(), x, np.cos(x))
    assert report.max_error == report["x"] < 1e-9
    assert report.first_wrong is None and report.wrong_steps is None
    assert report.passed is True and report.tolerance == 1e-6
    assert report.verdict == (f"passed: the largest relative error {report.max_error:.2e} is below "
                              "the tolerance 1e-06")
    assert str(report).endswith(report.verdict) and "wrong" not in str(report)


def test_a_function_that_returns_an_array():
    rng = np.random.default_rng(0)
    x, W, dout = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    assert fastrnn.gradcheck(lambda v: v @ W, x, dout @ W.T, dout=dout).max_error < 1e-9
    assert fastrnn.gradcheck(lambda v: v @ W, x, np.ones((3, 2)) @ W.T).max_error < 1e-9
    report = fastrnn.gradcheck(lambda v: v @ W, x, dout @ W.T)
    assert report.max_error > 0.01 and report.passed is False


def test_the_first_wrong_entry():
    x = np.random.default_rng(0).normal(size=(3, 4))
    df = 2 * x
    df[1, 2] *= 1.001
    df[2, 0] *= -1
    report = fastrnn.gradcheck(lambda v: (v**2).sum(), x, df)
    assert report.first_wrong == (1, 2)
    assert report.worst["x"].index == (2, 0) and report["x"] > 0.99
    assert "first wrong entry: [1, 2]" in str(report)
    assert report.verdict == ("FAILED: 2 of 12 entries are wrong; the relative error 1.00e+00 of x "
                              "at [2, 0] is above the tolerance 1e-06")
    assert fastrnn.gradcheck(lambda v: (v**2).sum(), x, df, tolerance=1e-2).first_wrong == (2, 0)


@pytest.mark.parametrize("wrong", [1 + 1e-4, 1 - 1e-5, 0, -1])
def test_one_wrong_entry_of_a_function_fails(wrong):
    x = np.random.default_rng(0).normal(size=(3, 4))
    df = np.cos(x)
    df[2, 1] *= wrong
    report = fastrnn.gradcheck(lambda v: np.sin(v).sum(), x, df)
    assert report.passed is False and report.first_wrong == (2, 1)
    assert report["x"] == pytest.approx(abs(wrong - 1) / (1 + abs(wrong)), rel=1e-3)


def test_a_kink():
    """Next to it the gradient is the slope of one side; on it only rounding could tell."""
    x = np.array([0.5, 1e-9, -1e-9, -0.5])
    assert fastrnn.gradcheck(lambda v: np.abs(v).sum(), x, np.sign(x)).passed is True
    assert fastrnn.gradcheck(lambda v: np.abs(v).sum(), x, [1, 1, -1, 1]).first_wrong == (3,)
    report = fastrnn.gradcheck(lambda v: np.abs(v).sum(), x, [1, 0.5, -0.5, -1])
    assert report.passed is None and report.first_wrong is None
    assert report.worst["x"].unsettled == 2 and report.max_error > 0.3
    assert report.verdict.startswith("not conclusive: 2 of 4 entries cannot be judged, since the "
                                     "loss changes too fast around these weights")


def test_a_few_doubtful_entries_do_not_spoil_the_verdict():
    """1 in 100 may be beside a kink; 2 in 100 are not conclusive."""
    x = np.arange(1.0, 101)
    for doubtful, passed in (1, True), (2, None):
        x[:doubtful], df = 1e-9, np.ones(100)
        df[:doubtful] = 0.5
        report = fastrnn.gradcheck(lambda v: np.abs(v).sum(), x, df)
        assert report.passed is passed
        assert (report.max_error < 1e-6) is (passed is True)
        assert ("1 is not judged, at most 1 in 100, since" in report.verdict) is (passed is True)


def test_a_loss_that_changes_too_fast():
    """The steps of all differences are longer than its waves."""
    x = np.array([0.3, 0.7, 1.1])
    report = fastrnn.gradcheck(lambda v: np.sin(1e9 * v).sum(), x, 1e9 * np.cos(1e9 * x))
    assert report.passed is None
    assert "(a chaotic recurrence or a kink of relu)" in report.verdict


def test_a_float32_function_is_too_coarse():
    layer = nn.Linear(4, 3, dtype="float32")
    x, dout = np.random.default_rng(0).normal(size=(2, 5, 4)), np.ones((2, 5, 3))
    layer.forward(x.astype(np.float32))
    dx = layer.backward(dout.astype(np.float32))
    report = fastrnn.gradcheck(lambda v: layer.forward(v.astype(np.float32)), x, dx, dout=dout)
    assert report.passed is None and "rounding could hide" in report.verdict
    assert fastrnn.gradcheck(lambda v: layer.forward(v.astype(np.float32)), x, dx, dout=dout,
                             tolerance=0.1).passed


def test_a_step_that_is_lost():
    with pytest.raises(ValueError, match=r"step 0.0001 is lost when it is added to 1e\+12"):
        fastrnn.gradcheck(np.sum, np.array([1e12]), [1.0])
    assert fastrnn.gradcheck(np.sum, np.array([1e12]), [1.0], step=1e3, tolerance=1e-3).passed


def test_the_time_steps_that_are_wrong():
    """A layer that forgets the way back from each step to the one before."""
    N, T, D, H = 2, 4, 3, 5
    rnn = nn.RNN(D, H)
    rng = np.random.default_rng(0)
    x, dh = rng.normal(size=(N, T, D)), rng.normal(size=(N, T, H))
    h = rnn.forward(x)
    truncated = (dh * (1 - h**2)) @ rnn.params["Wx"].T
    report = fastrnn.gradcheck(rnn.forward, x, truncated, dout=dh)
    assert report.wrong_steps == [0, 1, 2]  # only the last is right
    assert report.first_wrong == (0, 0, 0)
    assert "wrong at time steps 0, 1, 2: first at step 0" in str(report)
    rnn.forward(x)  # the check moved it
    dx, _ = rnn.backward(dh)
    assert fastrnn.gradcheck(rnn.forward, x, dx, dout=dh).wrong_steps == []


def test_nan_is_wrong():
    report = fastrnn.gradcheck(lambda v: v.sum(), np.zeros(3), [1, np.nan, 1])
    assert report.max_error == np.inf
    assert report.first_wrong == (1,) and report.passed is False


def test_x_is_not_changed_and_entries_are_chosen():
    x = np.arange(50.0)
    seen = []

    def f(v):
        seen.append(v.copy())
        v += 1  # a function may spoil what it gets
        return (v**3).sum()

    report = fastrnn.gradcheck(f, x, 3 * (x + 1) ** 2, entries=7, seed=3)
    assert report.worst["x"].checked == 7 and report.worst["x"].size == 50
    assert len(seen) == 1 + 2 * 7
    assert np.array_equal(x, np.arange(50.0)) and report.max_error < 1e-6


# ---- models ----

@pytest.mark.parametrize(("N", "T"), [(1, 400), (16, 7)])
def test_rounding_of_a_model_is_neither_missed_nor_exaggerated(N, T):
    """With so small a step rounding is all that differs; it grows with the root of T, and a mean
    over N sequences has less of it."""
    model = fastrnn.Model(fastrnn.Vocabulary("abcdefgh"), hidden_size=5, dtype="float64")
    inputs, targets = np.random.default_rng(0).integers(8, size=(2, N, T))
    report = fastrnn.gradcheck(model, inputs, targets, step=1e-9, tolerance=1e-12)
    assert report.passed is None
    loss = model.losses(inputs, targets)
    assert report.rounding == pytest.approx(2.2e-16 * np.linalg.norm(loss + 1) / N / 1e-9, rel=0.3)
    largest = max(abs(w.analytic - w.numeric) for w in report.worst.values())
    assert report.rounding / 1e4 < largest < report.rounding


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_model_passes(cell, dtype):
    report = check(random_model(cell, dtype=dtype))
    assert report.passed is True, report
    assert report.max_error < 1e-6
    for worst in report.worst.values():
        a, n = worst.analytic, worst.numeric
        assert worst.error == abs(a - n) / max(1e-12, abs(a) + abs(n))
        assert worst.checked == worst.size and worst.judged
    assert (report.float32 is None) is (dtype == "float64")
    assert ("float32 is within its bound" in report.verdict) is (dtype == "float32")


@pytest.mark.parametrize("cell", CELLS)
def test_every_entry_that_is_wrong_is_found(monkeypatch, cell):
    """All are 1e-4 too large: each is called wrong, but for zeros and those too small for it."""
    nonzero = []

    def change(grads):
        for g in grads.values():
            g *= 1 + 1e-4
            nonzero.append(np.count_nonzero(g))

    spoil(monkeypatch, change)
    report = check(random_model(cell, dtype="float64"))
    checked, small = (sum(getattr(w, name) for w in report.worst.values())
                      for name in ("checked", "too_small"))
    assert report.passed is False and small <= 0.02 * checked
    assert report.verdict.startswith(
        f"FAILED: {sum(nonzero) - small} of {checked} entries are wrong")
    for worst in report.worst.values():
        assert worst.error == pytest.approx(5e-5, rel=0.05) and worst.unsettled == 0


@pytest.mark.parametrize(("N", "T"), [(1, 400), (16, 7)])
def test_a_wrong_gradient_of_a_model_is_found(monkeypatch, N, T):
    model = fastrnn.Model(fastrnn.Vocabulary("abcdefgh"), hidden_size=5, dtype="float64")

    def change(grads):
        grads["layer0.Wh"][2, 3] *= 1.001

    spoil(monkeypatch, change)
    inputs, targets = np.random.default_rng(0).integers(8, size=(2, N, T))
    report = fastrnn.gradcheck(model, inputs, targets)
    assert report.worst["layer0.Wh"].index == (2, 3)
    assert report.passed is False and 4e-4 < report.max_error < 6e-4


@pytest.mark.parametrize("change", [
    lambda grads: grads["layer0.Wh"].__imul__(-1),
    lambda grads: grads["head.b"].fill(0),
    lambda grads: grads["layer0.Wx"].__isub__(grads["layer0.Wx"].mean()),
    lambda grads: grads["layer0.b"].__iadd__(1e-6)], ids=["sign", "zero", "missing term", "added"])
def test_other_mistakes_fail(monkeypatch, change):
    spoil(monkeypatch, change)
    report = check(random_model("lstm", dtype="float64"))
    assert report.passed is False and report.max_error > 1e-6
    assert report.verdict.startswith("FAILED")


def test_a_tolerance_that_rounding_hides_is_never_passed():
    report = check(random_model(), tolerance=1e-11)
    assert report.passed is None and report.max_error > 1e-11
    assert report.verdict.startswith("not conclusive: most gradients of layer0.")
    assert "so small that rounding could hide an error of the tolerance 1e-11" in report.verdict
    assert report.worst["head.W"].too_small > 20


def test_small_entries_are_counted_and_zeros_are_right():
    """x ** 2 at 1e-9 has the gradient 2e-9; an entry that f does not read has 0."""
    x = np.array([1.0, 2.0, 3.0, 1e-9, 5.0])

    def f(v):
        return 1 + v[0] ** 2 + v[1] ** 2 + v[2] ** 2 + v[3] ** 2

    report = fastrnn.gradcheck(f, x, [2, 4, 6, 2e-9, 0])
    assert report.passed is True and report.worst["x"].too_small == 1
    assert report.verdict.endswith("; 1 of 5 entries is too small to check")
    assert fastrnn.gradcheck(f, x, [2, 4, 6, 2.0002e-9, 0]).passed  # rounding hides it
    assert fastrnn.gradcheck(f, x, [2, 4, 6, 3e-4, 0]).first_wrong == (3,)
    assert fastrnn.gradcheck(f, x, [2, 4, 6, 2e-9, 3e-4]).first_wrong == (4,)


def test_entries_as_good_as_0_do_not_spoil_the_verdict():
    """Of saturated units; nor is one passed that ought to be large."""
    model = random_model(dtype="float64")
    model.params["layer0.b"][:4] = [12, -12, 12, -12]
    report = check(model)
    assert report.passed is True
    assert report.worst["layer0.Wx"].too_small > report.worst["layer0.Wx"].checked / 2
    x = np.array([1.0, 1e-9, 1e-9, 1e-9])
    assert fastrnn.gradcheck(lambda v: 1 + (v**2).sum(), x, 2 * x).passed is True
    assert fastrnn.gradcheck(lambda v: 1 + v.sum() ** 2, x, 2 * x).first_wrong == (1,)
    assert fastrnn.gradcheck(lambda v: 1e-9 * (1 + (v**2).sum()), x, 2e-9 * x).passed is True
    x = np.array([1e-9, 2e-9, 3e-9, 4e-9])
    assert fastrnn.gradcheck(lambda v: np.exp(v**2).sum(), x, 2 * x).passed is None


def test_chaos_is_not_conclusive(monkeypatch):
    """H = 100 at scale 1: a spectral radius of 10. Nor is a wrong gradient passed there."""
    models = [random_model(H=100, scale=1.0, seed=seed, dtype="float64") for seed in range(3)]
    for model in models:
        report = check(model, T=25, entries=20)
        assert report.passed is None and report.max_error > 1e-6, report
        assert "a chaotic recurrence" in report.verdict
    spoil(monkeypatch, lambda grads: grads["layer0.Wh"].__imul__(1.5))
    for model in models:
        assert not check(model, T=25, entries=20).passed


def test_the_size_of_the_course():
    """H = 100, 25 steps: right with weights of 1/sqrt(H), and found to be wrong where it is."""
    report = check(random_model(H=100, scale=0.1), T=25, entries=40)
    assert report.passed is True
    assert "40 of 10000" in str(report)


# ---- float32 and large batches ----

def test_float32_is_compared_with_float64():
    model = random_model("lstm")
    report = check(model)
    assert list(report.float32.errors) == list(model.params)
    assert all(1e-9 < error < 2e-6 for error in report.float32.errors.values())
    assert 5e-6 < report.float32.bound < 2e-5  # 32 eps sqrt(7), a little more
    assert report.float32.sensitivity < 1e-5
    twin = model.in_float64()
    inputs, targets = np.random.default_rng(1).integers(8, size=(2, 3, 7))
    state = np.random.default_rng(2).normal(size=(3, 10)).astype(np.float32)
    (_, g32, _), (_, g64, _) = (m.loss_and_gradients(inputs, targets, state)
                                for m in (model, twin))
    report = fastrnn.gradcheck(model, inputs, targets, state=state)
    for name, error in report.float32.errors.items():
        assert error == pytest.approx(
            np.linalg.norm(g32[name] - g64[name]) / np.linalg.norm(g64[name]))


@pytest.mark.parametrize("wrong", [1.001, np.nan])
def test_wrong_float32_kernels_fail(monkeypatch, wrong):
    def change(grads):
        if grads["head.W"].dtype == np.float32:
            grads["layer0.Wh"][:] *= wrong

    spoil(monkeypatch, change)
    report = check(random_model())
    assert report.passed is False and report.max_error < 1e-6
    assert report.verdict.startswith("FAILED: the gradients of the float32 kernels are off by")
    assert check(random_model(dtype="float64")).passed is True


def test_float32_cannot_tell_where_a_recurrence_amplifies_rounding():
    """H = 100 at scale 0.3, as the command had it: float64 is right, float32 off by 3e-4."""
    report = check(random_model(H=100), T=25, entries=10)
    assert report.passed is None and report.max_error < 1e-6
    assert "a few roundings of float32 move the gradients" in report.verdict
    assert report.float32.bound < report.float32.max_error < report.float32.sensitivity


def test_float32_of_a_model_that_is_nearly_certain():
    """Where p is nearly 1, 1 - p has few digits in float32: the bound says so."""
    model = random_model()
    model.params["head.b"][0] = 12.0
    inputs = np.zeros((3, 7), int)
    report = fastrnn.gradcheck(model, inputs, inputs)
    assert report.passed is not False
    assert report.float32.max_error < report.float32.bound and report.float32.bound > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_paths_of_large_batches(cell, dtype):
    """Tiles over rows, and slices over threads, whose gradients are added."""
    model = random_model(cell, H=17, scale=0.2, dtype=dtype, dropout=0.3)
    assert len(model.network(6, 64).slices) > 1
    for dropout in (False, True):
        report = check(model, T=6, N=64, entries=6, dropout=dropout)
        assert report.passed is True, report


def test_a_gradient_that_leaves_out_a_slice_fails(monkeypatch):
    def change(grads):
        grads["layer0.Wh"] *= 3 / 4

    spoil(monkeypatch, change)
    assert check(random_model(H=17, dtype="float64"), N=64, entries=6).passed is False


def test_bad_input():
    with pytest.raises(TypeError, match="a Model or a function, not 3"):
        fastrnn.gradcheck(3, np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"df has the shape \(3,\) and must have \(2,\)"):
        fastrnn.gradcheck(np.sum, np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"dout has the shape \(3,\)"):
        fastrnn.gradcheck(np.sin, np.zeros(2), np.zeros(2), dout=np.zeros(3))
    with pytest.raises(ValueError, match="no entries"):
        fastrnn.gradcheck(np.sum, np.zeros(0), np.zeros(0))
    with pytest.raises(TypeError, match="an array of numbers, not of texts"):
        fastrnn.gradcheck(np.sum, np.array(["a"]), np.zeros(1))


# ---- every entry, and the courses' measure ----

def test_every_entry_with_the_courses_measure():
    """The central difference computed here, in another way than the checker's."""
    model = random_model("lstm", H=4, dtype="float64")
    inputs, targets = np.random.default_rng(1).integers(8, size=(2, 3, 7))
    state = np.random.default_rng(2).normal(size=(3, 8))
    report = fastrnn.gradcheck(model, inputs, targets, state=state, step=1e-3)
    _, grads, _ = model.loss_and_gradients(inputs, targets, state)
    entries = report.entries("layer0.Wh")
    assert [entry.index for entry in entries] == [*np.ndindex(4, 16)]
    for entry in entries[::7]:
        p, sides = model.params["layer0.Wh"], []
        before = p[entry.index]
        for side in (1, -1):
            p[entry.index] = before + side * 1e-3
            sides.append(model.losses(inputs, targets, state).sum() / 3)
        p[entry.index] = before
        a, n = grads["layer0.Wh"][entry.index], (sides[0] - sides[1]) / 2e-3
        assert entry.analytic == a and entry.central == pytest.approx(n, abs=1e-11)
        assert entry.difference == pytest.approx(abs(a - n), abs=1e-11) and entry.difference > 0
        for eps in (1e-12, 0.5):
            assert entry.course_error(eps) == pytest.approx(
                abs(a - n) / max(eps, abs(a) + abs(n)), abs=1e-11 / eps, rel=1e-2)
    assert report["layer0.Wh"] == max(entry.error for entry in entries)
    assert report.max_difference == max(entry.difference for entry in report.entries())
    assert len(report.entries()) == model.block.size
    lines = report.listing("layer0.Wh", eps=1e-3).split("\n")
    assert lines[0] == ("layer0.Wh: 64 of 64 entries, step 0.001; course: |a - n| / max(0.001, "
                        "|a| + |n|)")
    first = entries[0]
    assert lines[2].split() == [
        *f"[0, 0] {first.analytic:.6e} {first.central:.6e} {first.difference:.2e} "
        f"{first.course_error(1e-3):.2e} {first.error:.2e} right".split()]
    assert len(lines) == 66 and report.listing().count("\n") == model.block.size + 2 * 5 - 1


def test_entries_chosen_at_random_are_listed_in_order():
    report = check(random_model(), entries=6)
    indices = [entry.index for entry in report.entries("layer0.Wh")]
    assert len(indices) == 6 and indices == sorted(indices)
    with pytest.raises(KeyError, match=r"no tensor 'Wh' was checked: they are layer0\.Wx"):
        report.entries("Wh")
    with pytest.raises(ValueError, match="eps must be"):
        report.listing(eps=0)


def test_a_large_relative_error_of_a_tiny_gradient_is_said_to_be_rounding():
    x = np.array([1.0, 2.0, 3.0])
    c = np.array([1.0, 1.0, 2e-6])

    def f(v):
        return (c * np.sin(v)).sum() + 1

    report = fastrnn.gradcheck(f, x, c * np.cos(x), step=1e-6)
    assert report.passed is True and report.max_error < 1e-6
    said = str(report).split("\n")[-2]
    assert f"largest absolute difference {report.max_difference:.1e}" in str(report)
    assert "where the gradient is -2e-06: that is rounding, which moves a central diff" in said
    report = fastrnn.gradcheck(f, x, c * np.cos(x), step=0.01)
    assert report.passed is True and report.max_difference > 1e-6
    assert "that comes from the step: differences of higher order agree better" in str(report)
    good = fastrnn.gradcheck(lambda v: (v**2).sum(), x, 2 * x)
    assert "reach" not in str(good) and "that is rounding" not in str(good)
    wrong = fastrnn.gradcheck(f, x, np.cos(x))
    assert wrong.passed is False and "reach" not in str(wrong)
