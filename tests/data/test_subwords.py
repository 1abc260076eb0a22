"""Unit "bpe": against byte pair encoding by hand, round trips, files, units that are compared."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn.cli import main
from fastrnn.data.subwords import ALPHABET, BYTES, CUT, Subwords, restored
from fastrnn.files import store

tokenizers = pytest.importorskip("tokenizers")

TEXT = ("The cat sat on the mat; the cat naps.\n\n  Été: naïve café 😀, “so” — 数据 \t x\r\n" * 30
        + "The end is near the mat.\n" * 20)


@pytest.fixture(scope="module")
def corpus():
    return fastrnn.Corpus.from_text(TEXT, "bpe", vocabulary_size=330)


def written(text):
    return "".join(ALPHABET[byte] for byte in text.encode())


def test_the_alphabet_is_that_of_the_library():
    assert sorted(ALPHABET) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert (written(" a\né"), len(BYTES)) == ("ĠaĊÃ©", 256)


def by_hand(text, count):
    """The first merges of words: the most frequent pair, again and again."""
    words = [[*written(piece)] for piece in text]
    merges = []
    for _ in range(count):
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:], strict=False):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = max(pairs, key=pairs.get)
        assert list(pairs.values()).count(pairs[best]) == 1  # no tie
        merges.append(" ".join(best))
        words = [merge(word, best) for word in words]
    return merges, words


def merge(word, pair):
    out = []
    for token in word:
        if out and (out[-1], token) == pair:
            out[-1] += token
        else:
            out.append(token)
    return out


def test_merges_by_hand():
    lines = ["ab"] * 40 + ["abc"] * 20 + ["abcd"] * 10 + ["xdé"] * 3
    merges, words = by_hand(lines, 3)
    vocabulary = fastrnn.Corpus.from_text("\n".join(lines), "bpe", vocabulary_size=259).vocabulary
    assert merges == list(vocabulary.merges) == ["a b", "ab c", "abc d"] and len(vocabulary) == 259
    for text, word in zip(lines[::10] + lines[-1:], words[::10] + words[-1:], strict=True):
        assert [vocabulary.symbols[i] for i in vocabulary.encode(text)] == word
    assert [vocabulary.symbols[i] for i in vocabulary.encode("dabcabd c\n")] == [
        "d", "abc", "ab", "d", "Ġ", "c", "Ċ"]


def test_round_trips(corpus):
    vocabulary = corpus.vocabulary
    assert vocabulary.decode(corpus.ids) == TEXT and len(corpus) < len(TEXT) < len(TEXT.encode())
    assert "".join(vocabulary.iterdecode(corpus.ids[None].T)) == TEXT
    assert corpus.unit == "token" and vocabulary.unit == "bpe"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(corpus, text):
    vocabulary = corpus.vocabulary
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert "".join(vocabulary.iterdecode([ids[:3], ids[3:]])) == text


def test_pieces_are_encoded_as_the_whole(corpus, monkeypatch):
    whole = corpus.vocabulary.encode(TEXT)
    monkeypatch.setattr("fastrnn.data.subwords.PIECE", 20)
    assert len([*CUT.finditer(TEXT)]) > 40
    np.testing.assert_array_equal(corpus.vocabulary.encode(TEXT), whole)


def test_single_tokens_that_are_no_text(corpus):
    vocabulary = corpus.vocabulary
    half = vocabulary.symbols.index(ALPHABET[0xC3])
    assert vocabulary.decode([half]) == "�" == "".join(vocabulary.iterdecode([[half]]))
    assert vocabulary.texts[vocabulary.symbols.index("Ġ")] == " "


def test_train_save_load_sample_score(corpus, tmp_path):
    path = tmp_path / "m.st"
    model = fastrnn.train(corpus, hidden_size=16, updates=30, seq_length=10, batch_size=2,
                          progress=False, checkpoint=path)
    loaded = fastrnn.load(path)
    assert loaded.vocabulary == model.vocabulary and isinstance(loaded.vocabulary, Subwords)
    text = loaded.sample(40, prime="The cat", seed=0, echo=True)
    assert text.startswith("The cat") and text == model.sample(40, prime="The cat", seed=0,
                                                               echo=True)
    assert "".join(loaded.stream(length=40, seed=1)) == loaded.sample(40, seed=1)
    assert "mat" not in loaded.sample(400, seed=1, stop="mat")
    other = "The naïve cat – never seen: Ω."
    assert loaded.score(other) == pytest.approx(loaded.surprisal(other).mean())
    begins = {loaded.vocabulary.texts[i] for i in np.flatnonzero(loaded.starts)}
    lines = {line[0] for line in TEXT.splitlines() if line.strip()}
    assert begins and {text[0] for text in begins} <= lines
    more = fastrnn.train(fastrnn.Corpus.from_text(other * 40, "bpe", vocabulary_size=280),
                         init_from=path, updates=5, progress=False)
    assert more.vocabulary == loaded.vocabulary
    assert other.startswith(more.vocabulary.decode(more.vocabulary.encode(other)))


def test_the_command(tmp_path, capsys):
    def call(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    (tmp_path / "t.txt").write_text(TEXT, newline="")
    path = tmp_path / "m.st"
    code, out, err = call("train", tmp_path / "t.txt", "--unit", "bpe", "--vocabulary-size", 300,
                          "--hidden-size", 8, "--updates", 20, "--seq-length", 10, "--batch-size",
                          2, "--valid-fraction", 0.1, "--no-progress", "--checkpoint", path)
    assert code == 0, err
    model = fastrnn.load(path)
    assert len(model.vocabulary) == 300
    corpus = fastrnn.Corpus.from_text(TEXT, vocabulary=model.vocabulary)
    _, held = corpus.hold_out(0.1, 0)
    each = len(model.vocabulary.decode(held.ids[1:])) / (len(held) - 1)
    bits = model.history.valid_loss.min() / math.log(2) / each
    assert f"{bits:.3f} bits per character (validation loss; {each:.2f} characters" in out
    each = (len(TEXT) - len(model.vocabulary.decode(corpus.ids[:1]))) / (len(corpus) - 1)
    code, out, _ = call("score", path, tmp_path / "t.txt")
    bits = model.score(TEXT) / math.log(2) / each
    assert code == 0 and f"{bits:.4f} bits per character" in out and "nats per token" in out
    code, out, _ = call("score", path, tmp_path / "t.txt", "--compare")
    assert code == 0 and "bits per" in out
    code, out, _ = call("info", path)
    assert code == 0 and "bpe" in out
    code, _, err = call("export", path, "-o", tmp_path / "p.html")
    assert code == 2 and "bpe" in err
    for flags, message in ((["--vocabulary-size", 300], 'for unit "bpe"'),
                           (["--unit", "bpe", "--vocabulary-size", 256], "at least 257"),
                           (["--unit", "bpe", "--min-count", 2], 'for unit "word"')):
        code, _, err = call("train", tmp_path / "t.txt", *flags, "--updates", 1)
        assert code == 2 and message in err.replace("--unit bpe", 'unit "bpe"').replace(
            "--unit word", 'unit "word"')


DAMAGES = [
    lambda d: d | {"merges": "a b"}, lambda d: {k: v for k, v in d.items() if k != "merges"},
    lambda d: d | {"symbols": d["symbols"][1:]}, lambda d: d | {"symbols": [*d["symbols"], "Ġ"]},
    lambda d: d | {"symbols": [*d["symbols"], "\n"]}, lambda d: d | {"symbols": [*d["symbols"], 3]},
    lambda d: d | {"symbols": [*d["symbols"], ""]}, lambda d: d | {"merges": ["a"]},
    lambda d: d | {"merges": [["a", "b"]]}, lambda d: d | {"merges": ["q zz"]},
    lambda d: d | {"merges": [*d["merges"], "a b c"]}, lambda d: d | {"lower": True},
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_vocabulary(corpus, damage, tmp_path):
    stored = corpus.vocabulary.to_dict()
    assert restored(stored) == corpus.vocabulary
    with pytest.raises(ValueError):
        restored(damage(stored))
    model = fastrnn.Model(corpus.vocabulary, hidden_size=3)
    tensors, about = model.stored()
    store.write(tmp_path / "m.st", tensors, about | {"vocabulary": damage(stored)})
    with pytest.raises(ValueError, match="m.st"):
        fastrnn.load(tmp_path / "m.st")


def test_what_is_refused(corpus, monkeypatch):
    for call, message in (
            (lambda: fastrnn.Corpus.from_records(["ab", "cd"], unit="bpe"), "not for records"),
            (lambda: fastrnn.Corpus.from_text(TEXT, "char", vocabulary_size=300), "for unit .bpe"),
            (lambda: fastrnn.Corpus.from_text(TEXT, "bpe", lower=False), "for unit .word"),
            (lambda: fastrnn.Corpus.from_text("a\ud800", "bpe"), "lone surrogate"),
            (lambda: fastrnn.Vocabulary("ab", "bpe"), "learned from a text"),
            (lambda: fastrnn.Vocabulary.from_text("ab", "bpe"), "learned from a text"),
            (lambda: fastrnn.Corpus.from_text(TEXT, vocabulary=corpus.vocabulary,
                                              vocabulary_size=300), "leave them out")):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="must be a str"):
        fastrnn.Corpus.from_text(b"abc", "bpe")
    vocabulary = restored(corpus.vocabulary.to_dict())
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[bpe\]"'):
        vocabulary.encode("abc")
    assert vocabulary.decode(corpus.ids) == TEXT  # which needs no library
