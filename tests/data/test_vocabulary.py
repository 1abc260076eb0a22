import json
import re
import sys
import tracemalloc
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastrnn.data import vocabulary as module
from fastrnn.data.vocabulary import Vocabulary

no_deadline = settings(deadline=None)
# every character that a str can hold, lone surrogates too
any_text = st.text(st.characters(exclude_categories=()), max_size=60)
# letters whose lower case depends on their neighbours or is longer, and all kinds of blanks
hard_words = st.text(
    st.sampled_from("aBΣσİ'\u0301\u00ad. \t\n\r\x0b\x1c\x85\xa0\u2003\u3000\u180e"), max_size=60
)
chunk_sizes = st.integers(1, 9)


def peak_memory(call):
    """Bytes that a call allocated at its highest, and what it returned."""
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def test_ids_are_places_in_the_sorted_text():
    vocabulary = Vocabulary.from_text("hello, world")
    assert vocabulary.symbols == (" ", ",", "d", "e", "h", "l", "o", "r", "w")
    assert vocabulary.unit == "char"
    assert len(vocabulary) == 9
    assert vocabulary.encode("held low").tolist() == [4, 3, 5, 2, 0, 5, 6, 8]
    assert vocabulary.decode([4, 3, 5, 5, 6]) == "hello"


def test_order_given_is_order_of_ids():
    vocabulary = Vocabulary("zéa")
    assert vocabulary.encode("aéz").tolist() == [2, 1, 0]


def test_words():
    vocabulary = Vocabulary.from_text("To be, or\nnot  TO be", "word")
    assert vocabulary.symbols == ("", "be", "be,", "not", "or", "to")  # one between two blanks
    assert vocabulary.encode("To\r\nBE  not").tolist() == [5, 1, 0, 3]
    assert vocabulary.encode("to\rbe\n\rnot ").tolist() == [5, 1, 0, 3, 0]
    assert vocabulary.decode(np.array([5, 2, 4, 0, 3])) == "to be, or  not"
    with pytest.raises(ValueError, match=r"word '\\tto' at position 0"):
        vocabulary.encode("\tto")


def test_words_between_runs_of_white_space():
    vocabulary = Vocabulary.from_text("To be, or\nnot  TO be", "word", split="space", lower=False)
    assert vocabulary.symbols == ("TO", "To", "be", "be,", "not", "or")
    assert vocabulary.encode("\tTo\u2003be \n\r not ").tolist() == [1, 2, 4]


def test_words_and_marks():
    vocabulary = Vocabulary.from_text("To be, or not TO be?!", "word", split="mark")
    assert vocabulary.symbols == ("!", ",", "?", "be", "not", "or", "to")
    assert vocabulary.encode(" be?or\n\tnot,").tolist() == [3, 2, 5, 4, 1]


def test_rare_words_are_one_unknown_word():
    vocabulary = Vocabulary.from_text("a b a c b d a", "word", min_count=2)
    assert vocabulary.symbols == ("<unk>", "a", "b")
    assert vocabulary.unknown == "<unk>"
    assert vocabulary.encode("c a b never").tolist() == [0, 1, 2, 0]
    assert vocabulary.decode([1, 0]) == "a <unk>"
    assert Vocabulary.from_text("a b a c b d a", "word", min_count=3).symbols == ("<unk>", "a")
    assert Vocabulary(["x", "?"], "word", unknown="?").encode("y x").tolist() == [1, 0]
    for wrong, message in (
            (dict(unit="char", min_count=2), 'min_count is for unit "word"'),
            (dict(unit="byte", lower=False), 'for unit "word", not "byte"'),
            (dict(unit="word", split="blanks"), "did you mean 'blank'"),
            (dict(unit="word", min_count=0), "at least 1")):
        with pytest.raises(ValueError, match=message):
            Vocabulary.from_text("a b", **wrong)
    with pytest.raises(ValueError, match="must be one of the symbols"):
        Vocabulary(["a"], "word", unknown="b")


@pytest.mark.parametrize("how", [
    {"split": "space"}, {"split": "mark", "lower": False}, {"unknown": "be"}, {}])
def test_word_options_are_stored_and_told_apart(how):
    vocabulary = Vocabulary(["to", "be"], "word", **how)
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary and hash(again) == hash(vocabulary)
    assert (again.split, again.lower, again.unknown) == (
        vocabulary.split, vocabulary.lower, vocabulary.unknown)
    assert (vocabulary == Vocabulary(["to", "be"], "word")) == (not how)


def test_bytes():
    vocabulary = Vocabulary.from_text("aéa", "byte")
    assert vocabulary.symbols == (0x61, 0xA9, 0xC3)
    assert vocabulary.encode("éa").tolist() == [2, 1, 0]
    for data in (b"\xc3a", bytearray(b"\xc3a"), memoryview(b"\xc3a")):
        assert vocabulary.encode(data).tolist() == [2, 0]
    assert vocabulary.decode([2, 1, 0, 2]) == "éa\ufffd"


def test_line_ends_are_kept():
    text = "a\r\nb\rc\n"
    vocabulary = Vocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@no_deadline
@given(text=any_text, size=chunk_sizes)
def test_char_round_trip(text, size):
    assume(text)
    with patch.object(module, "CHUNK", size):
        vocabulary = Vocabulary.from_text(text)
        ids = vocabulary.encode(text)
    assert vocabulary.symbols == tuple(sorted(set(text)))
    assert ids.tolist() == [vocabulary.symbols.index(c) for c in text]
    assert vocabulary.decode(ids) == text


@no_deadline
@given(text=hard_words, size=chunk_sizes)
@pytest.mark.parametrize("split", ["blank", "space"])
def test_word_round_trip(split, text, size):
    words = (text.lower().split() if split == "space"
             else re.split(" |\n", text.lower().replace("\r\n", "\n").replace("\r", "\n")))
    assume(words and text)
    with patch.object(module, "CHUNK", size):
        vocabulary = Vocabulary.from_text(text, "word", split=split)
        ids = vocabulary.encode(text)
    assert vocabulary.symbols == tuple(sorted(set(words)))
    assert ids.tolist() == [vocabulary.symbols.index(w) for w in words]
    assert vocabulary.decode(ids) == " ".join(words)


@no_deadline
@given(data=st.binary(min_size=1, max_size=60), size=chunk_sizes)
def test_byte_round_trip(data, size):
    with patch.object(module, "CHUNK", size):
        vocabulary = Vocabulary.from_text(data, "byte")
        ids = vocabulary.encode(data)
    assert vocabulary.symbols == tuple(sorted(set(data)))
    assert bytes(vocabulary.symbols[i] for i in ids) == data
    assert vocabulary.decode(ids) == data.decode("utf-8", "replace")


@no_deadline
@given(text=st.text(min_size=1, max_size=60))
def test_bytes_of_a_str_are_its_utf8(text):
    vocabulary = Vocabulary.from_text(text, "byte")
    assert vocabulary.symbols == tuple(sorted(set(text.encode())))
    ids = vocabulary.encode(text)
    assert np.array_equal(ids, vocabulary.encode(text.encode()))
    assert vocabulary.decode(ids) == text


@no_deadline
@given(text=any_text, unit=st.sampled_from(("char", "word", "byte")))
def test_survives_json(text, unit):
    text = text.encode("utf-8", "ignore").decode()
    assume(text.split())
    vocabulary = Vocabulary.from_text(text, unit)
    copy = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert copy == vocabulary
    assert np.array_equal(copy.encode(text), vocabulary.encode(text))


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        (1, np.uint8),
        (256, np.uint8),
        (257, np.uint16),
        (65536, np.uint16),
        (65537, np.uint32),
    ],
)
@pytest.mark.parametrize("unit", ["char", "word"])
def test_dtype_is_the_smallest_that_holds_all_ids(size, dtype, unit):
    symbols = [chr(0x20000 + i) for i in range(size)]  # ideographs: no upper case
    vocabulary = Vocabulary(symbols, unit)
    assert vocabulary.dtype == dtype
    ids = vocabulary.encode(" ".join(symbols) if unit == "word" else "".join(symbols))
    assert ids.dtype == dtype
    assert ids.flags.c_contiguous
    assert np.array_equal(ids, np.arange(size))


def test_all_256_bytes_fit_in_one():
    vocabulary = Vocabulary(range(256), "byte")
    assert vocabulary.dtype == np.uint8
    assert vocabulary.encode(bytes(range(256))).tolist() == list(range(256))


@pytest.mark.parametrize("unit", ("char", "word", "byte"))
def test_empty_text_has_no_ids(unit):
    vocabulary = Vocabulary.from_text("a b", unit)
    ids = vocabulary.encode("")
    assert ids.shape == (0,)
    assert ids.dtype == np.uint8
    assert vocabulary.decode(ids) == vocabulary.decode([]) == ""


def test_equal_when_unit_and_symbols_are():
    assert Vocabulary("ab") == Vocabulary(["a", "b"])
    assert hash(Vocabulary("ab")) == hash(Vocabulary(["a", "b"]))
    assert Vocabulary("ab") != Vocabulary("ba")
    assert Vocabulary(["a", "b"], "char") != Vocabulary(["a", "b"], "word")
    assert Vocabulary("ab") != ("a", "b")


def test_repr():
    assert repr(Vocabulary(["be", "to"], "word")) == "<Vocabulary of 2 symbols, unit 'word'>"


@pytest.mark.parametrize("unknown", ["\x00", "b", "é", "\U0010ffff", "\ud800"])
@pytest.mark.parametrize("position", [0, 3, module.CHUNK - 1, module.CHUNK, module.CHUNK + 5])
def test_unknown_character_is_named_with_its_position(unknown, position):
    text = "a" * position + unknown + "ac" + unknown
    with pytest.raises(ValueError) as caught:
        Vocabulary("ac").encode(text)
    assert f"char {unknown!r} at position {position} is not in the vocabulary" in str(caught.value)


def test_unknown_word_is_named_with_its_position():
    vocabulary = Vocabulary(["be", "to"], "word")
    text = "to be " * module.CHUNK + "or not"
    with pytest.raises(ValueError, match=f"word 'or' at position {2 * module.CHUNK} is not in"):
        vocabulary.encode(text)


def test_unknown_byte_is_named_with_its_position():
    with pytest.raises(ValueError, match="byte 195 at position 2 is not in the vocabulary of 2"):
        Vocabulary(b"ab", "byte").encode("abé")


@pytest.mark.parametrize(
    ("symbols", "unit", "message"),
    [
        ("aba", "char", "'a' is given twice"),
        ([7, 8, 8], "byte", "8 is given twice"),
        ("", "char", "at least 1 symbol"),
        ([], "word", "at least 1 symbol"),
        (["a", "bc"], "char", "'bc' is not a single character"),
        (["a", ""], "char", "'' is not a single character"),
        (["a", 98], "char", "98 is not a str"),
        (["to", "b e"], "word", "'b e' is not one word"),
        (["to", "be\n"], "word", r"'be\\n' is not one word"),
        ([b"to"], "word", "b'to' is not a str"),
        ([0, 256], "byte", "256 is not a byte"),
        ([-1], "byte", "-1 is not a byte"),
        ([True], "byte", "True is not a byte"),
        (["a"], "byte", "'a' is not a byte"),
        ("ab", "letter", '"char", "word", "byte" or "bpe", not \'letter\''),
        ("ab", ["char"], '"char", "word", "byte" or "bpe"'),
    ],
)
def test_refuses(symbols, unit, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(symbols, unit)


def test_one_str_is_no_sequence_of_words():
    with pytest.raises(TypeError, match="not one str: split it"):
        Vocabulary("to be", "word")


@pytest.mark.parametrize(("text", "unit"), [("", "char"), ("", "word"), (b"", "byte")])
def test_no_vocabulary_of_nothing(text, unit):
    with pytest.raises(ValueError, match="at least 1 symbol"):
        Vocabulary.from_text(text, unit)


@pytest.mark.parametrize(
    ("text", "unit"), [(b"a", "char"), (b"a", "word"), (["a"], "char"), (None, "byte"), (3, "byte")]
)
def test_text_of_another_type(text, unit):
    with pytest.raises(TypeError, match=f'text for unit "{unit}" must be a str'):
        Vocabulary.from_text(text, unit)
    with pytest.raises(TypeError, match=f'text for unit "{unit}" must be a str'):
        Vocabulary([97] if unit == "byte" else "a" if unit == "char" else ["a"], unit).encode(text)


def test_from_text_names_the_units():
    with pytest.raises(ValueError, match='"char", "word", "byte" or "bpe", not \'chars\''):
        Vocabulary.from_text("ab", "chars")


def test_lone_surrogate_has_no_bytes():
    with pytest.raises(ValueError, match=r"'\\ud800' at position 2 has no UTF-8 form"):
        Vocabulary(b"ab", "byte").encode("ab\ud800")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 1, 2], "id 2 at position 2 is outside the vocabulary: ids go from 0 to 1"),
        ([0, -1, 5], "id -1 at position 1 is outside"),
        (np.array([1, 255], np.uint8), "id 255 at position 1 is outside"),
        (np.array([2**64 - 1], np.uint64), f"id {2**64 - 1} at position 0 is outside"),
        ([[0, 1], [1, 0]], r"one-dimensional; their shape is \(2, 2\)"),
    ],
)
def test_decode_refuses(ids, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary("ab").decode(ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0.0, 1.5], "integers, but these are float64"),
        ([True, False], "bool"),
        (["a"], "integers, not of texts"),
        ([None], "object"),
        ([2**70], "object"),
    ],
)
def test_ids_must_be_integers(ids, message):
    with pytest.raises(TypeError, match=message):
        Vocabulary("ab").decode(ids)


def test_check_ids_keeps_the_shape_and_names_the_place():
    vocabulary = Vocabulary("abc")
    ids = np.array([[0, 2, 1], [1, 1, 0]], np.int32)
    assert vocabulary.check_ids(ids) is ids
    ids[1, 2] = 3
    with pytest.raises(ValueError, match=r"id 3 at position \(1, 2\) is outside"):
        vocabulary.check_ids(ids)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "a stored vocabulary must be"),
        ({"symbols": ["a"]}, "a stored vocabulary must be"),
        ({"unit": "char", "symbols": "ab"}, "a stored vocabulary must be"),
        ({"unit": "char", "symbols": ["a"], "more": 1}, "a stored vocabulary must be"),
        ({"unit": "char", "symbols": ["a", "a"]}, "given twice"),
        ({"unit": "char", "symbols": [["a"]]}, "is not a str"),
        ({"unit": "byte", "symbols": [1.0]}, "is not a byte"),
        ({"unit": "word", "symbols": ["a"]}, "a stored vocabulary must be"),
        ({"unit": "char", "symbols": ["a"], "split": "mark", "lower": True, "unknown": None},
         "a stored vocabulary must be"),
        ({"unit": "word", "symbols": ["a"], "split": "x", "lower": True, "unknown": None},
         "split must be one of"),
        ({"unit": None, "symbols": ["a"]}, '"char", "word", "byte" or "bpe"'),
    ],
)
def test_from_dict_refuses_what_to_dict_cannot_have_written(stored, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_dict(stored)


def test_to_dict():
    assert Vocabulary("ba").to_dict() == {"unit": "char", "symbols": ["b", "a"]}
    assert Vocabulary(np.array([9, 7]), "byte").to_dict() == {"unit": "byte", "symbols": [9, 7]}


@pytest.mark.parametrize(("lines", "end"), [(1_000_000, "z\n"), (500_000, "\u2019\n")])
@pytest.mark.parametrize("unit", ["char", "byte"])
def test_memory_of_20_megabytes(unit, lines, end):
    text = "the quick brown fox\n" * lines + end  # one and two bytes a character
    vocabulary = Vocabulary.from_text(text, unit)
    peak, ids = peak_memory(lambda: vocabulary.encode(text))
    assert 20_000_000 < sys.getsizeof(text) < 20_001_000
    assert peak < 3 * sys.getsizeof(text)
    assert len(ids) == (len(text) if unit == "char" else len(text.encode()))
    for start in (0, 20 * lines - 20):
        assert vocabulary.decode(ids[start : start + 20]) == "the quick brown fox\n"
    assert vocabulary.decode(ids[20 * lines :]) == end


def test_memory_of_words():
    text = "the quick brown fox\n" * 99_999 + "the quick brown fox"
    peak, vocabulary = peak_memory(lambda: Vocabulary.from_text(text, "word"))
    assert peak < 2 * len(text)
    peak, ids = peak_memory(lambda: vocabulary.encode(text))
    assert peak < 4 * len(text)
    assert ids.tolist() == [3, 2, 0, 1] * 100_000
