"""The examples run as their README says, on a small text, and end with what they promise."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WORDS = "the cat sat on a mat and saw the moon rise over quiet water while stars fell".split()


def run(name, *arguments, cwd):
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)], cwd=cwd, capture_output=True,
        encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"})


def worst_error(output):
    return float(re.search(r"largest relative error (\S+)", output)[1])


@pytest.fixture
def text(tmp_path):
    draw = random.Random(0)
    path = tmp_path / "small.txt"
    path.write_text(" ".join(draw.choice(WORDS) for _ in range(600)) + ".\n")
    return path


def test_goblet(tmp_path, text):
    done = run("goblet.py", text, "--updates", 10_050, "--output", "made/here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert "layer0.Wh         25 of 25" in out  # H = 5, every entry
    assert "(step 0.0001;" in out
    assert worst_error(out) < 1e-5

    samples = re.split(r"^---- (?:update (\d+).*|1,000 characters.*) ----\n", out, flags=re.M)
    assert samples[1::2] == ["0", "10000", None]
    assert len(samples[2]) > 200
    assert len(samples[4].split("\n10,050 updates in")[0]) == 201  # and a line end

    checkpoint = tmp_path / "made" / "here" / "goblet.safetensors"
    best = fastrnn.load(checkpoint, best=True)
    assert best.config["hidden_size"] == 100 and best.config["cell"] == "rnn"
    assert len(best.history) == 10_050
    assert not np.array_equal(best.block, fastrnn.load(checkpoint).block)
    assert samples[6] == best.sample(1000, seed=0) + "\n"
    words = set(re.findall(r"[a-z]+", samples[6]))
    assert len(words & set(WORDS)) > 5  # it has learned something

    picture = (tmp_path / "made" / "here" / "goblet.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert tuple(np.frombuffer(picture[16:24], ">u4")) == (1200, 675)  # pixels


def test_goblet_counts_seven_epochs(tmp_path, text):
    done = run("goblet.py", text, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    history = fastrnn.load(tmp_path / "goblet.safetensors").history
    windows = len(range(0, len(text.read_text()) - 25 - 1, 25))
    assert len(history) == 7 * windows


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "no data/goblet_book.txt: put your own copy .* --dataset tiny-shakespeare"),
    (["nowhere.txt"], "no file 'nowhere.txt'"),
    (["--dataset", "nonsense"], "no data set is called 'nonsense'"),
    (["short.txt"], "needs at least 27"),
    (["small.txt", "--output", "small.txt"], "small.txt"),
])
def test_goblet_refuses_in_one_message(tmp_path, text, arguments, message):
    (tmp_path / "short.txt").write_text("only twenty-six symbols...")
    done = run("goblet.py", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(message, done.stderr.replace("\\", "/"))
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.png"))


def test_min_char_rnn(tmp_path, text):
    done = run("min_char_rnn.py", text, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert worst_error(done.stdout) < 1e-4
    assert re.findall(r"(\d+) of \d+", done.stdout) == ["10"] * 5
    parts = re.split(r"\n---- n = ([\d,]+), smoothed loss ([\d.]+) nats ----\n", done.stdout)
    assert parts[1::3] == ["5", "50", "500", "5,000", "50,000"]

    # The same losses from the library's own loop, and 200 characters each.
    corpus = fastrnn.Corpus.from_file(text)
    trainer = fastrnn.Trainer(fastrnn.Model(corpus.vocabulary), corpus, progress=False)
    trainer.run(updates=5000)
    smooth = trainer.history.smooth_loss
    assert parts[2:-2:3] == [f"{smooth[n - 1]:.2f}" for n in (5, 50, 500, 5000)]
    assert [len(part) for part in parts[3::3]] == [201] * 5
    assert len(set(re.findall(r"[a-z]+", parts[-1])) & set(WORDS)) > 5


def test_min_char_rnn_refuses_in_one_message(tmp_path):
    done = run("min_char_rnn.py", "nowhere.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "no file 'nowhere.txt'" in done.stderr and "Traceback" not in done.stderr


def test_best_model_of_a_short_run_is_the_last_one(tmp_path, text):
    """Before the first smoothed loss is compared (100 updates) there is no better one."""
    path = tmp_path / "short.safetensors"
    model = fastrnn.train(text, updates=50, progress=False, checkpoint=path)
    np.testing.assert_array_equal(fastrnn.load(path, best=True).block, model.block)


def test_alice_words(tmp_path):
    words = "alice was not a bit hurt and she jumped up on to her feet in a moment " * 12
    (tmp_path / "alice.txt").write_text(words)
    done = run("alice_words.py", "alice.txt", "--epochs", 30, "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    accuracies = re.findall(r"^(lstm|rnn): .* accuracy ([\d.]+)%", done.stdout, flags=re.M)
    assert [cell for cell, _ in accuracies] == ["lstm", "rnn"]
    assert all(float(percent) > 90 for _, percent in accuracies)
    likeliest = re.findall(r"likeliest ----\n(.*)\n", done.stdout)
    assert len(likeliest) == 2
    assert all(len(text.split(" ")) == 42 for text in likeliest)  # with the two given
    assert (tmp_path / "made" / "alice_words.png").stat().st_size > 10_000


@pytest.mark.parametrize(("arguments", "message"), [
    (["nowhere.txt"], "no file 'nowhere.txt'"),
    (["alice.txt", "--prime", "nobody"], "word 'nobody' at position 0"),
    (["alice.txt", "--epochs", "0"], "epochs must be"),
])
def test_alice_words_refuses_in_one_message(tmp_path, arguments, message):
    (tmp_path / "alice.txt").write_text("alice was beginning to get very tired " * 20)
    done = run("alice_words.py", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
