"""The formats of a report, by the ending of its file."""

import contextlib
import os
from pathlib import Path

from ..files.store import check_writable, replacing
from . import as_markdown, as_pdf
from .as_html import page
from .blocks import Document
from .writing import check_page, is_page, write_page

PAGES = (".html", ".htm")
KINDS = (*PAGES, ".pdf", ".md")


def check(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise ValueError unless a path ends like a report's, ImportError where what its format needs
    is missing, and OSError if it could not be written: before anything is measured."""
    kind = _kind(path)
    if kind in PAGES:
        check_page(path, overwrite)
        return
    if kind not in KINDS:
        end = f", not {kind}" if kind else ""
        raise ValueError(f"{str(Path(path))!r}: a report is written as .html, .pdf or .md{end}")
    if kind == ".pdf":
        as_pdf.printer()
    check_writable(path, overwrite or _is_ours(path))


def write(path: str | os.PathLike[str], document: Document, overwrite: bool = False) -> None:
    """Write a report in the format that the ending names, in Markdown with its charts beside it.
    OSError, with earlier files unchanged, if that cannot be done."""
    match _kind(path):
        case ".pdf":
            _write(path, as_pdf.pdf(document), overwrite)
        case ".md":
            _write_markdown(Path(path), document, overwrite)
        case _:
            write_page(path, page(document), overwrite)


def _kind(path: str | os.PathLike[str]) -> str:
    return os.path.splitext(path)[1].lower()


def _write_markdown(path: Path, document: Document, overwrite: bool) -> None:
    text, charts = as_markdown.markdown(document, path.stem)
    beside = {path.with_name(name): chart for name, chart in charts.items()}
    for name in beside:
        check_writable(name, overwrite or _is_ours(name))
    new = [name for name in beside if not name.exists()]
    try:
        for name, chart in beside.items():
            _write(name, chart.encode(), overwrite)
        _write(path, text.encode(), overwrite)
    except BaseException:
        for name in new:
            with contextlib.suppress(OSError):
                name.unlink()
        raise


def _write(path: str | os.PathLike[str], data: bytes, overwrite: bool) -> None:
    with replacing(path, overwrite or _is_ours(path)) as file:
        file.write(data)


def _is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, a report or a chart of one that fastrnn wrote."""
    if not os.path.isfile(path):
        return False
    if _kind(path) in PAGES:
        return is_page(path)
    data = Path(path).read_bytes()
    mark = as_markdown.MARK.encode()
    match _kind(path):
        case ".pdf":
            return data.startswith(b"%PDF") and data.endswith(as_pdf.MARK)
        case ".md":
            return data.startswith(mark)
        case _:
            return data.startswith(b"<svg") and data.rstrip().endswith(mark)
