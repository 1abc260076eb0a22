"""The exported C99 header: compiled without a warning, it computes what Python does."""
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from networks import KINDS, cell_of

import fastrnn
from fastrnn.cli import main
from fastrnn.pages.weights import rounding

COMPILER = next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler")
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1"]
TEXT = "Der König \"sagte\": ja? \\ nein!\n" * 4
# reads the weights of labels, if there are any, and inputs, and prints the outputs after each
PROGRAM = """
#include "net.h"
#include <stdio.h>
int main(void) {
    net_state s;
    float out[NET_OUTPUTS], x[NET_INPUTS + NET_LABELS];
    for (int c = 0; c < NET_LABELS; c++) if (scanf("%f", x + c) != 1) return 1;
    net_start(START);
    for (;;) {
        for (int d = 0; d < SIZE; d++) if (scanf("%f", x + d) != 1) return 0;
        net_step(&s, INPUT, out);
        for (int k = 0; k < NET_OUTPUTS; k++) printf("%.9g ", (double)out[k]);
        printf("\\n");
    }
}
"""


def run(folder, program, given=""):
    """What a program that includes net.h prints."""
    (folder / "main.c").write_text(program)
    made = subprocess.run([COMPILER, *FLAGS, "main.c", "-o", "main", "-lm"], cwd=folder,
                          capture_output=True, text=True, check=False)
    assert made.returncode == 0 and not made.stderr, made.stderr
    return subprocess.run([folder / "main"], input=given.encode(), capture_output=True,
                          check=True).stdout.decode()


def outputs(model, inputs, folder, dtype="float32", weights=()):
    """What the exported network puts out after each input."""
    fastrnn.export(model, folder / "net.h", dtype=dtype)
    numbers = model.sizes.input_size
    program = PROGRAM.replace("START", "&s, x" if weights else "&s")
    program = program.replace("SIZE", str(numbers or 1)).replace("INPUT,", (
        "x" if numbers else "(int)x[0]") + ",")
    lines = run(folder, program, " ".join(map(str, [*weights, *np.ravel(inputs).tolist()])))
    return np.array([line.split() for line in lines.splitlines()], float)


def expected(model, inputs, weights=()):
    """The scores after each input, in float64."""
    x, twin = np.asarray(inputs), model.in_float64()
    out = np.empty((1, len(x), model.sizes.outputs))
    state = twin.zero_state()
    if model.vocabulary.stop is None:
        state[:] = model.state
    labels = np.array([weights]) if weights else None
    twin.network(len(x), 1).unroll(twin.block, x[:, None].astype(np.int32), state, out=out,
                                   labels=labels)
    return out[0]


def close(values, rel=2e-5):
    return pytest.approx(values, rel=rel, abs=2e-5)


def randomized(*args, **settings):
    """A model with random weights and a random state."""
    model, rng = fastrnn.Model(*args, **settings), np.random.default_rng(0)
    for name, p in model.params.items():
        p[:] = rng.normal(0, 0.15 if name.endswith("Wm") else 0.5, p.shape)
    model.state[:] = rng.normal(0, 0.5, model.state.shape)
    return model


@pytest.fixture(scope="module")
def vocabulary():
    return fastrnn.Vocabulary.from_text(TEXT)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("embedding", [None, 3], ids=["one-hot", "embedded"])
def test_texts(vocabulary, kind, layers, embedding, tmp_path):
    model = randomized(vocabulary, **cell_of(kind), hidden_size=7, num_layers=layers,
                       embedding_size=embedding)
    ids = vocabulary.encode(TEXT[:25])
    assert outputs(model, ids, tmp_path) == close(expected(model, ids))


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_other_dtypes_become_float32(vocabulary, dtype, tmp_path):
    if dtype == "mixed_bfloat16" and not fastrnn.build_info()["mixed_bfloat16"]:
        pytest.skip("this processor has no bfloat16")
    model = randomized(vocabulary, cell="lstm", hidden_size=7, dtype=dtype)
    ids = vocabulary.encode(TEXT[:25])
    assert outputs(model, ids, tmp_path) == close(expected(model, ids))


def test_a_reservoir(vocabulary, tmp_path):
    model = randomized(vocabulary, cell="esn", hidden_size=30, leak_rate=0.6, density=0.2)
    ids = vocabulary.encode(TEXT[:25])
    assert outputs(model, ids, tmp_path) == close(expected(model, ids))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_records_with_labels(dtype, tmp_path):
    corpus = fastrnn.Corpus.from_records(["anna", "bo", "eve"], labels=["x", "y", "z"])
    model = randomized(corpus.vocabulary, cell="gru", hidden_size=6, labels=["x", "y", "z"])
    ids, weights = corpus.ids[:5], [0.25, 0.75, 0.0]
    found = outputs(model, ids, tmp_path, dtype, weights=weights)
    assert found == pytest.approx(expected(model, ids, weights),
                                  abs=2e-5 if dtype == "float32" else 0.1)
    header = (tmp_path / "net.h").read_text()
    assert "'x', 'y', 'z'" in header and re.search(r"begins with symbol \d+ and ends", header)


@pytest.mark.parametrize("scale", [True, False])
def test_numbers(scale, tmp_path):
    x = np.random.default_rng(1).normal(3, 10, (6, 12, 2))
    sequences = fastrnn.Sequences(x, 5 * x.cumsum(axis=1)[:, :, :1] - 7)
    model = fastrnn.train(sequences, cell="gru", hidden_size=5, updates=20, progress=False,
                          scale=scale)
    found = outputs(model, x[0], tmp_path)
    assert found == pytest.approx(model.predict(x[:1])[0], rel=1e-4, abs=1e-3)


def test_symbols_to_numbers(tmp_path):
    ids = np.random.default_rng(1).integers(0, 4, (6, 9))
    model = fastrnn.train(fastrnn.Sequences(ids, ids[:, :, None] * 2.0), cell="lstm",
                          hidden_size=5, updates=20, progress=False)
    assert outputs(model, ids[0], tmp_path) == close(model.predict(ids[:1])[0])


@pytest.mark.parametrize("kind", ["rnn", "lstm", "memory"])
def test_int8_is_the_rounding_that_is_stated(vocabulary, kind, tmp_path):
    model = randomized(vocabulary, **cell_of(kind), hidden_size=7, num_layers=2, embedding_size=4)
    ids = vocabulary.encode(TEXT[:25])
    found, exact = outputs(model, ids, tmp_path, dtype="int8"), expected(model, ids)
    header = " ".join(re.sub(r"\n \*", "", (tmp_path / "net.h").read_text()).split())
    assert rounding(model).in_words("char") in header
    for p in model.params.values():
        if p.ndim == 2:
            scale = (np.abs(p).max(axis=0) / 127).astype(np.float32)
            p[:] = np.rint(p / scale) * scale
    # the state of a memory is a sum over all steps
    assert found == close(expected(model, ids), 1e-4 if kind == "memory" else 2e-5)
    assert np.abs(found - exact).max() > 1e-4


def test_symbols_and_choices(tmp_path):
    vocabulary = fastrnn.Vocabulary.from_text(TEXT + "\t??/")
    fastrnn.export(randomized(vocabulary, cell="lstm", hidden_size=3), tmp_path / "net.h")
    said = run(tmp_path, """
#include "net.h"
#include <stdio.h>
int main(void) {
    for (int k = 0; k < NET_OUTPUTS; k++) printf("%s", net_symbol(k));
    for (int u = 0; u < 100; u++) {
        float scores[NET_OUTPUTS] = {0, 1, 2, -1e30f};
        for (int k = 4; k < NET_OUTPUTS; k++) scores[k] = -50;
        printf(" %d", net_choose(scores, u < 99 ? 0.5f : 0, (float)u / 99));
    }
    return 0;
}""")
    symbols = "".join(vocabulary.symbols)
    assert said.startswith(symbols)
    chosen = [int(each) for each in said[len(symbols):].split()]
    p = np.exp([0, 2, 4]) / np.exp([0, 2, 4]).sum()
    assert [chosen[:99].count(k) for k in range(3)] == pytest.approx(99 * p, abs=1.01)
    assert chosen[:99] == sorted(chosen[:99]) and chosen[99] == 2


def test_names_of_files_become_names_of_c(tmp_path):
    fastrnn.export(fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=2), tmp_path / "1 é-x.h")
    header = (tmp_path / "1 é-x.h").read_text()
    assert "static inline void _1___x_step(_1___x_state *s, int symbol" in header
    assert "#ifndef _1___X_H" in header and "model_" not in header


@pytest.mark.parametrize("case", ["nan", "sequences", "title", "other"])
def test_what_cannot_be_written(case, tmp_path):
    model, more, path = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=2), {}, tmp_path / "a.h"
    message = {"nan": "not finite", "sequences": 'take dtype="float32"',
               "title": r"leave title out: it is for \.html, not for \.h",
               "other": "fastrnn did not write it"}[case]
    if case == "nan":
        model.block[3] = np.nan
    elif case == "sequences":
        model, more = fastrnn.Model(fastrnn.Sizes(input_size=1, output_size=1)), {"dtype": "int8"}
    elif case == "title":
        more = {"title": "A"}
    else:
        path.write_text("/* mine */")
    before = path.read_text() if path.exists() else None
    with pytest.raises((ValueError, OSError), match=message):
        fastrnn.export(model, path, **more)
    assert (path.read_text() if path.exists() else None) == before


def test_the_command(tmp_path, capsys):
    fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=2).save(tmp_path / "m.safetensors")
    for _ in range(2):  # the second time over its own file
        assert main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "net.h"),
                     "--dtype", "int8"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{os.path.getsize(tmp_path / 'net.h'):,} bytes: include it in a program" in said
    assert "a probability changes by" in said
