"""Small runs whose checkpoints several test files look at."""
import numpy as np
import pytest

import fastrnn

RNG = np.random.default_rng(0)
TEXT = "".join(RNG.choice([*"abcdefgh \n"], 700))
WORDS = " ".join(RNG.choice("to be or not that is the question".split(), 400))
BYTES = "".join(RNG.choice([*"aäöéß€"], 300))
SIZES = {"hidden_size": 9, "seed": 1, "seq_length": 6}


def corpus_of(unit="char"):
    return fastrnn.Corpus.from_text({"char": TEXT, "word": WORDS, "byte": BYTES}[unit], unit)


@pytest.fixture
def corpus():
    return corpus_of()


def classic(source, **settings):
    """fastrnn.train with the defaults of the classic character model."""
    others = {"resume", "repeat", "init_from", "preset"} & settings.keys()
    return fastrnn.train(source, **(({} if others else {"preset": "classic"}) | settings))


def classic_command(arguments):
    """The arguments of a command, `train` with the defaults of the classic character model."""
    arguments = [str(argument) for argument in arguments]
    if arguments[:1] == ["train"] and not {"--resume", "--preset", "--repeat"} & {*arguments}:
        return ["train", "--preset", "classic", *arguments[1:]]
    return arguments


def train(corpus, **settings):
    return classic(corpus, **({"progress": False} | settings))


def refused(train, source, cases):
    """Training on the source with each of these settings is a ValueError with this message."""
    for settings, message in cases:
        with pytest.raises(ValueError, match=message):
            train(source, **{"progress": False} | settings)


@pytest.fixture
def run(tmp_path, corpus):
    """A checkpoint of a run, which no refusal may change."""
    path = tmp_path / "run.safetensors"
    train(corpus, **SIZES, updates=150, checkpoint=path, valid_fraction=0.1, valid_every=50)
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before
