"""Coverage-guided fuzzing of the loader, with atheris (libFuzzer):

    pip install ".[fuzz]"
    python tests/fuzz/fuzz_loader.py -max_total_time=300

Options are libFuzzer's. The corpus is made by code at the start, unless a folder is named.
What breaks something is written to a file crash-..., which the same command takes as an argument.
"""
import json
import random
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

PARTS = ("files", "model", "training", "echo", "data", "settings", "validate", "cells", "cli")
with atheris.instrument_imports(include=[f"fastrnn.{part}" for part in PARTS]):
    import fastrnn
    from fastrnn.cli import info

from mutations import CHOICES, about_of, with_text  # noqa: E402
from seeds import seeds  # noqa: E402
from uses import DIVERGED, quiet  # noqa: E402

FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
PATH = str(Path(FOLDER.name) / "changed.safetensors")
SEEDS = seeds(FOLDER.name)
FILES = [seed.data for seed in SEEDS]
LONGEST = 2 * max(map(len, FILES))
# the fingerprint in a file -> the data on which its run goes on
SOURCES = {seed.source.fingerprint(): seed.source for seed in SEEDS if seed.source}


def allowed(call, *arguments, **settings):
    """The result of a call, or None where it refuses; other errors go up to libFuzzer."""
    try:
        return quiet(lambda: call(*arguments, **settings))
    except DIVERGED:
        return None


def one_file(data):
    """Open and use a file that libFuzzer made."""
    Path(PATH).write_bytes(data)
    allowed(fastrnn.EchoStateNetwork.load, PATH)
    model = allowed(fastrnn.load, PATH)
    if model is None:
        return
    allowed(info.run, PATH, True, False)
    allowed(info.run, PATH, False, True)
    if model.vocabulary is not None:
        allowed(model.sample, 3, seed=1, label=(model.config["labels"] or [None])[0])
    run = about_of(data).get("trainer")
    source = SOURCES.get(run["text"]["fingerprint"]) if run else None
    if source is not None:
        trainer = allowed(fastrnn.Trainer.from_checkpoint, PATH, source, progress=False, threads=1)
        if trainer is not None:
            allowed(trainer.run, updates=2)
            trainer.save(f"{PATH}.2")
            fastrnn.load(f"{PATH}.2")


def changed(data, most, seed):
    """libFuzzer's own changes, of all bytes or of the JSON alone, and those of mutations.py."""
    rng = random.Random(seed)
    way = rng.random()
    try:
        if way < 0.4:
            out = rng.choices(*CHOICES)[0](rng, data, FILES)
        elif way < 0.8:
            text = json.dumps(about_of(data)).encode()
            new = atheris.Mutate(text, min(most, len(text) + 200))
            out = with_text(data, new.decode("utf-8", "replace"))
        else:
            out = atheris.Mutate(data, most)
    except Exception:  # what is no file any more has no JSON
        out = atheris.Mutate(data, most)
    return out[:most]


def main():
    warnings.simplefilter("ignore")
    arguments = list(sys.argv)
    if not any(not argument.startswith("-") for argument in arguments[1:]):  # no corpus, no file
        corpus = Path(FOLDER.name) / "corpus"
        corpus.mkdir()
        for seed in SEEDS:
            (corpus / seed.name).write_bytes(seed.data)
        arguments.append(str(corpus))
    for default in (f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=2048"):
        if not any(argument.startswith(default.partition("=")[0]) for argument in arguments):
            arguments.append(default)
    atheris.Setup(arguments, one_file, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
