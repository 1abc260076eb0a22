"""The C functions without Python, through driver.c: compiled for this processor, without vector
types too, by clang and for musl, and with cross compilers for aarch64, whose NEON registers qemu
plays, and for Windows, whose system Wine plays."""
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from networks import (
    ALL_KINDS,
    DTYPES,
    PACKED,
    TRAINED_KINDS,
    all_weights,
    expected_unroll,
    network_of,
    random_model,
    random_window,
    unroll,
    wide,
)
from test_kernels import (
    CLIPS,
    IDS,
    NETWORKS,
    OTHERS,
    RULES,
    assert_close,
    kernel_numbers,
    rates_of,
    reference_run,
    tolerance,
    writer,
    written,
)
from test_reservoir import make, twin
from test_vecmath import in_ulps, needs_wider, points, truth, worst_allowed

from fastrnn import kernels
from fastrnn.cells import kernel_cell
from fastrnn.checks import reference
from fastrnn.data.source import time_major
from fastrnn.echo.reservoir import strips

ROOT = Path(__file__).resolve().parents[2]
# those of setup.py; the kernels must compile without a warning
FLAGS = ["-std=c99", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-Wall",
         "-Wextra", "-Werror", "-I", ROOT / "csrc"]
MACHINES = {  # compiler, and what runs its programs
    "native": (["gcc"], []),
    "scalar": (["gcc", "-DFASTRNN_SCALAR"], []),
    "clang": (["clang"], []),
    "musl": (["musl-gcc", "-static"], []),
    "aarch64": (["aarch64-linux-gnu-gcc", "-static"], ["qemu-aarch64"]),
    "windows": (["x86_64-w64-mingw32-gcc", "-static"], ["wine"]),
}
CROSS = "aarch64-linux-gnu-gcc", "qemu-aarch64"
LONG = ("clang", "musl", "windows")
PRECISIONS = {"float32": [], "float64": ["-DFASTRNN_DOUBLE"],
              "mixed_bfloat16": ["-DFASTRNN_BFLOAT16"]}  # in the order of csrc/fastrnn.h
MOST_TENSORS = 6  # FASTRNN_MOST_TENSORS


def built(place, compiler):
    """The driver's program; processes that test side by side share it."""
    import fcntl

    def compile_to(name, *arguments):
        done = subprocess.run([compiler[0], *FLAGS, *compiler[1:], *arguments, "-o", place / name],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return place / name

    place.mkdir(exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "driver").exists():
            bodies = [compile_to(
                f"{precision}.o", "-c", ROOT / "csrc/kernels.c", '-DFASTRNN_ISA="baseline"',
                f"-DFASTRNN_TABLE=fastrnn_baseline_{precision}", *macros)
                for precision, macros in PRECISIONS.items()]
            others = (ROOT / "csrc/dispatch.c", ROOT / "csrc/team.c",
                      Path(__file__).with_name("driver.c"))
            compile_to("linking.exe", *bodies, *others, "-lm", "-pthread").rename(place / "driver")
    return place / "driver"


@pytest.fixture(scope="session", params=[
    pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in MACHINES])
def machine(request, tmp_path_factory):
    """machine(dtype, function, *arguments): the arrays that the function gives back, as bytes."""
    compiler, runner = MACHINES[request.param]
    for tool in (compiler[0], *runner):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    if not request.config.getoption("--long"):
        if request.param == "native" and all(map(shutil.which, CROSS)):
            pytest.skip("the same is tested for aarch64 here: --long tests both")
        compiler = [*compiler, "-O1"]  # compiles in less than half the time of -O3
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    program = built(base / f"driver-{request.param}", compiler)

    def call(dtype, function, *arguments):
        arrays = [np.ascontiguousarray(() if a is None else a) for a in arguments]
        done = subprocess.run(
            [*runner, program, str([*PRECISIONS].index(dtype)), function], capture_output=True,
            input=b"".join(np.int64(a.nbytes).tobytes() + a.tobytes() for a in arrays))
        assert done.returncode == 0, (done.returncode, done.stderr.decode())
        results, rest = [], done.stdout
        while rest:
            size = int(np.frombuffer(rest[:8], np.int64)[0])
            results.append(rest[8 : 8 + size])
            rest = rest[8 + size :]
        return results

    # Wine starts and ends with its first and last program, in seconds: so one waits for arguments
    waiting = subprocess.Popen([*runner, program, "0", "map"], stdin=subprocess.PIPE)
    yield call
    waiting.communicate()


def reservoir_arrays(reservoir):
    """What the driver's take_reservoir() reads."""
    if reservoir is None:
        return [None]
    sizes = len(reservoir.b), reservoir.Win.shape[1], reservoir.Wfb.shape[1]
    leak = np.full(sizes[0], reservoir.leak_rate, reservoir.b.dtype)
    return [np.array(sizes, np.int32), leak, reservoir.Win.T, reservoir.Wfb.T, reservoir.b,
            *strips(reservoir.W)]


def network_arrays(model, T, N, packed, V=None, D=0, K=None):
    """What take_network() reads. V symbols or D numbers come in and K outputs out: by default the
    model's symbols."""
    config, at, symbols = model.config, model._offsets, len(model.vocabulary)
    V, K = symbols if V is None else V, symbols if K is None else K
    cell = kernel_cell(config["cell"], config["reset_after"])
    E, H, L = config["embedding_size"] or 0, config["hidden_size"], config["num_layers"]
    numbers = [kernels.CELLS.index(cell.name), kernels.LOSSES.index(config["loss"]), K, E, H, L,
               V, D, 0, T, N, packed or model.reservoir is not None, at.get("embedding.W", 0),
               at["head.W"], at["head.b"], model.block.size]
    for layer in range(L):
        tensors = [at[f"layer{layer}.{name}"] for name, _, _ in cell.tensors if cell.trained]
        numbers += [H if layer else D or E or V, 0, *tensors, *[0] * (MOST_TENSORS - len(tensors))]
    return [np.array(numbers, np.int32), *reservoir_arrays(model.reservoir)]


@DTYPES
@pytest.mark.parametrize("function", kernels.FUNCTIONS)
def test_functions(machine, function, dtype):
    needs_wider(dtype)
    x, true = points(function, dtype), truth(function, dtype)
    y, = machine(dtype, "map", np.int32(kernels.FUNCTIONS.index(function)), x)
    assert in_ulps(np.frombuffer(y, dtype), true, dtype).max() <= \
        worst_allowed(function, dtype, "baseline")


@PACKED
@DTYPES
@ALL_KINDS
def test_losses_state_and_gradients(machine, kind, dtype, packed):
    """One row, which has wide panels; tiles of 2, 4 and 6 rows; two slices, whose gradients are
    summed in tiles; layers and an embedding."""
    for (K, H, T, N), more in (
            ((7, 5, 3, 2), {}), ((17, 66, 3, 1), {}), ((83, 65, 5, 4), {}), ((9, 13, 12, 7), {}),
            ((12, 21, 6, 26), {"num_layers": 2, "embedding_size": 5})):
        model = random_model(kind, dtype, K, H, seed=K + H + N, **more)
        inputs, targets, state = random_window(model, T, N)
        slices = network_of(model, T, N).slices
        each, expected, end = expected_unroll(model, slices, inputs, targets, state)
        losses, right, grads, last = machine(
            dtype, "unroll", *network_arrays(model, T, N, packed), model.block, state,
            time_major(inputs), None, time_major(targets), *[None] * 5)
        limit = model.config["num_layers"] * tolerance(dtype, K, H, T * N)
        assert_close(np.frombuffer(losses).reshape(T, N).T, each, limit, "losses", least=1)
        assert_close(np.frombuffer(last, dtype).reshape(state.shape), end, limit, "state")
        large = (dtype == "float32") * max(np.abs(g).max() for g in expected.values()) / 10
        for name, g in model.views(np.frombuffer(grads, dtype)).items():
            assert_close(g, expected[name], limit, name, large)
        scores = reference.forward(all_weights(model), inputs, state, model.config["cell"])[0]
        hits = np.frombuffer(right, np.uint8).reshape(T, N).T
        assert dtype == "float32" or np.array_equal(hits, scores.argmax(axis=2) == targets)


@TRAINED_KINDS
def test_mixed_bfloat16(machine, kind):
    """As the variant that runs in this process, which other tests compare with the reference: both
    round the same numbers, but for a few that lie between two bfloat16 and whose sums were added in
    another order."""
    for (K, H, T, N), more in (
            ((17, 66, 3, 1), {}), ((9, 13, 12, 7), {}),
            ((12, 21, 6, 26), {"num_layers": 2, "embedding_size": 5})):
        model = random_model(kind, "float32", K, H, seed=K + H + N, **more)
        inputs, targets, state = random_window(model, T, N)
        cell = kernel_cell(model.config["cell"], model.config["reset_after"])
        network = kernels.Network(
            model.config | {"cell": cell.name, "dtype": "mixed_bfloat16"}, K, 0, K,
            model._offsets, model.block.size, T, N)
        each, expected, end = unroll(model, network, inputs, targets, state)
        losses, _, grads, last = machine(
            "mixed_bfloat16", "unroll", *network_arrays(model, T, N, True), model.block, state,
            time_major(inputs), None, time_major(targets), *[None] * 5)
        found = {"losses": (np.frombuffer(losses).reshape(T, N).T, each),
                 "state": (np.frombuffer(last, np.float32).reshape(state.shape), end)} | {
            name: (g, expected[name])
            for name, g in model.views(np.frombuffer(grads, np.float32)).items()}
        for name, (a, b) in found.items():
            assert np.linalg.norm(a - b) < 1e-3 * np.linalg.norm(b), name


@PACKED
@DTYPES
@TRAINED_KINDS
def test_a_layer_of_numbers(machine, kind, dtype, packed):
    """Forward, and back from gradients with respect to the outputs and the last state."""
    for D, H, T, N in ((3, 5, 4, 2), (7, 33, 5, 1), (2, 18, 6, 13)):
        model, rng = random_model(kind, dtype, D, H), np.random.default_rng(H)
        x, dout = (rng.normal(size=(N, T, width)).astype(dtype) for width in (D, H))
        state = rng.uniform(-1, 1, model.zero_state(N).shape).astype(dtype)
        out, last, dx, dstate, grads = machine(
            dtype, "backward", *network_arrays(model, T, N, packed, V=0, D=D, K=0), model.block,
            state, x, dout, np.zeros_like(state), np.empty(0, np.int64))
        weights = {name.split(".")[1]: p for name, p in wide(model.params).items()
                   if name.startswith("layer0")}
        cell = reference.CELLS[model.config["cell"]]
        starts = np.split(state.astype(float), cell.states, axis=1)
        found, end, kept = reference.layer_forward(x, np.hstack(starts), weights,
                                                   model.config["cell"])
        expected = cell.backward(dout, x, *starts, *kept,
                                 *(weights[name] for name in cell.needs if name in weights))
        limit = tolerance(dtype, D, H, T * N)
        assert_close(np.frombuffer(out, dtype).reshape(found.shape), found, limit, "outputs")
        assert_close(np.frombuffer(last, dtype).reshape(end.shape), end, limit, "last state")
        assert_close(np.frombuffer(dx, dtype).reshape(x.shape), expected[0], limit, "dx")
        assert_close(np.frombuffer(dstate, dtype).reshape(end.shape),
                     np.hstack(expected[1 : 1 + cell.states]), limit, "dstate")
        views = model.views(np.frombuffer(grads, dtype))
        for name, g in zip(weights, expected[1 + cell.states :], strict=True):
            assert_close(views[f"layer0.{name}"], g, limit, name)


@PACKED
@DTYPES
@TRAINED_KINDS
def test_rows_of_unequal_length(machine, kind, dtype, packed):
    """Each row as if it were alone, with a gradient with respect to its last state: of an LSTM to
    its c, of the memory cell to m; the h of others belongs into dout."""
    D, H, T, N = 3, 7, 5, 19
    model, rng = random_model(kind, dtype, D, H), np.random.default_rng(H)
    x, dout = (rng.normal(size=(N, T, width)).astype(dtype) for width in (D, H))
    state = rng.uniform(-1, 1, model.zero_state(N).shape).astype(dtype)
    dlast = rng.normal(size=state.shape).astype(dtype)

    def run(x, dout, state, dlast, lengths):
        n, t = x.shape[:2]
        found = machine(dtype, "backward", *network_arrays(model, t, n, packed, V=0, D=D, K=0),
                        model.block, state.copy(), x, dout, dlast.copy(), lengths)
        shapes = dout.shape, state.shape, x.shape, state.shape, model.block.shape
        return [np.frombuffer(part, dtype).reshape(shape)
                for part, shape in zip(found, shapes, strict=True)]

    lengths = rng.integers(1, T + 1, N)
    out, last, dx, dstate, grads = run(x, dout, state, dlast, lengths)
    limit, total = tolerance(dtype, D, H, T * N), 0.0
    for n in range(N):
        row = slice(n, n + 1)
        end = lengths[n]
        alone = run(*(np.ascontiguousarray(part) for part in (
            x[row, :end], dout[row, :end], state[row], dlast[row])), np.empty(0, np.int64))
        for name, a, b in zip(("outputs", "last state", "dx", "dstate"),
                              (out[row, :end], last[row], dx[row, :end], dstate[row]),
                              alone, strict=False):
            assert_close(a, b, limit, name)
        assert not dx[n, end:].any()
        total = total + alone[4].astype(float)
    assert_close(grads, total, limit, "gradients")


@pytest.mark.parametrize(("rule", "clip"), [
    *itertools.product(RULES, ("value", "norm of some")), *((rule, "value") for rule in OTHERS)])
@DTYPES
def test_training(machine, dtype, rule, clip):
    optimizer, _, numbers = (RULES | OTHERS)[rule]
    numbers = {"decay": 0, "decay2": 0, "epsilon": 1e-8, "epsilon_inside": True, "weight_decay": 0,
               "clip_norm": None} | kernel_numbers(numbers) | CLIPS[clip]
    for kind in ("rnn", "mgu") if clip == "value" else ("rnn",):
        N, more = NETWORKS[kind]
        model = random_model(kind, dtype, 11, 9, **more)
        loss, smooth, block = machine(
            dtype, "run", *network_arrays(model, 4, N, True),
            np.array([kernels.OPTIMIZERS.index(optimizer), numbers["epsilon_inside"]], np.int32),
            np.array([np.inf if numbers[name] is None else numbers[name] for name in (
                "decay", "decay2", "epsilon", "weight_decay", "clip_norm", "clip_value")], float),
            model.block, model.zero_state(N), IDS.astype(np.uint16), rates_of(rule))
        _, expected, losses = reference_run(kind, rule, clip)
        limit = 1e-9 if dtype == "float64" else 4e-4
        np.testing.assert_allclose(np.frombuffer(loss), losses[:, 0], rtol=limit)
        np.testing.assert_allclose(np.frombuffer(smooth), losses[:, 1], rtol=limit)
        for name, p in model.views(np.frombuffer(block, dtype)).items():
            assert_close(p, expected[name], limit, name)


@TRAINED_KINDS
def test_samples(machine, kind):
    for (K, H, E, N), choice, start, uniforms, ids, read, last in written(kind, 2):
        model = writer(kind, K, H, 2, E)
        temperature, top_k, top_p = choice
        drawn, state = machine(
            "float64", "sample", *network_arrays(model, 25, N, True), np.int32(top_k or K),
            np.array([temperature, top_p, 0, 1]), model.block, start, read[0].astype(np.int32),
            None, uniforms)
        assert np.array_equal(np.frombuffer(drawn, np.int32).reshape(ids.shape), ids)
        assert_close(np.frombuffer(state).reshape(last.shape), last, 1e-11, "state")


@pytest.mark.parametrize("units", [5, 64, 129])
@DTYPES
def test_series(machine, units, dtype):
    reservoir, rng = make(units, dtype=dtype), np.random.default_rng(units)
    u, before = rng.normal(size=(7, 3)).astype(dtype), rng.uniform(-1, 1, units).astype(dtype)
    Wout = rng.normal(size=(2, 1 + 3 + units)).astype(dtype)
    states, out = machine(dtype, "series", *reservoir_arrays(reservoir), u, before,
                          np.zeros(2, dtype), Wout)
    states = np.frombuffer(states, dtype).reshape(7, units)
    expected, limit = twin(reservoir, u, before), 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(states, expected, atol=limit)
    np.testing.assert_allclose(np.frombuffer(out, dtype).reshape(7, 2), np.hstack(
        [np.ones((7, 1)), u, expected]) @ Wout.T, atol=limit * units)
