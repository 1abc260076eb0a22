"""Pages replace earlier pages, and nothing else."""
import os

import pytest

from fastrnn.html import document
from fastrnn.pages.writing import check_page, is_page, write_page

PAGE = document("t", "<p>new ü</p>")


def test_a_page_replaces_an_earlier_one_and_no_other_file(tmp_path):
    path, other = tmp_path / "a.html", tmp_path / "b.html"
    for _ in range(2):
        check_page(path)
        write_page(path, PAGE)
        assert path.read_text("utf-8") == PAGE and is_page(path)
    other.write_text("<!DOCTYPE html><p>by hand</p>")
    for call in (lambda: check_page(other), lambda: write_page(other, PAGE)):
        with pytest.raises(OSError, match="fastrnn did not write it"):
            call()
    assert other.read_text() == "<!DOCTYPE html><p>by hand</p>"
    check_page(other, overwrite=True)
    write_page(other, PAGE, overwrite=True)
    assert is_page(other) and not is_page(tmp_path / "none.html")
    assert sorted(os.listdir(tmp_path)) == ["a.html", "b.html"]


def test_a_long_title_hides_no_mark(tmp_path):
    write_page(tmp_path / "a.html", document("t" * 5000, "", script="f()"))
    assert is_page(tmp_path / "a.html")


@pytest.mark.parametrize("name", ["a", "a.pdf", "a.html.gz"])
def test_another_ending_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"written as \.html"):
        check_page(tmp_path / name)
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="directory that exists"):
        check_page(tmp_path / "no" / "a.html")
