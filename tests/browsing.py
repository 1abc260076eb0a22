"""What the tests of pages ask of a browser; the fixture `browser` starts it."""
import time
from pathlib import Path


def console(browser):
    """The warnings and errors in the browser's console since the last call: a list of str. What a
    Content-Security-Policy has refused is one of them."""
    mark, found, end = f"mark {time.monotonic_ns()}", [], time.monotonic() + 20
    browser.execute_script("console.info(arguments[0])", mark)
    while not any(mark in entry["message"] for entry in found):  # they come in their order, later
        assert time.monotonic() < end, "the browser's console is silent"
        found += browser.get_log("browser")
    return [entry["message"] for entry in found if entry["level"] in ("WARNING", "SEVERE")]


def open_page(browser, path):
    """Open a file as a page, and assert that it wrote no error to the console."""
    console(browser)  # what an earlier page left
    browser.get(Path(path).resolve().as_uri())
    errors = console(browser)
    assert not errors, errors
    return browser


def look(browser, *, width=1200, height=900, dark=False):
    """Set the size of the window, in CSS points as on a phone (390) or a screen, and light or dark
    colours, for the page that is open and those that are opened later."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
