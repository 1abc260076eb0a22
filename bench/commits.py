"""Commits raced one after another, so that the one that made fastrnn slower shows.

    python bench/commits.py HEAD~1 HEAD
    python bench/commits.py v0.1.0 HEAD~2 HEAD -k lstm --slower 5

Each commit is built in a folder of its own, with the libraries of this interpreter (Cython and
setuptools among them), and raced against the one before it by compare.py, whose options these
are; the races are those of this folder. A wheel per commit: some minutes, or with ccache seconds.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent


def build(commit: str, folder: Path) -> Path:
    """An interpreter that has the commit's fastrnn."""
    source, site, python = folder / "source", folder / "site", folder / "python"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=BENCH.parent, check=True,
                             stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps",
                    "--no-build-isolation", "--target", site, source], check=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


def name_of(commit: str) -> str:
    """Its short hash and title; an unknown commit ends the program with git's message."""
    done = subprocess.run(["git", "log", "-1", "--format=%h %s", commit, "--"], cwd=BENCH.parent,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description="Race each commit against the one before it.",
                                     epilog="Other options are those of compare.py.")
    parser.add_argument("commits", metavar="COMMIT", nargs="+",
                        help="two or more, the oldest first")
    options, more = parser.parse_known_args()
    if len(options.commits) < 2:
        parser.error("give two commits or more")
    names = [name_of(commit) for commit in options.commits]
    status = 0
    with tempfile.TemporaryDirectory() as work:
        pythons = [build(commit, Path(work, str(i))) for i, commit in enumerate(options.commits)]
        for i in range(1, len(pythons)):
            print(f"\n{names[i - 1]}\n-> {names[i]}", flush=True)
            status |= subprocess.run([sys.executable, BENCH / "compare.py", *pythons[i - 1 : i + 1],
                                      *more]).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
