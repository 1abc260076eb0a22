"""The JSON of RTNeural: read by Keras's equations, and by RTNeural itself, it computes what Python
does."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn.cli import main
from fastrnn.data.scaling import Scaling

COMPILER = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))), None)
FLAGS = ["-std=c++17", "-O1", "-DRTNEURAL_USE_STL=1", "-DRTNEURAL_DEFAULT_ALIGNMENT=16"]
# reads numbers, and prints what the network of a file in T puts out after each input
PROGRAM = """
#include <RTNeural/RTNeural.h>
#include <cstdio>
#include <cstring>
template <typename T> int run(const char *path) {
    std::ifstream file(path, std::ifstream::binary);
    auto model = RTNeural::json_parser::parseJson<T>(file);
    if (!model) return 1;
    model->reset();
    std::vector<T> x((size_t)model->layers.front()->in_size);
    double number;
    for (;;) {
        for (auto &each : x) if (scanf("%lf", &number) == 1) each = (T)number; else return 0;
        model->forward(x.data());
        for (int k = 0; k < model->layers.back()->out_size; k++)
            printf("%.17g ", (double)model->getOutputs()[k]);
        printf("\\n");
    }
}
int main(int count, char **arguments) {
    if (count != 3) return 2;
    return strcmp(arguments[1], "float") ? run<double>(arguments[2]) : run<float>(arguments[2]);
}
"""
CASES = [("lstm", 1, False), ("lstm", 1, True), ("lstm", 2, True), ("gru", 1, True),
         ("gru", 2, False), ("gru", 2, True)]
EVERY = pytest.mark.parametrize(("cell", "layers", "scale"), CASES)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_lstm(x, W, U, b):
    h, c, out = np.zeros(len(U)), np.zeros(len(U)), []
    for x_t in x:
        i, f, g, o = np.split(x_t @ W + h @ U + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


def keras_gru(x, W, U, b):
    h, out = np.zeros(len(U)), []
    for x_t in x:
        (z, r, n), (uz, ur, un) = np.split(x_t @ W + b[0], 3), np.split(h @ U + b[1], 3)
        z, r = sigmoid(z + uz), sigmoid(r + ur)
        h = z * h + (1 - z) * np.tanh(n + r * un)
        out.append(h)
    return np.array(out)


def by_keras(path, x):
    """The outputs (T, K) of the network in a file after inputs (T, D)."""
    content = json.loads(path.read_text())
    assert content["in_shape"] == [None, None, x.shape[1]] and content["in_skip"] == 0
    for layer in content["layers"]:
        weights = [np.array(w) for w in layer["weights"]]
        assert layer["activation"] == "" and len(layer["shape"]) == 3
        step = {"lstm": keras_lstm, "gru": keras_gru,
                "dense": lambda x, W, b: x @ W + b}[layer["type"]]
        x = step(x, *weights)
        assert layer["shape"][2] == x.shape[1]
    return x


def made(cell, layers, scale, dtype="float64"):
    """A model with random parameters, and inputs (T, D) in the units that it reads."""
    rng, by = np.random.default_rng(0), Scaling()
    model = fastrnn.Model(fastrnn.Sizes(input_size=2, output_size=3), cell=cell, hidden_size=5,
                          num_layers=layers, dtype=dtype)
    for p in model.params.values():
        p[:] = rng.normal(0, 0.7, p.shape)
    x = rng.normal(size=(30, 2))
    if scale:
        by = Scaling(np.array([[3, -40], [0.1, 20]]), np.array([[-7, 0.5, 100], [5, 0.02, 30]]))
        x = x * by.inputs[1] + by.inputs[0]
    model.scaling = by
    return model, x


@EVERY
def test_by_the_equations_of_keras(cell, layers, scale, tmp_path):
    model, x = made(cell, layers, scale)
    fastrnn.export(model, tmp_path / "net.json")
    expected = model.predict(x[None])[0]
    assert by_keras(tmp_path / "net.json", x) == pytest.approx(expected, rel=1e-11, abs=1e-11)
    assert expected.std(axis=0).min() > 1e-3


def test_of_float32(tmp_path):
    """The numbers in the file are those of the model, to the last bit."""
    model, x = made("lstm", 1, False, "float32")
    fastrnn.export(model, tmp_path / "net.json")
    head = json.loads((tmp_path / "net.json").read_text())["layers"][-1]["weights"]
    assert np.array_equal(np.array(head[0], np.float32), model.params["head.W"])
    assert by_keras(tmp_path / "net.json", x) == pytest.approx(model.predict(x[None])[0], abs=1e-5)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A program that RTNeural is compiled into."""
    source = os.environ.get("FASTRNN_RTNEURAL")
    if source is None:
        pytest.skip("FASTRNN_RTNEURAL is not set: it names the directory of RTNeural's source")
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("rtneural")
    (folder / "main.cpp").write_text(PROGRAM)
    subprocess.run([COMPILER, *FLAGS, "-I", Path(source).resolve(), "main.cpp", "-o", "main"],
                   cwd=folder, check=True, capture_output=True)
    return folder / "main"


@EVERY
def test_in_rtneural(reader, cell, layers, scale, tmp_path):
    for dtype in ("float32", "float64"):
        model, x = made(cell, layers, scale, dtype)
        fastrnn.export(model, tmp_path / "net.json")
        said = subprocess.run(
            [reader, "float" if dtype == "float32" else "double", tmp_path / "net.json"],
            input=" ".join(map(repr, x.ravel().tolist())).encode(), capture_output=True,
            check=True).stdout
        found = np.array([line.split() for line in said.decode().splitlines()], float)
        by = model.scaling.targets[1] if scale else 1.0  # errors in deviations of the targets
        error = np.abs(found - model.predict(x[None])[0]) / by
        assert error.max() < (1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(("model", "message"), [
    (fastrnn.Model(fastrnn.Vocabulary("ab"), cell="lstm", hidden_size=2),
     "this model reads symbols"),
    (fastrnn.Model(fastrnn.Sizes(input_size=1, output_symbols=3), cell="lstm", hidden_size=2),
     "this model predicts symbols"),
    (fastrnn.Model(fastrnn.Sizes(input_size=1, output_size=1), cell="rnn", hidden_size=2),
     'no layer for cell="rnn": train with cell="lstm"'),
    (fastrnn.Model(fastrnn.Sizes(input_size=1, output_size=1), cell="gru", reset_after=False,
                   hidden_size=2), "train with reset_after=True"),
])
def test_models_that_it_cannot_express(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fastrnn.export(model, tmp_path / "net.json")
    assert not list(tmp_path.iterdir())


def test_numbers_that_float32_cannot_hold(tmp_path):
    model, _ = made("lstm", 1, False)
    model.scaling = Scaling(targets=np.array([[0, 0, 0], [1, 1, 1e60]]))
    with pytest.raises(ValueError, match=r"is \d\.\d+e\+\d+, which is no float32"):
        fastrnn.export(model, tmp_path / "net.json")
    model.block[0] = np.nan
    with pytest.raises(ValueError, match="parameters are not finite"):
        fastrnn.export(model, tmp_path / "net.json")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, capsys):
    model, path = tmp_path / "m.safetensors", tmp_path / "net.json"
    fastrnn.Model(fastrnn.Sizes(input_size=1, output_size=1), cell="gru", hidden_size=2).save(model)
    for _ in range(2):  # the second time over its own file
        assert main(["export", str(model), str(path), "--sample-rate", "44100"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"RTNeural's JSON, {path.stat().st_size:,} bytes: load it in an audio plug-in" in said
    assert json.loads(path.read_text())["metadata"]["samplerate"] == 44100
    path.write_text('{"mine": 1}')
    assert main(["export", str(model), str(path)]) != 0
    assert path.read_text() == '{"mine": 1}'
    assert main(["export", str(model), str(path), "--dtype", "int8"]) != 0
    assert "dtype" in capsys.readouterr().err
