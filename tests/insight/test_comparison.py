"""A model beside simple ones: what is scored, what is learned from, units, published figures."""
import math

import numpy as np
import pytest

import fastrnn
from fastrnn.cli import main
from fastrnn.data.corpus import Corpus
from fastrnn.insight import published
from fastrnn.insight.baselines import ngram_surprisal
from fastrnn.insight.comparison import compare

TEXT = "the cat sat on the mat and the dog sat on the log. " * 40
OTHER = "the dog and the cat sat on the log and on the mat. " * 12
NAMES = ["anna", "hanna", "johanna", "jan", "joan", "nora", "aron", "dora"] * 12


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    files = {"book.txt": TEXT, "other.txt": OTHER, "names.txt": "\n".join(NAMES) + "\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    how = dict(hidden_size=8, updates=20, batch_size=2, progress=False)
    book = Corpus.from_file(folder / "book.txt")
    fastrnn.train(book, checkpoint=folder / "m.st", valid_fraction=0.1, **how)
    fastrnn.train(book, checkpoint=folder / "all.st", valid_fraction=0.0, **how)
    fastrnn.train(book, checkpoint=folder / "own.st", valid=folder / "other.txt", **how)
    fastrnn.train(Corpus.from_lines(folder / "names.txt"), checkpoint=folder / "n.st",
                  valid_fraction=0.1, **how)
    how["seq_length"] = 10
    fastrnn.train(Corpus.from_text(TEXT, "word"), checkpoint=folder / "w.st",
                  valid_fraction=0.1, **how)
    return folder


def read(runs, name, model):
    return Corpus.from_file(runs / name, vocabulary=model.vocabulary)


def of(found, name):
    return next(row for row in found.rows if row.name == name)


def test_the_validation_data_of_the_training_text(runs):
    model = fastrnn.load(runs / "m.st")
    book = read(runs, "book.txt", model)
    found = compare(model, book)
    train, held = book.hold_out(model.run["config"]["valid_fraction"], model.run["config"]["seed"])
    assert found.own.nats == model.score(held) and found.predictions == len(held) - 1
    fives = ngram_surprisal([train.ids], [held.ids], len(model.vocabulary), 5).mean()
    assert of(found, "5-gram").nats == pytest.approx(fives, rel=1e-12)
    assert of(found, "uniform guess").nats == pytest.approx(math.log(len(model.vocabulary)))
    for row in found.rows:
        assert row.bits_per_character == pytest.approx(row.nats / math.log(2), rel=1e-12)
    assert [row.nats for row in found.rows] == sorted((r.nats for r in found.rows), reverse=True)
    assert "validation data in book.txt" in found.scored and found.published is None
    with pytest.raises(ValueError, match="leave the training text out"):
        compare(model, book, read(runs, "other.txt", model))


def test_another_text_and_the_text_of_the_training(runs):
    model = fastrnn.load(runs / "m.st")
    book, other = read(runs, "book.txt", model), read(runs, "other.txt", model)
    found = compare(model, other, book)
    assert found.own.nats == model.score(other) and found.scored == "other.txt"
    train, _ = book.hold_out(model.run["config"]["valid_fraction"], model.run["config"]["seed"])
    ones = ngram_surprisal([train.ids], [other.ids], len(model.vocabulary), 1).mean()
    assert of(found, "unigram").nats == pytest.approx(ones, rel=1e-12)
    with pytest.raises(ValueError, match=r"trained on 'book.txt', and 'text' is not the same"):
        compare(model, other, Corpus.from_text(OTHER + "the cat", vocabulary=model.vocabulary))
    with pytest.raises(ValueError, match="both what is scored and what is learned from"):
        compare(model, other, other)


def test_another_text_alone_is_divided(runs):
    model = fastrnn.load(runs / "m.st")
    other = read(runs, "other.txt", model)
    found = compare(model, other)
    train, held = other.hold_out(0.1, 0)
    assert found.own.nats == model.score(held)
    fives = ngram_surprisal([train.ids], [held.ids], len(model.vocabulary), 5).mean()
    assert of(found, "5-gram").nats == pytest.approx(fives, rel=1e-12)
    assert found.scored == "the last tenth of other.txt"
    assert found.model_learned == "from book.txt, not from this text"


def test_a_model_that_knows_all_of_the_text(runs):
    for name in ("all.st", "own.st"):
        model = fastrnn.load(runs / name)
        with pytest.raises(ValueError, match="trained on all of book.txt"):
            compare(model, read(runs, "book.txt", model))
        found = compare(model, read(runs, "other.txt", model), read(runs, "book.txt", model))
        assert found.learned == "book.txt" and found.model_learned == "from the same text"


def test_a_model_without_its_run(runs, tmp_path):
    fastrnn.load(runs / "m.st").save(tmp_path / "alone.st")
    model = fastrnn.load(tmp_path / "alone.st")
    other = read(runs, "other.txt", model)
    assert "not known from what" in compare(model, other).model_learned
    assert "not known from what" in compare(
        model, other, read(runs, "book.txt", model)).model_learned


def test_characters_of_records_and_words(runs):
    names = fastrnn.load(runs / "n.st")
    corpus = Corpus.from_records(NAMES, vocabulary=names.vocabulary, name="others")
    found = compare(names, corpus.weighted(np.arange(1, len(NAMES) + 1)))
    _, held = corpus.hold_out(0.1, 0)
    assert found.characters == found.predictions == held.predictions
    words = fastrnn.load(runs / "w.st")
    found = compare(words, Corpus.from_text(TEXT, vocabulary=words.vocabulary))
    _, held = Corpus.from_text(TEXT, vocabulary=words.vocabulary).hold_out(
        words.run["config"]["valid_fraction"], words.run["config"]["seed"])
    letters = sum(1 + len(words.vocabulary.symbols[i]) for i in held.ids[1:])
    assert found.characters == letters
    total = found.own.nats * found.predictions / math.log(2)
    assert found.own.bits_per_character == pytest.approx(total / letters, rel=1e-12)


def test_published_figures_are_for_their_text_alone():
    begin = "First Citizen:\nBefore we proceed any further, hear me speak.\n"
    whole = Corpus.from_text(begin + "a" * (1_115_394 - len(begin)))
    assert published.known(whole).name == "tiny-shakespeare"
    assert published.known(Corpus.from_text(begin + "a" * 1000)) is None
    assert published.known(Corpus.from_text("b" + begin[1:] + "a" * (1_115_394 - len(begin)))) \
        is None
    # bytes are counted, not characters
    accents = Corpus.from_text(begin + "é" + "a" * (1_115_394 - len(begin) - 2))
    assert len(accents) == 1_115_393 and published.known(accents).name == "tiny-shakespeare"
    for text in published.TEXTS:
        for figure in text.figures:
            assert 0.9 < figure.bits < 3 and figure.source and figure.part
    nats = [figure.bits * math.log(2) for figure in published.TEXTS[0].figures]
    np.testing.assert_allclose(nats, [1.88, 1.4697], atol=1e-3)


def test_the_command(runs, capsys):
    def call(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    model = fastrnn.load(runs / "m.st")
    found = compare(model, read(runs, "book.txt", model))
    code, out, err = call("score", runs / "m.st", runs / "book.txt", "--compare")
    assert (code, err) == (0, "")
    for row in found.rows:
        assert f"{row.name:17}{row.bits_per_character:12.3f}{row.nats:12.3f}  {row.what}\n" in out
    assert "learned from the training part of book.txt" in out and "published" not in out
    code, out, _ = call("score", runs / "m.st", runs / "other.txt", "--compare", "--train",
                        runs / "book.txt")
    assert code == 0 and "scored         other.txt: 611 chars predicted" in out
    code, _, err = call("score", runs / "m.st", runs / "other.txt", "--train", runs / "book.txt")
    assert code == 2 and "--train is for --compare" in err
    code, _, err = call("score", runs / "all.st", runs / "book.txt", "--compare")
    assert code == 2 and "trained on all of book.txt" in err
    code, out, _ = call("score", runs / "n.st", "--records", runs / "names.txt", "--compare")
    assert code == 0 and "the validation data in names.txt" in out


def test_what_can_not_be_compared(runs):
    model = fastrnn.load(runs / "m.st")
    with pytest.raises(TypeError, match="data must be a Corpus, not str"):
        compare(model, TEXT)
    with pytest.raises(TypeError, match="train must be a Corpus, not str"):
        compare(model, read(runs, "other.txt", model), TEXT)
