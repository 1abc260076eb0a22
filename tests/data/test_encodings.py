"""Files in other encodings than UTF-8, and control characters in a text."""
import codecs
import warnings

import pytest

import fastrnn
from fastrnn import Corpus
from fastrnn.cli import main

TEXT = "Zwölf Boxkämpfer jagen Viktor.\nQuer über den Sylter Deich.\r\n" * 3
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n" * 3
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def text_of(corpus):
    return corpus.vocabulary.decode(corpus.ids)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"

    def file(data):
        path.write_bytes(data)
        return path

    return file


@pytest.mark.parametrize("text", [TEXT, RUSSIAN, "ab", "\ufeff\0b" * 2])
@pytest.mark.parametrize("encoding", ["utf-8", *WIDE])
def test_the_mark_tells_the_encoding(file, encoding, text):
    path = file(("\ufeff" + text).encode(encoding))
    assert text_of(Corpus.from_file(path)) == text
    for given in (encoding, encoding[:6].removesuffix("-"), encoding.upper().replace("-", "_")):
        assert text_of(Corpus.from_file(path, encoding=given)) == text
    with pytest.raises(ValueError, match=f"byte order mark of {encoding}, so it is not cp1252: l"):
        Corpus.from_file(path, encoding="cp1252")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "L1", "mac_roman", "utf-7", *WIDE,
                                      "utf-16", "utf-32", "utf-8", "utf-8-sig"])
def test_a_given_encoding(file, encoding):
    path = file(TEXT.encode(encoding))
    assert text_of(Corpus.from_file(path, encoding=encoding)) == TEXT
    assert text_of(Corpus.from_file(path, "byte", encoding=encoding)) == TEXT  # as UTF-8
    assert len(Corpus.from_file(path, "byte", encoding=encoding)) == len(TEXT.encode())
    path = file("Zoë\rBjörn\r\n".encode(encoding))
    lines = Corpus.from_lines(path, encoding=encoding)
    assert [lines.vocabulary.decode(p[1:-1]) for p in lines.pieces()] == ["Zoë", "Björn"]
    path = file("name;land\rZoë;Österreich\rBjörn;Norge\r".encode(encoding))
    table = Corpus.from_table(path, encoding=encoding)
    assert table.records.names == ("Norge", "Österreich") and len(table.records) == 2


def test_utf_16_without_a_mark_in_either_order(file):
    for text in (TEXT, RUSSIAN):
        for encoding in WIDE:
            path = file(text.encode(encoding))
            assert text_of(Corpus.from_file(path, encoding=encoding[:6])) == text
    with pytest.raises(ValueError, match="is not utf-16: all its bytes are ASCII; leave encoding"):
        Corpus.from_file(file(b"plain text"), encoding="utf-16")


@pytest.mark.parametrize("text", [TEXT, RUSSIAN, "abc\n"])
@pytest.mark.parametrize("encoding", WIDE)
def test_without_a_mark_the_encoding_is_named(file, encoding, text):
    """Also where the bytes are valid UTF-8; never unit="byte"."""
    path = file(text.encode(encoding))
    for read in (Corpus.from_file, Corpus.from_lines, Corpus.from_table):
        with pytest.raises(ValueError, match=f"encoding='{encoding}'") as caught:
            read(path)
        assert "byte\"" not in str(caught.value) and "without a byte order mark" in (
            str(caught.value))
    if text == "abc\n":
        assert text_of(Corpus.from_file(path, encoding="utf-8")) == path.read_bytes().decode()


def test_a_few_nul_characters_are_not_utf_16(file):
    for text in ("a\0b", "abc\0def\0ghi", "long text " * 50 + "\0" * 9 + "\n"):
        assert text_of(Corpus.from_file(file(text.encode()))) == text


@pytest.mark.parametrize(("data", "message"), [
    (TEXT.encode("cp1252"), "byte 0xf6 at byte offset 2; give its encoding, probably "
                            "encoding='cp1252' or encoding='latin-1', or convert the file"),
    ("It’s here".encode("cp1252"), "byte 0x92 at byte offset 2; give its encoding, probably "
                                   "encoding='cp1252', or"),
    (RUSSIAN.encode("cp1251"), "encoding='cp1251'"),
    ("日本語のテキスト。\n".encode("shift_jis"), "encoding='shift_jis'"),
    ("Zoë".encode() + b"\xff and more", "byte 0xff at byte offset 4; before that it is UTF-8: me"),
    ("Zoë and é".encode()[:-1], "at byte offset 9; the file ends within a character: mend"),
    (bytes(range(256)) * 9, "it seems to be no text"),
])
def test_what_is_not_utf_8_gets_advice(file, data, message):
    with pytest.raises(ValueError, match="is not UTF-8") as caught:
        Corpus.from_file(file(data))
    assert message in str(caught.value)


@pytest.mark.parametrize(("encoding", "error", "message"), [
    ("utf-99", ValueError, "must be an encoding that Python knows"),
    ("cp1525", ValueError, "did you mean 'cp12"), ("", ValueError, "not ''"),
    ("a\0b", ValueError, "that Python knows"), ("rot13", ValueError, "'rot13' is none"),
    ("zip", ValueError, "must be an encoding of texts"), ("hex", ValueError, "is none"),
    ("idna", ValueError, "is none"), ("unicode_escape", ValueError, "is none"),
    (8, TypeError, "must be the name of an encoding, such as 'cp1252', not 8"),
    ("ascii", ValueError, "'text.txt' is not ascii: byte 0xc3 at byte offset 2"),
    ("utf-16-le", ValueError, "is not utf-16-le: byte 0x.. at byte offset"),
])
def test_encodings_that_do_not_fit(file, monkeypatch, encoding, error, message):
    monkeypatch.chdir(file("Zwölf".encode() + b"\n" * 8 + b"\xd8").parent)
    for read in (Corpus.from_file, Corpus.from_lines, Corpus.from_table):
        with pytest.raises(error, match=message):
            read("text.txt", encoding=encoding)


def test_bytes_of_utf_16_are_told(file):
    path = file(TEXT.encode("utf-16"))
    with pytest.warns(UserWarning, match="byte order mark of UTF-16-LE.*unit \"char\" its text"):
        corpus = Corpus.from_file(path, "byte")
    assert len(corpus) == len(path.read_bytes())


# ---- control characters ----

SMALL = {"cell": "rnn", "hidden_size": 4, "updates": 1, "progress": False,
         "valid_fraction": 0}


def told(corpus):
    length = {} if corpus.records else {"seq_length": 3}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fastrnn.train(corpus, **SMALL, **length)
    texts = [str(warning.message) for warning in found]
    return [text for text in texts if "control characters" in text]


def test_control_characters_are_told_once_before_training():
    text = "one\rtwo\r\nthree\r" + "\0" * 3 + "\x1b[31mred\x07" + "\u202edne" + "\x9b" * 1200
    (said,) = told(Corpus.from_text(text, name="notes.txt"))
    assert said.startswith("notes.txt has control characters, which the model learns to write: ")
    for part in ("2 of U+000D (carriage return without a line feed), the first at char 3;",
                 f"3 of U+0000 (NUL), the first at char {text.index(chr(0))};",
                 f"1 of U+001B (escape), the first at char {text.index(chr(27))};",
                 "line ends of an old Mac"):
        assert part in said
    assert sum(kind in said for kind in ("bell", "U+202E", "U+009B", "of 2 more")) == 2
    assert text[text.index("\x1b")] not in said
    many = Corpus.from_text("\x9b" * 1200 + "ab", name="notes.txt")
    assert "1,200 of U+009B, the first at char 0: take out" in told(many)[0]


@pytest.mark.parametrize("text", ["tab\tand\r\nline ends\n", "\u200fright\u00a0é\u2028\n"])
def test_harmless_characters_are_not_told(text):
    assert told(Corpus.from_text(text * 3)) == []
    assert told(Corpus.from_records([text.strip(), "more"])) == []  # start and stop are our own
    assert told(Corpus.from_text(text.encode() + b"\0\x1b", "byte")) == []


def test_control_characters_of_records_and_words():
    (said,) = told(Corpus.from_records(["blank", "", "\x1b[0m ab", "b\x1b"]))
    assert "2 of U+001B (escape), the first in '\\x1b[0m ab': take" in said
    (said,) = told(Corpus.from_text("a b a\x07 b c a\x07", "word"))
    assert "2 of U+0007 (bell), the first at word 2: take" in said
    assert told(Corpus.from_text("a\rb\rc\rd\ra", "word")) == []  # line ends between words


# ---- the command line ----

def test_flags(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--cell", "rnn", "--hidden-size", "4", "--updates", "2",
             "--valid-fraction", "0", "--overwrite", "--checkpoint", "m.safetensors"]
    (tmp_path / "latin.txt").write_bytes(TEXT.encode("latin-1"))
    (tmp_path / "t.csv").write_bytes("Zoë,x\nBö,y\n".encode("utf-16-be"))
    assert main(["train", "latin.txt", *small]) == 2
    assert "probably --encoding cp1252 or --encoding latin-1" in capsys.readouterr().err
    assert main(["train", "latin.txt", *small, "--encoding", "latin-1"]) == 0
    assert main(["score", "m.safetensors", "latin.txt", "--encoding", "latin-1"]) == 0
    assert main(["score", "m.safetensors", "latin.txt"]) == 2
    assert main(["train", "--table", "t.csv", *small]) == 2
    assert "give --encoding utf-16-be; --encoding utf-8 reads it" in capsys.readouterr().err
    for source in ("--table", "--records"):
        assert main(["train", source, "t.csv", *small, "--encoding", "utf-16"]) == 0
    capsys.readouterr()
    assert main(["train", "latin.txt", *small, "--encoding", "latin-0"]) == 2
    assert "--encoding must be an encoding that Python knows" in capsys.readouterr().err
    assert main(["train", "--dataset", "pydoc-topics", *small, "--encoding", "utf-8"]) == 2
    assert "--encoding is for FILE" in capsys.readouterr().err
    (tmp_path / "mac.txt").write_bytes(b"roses\rviolets\r")
    assert main(["train", "mac.txt", *small]) == 0
    assert "fastrnn: note: mac.txt has control characters" in capsys.readouterr().err


def test_marks_are_those_of_the_codecs(file):
    """A file as PowerShell and Windows Notepad write it."""
    path = file(codecs.BOM_UTF16_LE + "Zoë\r\nBö\r\n".encode("utf-16-le"))
    assert text_of(Corpus.from_file(path)) == "Zoë\r\nBö\r\n"
    lines = Corpus.from_lines(path)
    assert len(lines.records) == 2 and "\ufeff" not in lines.vocabulary.symbols
