"""Symbols with their surprisal as they are generated, and texts that are read and written by
turns."""
import itertools

import numpy as np
import pytest

import fastrnn
from fastrnn.model.continuing import Conversation, paired, with_surprisal

SYMBOLS = {"char": "abcdefg \n", "byte": [*b"abcdef \n"], "word": "to be or not that is".split()}


def make(unit="char", vocabulary=None, cell="lstm", **settings):
    """A model of random weights and a state that is not zero."""
    vocabulary = vocabulary or fastrnn.Vocabulary(SYMBOLS[unit], unit)
    model = fastrnn.Model(vocabulary, hidden_size=9, cell=cell, dtype="float64", **settings)
    rng = np.random.default_rng(2)
    for p in model.params.values():
        p[:] = rng.normal(0, 0.9, p.shape)
    model.state[:] = rng.uniform(-1, 1, model.state.shape)
    return model


def given_out(model, length=40, n=None, **settings):
    texts = [[*text] for text in with_surprisal(model, model.vocabulary, model.starts, length, n,
                                                settings)]
    return texts[0] if n is None and not isinstance(settings.get("prime"), list) else texts


def joined(pairs):
    return "".join(symbol for symbol, _ in pairs)


@pytest.mark.parametrize("how", [{}, {"temperature": 0.4, "top_k": 3},
                                 {"min_p": 0.1, "repetition_penalty": 1.3}, {"temperature": 0}])
@pytest.mark.parametrize(("unit", "prime"), [("char", "a bad"), ("byte", "a bad"),
                                             ("word", "to be or"), ("char", "g")])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_each_symbol_with_its_surprisal_at_temperature_1(cell, unit, prime, how):
    model = make(unit, cell=cell)
    pairs = given_out(model, 70, prime=prime, seed=3, **how)
    text = model.sample(70, prime=prime, seed=3, **how)
    assert joined(pairs) == text and len(pairs) == 70
    whole = prime + " " * (unit == "word") + text
    expected = model.surprisal(whole)[-70:]
    np.testing.assert_allclose([nats for _, nats in pairs], expected, rtol=1e-9)
    assert np.ptp(expected) > 0.1


def test_the_first_symbol_without_a_prime_and_an_echoed_prime_have_none():
    model = make()
    pairs = given_out(model, 30, seed=1)
    assert joined(pairs) == model.sample(30, seed=1) and np.isnan(pairs[0][1])
    np.testing.assert_allclose([nats for _, nats in pairs[1:]], model.surprisal(joined(pairs)),
                               rtol=1e-9)
    pairs = given_out(model, 30, seed=1, prime="bad", echo=True)
    assert pairs[0][0] == "bad" and np.isnan(pairs[0][1]) and len(pairs) == 31
    np.testing.assert_allclose([nats for _, nats in pairs[1:]], model.surprisal(joined(pairs))[2:],
                               rtol=1e-9)
    assert given_out(model, 0, prime="a") == []


def test_several_texts():
    model = make()
    for prime, n in (("abc", 5), (["a", "bad", "feed\n"], None)):
        texts = given_out(model, 50, n, prime=prime, seed=4)
        sampled = model.sample(50, n=n, prime=prime, seed=4)
        assert [joined(pairs) for pairs in texts] == sampled
        for pairs, first in zip(texts, [prime] * n if n else prime, strict=True):
            np.testing.assert_allclose([nats for _, nats in pairs], model.surprisal(
                first + joined(pairs))[-50:], rtol=1e-9)


def test_records_with_labels():
    corpus = fastrnn.Corpus.from_records(["anna", "bob", "carla"], labels=["x", "y", "x"])
    model = make(vocabulary=corpus.vocabulary, labels=("x", "y"))
    texts = given_out(model, 20, 30, seed=5, label="y")
    assert [joined(pairs) for pairs in texts] == model.sample(20, n=30, seed=5, label="y")
    assert len({len(pairs) for pairs in texts}) > 3
    for pairs in texts:
        expected = model.surprisal(joined(pairs), "y")[: len(pairs)]  # the last is the stop symbol
        np.testing.assert_allclose([nats for _, nats in pairs], expected, rtol=1e-9)


def test_stop_strings_keep_each_symbol_with_its_own():
    model = make()
    for seed in range(20):
        pairs = given_out(model, 60, prime="a", seed=seed, stop=["ab", "cad", "\n"])
        assert joined(pairs) == model.sample(60, prime="a", seed=seed, stop=["ab", "cad", "\n"])
        np.testing.assert_allclose([nats for _, nats in pairs], model.surprisal(
            "a" + joined(pairs))[: len(pairs)] if pairs else [], rtol=1e-9)


def test_a_character_has_the_surprisal_of_all_its_bytes():
    octets = "aé木".encode()
    vocabulary = fastrnn.Vocabulary(sorted({*octets}), "byte")
    ids = vocabulary.encode(octets)
    nats = np.array([np.nan, 1.0, 2.0, 4.0, 8.0, 16.0])
    pairs = [*paired(vocabulary, [(ids[:2, None], nats[:2, None]), (ids[2:, None],
                                                                   nats[2:, None])])]
    assert [symbol for symbol, _ in pairs] == [*"aé木"]
    assert np.isnan(pairs[0][1]) and [each for _, each in pairs[1:]] == [3.0, 28.0]
    pairs = [*paired(vocabulary, [(ids[1:-1, None], nats[1:-1, None])])]  # the last has no end
    assert pairs == [("é", 3.0), ("\ufffd", 12.0)]


@pytest.mark.parametrize(("settings", "message"), [
    ({"new_only": True}, "new_only"), ({"top_p": 2}, "top_p must be"),
    ({"prime": "é"}, "not in the vocabulary"), ({"temperature": -1}, "temperature must")])
def test_what_is_refused_at_the_call(settings, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        with_surprisal(model, model.vocabulary, model.starts, 5, None, settings)


# ---- by turns ----

def talk(model):
    return Conversation(model, model.vocabulary, model.starts)


def written(conversation, length, **settings):
    return conversation.write(length, {"seed": 6} | settings)


@pytest.mark.parametrize(("unit", "first", "second"), [
    ("char", "a bad", "fed\n"), ("byte", "a bad", "fed\n"), ("word", "to be", "not that")])
def test_turns_go_on_as_one_text(unit, first, second):
    """Greedy: what is written after all turns is what a sample with all of them as its prime is."""
    model, blank = make(unit), " " * (unit == "word")
    conversation, text = talk(model), first
    conversation.read(first)
    for more in (second, first, second):
        answer = "".join(written(conversation, 7, temperature=0))
        assert answer == model.sample(7, prime=text, temperature=0)
        text += blank + answer + blank + more
        conversation.read(more)
    assert "".join(written(conversation, 50, temperature=0)) == model.sample(
        50, prime=text, temperature=0)
    assert np.array_equal(model.state, make(unit).state)


def test_an_answer_that_is_broken_off_goes_on_from_there():
    model = make()
    conversation = talk(model)
    conversation.read("bad")
    part = "".join(itertools.islice(written(conversation, 1000, temperature=0), 37))
    assert part == model.sample(37, prime="bad", temperature=0)
    twin = conversation.copy()
    conversation.read("fee")
    for each, prime in ((conversation, "fee"), (twin, "")):
        assert "".join(written(each, 9, temperature=0)) == model.sample(
            9, prime="bad" + part + prime, temperature=0)


def test_a_conversation_that_nobody_has_begun():
    model = make()
    conversation = talk(model)
    assert "".join(written(conversation, 20)) == model.sample(20, seed=6)
    assert "".join(written(conversation, 0)) == ""


def test_nothing_is_read_of_a_text_with_an_unknown_symbol():
    model = make()
    conversation = talk(model)
    conversation.read("bad")
    with pytest.raises(ValueError, match="char 'é' at position 2 is not in the vocabulary"):
        conversation.read("caé")
    assert "".join(written(conversation, 9, temperature=0)) == model.sample(
        9, prime="bad", temperature=0)


def test_the_last_symbol():
    conversation = talk(make())
    assert conversation.last is None
    conversation.read("bad\n")
    assert conversation.last == "\n"
    assert [*written(conversation, 1)] == [conversation.last]


@pytest.mark.parametrize(("vocabulary", "text", "missing"), [
    (fastrnn.Vocabulary("abc"), "a café, a fée", [*" fé,e"]),
    (fastrnn.Vocabulary("abc"), "cab", []), (fastrnn.Vocabulary("abc"), "", []),
    (fastrnn.Vocabulary([*"aé".encode()], "byte"), "aéè木", [*"è木"]),
    (fastrnn.Vocabulary(["to", "be", ""], "word"), "To  be or\nBE not or", ["or", "not"]),
    (fastrnn.Vocabulary(["<unk>", "be"], "word", unknown="<unk>"), "to be", [])])
def test_missing_symbols(vocabulary, text, missing):
    assert vocabulary.missing(text) == missing
    if not missing:
        vocabulary.encode(text)
