"""Tables: which separator, whether the first row is a header, which columns."""
import csv
import warnings

import numpy as np
import pytest

from fastrnn import Corpus
from fastrnn.cli import main


@pytest.fixture
def read(tmp_path):
    """Texts and labels of a table, and the warnings."""
    path = tmp_path / "table.csv"

    def read(data, *arguments, **settings):
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            corpus = Corpus.from_table(path, *arguments, **settings)
        texts = [corpus.vocabulary.decode(ids[1:-1]) for ids in corpus.pieces()]
        records = corpus.records
        labels = (None if records.labels is None else
                  [records.names[c] for c in records.labels])
        read.told = [str(warning.message) for warning in told]
        return texts, labels

    return read


# ---- header ----

@pytest.mark.parametrize("data", [
    "name,country\nAnna,Poland\nJohn,Spain\n",
    '\ufeff"Name";"Country"\r\n"Anna";"Poland"\r\n"John";"Spain"\r\n',
    "\n\n First Name \t Country \nAnna\tPoland\n\nJohn\tSpain",
    "text,label,\nAnna,Poland,\nJohn,Spain,\n",
])
def test_usual_names_are_a_header(read, data):
    assert read(data) == (["Anna", "John"], ["Poland", "Spain"])
    assert read.told == []
    assert read(data, header=False)[0][1:] == ["Anna", "John"]
    assert read(data, header=True)[0] == ["Anna", "John"]


def test_numbers_below_a_word_show_a_header(read):
    """Whatever the words are; and a first row with a number is a record."""
    assert read("said,points\nfine,3\nawful,1\nfine too,3\n") == (
        ["fine", "awful", "fine too"], ["3", "1", "3"])
    assert read("key,what,mood\n1,hello,good\n2,go,bad\n", (1, 2)) == (["hello", "go"],
                                                                      ["good", "bad"])
    assert read("fine,5\nawful,1\nbad,1\n")[0] == ["fine", "awful", "bad"]
    assert read("one,x\ntwo,3\n")[0] == ["one", "two"]  # one number is no column of numbers
    assert read("fine,5\nok,2\nawful,1\nbad,1\ngood,2\n")[1] == ["5", "2", "1", "1", "2"]
    assert read.told == []


def test_a_label_of_its_own_is_a_header(read):
    """The labels below repeat, the first stands nowhere else: with a warning."""
    rows = "I agree,pro\nnever,con\nof course,pro\nno,con\n"
    assert read("phrase of it,stance\n" + rows)[1] == ["pro", "con", "pro", "con"]
    assert "'phrase of it', 'stance', is taken as its header" in read.told[0]
    assert "header=False makes it a record" in read.told[0] and len(read.told) == 1
    assert read("name,of whom\nAda,x\nBob,y\n")[0] == ["Ada", "Bob"] and len(read.told) == 1
    assert read("name\nAda\nBob\n", 0)[0] == ["Ada", "Bob"] and len(read.told) == 1
    assert read("name\nAda\nname\n", 0)[0] == ["name", "Ada", "name"] and read.told == []
    for settings, count in (({"header": True}, 4), ({"header": False}, 5)):
        assert len(read("phrase of it,stance\n" + rows, **settings)[0]) == count
        assert read.told == []
    assert len(read("maybe,con\n" + rows)[0]) == 5 and read.told == []
    assert len(read("no,stance\n" + rows)[0]) == 5 and read.told == []  # a text that repeats
    assert len(read("I do not know.,none\n" + rows)[0]) == 5  # a sentence
    long = "a text of more than forty characters is not a name"
    assert len(read(f"{long},none\n" + rows)[0]) == 5 and read.told == []


@pytest.mark.parametrize("data", ["Ada,x\nBob,y\nCarl,y\n", "x,label\nBob,y\nCarl,z\n",
                                  "Ada,unsure\nBob,y\nCarl,y\nDora,z\n"])
def test_an_unclear_first_row_is_a_record_and_told(read, data):
    assert len(read(data)[0]) == data.count("\n")
    assert "is taken as a record: header=True makes it its header" in read.told[0]
    assert len(read(data, header=True)[0]) == data.count("\n") - 1 and read.told == []


def test_nothing_speaks_for_a_header(read):
    assert read("Anna,Poland\nJohn,Spain\nEva,Italy\n")[0] == ["Anna", "John", "Eva"]
    assert read("only,one\n") == (["only"], ["one"])
    assert read.told == []
    with pytest.raises(ValueError, match=r"no row but its header, \['text', 'label'\]: header=F"):
        read("text,label\n")
    assert read("text,label\n", header=False) == (["text"], ["label"])
    with pytest.raises(ValueError, match="header must be True, False or None, not 'yes'"):
        read("a,b\n", header="yes")
    with pytest.raises(ValueError, match="leave header=False out"):
        read("a,b\nc,d\n", "a", header=False)
    with pytest.raises(ValueError, match="has 2 columns 'a' in its first row"):
        read("a,a\nc,d\n", ["a"])
    assert read("a,b,a\nc,d,e\nf,g,h\n", "b") == (["d", "g"], None)


def test_columns_that_are_not_the_first_two(read):
    """A header with a column of texts that is not the first, read with the default columns."""
    for data in ("label,text\npos,a\nneg,b\n", "id,text,label\n1,a,pos\n2,b,neg\n"):
        assert len(read(data)[0]) == 2
        assert len(read.told) == 1 and "give the columns to read 'text'" in read.told[0]
        assert read(data, ("text", "label")) == (["a", "b"], ["pos", "neg"])
        assert read.told == []
    read("text,comment\na,x\nb,y\n")
    assert read.told == []


# ---- separator ----

@pytest.mark.parametrize(("sign", "quotes"), [(",", True), (";", False), ("\t", False),
                                              ("|", False)])
def test_the_separator_is_found_over_all_rows(read, sign, quotes):
    """Texts with the other signs, in some rows."""
    texts = ["Hello, you there", "Go", "a; b, c", "x | y", "no"]
    texts = [text for text in texts if quotes or sign not in text]
    rows = [f'"{text}"' if quotes else text for text in texts]
    data = "\n".join(f"{row}{sign}{'ab'[n % 2]}" for n, row in enumerate(rows))
    assert read(data) == (texts, ["a", "b", "a", "b", "a"][: len(texts)])
    assert read(data, separator=sign)[0] == texts


def test_a_semicolon_table_with_a_comma_in_each_text(read):
    assert read("Hello, you;polite\nGo, now;rude\n") == (["Hello, you", "Go, now"],
                                                         ["polite", "rude"])
    with pytest.raises(ValueError, match="between commas line 1 has 2 columns, as all rows have; "
                                         "between semicolons line 1 has 2.*give separator=\",\" "
                                         'or separator=";"'):
        read("1,5;x\n2,5;y\n")
    assert read("1,5;x\n2,5;y\n", separator=";") == (["1,5", "2,5"], ["x", "y"])
    assert read("1,5;x\n2,5;y\n", separator="semicolon")[0] == ["1,5", "2,5"]
    assert read("a,b\tc,d\ne,f\tg,h\n")[0] == ["a,b", "e,f"]  # a tab is no part of a text
    assert read("a,b;w\nz,y;v\n", separator="comma", columns=0)[0] == ["a", "z"]
    assert read("a,b\tw\nz,y\tv\n", separator="tab")[0] == ["a,b", "z,y"]
    assert read("price;a,b\n1,5;x\n2,5;y\n", ("a,b", "price")) == (["x", "y"], ["1,5", "2,5"])


def test_excel_names_the_separator(read):
    assert read("sep=;\n1,5;x\n2,5;y\n") == (["1,5", "2,5"], ["x", "y"])
    assert read("sep=|\r\na,b|x\r\nc,d|y\r\n")[0] == ["a,b", "c,d"]


def test_rows_of_different_lengths(read):
    with pytest.raises(ValueError, match="line 2 of table.csv has 3 columns and line 1 has 2: put "
                                         "a field that has the separator ',' into quotes"):
        read("Go away,rude\nHello, you there,polite\n")
    with pytest.raises(ValueError, match="line 2 of table.csv has 2 columns and line 1 has 3"):
        read("Hello, you there,polite\nGo away,rude\n", separator=",")
    with pytest.raises(ValueError, match="commas line 1 has 3 columns, line 2 2; between semic"):
        read("Hello, you; there,polite\nGo away,rude\n")
    assert read("text,label,note\nAda,x,first\nBob,y\n")[1] == ["x", "y"]  # a header says how many
    with pytest.raises(ValueError, match="line 3 of table.csv has 3 columns and line 1 has 2"):
        read("text,label\nAda,x\nBob, too,y\n")
    with pytest.raises(ValueError, match="line 3 of table.csv has 1 columns, and column 2 is n"):
        read("text,label\nAda,x\nBob\n")
    # blank fields at the end, and rows of nothing else, as spreadsheets write them
    assert read("Ada,x,,\nBob,y\nEva,z,\n,,\n , \n")[0] == ["Ada", "Bob", "Eva"]


def test_quotes(read, tmp_path):
    texts = ['say "hi", twice', "two\nlines; here", "a|b\tc", " ", "end"]
    path = tmp_path / "written.csv"
    for sign, quoting in ((",", csv.QUOTE_MINIMAL), (";", csv.QUOTE_ALL), ("|", csv.QUOTE_ALL),
                          ("\t", csv.QUOTE_ALL), ("\t", csv.QUOTE_MINIMAL)):
        with open(path, "w", newline="") as file:
            csv.writer(file, delimiter=sign, quoting=quoting).writerows(
                [text, label] for text, label in zip(texts, "xyxyx", strict=True))
        found = read(path.read_bytes())[0]
        assert found == [text for text in texts if text.strip()], (sign, quoting)
    assert read('"good" he said\tx\nshe "left"\ty\n')[0] == ['"good" he said', 'she "left"']
    assert read('"well\tx\nno"\ty\n')[0] == ['"well', 'no"']
    with pytest.raises(ValueError, match="line 1 of table.csv is no row of a table"):
        read('"Yes" she said,x\n')


def test_long_fields(read):
    """The csv module refuses fields above 131,072 characters, unless its limit is raised: it stays
    what it was."""
    before = csv.field_size_limit()
    chapter = "so they went on, and on " * 6100
    for data in (f'"{chapter}",long\nshort,short\n', f"{chapter}\tlong\nshort\tshort\n",
                 f"text\n{chapter}\nshort\n"):
        columns = 0 if data.startswith("text") else (0, 1)
        assert read(data, columns)[0] == [chapter.strip(), "short"]
        assert csv.field_size_limit() == before
    with pytest.raises(ValueError):
        read('"a' + "b" * 200_000)
    assert csv.field_size_limit() == before


# ---- one column ----

@pytest.mark.parametrize("columns", ["text", ["text"], ("text", None), 1, [1], np.int64(1)])
def test_one_column_is_learned_without_labels(read, columns):
    data = 'id,text,likes\n1,"good morning, all",3\n2,rain,0\n3,"my ""best"" cup",12\n'
    assert read(data, columns) == (["good morning, all", "rain", 'my "best" cup'], None)
    assert read.told == []


def test_a_table_of_one_column(read):
    data = 'text\n"good morning, all"\nrain; again\n\n"two\nlines"\n'
    expected = ["good morning, all", "rain; again", "two\nlines"], None
    for columns in ("text", 0):
        assert read(data, columns) == expected
    assert read('"text"\nAda\nBob, too\n', "text")[0] == ["Ada", "Bob, too"]
    assert read('text\n"Yes" she said\nno\n', "text")[0] == ['"Yes" she said', "no"]
    assert read("Ada\nBob\n", 0) == (["Ada", "Bob"], None)
    assert read("first, last\nAda, L\n", "first, last")[0] == ["Ada, L"]
    with pytest.raises(ValueError, match="fewer than 2 columns.*without labels, columns=0"):
        read(data)
    with pytest.raises(ValueError, match="no column 'texts' in its first row"):
        read(data, "texts")


# ---- the command line ----

SMALL = ["train", "--cell", "rnn", "--hidden-size", "4", "--updates", "2", "--valid-fraction", "0",
         "--overwrite", "--checkpoint", "m.safetensors"]


@pytest.mark.parametrize(("data", "flags", "said"), [
    ("a,x\nb,y\na b,x\n", ["--no-header"], "3 records with 2 labels"),
    ("a,x\nb,y\na b,x\n", ["--header"], "2 records with 2 labels"),
    ("no,text\n1,ab\n2,ba\n", ["--column", "text"], "2 records"),
    ("no;text\n1;ab\n2;ba\n", ["--column", "1", "--separator", "semicolon"], "2 records"),
    ("text\tlabel\nab\tx\nba\ty\n", ["--separator", "tab"], "2 records with 2 labels"),
])
def test_flags(tmp_path, monkeypatch, capsys, data, flags, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(data)
    assert main([*SMALL, "--table", "t.csv", *flags]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert main(["score", "m.safetensors", "--table", "t.csv", *flags]) == 0


@pytest.mark.parametrize(("data", "flags", "said"), [
    ("1,5;x\n2,5;y\n", [], "give --separator , or --separator ';'"),
    ("ab\ncd\n", [], "without labels, --column 0"),
    ("text,label\n", [], "--no-header reads it as a record"),
    ("a,b\nc,d\n", ["--column", "a", "--columns", "a", "b"], "give one of --column and --columns"),
    ("a,b\nc,d\n", ["--column", "a", "--no-header"], "leave --no-header out"),
])
def test_errors_of_the_command_line(tmp_path, monkeypatch, capsys, data, flags, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(data)
    assert main([*SMALL, "--table", "t.csv", *flags]) == 2
    assert said in capsys.readouterr().err
    assert main([*SMALL, "t.csv", "--header"]) == 2
    assert "--header is for --table" in capsys.readouterr().err


def test_the_note_of_a_header(tmp_path, monkeypatch, capsys):
    """Said in the words of the command line, and the command that repeats the run says it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("Ada,x\nBob,y\nCarl,y\n")
    assert main([*SMALL, "--table", "t.csv"]) == 0
    assert "note: the first row of t.csv, 'Ada', 'x', is taken as a record: --header makes" in (
        capsys.readouterr().err)
    command = [*SMALL[:5], "--minutes", "0.01", *SMALL[7:], "--table", "t.csv", "--no-header"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "train --table t.csv --no-header --repeat m.safetensors" in out and "header" not in err
