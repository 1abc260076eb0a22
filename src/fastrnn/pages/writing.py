"""Pages as files: written in one step, and over no file but an earlier page."""

import os
from importlib.resources import files
from pathlib import Path

from ..files.store import check_writable, replacing

MARK = b'<meta name="generator" content="fastrnn">'  # html.document writes it
START = 2048  # bytes in which it stands


def check_page(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise ValueError unless a path ends like a page's, and OSError if `write_page` could not
    write it: before the work that makes the page."""
    kind = os.path.splitext(path)[1].lower()
    if kind not in (".html", ".htm"):
        end = f", not {kind}" if kind else ""
        raise ValueError(f"{str(Path(path))!r}: a page is written as .html{end}")
    check_writable(path, overwrite or is_page(path))


def write_page(path: str | os.PathLike[str], page: str, overwrite: bool = False) -> None:
    """Write a page that `html.document` made. OSError, with an earlier file unchanged, if that
    cannot be done, or if fastrnn did not write the earlier one, unless `overwrite`."""
    with replacing(path, overwrite or is_page(path)) as file:
        file.write(page.encode())


def is_page(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, a page that fastrnn wrote."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        start = file.read(START)
    return start.startswith(b"<!DOCTYPE html>") and MARK in start


def script(name: str) -> str:
    """The text of a file of this room, such as "look.js"."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
