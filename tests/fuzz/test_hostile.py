"""Hostile files, each a kind that once did harm or could: written out here, in code."""
import json
import re
import struct
import time
import tracemalloc

import numpy as np
import pytest
from mutations import about_of, packed, packed_tensors, tensors, unpacked, with_text
from seeds import RUNS, seeds, sources

import fastrnn
from fastrnn import cli
from fastrnn.data.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of good files, by the names of the seeds."""
    return {seed.name: seed.data for seed in seeds(tmp_path_factory.mktemp("seeds"))}


@pytest.fixture(scope="module")
def data():
    """The data of the runs, by the names of the seeds."""
    given = sources()
    return {name: given[source] for name, (source, _, _) in RUNS.items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.safetensors"


def refused(path, file, match="", opening=None):
    """Opening the file raises ValueError with its name, soon."""
    path.write_bytes(file)
    start = time.process_time()
    with pytest.raises(ValueError, match=f"(?s)hostile.safetensors.*{match}") as error:
        (opening or fastrnn.load)(path)
    assert time.process_time() - start < 3
    assert len(str(error.value)) < 2000  # whatever is in the file


def changed(file, **arrays):
    """A file with other tensors, `W__data` being W.data."""
    header, all_arrays = tensors(*unpacked(file))
    return packed_tensors(header, all_arrays | {
        name.replace("__", "."): array for name, array in arrays.items()})


def put(file, *keys):
    """A file with another value, the last of the keys, in the JSON."""
    about = about_of(file)
    inner = about
    for key in keys[:-2]:
        inner = inner[key]
    inner[keys[-2]] = keys[-1]
    return with_text(file, json.dumps(about))


# ---- reservoirs ----

def falling(indptr, count):
    """What corrupted the heap in 0.1: SciPy does not look whether the numbers fall."""
    return np.array([0, 20_000, *[0] * (len(indptr) - 2)], indptr.dtype)


INDPTR = {
    "falling": falling,
    "falling to the right end": lambda p, n: np.array([0, 20_000, *[n] * (len(p) - 2)], p.dtype),
    "negative": lambda p, n: np.array([0, -5, *p[2:]], p.dtype),
    "not from 0": lambda p, n: np.array([1, *p[1:]], p.dtype),
    "beyond the weights": lambda p, n: np.array([*p[:-1], n + 1], p.dtype),
    "before the last weight": lambda p, n: np.minimum(p, n - 1),
    "one too short": lambda p, n: p[:-1],
    "one too long": lambda p, n: np.append(p, p[-1:]),
    "empty": lambda p, n: p[:0],
    "two axes": lambda p, n: p[None],
    "too large for 32 bits": lambda p, n: p.astype(np.int64) + 2**32,
    "unsigned": lambda p, n: p.astype(np.uint64),
    "floats": lambda p, n: p.astype(np.float32),
}


def opening_of(name):
    return fastrnn.EchoStateNetwork.load if name.startswith("echo") else fastrnn.load


@pytest.mark.parametrize("kind", INDPTR)
@pytest.mark.parametrize("name", ["echo", "echo_flat", "reservoir"])
def test_rows_of_a_reservoir(good, path, name, kind):
    prefix = "reservoir__" if name == "reservoir" else ""
    arrays = tensors(*unpacked(good[name]))[1]
    indptr = arrays[f"{prefix}W__indptr".replace("__", ".")]
    new = INDPTR[kind](indptr, int(indptr[-1]))
    refused(path, changed(good[name], **{f"{prefix}W__indptr": new}), "W", opening_of(name))
    if kind == "falling":  # without weights nothing else looks wrong
        refused(path, changed(good[name], **{
            f"{prefix}W__indptr": new, f"{prefix}W__data": np.zeros(0, np.float32),
            f"{prefix}W__indices": np.zeros(0, np.int32)}), "never fall", opening_of(name))


@pytest.mark.parametrize("column", [-1, 10, 2**31 - 1, -2**31])
def test_columns_of_a_reservoir(good, path, column):
    indices = tensors(*unpacked(good["echo"]))[1]["W.indices"].copy()
    indices[3] = column
    refused(path, changed(good["echo"], W__indices=indices), "columns from 0 to 9",
            fastrnn.EchoStateNetwork.load)
    refused(path, changed(good["echo"], W__indices=indices.astype(np.int64) + 2**32),
            "columns", fastrnn.EchoStateNetwork.load)
    refused(path, changed(good["echo"], W__indices=indices[:-1]), "CSR",
            fastrnn.EchoStateNetwork.load)


@pytest.mark.parametrize("name", ["W.data", "Win", "b", "Wfb", "Wout"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_of_a_reservoir(good, path, name, value):
    array = tensors(*unpacked(good["echo"]))[1][name].copy()
    array.flat[0] = value
    refused(path, changed(good["echo"], **{name.replace(".", "__"): array}), "finite",
            fastrnn.EchoStateNetwork.load)


def test_a_reservoir_with_indices_of_64_bits_is_a_good_one(good, path):
    arrays = tensors(*unpacked(good["echo"]))[1]
    path.write_bytes(good["echo"])
    first = fastrnn.EchoStateNetwork.load(path)
    path.write_bytes(changed(good["echo"], W__indices=arrays["W.indices"].astype(np.int64),
                             W__indptr=arrays["W.indptr"].astype(np.int64)))
    x = np.ones((20, 2))
    assert np.array_equal(fastrnn.EchoStateNetwork.load(path).predict(x), first.predict(x))


@pytest.mark.parametrize(("keys", "match"), [
    (("inputs", 0), "Wout"), (("inputs", -1), "inputs"), (("inputs", 2.0), "inputs"),
    (("inputs", 10**9), "Wout"),
    (("fed_back", 1), "Wfb"), (("fed_back", -2), "fed_back"), (("flat", 1), "flat"),
    (("flat", "no"), "flat"), (("parameters", "start", "one"), "start"),
    (("parameters", "warmup", -1), "warmup"), (("parameters", "warmup", 10**6), "warmup"),
    (("parameters", "units", 10**9), "Wout"), (("parameters", "feedback", False), "Wfb"),
    (("parameters", "leak_rate", 0), "leak_rate"), (("parameters", "leak_rate", "1"), ""),
    (("parameters", "surprise", 1), "surprise"), (("parameters", None), ""),
])
def test_values_of_an_echo_state_network(good, path, keys, match):
    if keys == ("parameters", "leak_rate", "1"):  # a number as a text is that number
        path.write_bytes(put(good["echo"], "echo_state_network", *keys))
        assert fastrnn.EchoStateNetwork.load(path).predict(np.ones((5, 2))).shape == (5, 2)
        return
    refused(path, put(good["echo"], "echo_state_network", *keys), match,
            fastrnn.EchoStateNetwork.load)


# ---- the layout of a file ----

def header_of(file):
    text, data = unpacked(file)
    return json.loads(text), data


@pytest.mark.parametrize("change", [
    {"shape": [2**62, 4]}, {"shape": [2**32, 2**32]}, {"shape": [-4]}, {"shape": [4.0]},
    {"shape": [True, 4]}, {"shape": ["4"]}, {"shape": None}, {"shape": []}, {"shape": [1] * 40},
    {"shape": [0, 2**62]}, {"shape": [2**62, 0]}, {"dtype": "F16"}, {"dtype": "X"},
    {"dtype": None}, {"dtype": []}, {"data_offsets": [0, 8]}, {"data_offsets": [-16, 0]},
    {"data_offsets": [0.0, 16]}, {"data_offsets": [16, 0]}, {"data_offsets": [0, 2**63]},
    {"data_offsets": [2**70, 2**70 + 16]}, {"data_offsets": []}, {"data_offsets": None},
])
def test_entries_of_the_header(good, path, change):
    header, contents = header_of(good["plain"])
    first = min((n for n in header if n != "__metadata__" and header[n]["data_offsets"][1] > 0),
                key=lambda n: header[n]["data_offsets"])
    header[first] |= change
    refused(path, packed(header, contents))


def test_tensors_that_overlap_or_leave_gaps(good, path):
    header, contents = header_of(good["plain"])
    end = len(contents)
    for start, stop in ((0, 16), (end - 16, end), (end + 4, end + 20)):
        more = header | {"zz": {"dtype": "F32", "shape": [4], "data_offsets": [start, stop]}}
        refused(path, packed(more, contents + bytes(max(0, stop - end))))
    refused(path, packed(header, contents + bytes(8)))
    refused(path, packed(header, b"\0" + contents))


def test_an_empty_tensor_of_an_endless_shape(good, path):
    """2^62 x 0 numbers are none, but NumPy has no such array."""
    header, contents = header_of(good["plain"])
    end = len(contents)
    for shape in ([2**62, 0], [0, 2**63], [2**31, 0, 2**40]):
        more = header | {"zz": {"dtype": "F32", "shape": shape, "data_offsets": [end, end]}}
        path.write_bytes(packed(more, contents))
        try:
            fastrnn.load(path)  # NumPy may have it after all: then it is not looked at
        except ValueError as error:
            assert "hostile.safetensors" in str(error)


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_that_lies_about_its_length(good, path, length):
    refused(path, struct.pack("<Q", length) + good["plain"][8:], "not a safetensors file")


def test_numbers_that_are_not_aligned(good, path):
    """Other programs write such files; the arrays are copies, and these are aligned."""
    path.write_bytes(good["classic"])
    expected = fastrnn.load(path).block
    for blanks in range(1, 9):
        text, contents = unpacked(good["classic"])
        path.write_bytes(packed(text + b" " * blanks, contents))
        assert np.array_equal(fastrnn.load(path).block, expected)


# ---- JSON ----

@pytest.mark.parametrize("text", [
    "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000, '{"format_version": 1e999}',
    '{"format_version": NaN}', '{"format_version": -Infinity}', '{"format_version": ' + "5" * 6000,
    '{"format_version": ' + "5" * 6000 + "}", '{"format_version": 0.' + "5" * 6000 + "}",
    '{"format_version": 6, "format_version": 6}', '"' * 100_001, '"' + "\\" * 100_001,
    '{"format_version": 6} x', "", "\ud800",
], ids=lambda text: text[:25])
def test_json_that_is_none_or_too_much(good, path, text):
    refused(path, with_text(good["plain"], text))


def test_the_header_as_json_that_is_none_or_too_much(path):
    for text in (b"[" * 10**6, b'{"a":' * 10**5, b'{"__metadata__": {"fastrnn": "\xff"}}', b"[]",
                 b'{"__metadata__": {}, "__metadata__": {"fastrnn": "{}"}}', b"{" * 9, b'"' * 9999,
                 b'{"\\ud800": 5}', b"\xff\xfe{}", b"{}" + b"\0" * 99):
        refused(path, packed(text, b""))


def test_a_key_that_comes_twice(good, path):
    """Programs differ in which of the two they take."""
    about = json.dumps(about_of(good["plain"]))
    inner = about.replace('"model": {', '"model": {"cell": "lstm", ', 1)
    assert inner != about
    refused(path, with_text(good["plain"], inner), "twice")
    refused(path, with_text(good["plain"], about.replace("{", '{"model": 5, ', 1)), "twice")


# what would be many times as large in memory, as a text of so many bytes
LARGE = {
    "lists": lambda n: "[" + "[]," * (n // 3) + "0]",
    "objects": lambda n: "[" + "{}," * (n // 3) + "0]",
    "numbers": lambda n: "[" + "777," * (n // 4) + "0]",
    "fractions": lambda n: "[" + "0.5," * (n // 4) + "0]",
    "texts": lambda n: json.dumps(["中国"] * (n // 8), ensure_ascii=False).replace(" ", ""),
    "keys": lambda n: "{" + ",".join(f'"{i}":1' for i in range(n // 9)) + "}",
}


def peak_of(path):
    """Bytes that Python and NumPy take at most to refuse a file."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="hostile.safetensors"):
            fastrnn.load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", LARGE)
def test_memory_is_bounded_by_the_file(good, path, kind):
    large = LARGE[kind](2_000_000)
    about = about_of(good["plain"]) | {"x": 0}
    start, end = json.dumps(about).split('"x": 0')
    path.write_bytes(with_text(good["plain"], f'{start}"x": {large}{end}'))
    assert peak_of(path) < 10 * path.stat().st_size
    path.write_bytes(packed(f'{{"__metadata__": {{"fastrnn": "{{}}"}}, "x": {large}}}'.encode(),
                            b""))
    assert peak_of(path) < 10 * path.stat().st_size


def test_memory_for_symbols_without_parameters(good, path):
    """Each symbol takes 200 bytes, so the tensors are looked at first."""
    header, arrays = tensors(*unpacked(good["plain"]))
    symbols = [chr(0x4E00 + i) for i in range(60_000) if not 0xD800 <= 0x4E00 + i < 0xE000]
    arrays["zz"] = np.zeros(len(symbols), np.float32)
    file = put(packed_tensors(header, arrays), "vocabulary", "symbols", symbols)
    path.write_bytes(file)
    assert peak_of(path) < 10 * len(file)


def test_memory_for_the_last_code_point(path):
    """Its table of ids has 4 MB, and there is no larger code."""
    fastrnn.Model(Vocabulary("a\U0010ffff"), hidden_size=2).save(path)
    assert fastrnn.load(path).sample(5, seed=1).strip("a\U0010ffff") == ""
    assert fastrnn.load(path).vocabulary._table.nbytes == 4 * (0x10FFFF + 2)


def test_sizes_that_no_memory_has(good, path):
    for name, size in (("hidden_size", 10**9), ("hidden_size", 46_341), ("embedding_size", 10**9),
                       ("num_layers", 32), ("num_layers", 10**9), ("labels", [*"ab"] + ["x"] * 9),
                       ("labels", [str(i) for i in range(9000)])):
        refused(path, put(good["words"], "model", name, size))
    for name, size in (("input_symbols", 10**9), ("output_symbols", 2**31 - 1)):
        refused(path, put(good["symbols"], "sizes", name, size))
    for name in ("batch_size", "seq_length"):
        for size in (10**9, 2**31 - 1):
            refused(path, put(good["validated"], "trainer", "config", name, size), opening=resuming(
                sources()["char"]))
    for name in ("classic", "labels"):
        refused(path, put(good[name], "trainer", "config", "sample_length", 2**31 - 1),
                "sample_length")


# ---- what good files have and hostile ones have not ----

def resuming(source):
    return lambda path: fastrnn.Trainer.from_checkpoint(path, source, progress=False)


@pytest.mark.parametrize(("keys", "match"), [
    (("counters", "update", 13), "13"), (("counters", "update", -1), "update"),
    (("counters", "update", 12.0), "update"), (("counters", "epoch", 2), "epoch 2"),
    (("counters", "epoch", 10**9), "counters"), (("counters", "position", 20), "position 20"),
    (("counters", "position", -5), "position"), (("counters", "position", 2**62), "position"),
    (("counters", "best_update", 11), "best loss"), (("counters", "best_update", 13), "counters"),
    (("counters", "best_update", 0), "best loss"), (("counters", "best_loss", None), "best loss"),
    (("counters", "best_loss", -1.0), "best loss"), (("counters", "smooth_loss", None), "smooth"),
    (("counters", None), ""), (("generator", "bit_generator", "MT19937"), "PCG64"),
    (("generator", "state", "state", 2**128), "state"),
    (("generator", "state", "state", -1), "state"), (("generator", "state", "inc", 0.5), "inc"),
    (("generator", "has_uint32", 2), "has_uint32"), (("generator", "uinteger", 2**32), "uinteger"),
    (("generator", "more", 1), "PCG64"), (("generators", []), ""), (("generators", [1]), ""),
    (("order_seed", 2**63), "order_seed"), (("order_seed", -1), "order_seed"),
    (("seconds", -1), "seconds"),
    (("over", "yes"), "over"), (("initial", 2**32), "initial"), (("initial", "x"), "initial"),
    (("rate_factor", 0), "rate_factor"), (("isa", "\x1b]0;title\7"), "instruction set"),
    (("isa", 5), "instruction set"), (("text", "name", 5), "name"), (("text", []), ""),
])
def test_values_of_a_run(good, path, data, keys, match):
    refused(path, put(good["validated"], "trainer", *keys), match, resuming(data["validated"]))


def test_seconds_as_a_text_are_a_number(good, path, data):
    path.write_bytes(put(good["records"], "trainer", "seconds", "7.5"))
    trainer = resuming(data["records"])(path)
    assert trainer.seconds == 7.5
    trainer.run(updates=1)


@pytest.mark.parametrize("at", [[4, 4, 12], [8, 4, 12], [4, 8, 13], [-4, 8, 12], [4, 8, 2**62]])
def test_updates_of_the_validations(good, path, at):
    """They rise, and lie within the run."""
    refused(path, changed(good["validated"], history__valid_updates=np.array(at)), "validations")


def test_digests_and_counts(good, path):
    known = tensors(*unpacked(good["labels"]))[1]["known"]
    refused(path, changed(good["labels"], known=known[::-1].copy()), "digests")
    starts = tensors(*unpacked(good["classic"]))[1]["starts"]
    for value in (np.nan, np.inf, -1, 0.5, 1e300):
        starts = starts.copy()
        starts[0] = value
        refused(path, changed(good["classic"], starts=starts), "starts")
    counts = tensors(*unpacked(good["labels"]))[1]["label_counts"]
    for wrong in (np.full_like(counts, -1), counts + 0.5, np.append(counts, 1), counts[:, None],
                  counts.astype("float32"), np.full_like(counts, np.nan)):
        refused(path, changed(good["labels"], label_counts=wrong), "label_counts")
    refused(path, changed(good["classic"], label_counts=np.ones(2)), "label_counts")


def test_the_length_of_a_window_beyond_all_numbers(good, path):
    """Whole numbers of Python have no limit, and NumPy's have one."""
    path.write_bytes(put(good["bytes"], "history", "seq_length", 10**29))
    assert "training loss" in repr(fastrnn.load(path).history)
    for length in (10**49, 10**400):
        refused(path, put(good["bytes"], "history", "seq_length", length))


def test_an_embedding_of_an_echo_state_network(good, path):
    refused(path, put(good["reservoir"], "model", "embedding_size", 1), "embedding_size")


@pytest.mark.parametrize("change", [
    {"symbols": [*"aab"]}, {"symbols": "abc"}, {"symbols": [*range(12)]}, {"symbols": {}},
    {"symbols": None}, {"unit": "word"}, {"unit": []}, {"unit": "byte"}, {"start": "a"},
    {"start": "a", "stop": None}, {"start": "zz", "stop": "a"}, {"start": [], "stop": []},
    {"start": None, "stop": "a"}, {"unknown": "a"}, {"more": 1},
], ids=str)
def test_vocabularies(good, path, change):
    vocabulary = about_of(good["classic"])["vocabulary"]
    refused(path, put(good["classic"], "vocabulary", vocabulary | change))


def test_a_lone_surrogate_is_a_symbol(path, tmp_path):
    """Python has texts with them, and so have their models."""
    corpus = fastrnn.Corpus.from_text("ab\ud800" * 50)
    fastrnn.train(corpus, preset="classic", updates=2, hidden_size=3, checkpoint=path,
                  progress=False)
    assert fastrnn.load(path).vocabulary.symbols == ("a", "b", "\ud800")


def test_many_generators_are_no_attack(path):
    """A large batch with dropout has one for every few streams."""
    many = fastrnn.Sequences(np.zeros((90_000, 1, 1)), np.zeros((90_000, 1, 1)))
    model = fastrnn.Model(many.sizes, hidden_size=1, dropout=0.5)
    trainer = fastrnn.Trainer(model, many, batch_size=90_000, progress=False)
    trainer.save(path)
    assert len(about_of(path.read_bytes())["trainer"]["generators"]) > 2000
    assert resuming(many)(path).update == 0


# ---- what is said about it ----

def test_a_long_name_is_not_compared_and_not_shown_whole(good, path):
    """To look for similar names takes a time that grows with the square of the length."""
    long = "hidden_sise" * 200_000
    refused(path, put(good["plain"], "model", "cell", long))
    refused(path, put(good["plain"], "model", long, 1))
    refused(path, put(good["classic"], "trainer", "config", long, 1))
    refused(path, put(good["classic"], "trainer", "text", "name", long), opening=resuming(
        fastrnn.Corpus.from_text("another text " * 9)))
    refused(path, put(good["echo"], "echo_state_network", "parameters", {"dtype": long}),
            opening=fastrnn.EchoStateNetwork.load)
    for word in ("!" * 300_000, "a" * 300_000, "\\" * 300_000):
        refused(path, put(good["words"], "vocabulary", "symbols", 0, word))


@pytest.mark.parametrize("keys", [
    ("config", {}), ("config", "minutes"), ("config", "updates"), ("counters", "epoch"),
    ("counters", "position"), ("text", {}), ("text", "name"), ("counters", {}),
], ids=str)
def test_info_of_a_file_with_missing_parts(good, path, capsys, keys):
    about = about_of(good["classic"])
    if keys[1]:
        del about["trainer"][keys[0]][keys[1]]
    else:
        about["trainer"][keys[0]] = {}
    path.write_bytes(with_text(good["classic"], json.dumps(about)))
    for command in (["info"], ["info", "--toml"], ["sample"]):
        assert cli.main([command[0], str(path), *command[1:]]) == 2
        assert re.search("fastrnn: error: .*hostile.safetensors' is a damaged checkpoint",
                         capsys.readouterr().err)


@pytest.mark.parametrize("text", [
    "a = " + "[" * 100_000, "a = " + "1" * 6000, "hidden-size = 5", "hidden_size" * 10**5 + " = 5",
    "learning_rate = 1" + "0" * 400, "hidden_size" + ".a" * 900 + " = 1", "learning_rate = nan",
    "hidden_size = 1979-05-27", " " * 50_000 + "\nhidden_size = -1", "[hidden_size]\nx = 1",
    "a = '\0'",
], ids=lambda text: text[:20])
def test_a_hostile_configuration_file(tmp_path, capsys, text):
    config = tmp_path / "hostile.toml"
    config.write_text(text)
    start = time.process_time()
    assert cli.main(["train", __file__, "--config", str(config)]) == 2
    assert time.process_time() - start < 3
    assert "hostile.toml" in capsys.readouterr().err
