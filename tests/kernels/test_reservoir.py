"""The compiled reservoir against NumPy, and how reservoirs are drawn."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fastrnn import kernels
from fastrnn.checks import reference
from fastrnn.echo.reservoir import Reservoir, draw, strips

DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
SETTINGS = {"spectral_radius": 0.9, "leak_rate": 0.7, "input_scale": 1.0, "density": 0.3,
            "bias_scale": 0.4}
# around runs of 16 and panels of 64 units
UNITS = pytest.mark.parametrize(
    "units", [1, 2, 5, 15, 16, 17, 33, 48, 63, 64, 65, 100, 127, 129, 200, 500, 2000])


def make(units, inputs=3, fed_back=0, dtype="float64", seed=0, **settings):
    more = {"density": 1.0} if units < 4 else {}
    return draw(units, inputs, fed_back, np.random.default_rng(seed), dtype,
                **(SETTINGS | more | settings))


def drive(reservoir, T, seed=1, threads=1, y=None, Wout=None):
    """A series (T, D), random states before, states (T, H) and after, outputs."""
    rng = np.random.default_rng(seed)
    H, D, dtype = *reservoir.Win.shape, reservoir.b.dtype
    u = rng.normal(size=(T, D)).astype(dtype)
    before = rng.uniform(-1, 1, H).astype(dtype)
    last = rng.normal(size=reservoir.Wfb.shape[1] or 2).astype(dtype)
    state, states, fed = before.copy(), np.full((T, H + 3), np.nan, dtype), last.copy()
    out = reservoir.compiled.run(T, state, fed, u=u, y=y, Wout=Wout, states=states[:, 1 : 1 + H],
                                threads=threads)
    assert np.isnan(states[:, [0, H + 1, H + 2]]).all()  # nothing beside them is written
    return u, before, last, states[:, 1 : 1 + H], state, fed, out


def twin(reservoir, u, before, y=None):
    wide = [np.asarray(a, np.float64) for a in (
        reservoir.W.toarray(), reservoir.Win, reservoir.b)]
    back = {} if y is None else {"Wfb": reservoir.Wfb.astype(float), "y": y[None].astype(float)}
    return reference.esn_forward(u[None].astype(float), before[None].astype(float), *wide,
                                 reservoir.leak_rate, **back)[0]


@UNITS
@DTYPES
def test_states_are_those_of_numpy(isa, units, dtype, tolerance):
    reservoir = make(units, dtype=dtype, **({"density": 30 / units} if units >= 500 else {}))
    u, before, _, states, state, _, _ = drive(reservoir, 7)
    np.testing.assert_allclose(states, twin(reservoir, u, before), atol=tolerance)
    assert np.array_equal(state, states[-1])
    assert np.abs(states).max() > 0.1


@pytest.mark.parametrize("leak_rate", [1e-3, 0.3, 1.0])
def test_leak_rates(isa, leak_rate):
    reservoir = make(40, leak_rate=leak_rate)
    u, before, _, states, *_ = drive(reservoir, 9)
    np.testing.assert_allclose(states, twin(reservoir, u, before), atol=1e-12)


def test_without_a_leak_nothing_of_the_state_before_is_left(isa):
    """To the last bit."""
    reservoir, u = make(40, leak_rate=1.0, spectral_radius=0.0), np.ones((1, 3))
    ends = []
    for before in (0.0, 0.7):
        state = np.full(40, before)
        reservoir.compiled.run(1, state, np.zeros(0), u=u)
        ends.append(state)
    assert np.array_equal(*ends)


@pytest.mark.parametrize("units", [5, 40, 129])
@DTYPES
def test_a_leak_rate_of_each_unit(isa, units, dtype, tolerance):
    reservoir = make(units, dtype=dtype)
    reservoir.leak_rate = np.random.default_rng(4).uniform(0.1, 1, units)
    u, before, _, states, *_ = drive(reservoir, 9)
    np.testing.assert_allclose(states, twin(reservoir, u, before), atol=tolerance)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("units", [5, 64, 129])
@DTYPES
def test_noise_inside_the_tanh(isa, units, threads, dtype, tolerance):
    """As inputs of which each goes to one unit."""
    reservoir, rng = make(units, dtype=dtype), np.random.default_rng(4)
    u, noise = (rng.normal(size=(7, n)).astype(dtype) for n in (3, units))
    states, none = np.empty((7, units), dtype), np.zeros(0, dtype)
    reservoir.compiled.run(7, np.zeros(units, dtype), none, u=u, noise=noise, states=states,
                           threads=threads)
    both = Reservoir(reservoir.W, np.hstack([reservoir.Win, np.eye(units, dtype=dtype)]),
                     reservoir.b, reservoir.Wfb, reservoir.leak_rate)
    expected = twin(both, np.hstack([u, noise]), np.zeros(units))
    np.testing.assert_allclose(states, expected, atol=tolerance)


@pytest.mark.parametrize(("fed", "D", "K"), [(1, 3, 1), (2, 3, 2), (2, 5, 4)])
@pytest.mark.parametrize("fed_back", [False, True])
@DTYPES
def test_inputs_of_which_some_are_outputs(isa, fed, D, K, fed_back, dtype, tolerance):
    reservoir, rng = make(37, D, K if fed_back else 0, dtype), np.random.default_rng(4)
    known = rng.normal(size=(8, D - fed)).astype(dtype)
    Wout = rng.normal(0, 0.2, (K, 1 + D + 37)).astype(dtype)
    state, last = np.zeros(37, dtype), rng.normal(size=K).astype(dtype)
    x, y, expected = np.zeros(37), last.astype(float), []
    for t in range(8):
        u = np.concatenate([y[:fed], known[t]])
        x = twin(reservoir, u[None], x, y[None] if fed_back else None)[0]
        y = Wout.astype(float) @ np.concatenate([[1], u, x])
        expected.append(y)
    run = reservoir.compiled.run
    out = [run(stop - start, state, last, u=known[start:stop], fed=fed, Wout=Wout)
           for start, stop in ((0, 1), (1, 5), (5, 8))]
    np.testing.assert_allclose(np.concatenate(out), expected, atol=100 * tolerance)
    with pytest.raises(ValueError, match="u"):
        run(9, state, last, u=known, fed=fed, Wout=Wout)
    for wrong in (-1, K + 1, D + 1):
        with pytest.raises(ValueError, match="fed back|u"):
            run(8, state, last, u=known, fed=wrong, Wout=Wout)


@DTYPES
def test_a_run_in_parts_is_one_run(isa, dtype, tolerance):
    reservoir = make(50, dtype=dtype)
    u, before, _, states, *_ = drive(reservoir, 12)
    state, none, T = before.copy(), np.zeros(0, dtype), 0
    for steps in (1, 4, 0, 7):
        part = np.empty((steps, 50), dtype)
        reservoir.compiled.run(steps, state, none, u=u[T : T + steps].copy(), states=part)
        assert np.array_equal(part, states[T : T + steps])
        T += steps


@pytest.mark.parametrize("threads", [2, 3, 16])
@pytest.mark.parametrize("units", [20, 65, 150, 700])
@DTYPES
def test_threads_give_the_same_bits(isa, units, threads, dtype, tolerance):
    reservoir = make(units, dtype=dtype, density=0.1)
    alone, together = (drive(reservoir, 60, threads=n) for n in (1, threads))
    for one, other in zip(alone[3:6], together[3:6], strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("outputs", [1, 2, 5])
@DTYPES
def test_what_is_fed_back(isa, outputs, dtype, tolerance):
    """From given targets, and from its own outputs."""
    reservoir = make(37, 3, outputs, dtype)
    rng = np.random.default_rng(3)
    y = rng.normal(size=(6, outputs)).astype(dtype)
    u, before, last, states, _, fed, _ = drive(reservoir, 6, y=y)
    back = np.concatenate([last[None], y[:-1]])
    np.testing.assert_allclose(states, twin(reservoir, u, before, back), atol=tolerance)
    assert np.array_equal(fed, y[-1])

    Wout = rng.normal(0, 0.2, (outputs, 1 + 3 + 37)).astype(dtype)
    u, before, last, states, _, fed, out = drive(reservoir, 6, Wout=Wout)
    x, found = before.astype(float), last.astype(float)
    for t in range(6):
        x = twin(reservoir, u[t : t + 1], x, found[None])[0]
        found = Wout.astype(float) @ np.concatenate([[1], u[t], x])
        np.testing.assert_allclose(states[t], x, atol=10 * tolerance)
        np.testing.assert_allclose(out[t], found, atol=10 * tolerance)
    assert np.array_equal(fed, out[-1])


@DTYPES
def test_free_runs(isa, dtype, tolerance):
    """Each output is the next input."""
    reservoir = make(70, 2, dtype=dtype)
    rng = np.random.default_rng(5)
    Wout = rng.normal(0, 0.15, (2, 1 + 2 + 70)).astype(dtype)
    state, last = rng.uniform(-1, 1, 70).astype(dtype), rng.normal(size=2).astype(dtype)
    x, u, moved = state.astype(float), last.astype(float), state.copy()
    out = reservoir.compiled.run(8, moved, last, Wout=Wout)
    for t in range(8):
        x = twin(reservoir, u[None], x)[0]
        u = Wout.astype(float) @ np.concatenate([[1], u, x])
        np.testing.assert_allclose(out[t], u, atol=50 * tolerance)
    np.testing.assert_allclose(moved, x, atol=50 * tolerance)
    assert np.array_equal(last, out[-1])


def test_subnormal_states_are_zero(isa):
    reservoir = make(20, spectral_radius=0.0, leak_rate=0.5, input_scale=0.0, bias_scale=0.0)
    state = np.full(20, 3 * np.finfo(float).tiny)
    reservoir.compiled.run(1, state, np.zeros(0), u=np.zeros((1, 3)))
    assert (state > 0).all()
    reservoir.compiled.run(1, state, np.zeros(0), u=np.zeros((1, 3)))
    assert not state.any()


@given(st.integers(1, 140), st.floats(0, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_matrix_can_be_laid_out(units, density, seed):
    """Not only one that was drawn strip by strip."""
    rng = np.random.default_rng(seed)
    W = np.where(rng.random((units, units)) < density, rng.normal(0, 0.3, (units, units)), 0)
    reservoir = make(units, seed=1)
    other = Reservoir(csr_array(W.astype(np.float32)), reservoir.Win, reservoir.b, reservoir.Wfb,
                      0.8)
    first, at, weights = strips(other.W)
    assert len(first) == -(-units // 64) + 1 and first[-1] == len(at) == len(weights)
    assert weights.shape == (len(at), 64) and at.min(initial=0) >= 0
    assert np.count_nonzero(weights) == np.count_nonzero(other.W.data)
    u, before, _, states, *_ = drive(other, 4)
    np.testing.assert_allclose(states, twin(other, u, before), atol=1e-12)


# ---- how they are drawn ----


@pytest.mark.parametrize("radius", [0.1, 0.9, 1.3])
@pytest.mark.parametrize("units", [1, 3, 40, 101, 300, 500])
def test_the_spectral_radius(units, radius):
    W = make(units, spectral_radius=radius, density=0.1 if units > 30 else 1.0).W
    assert W.dtype == np.float32
    found = np.abs(np.linalg.eigvals(W.toarray().astype(float))).max()
    assert found == pytest.approx(radius, rel=1e-6)


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("units", [64, 100, 333])
def test_the_density(units, density):
    W = make(units, density=density).W
    assert W.nnz == pytest.approx(density * units**2, rel=0.03, abs=65)  # a strip has 64
    inputs = np.diff(W.indptr)  # of each unit
    assert inputs.max() - inputs.min() <= 1
    outputs = np.bincount(W.indices, minlength=units)
    assert density in (0.01, 1) or len(np.unique(outputs)) > 3
    if density == 1:
        assert W.nnz == units**2
    assert np.unique(W.data).size == pytest.approx(W.nnz, rel=0.01)  # each weight by itself
    assert abs(W.data.mean()) < 4 * W.data.std() / W.nnz**0.5
    np.testing.assert_allclose(np.sort(W.data / np.abs(W.data).max()),
                               np.linspace(-1, 1, W.nnz), atol=6 / W.nnz**0.5)


def test_inputs_bias_and_feedback_are_uniform():
    reservoir = make(2000, 3, 2, input_scale=0.5, bias_scale=0.2, density=0.02)
    for array, scale in ((reservoir.Win, 0.5), (reservoir.Wfb, 0.5), (reservoir.b, 0.2)):
        assert np.abs(array).max() <= scale
        np.testing.assert_allclose(np.sort(array, axis=None), np.linspace(
            -scale, scale, array.size), atol=0.05 * scale)
    assert not make(30, bias_scale=0).b.any()


def test_seeds():
    one, same, other = (make(60, seed=seed) for seed in (4, 4, 5))
    for name, array in one.tensors.items():
        assert np.array_equal(array, same.tensors[name])
        if name not in ("Wfb", "W.indptr"):
            assert not np.array_equal(array, other.tensors[name])


def test_both_precisions_are_the_same_reservoir():
    wide, narrow = make(60), make(60, dtype="float32")
    assert np.array_equal(wide.W.data, narrow.W.data)
    assert np.array_equal(wide.Win.astype(np.float32), narrow.Win)


@pytest.mark.parametrize(("units", "density", "message"), [
    (100, 0.0005, "100 units at density 0.0005 has no weight at all.*cannot be 0.9.*higher"),
    (1, 0.4, "no weight at all"), (2000, 1e-6, "no weight at all")])
def test_a_spectral_radius_that_cannot_be(units, density, message):
    with pytest.raises(ValueError, match=message):
        make(units, density=density)
    if units > 1:
        assert not make(units, density=density, spectral_radius=0).W.data.any()


def test_weights_without_a_cycle():
    """Each of some seeds either closes one, or is refused."""
    refused = 0
    for seed in range(20):
        try:
            W = make(200, density=0.002, seed=seed).W
        except ValueError as error:
            assert "close no cycle" in str(error)
            refused += 1
        else:
            assert np.abs(np.linalg.eigvals(W.toarray())).max() == pytest.approx(0.9, rel=1e-4)
    assert refused < 20


@pytest.mark.parametrize(("name", "value"), [
    ("spectral_radius", -0.1), ("spectral_radius", np.nan), ("leak_rate", 0), ("leak_rate", 1.1),
    ("input_scale", -1), ("density", 0), ("density", 1.5), ("bias_scale", np.inf)])
def test_numbers_outside_their_range(name, value):
    with pytest.raises(ValueError, match=name):
        make(50, **{name: value})


@pytest.mark.parametrize(("limit", "threads"), [("1", 1), ("0", 1), ("3", 3), ("", 2), ("x", 2)])
def test_how_many_threads_a_run_is_worth(monkeypatch, limit, threads):
    from fastrnn.echo import reservoir

    monkeypatch.setattr(reservoir, "cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert make(50).threads() == 1  # too small
    monkeypatch.setattr(reservoir, "WORTH_SHARING", 100)
    assert make(50).threads() == threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(make(50).threads).result() == 1


def test_the_border_refuses_what_does_not_fit():
    reservoir = make(40, 2)
    run, state, none = reservoir.compiled.run, np.zeros(40), np.zeros(0)
    u = np.zeros((5, 2))
    for arguments, message in (
            ((5, state, none, u[:4]), "u must be"), ((5, state[:39], none, u), "state"),
            ((5, state, none, u.astype(np.float32)), "u must be"),
            ((5, state, none), "given, or computed"), ((-1, state, none, u), "."),
            ((5, state, none, u, None, np.zeros((1, 43))), "Wout")):
        with pytest.raises(ValueError, match=message):
            run(*arguments)
    for states in (np.zeros((5, 39)), np.zeros((4, 40)), np.zeros((40, 5)).T,
                   np.zeros((5, 40), np.float32)):
        with pytest.raises(ValueError, match="states must be"):
            run(5, state, none, u, states=states)
    with pytest.raises(ValueError, match="given, or computed"):
        make(40, 2, 1).compiled.run(5, state, np.zeros(1), u)
    first, at, weights = strips(reservoir.W)
    for wrong in ((first[:-1], at, weights), (first + 1, at, weights),
                  (first, np.full_like(at, 40), weights), (first, at - 41, weights),
                  (first, at, weights[:-1])):
        with pytest.raises(ValueError):
            kernels.Reservoir("float64", 1.0, reservoir.Win.T.copy(), reservoir.Wfb.T.copy(),
                            reservoir.b, *wrong)
