"""Units that follow something by construction come first, and by how much chance follows it too."""

import numpy as np
import pytest

import fastrnn
from fastrnn.insight.activations import Activations, activations
from fastrnn.insight.units import correlations, features

PIECES = ['He said: "Go on (now),"', "and she went", "to 12 Oak Road.\n", 'The "old" house', "was",
          "(some) trees.\n", "Not so", "\n", "in 1999, after (or before)", '"it"']
TEXT = " ".join(np.random.default_rng(4).choice(PIECES, 60))  # without a period


def vocabulary_of(text, unit="char"):
    return fastrnn.Vocabulary.from_text(text, unit)


def of_text(text, unit="char"):
    vocabulary = vocabulary_of(text, unit)
    return features(vocabulary.encode(text).astype(np.int64), vocabulary)


def marks(values):
    return "".join("x" if value else "." for value in values)


def test_features_by_hand():
    text = 'a "bc" (d)\nEf 12,\n' * 5
    found = of_text(text)
    expected = {
        "inside quotation marks": "..xxx.............",
        "inside brackets": ".......xx.........",
        "first character of a word": "x.x....x...x..x...",
        "blank or line end": ".x....x...x..x...x",
        "capital letter": "...........x......",
        "digit": "..............xx..",
        "vowel": "x..........x......",
        "punctuation mark": "..x..x.x.x......x.",
        "line end at most 5 characters away": ".....xxxxxx.xxxxxx",
    }
    for name, pattern in expected.items():
        assert marks(found[name]) == pattern * 5, name
    since = found["characters since the line's start"]
    assert since[:18].tolist() == [*range(1, 11), 0, *range(1, 7), 0]
    assert found["characters since the last blank"][:12].tolist() == [
        1, 0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1]
    assert found.keys() == {*expected, "characters since the line's start",
                            "characters since the last blank"}


def test_marks_that_are_never_closed_end_at_an_empty_line():
    text = 'a "bc\nd\n\nef ‘it’s’ g “h ‘i’ j” (k [l) m] n\n'
    found = of_text(text + "\n\nxyz" * 3)
    assert marks(found["inside quotation marks"])[:43] == (
        "..xxxxxx...." "xxxxx" "...." "xxxxxxxx" "..............")
    assert marks(found["inside brackets"])[text.index("(") :][:14] == "xxxxxxxxxxxx.."


def test_what_is_rare_or_everywhere_the_same_is_left_out():
    assert "digit" not in of_text("abc 1234 " + "abc def " * 9)
    assert "digit" in of_text("abc 12345 " + "abc def " * 9)
    assert "inside brackets" not in of_text("abc def\n" * 9)


def test_a_character_of_several_bytes_is_one():
    text = "“äb” c\n" * 5
    found = of_text(text, "byte")
    sizes = [len(c.encode()) for c in text]
    for name, values in of_text(text).items():
        assert found[name].tolist() == np.repeat(values, sizes).tolist(), name
    cut = text.encode()[1:]  # begins inside a character
    vocabulary = fastrnn.Vocabulary.from_text(cut, "byte")
    assert len(features(vocabulary.encode(cut).astype(np.int64), vocabulary)["vowel"]) == len(cut)


def test_features_of_words():
    text = " ".join(['He "saw me" (in May) 1999.'] * 6)
    vocabulary = fastrnn.Vocabulary.from_text(text, "word", lower=False)
    found = features(vocabulary.encode(text).astype(np.int64), vocabulary)
    for name, pattern in {
        "inside quotation marks": ".x....", "inside brackets": "...x..",
        "capital letter at the start": "x...x.", "word with a digit": ".....x",
        "punctuation mark at the end": "..x.xx",
    }.items():
        assert marks(found[name]) == pattern * 6, name
    assert found["characters of the word"][:6].tolist() == [2, 4, 3, 3, 4, 5]
    assert found["words since the sentence's start"][:8].tolist() == [1, 2, 3, 4, 5, 0, 1, 2]


def made_of(columns, ids):
    """Activations whose only layer has these columns as its h."""
    return Activations(ids, np.append(ids[1:], -1), [{"h": columns}],
                       np.full((len(ids), 2), 0.5), np.zeros(columns.shape[1]))


def test_made_units_are_found_with_their_sign():
    vocabulary = vocabulary_of(TEXT)
    ids = vocabulary.encode(TEXT).astype(np.int64)
    named = features(ids, vocabulary)
    rng = np.random.default_rng(0)
    columns = rng.normal(0, 0.1, (len(ids), 40))
    for place, name in enumerate(named):
        columns[:, 2 * place] += (-1) ** place * 3 * named[name]
    columns[:, 39] = 0.25  # constant: follows nothing
    found = correlations(made_of(columns, ids), vocabulary)
    for name, units, r, chance, _ in found.best():
        place = [*named].index(name)
        assert units[0] == (0, "h", 2 * place) and np.sign(r[0]) == (-1) ** place, name
        assert abs(r[0]) > max(0.9, chance) and abs(r[0]) >= abs(r[1]) >= abs(r[2]), name
    column = columns[:, 4]
    for row, values in zip(found.r, found.features.values(), strict=True):
        np.testing.assert_allclose(row[4], np.corrcoef(column, values)[0, 1], atol=1e-12)
    assert (found.r[:, 39] == 0).all()


def test_what_follows_is_compared_apart():
    """Unit 0 is the feature in the first 200 symbols and noise after them; unit 1 noise, then the
    feature: unit 0 is chosen, and its r in the rest says what it is worth."""
    vocabulary = vocabulary_of(TEXT)
    ids = vocabulary.encode(TEXT).astype(np.int64)
    assert len(ids) > 500
    vowel = features(ids, vocabulary)["vowel"]
    columns = np.random.default_rng(1).normal(size=(len(ids), 2))
    columns[:200, 0], columns[200:, 1] = vowel[:200], vowel[200:]
    found = correlations(made_of(columns, ids), vocabulary, 200)
    (row,) = [row for row in found.best(1) if row.name == "vowel"]
    assert row.units == [(0, "h", 0)] and row.r[0] == pytest.approx(1)
    expected = np.corrcoef(columns[200:].T, vowel[200:])[2, :2]
    place = [*found.features].index("vowel")
    np.testing.assert_allclose(found.after[place], expected, atol=1e-12)
    assert row.after[0] == pytest.approx(expected[0]) and abs(expected[0]) < 0.3
    assert not row.holds.any() and found.best(1)[-1].holds.any() <= found.best(1)[0].holds.any()
    assert len(found.features["vowel"]) == 200
    in_first = correlations(made_of(columns[:200], ids[:200]), vocabulary)
    np.testing.assert_allclose(found.r, in_first.r, atol=1e-12)
    assert in_first.after is None and in_first.best(1)[0].holds.all()


def test_noise_stays_below_what_chance_reaches():
    """The best of 300 units of noise is not above the 99th percentile of moved features, in
    nearly all of 11 features; a threshold for one unit alone would be passed by each."""
    vocabulary = vocabulary_of(TEXT)
    ids = vocabulary.encode(TEXT).astype(np.int64)
    noise = np.random.default_rng(3).normal(size=(len(ids), 300))
    found = correlations(made_of(noise, ids), vocabulary)
    above = [abs(r[0]) > chance for _, _, r, chance, _ in found.best()]
    assert len(above) > 8 and sum(above) <= 2
    for_one = 2.58 / len(ids) ** 0.5  # 99 % of the |r| of one unit of noise are below
    assert sum(abs(r[0]) > for_one for _, _, r, _, _ in found.best()) > 8


def test_too_short_a_text_names_nothing():
    vocabulary = vocabulary_of(TEXT)
    ids = vocabulary.encode(TEXT[:99]).astype(np.int64)
    assert not correlations(made_of(np.ones((99, 3)), ids), vocabulary).best()


def by_hand(cell, H=4):
    model = fastrnn.Model(vocabulary_of(TEXT), cell=cell, hidden_size=H, dtype="float64")
    model.block[:] = np.random.default_rng(5).normal(0, 0.1, model.block.size)
    return model, model.vocabulary.encode('"\n').astype(int)


def test_the_unit_of_an_lstm_that_counts_comes_first():
    """c of unit 2 adds 0.1 at each character, and a line end sets it to 0."""
    model, (_, line_end) = by_hand("lstm")
    Wx, Wh, b = (model.params[f"layer0.{name}"] for name in ("Wx", "Wh", "b"))
    H, unit = 4, 2
    Wh[:, unit::H] = 0
    Wx[:, unit::H], b[unit::H] = 0, (20, 20, 0, np.arctanh(0.1))  # i, f, o, g
    Wx[line_end, [unit, H + unit]] = -40  # shuts i and f
    name, units, r, chance, _ = correlations(activations(model, TEXT), model.vocabulary).best()[0]
    assert (name, units[0]) == ("characters since the line's start", (0, "c", unit))
    assert r[0] > 0.999999 and units[1] == (0, "h", unit) and chance < r[0]


def test_the_unit_of_an_rnn_that_knows_quotes_comes_first():
    """Unit 1 turns its sign at each quotation mark: XOR of its state with the mark, of units 0
    and 3, is more than one tanh can do, but a memory cell's u can: m1 += 1 or -1."""
    model, (mark, _) = by_hand("memory")
    p, model.state[:] = model.params, 0
    for name in ("Wx", "Wh", "b", "Wm", "bm"):
        p[f"layer0.{name}"][...] = 0
    # u0 = mark and outside, u1 = mark and inside; m0 is 1 inside, 0 outside
    p["layer0.Wx"][mark, :2] = 1
    p["layer0.b"][:2] = 0, -1
    p["layer0.Wh"][0, :2] = -1, 1
    p["layer0.Wm"][:2, 0] = 1, -1
    rows = correlations(activations(model, TEXT), model.vocabulary).best()
    assert rows[0][0] == "inside quotation marks" and rows[0][1][0] == (0, "m", 0)
    assert rows[0][2][0] == pytest.approx(1, abs=1e-12)
