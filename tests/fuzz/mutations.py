"""Changes to good files: a structured mutator.

A file is 8 bytes with the length of the header, the header, a JSON object of the tensors and of
metadata, and the tensors' data. fastrnn's own JSON is a text among the metadata.
"""
import json
import struct

import numpy as np

DTYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U64": np.uint64}
OTHER_DTYPES = ("F16", "BF16", "BOOL", "U8", "I8", "I16", "F8_E4M3", "F8_E8M0", "C64", "F4",
                "X", "", None, 7, [], {})
LARGE = (2**15, 46341, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 10**9,
         10**18, 10**30, 10**49, 10**60)
SMALL = (0, 1, 2, 3, 5, 7, 64, 100, 999)
FLOATS = (0.0, -0.0, 0.5, 1.0, 1.5, -0.5, 1e308, -1e308, 5e-324, 1e-40, 3.4e38,
          float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "x", "\0", "\ud800", "\U0010ffff", "a" * 3000, "1", "NaN", "rnn", "lstm", "gru", "esn",
         "memory", "float32", "float64", "char", "word", "byte", "adam", "sgd", "cosine",
         "shuffled", "identity", "orthogonal", "mean_squared_error", "PCG64", "MT19937", "<unk>",
         "\x02", "\x1b]0;title\7")
OTHERS = (None, True, False, [], {}, [[]], [None], [0] * 500, [1, 2], ["a", "b"], {"a": 1},
          [*"abcdefghij"], ["a"] * 300, [float("nan")])
KEYS = ("seed", "cell", "start", "stop", "unit", "unknown", "symbols", "hidden_size", "labels",
        "reservoir", "trainer", "sizes", "vocabulary", "state", "x", "__class__",
        "echo_state_network", "valid", "valid_split", "fingerprint", "name")
TENSORS = ("best", "state", "best_state", "history.loss", "history.learning_rate", "optimizer.0",
           "optimizer.1", "layer0.Wx", "layer1.Wx", "layer0.Wc", "embedding.W", "head.b", "starts",
           "label_counts", "known", "scaling.inputs", "scaling.targets", "reservoir.W.data",
           "reservoir.W.indptr", "W.indices", "Wfb", "\ud800", "")
TEXTS_OF_JSON = (
    "", " ", "null", "5", '"x"', "[]", "{}", "{", "[" * 100_000, "[" * 900 + "]" * 900,
    '{"a":' * 5000, "1e999", "-1e999", "NaN", "1" * 6000, "0." + "1" * 6000, "[" + "[]," * 30_000,
    "[" + "1," * 200_000 + "1]", '{"format_version": 5}', '{"format_version": 5, "model": {}}',
    '{"format_version": 1e999}', '{"format_version": [5]}', '"' + "\\" * 3001, '"' * 4000)


def packed(header, data):
    """A file from its header and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def unpacked(file):
    """The header as text, and the data of a file."""
    length = struct.unpack("<Q", file[:8])[0]
    return file[8 : 8 + length], file[8 + length :]


def mutated(rng, files):
    """The index of one of the files, the name of a change, and the file with that change."""
    which = rng.randrange(len(files))
    change = rng.choices(*CHOICES)[0]
    return which, change.__name__, change(rng, files[which], files)


# ---- the bytes ----

def bits(rng, file, files):
    out, header = bytearray(file), 8 + len(unpacked(file)[0])
    for _ in range(rng.choice((1, 1, 1, 2, 8, 30))):
        at = rng.randrange(header) if rng.random() < 0.7 else rng.randrange(len(out))
        out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


def bytes_of_header(rng, file, files):
    """A few characters of the header replaced, removed or doubled."""
    header, data = unpacked(file)
    out = bytearray(header)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(out))
        piece = rng.choice((b"", b"0", b"9", b"-", b'"', b",", b":", b"{", b"]", b"\xff", b"\\",
                            b"e9", b"null", bytes(out[at : at + rng.randrange(40)])))
        out[at : at + rng.choice((0, 1, 1, 2, 20))] = piece
    return packed(bytes(out), data)


def length(rng, file, files):
    wrong = (0, 1, 2, 7, len(file), len(file) - 8, len(file) - 7, 2**31, 2**32 + 9, 2**63,
             2**64 - 1, len(unpacked(file)[0]) + rng.randrange(-20, 20), rng.randrange(3000))
    return struct.pack("<Q", max(0, rng.choice(wrong))) + file[8:]


def cut(rng, file, files):
    if rng.random() < 0.7:
        return file[: rng.randrange(len(file))]
    return file + rng.randbytes(rng.randrange(1, 60))


# ---- the header ----

def entry(rng, file, files):
    """The shape, the dtype or the place of a tensor; a tensor gone, renamed, or two exchanged."""
    text, data = unpacked(file)
    header = json.loads(text)
    name, other = rng.choices([name for name in header if name != "__metadata__"], k=2)
    about = header[name]
    shape, (start, stop) = about["shape"], about["data_offsets"]
    what = rng.randrange(7)
    if what == 0:
        about["shape"] = rng.choice((
            [], [0], [1, *shape], [*shape, 1], shape[::-1], [-1], [*shape, 0], [2**62, 4],
            [2**32, 2**32], [0, 2**63 - 1], [2**64], [1.5], [str(n) for n in shape], [True],
            [stop - start], [1] * 40, [0] * 3000, None, "ab", {"0": 1},
            [float(n) for n in shape]))
    elif what == 1:
        about["dtype"] = rng.choice((*DTYPES, *OTHER_DTYPES))
    elif what == 2:
        about["data_offsets"] = rng.choice((
            [0, 0], [0, 4], [-4, 4], [0, 2**63], [8, 4], [stop, start], [start + 4, stop + 4],
            [start, stop + 8], [start + 1, stop], [], None, [float(start), stop], [start, stop, 0],
            [str(start), stop], [2**70, 2**70], header[other]["data_offsets"]))
    elif what == 3:
        del header[name]
    elif what == 4:
        header[rng.choice(TENSORS)] = header.pop(name)
    elif what == 5:
        header[name], header[other] = header[other], header[name]
    else:
        about[rng.choice(("x", "shape ", "dtype"))] = rng.choice((1, None, "F32", []))
    return packed(header, data)


def many(rng, file, files):
    """Many empty tensors, or an empty one of an unusual shape."""
    text, data = unpacked(file)
    header, end = json.loads(text), len(data)
    for i in range(rng.choice((1, 1, 5, 300))):
        header[f"more{i}"] = {"dtype": rng.choice(("F32", "I64")), "data_offsets": [end, end],
                              "shape": rng.choice(([0], [0, 2**62], [2**31, 0, 2**31], [3, 0]))}
    return packed(header, data)


def twice(rng, file, files):
    """A key twice: in the header, in the entry of a tensor, or in the metadata."""
    text, data = unpacked(file)
    header = json.loads(text)
    name = rng.choice(list(header))
    again = json.dumps({name: header[rng.choice(list(header))]}).encode()[1:-1]
    at = rng.choice([i for i, byte in enumerate(text[:-1]) if byte == ord("{")][:40])
    return packed(text[: at + 1] + again + b"," + text[at + 1 :], data)


def spaces(rng, file, files):
    text, data = unpacked(file)
    blank = rng.choice((b" ", b"\n", b"\t", b"\0", b"\xa0")) * rng.choice((1, 3, 7, 5000))
    return packed(rng.choice((text + blank, blank + text)), data)


# ---- tensors ----

def tensors(text, data):
    """The header and the arrays of a file."""
    header = json.loads(text)
    arrays = {}
    for name, about in header.items():
        if name != "__metadata__":
            start, stop = about["data_offsets"]
            arrays[name] = np.frombuffer(data[start:stop], DTYPES[about["dtype"]]).reshape(
                about["shape"])
    return header, arrays


def packed_tensors(header, arrays):
    """A file from its metadata and arrays."""
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    out, pieces, end = {"__metadata__": header["__metadata__"]}, [], 0
    for name, array in arrays.items():
        out[name] = {"dtype": names[array.dtype], "shape": list(array.shape),
                     "data_offsets": [end, end + array.nbytes]}
        pieces.append(array.tobytes())
        end += array.nbytes
    return packed(out, b"".join(pieces))


def numbers(rng, file, files):
    """Some numbers of a tensor; where they are indices and counts, also their order."""
    header, arrays = tensors(*unpacked(file))
    name = rng.choice([name for name, array in arrays.items() if array.size]
                      + 2 * [name for name, array in arrays.items()
                             if array.size and array.dtype.kind in "iu"])
    array = arrays[name] = arrays[name].copy()
    flat = array.reshape(-1)
    for _ in range(rng.choice((1, 1, 2, 5, flat.size))):
        value = rng.choice(FLOATS if array.dtype.kind == "f" else (*SMALL, *LARGE, -1, -5, -2**31))
        with np.errstate(all="ignore"):
            flat[rng.randrange(flat.size)] = (
                value if array.dtype.kind == "f" else
                np.array(value % 2**64, np.uint64).astype(array.dtype))
    if array.dtype.kind in "iu" and rng.random() < 0.3:
        flat[:] = rng.choice((np.sort(flat), flat[::-1].copy(), np.roll(flat, 1), flat + flat))
    return packed_tensors(header, arrays)


def shaped(rng, file, files):
    """Tensors of other sizes or dtypes, which agree with the header."""
    header, arrays = tensors(*unpacked(file))
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(arrays))
        array = np.atleast_1d(arrays[name])
        arrays[name] = rng.choice((
            array[: len(array) // 2], np.concatenate([array] * 2), array[None], array.reshape(-1),
            array[..., None], array[:0], array.T, array.astype(rng.choice(list(DTYPES.values()))),
            np.zeros(rng.choice(SMALL), array.dtype), np.array(5, array.dtype),
            arrays[rng.choice(list(arrays))]))
    return packed_tensors(header, arrays)


def reservoir(rng, file, files):
    """The arrays of a reservoir's W, changed together, so that some agree with each other."""
    header, arrays = tensors(*unpacked(file))
    found = [name.removesuffix("W.indptr") for name in arrays if name.endswith("W.indptr")]
    if not found or arrays[f"{found[0]}W.indptr"].size < 2:
        return numbers(rng, file, files)
    data, indices, indptr = (f"{found[0]}W.{part}" for part in ("data", "indices", "indptr"))
    kind = arrays[indptr].dtype
    units = arrays[indptr].size - 1
    count = rng.choice((0, 1, units, 4 * units, 5000))
    arrays[data] = np.full(count, rng.choice((0.0, 0.1, 3e38)), np.float32)
    arrays[indices] = np.array([rng.randrange(units) for _ in range(count)], kind)
    ends = sorted(rng.randrange(count + 1) for _ in range(units - 1))
    arrays[indptr] = np.array([0, *ends, count], kind)
    for name in rng.choices((indices, indptr), k=rng.choice((0, 1, 1, 2))):
        if arrays[name].size:
            arrays[name][rng.randrange(arrays[name].size)] = rng.choice(
                (-1, 0, 1, units, units - 1, count, count + 1, 20_000, 2**31 - 1))
    if rng.random() < 0.2:
        arrays[rng.choice((indices, indptr))] = arrays[indices].astype(np.int64)
    return packed_tensors(header, arrays)


# ---- fastrnn's JSON ----

def with_text(file, text):
    """A file with another text as fastrnn's JSON."""
    header, data = unpacked(file)
    header = json.loads(header)
    header["__metadata__"]["fastrnn"] = text
    return packed(header, data)


def about_of(file):
    return json.loads(json.loads(unpacked(file)[0])["__metadata__"]["fastrnn"])


def garbage(rng, file, files):
    text = json.dumps(about_of(file))
    return with_text(file, rng.choice((
        *TEXTS_OF_JSON, text[: rng.randrange(len(text))], text + " x", text + text,
        text.replace("{", "{" + rng.choice(('"model": 1, ', '"a": NaN, ', '"a": 1e999, ')), 1),
        text.replace(": 4", ": 4" + "0" * rng.choice((1, 5, 30, 5000))), 7, None, [text])))


def metadata(rng, file, files):
    header, data = unpacked(file)
    header = json.loads(header)
    header["__metadata__"] = rng.choice((
        None, [], "fastrnn", {}, {"fastrnn": {}}, {"fastrnn ": "{}"}, 5,
        header["__metadata__"] | {"format": "pt"}, header["__metadata__"] | {"x": 1}))
    return packed(header, data)


def places(value, found):
    """All (container, key) of a JSON value; of long lists the first ones."""
    for key in value if isinstance(value, dict) else range(min(len(value), 10)):
        found.append((value, key))
        if isinstance(value[key], dict | list):
            places(value[key], found)
    return found


def another(rng, value):
    """A value in the place of another one: often of the same type."""
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
        return rng.choice((value + 1, value - 1, value * 2, -value, value * 10**6, float(value),
                           str(value), value + 2**32, value + 0.5, value // 2))
    if isinstance(value, list) and value and rng.random() < 0.5:
        return rng.choice((value[:-1], value[1:], value + value[:1], value[::-1], value * 2,
                           value * 50, [value]))
    if rng.random() < 0.04:
        for _ in range(rng.choice((10, 19, 25, 300))):
            value = [value]
        return value
    other = rng.choice(rng.choice((SMALL, LARGE, FLOATS, TEXTS, OTHERS, (-1, -2**31, -2**63))))
    return other.copy() if isinstance(other, list | dict) else other


def values(rng, file, files):
    """One or a few values of the JSON."""
    about = about_of(file)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        found = places(about, [])
        if not found:
            break
        container, key = rng.choice(found)
        what = rng.random()
        if what < 0.1:
            del container[key]
        elif what < 0.17 and isinstance(container, dict):
            container[rng.choice(KEYS)] = another(rng, container[key])
        elif what < 0.22:
            other, name = rng.choice(places(about_of(rng.choice(files)), []))
            container[key] = other[name]
        else:
            container[key] = another(rng, container[key])
        if not about:
            break
    return with_text(file, json.dumps(about))


def part(rng, file, files):
    """A part of the JSON, or all of it, from another file."""
    about, other = about_of(file), about_of(rng.choice(files))
    if rng.random() < 0.2:
        return with_text(file, json.dumps(other))
    name = rng.choice(list(other))
    if name == "trainer" and isinstance(about.get(name), dict) and rng.random() < 0.7:
        inner = rng.choice(list(other[name]))
        about[name][inner] = other[name][inner]
    else:
        about[name] = other[name]
    return with_text(file, json.dumps(about))


def several(rng, file, files):
    """Two or three of the other changes."""
    for _ in range(rng.choice((2, 3))):
        change = rng.choice((numbers, shaped, values, part, reservoir))
        file = change(rng, file, files)
    return file


# a change, and how often it is made beside the others
CHOICES = tuple(zip(*(
    (bits, 8), (bytes_of_header, 6), (length, 2), (cut, 2), (entry, 12), (many, 1), (twice, 2),
    (spaces, 1), (numbers, 12), (shaped, 8), (reservoir, 5), (garbage, 3), (metadata, 1),
    (values, 25), (part, 5), (several, 7)), strict=True))
