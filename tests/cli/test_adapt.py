"""`fastrnn score --adapt` and `fastrnn sample --adapt-to`."""
import re

import numpy as np
import pytest

import fastrnn
from fastrnn import cli

TEXT = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 2000))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with a model and a text."""
    monkeypatch.chdir(tmp_path)
    model = fastrnn.Model(fastrnn.Vocabulary.from_text(TEXT), cell="lstm", hidden_size=9)
    model.save("m.safetensors")
    (tmp_path / "other.txt").write_bytes(TEXT.encode())
    return model


def test_the_adapted_loss_stands_beside_the_plain_one(here, capsys):
    with open("m.safetensors", "rb") as file:
        before = file.read()
    assert cli.main(["score", "m.safetensors", "other.txt"]) == 0
    plain = capsys.readouterr().out
    assert "adapted" not in plain
    assert cli.main(["score", "m.safetensors", "other.txt", "--adapt"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(plain)
    nats = here.score(TEXT, adapt=True)
    line = f"adapted    {nats:.4f} nats per char ({nats / np.log(2):.4f} bits), "
    assert out[len(plain) :].startswith(line + "adapted while reading (prequential):")
    assert abs(nats - here.score(TEXT)) > 1e-3
    with open("m.safetensors", "rb") as file:
        assert file.read() == before


@pytest.mark.parametrize("flags", [[], ["--stream"], ["--color=always"]])
def test_a_sample_in_the_manner_of_a_text(here, capsys, flags):
    assert cli.main(["sample", "m.safetensors", "--adapt-to", "other.txt", "--seed", "3",
                     "--length", "50", "--prime", "ab", *flags]) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    expected = here.sample(50, adapt_to=TEXT, prime="ab", echo=True, seed=3)
    assert expected != here.sample(50, prime="ab", echo=True, seed=3)
    assert out.endswith(expected + "\n")


def test_records(here, capsys):
    corpus = fastrnn.Corpus.from_records(["anna", "bob", "hanna"])
    model = fastrnn.Model(corpus.vocabulary, hidden_size=6)
    model.save("names.safetensors")
    with open("names.txt", "w") as file:
        file.write("anna\nbob\n")
    assert cli.main(["sample", "names.safetensors", "--adapt-to", "names.txt", "--seed", "1"]) == 0
    assert capsys.readouterr().out == model.sample(adapt_to=["anna", "bob"], seed=1) + "\n"


def test_a_file_that_is_not_there(here, capsys):
    assert cli.main(["sample", "m.safetensors", "--adapt-to", "no.txt"]) == 2
    assert "no.txt" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    ["score", "m.safetensors", "other.txt", "--adapt", "--with", "m.safetensors"],
    ["score", "m.safetensors", "other.txt", "--adapt", "--compare"],
    ["sample", "m.safetensors", "--adapt-to", "other.txt", "--with", "m.safetensors"]])
def test_one_model_by_itself_adapts(here, capsys, arguments):
    assert cli.main(arguments) == 2
    assert "for one model" in capsys.readouterr().err
