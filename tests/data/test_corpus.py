import errno
import hashlib
import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastrnn.data import texts
from fastrnn.data.corpus import Corpus
from fastrnn.data.vocabulary import Vocabulary


@pytest.fixture
def write(tmp_path):
    def write(data: bytes, name: str = "book.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def test_from_text():
    corpus = Corpus.from_text("abracadabra")
    assert corpus.vocabulary.symbols == ("a", "b", "c", "d", "r")
    assert corpus.ids.tolist() == [0, 1, 4, 0, 2, 0, 3, 0, 1, 4, 0]
    assert corpus.ids.dtype == np.uint8
    assert corpus.ids.flags.c_contiguous
    assert len(corpus) == 11
    assert corpus.name == "text"
    assert repr(corpus) == "<Corpus 'text': 11 ids, <Vocabulary of 5 symbols, unit 'char'>>"


def test_words_are_lower_cased_and_split_on_blanks():
    corpus = Corpus.from_text("To be, or\nnot to be", unit="word")
    assert corpus.vocabulary.symbols == ("be", "be,", "not", "or", "to")
    assert corpus.ids.tolist() == [4, 1, 3, 2, 4, 0]


def test_words_of_other_kinds(tmp_path):
    text = "To be,  or\nnot to be"
    (tmp_path / "text.txt").write_text(text)
    for how, symbols in (
            ({}, ("", "be", "be,", "not", "or", "to")),
            ({"split": "space", "lower": False}, ("To", "be", "be,", "not", "or", "to")),
            ({"split": "mark"}, (",", "be", "not", "or", "to")),
            ({"min_count": 2}, ("<unk>", "to"))):
        for corpus in (Corpus.from_text(text, unit="word", **how),
                       Corpus.from_file(tmp_path / "text.txt", "word", **how)):
            assert corpus.vocabulary.symbols == symbols
    with pytest.raises(ValueError, match="are the vocabulary's: leave them out"):
        Corpus.from_text(text, vocabulary=corpus.vocabulary, min_count=2)
    with pytest.raises(ValueError, match='min_count is for unit "word"'):
        Corpus.from_text(text, min_count=2)


def test_bytes():
    corpus = Corpus.from_text("é!", unit="byte")
    assert corpus.vocabulary.symbols == (0x21, 0xA9, 0xC3)
    assert corpus.ids.tolist() == [2, 1, 0]
    assert Corpus.from_text("é!".encode(), unit="byte").ids.tolist() == [2, 1, 0]


def test_given_vocabulary_is_used_with_its_unit():
    vocabulary = Vocabulary(["to", "be", "or"], "word")
    corpus = Corpus.from_text("be or BE", vocabulary=vocabulary)
    assert corpus.vocabulary is vocabulary
    assert corpus.ids.tolist() == [1, 2, 1]
    assert Corpus.from_text("be be", vocabulary=vocabulary).ids.tolist() == [1, 1]
    with pytest.raises(ValueError, match="'not' at position 1 is not in the vocabulary"):
        Corpus.from_text("be not", vocabulary=vocabulary)


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_unit_must_be_the_vocabularys(unit):
    vocabulary = Vocabulary(["to", "be"], "word")
    with pytest.raises(ValueError, match=f'unit "{unit}" is not the vocabulary\'s, .* "word"'):
        Corpus.from_text("to be", unit, vocabulary)


def test_unknown_unit_is_refused_before_the_file_is_read(tmp_path):
    with pytest.raises(ValueError, match='"char", "word", "byte" or "bpe", not \'letter\''):
        Corpus.from_text("to be", "letter")
    with pytest.raises(ValueError, match='"char", "word", "byte" or "bpe", not \'letter\''):
        Corpus.from_file(tmp_path / "missing.txt", "letter")


def test_vocabulary_of_another_type():
    with pytest.raises(TypeError, match="must be a fastrnn.Vocabulary, not str"):
        Corpus.from_text("ab", vocabulary="ab")
    with pytest.raises(TypeError, match="must be a fastrnn.Vocabulary, not list"):
        Corpus([0, 1], ["a", "b"])


@pytest.mark.parametrize(
    ("text", "unit"), [("", "char"), ("", "word"), (" \n\t", "word"), ("", "byte"), (b"", "byte")]
)
def test_empty_text(text, unit):
    with pytest.raises(ValueError, match="^text is empty: give a text"):
        Corpus.from_text(text, unit)


def test_empty_text_for_a_given_vocabulary():
    with pytest.raises(ValueError, match="^text is empty"):
        Corpus.from_text("", vocabulary=Vocabulary("ab"))
    with pytest.raises(ValueError, match="^text is empty"):
        Corpus.from_text("  ", vocabulary=Vocabulary(["ab"], "word"))


@pytest.mark.parametrize(
    ("text", "unit", "symbol"),
    [("aaaa", "char", "'a'"), ("no No", "word", "'no'"), ("aa", "byte", 97)],
)
def test_one_distinct_symbol(text, unit, symbol):
    with pytest.raises(ValueError, match=f"text has only one distinct {unit}, {symbol}, .*nothing"):
        Corpus.from_text(text, unit)


def test_text_of_another_type():
    with pytest.raises(TypeError, match="must be a str, not NoneType"):
        Corpus.from_text(None)
    with pytest.raises(TypeError, match="must be a str, not bytes"):
        Corpus.from_text(b"ab")


def test_from_ids():
    vocabulary = Vocabulary("abc")
    every_other = np.array([2, 9, 0, 9, 1, 9], np.int64)[::2]
    corpus = Corpus(every_other, vocabulary, name="three")
    assert corpus.ids.tolist() == [2, 0, 1]
    assert corpus.ids.dtype == np.uint8
    assert corpus.ids.flags.c_contiguous
    assert corpus.name == "three"


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 3], ValueError, "id 3 at position 1 is outside the vocabulary"),
        ([-1], ValueError, "id -1 at position 0 is outside"),
        ([[0, 1]], ValueError, r"one-dimensional; their shape is \(1, 2\)"),
        ([], ValueError, "text is empty"),
        ([0.5], TypeError, "must be integers"),
    ],
)
def test_bad_ids(ids, error, message):
    with pytest.raises(error, match=message):
        Corpus(ids, Vocabulary("abc"))


@pytest.mark.parametrize("as_path", [str, Path, os.fsencode])
def test_from_file(write, as_path):
    corpus = Corpus.from_file(as_path(write("straße\r\n“ß”".encode())))
    assert corpus.vocabulary.symbols == ("\n", "\r", "a", "e", "r", "s", "t", "ß", "“", "”")
    assert corpus.vocabulary.decode(corpus.ids) == "straße\r\n“ß”"
    assert corpus.name == "book.txt"


def test_byte_order_mark_is_dropped_where_it_is_not_a_symbol(write):
    path = write(b"\xef\xbb\xbfto \xef\xbb\xbf be")
    assert Corpus.from_file(path).ids.size == 7  # the second one stays
    assert Corpus.from_file(path, "word").vocabulary.symbols == ("be", "to", "\ufeff")
    assert Corpus.from_file(path, "byte").ids.size == 12


def test_file_of_bytes(write):
    corpus = Corpus.from_file(write(b"\xff\x00\xff\r\n"), unit="byte")
    assert corpus.vocabulary.symbols == (0, 10, 13, 255)
    assert corpus.ids.tolist() == [3, 0, 3, 2, 1]


def test_file_with_a_given_vocabulary(write):
    vocabulary = Vocabulary("cba")
    assert Corpus.from_file(write(b"aacb"), vocabulary=vocabulary).ids.tolist() == [2, 2, 0, 1]


@settings(deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), min_size=2, max_size=50))
def test_file_and_text_give_the_same(text, tmp_path_factory):
    assume(len(set(text)) > 1 and text[0] != "\ufeff")
    path = tmp_path_factory.mktemp("same") / "book.txt"
    path.write_bytes(text.encode())
    from_file, from_text = Corpus.from_file(path), Corpus.from_text(text)
    assert from_file.vocabulary == from_text.vocabulary
    assert np.array_equal(from_file.ids, from_text.ids)
    assert from_file.fingerprint() == from_text.fingerprint()


@pytest.mark.parametrize(
    ("data", "byte", "offset"),
    [
        (b"ab\xe9cd", "0xe9", 2),
        (b"ab\xff", "0xff", 2),
        (b"\xef\xbb\xbfab\x80", "0x80", 5),
        ("aé".encode()[:2], "0xc3", 1),
        (b"x" * 70_000 + b"\xc0", "0xc0", 70_000),
    ],
)
@pytest.mark.parametrize("unit", ["char", "word"])
def test_not_utf8(write, data, byte, offset, unit):
    with pytest.raises(ValueError) as caught:
        Corpus.from_file(write(data), unit)
    message = str(caught.value)
    assert f"book.txt' is not UTF-8: byte {byte} at byte offset {offset};" in message
    assert "convert" in message
    assert 'unit="byte"' in message


def test_bad_texts_are_called_by_their_file_name(write):
    with pytest.raises(ValueError, match="^empty.txt is empty"):
        Corpus.from_file(write(b"", "empty.txt"))
    with pytest.raises(ValueError, match="^mark.txt is empty"):
        Corpus.from_file(write(b"\xef\xbb\xbf", "mark.txt"))
    with pytest.raises(ValueError, match="^a.txt has only one distinct char, 'a'"):
        Corpus.from_file(write(b"aaa", "a.txt"))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file '.*gone.txt': check the path$"):
        Corpus.from_file(tmp_path / "gone.txt")
    with pytest.raises(FileNotFoundError, match="no file '.*gone.txt'.*Corpus.from_text"):
        Corpus.from_file(str(tmp_path / "gone.txt"))


def test_path_through_a_file(write):
    with pytest.raises(FileNotFoundError, match="no file"):
        Corpus.from_file(write(b"ab") / "gone.txt")


@pytest.mark.parametrize("text", ["", "To be or not to be.\n" * 1000, "a\x00b", "To be?\n"])
def test_text_for_a_path_points_to_from_text(text):
    with pytest.raises(FileNotFoundError, match="no file.*Corpus.from_text") as caught:
        Corpus.from_file(text)
    assert len(str(caught.value)) < 200


def test_directory(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a directory: give the path of one text file"):
        Corpus.from_file(tmp_path)


def test_unreadable_file(write, monkeypatch):
    path = write(b"ab")

    def refuse(file, mode, opener):
        raise PermissionError(errno.EACCES, "Permission denied", file)

    monkeypatch.setattr(texts, "open", refuse, raising=False)  # root may read every real file
    with pytest.raises(PermissionError, match="book.txt' may not be read: change its permissions"):
        Corpus.from_file(path)


def test_path_of_another_type():
    with pytest.raises(TypeError):
        Corpus.from_file(0)


def test_fingerprint_value():
    corpus = Corpus.from_text("abba")
    assert corpus.fingerprint() == hashlib.sha256(b"1 4\n\0\1\1\0").hexdigest()
    wide = Corpus([1, 256], Vocabulary([chr(i) for i in range(257)]))
    assert wide.fingerprint() == hashlib.sha256(b"2 2\n\1\0\0\1").hexdigest()


def test_fingerprint_tells_texts_apart():
    wide = Vocabulary([chr(i) for i in range(257)])
    corpora = [
        Corpus.from_text("abba"),
        Corpus.from_text("abab"),
        Corpus.from_text("abbaa"),
        Corpus([0, 1, 1, 0], wide),
        Corpus([0, 0], wide),
        Corpus([0, 0, 0, 0], Vocabulary("ab")),
    ]
    assert len({corpus.fingerprint() for corpus in corpora}) == len(corpora)


def test_file_is_never_held_more_than_a_few_times(write):
    text = "the quick brown fox\n" * 250_000  # 5 MB
    path = write(text.encode())
    tracemalloc.start()
    try:
        corpus = Corpus.from_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * sys.getsizeof(text)
    assert len(corpus) == len(text)


@pytest.mark.skipif("FASTRNN_DATA" not in os.environ, reason="FASTRNN_DATA is not set")
def test_real_texts():
    directory = Path(os.environ["FASTRNN_DATA"])
    shakespeare = Corpus.from_file(directory / "tinyshakespeare.txt")
    assert len(shakespeare) == 1_115_394
    assert len(shakespeare.vocabulary) == 65
    assert shakespeare.vocabulary.decode(shakespeare.ids[:14]) == "First Citizen:"
    alice = Corpus.from_file(directory / "alice.txt", unit="word")
    assert len(alice) == 2_169
    assert len(alice.vocabulary) == 778
    assert alice.ids.dtype == np.uint16
    assert alice.vocabulary.decode(alice.ids[-3:]) == "off the cake."
