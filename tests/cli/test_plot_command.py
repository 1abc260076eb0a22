"""fastrnn plot."""

from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn import cli, plot

pytest.importorskip("matplotlib")
TEXT = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 700))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        try:
            code = cli.main([*map(str, arguments)])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()
    return call


@pytest.fixture
def models(call):
    """Two checkpoints of LSTMs, after 20 and after 40 updates, and a text."""
    Path("book.txt").write_text(TEXT)
    for updates in (20, 40):
        fastrnn.train(Path("book.txt"), preset="classic", cell="lstm", hidden_size=5, batch_size=2,
                      seq_length=6, updates=updates, progress=False, valid_fraction=0.2,
                      valid_every=10, checkpoint=f"m{updates}.safetensors")
    return "m20.safetensors", "m40.safetensors"


@pytest.fixture
def drawn(monkeypatch):
    """The calls of fastrnn.plot, each with the axes that it returned."""
    calls = []

    def watched(name, function):
        def draw(*given, **how):
            calls.append((name, function(*given, **how)))
        return draw

    for name in plot.__all__:
        monkeypatch.setattr(plot, name, watched(name, getattr(plot, name)))
    return calls


def test_losses_of_two_models(call, models, drawn):
    assert call("plot", *models, "--x", "epochs") == (0, "the picture is in m20-loss.png\n", "")
    ((name, axes),) = drawn
    assert name == "loss" and axes.get_xlabel() == "epoch"
    assert {line.get_label().split(":")[0] for line in axes.lines} == {"m20", "m40", "_each update"}
    assert Path("m20-loss.png").read_bytes().startswith(b"\x89PNG")
    for kind, start in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        for _ in range(2):  # its own picture is drawn anew
            assert call("plot", models[0], "-o", f"loss.{kind}")[0] == 0
        assert Path(f"loss.{kind}").read_bytes().startswith(start)


def test_what_is_read(call, models, drawn):
    for what, flags in (("activations", ["--units", 3, 1]), ("gates", []), ("gradients", [])):
        for text in ("abc abc", "book.txt"):
            out = f"{what}.png"
            code, _, err = call("plot", models[1], "--what", what, "--text", text, *flags,
                                "-o", out)
            assert (code, err) == (0, "")
            assert Path(out).stat().st_size > 3000
    axes = drawn[0][1]
    assert [line.get_label() for line in axes.lines] == ["unit 3", "unit 1"]
    assert "".join(label.get_text() for label in axes.get_xticklabels()) == "abc␣abc"
    assert "(the first 80 of 700 chars)" in drawn[1][1].get_xlabel()


def test_gradients_of_two_models_of_one_name_are_both_drawn(call, models, drawn):
    for folder, model in zip("ab", models, strict=True):
        Path(folder).mkdir()
        Path(model).rename(Path(folder, "model.safetensors"))
    names = ["a/model.safetensors", "b/model.safetensors"]
    code, _, err = call("plot", *names, "--what", "gradients", "--text", "abc abc", "-o", "g.png")
    assert (code, err) == (0, "")
    lines = drawn[0][1][0].lines
    assert [line.get_label() for line in lines] == names
    for line, name in zip(lines, names, strict=True):
        norms = fastrnn.gradient_norms(fastrnn.load(name), "abc abc").norms
        np.testing.assert_array_equal(line.get_ydata(), norms)


def test_gates_of_two_models_are_drawn_over_their_updates(call, models, drawn):
    assert call("plot", *models[::-1], "--what", "gates", "--text", "book.txt")[0] == 0
    assert drawn[0][1][0].lines[0].get_xdata().tolist() == [20, 40]
    assert Path("m40-gates.png").is_file()


def test_a_record_with_its_label(call, drawn):
    corpus = fastrnn.Corpus.from_records(["anna", "bob"], labels=["x", "y"])
    fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=5, labels=["x", "y"]).save("n")
    arguments = ["plot", "n", "--what", "activations", "--text", "anna"]
    assert call(*arguments, "--label", "y")[0] == 0
    code, _, err = call(*arguments)
    assert code == 2 and "label" in err
    Path("anna").write_text("bob")
    code, _, err = call(*arguments, "--label", "y")
    assert code == 2 and "give one record, not a file" in err


@pytest.mark.parametrize(("arguments", "message"), [
    (["m20.safetensors", "-o", "a.xyz"], "'a.xyz': the name of a plot ends in one of"),
    (["m20.safetensors", "-o", "photo.png"], "fastrnn did not write it"),
    (["m20.safetensors", "-o", "none/a.png"], "none"),
    (["none.safetensors"], "no file 'none.safetensors'"),
    (["new.safetensors"], "new: there are no losses to plot yet"),
    (["m20.safetensors", "--what", "gates"], "--what gates needs --text"),
    (["m20.safetensors", "--what", "loss", "--text", "a"], "are for --what activations"),
    (["m20.safetensors", "--what", "gates", "--text", "a", "--units", "1"], "--units is for"),
    (["m20.safetensors", "--what", "gates", "--text", "a", "--x", "epochs"], "--x is for"),
    (["m20.safetensors", "--what", "gates", "--text", "bok.txt"], "there is no such file"),
    (["m20.safetensors", "--what", "gates", "--text", "abXc"], "'X'"),
    (["m20.safetensors", "m40.safetensors", "--what", "activations", "--text", "a"], "one MODEL"),
    (["m20.safetensors", "--what", "activations", "--text", "a", "--units", "5"],
     "unit 5 does not exist"),
    (["m20.safetensors", "--what", "lines"], "must be one of"),
    (["new.safetensors", "--what", "gates", "--text", "abc"], "has no gates"),
    (["m20.safetensors", "m20.safetensors", "--what", "gates", "--text", "abc"], "same number"),
])
def test_one_error_and_nothing_written(call, models, arguments, message):
    Path("photo.png").write_bytes(b"\x89PNG a photo")
    fastrnn.Model(fastrnn.Corpus.from_text(TEXT).vocabulary, hidden_size=3).save("new.safetensors")
    before = sorted(Path().iterdir())
    code, out, err = call("plot", *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1, err
    assert sorted(Path().iterdir()) == before
    assert Path("photo.png").read_bytes() == b"\x89PNG a photo"
