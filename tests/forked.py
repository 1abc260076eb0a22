"""Programs in processes of their own that start in milliseconds: they are forked from one that has
imported what they need. What is about the start or the end of a process, or about a shell, is
tested on `python` itself."""
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

FORKS = "forkserver" in multiprocessing.get_all_start_methods()
if FORKS:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["_fastrnn_command", "fastrnn", "fastrnn.cli", "runpy",
                                    "matplotlib.figure", "matplotlib.backends.backend_agg"])


def start(path, arguments, cwd, environment, outputs):
    """The program in the child."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for number, name in enumerate(outputs, 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY), number)
    sys.stdout = open(1, "w", 1 if os.isatty(1) else -1, encoding="utf-8")
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace")
    sys.argv = [str(path or "fastrnn"), *arguments]
    if path is None:
        from _fastrnn_command import main
        sys.exit(main())
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(str(path), run_name="__main__")


def program(path, *arguments, cwd=None, stdout=None, stderr=None, environment=None):
    """A Python program, or with None the command fastrnn: what subprocess.run() returns of it.
    stdout and stderr are files to write to, terminals say; else what was written is returned."""
    arguments, environment = [*map(str, arguments)], dict(environment or os.environ)
    if not FORKS:
        started = ["-m", "fastrnn"] if path is None else [path]
        return subprocess.run([sys.executable, *started, *arguments], cwd=cwd, encoding="utf-8",
                              capture_output=True, env=environment | {"PYTHONUTF8": "1"})
    with tempfile.TemporaryDirectory() as place:
        outputs = [stdout or f"{place}/stdout", stderr or f"{place}/stderr"]
        process = context.Process(
            target=start, args=(path, arguments, str(cwd or os.getcwd()), environment, outputs))
        process.start()
        process.join(100)
        assert process.exitcode is not None, "it does not end"
        out, err = ("" if given else Path(name).read_bytes().decode() for name, given in zip(
            outputs, (stdout, stderr), strict=True))
        return subprocess.CompletedProcess(arguments, process.exitcode, out, err)
