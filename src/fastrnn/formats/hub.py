"""A model as a folder, in the way of the Hugging Face Hub: `Model.save_pretrained` and
`Model.from_pretrained`."""

import json
import os
import re
from pathlib import Path
from typing import Any

from ..files.store import begins_with, check_writable, replacing
from ..insight.figures import Figures
from ..kernels.build import build_info
from ..model.model import Model
from ..pages import quality, sections
from ..pages.as_markdown import MARK, inline, lines_of
from ..pages.blocks import Block
from ..training.checkpoint import load

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MARKS = MARK.encode(), b'"library_name": "fastrnn"'  # of files that fastrnn wrote
MOST_CONFIG = 10_000_000  # bytes that are read of a config.json
# what YAML and the Hub want to know
HEAD = """---
library_name: fastrnn
tags: [fastrnn, recurrent-neural-network, {cell}]
---
"""
USE = """```python
import fastrnn

model = fastrnn.Model.from_pretrained({name})
{example}
```"""


def save_pretrained(model: Model, directory: str | os.PathLike[str],
                    overwrite: bool = False) -> None:
    """Write model.safetensors, config.json and README.md: what `Model.save_pretrained` does."""
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is a file: name a directory")
    card, config = _card(model, folder.name), _config(model)
    folder.mkdir(parents=True, exist_ok=True)
    ours = {name: overwrite or begins_with(folder / name, *MARKS) for name in (CONFIG, CARD)}
    for name, replaced in ours.items():
        check_writable(folder / name, replaced)
    model.save(folder / WEIGHTS, overwrite=overwrite)
    for name, text in ((CONFIG, json.dumps(config, indent=2) + "\n"), (CARD, card)):
        with replacing(folder / name, ours[name]) as file:
            file.write(text.encode())


def from_pretrained(name: str | os.PathLike[str], revision: str | None = None) -> Model:
    """The model of a folder, or of the Hub: what `Model.from_pretrained` does."""
    folder = Path(name)
    if not folder.exists():
        shown = os.fspath(name)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(shown), re.ASCII):
            raise FileNotFoundError(f"no directory {shown!r}: give one that save_pretrained wrote, "
                                    'or a repository of the Hugging Face Hub, such as "ann/plays"')
        return _checked(_from_hub(str(shown), WEIGHTS, revision),
                        _from_hub(str(shown), CONFIG, revision))
    if not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is a file: give the directory that "
                                 "save_pretrained wrote, or load a file with fastrnn.load")
    if revision is not None:
        raise ValueError(f"revision is for the Hub, and {str(folder)!r} is a directory here: leave "
                         "revision out")
    return _checked(folder / WEIGHTS, folder / CONFIG)


def _from_hub(name: str, file: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ImportError(f"there is no directory {name!r}, and to take it from the Hugging Face "
                          'Hub needs huggingface_hub: pip install "fastrnn[hub]"') from None
    return Path(hf_hub_download(name, file, revision=revision))


def _checked(weights: Path, config: Path) -> Model:
    """The model of a file, whose settings config.json must not contradict."""
    model = load(weights, best=False)
    if not config.is_file():
        return model
    if config.stat().st_size > MOST_CONFIG:
        raise ValueError(f"{str(config)!r} has more than {MOST_CONFIG:,} bytes: it is no "
                         "config.json of fastrnn")
    try:
        stated = json.loads(config.read_text(encoding="utf-8"))["model"]
        other = {key: (stated[key], value) for key, value in _plain(model.config).items()
                 if key in stated and stated[key] != value}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{str(config)!r} is damaged, or not fastrnn's: remove it, or write the "
                         "directory again") from None
    for key, (said, value) in other.items():
        raise ValueError(f"{str(config)!r} says {key}={said!r}, and the model in {WEIGHTS} has "
                         f"{value!r}: the file decides, so write the directory again")
    return model


def _config(model: Model) -> dict[str, Any]:
    """What config.json says; the weights' file has all of it too, but the run's settings."""
    run = model.run
    return {"library_name": "fastrnn", "model_type": "fastrnn",
            "fastrnn_version": build_info()["version"], "model": _plain(model.config),
            "parameters": int(model.block.size), "sizes": str(model.sizes),
            "unit": model.vocabulary.unit if model.vocabulary else None,
            "training": None if run is None else {
                "data": run["text"]["name"], "updates": run["counters"]["update"],
                **_plain(run["config"])}}


def _plain(settings: Any) -> Any:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(dict(settings)))


def _card(model: Model, name: str) -> str:
    """The README.md: what the model is, its losses and settings, a sample, and how to use it."""
    example = ("print(model.sample(500))" if model.vocabulary else
               "model.predict(inputs)          # (N, T, D)")
    figures = Figures(model, None)
    parts: list[tuple[str, list[Block] | None]] = [
        ("The model and its losses", sections.in_short(figures)),
        ("Settings", sections.settings(figures)), ("A sample", quality.sample(figures))]
    lines = [HEAD.format(cell=model.config["cell"]), MARK, "", f"# {inline(name)}", "",
             "A recurrent network trained by fastrnn.", "",
             USE.format(name=json.dumps(name), example=example)]
    for title, blocks in parts:
        lines += ["", f"## {title}", ""] if blocks else []
        for block in blocks or ():
            lines += [*lines_of(block), ""]
    return "\n".join(lines).rstrip() + "\n"


Model.publisher, Model.finder = save_pretrained, from_pretrained
