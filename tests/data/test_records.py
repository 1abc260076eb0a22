"""Records and their labels: the kernels against reference.py, mixed batches against single records,
training against a loop by hand, sampling, ranking, files, and what is refused.

N, T, H, K and C always differ, T is at least 3, initial states are random.
"""
import pickle
import re

import numpy as np
import pytest
from networks import KINDS, cell_of, generators_of, network_of, wide
from runs import classic, refused
from test_kernels import assert_close, tolerance

import fastrnn
from fastrnn import Corpus, Sequences, Sizes
from fastrnn.checks import reference
from fastrnn.cli import main
from fastrnn.data.records import digest
from fastrnn.kernels.blas import one_thread

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
LABELS = ["Chile", "Iran", "Poland"]
NAMES = ("anna ben carla dora emil fritz gustav hanna ida jan karl lea maria nora olga paul "
         "quentin rosa sara tom ute vera willi xenia yara zoe ab bo cleo").split()
CLASSIC = ["train", "--preset", "classic"]


def model_of(kind, K=9, H=7, dtype="float64", seed=0, labels=LABELS, **settings):
    model = fastrnn.Model(Sizes(input_symbols=K, output_symbols=K), **cell_of(kind), hidden_size=H,
                          dtype=dtype, labels=labels, **settings)
    rng = np.random.default_rng(seed)
    for name, p in model.params.items():
        lift = 0.5 if name.endswith(".b") and kind in ("relu", "memory") else 0
        spread = 0.5 if name == "layer0.Wc" else 0.2 if name.endswith("Wm") else 0.8 / len(p) ** 0.5
        p[:] = rng.normal(lift, spread, p.shape)
    return model


def window_of(model, N, T, seed=1):
    """inputs, targets, mask, lengths, shares (N, C) and a state"""
    rng = np.random.default_rng(seed)
    K, C = model.sizes.input_symbols, len(model.config["labels"] or [])
    lengths = rng.integers(1, T + 1, N)
    lengths[0] = T
    shares = rng.dirichlet(np.ones(C), N) if C else None
    if C:
        shares[::2] = np.eye(C)[rng.integers(C, size=len(shares[::2]))]  # every other has one label
    state = rng.uniform(-1, 1, model.zero_state(N).shape).astype(model.config["dtype"])
    mask = np.ones((N, T), bool)
    mask[1:, 1:] = rng.random((N - 1, T - 1)) < 0.9
    return rng.integers(K, size=(N, T)), rng.integers(K, size=(N, T)), mask, lengths, shares, state


def mixtures(shares):
    """The rows as `label_shares` reads them."""
    return None if shares is None else [dict(zip(LABELS, row, strict=True)) for row in shares]


# ---- the unroll ----

@DTYPES
@ALL_KINDS
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_losses_and_gradients(isa, kind, dtype, loss):
    """Labels and mixtures of them, both losses, on packed weights and on plain BLAS."""
    for N, T, settings in ((6, 4, {}), (11, 8, {"num_layers": 2, "dropout": 0.3}),
                           (35, 5, {"embedding_size": 4}), (1, 6, {"num_layers": 2})):
        model = model_of(kind, dtype=dtype, loss=loss, **settings)
        x, y, mask, lengths, shares, state = window_of(model, N, T)
        s = Sequences(x, y, mask, lengths, symbols=9)
        masks = None
        networks = [network_of(model, T, N, packed) for packed in (True, False)]
        if model.config["dropout"]:
            masks = reference.dropout_masks(generators_of(model, networks[0]), networks[0].slices,
                                            T, N, 7, 2, 0.3)
        shares = shares.astype(dtype)
        total, expected, _ = reference.loss_and_gradients(
            wide(model.params), x, y, state.astype(float), model.config["cell"], masks,
            s.mask.astype(float), shares.astype(float),
            reference.binary_cross_entropy if loss.startswith("binary") else None)
        limit = 3 * tolerance(dtype, 9, T * N)
        large = (dtype == "float32") * max(np.abs(g).max() for g in expected.values()) / 10
        for network in networks:
            block = np.full_like(model.block, np.nan)
            with one_thread():
                losses = network.unroll(
                    model.block, **s.batch(np.arange(N), dtype), state=state.copy(), grads=block,
                    generators=generators_of(model, network), labels=shares)
            assert losses.sum() / N == pytest.approx(total, rel=limit)
            for name, g in model.views(block).items():
                assert np.abs(expected[name]).max() > 1e-4, name
                assert_close(g, expected[name], limit, name, large)


@ALL_KINDS
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_gradcheck(kind, loss):
    """Every entry, Wc among them; the memory cell with dropout, as the homework trains it."""
    for dropout in (0.0, 0.3):
        model = model_of(kind, K=5, H=4, loss=loss, dropout=dropout)
        x, y, mask, lengths, shares, state = window_of(model, 5, 6)
        report = fastrnn.gradcheck(model, x, y, state=state, mask=mask, lengths=lengths,
                                   labels=mixtures(shares), dropout=dropout > 0)
        assert report.passed and report.max_error < 1e-6
        assert report.worst["layer0.Wc"].checked == 3 * len(model.params["layer0.b"])


def test_the_binary_cross_entropy_by_hand():
    """Of a distribution given by the bias alone (tests/kernels/test_losses.py has extreme ones)."""
    model = fastrnn.Model(Sizes(input_symbols=4, output_symbols=4), hidden_size=3, dtype="float64",
                          loss="binary_cross_entropy")
    model.block[:] = 0
    p = np.array([0.1, 0.2, 0.3, 0.4])
    model.params["head.b"][:] = np.log(p)
    losses = model.losses([[0, 0, 0, 0]], [[0, 1, 2, 3]])[0]
    for k in range(4):
        assert losses[k] == pytest.approx(-np.log(p[k]) - np.log(np.delete(1 - p, k)).sum())


@ALL_KINDS
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_mixed_batch_is_the_sum_of_single_records(kind, loss):
    model = model_of(kind, loss=loss, num_layers=2)
    N = 13
    x, y, _, lengths, shares, state = window_of(model, N, 9)
    labels = mixtures(shares)
    total, grads, _ = model.loss_and_gradients(x, y, state, lengths=lengths, labels=labels)
    alone, sums = 0.0, dict.fromkeys(grads, 0.0)
    for n, length in enumerate(lengths):
        one, g, _ = model.loss_and_gradients(x[n : n + 1, :length], y[n : n + 1, :length],
                                             state[n : n + 1], labels=labels[n])
        alone += one / N
        sums = {name: sums[name] + g[name] / N for name in g}
    assert abs(total - alone) < 1e-12 * abs(alone)
    for name, g in grads.items():
        assert np.abs(g - sums[name]).max() < 1e-12 * max(1, np.abs(sums[name]).max())


# ---- corpora ----

def corpus_of(n=29, **settings):
    labels = [LABELS[i % 3] for i in range(n)]
    return Corpus.from_records(NAMES[:n], labels, **settings)


def test_from_records():
    corpus = Corpus.from_records(["anna", "bob", " ", "eve", ""], ["x", "y", "y", "x", "x"])
    assert corpus.vocabulary.symbols == ("\x02", "\x03", *"abenov")
    r = corpus.records
    assert (r.starts.tolist(), r.steps.tolist()) == ([0, 6, 11], [5, 4, 4])
    assert (r.labels.tolist(), r.names) == ([0, 1, 0], ("x", "y"))
    assert r.counts == {"blank": 2, "too long": 0}
    assert corpus.vocabulary.decode(corpus.ids) == "\x02anna\x03\x02bob\x03\x02eve\x03"
    assert [corpus.vocabulary.decode(ids) for ids in corpus.pieces([2, 0])] == [
        "\x02eve\x03", "\x02anna\x03"]
    assert "3 records, 2 labels" in repr(corpus)
    other = Corpus.from_records(["eva"], ["y"], vocabulary=corpus.vocabulary)
    assert other.vocabulary == corpus.vocabulary
    assert fastrnn.Vocabulary.from_dict(corpus.vocabulary.to_dict()) == corpus.vocabulary
    fingerprints = {Corpus.from_records(texts, labels).fingerprint() for texts, labels in (
        (["ab", "c"], None), (["a", "bc"], None), (["ab", "c"], ["x", "y"]),
        (["ab", "c"], ["y", "x"]), (["ab", "c"], ["x", "z"]))}
    assert len(fingerprints) == 5


@pytest.mark.parametrize(("settings", "text"), [
    ({"start": "*", "stop": "*"}, "*ab**c*"), ({"start": "<", "stop": ">"}, "<ab><c>"),
    ({"unit": "byte"}, "\x02ab\x03\x02c\x03"),
    ({"unit": "byte", "start": "^", "stop": 36}, "^ab$^c$"),
    ({"unit": "word"}, "\x02 ab \x03 \x02 c \x03"),
    ({"unit": "word", "split": "mark", "stop": "END"}, "\x02 ab END \x02 c END"),
])
def test_units_and_named_symbols(settings, text):
    corpus = Corpus.from_records(["ab", "c"], **settings)
    assert corpus.vocabulary.decode(corpus.ids) == text
    assert fastrnn.Vocabulary.from_dict(corpus.vocabulary.to_dict()) == corpus.vocabulary


def test_too_long_records():
    texts = ["abcd", "ab", "abcdef", "a"]
    for too_long, kept in (("cut", ["abcd", "ab", "abcd", "a"]), ("drop", ["abcd", "ab", "a"]),
                           ("keep", texts)):
        corpus = Corpus.from_records(texts, list("wxyz"), max_length=4, too_long=too_long)
        assert [corpus.vocabulary.decode(ids[1:-1]) for ids in corpus.pieces()] == kept
        assert corpus.records.counts["too long"] == 1
        assert corpus.records.names == (("w", "x", "z") if too_long == "drop" else tuple("wxyz"))
    with pytest.raises(ValueError, match="record 2 of records has 6 symbols.*can be 'cut'"):
        Corpus.from_records(texts, max_length=4)
    with pytest.raises(ValueError, match="all records of records are longer"):
        Corpus.from_records(texts[:1], max_length=2, too_long="drop")


def test_from_lines(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfanna\r\n\r\nbob\rcarl\n\n")
    corpus = Corpus.from_lines(path)
    assert [corpus.vocabulary.decode(ids[1:-1]) for ids in corpus.pieces()] == [
        "anna", "bob", "carl"]
    assert corpus.records.counts["blank"] == 2 and corpus.name == "names.txt"
    for data in (b"", b"\n \r\n", b"\xef\xbb\xbf"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="names.txt is empty"):
            Corpus.from_lines(path)
    path.write_bytes(b"a\xff\r\nb\n")
    corpus = Corpus.from_lines(path, unit="byte")
    assert [bytes(corpus.vocabulary.symbols[i] for i in ids[1:-1]) for ids in corpus.pieces()] == [
        b"a\xff", b"b"]
    path.write_bytes(b"abc\xff")
    with pytest.raises(ValueError, match="is not UTF-8: byte 0xff at byte offset 3"):
        Corpus.from_lines(path)
    with pytest.raises(FileNotFoundError):
        Corpus.from_lines(tmp_path / "nowhere")


def test_from_table(tmp_path):
    path = tmp_path / "table"

    def read(data, **settings):
        path.write_bytes(data)
        corpus = Corpus.from_table(path, **settings)
        texts = [corpus.vocabulary.decode(ids[1:-1]) for ids in corpus.pieces()]
        return texts, [corpus.records.names[c] for c in corpus.records.labels]

    expected = ["anna", 'b"o'], ["Chile", "Iran"]
    assert read(b"\xef\xbb\xbfanna\tChile\r\n\r\nb\"o\tIran\r\n") == expected
    assert read(b'anna,Chile\n"b""o",Iran\n') == expected
    assert read(b"anna;Chile\nb\"o;Iran", separator=";")[0][0] == "anna"
    assert read(b"no,land,name\n1,Chile,anna\n2,Iran,eve\n", columns=("name", "land")) == (
        ["anna", "eve"], ["Chile", "Iran"])
    assert read(b"Chile,anna\nIran,eve\n", columns=(1, 0))[0] == ["anna", "eve"]
    assert read(b"Eva , de\nBo,de \n") == (["Eva", "Bo"], ["de", "de"])
    assert read(b'"a\nb",x\nc,y\n')[0] == ["a\nb", "c"]  # a line end in quotes
    for data, settings, message in (
        (b"anna\tChile\nbob\n", {}, "line 2 of table has 1 columns, and column 2 is needed"),
        (b"anna,Chile\n\nbob\n", {}, "line 3 of table has 1 columns"),
        (b"a,b\nc,d\n", {"columns": ("name", "b")}, "no column 'name' in its first row"),
        (b"", {}, "table is empty"), (b"", {"columns": ("a", "b")}, "no column 'a'"),
        (b"a:b\n", {}, "give another separator than these"),
        (b'a,"b\nc,d\n', {}, "is no row of a table"),
        (b"a,b\n", {"columns": ()}, "columns must be two"),
        (b"a,b\n", {"columns": (0, 1, 1)}, "columns must be two"),
        (b"a,b\n", {"columns": True}, "columns must be two"),
        (b"a,b\n", {"columns": ("a", -1)}, "columns must be two"),
        (b"a,b\n", {"columns": ("a", 1.5)}, "columns must be two"),
        (b"a,b\n", {"separator": "::"}, "separator must be one character"),
        (b"a,b\n", {"separator": ""}, "separator must be one character"),
        (b"a,\n", {}, "label of record 0 must be"),
    ):
        with pytest.raises(ValueError, match=message):
            read(data, **settings)


@pytest.mark.parametrize(("arguments", "settings", "error", "message"), [
    (([],), {}, ValueError, "records is empty"), ((["", " "],), {}, ValueError, "is empty"),
    (("anna",), {}, TypeError, "must be a list of texts"),
    ((None,), {}, TypeError, "must be a list of texts"),
    (([b"ab"],), {}, TypeError, "record 0 must be a str, not bytes"),
    ((["ab", "cd"], "xy"), {}, TypeError, "labels must be a list"),
    ((["ab", "cd"], ["x", None]), {}, ValueError, "label of record 1 must be a str"),
    ((["ab", "cd"], ["x", float("nan")]), {}, ValueError, "label of record 1 must be a str"),
    ((["ab", "cd"], ["x", " "]), {}, ValueError, "not blank"),
    ((["ab"],), {"vocabulary": fastrnn.Vocabulary("ab\x02\x03", start="\x02", stop="\x03"),
                 "min_count": 2}, ValueError, "min_count and vocabulary_size are the vocabulary's"),
    ((["a", 3],), {}, TypeError, "record 1 must be a str, not int"),
    ((["a", "b"], ["x"]), {}, ValueError, "2 records and 1 labels"),
    ((["a*b"],), {"stop": "*"}, ValueError, r"the text has '\*', which is to be the start or stop"),
    ((["a\x03b"],), {}, ValueError, "the text has"),
    ((["ab"],), {"stop": "**"}, ValueError, "not a single character"),
    ((["ab"],), {"max_length": 0}, ValueError, "max_length must be"),
    ((["ab"],), {"too_long": "cut"}, ValueError, "needs a max_length"),
    ((["ab"],), {"max_length": 1, "too_long": "split"}, ValueError, "too_long must be one of"),
    ((["ab"],), {"vocabulary": fastrnn.Vocabulary("ab")}, ValueError, "start and stop are the"),
])
def test_bad_records(arguments, settings, error, message):
    with pytest.raises(error, match=message):
        Corpus.from_records(*arguments, **settings)


def test_records_that_a_vocabulary_does_not_have():
    corpus = corpus_of()
    with pytest.raises(ValueError, match="record 1 of records: char 'Q' at position 2"):
        Corpus.from_records(["ab", "abQ"], vocabulary=corpus.vocabulary)
    with pytest.raises(ValueError, match="at position 1 is the start or stop symbol"):
        Corpus.from_records(["a\x03b"], vocabulary=corpus.vocabulary)
    with pytest.raises(ValueError, match="leave them out"):
        Corpus.from_records(["ab"], vocabulary=corpus.vocabulary, stop="*")


# ---- training ----

def trainer_of(corpus, model=None, **keywords):
    model = model or fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=7, dtype="float64",
                                   labels=corpus.records.names or None)
    return fastrnn.Trainer(model, corpus, **(dict(
        batch_size=4, optimizer="adam", learning_rate=0.01, clip_value=None, progress=False,
        seed=4) | keywords))


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_updates_are_those_of_a_loop_by_hand(labelled, optimizer):
    """One record at a time, unpadded, from the zero state; two epochs of 29 records by 4."""
    corpus = corpus_of() if labelled else Corpus.from_records(NAMES)
    trainer = trainer_of(corpus, optimizer=optimizer)
    model = fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=7, dtype="float64",
                          labels=corpus.records.names or None)
    rule = {"adam": fastrnn.optim.Adam, "adagrad": fastrnn.optim.AdaGrad}[optimizer](
        model.params, 0.01)
    losses, seen = [], []
    for _ in range(2 * 8):
        starts, lengths, labels = trainer._updates.rows(1)
        count, sums, total = (lengths > 0).sum(), dict.fromkeys(model.params, 0.0), 0.0
        for n in np.flatnonzero(lengths):
            ids = corpus.ids[starts[n] : starts[n] + lengths[n] + 1][None]
            row = int(np.flatnonzero(corpus.records.starts == starts[n])[0])
            seen.append(row)
            label = None
            if labelled:
                label = corpus.records.names[corpus.records.labels[row]]
                assert labels[n] == corpus.records.labels[row]
            loss, grads, _ = model.loss_and_gradients(ids[:, :-1], ids[:, 1:], labels=label)
            total += loss / count
            sums = {name: sums[name] + g / count for name, g in grads.items()}
        rule.step(sums)
        losses.append(total)
        trainer.run(updates=1)
    assert np.allclose(trainer.history.loss, losses, rtol=1e-11)
    assert np.allclose(trainer.model.block, model.block, atol=1e-11)
    assert sorted(seen[:29]) == sorted(seen[29:]) == list(range(29))
    assert seen[:29] != seen[29:]
    assert (trainer.epoch, trainer.updates_per_epoch) == (2, 8)


def test_batches_waste_little():
    """Records of 1 to 140 symbols, 64 at a time: what is padded is a small share."""
    rng = np.random.default_rng(0)
    corpus = Corpus.from_records(["ab" * int(n) for n in rng.integers(1, 70, 5000)])
    trainer = trainer_of(corpus, batch_size=64)
    starts, lengths, _ = (a if a is None else a.reshape(-1, 64)
                          for a in trainer._reading.order(np.random.default_rng(1)))
    used = lengths.max(axis=1) * (lengths > 0).sum(axis=1)
    assert lengths.sum() / used.sum() > 0.95
    assert (lengths == 0).sum() == 64 * 79 - 5000
    # and yet batches come in no order of length
    assert abs(np.corrcoef(lengths.max(axis=1), np.arange(79))[0, 1]) < 0.4


def test_balance():
    """Rare labels come as often as the others, each of their records equally often."""
    texts = [f"{c}{i}" for c, count in (("a", 40), ("b", 4), ("c", 10)) for i in range(count)]
    corpus = Corpus.from_records(texts, [text[0] for text in texts])
    trainer = trainer_of(corpus, batch_size=6, balance="labels")
    starts, lengths, labels = trainer._reading.order(np.random.default_rng(0))
    assert len(starts) == 54 and (lengths > 0).all()
    assert np.bincount(labels).tolist() == [18, 18, 18]
    of_b = np.unique(starts[labels == 1], return_counts=True)[1]
    assert len(of_b) == 4 and of_b.min() >= 4
    uneven = Corpus.from_records([*texts, "d"], [*(text[0] for text in texts), "b"])
    for seed in range(20):  # 55 among three
        _, lengths, labels = trainer_of(uneven, batch_size=6, balance="labels")._reading.order(
            np.random.default_rng(seed))
        assert sorted(np.bincount(labels[lengths > 0])) == [18, 18, 19]
    for bad, source in (("labels", Corpus.from_records(texts)), ("records", corpus),
                        ("labels", Corpus.from_text("abc" * 50))):
        with pytest.raises(ValueError, match="balance"):
            classic(source, balance=bad, progress=False, batch_size=2)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_cut_and_resumed(tmp_path, loss):
    corpus, path = corpus_of(), tmp_path / "cut.safetensors"
    model = fastrnn.Model(corpus.vocabulary, cell="memory", hidden_size=9, dropout=0.2, loss=loss,
                          labels=corpus.records.names)
    first = trainer_of(corpus, model, updates=20, valid_fraction=0.2)
    first.run(updates=9)
    first.save(path)
    first.run()
    again = classic(corpus, resume=path, progress=False)
    assert np.array_equal(again.block, first.best_model().block)
    assert np.array_equal(again.history.loss, first.history.loss)
    assert np.array_equal(again.history.valid_loss, first.history.valid_loss)
    loaded = fastrnn.load(path)
    assert loaded.config["labels"] == LABELS and np.array_equal(loaded.known, first.model.known)
    with pytest.raises(ValueError, match="not the same records"):
        classic(corpus_of(28), resume=path, progress=False)


def test_what_is_held_out():
    """A random part, the same for the same seed, is not trained on, and scored by its
    cross-entropy whatever is trained with."""
    corpus = corpus_of()
    trainer = trainer_of(corpus, valid_fraction=9 / 29, batch_size=5, epochs=3, model=fastrnn.Model(
        corpus.vocabulary, hidden_size=7, dtype="float64", labels=LABELS,
        loss="binary_cross_entropy"))
    seen = {int(s) for s in trainer._reading.order(np.random.default_rng(0))[0]}
    held_out = [i for i in range(29) if corpus.records.starts[i] not in seen]
    assert len(held_out) == 9 and held_out != list(range(20, 29))
    trainer.run()
    pieces = [corpus.vocabulary.decode(ids[1:-1]) for ids in corpus.pieces(held_out)]
    labels = [corpus.records.names[corpus.records.labels[i]] for i in held_out]
    total = sum(trainer.model.score(text, label=label) * (len(text) + 1)
                for text, label in zip(pieces, labels, strict=True))
    steps = sum(len(text) + 1 for text in pieces)
    assert trainer.history.valid_loss[-1] == pytest.approx(total / steps, rel=1e-12)
    again = Corpus.from_records(pieces, labels, vocabulary=corpus.vocabulary)
    assert trainer.model.score(again) == pytest.approx(total / steps, rel=1e-12)
    assert trainer.model.novelty(pieces).all()
    assert not trainer.model.novelty([text for text in NAMES if text not in pieces]).any()


@pytest.mark.usefixtures("many_cores")
def test_threads_give_the_same_bits():
    corpus = corpus_of()
    blocks = []
    for threads in (1, 2, 3):
        model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=9, dropout=0.2,
                              labels=LABELS)
        trainer = trainer_of(corpus, model, batch_size=20, threads=threads)
        trainer.run(updates=7)
        blocks.append(trainer.model.block)
    assert all(np.array_equal(block, blocks[0]) for block in blocks)


def test_progress_shows_records(capfd):
    classic(corpus_of(), hidden_size=8, batch_size=4, updates=20, sample_every=15)
    out, err = capfd.readouterr()
    assert len(re.findall(r"^(?:Chile|Iran|Poland): ", out, re.M)) == 10
    assert "\x02" not in out and "\x03" not in out and "chars/s" in err


# ---- what a trained model can be asked ----

@pytest.fixture(scope="module")
def trained():
    """It knows its 29 names by heart."""
    return classic(corpus_of(), cell="lstm", hidden_size=48, batch_size=8, epochs=150,
                         optimizer="adam", learning_rate=0.01, dtype="float64", progress=False)


def expected_loss(model, text, shares):
    ids = model.vocabulary.encode_record(text)[None].astype(int)
    scores = reference.forward(dict(model.params), ids[:, :-1], model.zero_state(),
                               model.config["cell"], labels=np.atleast_2d(shares))[0][0]
    return np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(scores)), ids[0, 1:]]


def test_score_and_rank(trained):
    for text in ("anna", "nora", "zzz", ""):
        losses = [expected_loss(trained, text, row) for row in np.eye(3)]
        for c, label in enumerate(LABELS):
            assert trained.score(text, label=label) == pytest.approx(losses[c].mean(), rel=1e-10)
        ranked = trained.rank_labels(text)
        totals = np.array([one.sum() for one in losses])
        posterior = np.exp(-totals) / np.exp(-totals).sum()
        assert [r.label for r in ranked] == [LABELS[c] for c in np.argsort(totals)]
        for label, loss, share in ranked:
            c = LABELS.index(label)
            assert loss == pytest.approx(losses[c].mean(), rel=1e-10)
            assert share == pytest.approx(posterior[c], rel=1e-8)
    mixture = {"Chile": 1, "Poland": 3}
    assert trained.score("anna", label=mixture) == pytest.approx(
        expected_loss(trained, "anna", [0.25, 0, 0.75]).mean(), rel=1e-10)
    corpus = corpus_of()
    right = sum(trained.rank_labels(name)[0].label == corpus.records.names[c]
                for name, c in zip(NAMES, corpus.records.labels, strict=True))
    assert right > 25  # learned by heart
    assert trained.accuracy(corpus) == classic(
        corpus, cell="lstm", hidden_size=48, batch_size=8, epochs=150, optimizer="adam",
        learning_rate=0.01, dtype="float64", progress=False, accuracy=True).history.accuracy[-1]


def test_ranking_of_some_labels_with_a_prior(trained):
    """Bayes' rule with the losses of the reference; NAMES have each label nearly as often."""
    counts = np.bincount(corpus_of().records.labels, minlength=3)
    assert trained.label_counts.tolist() == counts.tolist() and trained.label_counts.sum() == 29
    given = {"Chile": 0.2, "Iran": 5e300, "Poland": 3e300}
    for text in ("anna", "zzz", ""):
        total = {label: expected_loss(trained, text, row).sum()
                 for label, row in zip(LABELS, np.eye(3), strict=True)}
        for labels, prior, weights in (
                (None, "training", dict(zip(LABELS, counts, strict=True))),
                (None, {"Chile": 1, "Iran": 0, "Poland": 3}, {"Chile": 1, "Iran": 0, "Poland": 3}),
                (["Poland", "Chile"], None, {"Chile": 1, "Poland": 1}),
                (("Iran", "Poland"), given, {"Iran": 5, "Poland": 3}),
                (["Iran"], {"Iran": 1e-300}, {"Iran": 1})):
            joint = {label: weight * np.exp(-total[label]) for label, weight in weights.items()}
            ranked = trained.rank_labels(text, labels, prior)
            assert [r.label for r in ranked] == sorted(joint, key=joint.get, reverse=True)
            for one in ranked:
                assert one.probability == pytest.approx(
                    joint[one.label] / sum(joint.values()), rel=1e-8)
                assert one.total == pytest.approx(total[one.label], rel=1e-10)
                assert one.loss == pytest.approx(one.total / (len(text) + 1), rel=1e-12)
    label, loss, probability = ranked[0]  # a tuple of three, as before
    assert ranked[0] == ("Iran", loss, 1.0) and pickle.loads(pickle.dumps(ranked)) == ranked
    assert pickle.loads(pickle.dumps(ranked))[0].total == ranked[0].total


def test_what_ranking_refuses(trained, tmp_path):
    for labels, prior, error, message in (
            ("Iran", None, TypeError, "labels must be a list of labels, not 'Iran'"),
            ([], None, ValueError, "labels must be distinct labels of the model, and at least one"),
            (["Iran", "Iran"], None, ValueError, "labels must be distinct"),
            (["Irann"], None, ValueError, "'Irann' never came in training.*did you mean 'Iran'"),
            ([3], None, ValueError, "label 3 never came in training"),
            (None, "uniform", TypeError, 'prior must be a dict of label -> probability, or "tra'),
            (None, [1, 2, 3], TypeError, "prior must be a dict"),
            (None, {"Iran": 1}, ValueError, "prior must have a probability of label 'Chile' too"),
            (["Iran"], {"Chile": 1}, ValueError, "a probability of label 'Iran' too"),
            (["Iran"], {"Iran": 1, "Peru": 1}, ValueError, "label 'Peru' never came"),
            (["Iran"], {"Iran": 0}, ValueError, "prior must have a probability above 0"),
            (["Iran"], {"Iran": -1}, ValueError, "a label's prior must be"),
            (["Iran"], {"Iran": float("nan")}, ValueError, "a label's prior must be")):
        with pytest.raises(error, match=message):
            trained.rank_labels("anna", labels, prior)
    untrained = fastrnn.Model(trained.vocabulary, labels=LABELS)
    with pytest.raises(ValueError, match="this model does not: give a probability for each label"):
        untrained.rank_labels("anna", prior="training")


def test_counts_of_labels_are_kept(trained, tmp_path):
    """In files and copies; of the records that are not validation data; in the model's order."""
    trained.save(tmp_path / "m.safetensors")
    for other in (fastrnn.load(tmp_path / "m.safetensors"), trained.copy(),
                  pickle.loads(pickle.dumps(trained))):
        assert other.label_counts.tolist() == trained.label_counts.tolist()
        assert other.rank_labels("ida", prior="training") == trained.rank_labels(
            "ida", prior="training")
    corpus = Corpus.from_records(list(NAMES), ["b"] * 20 + ["a"] * 9)
    model = fastrnn.Model(corpus.vocabulary, hidden_size=3, labels=["c", "b", "a"])
    trainer = trainer_of(corpus, model, batch_size=4, valid_fraction=0.3, seed=0)
    assert model.label_counts.size == 0
    trainer.run(updates=1)
    left, _ = corpus.hold_out(0.3, 0)
    assert model.label_counts.tolist() == [0, left.row_labels().count("b"),
                                           left.row_labels().count("a")]
    assert model.label_counts.sum() == 20
    without = classic(Corpus.from_records(NAMES), updates=1, hidden_size=3, progress=False)
    assert without.label_counts.size == 0


def test_new_samples_only(trained):
    how = {"label": "Iran", "max_length": 30, "seed": 4, "temperature": 1.5}
    plain = trained.sample(n=200, **how)
    new = trained.sample(n=200, new_only=True, **how)
    was_new = trained.novelty(plain)
    assert 0.05 < was_new.mean() < 0.7 and trained.novelty(new).all()
    assert not set(new) & set(NAMES)
    assert [a == b for a, b in zip(plain, new, strict=True)] == was_new.tolist()  # kept as they are
    assert new == trained.sample(n=200, new_only=True, **how)
    assert trained.sample(new_only=True, **how) == trained.sample(n=1, new_only=True, **how)[0]
    # each with its own prime and label, and the prime a part of the record
    primes, labels = ["ann", "b", "car", "ann"] * 5, ["Chile", "Iran", {"Iran": 1, "Chile": 2}] * 7
    how = {"prime": primes, "label": labels[:20], "new_only": True, "seed": 2, "temperature": 2}
    some, whole = trained.sample(**how), trained.sample(**how, echo=True)
    assert whole == [prime + rest for prime, rest in zip(primes, some, strict=True)]
    assert trained.novelty(whole).all()
    cut = trained.sample(n=50, label="Iran", stop="a", new_only=True, temperature=2, seed=1)
    assert trained.novelty(cut).all()  # as they are returned
    with pytest.raises(ValueError, match="sampled once, 3 of 3 samples are still records of "
                                         "the training data, such as '[a-z]+': give a higher temp"):
        trained.sample(n=3, label="Iran", temperature=0, new_only=True)
    stubborn = fastrnn.Model(trained.vocabulary, hidden_size=3, labels=LABELS)
    stubborn.params["head.b"][stubborn.vocabulary.symbols.index("a")] = 200  # never another letter
    stubborn.known = np.array([digest(stubborn.vocabulary.encode_record("a" * 4))], np.uint64)
    with pytest.raises(ValueError, match="sampled 1,000 times, 2 of 2 samples are .*'aaaa'"):
        stubborn.sample(4, n=2, label="Iran", new_only=True)
    with pytest.raises(ValueError, match="2 labels for 3 rows"):
        trained.sample(n=3, label=["Iran", "Iran"], new_only=True)
    with pytest.raises(ValueError, match="new_only=True is for sample"):
        trained.stream(label="Iran", new_only=True)
    text = fastrnn.Model(Corpus.from_text("abcab").vocabulary, hidden_size=3)
    with pytest.raises(ValueError, match="not trained on records"):
        text.sample(new_only=True)


def test_new_samples_of_words_and_bytes():
    for unit, known in (("word", ["to be", "not to be", "be"]), ("byte", ["é", "aé", "éa"])):
        model = classic(Corpus.from_records(known, unit=unit), hidden_size=8, updates=30,
                        batch_size=3, progress=False)
        found = model.sample(n=100, new_only=True, seed=0)
        assert not set(found) & set(known)
        assert set(model.sample(n=100, seed=0)) & set(known)


def test_texts_with_several_labels(capsys):
    corpus = Corpus.from_records(["Anna", "ben", "Anna", "ida", "ben", "Anna", "ida"],
                                 ["Poland", "Iran", "Chile", "Iran", "Iran", "Chile", "Poland"])
    assert corpus.ambiguous() == {"Anna": ("Chile", "Poland"), "ida": ("Iran", "Poland")}
    words = Corpus.from_records(["To be", "to be", "be"], ["a", "b", "a"], unit="word")
    assert words.ambiguous() == {"to be": ("a", "b")}  # the same for a model
    assert Corpus.from_records(["a", "a"]).ambiguous() == {}
    with pytest.raises(ValueError, match="is a text and has no records"):
        Corpus.from_text("abab").ambiguous()
    classic(corpus, updates=1, sample_every=0)
    assert re.search(r"\nlabels      2 texts stand with several labels, such as 'Anna': Chile, "
                     r"Poland\n", capsys.readouterr().out)
    classic(Corpus.from_records(["Anna", "ben"], ["a", "b"]), updates=1, sample_every=0)
    assert "\nlabels" not in capsys.readouterr().out


def test_rank_on_the_command_line(trained, tmp_path, capsys):
    path = str(tmp_path / "m.safetensors")
    trained.save(path)
    assert main(["rank", path, "anna", "zoe", "--prior", "training"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1] == ("  rank  label   probability  nats in all  nats per char")
    parts = re.findall(r"^(\w+)\n  rank .*\n((?:  .*\n)+)", out, re.MULTILINE)
    assert [text for text, _ in parts] == ["anna", "zoe"]
    for text, table in parts:
        ranked = trained.rank_labels(text, prior="training")
        assert [row.split() for row in table.splitlines()] == [
            [str(i), one.label, f"{100 * one.probability:.2f}%", f"{one.total:.3f}",
             f"{one.loss:.4f}"] for i, one in enumerate(ranked, 1)]
    assert main(["rank", path, "anna", "--labels", "Iran, Chile", "--prior",
                 "Iran=0.75,Chile=0.25"]) == 0
    out = capsys.readouterr().out
    ranked = trained.rank_labels("anna", ["Iran", "Chile"], {"Iran": 3, "Chile": 1})
    assert f"  1  {ranked[0].label:5}  {100 * ranked[0].probability:10.2f}%" in out
    assert "Poland" not in out
    for arguments, message in (
            (["--labels", "Iran,Peru"], "label 'Peru' never came in training"),
            (["--prior", "Iran"], "--prior must be weights such as Netherlands=0.5,Poland=0.5"),
            (["--prior", "Iran=1"], "--prior must have a probability of label 'Chile' too"),
            (["--prior", "Iran=much"], "weight of 'Iran' must be"),
            (["Ångström"], "'Å' at position 0")):
        assert main(["rank", path, "anna", *arguments]) == 2
        assert message in capsys.readouterr().err
    unlabelled = classic(Corpus.from_records(NAMES), updates=1, hidden_size=3, progress=False)
    unlabelled.save(tmp_path / "u.safetensors")
    assert main(["rank", str(tmp_path / "u.safetensors"), "anna"]) == 2
    assert "trained without labels, so it has none to rank" in capsys.readouterr().err
    assert main(["sample", path, "--label", "Iran", "--n", "40", "--new-only", "--seed", "1",
                 "--temperature", "1.5"]) == 0
    assert trained.novelty(capsys.readouterr().out.splitlines()).all()


def test_samples_are_the_reference_s(trained):
    """Symbol by symbol with the same random numbers, cut at the stop symbol."""
    vocabulary, n = trained.vocabulary, 12
    stop, start = (vocabulary.symbols.index(s) for s in ("\x03", "\x02"))
    for temperature, prime in ((1.0, ""), (0.5, "an"), (1.5, "")):
        found = trained.sample(9, n=n, label={"Iran": 2, "Chile": 1}, prime=prime, seed=5,
                               temperature=temperature)
        uniforms = np.random.default_rng(5).random((9, n))
        shares = np.array([[1 / 3, 2 / 3, 0]])
        for i in range(n):
            ids, state = [start, *vocabulary.encode(prime)], trained.zero_state()
            text = []
            for u in uniforms[:, i]:
                scores = reference.forward(dict(trained.params), np.array([ids]), state, "lstm",
                                           labels=shares)[0][0, -1]
                p = np.exp((scores - scores.max()) / temperature)
                p[start] = 0
                if len(ids) == 1:  # no record is empty
                    p[stop] = 0
                drawn = int(np.searchsorted(np.cumsum(p) / p.sum(), u, side="right"))
                if drawn == stop:
                    break
                text.append(drawn)
                ids.append(drawn)
            assert found[i] == vocabulary.decode(np.array(text, int))


def test_samples_end(trained):
    empty = fastrnn.Model(trained.vocabulary, labels=LABELS)  # which stops at once where it may
    empty.params["head.b"][empty.vocabulary.symbols.index("\x03")] = 100
    assert all(len(text) == 1 for text in empty.sample(n=30, label="Iran"))
    assert empty.sample(label="Iran", prime="a") == ""
    drawn = trained.sample(n=300, label="Iran", max_length=30, seed=1)
    assert all(0 < len(name) < 30 for name in drawn)
    known = ~trained.novelty(drawn)
    assert known.mean() > 0.5 and {n for n, k in zip(drawn, known, strict=True) if k} <= set(NAMES)
    cut = trained.sample(n=300, label="Iran", max_length=2, seed=1)
    assert [name[:2] for name in drawn] == cut
    assert trained.sample(label="Iran", seed=3) == trained.sample(label="Iran", seed=3, n=1)[0]
    assert "".join(trained.stream(label="Iran", seed=3)) == trained.sample(label="Iran", seed=3)
    each = trained.sample(n=3, label=["Iran", "Chile", {"Iran": 1, "Poland": 1}], seed=1,
                          temperature=0)
    assert each[0] == trained.sample(label="Iran", temperature=0)
    assert each[1] == trained.sample(label="Chile", temperature=0)
    assert trained.sample(label="Iran", prime="ann", temperature=0) == "a"
    # sharpened: fewer different names
    assert len(set(trained.sample(n=300, label="Iran", temperature=0.5, seed=1))) < len(set(drawn))


def test_temperature_one_half_is_squared_and_renormalised():
    """First letters of very many samples, against the squares of the model's shares."""
    model = classic(Corpus.from_records(NAMES), hidden_size=12, batch_size=29, updates=30,
                          progress=False, dtype="float64")
    start = model.vocabulary.encode_record("")[:1][None]
    p = model.predict(start)[0, 0]
    for symbol in "\x02\x03":
        p[model.vocabulary.symbols.index(symbol)] = 0
    squared = p**2 / (p**2).sum()
    first = model.sample(1, n=20_000, temperature=0.5, seed=0)
    for symbol in "aeno":
        share = np.mean([text == symbol for text in first])
        expected = squared[model.vocabulary.symbols.index(symbol)]
        assert share == pytest.approx(expected, abs=5 * (expected / 20_000) ** 0.5)


def test_novelty(trained):
    assert trained.novelty(["anna", "annb", "ANNA", "", "ben"]).tolist() == [
        False, True, True, True, False]
    assert trained.known.dtype == np.uint64 and (np.diff(trained.known.astype(object)) > 0).all()
    assert digest(trained.vocabulary.encode_record("ben")) in trained.known.tolist()
    with pytest.raises(TypeError, match="must be a list"):
        trained.novelty("anna")
    copy = trained.copy()
    more = Corpus.from_records(["zoo"], ["Iran"], vocabulary=trained.vocabulary)
    trainer = trainer_of(more, copy, batch_size=1)
    assert copy.novelty(["anna", "zoo"]).tolist() == [False, True]  # nothing is learned yet
    trainer.run(updates=1)
    assert copy.novelty(["anna", "zoo", "foo"]).tolist() == [False, False, True]
    with pytest.raises(ValueError, match="not trained on records"):
        fastrnn.Model(trained.vocabulary).novelty(["a"])


def test_labels_it_does_not_know(trained):
    known = "the known ones are 'Chile', 'Iran', 'Poland'"
    for label, message in (("Irann", known + "; did you mean 'Iran'"), ({"Iran": 1, "X": 1}, known),
                           (None, "needs a label: 'Chile', 'Iran', 'Poland'"),
                           ({}, "a weight above 0"), ({"Iran": 0}, "a weight above 0"),
                           ({"Iran": float("inf")}, "label's weight must be"),
                           ({"Iran": -1}, "label's weight must be"),
                           (["Iran", "Chile"], "2 labels for 1 rows")):
        for ask in (lambda label=label: trained.score("anna", label=label),
                    lambda label=label: trained.sample(label=label)):
            with pytest.raises(ValueError, match=re.escape(message)):
                ask()
    for label in (0, [["Iran"]], 3.5):
        with pytest.raises(TypeError, match="a label must be a str, or a dict"):
            trained.score("anna", label=label)
    for one, other in (({"Iran": 1e300, "Chile": 1e300}, {"Iran": 1, "Chile": 1}),
                       ({"Iran": 1e-60}, "Iran"), ({"Iran": 1e308, "Chile": 1.0}, "Iran")):
        assert trained.score("anna", label=one) == pytest.approx(
            trained.score("anna", label=other), rel=1e-12)
    without = fastrnn.Model(trained.vocabulary, hidden_size=3)
    for ask in (lambda: without.sample(label="Iran"), lambda: without.score("anna", label="Iran"),
                lambda: without.rank_labels("anna")):
        with pytest.raises(ValueError, match="trained without labels"):
            ask()
    strange = Corpus.from_records(["anna"], ["Peru"], vocabulary=trained.vocabulary)
    for ask in (lambda: trained.score(strange), lambda: trainer_of(strange, trained)):
        with pytest.raises(ValueError, match="label 'Peru' of records never came.*'Chile'"):
            ask()
    unlabelled = Corpus.from_records(["anna"], vocabulary=trained.vocabulary)
    with pytest.raises(ValueError, match="needs labels, and records has none"):
        trained.score(unlabelled)
    with pytest.raises(ValueError, match="a corpus has its own labels"):
        trained.score(corpus_of(vocabulary=trained.vocabulary), label="Iran")
    with pytest.raises(ValueError, match="this model learned records"):
        trained.score(Corpus.from_text("anna", vocabulary=trained.vocabulary))
    for labels in ([], ["a", "a"], [3]):
        with pytest.raises(ValueError, match="labels must be distinct names"):
            fastrnn.Model(trained.vocabulary, labels=labels)


def test_bad_training():
    corpus = corpus_of()
    refused(classic, corpus, [
        ({"batch_size": 30}, "has 29 records to train on, and batch_size is 30"),
        ({"valid_fraction": 0.001}, "is 0 of the 29 records"),
        ({"seq_length": 7}, "are read whole, all 8 steps"),
        ({"loss": "mean_squared_error"}, "does not fit"),
    ])
    training = trainer_of(corpus)._updates.training
    rates, starts, steps, labels = (np.ones(1), np.zeros(4, np.int64), np.ones(4, np.int64),
                                    np.zeros(4, np.int32))
    for change in ((starts, steps, labels + 3), (starts, steps, labels - 1), (starts, steps, None),
                   (starts, None, labels), (starts + len(corpus) - 1, steps, labels),
                   (starts, steps + 8, labels)):
        with pytest.raises(ValueError):
            training.run(rates, *change)


# ---- the command line ----

def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n\n" + "x" * 50 + "\n")
    labels = [LABELS[i % 3] for i in range(29)]
    (tmp_path / "names.tsv").write_text("".join(
        f"{name}\t{label}\n" for name, label in zip(NAMES, labels, strict=True)))
    small = ["--hidden-size", "9", "--batch-size", "5", "--epochs", "3"]
    assert main([*CLASSIC, "--records", "names.txt", "--max-length", "9", *small]) == 2
    assert "record 30 of names.txt has 50 symbols, and --max-length is 9" in capsys.readouterr().err
    assert main([*CLASSIC, "--records", "names.txt", "--max-length", "9", "--too-long", "drop",
                 *small, "--checkpoint", "r.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "29 records, 1 blank, 1 too long" in out
    assert main(["sample", "r.safetensors", "--n", "4", "--max-length", "5", "--seed", "1"]) == 0
    model = fastrnn.load("r.safetensors")
    assert capsys.readouterr().out.splitlines() == model.sample(n=4, max_length=5, seed=1)
    assert main([*CLASSIC, "--table", "names.tsv", *small, "--checkpoint", "t.safetensors"]) == 0
    assert "29 records with 3 labels" in capsys.readouterr().out
    assert main(["train", "--table", "names.tsv", "--resume", "t.safetensors", "--epochs", "4",
                 "--no-progress"]) == 0
    capsys.readouterr()
    assert main(["sample", "t.safetensors", "--label", "Iran=0.5,Chile=0.5", "--seed", "1",
                 "--length", "6"]) == 0
    model = fastrnn.load("t.safetensors")
    assert capsys.readouterr().out == model.sample(
        6, label={"Iran": 1, "Chile": 1}, seed=1) + "\n"
    assert main(["sample", "t.safetensors"]) == 2
    assert "needs a label" in capsys.readouterr().err
    assert main(["info", "t.safetensors"]) == 0
    assert "layer0.Wc                  3x9 = 27\n" in capsys.readouterr().out
    (tmp_path / "names.csv").write_text("land;name\n" + "".join(
        f"{label};{name}\n" for name, label in zip(NAMES, labels, strict=True)))
    assert main([*CLASSIC, "--table", "names.csv", "--columns", "name", "land", "--separator", ";",
                 *small, "--no-progress", "--checkpoint", "c.safetensors"]) == 0
    capsys.readouterr()
    assert fastrnn.load("c.safetensors").config["labels"] == LABELS
    assert main([*CLASSIC, "names.txt", "--table", "names.tsv"]) == 2
    assert main([*CLASSIC, "names.txt", "--max-length", "4"]) == 2
