"""A browser for the tests of pages."""
import shutil

import pytest


def _first(*names):
    """The path of the first of these programs that is installed; skips the test if none is."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip(f"{names[0]} is missing: apt-get install chromium chromium-driver")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, 1200 x 900 points; what pages write to its console is kept for
    `browsing.console`. Skips the test where selenium, Chromium or its driver is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
    program = _first("chromium", "chromium-browser", "google-chrome")
    driver = _first("chromedriver", "chromium.chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
                     "--window-size=1200,900", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()
