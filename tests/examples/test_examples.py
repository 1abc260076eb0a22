"""The examples run as their README says, on a small text, and print what they promise."""

import os
import random
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import common
import numpy as np
import pytest
from echo_state import TAU, mackey_glass
from forked import program

import fastrnn
from fastrnn import datasets

EXAMPLES = Path(common.__file__).parent
WORDS = "the cat sat on a mat and saw the moon rise over quiet water while stars fell".split()


def run(name, *arguments, cwd):
    return program(EXAMPLES / name, *arguments, cwd=cwd)


def worst_error(output):
    return float(re.search(r"largest relative error (\S+)", output)[1])


def test_readme_lists_every_example():
    listed = re.findall(r"^\| `(\w+\.py)` \|", (EXAMPLES / "README.md").read_text(), re.M)
    assert sorted([*listed, "common.py", "series.py"]) == sorted(
        path.name for path in EXAMPLES.glob("*.py"))
    for name in listed:
        text = (EXAMPLES / name).read_text()
        assert f"python examples/{name}" in text.split('"""')[1], name  # how it is run


@pytest.fixture
def text(tmp_path):
    draw = random.Random(0)
    path = tmp_path / "small.txt"
    path.write_text(" ".join(draw.choice(WORDS) for _ in range(600)) + ".\n")
    return path


def test_optuna_sweep(tmp_path, text):
    pytest.importorskip("optuna")
    done = run("optuna_sweep.py", text, "--trials", 4, "--updates", 20, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d\.\d{4} nats per character with .*of 4 runs were", done.stdout, re.M)


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


def test_goblet_from_another_start(tmp_path, text):
    """100 updates: text before the first, after each 10,000th; starts are told apart."""
    lowest = []
    for seed in (0, 0, 1):
        done = run("goblet.py", text, "--updates", 100, "--seed", seed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lowest += re.findall(r"lowest (\S+) at update \d+ \(seed (\d)", done.stdout)
        history = fastrnn.load(tmp_path / "goblet.safetensors").history
        assert [at for at, _ in history.samples] == [0]
    assert lowest[0] == lowest[1] != lowest[2] and [seed for _, seed in lowest] == [*"001"]


def test_goblet_counts_seven_epochs(tmp_path, text):
    done = run("goblet.py", text, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    history = fastrnn.load(tmp_path / "goblet.safetensors").history
    windows = len(range(0, len(text.read_text()) - 25 - 1, 25))
    assert len(history) == 7 * windows


@pytest.mark.parametrize(("arguments", "message"), [
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
    parts[-1] = parts[-1].removesuffix("\nthe model is in min_char_rnn.safetensors\n")
    assert [len(part) for part in parts[3::3]] == [201] * 5
    assert len(set(re.findall(r"[a-z]+", parts[-1])) & set(WORDS)) > 5


def test_min_char_rnn_over_epochs(tmp_path, text):
    """5, 50 and 500 epochs from one command, here fewer; the model keeps the samples."""
    (tmp_path / "part.txt").write_text(text.read_text()[:300])  # 11 updates in an epoch
    done = run("min_char_rnn.py", "part.txt", "--epochs", 5, 50, 100, "--seed", 3, "--output",
               "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = re.split(r"\n---- n = ([\d,]+) \((\d+) epochs\), smoothed loss [\d.]+ nats ----\n",
                     done.stdout)
    assert parts[1::3] == ["55", "550", "1,100"] and parts[2::3] == ["5", "50", "100"]
    model = fastrnn.load(tmp_path / "made" / "min_char_rnn.safetensors")
    assert [at for at, _ in model.history.samples] == [55, 550, 1100]
    assert all(text in done.stdout for _, text in model.history.samples)
    assert model.config["seed"] == 3


SHORT = {"memorization.py": ("--length", 2, "--hidden-size", 8, "--sequences", 500),
         "memory_with_blanks.py": ("--blanks", 1, "--hidden-size", 8, "--sequences", 500),
         "sine.py": ("--curves", 300, "--hidden-size", 8),
         "compare_cells.py": ("small.txt", "--hidden-size", 8, "--esn-size", 20)}


@pytest.mark.parametrize("name", SHORT)
def test_lengths_other_than_time_are_reproducible(tmp_path, text, name):
    text.write_text(text.read_text() * 4)
    stem = name.removesuffix(".py")

    def blocks(out, *arguments):
        done = run(name, *SHORT[name], "--output", out, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / out / f"{stem}.png").stat().st_size > 10_000
        paths = sorted((tmp_path / out).glob(f"{stem}-*.safetensors"))
        return [fastrnn.load(path) for path in paths]

    first, again = blocks("a", "--updates", 12), blocks("b", "--updates", 12)
    assert len(first) == (5 if stem == "compare_cells" else 2)
    for one, other in zip(first, again, strict=True):
        assert one.block.tobytes() == other.block.tobytes()
        assert one.history.loss.tobytes() == other.history.loss.tobytes()
        assert len(one.history) in (0, 12)  # ridge regression makes no updates
        assert bool(one.history.samples) is (one.vocabulary is not None)
    for one, other in zip(first, blocks("c", "--epochs", 1, "--seed", 1), strict=True):
        assert one.block.tobytes() != other.block.tobytes()
    done = run(name, *SHORT[name], "--epochs", 1, "--minutes", 1, cwd=tmp_path)
    assert done.returncode == 2 and "not allowed with argument" in done.stderr


@pytest.mark.parametrize("name", ["memorization.py", "memory_with_blanks.py"])
def test_nine_symbols_and_one_hot_vectors(tmp_path, name):
    done = run(name, *SHORT[name], "--symbols", 9, "--one-hot", "--epochs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.glob("*.safetensors"):
        sizes = fastrnn.load(path).sizes  # 9 symbols, blank and delimiter; no delimiter to predict
        assert (sizes.input_size, sizes.input_symbols, sizes.output_symbols) == (11, 0, 10)


def test_one_hot_vectors_are_the_ids():
    ids = fastrnn.tasks.memorization(7, 3, 4, blanks=2, seed=5)
    vectors = common.one_hot(ids)
    assert np.array_equal(vectors.inputs.argmax(2), ids.inputs) and (
        vectors.inputs.sum(2) == 1).all()
    assert np.array_equal(vectors.targets, ids.targets) and vectors.sizes.outputs == 5


def test_sine_clips_at_the_document_s_threshold(tmp_path):
    done = run("sine.py", "--curves", 200, "--hidden-size", 4, "--updates", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.split()).count(", gradient norm at most 5 ") == 2


def test_every_panel_has_the_names_of_both_axes():
    for path in EXAMPLES.glob("*.py"):
        source = path.read_text()
        for call in re.findall(r"\.set\((?:[^()]|\([^()]*\))*\)", source):
            assert ("xlabel" in call) == ("ylabel" in call), (path, call)


def test_min_char_rnn_refuses_in_one_message(tmp_path):
    done = run("min_char_rnn.py", "nowhere.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "no file 'nowhere.txt'" in done.stderr and "Traceback" not in done.stderr


def test_best_model_of_a_short_run_is_the_last_one(tmp_path, text):
    """Before the first smoothed loss is compared (100 updates) there is no better one."""
    path = tmp_path / "short.safetensors"
    model = fastrnn.train(text, preset="classic", updates=50, progress=False, checkpoint=path)
    np.testing.assert_array_equal(fastrnn.load(path, best=True).block, model.block)


def test_alice_words(tmp_path):
    words = "alice was not a bit hurt and she jumped up on to her feet in a moment " * 12
    (tmp_path / "alice.txt").write_text(words)
    done = run("alice_words.py", "alice.txt", "--epochs", 30, "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    accuracies = re.findall(r"^(lstm|rnn): .* accuracy ([\d.]+)%", done.stdout, flags=re.M)
    assert [cell for cell, _ in accuracies] == ["lstm", "rnn"]
    assert all(float(percent) > 90 for _, percent in accuracies)
    likely = re.findall(r"most likely ----\n(.*)\n", done.stdout)
    assert len(likely) == 2
    assert all(len(text.split(" ")) == 42 for text in likely)  # with the two given
    assert (tmp_path / "made" / "alice_words.png").stat().st_size > 10_000
    for cell in ("lstm", "rnn"):  # each epoch, from the history
        model = fastrnn.load(tmp_path / "made" / f"alice_words-{cell}.safetensors")
        epochs = re.findall(rf"^{cell}, epoch +(\d+): loss (\S+) nats per word, accuracy (\S+)% of",
                            done.stdout, re.M)
        assert [int(number) for number, *_ in epochs] == [*range(1, 31)]
        losses = model.history.loss.reshape(30, -1).mean(1) / 50
        assert [loss for _, loss, _ in epochs] == [f"{loss:.4f}" for loss in losses]
        assert [part for *_, part in epochs] == [f"{100 * a:.2f}" for a in model.history.accuracy]
        assert [text in done.stdout for _, text in model.history.samples] == [True, True]


def test_alice_words_by_its_options(tmp_path):
    words = "alice was not a bit hurt and she jumped up on to her feet in a moment " * 12
    (tmp_path / "alice.txt").write_text(words)
    done = run("alice_words.py", "alice.txt", "--epochs", 1, "--seq-length", 7, "--words", 5,
               "--first", 60, "--seed", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "alice.txt: 60 words, 16 distinct" in done.stdout
    assert "batches of 30 x 7 words" in done.stdout
    likely = re.findall(r"5 words, most likely ----\n(.*)\n", done.stdout)
    assert [len(text.split(" ")) for text in likely] == [7, 7]
    assert fastrnn.load(tmp_path / "alice_words-rnn.safetensors").config["seed"] == 2


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


def accuracies(pattern, output):
    """(name, percent) of each line."""
    found = re.findall(pattern + r".* ([\d.]+)% of the symbols of 1,000 fresh", output, flags=re.M)
    return [(name, float(percent)) for name, percent in found]


def test_memorization(tmp_path):
    done = run("memorization.py", "--length", 2, "--hidden-size", 40, "--updates", 1000,
               "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = accuracies(r"^start (.*):", done.stdout)
    assert [name for name, _ in found] == ["identity", "N(0, 0.1)"]
    assert found[0][1] > 60  # by chance 12.5
    assert (tmp_path / "made" / "memorization.png").stat().st_size > 10_000


def test_memory_with_blanks(tmp_path):
    done = run("memory_with_blanks.py", "--blanks", 1, 2, "--minutes", 0.01, "--hidden-size", 20,
               "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = accuracies(r"^(\d blanks, \w+)", done.stdout)
    assert [name for name, _ in found] == ["1 blanks, lstm", "1 blanks, rnn", "2 blanks, lstm",
                                           "2 blanks, rnn"]
    assert all(10 < percent <= 100 for _, percent in found)
    counts = [int(count.replace(",", "")) for count in
              re.findall(r"and ([\d,]+) parameters", done.stdout)]
    assert max(counts) < 1.05 * min(counts)
    assert (tmp_path / "made" / "memory_with_blanks.png").stat().st_size > 10_000


def test_sine(tmp_path):
    done = run("sine.py", "--updates", 300, "--curves", 500, "--hidden-size", 16, "--output",
               "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(LSTM|RNN) with (\d+) units.* next sample (\S+), the 70 continued ones "
                       r"(\S+) ", done.stdout, flags=re.M)
    assert [name for name, *_ in found] == ["LSTM", "RNN"]
    for _, _, following, continued in found:
        assert 0 < float(following) < float(continued) < 0.5  # always predicting 0 has 0.5
    assert (tmp_path / "made" / "sine.png").stat().st_size > 10_000


def test_exploding_gradients(tmp_path):
    done = run("exploding_gradients.py", "--length", 100, "--hidden-size", 20, "--output", "made",
               cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {name.strip(): [float(x) for x in re.findall(r"\d\.\de[+-]\d+", numbers)]
            for name, numbers in re.findall(r"^((?:ReLU|tanh|LSTM).{20})(.*)$", done.stdout, re.M)}
    assert len(rows) == 7
    short, clipped_short, long, clipped = rows["ReLU RNN, 1.03 I"]
    assert long > 50 * short and clipped < 2 * clipped_short
    parameters = 2 * 20 + 20 * 20 + 20 + 20 + 1
    assert all(max(row[1::2]) < 5 / parameters**0.5 for row in rows.values())
    assert (tmp_path / "made" / "exploding_gradients.png").stat().st_size > 10_000


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("memorization.py", ["--length", "0"], "length must be"),
    ("memorization.py", ["--batch-size", "60000"], "batch_size is 60000"),
    ("memory_with_blanks.py", ["--blanks", "-1"], "blanks must be"),
    ("sine.py", ["--minutes", "0"], "minutes must be"),
    ("exploding_gradients.py", ["--length", "1"], "length must be"),
])
def test_tasks_refuse_in_one_message(tmp_path, name, arguments, message):
    done = run(name, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


COUNTRY_NAMES = {"Poland": "anna jan piotr ewa", "Iran": "reza omid mina sara",
                 "Netherlands": "jaap kees truus sanne", "Chile": "pedro jose rosa luz"}


def test_names(tmp_path):
    rows = [f"{name}{ending}\t{country}" for country, names in COUNTRY_NAMES.items()
            for name in names.split() for ending in ("", "a", "i", "o", "e")]
    (tmp_path / "names.tsv").write_text("\n".join(rows))
    done = run("names.py", "names.tsv", "--epochs", 30, "--hidden-size", 32, "--name", "anna",
               "--models", 2, "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert re.findall(r"^==== (.*):", out, re.M) == ["memory", "lstm"]
    assert "80 names: Chile 20, Iran 20, Netherlands 20, Poland 20\n0 names stand in several" in out
    for title in ("Netherlands", "Netherlands, temperature 0.5", "half Netherlands, half Poland",
                  "Netherlands, new"):
        found = re.findall(rf"---- 30 names, {title} ----\n(.*)\n", out)
        assert len(found) == 2 and all(len(names.split(", ")) == 30 for names in found)
    counts = re.findall(r"of 1,000 samples (\d+) are new, 0 empty, (\d+) ended", out)
    assert len(counts) == 2 and all(int(ended) > 900 for _, ended in counts)
    rankings = re.findall(r"^anna, with the frequencies of .*\n((?:  .*\n)+)", out, re.M)
    assert len(rankings) == 2
    for lines in rankings:
        percents = [float(percent) for percent in re.findall(r"([\d.]+)%", lines)]
        assert len(percents) == 4 and sum(percents) == pytest.approx(100, abs=0.3)
        assert percents == sorted(percents, reverse=True)
        for total, each in re.findall(r"loss +([\d.]+) nats, ([\d.]+) per letter", lines):
            assert float(each) == pytest.approx(float(total) / 5, abs=2e-4)  # with the end
    accuracies = re.findall(r"^right country ranked first: (.*) (\S+)%, the trigram of letters "
                            r"(\S+)% of the held-out names$", out, re.M)
    assert [by for by, *_ in accuracies] == ["the model", "2 models together"]
    for name in ("memory", "lstm-1", "lstm-2"):
        saved = fastrnn.load(tmp_path / "made" / f"names-{name}.safetensors")
        assert saved.config["labels"] == ["Chile", "Iran", "Netherlands", "Poland"]
        assert saved.label_counts.sum() == (65 if name == "memory" else 72)


def test_the_trigram_of_names():
    """Witten-Bell smoothing, once more with fractions; probabilities of all symbols sum to 1."""
    import names

    trigram = names.Trigram(["ab", "abb", "b"], ["x", "x", "y"], 4)
    a, b, end = (Fraction(n, 7) for n in (2, 3, 2))  # after nothing, in "ab." and "abb."
    kinds = Fraction(3, 10)  # 3 kinds in 7
    one = {s: (1 - kinds) * p + kinds / 4 for s, p in {"a": a, "b": b, "\x03": end}.items()}
    after_a = {s: (2 * (s == "b") + one[s]) / 3 for s in one}  # b twice: one kind
    after_start_a = {s: (2 * (s == "b") + after_a[s]) / 3 for s in one}
    assert trigram.probability(trigram.counts["x"], "\x02a", "b") == pytest.approx(
        float(after_start_a["b"]), rel=1e-12)
    assert trigram.probability(trigram.counts["x"], "\x02a", "\x03") == pytest.approx(
        float(after_start_a["\x03"]), rel=1e-12)
    for before in ("\x02\x02", "\x02a", "bb", "zz"):
        total = sum(trigram.probability(trigram.counts["x"], before, s) for s in "ab?\x03")
        assert total == pytest.approx(1, rel=1e-12)
    losses = trigram.losses("ab")
    assert losses["x"] < losses["y"]
    assert names.right(trigram.losses, [("ab", "x"), ("b", "x"), ("ab", "y")],
                       {"x": 0.5, "y": 0.5}) == pytest.approx(1 / 3)
    assert names.right(trigram.losses, [("b", "x")], {"x": 1.0, "y": 0.0}) == 1


def test_tweets(tmp_path):
    draw = random.Random(0)
    messages = [" ".join(draw.choices(WORDS, k=draw.randint(2, 8))) for _ in range(300)]
    (tmp_path / "messages.txt").write_text("\n".join([*messages, "", "x" * 141]))
    done = run("tweets.py", "messages.txt", "--hidden-size", 32, "--batch-size", 10, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "300 messages" in done.stdout
    assert "1 blank lines and 1 longer than 140 characters left out" in done.stdout
    assert "of 1,000 sampled messages 0 are longer than 140 characters" in done.stdout
    updates = [int(n) for n in re.findall(r"^---- update (\d+)", done.stdout, re.M)]
    assert updates == [*range(0, 61, 6)]  # nothing comes twice, and nothing is cut to a letter
    assert min(map(len, re.findall(r"^---- update \d+ ----\n(.*)\n", done.stdout, re.M))) > 1


def descent(threshold, start=1.0, rate=0.01, steps=50):
    """Each x of clipped gradient descent on (x^2 - 312)^2."""
    path = [start]
    for _ in range(steps):
        slope = max(-threshold, min(threshold, 4 * path[-1] * (path[-1] ** 2 - 312)))
        path.append(path[-1] - rate * slope)
    return path


def test_square_root(tmp_path):
    """The numbers of the homework: from 1, rate 0.01, 50 steps, within 0.25 at the end."""
    done = run("square_root.py", "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out, root = done.stdout, 312**0.5
    assert "the root of 312 is 17.663522; from x = 1 with learning rate 0.01, 50 steps" in out
    best, x, verdict = re.search(
        r"^best threshold (\S+): x = (\S+) after 50 steps, \S+ from the root; (.*)$", out,
        re.M).groups()
    assert 33.3 <= float(best) <= 42 and abs(float(x) - root) <= 0.25
    assert verdict == "right, and stays"
    # touched after 3 steps, and jumped over again and again
    assert re.search(r"^ +562.3 .*  wrong: there after 3 steps, and away again$", out, re.M)
    assert re.search(r"^ +inf .*  wrong: to infinity$", out, re.M)
    rows = re.findall(r"^ +(\d\S*) +(\S+) +\S+ +(\S+)  (right|wrong)(.*)$", out, re.M)
    assert len(rows) > 40
    for threshold, end, _, right, more in rows:
        path = descent(float(threshold), steps=100)
        near = abs(abs(path[50]) - root) <= 0.25
        if 33.4 < float(threshold) < 45:  # printed with few digits, which chaos would amplify
            assert float(end) == pytest.approx(path[50], abs=0.01)
            assert (right == "right") is near
            assert ("and stays" in more) is all(abs(x - root) <= 0.25 for x in path[50:])
        if float(threshold) < 30:
            assert more == ": too slow"
    steps = re.findall(r"^ +(\d+) +(\d+\.\d{6}) +(\S+) +(\S+)$", out, re.M)
    path = descent(float(best))
    assert [int(step) for step, *_ in steps] == [*range(51)]
    for (_, value, slope, clipped), expected in zip(steps, path, strict=True):
        assert float(value) == pytest.approx(expected, abs=0.01)
        assert abs(float(clipped)) <= float(best) and float(slope) * float(clipped) > 0
    assert (tmp_path / "made" / "square_root.png").stat().st_size > 10_000


def test_square_root_of_a_small_rate(tmp_path):
    """Without oscillation every threshold that gets there stays."""
    done = run("square_root.py", "--start", 50, "--learning-rate", 5e-4, "--steps", 2000,
               "--tolerance", 1e-6, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ +\S+ +17\.6635 .*  right, and stays$", done.stdout, re.M)
    assert "does not stay" not in done.stdout and "best threshold 32.69:" in done.stdout
    assert len(re.findall(r"^ +\d+ +\d+\.\d{6} ", done.stdout, re.M)) == 60


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("names.py", ["nowhere.tsv"], "no file 'nowhere.tsv'"),
    ("names.py", ["names.tsv", "--country", "Peru"], "has no names from 'Peru'"),
    ("names.py", ["names.tsv", "--name", "Ångström"], "'Å' at position 0"),
    ("tweets.py", ["nowhere.txt"], "no file 'nowhere.txt'"),
    ("square_root.py", ["--number", "-1"], "number and learning rate must be above 0"),
    ("square_root.py", ["--steps", "0"], "--steps must be at least 1"),
])
def test_records_refuse_in_one_message(tmp_path, name, arguments, message):
    (tmp_path / "names.tsv").write_text("anna\tPoland\njaap\tNetherlands\n")
    done = run(name, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_names_of_faker_s_lists(tmp_path, monkeypatch):
    pytest.importorskip("faker")
    monkeypatch.delenv("FASTRNN_DATA", raising=False)
    done = run("names.py", "--epochs", 1, "--hidden-size", 8, "--name", "Anna", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"names: Chile \d+, China \d+, France .* Poland \d+", done.stdout)


def run_on_a_fresh_clone(name, *arguments, cwd):
    """Without a file, an earlier download, Faker or a network: a proxy that nobody answers at."""
    (cwd / "path").mkdir()
    (cwd / "path" / "faker.py").touch()  # in the place of the package, and without its modules
    paths = [str(cwd / "path"), os.environ.get("PYTHONPATH", "")]
    nobody = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    places = dict.fromkeys(("HOME", "LOCALAPPDATA", "XDG_CACHE_HOME"), str(cwd))
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)], cwd=cwd, capture_output=True,
        encoding="utf-8", env=os.environ | nobody | places | {
            "FASTRNN_DATA": "", "PYTHONUTF8": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, paths))})
    assert done.returncode == 0, done.stderr
    return done.stdout


# the other examples make their data themselves: their tests above have no files either
@pytest.mark.parametrize(("name", "arguments", "expected"), [
    ("goblet.py", ["--updates", 50], "pydoc-topics: [4-9]..,... characters"),
    ("min_char_rnn.py", [], "pydoc-topics: [4-9]..,... characters(.|\n)*n = 50,000"),
    ("char_rnn.py", ["--epochs", 1, "--cell", "rnn"], "pydoc-topics: [4-9]..,... characters"),
    ("alice_words.py", ["--epochs", 1], "pydoc-topics: 2,... words(.|\n)*40 words, most likely"),
    ("tweets.py", ["--epochs", 1, "--hidden-size", 8], "pydoc-topics: .,... messages"),
    ("compare_cells.py", ["--minutes", 0.01, "--hidden-size", 16, "--esn-size", 20],
     "pydoc-topics: [4-9]..,... characters"),
])
def test_texts_of_a_fresh_clone(tmp_path, name, arguments, expected):
    pytest.importorskip("pydoc_data.topics")
    out = run_on_a_fresh_clone(name, *arguments, cwd=tmp_path)
    text = "alice" if name == "alice_words.py" else "tiny-shakespeare"
    assert out.count("takes its place") == (2 if name == "goblet.py" else 1)
    assert (f"the data set {text} is not here and could not be downloaded (data/README.md says how "
            "to get it by hand): Python's documentation takes its place\n") in out
    assert "get it by hand and put it in data/" in out
    assert "or give the path of any text as FILE" in out
    assert re.search(expected, out)


def test_names_of_a_fresh_clone(tmp_path):
    out = run_on_a_fresh_clone("names.py", "--epochs", 1, "--hidden-size", 8, "--models", 1,
                               cwd=tmp_path)
    assert "the data set names is not here and" in out
    assert "): a list of made-up names takes its place\n231 names: Italy 77, Netherlands 77" in out
    assert "---- 30 names, half Netherlands, half Poland ----" in out


def test_names_of_the_data_set(tmp_path, monkeypatch, capsys):
    """Surnames in the place of a missing Faker, with Dutch and Polish for the two countries."""
    table = "surname,nationality\n" + "".join(
        f"{name}{ending},{label}\n" for label, names in
        {"Polish": COUNTRY_NAMES["Poland"], "Dutch": COUNTRY_NAMES["Netherlands"]}.items()
        for name in names.split() for ending in ("", "a", "i", "o", "e"))
    (tmp_path / "surnames.csv").write_text(table)
    monkeypatch.setattr(sys, "argv", ["names.py", "--epochs", "1", "--hidden-size", "8",
                                      "--name", "anna"])
    monkeypatch.setitem(sys.modules, "faker", None)
    monkeypatch.setitem(sys.modules, "faker.generator", None)
    monkeypatch.delenv("FASTRNN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "path", lambda name, progress=None: tmp_path / "surnames.csv")
    import names

    corpus = names.names(None)
    assert corpus.records.names == ("Dutch", "Polish")
    assert len(corpus.records) == 40
    names.main()
    assert "---- 30 names, half Dutch, half Polish ----" in capsys.readouterr().out


def test_echo_state(tmp_path):
    done = run("echo_state.py", "--units", 200, "--seeds", 3, "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    one, ahead = map(float, re.search(r"one step (\S+), of 84 steps (\S+) \(medians", out).groups())
    assert one < 1e-3 < 0.05 > ahead  # as for ten networks of 1,000 units
    following, rest = map(float, re.search(r"next sample (\S+), of the 70 continued ones (\S+) ",
                                           out).groups())
    assert following < 1e-5 and rest < 1e-2
    assert (tmp_path / "made" / "echo_state.png").stat().st_size > 20_000


def test_mackey_glass():
    """Against SciPy's integrator of ordinary equations, a delay at a time."""
    from scipy.integrate import solve_ivp
    from scipy.interpolate import CubicSpline

    fine = mackey_glass(100, part=40)
    np.testing.assert_allclose(mackey_glass(100, part=40), fine)
    spline = CubicSpline(np.arange(len(fine)), fine)
    start = 30
    times = np.arange(start, start + TAU)  # where the delayed values are known
    solved = solve_ivp(
        lambda t, x: 0.2 * spline(t - TAU) / (1 + spline(t - TAU) ** 10) - 0.1 * x,
        (times[0], times[-1]), [fine[start]], t_eval=times, rtol=1e-10, atol=1e-12).y[0]
    np.testing.assert_allclose(solved, fine[times], atol=1e-4)
    assert 0.2 < fine.min() < 0.6 < 1.2 < fine.max() < 1.5


def test_compare_cells(tmp_path, text):
    text.write_text(text.read_text() * 8)
    done = run("compare_cells.py", text, "--minutes", 0.01, "--hidden-size", 16, "--esn-size", 60,
               "--output", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^---- (.*?): loss (\S+), validation loss (\S+) nats per character, "
                      r"([\d,]+) trained parameters, ([\d,]+) characters/s ----\n(.*)\n",
                      done.stdout, re.M)
    assert [row[0] for row in rows] == [
        "rnn, 16 units", "lstm, 16 units", "gru, 16 units", "esn, 60 units",
        "esn by ridge regression, 60 units"]
    K = len(set(text.read_text()))
    parameters = [int(row[3].replace(",", "")) for row in rows]
    assert parameters[0] == (K + 16 + 1) * 16 + 17 * K and parameters[3] == parameters[4] == 61 * K
    for row in rows:
        assert 0 < float(row[2]) < np.log(K) and row[5]
    assert (tmp_path / "made" / "compare_cells.png").stat().st_size > 10_000


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("echo_state.py", ["--seeds", "0"], "--seeds and --threads must be at least 1"),
    ("echo_state.py", ["--units", "0"], "units must be"),
    ("compare_cells.py", ["nowhere.txt"], "no file 'nowhere.txt'"),
    ("compare_cells.py", ["small.txt", "--minutes", "-1"], "minutes"),
])
def test_echo_states_refuse_in_one_message(tmp_path, text, name, arguments, message):
    done = run(name, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
