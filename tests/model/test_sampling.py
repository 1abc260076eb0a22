"""Model.sample and Model.stream, against reference.py and against their definitions."""
import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import fastrnn
from fastrnn.checks import reference
from fastrnn.model import sampling

SYMBOLS = "abcde \n"
K = len(SYMBOLS)
KINDS = ("rnn", "relu", "lstm", "gru", "gru, reset before", "memory", "mgu", "mlstm")


def make(kind="lstm", unit="char", symbols=SYMBOLS, head=0.5, **sizes):
    """A model of random weights, large enough to matter, and a state that is not zero."""
    cell, *before = kind.split(", ")
    sizes = {"hidden_size": 9, "dtype": "float64"} | sizes
    model = fastrnn.Model(fastrnn.Vocabulary(symbols, unit), cell=cell, reset_after=not before,
                          **sizes)
    rng = np.random.default_rng(2)
    spread = {"Wh": 0.25, "Wm": 0.003, "bm": 0.003}
    for name, p in model.params.items():
        p[:] = rng.normal(0, spread.get(name.split(".")[1], 0.6), p.shape)
    model.params["head.W"][:] *= head
    model.state[:] = rng.uniform(-1, 1, model.state.shape)
    return model


def words(**sizes):
    return make("gru", "word", ["be", "not", "or", "question", "to"], **sizes)


def octets(**sizes):
    """Writes é and 𝄞, but more often what is no UTF-8."""
    return make("gru", "byte", [0x20, 0x61, 0x9D, 0x9E, 0x84, 0xA9, 0xC3, 0xF0], **sizes)


def cycle(symbols=SYMBOLS, unit="char"):
    """A model that writes its symbols in their order, again and again, whatever the temperature."""
    n = len(symbols)
    model = fastrnn.Model(fastrnn.Vocabulary(symbols, unit), hidden_size=n, init_scale=0)
    model.params["layer0.Wx"][:] = 10 * np.eye(n)
    model.params["head.W"][:] = 100 * np.roll(np.eye(n), 1, axis=1)
    return model


@pytest.fixture
def drawn(monkeypatch):
    """The number of symbols that each call of Model.draw was asked for."""
    calls, draw = [], fastrnn.Model.draw

    def counted(self, length, *arguments, **more):
        calls.append(length)
        return draw(self, length, *arguments, **more)

    monkeypatch.setattr(fastrnn.Model, "draw", counted)
    return calls


def cut(text, stops):
    """The text up to the first place where one of the stops stands."""
    return text[: min((text.index(s) for s in stops if s in text), default=len(text))]


# ---- one text ----

@pytest.mark.parametrize("length", [0, 1, 2, 200])
@pytest.mark.parametrize("prime", ["", "c", "abcab"])
def test_exact_length(length, prime):
    text = make().sample(length, prime=prime, seed=1)
    assert isinstance(text, str)
    assert len(text) == length
    assert set(text) <= set(SYMBOLS)


def test_the_prime_is_read_and_not_included():
    model = cycle()
    assert model.sample(9, prime="c", seed=1) == "de \nabcde"
    assert model.sample(3, prime="eeea", seed=1) == "bcd"
    first = model.sample(12, seed=1)
    assert first in SYMBOLS * 3
    assert len(first) == 12


def test_sampling_leaves_the_model_alone():
    model = make()
    before = model.block.copy(), model.state.copy(), model.score("abcde")
    model.sample(50, prime="abc", seed=1)
    model.sample(50, n=3, stop="a")
    assert np.array_equal(model.block, before[0]) and np.array_equal(model.state, before[1])
    assert model.score("abcde") == before[2]


@pytest.mark.parametrize("temperature", [0.5, 1, 2, 1e6])
def test_temperature_reshapes_the_distribution(temperature):
    """With no weights but head.b the draws are independent: p^(1/temperature), renormalised."""
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), init_scale=0)
    p = np.arange(1, K + 1.0)
    model.params["head.b"][:] = np.log(p)
    p **= 1 / temperature
    p /= p.sum()
    n = 40_000
    drawn = model.vocabulary.encode(model.sample(n, prime="a", temperature=temperature, seed=4))
    counts = np.bincount(drawn, minlength=K)
    assert (np.abs(counts - n * p) < 4 * np.sqrt(n * p * (1 - p))).all()


def test_temperature_zero_takes_the_likeliest():
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), init_scale=0)
    model.params["head.b"][4] = 1e-3
    assert model.sample(50, prime="a", temperature=0) == "e" * 50


def test_the_first_symbol_without_a_prime_is_uniform():
    model = make()
    model.params["head.b"][0] = 50  # what the network itself prefers does not matter
    n = 1100
    counts = np.bincount([model.vocabulary.encode(model.sample(1, seed=s))[0] for s in range(n)],
                         minlength=K)
    assert (np.abs(counts - n / K) < 4 * np.sqrt(n / K)).all()


def test_words_and_bytes():
    model = words()
    assert len(model.sample(30, seed=1).split(" ")) == 30
    assert len(model.sample(30, prime="To BE", seed=1).split(" ")) == 30
    assert model.sample(0) == ""
    model = fastrnn.Model(fastrnn.Vocabulary.from_text("hello", "byte"), init_scale=0)
    assert len(model.sample(30, seed=1)) == 30
    assert model.sample(30, prime=b"he", seed=1) == model.sample(30, prime="he", seed=1)
    broken = fastrnn.Model(fastrnn.Vocabulary([0xC3, 0xA9], "byte"), init_scale=0)
    assert set(broken.sample(30, seed=1)) == {"é", "\ufffd"}


# ---- several texts at once ----

def by_reference(model, n, length, prime, seed, temperature, top_k, top_p):
    """n texts, each drawn alone, by the numbers that are its own."""
    rng, cell, encoded = np.random.default_rng(seed), model.config["cell"], []
    state = model.state
    if prime:
        read = model.vocabulary.encode(prime)[None].astype(int)
        if len(prime) > 1:
            state = reference.forward(model.params, read[:, :-1], state, cell)[1]
        first = np.repeat(read[:, -1], n)
    else:
        first = rng.integers(K, size=n, dtype=np.int32)
    uniforms = rng.random((length - (not prime), n))
    for i in range(n):
        ids = reference.sample(model.params, state[0], first[i], uniforms[:, i], temperature, cell,
                               top_k, top_p)
        encoded.append(ids if prime else [first[i], *ids])
    return [model.vocabulary.decode(ids) for ids in encoded]


@pytest.mark.parametrize("prime", ["", "b", "abcab e" * 50])
@pytest.mark.parametrize("sizes", [{}, {"num_layers": 2, "embedding_size": 3}, {"num_layers": 3}],
                         ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_the_reference_s(kind, sizes, prime):
    model = make(kind, **sizes)
    before = model.state.copy()
    for n, length, temperature, top_k, top_p in (
            (1, 60, 1, None, None), (3, 40, 0.7, 5, None), (9, 20, 1.5, None, 0.8),
            (3, 30, 2, 4, 0.9), (1, 20, 0, None, None)):
        texts = model.sample(length, n=n, prime=prime, temperature=temperature, top_k=top_k,
                             top_p=top_p, seed=n)
        assert texts == by_reference(model, n, length, prime, n, temperature, top_k, top_p)
        assert len(set(texts)) > n / 2  # there is something to compare
    assert np.array_equal(model.state, before)


@pytest.mark.parametrize("make_one", [make, words, octets])
def test_n_gives_a_list_of_n_texts(make_one):
    model = make_one()
    for n, length in itertools.product((1, 2, 5, 40), (0, 1, 2, 30)):
        texts = model.sample(length, n=n, seed=1)
        assert type(texts) is list and len(texts) == n
        for text in texts:
            assert type(text) is str
            if model.vocabulary.unit == "char":
                assert len(text) == length
            elif model.vocabulary.unit == "word":
                assert len(text.split()) == length


@pytest.mark.parametrize("given", [
    {}, {"prime": "abc"}, {"temperature": 0.3, "top_k": 3}, {"top_p": 0.5, "prime": "c"},
    {"stop": "ab"}, {"length": 0}, {"length": 1}], ids=str)
def test_without_n_it_is_the_text_of_n_1(given):
    model = make()
    for seed in range(5):
        assert [model.sample(**given, seed=seed)] == model.sample(**given, n=1, seed=seed)
    assert isinstance(model.sample(**given), str)


def test_the_same_seed_gives_the_same_texts():
    model = make()
    assert model.sample(100, n=3, seed=1) == model.sample(100, n=3, seed=1)
    assert set(model.sample(100, n=3, seed=1)).isdisjoint(model.sample(100, n=3, seed=2))
    assert set(model.sample(100, n=3)).isdisjoint(model.sample(100, n=3))
    for prime in ("", "a"):
        assert model.sample(100, prime=prime, seed=1) == model.sample(100, prime=prime, seed=1)
        assert model.sample(100, prime=prime, seed=1) != model.sample(100, prime=prime, seed=2)
        assert model.sample(100, prime=prime) != model.sample(100, prime=prime)


def test_the_prime_is_read_once_for_all(monkeypatch):
    model, sizes = make(), []
    read = model.read_ids
    monkeypatch.setattr(model, "read_ids", lambda ids, state, labels: sizes.append(
        (len(ids), len(state))) or read(ids, state, labels))
    model.sample(5, n=50, prime="abcabc")
    assert sizes == [(5, 1)]


def test_first_symbols_of_many_texts():
    """Without a prime all symbols are as likely; after one, as the model says."""
    model, n = make(), 7_000
    texts = model.sample(1, n=n, seed=4)
    counts = [texts.count(symbol) for symbol in SYMBOLS]
    assert stats.chisquare(counts).pvalue > 1e-3
    scores = reference.forward(model.params, model.vocabulary.encode("b")[None], model.state,
                               "lstm")[0][0, 0]
    p = np.exp(scores) / np.exp(scores).sum()
    texts = model.sample(1, n=n, prime="b", seed=4)
    counts = [texts.count(symbol) for symbol in SYMBOLS]
    assert stats.chisquare(counts, n * p).pvalue > 1e-3


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_the_texts_do_not_depend_on_the_pieces(monkeypatch, piece):
    model = make("gru", num_layers=2, dtype="float32")
    given = [{"prime": prime, "n": n, "stop": stop}
             for prime in ("", "ab") for n in (None, 3) for stop in (None, "ecb")]
    whole = [model.sample(150, seed=5, **each) for each in given]
    monkeypatch.setattr(sampling, "PIECE", piece)
    monkeypatch.setattr(sampling, "STOP_PIECE", piece + 1)
    assert [model.sample(150, seed=5, **each) for each in given] == whole


# ---- top_k, top_p ----

def test_limits_that_leave_one_symbol_are_temperature_0():
    model = make("gru, reset before", head=5)
    greedy = model.sample(80, prime="a", temperature=0)
    assert len(set(greedy)) > 2
    for limits in ({"top_k": 1}, {"top_p": 1e-9}, {"top_k": 5, "top_p": 1e-9}):
        assert model.sample(80, prime="a", **limits, seed=3) == greedy
        assert model.sample(80, prime="a", **limits, temperature=2) == greedy


def test_limits_that_leave_everything_change_nothing():
    model = make(dtype="float32")
    text = model.sample(300, seed=3)
    for limits in ({"top_k": K}, {"top_k": 10**9}, {"top_p": 1}, {"top_k": K, "top_p": 1.0}):
        assert model.sample(300, seed=3, **limits) == text
    assert model.sample(300, seed=3, top_k=K - 2) != text != model.sample(300, seed=3, top_p=0.9)


def test_the_limits_hold_after_the_first_symbol():
    """p = 0.4, 0.3, 0.2, 0.1: the first symbol without a prime is any."""
    model = fastrnn.Model(fastrnn.Vocabulary("abcd"), hidden_size=3, init_scale=0)
    model.params["head.b"][:] = np.log([0.1, 0.4, 0.2, 0.3])
    for limits, left in (({"top_k": 2}, "bd"), ({"top_p": 0.65}, "bd"), ({"top_p": 0.75}, "bcd"),
                         # at temperature 0.5 the shares are 16, 9, 4 and 1 thirtieths
                         ({"top_p": 0.8, "temperature": 0.5}, "bd"),
                         # and of the two that top_k leaves the first has 0.57
                         ({"top_k": 2, "top_p": 0.56}, "b")):
        texts = model.sample(60, n=40, seed=1, **limits)
        assert {text[0] for text in texts} == set("abcd")
        assert {symbol for text in texts for symbol in text[1:]} == set(left)


# ---- stop ----

@pytest.mark.parametrize("make_one", [make, words, octets])
@pytest.mark.parametrize("stop", [
    "e", "ab", ["ab"], ("cd", "b\n"), ["bcd", "c"], "not", ["t t", "estion"], " ", "be or", "é",
    "\ufffd\ufffd", ["𝄞", "a a"], "zz"], ids=repr)
def test_a_text_ends_before_a_stop_string(make_one, stop):
    model = make_one()
    stops = [stop] if isinstance(stop, str) else stop
    shorter = 0
    for seed, prime in itertools.product(range(8), ("", model.sample(3, seed=1))):
        if "\ufffd" in prime:
            prime = "é"
        for n, length in ((None, 100), (3, 130), (2, 1)):
            given = {"n": n, "prime": prime, "seed": seed}
            whole = model.sample(length, **given)
            if n is None:
                assert model.sample(length, stop=stop, **given) == cut(whole, stops)
            else:
                expected = [cut(text, stops) for text in whole]
                assert model.sample(length, stop=stop, **given) == expected
                shorter += expected != whole
    if any(set(s) <= set(whole[0]) for s in stops):
        assert shorter > 3


def test_what_the_prime_ends_in_does_not_count():
    model = cycle()
    assert model.sample(6, prime="ab", stop="bc") == "cde \na"
    assert model.sample(9, prime="abc", stop=["cd", " \na"]) == "de"
    assert model.sample(9, prime="abc", stop=["cd"]) == "de \nab"
    assert model.sample(9, prime="abcd", stop="e") == ""


def test_no_stop_strings_are_none():
    assert make().sample(90, seed=1, stop=[]) == make().sample(90, seed=1)


def test_a_stop_string_may_be_of_other_symbols():
    assert cycle().sample(9, prime="\n", stop=["xyz", "É", "d"]) == "abc"


def test_a_text_that_stops_early_costs_little(drawn):
    model = cycle()
    assert model.sample(10**8, prime="b", stop="a") == "cde \n"
    assert sum(drawn) <= sampling.STOP_PIECE
    drawn.clear()
    # from any first symbol on all texts have stopped after at most 7
    texts = model.sample(10**8, n=100, stop="a", seed=1)
    assert {*texts} == {"cde \n"[i:] for i in range(5)} | {"bcde \n", ""}
    assert sum(drawn) <= 2 * sampling.STOP_PIECE


def test_drawing_ends_when_the_last_text_has_stopped(drawn):
    """A stop string that comes late in one text, in that of the last column or of another."""
    model = make()
    for seed in range(20):
        whole = model.sample(2000, n=4, seed=seed)
        drawn.clear()
        texts = model.sample(2000, n=4, stop="ebd", seed=seed)
        assert texts == [cut(text, ["ebd"]) for text in whole]
        longest = max(map(len, texts)) + len("ebd")
        assert sum(drawn) < longest + sampling.STOP_PIECE


symbols_and_stops = st.tuples(
    st.lists(st.text("ab ", min_size=1, max_size=3), max_size=12),
    st.lists(st.text("ab ", min_size=1, max_size=5), min_size=1, max_size=3))


@settings(deadline=None, max_examples=300)
@given(symbols_and_stops)
def test_symbols_come_as_soon_as_they_are_sure(case):
    """Whatever comes next: a symbol is sure when no end of a stop string behind the text so far
    makes the text end before it."""
    symbols, stops = case

    def least(text):
        return min(len(cut(text + s[k:], stops)) for s in stops for k in range(len(s) + 1))

    def source():
        for count[0], symbol in enumerate(symbols, 1):
            yield symbol
        count[1] = True

    count, come = [0, False], []
    for item in sampling.until(tuple(stops), source()):
        come.append(item)
        end, text = len("".join(come)), "".join(symbols[: count[0]])
        assert end <= (len(cut(text, stops)) if count[1] else least(text))
        if item == symbols[len(come) - 1] and not count[1]:  # it could not have come before
            assert end > least("".join(symbols[: count[0] - 1]))
    assert "".join(come) == cut("".join(symbols), stops)
    assert come[:-1] == symbols[: max(len(come) - 1, 0)]
    for earlier in range(count[0]):  # where it could have ended, it did
        text = "".join(symbols[:earlier])
        assert cut(text, stops) == text or least(text) < len(cut(text, stops))


def test_held_back_is_what_may_become_a_stop_string():
    given, read = [], []
    for symbol in sampling.until(("aab", "bcd"), (read.append(s) or s for s in "xaaabcaaz")):
        given.append((symbol, "".join(read)))
    assert given == [("x", "x"), ("a", "xaaa")]  # then came aab
    given, read = [], []
    for symbol in sampling.until(("aac", "bcd"), (read.append(s) or s for s in "xabcbz")):
        given.append((symbol, "".join(read)))
    assert given == [("x", "x"), ("a", "xab"), ("b", "xabcb"), ("c", "xabcb"), ("b", "xabcbz"),
                     ("z", "xabcbz")]


# ---- stream ----

SETTINGS = [{}, {"temperature": 0}, {"temperature": 0.5, "top_k": 3}, {"top_p": 0.7},
            {"top_k": 4, "top_p": 0.6}, {"stop": "e"}, {"stop": ["ab", "question", "é"]},
            {"stop": ["t t", "ba", " \ufffd"], "top_p": 0.9}, {"stop": [" ", "zz"]}]


@pytest.mark.parametrize("given", SETTINGS, ids=str)
@pytest.mark.parametrize("make_one", [make, words, octets])
def test_a_stream_joined_is_the_sample(make_one, given):
    model = make_one()
    before = model.state.copy()
    primes = {"char": ("", "c", "abcab"), "word": ("", "to", "To be or"),
              "byte": ("", "a", "é a", b"\xc3")}[model.vocabulary.unit]
    for prime, length in itertools.product(primes, (0, 1, 2, 3, 63, 64, 200)):
        for seed in (1, 2):
            text = model.sample(length, prime=prime, seed=seed, **given)
            items = [*model.stream(length=length, prime=prime, seed=seed, **given)]
            assert "".join(items) == text
            assert all(items)
            if model.vocabulary.unit != "word":
                assert all(len(item) == 1 for item in items)
            else:
                assert len(items) == len(text.split()) or "stop" in given
    assert np.array_equal(model.state, before)


def test_the_symbols_of_each_unit():
    assert [*cycle().stream(length=4, prime=" ")] == ["\n", "a", "b", "c"]
    three = cycle(["to", "be", "or"], "word")
    assert [*three.stream(length=4, prime="to")] == ["be", " or", " to", " be"]
    assert [*three.stream(length=9, prime="to", stop="or t")] == ["be", " "]
    assert [*three.stream(length=9, prime="to", stop=["o be", "e or"])] == ["b"]
    clef = cycle([*"a𝄞é".encode()], "byte")
    assert [*clef.stream(length=9, prime="é")] == ["a", "𝄞", "é", "a", "\ufffd"]
    broken = cycle([0x61, 0xC3], "byte")
    assert [*broken.stream(length=5, prime="a")] == ["\ufffd", "a", "\ufffd", "a", "\ufffd"]


def test_symbols_come_as_they_are_drawn(drawn):
    text = make().stream(prime="a")
    for come in range(1, 200):
        next(text)
        assert sum(drawn) < 2 * come + 1 and sum(drawn) < come + 32
    assert sum(drawn) == 31 + 32 * 6
    drawn.clear()
    first = make().stream()
    next(first)
    assert sum(drawn) == 0  # without a prime the first is not the model's


def test_a_byte_s_character_comes_with_its_last_byte(drawn):
    text = cycle([*"a𝄞é".encode()], "byte").stream(prime="é")
    assert [next(text), sum(drawn)] == ["a", 1]
    assert [next(text), sum(drawn)] == ["𝄞", 1 + 2 + 4]


def test_a_stream_may_have_no_end():
    model = make()
    text = "".join(itertools.islice(model.stream(seed=3), 5000))
    assert text == model.sample(5000, seed=3)
    assert "".join(cycle().stream(prime="b", stop="\n")) == "cde "


def test_streams_of_one_model_do_not_meet():
    model = make()
    streams = [model.stream(length=60, prime="ab", seed=seed) for seed in range(3)]
    texts = ["", "", ""]
    for symbols in zip(*streams, strict=True):
        texts = [text + symbol for text, symbol in zip(texts, symbols, strict=True)]
        model.sample(3)
    assert texts == [model.sample(60, prime="ab", seed=seed) for seed in range(3)]


def test_a_stream_is_checked_and_primed_at_the_call():
    model = cycle()
    text = model.stream(prime="ab")
    model.params["head.W"][:] = 100 * np.roll(np.eye(K), 2, axis=1)
    model.state[:] = 5
    assert next(text) == "d"  # b is read when the first symbol is drawn; a was at the call
    memory = make("memory", hidden_size=20)
    begun, expected = memory.stream(length=50, prime="abcabcabc", seed=1), memory.sample(
        50, prime="abcabcabc", seed=1)
    memory.state[:] = 0
    assert "".join(begun) == expected


def test_training_in_between_tells_from_the_next_piece_on():
    """Pieces of 1, 2, 4 symbols; the new parameters go on from what the old ones wrote."""
    model = cycle()
    text = model.stream(prime="a")
    assert "".join(itertools.islice(text, 2)) == "bc"
    model.params["head.W"][:] = 100 * np.roll(np.eye(K), -1, axis=1)  # backwards
    assert "".join(itertools.islice(text, 5)) == "dcba\n"


# ---- arguments ----

def calls():
    model = make()
    return {"sample": model.sample, "stream": lambda length=9, **given: model.stream(
        length=length, **given)}


@pytest.mark.parametrize("call", ["sample", "stream"])
@pytest.mark.parametrize(("given", "error", "message"), [
    ({"length": -1}, ValueError, "length must be a whole number of at least 0, not -1"),
    ({"length": 2.5}, TypeError, "length must be a whole number, not 2.5"),
    ({"temperature": -0.1}, ValueError, "temperature must be a finite number of 0 or more"),
    ({"temperature": float("nan")}, ValueError, "temperature must be a finite number"),
    ({"temperature": float("inf")}, ValueError, "temperature must be a finite number"),
    ({"temperature": "hot"}, TypeError, "temperature must be a number, not 'hot'"),
    ({"top_k": 0}, ValueError, "top_k must be a whole number of at least 1, not 0"),
    ({"top_k": -3}, ValueError, "top_k must be a whole number of at least 1, not -3"),
    ({"top_k": True}, ValueError, "top_k must be a whole number of at least 1, not True"),
    ({"top_k": 1.5}, TypeError, "top_k must be a whole number, not 1.5"),
    ({"top_p": 0}, ValueError, "top_p must be above 0 and at most 1, not 0"),
    ({"top_p": -0.5}, ValueError, "top_p must be above 0 and at most 1, not -0.5"),
    ({"top_p": 1.01}, ValueError, "top_p must be above 0 and at most 1, not 1.01"),
    ({"top_p": float("nan")}, ValueError, "top_p must be a finite number, not nan"),
    ({"top_p": "most"}, TypeError, "top_p must be a number, not 'most'"),
    ({"stop": ""}, ValueError, "stop must not be empty"),
    ({"stop": ["a", ""]}, ValueError, "stop must not be empty"),
    ({"stop": 5}, TypeError, "stop must be a str or a sequence of str, not 5"),
    ({"stop": ["a", 5]}, TypeError, r"stop must be a str or a sequence of str, not \['a', 5\]"),
    ({"stop": b"a"}, TypeError, "stop must be a str or a sequence of str, not b'a'"),
    ({"prime": "abz"}, ValueError, "char 'z' at position 2 is not in the vocabulary"),
    ({"prime": b"ab"}, TypeError, "must be a str"),
    ({"seed": -1}, ValueError, "seed must be a whole number of at least 0"),
    ({"seed": "x"}, TypeError, "seed must be a whole number"),
], ids=str)
def test_bad_arguments(call, given, error, message):
    """A stream says it at the call, not when the first symbol is asked for."""
    with pytest.raises(error, match=message):
        calls()[call](**given)


@pytest.mark.parametrize(("n", "error", "message"), [
    (0, ValueError, "n must be a whole number of at least 1, not 0"),
    (-2, ValueError, "n must be a whole number of at least 1, not -2"),
    (True, ValueError, "n must be a whole number of at least 1, not True"),
    (2.0, TypeError, "n must be a whole number, not 2.0"),
])
def test_bad_n(n, error, message):
    with pytest.raises(error, match=message):
        make().sample(n=n)


def test_a_sample_has_a_length():
    with pytest.raises(TypeError, match="length must be a whole number, not None"):
        make().sample(None)


def test_parameters_that_are_not_finite_write_nothing():
    model = make()
    model.params["layer0.Wh"][2, 3] = np.inf
    for call in (model.sample, model.stream):
        with pytest.raises(ValueError, match="parameters are not finite, so it cannot generate"):
            call(length=5)


def test_sample_and_stream_take_the_same_arguments():
    calls = fastrnn.Model.sample, fastrnn.Model.stream
    sample, stream = (inspect.signature(f).parameters for f in calls)
    assert {*sample} - {*stream} == {"n"} and {*stream} <= {*sample}
    for name in {*stream} - {"model", "length"}:
        assert stream[name] == sample[name]


# ---- decoding piece by piece ----

def by_pieces(ids, sizes):
    places = [0, *itertools.accumulate(sizes), len(ids)]
    return [ids[a:b] for a, b in itertools.pairwise(places)]


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=15).map(str.encode),
       st.lists(st.integers(0, 9), max_size=8))
def test_bytes_decoded_piece_by_piece(data, sizes):
    vocabulary = fastrnn.Vocabulary(range(256), "byte")
    items = [*vocabulary.iterdecode(by_pieces([*data], sizes))]
    assert "".join(items) == vocabulary.decode([*data]) == data.decode("utf-8", "replace")
    assert all(len(item) == 1 for item in items)


@given(st.lists(st.integers(0, 4), max_size=20), st.lists(st.integers(0, 9), max_size=8))
@pytest.mark.parametrize("unit", ["char", "word"])
def test_symbols_decoded_piece_by_piece(unit, ids, sizes):
    symbols = ["a", "é", "\ud800", "𝄞", "e"] if unit == "char" else ["to", "b", "be", "or", "İ"]
    vocabulary = fastrnn.Vocabulary(symbols, unit)
    items = [*vocabulary.iterdecode(np.array(part, int) for part in by_pieces(ids, sizes))]
    assert "".join(items) == vocabulary.decode(ids)
    blank = " " if unit == "word" else ""
    assert items == [blank * (i > 0) + symbols[id] for i, id in enumerate(ids)]


def test_a_character_comes_with_its_last_byte():
    vocabulary, read = fastrnn.Vocabulary(range(256), "byte"), bytearray()
    octets = ([octet] for octet in "aé𝄞".encode() + b"\xffb\xf0\x9d" if not read.append(octet))
    come = [(item, bytes(read)) for item in vocabulary.iterdecode(octets)]
    clef = "aé𝄞".encode()
    assert come == [("a", b"a"), ("é", "aé".encode()), ("𝄞", clef), ("\ufffd", clef + b"\xff"),
                    ("b", clef + b"\xffb"), ("\ufffd", clef + b"\xffb\xf0\x9d")]


@pytest.mark.parametrize(("piece", "error", "message"), [
    ([0, 3], ValueError, "id 3 at position 1 is outside the vocabulary"),
    ([-1], ValueError, "id -1 at position 0 is outside the vocabulary"),
    ([[0]], ValueError, "must be one-dimensional"),
    ([0.5], TypeError, "ids must be integers"),
])
def test_pieces_that_are_no_ids(piece, error, message):
    items = fastrnn.Vocabulary("abc").iterdecode([[0, 1], piece])
    assert [next(items), next(items)] == ["a", "b"]
    with pytest.raises(error, match=message):
        next(items)


# ---- primes, first symbols, lists ----

LINES = "".join(np.random.default_rng(3).choice(["ab\n", "ac\n", "\nba\n", "  c\n"], 300))


@pytest.fixture(scope="module")
def lines():
    return fastrnn.train(fastrnn.Corpus.from_text(LINES), cell="gru", hidden_size=16, updates=60,
                         seed=1, progress=False)


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_a_text_begins_as_its_lines_do(unit):
    """The first symbol, and each after a line end that is no blank itself, by their frequency."""
    corpus = fastrnn.Corpus.from_text(LINES, unit)
    expected = np.zeros(len(corpus.vocabulary))
    for line in LINES.split("\n"):
        if line and not line[0].isspace():
            expected[corpus.vocabulary.encode(line[0])[0]] += 1
    assert corpus.starts().tolist() == expected.tolist()
    model = fastrnn.train(corpus, hidden_size=5, updates=2, valid_fraction=0.0, progress=False)
    assert model.starts.tolist() == expected.tolist()
    first = [text[0] for text in model.sample(1, n=4000, seed=2)]
    for letter in "ab":
        share = expected[corpus.vocabulary.encode(letter)[0]] / expected.sum()
        assert first.count(letter) / 4000 == pytest.approx(share, abs=0.03)
    assert {*first} == {"a", "b"}


def test_words_begin_as_sentences_do():
    text = 'the cat sat. "a dog ran!"  the bird? said it: no\n\nno.'
    for split, starts in (("space", {"the": 2, '"a': 1, "said": 1}),):
        corpus = fastrnn.Corpus.from_text(text, "word", split=split)
        found = {word: n for word, n in zip(corpus.vocabulary.symbols, corpus.starts(),
                                            strict=True) if n}
        assert found == starts


def test_starts_are_kept(lines, tmp_path):
    lines.save(tmp_path / "m")
    assert fastrnn.load(tmp_path / "m").starts.tolist() == lines.starts.tolist()
    assert lines.copy().starts.tolist() == lines.starts.tolist()
    assert not fastrnn.Model(lines.vocabulary).starts.size  # untrained: any symbol may come first


@pytest.mark.parametrize("unit", ["char", "word", "byte"])
def test_echo(unit):
    corpus = fastrnn.Corpus.from_text("to be or not to be " * 40, unit, **(
        {"split": "space"} if unit == "word" else {}))
    model = fastrnn.train(corpus, hidden_size=6, updates=5, progress=False)
    for prime in ("to be", ""):
        text = model.sample(9, prime=prime, seed=3)
        blank = " " if unit == "word" and prime else ""
        assert model.sample(9, prime=prime, echo=True, seed=3) == prime + blank + text
        stream = model.stream(length=9, prime=prime, echo=True, seed=3)
        assert "".join(stream) == prime + blank + text


def test_a_list_of_primes(lines):
    texts = lines.sample(12, prime=["ab", "ba\nac", "c"], seed=4, temperature=0)
    for prime, text in zip(["ab", "ba\nac", "c"], texts, strict=True):
        assert text == lines.sample(12, prime=prime, temperature=0)
    assert lines.sample(12, prime=["ab", "ab"], seed=4) == lines.sample(12, prime="ab", n=2, seed=4)
    assert lines.sample(5, prime=["ab"], seed=4) == [lines.sample(5, prime="ab", seed=4)]
    for prime, n, error, message in (
            (["ab", "ba"], 3, ValueError, "n is 3, and prime has 2"),
            ([], None, TypeError, "a text or a list"),
            (["ab", 3], None, TypeError, "list of texts"),
            (["ab", ""], None, ValueError, "some primes are empty")):
        with pytest.raises(error, match=message):
            lines.sample(5, prime=prime, n=n)
    with pytest.raises(ValueError, match="a stream is one text"):
        lines.stream(prime=["ab", "ba"])


def test_a_list_to_score(lines):
    texts = ["ab\nac\n", "ba", "cab\nc"]
    losses = [lines.surprisal(text) for text in texts]
    assert lines.score(texts) == pytest.approx(np.concatenate(losses).mean(), rel=1e-12)
    with pytest.raises(ValueError, match="the list is empty"):
        lines.score([])
    names = fastrnn.train(fastrnn.Corpus.from_records(["anna", "bram"], ["x", "y"]), updates=5,
                          hidden_size=4, progress=False)
    both = (5 * names.score("anna", label="x") + 4 * names.score("ram", label="y")) / 9
    assert names.score(["anna", "ram"], label=["x", "y"]) == pytest.approx(both, rel=1e-6)
    with pytest.raises(ValueError, match="2 texts and 1 labels"):
        names.score(["anna", "ram"], label=["x"])


@pytest.mark.parametrize("settings", [{"min_p": 0.2}, {"repetition_penalty": 1.5},
                                      {"min_p": 0.1, "repetition_penalty": 0.8, "top_k": 3}])
def test_min_p_and_penalty_in_any_call(lines, settings):
    text = lines.sample(150, prime="ab", seed=5, **settings)
    assert text == lines.sample(150, prime="ab", n=1, seed=5, **settings)[0]
    assert text == "".join(lines.stream(length=150, prime="ab", seed=5, **settings))
    assert text != lines.sample(150, prime="ab", seed=5)


def test_a_penalty_that_is_large_repeats_nothing_it_can_help(lines):
    """Each symbol comes once before one comes again, the first too; none of the prime."""
    text = lines.sample(4, repetition_penalty=1e6, seed=1)
    assert len({*text}) == 4
    assert not {*lines.sample(2, prime="ab", repetition_penalty=1e6, seed=1)} & {*"ab"}


@pytest.mark.parametrize(("settings", "message"), [
    ({"min_p": 1.0}, "min_p must be at least 0 and below 1"), ({"min_p": -0.1}, "min_p must be"),
    ({"repetition_penalty": 0}, "repetition_penalty must be a finite number above 0"),
    ({"repetition_penalty": float("nan")}, "repetition_penalty must be")])
def test_bad_limits(lines, settings, message):
    with pytest.raises(ValueError, match=message):
        lines.sample(5, **settings)


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_a_text_in_which_no_line_begins(unit, tmp_path):
    """One line after a blank: any symbol may come first, and the file can be read again."""
    corpus = fastrnn.Corpus.from_text(" ab ba" * 60, unit)
    model = fastrnn.train(corpus, hidden_size=5, updates=3, progress=False,
                          checkpoint=tmp_path / "m")
    assert model.starts.tolist() == [0, 0, 0]
    assert {*model.sample(1, n=200, seed=1)} == {" ", "a", "b"}
    assert fastrnn.load(tmp_path / "m").sample(30, seed=1) == model.sample(30, seed=1)


def test_the_starts_are_counted_once(monkeypatch):
    """However often `run` is called: a text may be long."""
    calls, starts = [], fastrnn.Corpus.starts
    monkeypatch.setattr(fastrnn.Corpus, "starts", lambda self: calls.append(1) or starts(self))
    corpus = fastrnn.Corpus.from_text(LINES)
    trainer = fastrnn.Trainer(fastrnn.Model(corpus.vocabulary, hidden_size=4), corpus,
                              progress=False)
    for _ in range(5):
        trainer.run(updates=1)
    assert calls == [1]
    assert trainer.model.starts.tolist() == starts(corpus).tolist()


def test_a_copy_has_its_own_starts(lines):
    other = lines.copy()
    other.starts[:] = 0
    assert lines.starts.any()


@pytest.mark.parametrize("prime", [None, 5, [], ["a", None]])
def test_primes_that_are_no_texts(lines, prime):
    for call in (lines.sample, lines.stream):
        with pytest.raises(TypeError, match="prime must be a text or a list of texts, not"):
            call(length=3, prime=prime)


def test_primes_of_bytes_of_any_kind():
    model = octets()
    expected = model.sample(20, prime=b"a ", seed=1)
    assert model.sample(20, prime=bytearray(b"a "), seed=1) == expected
    assert model.sample(20, prime=memoryview(b"a "), seed=1) == expected


def test_records_with_and_without_a_prime_are_sampled_apart():
    """Those without may not end at once, and the others may."""
    corpus = fastrnn.Corpus.from_records(["a", "ab", "abc"])
    model = fastrnn.Model(corpus.vocabulary, hidden_size=3, init_scale=0)
    model.params["head.b"][corpus.vocabulary.symbols.index("\x03")] = 50
    assert model.sample(5, prime=["ab", "a"], seed=1) == ["", ""]
    with pytest.raises(ValueError, match="some primes are empty and others not"):
        model.sample(5, prime=["ab", ""])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_penalties(dtype):
    """Equal scores above, at and below 0; a seen symbol comes last, or with a tiny penalty first,
    and none that a record never contains."""
    for score in (2, 0, -2):
        model = fastrnn.Model(fastrnn.Vocabulary("abcd"), hidden_size=3, init_scale=0, dtype=dtype)
        model.params["head.b"][:] = score
        for penalty in (1e39, 1e300):
            texts = model.sample(2, n=300, prime="ab", seed=1, repetition_penalty=penalty)
            counts = [sum(text[0] == symbol for text in texts) for symbol in "abcd"]
            if score < 0:
                assert counts[:2] == [0, 0]
            assert min(counts[2:]) > 40, (score, penalty, counts)
            if score == 0:
                assert min(counts) > 40
    corpus = fastrnn.Corpus.from_records(["a", "ab", "abc"] * 30)
    model = fastrnn.Model(corpus.vocabulary, hidden_size=3, init_scale=0, dtype=dtype)
    for penalty in (1e-300, 1e-39, 1e39, 1e300):
        for text in model.sample(30, n=50, prime="a", seed=1, repetition_penalty=penalty):
            assert {*text} <= {*"abc"}


def test_the_start_of_a_record_is_not_repeated():
    """Where it is the stop symbol too, no penalty makes a record longer from its start on."""
    corpus = fastrnn.Corpus.from_records(["a", "ab"], start="\n", stop="\n")
    model = fastrnn.Model(corpus.vocabulary, hidden_size=3, init_scale=0)
    model.params["head.b"][:] = [9, 0, 0]  # the stop symbol
    assert {*model.sample(9, n=50, prime="a", seed=1, repetition_penalty=100)} == {""}
