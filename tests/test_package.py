"""What a release consists of, and what its build says where something is missing."""
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytest.importorskip("Cython", reason="needs what the build requires")
pytest.importorskip("setuptools", "77")

ROOT = Path(__file__).resolve().parents[1]
MADE = {"PKG-INFO", "setup.cfg"}  # by setuptools, beside src/fastrnn.egg-info


def setup(*arguments, **environment):
    return subprocess.run([sys.executable, "setup.py", "-q", *map(str, arguments)], cwd=ROOT,
                          env=os.environ | environment, capture_output=True, text=True)


def test_sdist_has_what_git_has(tmp_path):
    """Not what git ignores: texts in data/, compiled files. Files that are new are in both."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True).stdout.split("\n")
    ours = {name for name in listed if (ROOT / name).is_file()}
    done = setup("egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    sdist, = tmp_path.glob("fastrnn-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    assert {name for name in names if ".egg-info/" not in name} - MADE == ours


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize(("compiler", "missing"), [
    (None, "a C compiler"), ('exec cc -nostdinc "$@"', "Python.h"), ("exit 1", "a C compiler")])
def test_a_build_says_what_is_missing(tmp_path, compiler, missing):
    """In two lines: the second has commands. The compiler is absent, has no header files, or does
    not work."""
    if compiler:
        if "cc" in compiler and shutil.which("cc") is None:
            pytest.skip("needs a C compiler")
        script = tmp_path / "compiler"
        script.write_text(f"#!/bin/sh\n{compiler}\n")
        script.chmod(0o755)
    done = setup("build_ext", "--build-temp", tmp_path, "--build-lib", tmp_path,
                 CC=str(tmp_path / "compiler"))
    assert done.returncode == 1
    what, how = done.stderr.splitlines()
    assert missing in what
    assert "install" in how
