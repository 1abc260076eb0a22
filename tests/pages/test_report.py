"""Reports: the figures are those of independent calls, strange texts do no harm, bad input ends in
one error with nothing written."""
import math
import os
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from browsing import look, open_page

import fastrnn
from fastrnn import cli
from fastrnn.insight.copied import longest_copied
from fastrnn.model.history import History
from fastrnn.pages.courses import COURSES, PARTS

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
RNG = np.random.default_rng(5)


class Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.pieces, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        if self.lasttag != "script":
            self.pieces.append(data)


def read(path):
    """The text of a page and its tags."""
    parser = Text()
    parser.feed(path.read_text("utf-8"))
    return re.sub(r"\s+", " ", " ".join(parser.pieces)), parser.tags


def story(count=900, unit="char"):
    words = RNG.choice(["the cat", "a dog", "sat.", "on it", "and ran,", "so <b>", "& he"], count)
    return fastrnn.Corpus.from_text(" ".join(words), unit, name="story")


def train(data, **settings):
    how = {"preset": "classic", "hidden_size": 8, "updates": 60, "valid_fraction": 0.2,
           "progress": False} | settings
    return fastrnn.train(data, **how)


def names():
    of = {"x": "abc", "y & <i>": "cde", "z": "aef"}
    labels = RNG.choice(list(of), 120)
    texts = ["".join(RNG.choice(list(of[label]), RNG.integers(2, 7))) for label in labels]
    return fastrnn.Corpus.from_records(texts, labels.tolist(), name="names")


def curves(seed=0):
    t = np.random.default_rng(seed).uniform(0, 6, (30, 1)) + np.arange(41) * 0.3
    return fastrnn.Sequences(np.sin(t)[:, :-1, None], np.sin(t)[:, 1:, None], name="curves")


SOURCES = {
    "text": (story, {}), "one stream": (story, {"valid_fraction": 0.0, "sample_every": 20}),
    "words": (lambda: story(unit="word"), {"accuracy": True}),
    "bytes": (lambda: story(unit="byte"), {"cell": "gru"}),
    "labels": (names, {"cell": "lstm", "batch_size": 8}),
    "records": (lambda: fastrnn.Corpus.from_records([f"no. {i % 17}" for i in range(90)]),
                {"batch_size": 8}),
    "numbers": (curves, {"batch_size": 5}),
    "windows": (curves, {"batch_size": 5, "seq_length": 8}),
    "symbols": (lambda: fastrnn.tasks.memorization(60, 3, 4, seed=1), {"batch_size": 8}),
    "reservoir": (story, {"cell": "esn", "hidden_size": 30}),
    "mixed": (story, {"dtype": "mixed_bfloat16"}),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_model_has_a_report(kind, tmp_path):
    make, settings = SOURCES[kind]
    data, path = make(), tmp_path / "report.html"
    model = train(data, **settings)
    model.report(path, data)
    text, tags = read(path)
    assert "polyline" in tags and "nan" not in text.lower().split()
    scripts = 2 if "look-text" in path.read_text("utf-8") else 0  # of units, and their values
    assert tags.count("script") == scripts and (scripts == 0 or data.kind == "text")
    for heading in ("Losses while it learned", "Gradient check", "Settings", "Machine"):
        assert heading in text
    if "valid_fraction" not in settings:
        loss = model.score(held_of(data, model))
        assert f"the loss is {loss:{'.3f' if model.sizes.output_symbols else '.4g'}} " in text
    numbers = not model.sizes.output_symbols
    assert ("mean squared error" in text) == numbers == ("nats per" not in text)
    assert ("Train with valid_fraction=0.1 to" in text) == (
        data.vocabulary is None and not model.history.valid_loss.size)
    model.report(path)  # over the earlier one, without the data
    assert "The data are not given" in read(path)[0]


def held_of(data, model):
    config = model.run["config"]
    return data.in_windows(config["seq_length"]).hold_out(0.2, config["seed"] or 0)[1]


def test_the_figures_of_a_text(tmp_path):
    data, path = story(), tmp_path / "report.html"
    model = train(data, updates=200)
    model.report(path, data, seed=3, temperature=0.7)
    text, _ = read(path)
    count = len(data) - round(0.2 * len(data))
    trained, held = (fastrnn.Corpus(ids, data.vocabulary) for ids in np.split(data.ids, [count]))
    loss, sample = model.score(held), model.sample(1000, seed=3, temperature=0.7)
    assert (f"{loss:.3f} nats per character ({loss / math.log(2):.3f} bits, perplexity "
            f"{math.exp(loss):.2f})") in text
    assert f"{math.log(len(data.vocabulary)):.3f}" in text  # a uniform guess
    passage = longest_copied(data.vocabulary.encode(sample), trained.ids)
    assert f"too has {passage.length} characters. There it begins at character " \
        f"{passage.in_text + 1:,} of {count:,}" in text
    assert f"{model.accuracy(held):.2%} are predicted right" in text
    assert re.sub(r"\s+", "", sample) in re.sub(r"\s+", "", text)
    assert "hidden_size 8 given" in text and "learning_rate 0.1 preset classic" in text
    assert "dropout 0 default" in text
    at = model.run["at"]
    assert f"the model after {at} of 200 updates, that of the lowest validation loss" in text


def test_the_figures_of_labels(tmp_path):
    data, path = names(), tmp_path / "report.html"
    model = train(data, batch_size=8, epochs=12, updates=None, cell="lstm")
    model.report(path, data)
    text, _ = read(path)
    held = data.hold_out(0.2, 0)[1]
    rows = list(zip((data.vocabulary.decode(ids[1:-1]) for ids in held.pieces()),
                    held.row_labels(), strict=True))
    for prior in None, "training":
        right = np.mean([model.rank_labels(name, prior=prior)[0].label == label
                         for name, label in rows])
        assert f"{right:.1%}" in text
    generated = model.sample(n=300, label=[label for label in data.labels for _ in range(100)],
                             seed=0)
    new = model.novelty(generated)
    assert f"Of 300 generated records (temperature 1, seed 0) {new.sum()} are new" in text
    assert "y & <i>" in text
    name, label = rows[0]
    first = model.rank_labels(name, prior="training")[0]
    assert f"{name} {label} {first.label} {first.probability:.0%}, " in text
    assert f"{first.total:.2f}" in text


def test_strange_texts_are_shown_and_not_executed(browser, tmp_path):
    data = fastrnn.Corpus.from_records(
        [HOSTILE, "\u202eabc\x1b[2J", "شعر", "x" * 90] * 30,
        [HOSTILE, "\u202e", "العربية", "</table>"] * 30, name=HOSTILE)
    model = train(data, batch_size=4, cell="gru", hidden_size=32, epochs=3, updates=None)
    model.history.add_sample(90, HOSTILE + "\u202e\x1b[2J\ud800")
    path = tmp_path / "<b>&'report.html"
    model.report(path, data)
    for width, dark in ((1200, False), (390, True)):
        look(browser, width=width, dark=dark)
        open_page(browser, path)
        assert browser.title == "Report on a model"
        assert browser.execute_script("return document.images.length + "
                                      "document.querySelectorAll('script').length") == 0
        shown = browser.find_element("tag name", "body").text
        assert HOSTILE in shown and "\\u202e" in shown and "\\x1b[2J" in shown
        assert "العربية" in shown
        charts = browser.execute_script(
            "return [...document.querySelectorAll('.chart > svg')].map(e => "
            "[e.getBoundingClientRect().width, e.querySelectorAll('polyline, rect').length])")
        assert len(charts) >= 2 and all(w > 300 and n for w, n in charts)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


MADE_FOR = {"kth": "one stream", "words": "words", "names": "labels", "rwth": "numbers",
            "char-rnn": "text"}


@pytest.mark.parametrize("course", COURSES)
def test_a_course_has_its_questions_in_order(course, tmp_path):
    make, settings = SOURCES[MADE_FOR[course]]
    data, path = make(), tmp_path / "report.html"
    model = train(data, **settings)
    model.report(path, data, course=course)
    text, _ = read(path)
    headings = re.findall(r"<h2>(.*?)</h2>", path.read_text("utf-8"))
    questions = COURSES[course].questions
    assert headings[: len(questions)] == [question.title for question in questions]
    assert text.count("For you to write:") == sum(bool(q.task) for q in questions)
    parts = [part for question in questions for part in question.parts]
    assert len(parts) == len(set(parts))  # each once
    for part, title in PARTS.items():
        if part in parts:
            assert f"Also: {title[0].lower()}{title[1:]}" not in headings
    if course == "kth":
        assert f"{model.history.smooth_loss[-1]:.2f} at the last" in text
        assert all(f"after {n} updates" in text for n in (0, 20, 40))
    if course == "char-rnn":
        for t in (0.5, 0.8, 1.0):
            assert re.sub(r"\s+", " ", model.sample(500, seed=0, temperature=t)).strip() in text


def test_a_course_for_another_kind_of_model(tmp_path):
    model = train(story())
    for course in "names", "rwth", "words":
        with pytest.raises(ValueError, match="choose 'kth' or 'char-rnn'"):
            model.report(tmp_path / "a.html", course=course)
    assert not os.listdir(tmp_path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("loss", [[np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0, 3.0] * 9,
                                  [np.nan] * 5, [np.inf] * 5, [1e-320] * 5, [1.0] * 5])
def test_a_history_of_strange_numbers(loss, tmp_path):
    model = fastrnn.Model(fastrnn.Vocabulary("ab<&\n"), hidden_size=4)
    model.history = History(loss, loss, [np.nan, 1, np.inf], [1, 2, 3], [np.nan, 0.5], loss,
                            seq_length=1e30, one_stream=True, updates_per_epoch=1,
                            samples=[(1, "x" * 900_000), (2, "\ud800")])
    model.report(tmp_path / "a.html")
    path = (tmp_path / "a.html").read_text("utf-8")
    charts = re.findall(r"<polyline points=\"(.*?)\"", path)
    assert len(path) < 60_000 and charts
    assert not any("nan" in points or "inf" in points for points in charts)
    model.report(tmp_path / "a.md")


def test_a_model_that_knows_of_no_run(tmp_path):
    data = story()
    model = fastrnn.Model(data.vocabulary, hidden_size=5)
    model.report(tmp_path / "report.html")
    text, _ = read(tmp_path / "report.html")
    assert "has no history of losses" in text and "cannot be made again" in text
    with pytest.raises(ValueError, match="no training run"):
        model.report(tmp_path / "other.html", data)
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_last_and_the_best_model_are_told_apart(tmp_path):
    data, path = story(), tmp_path / "model.safetensors"
    train(data, updates=500, learning_rate=0.5, checkpoint=path, valid_every=20)
    for best in (True, False):
        model = fastrnn.load(path, best=best)
        at = int(model.history.valid_updates[model.history.valid_loss.argmin()]) if best else 500
        model.report(tmp_path / "a.html", data)
        said = "that of the lowest validation loss" if best else "the last one"
        assert f"the model after {at} of 500 updates, {said}" in read(tmp_path / "a.html")[0]


def test_bad_input_writes_nothing(tmp_path):
    data, other = story(), story(300)
    model = train(data)
    mine = tmp_path / "mine.html"
    mine.write_text("<p>by hand</p>")
    for error, words, call in (
            (ValueError, "not the same text", lambda: model.report(tmp_path / "a.html", other)),
            (TypeError, "data must be", lambda: model.report(tmp_path / "a.html", "story.txt")),
            (ValueError, "without validation data of its own",
             lambda: model.report(tmp_path / "a.html", data, valid=other)),
            (ValueError, "written as", lambda: model.report(tmp_path / "a.docx", data)),
            (ValueError, "course must be", lambda: model.report(tmp_path / "a.html", course="ktg")),
            (ValueError, "seed must be", lambda: model.report(tmp_path / "a.html", seed=-1)),
            (ValueError, "temperature", lambda: model.report(tmp_path / "a.html", temperature=-1)),
            (OSError, "did not write it", lambda: model.report(mine, data)),
            (OSError, "directory that exists", lambda: model.report(tmp_path / "no" / "a.html"))):
        with pytest.raises(error, match=words):
            call()
    assert os.listdir(tmp_path) == ["mine.html"] and mine.read_text() == "<p>by hand</p>"
    model.report(mine, data, overwrite=True)
    assert "by hand" not in mine.read_text()


def test_validation_data_of_its_own(tmp_path):
    data = story()
    other = fastrnn.Corpus.from_text("the cat sat. a dog ran, " * 9, vocabulary=data.vocabulary)
    model = train(data, valid=other, valid_fraction=0.0)
    model.report(tmp_path / "a.html", data, valid=other)
    assert f"the loss is {model.score(other):.3f} nats" in read(tmp_path / "a.html")[0]


def test_a_long_run_has_a_small_report_soon(tmp_path):
    model, path = train(story(200_000)), tmp_path / "report.html"  # 1 MB of text
    rng, n = np.random.default_rng(0), 300_000
    loss = 25 * (1.5 + np.exp(-np.arange(n) / 9e4) + rng.normal(0, 0.2, n))
    model.history = History(
        loss, loss, rng.uniform(1, 2, 3000), np.arange(100, n + 1, 100), rng.uniform(0, 1, 900),
        np.full(n, 0.1), seq_length=25.0, one_stream=True, updates_per_epoch=300,
        samples=[(300 * i, "a sample < text " * 60) for i in range(1000)])
    began = time.perf_counter()
    model.report(path)
    assert time.perf_counter() - began < 10
    assert path.stat().st_size < 500_000


def test_the_command_of_records_and_of_the_default_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    open("names.txt", "w").write("anna\njan\nhanna\njoost\n" * 30)
    open("names.tsv", "w").write("anna\tx\njan\ty\nhanna\tx\njoost\ty\n" * 30)
    how = ["--preset", "classic", "--updates", "30", "--valid-fraction", "0.2", "--batch-size", "4",
           "--checkpoint"]
    assert cli.main(["train", "--records", "names.txt", *how, "r.safetensors"]) == 0
    assert cli.main(["report", "r.safetensors", "names.txt", "-o", "r.html"]) == 0
    assert "5-gram" in read(tmp_path / "r.html")[0]
    assert cli.main(["train", "--table", "names.tsv", *how, "t.safetensors"]) == 0
    assert cli.main(["report", "t.safetensors", "-o", "t.html"]) == 0
    text = read(tmp_path / "t.html")[0]
    assert "fastrnn train --table names.tsv --repeat t.safetensors" in text
    assert cli.main(["train", *how, "d.safetensors"]) == 0
    assert cli.main(["report", "d.safetensors", "-o", "d.html"]) == 0  # Python's documentation
    text = read(tmp_path / "d.html")[0]
    assert "5-gram" in text and "--dataset pydoc-topics --repeat d.safetensors" in text
    capsys.readouterr()
    for arguments, words in ((["t.safetensors", "names.tsv"], "records with labels: give --table"),
                             (["d.safetensors", "--records", "names.txt"], "learned a text")):
        assert cli.main(["report", *arguments, "-o", "x.html"]) == 2
        assert words in capsys.readouterr().err
    assert not os.path.exists("x.html")


def test_the_command_takes_no_data_for_a_model_of_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train(curves(), checkpoint="m.safetensors")
    open("a.txt", "w").write("the cat " * 99)
    for data in ["a.txt"], ["--table", "a.txt"], ["--valid", "a.txt"]:
        assert cli.main(["report", "m.safetensors", *data, "-o", "x.html"]) == 2
        assert "model.report in Python" in capsys.readouterr().err
        assert not (tmp_path / "x.html").exists()
    assert cli.main(["report", "m.safetensors", "-o", "x.html"]) == 0


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = story()
    open("a story.txt", "w").write(text.vocabulary.decode(text.ids))
    assert cli.main(["train", "a story.txt", "--preset", "classic", "--updates", "60",
                     "--valid-fraction", "0.1", "--checkpoint", "m.safetensors"]) == 0
    assert cli.main(["report", "m.safetensors", "a story.txt", "--for", "kth", "-o",
                     "r.html"]) == 0
    assert "KTH DD2424" in read(tmp_path / "r.html")[0]
    assert cli.main(["report", "m.safetensors", "a story.txt", "-o", "r.html"]) == 0
    text, _ = read(tmp_path / "r.html")
    assert "Report on m.safetensors" in text
    again = re.search(r"fastrnn (train 'a story.txt' --repeat m.safetensors)", text)
    assert cli.main(["train", "a story.txt", "--repeat", "m.safetensors", "--checkpoint",
                     "again.safetensors"]) == 0 and again
    np.testing.assert_array_equal(fastrnn.load("again.safetensors").block,
                                  fastrnn.load("m.safetensors").block)
    capsys.readouterr()
    open("other.txt", "w").write("the cat " * 99)
    open("damaged.safetensors", "wb").write(open("m.safetensors", "rb").read()[:5000])
    for arguments, words in (
            (["m.safetensors", "other.txt", "-o", "x.html"], "not the same text"),
            (["m.safetensors", "none.txt", "-o", "x.html"], "none.txt"),
            (["m.safetensors", "-o", "x.rtf"], "x.rtf"),
            (["m.safetensors", "--for", "rwth", "-o", "x.html"], "'rwth' is about a model of "),
            (["damaged.safetensors", "-o", "x.html"], "cut short"),
            (["m.safetensors", "a story.txt", "--valid", "other.txt", "-o", "x.html"],
             "validation data of its own")):
        assert cli.main(["report", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    with pytest.raises(SystemExit):
        cli.main(["report", "m.safetensors"])
    assert not os.path.exists("x.html")
