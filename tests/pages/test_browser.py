"""The browser of the other tests: a check that cannot fail would hide errors."""
import pytest
from browsing import console, look, open_page


def test_errors_of_a_page_are_seen(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><title>a</title><p>fine</p>")
    assert open_page(browser, path).title == "a"
    path.write_text("<!doctype html><script>missing()</script>")
    with pytest.raises(AssertionError, match="missing is not defined"):
        open_page(browser, path)
    path.write_text("<!doctype html><meta http-equiv='Content-Security-Policy' "
                    "content=\"default-src 'none'\"><img src='https://example.org/a.png'>")
    with pytest.raises(AssertionError, match="Content.Security.Policy"):
        open_page(browser, path)
    path.write_text("<!doctype html><button onclick='missing()'>b</button>")
    open_page(browser, path).execute_script("document.querySelector('button').click()")
    assert len(console(browser)) == 1 and not console(browser)


def test_width_and_colours_of_a_page(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><meta name='viewport' content='width=device-width'>")
    asked = "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]"
    for width, dark in ((390, True), (1200, False)):
        look(browser, width=width, dark=dark)
        assert open_page(browser, path).execute_script(asked) == [width, dark]
