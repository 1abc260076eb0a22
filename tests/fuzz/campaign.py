"""Fuzzing of the loader: many changed files, each opened and used in a child process.

    python tests/fuzz/campaign.py 1000000           # about 15 minutes on two cores
    python tests/fuzz/campaign.py --seed 1 --only 4711    # one file again, with its traceback

Each child has a limit of memory and of time. A file is made from the seed and its number alone, so
that one that breaks something is made again by its number.
"""
import argparse
import collections
import json
import mmap
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from mutations import mutated
from seeds import seeds
from uses import Fault, use

BATCH = 500  # files of one child
SECONDS, HANGING = 3.0, 60  # processor time that a file may take; after so long a child is ended
TIMES, ALLOWANCE = 10, 32 << 20  # most bytes of memory: times the file's, and for small files
LIMIT = 3 << 30  # bytes of address space that a child may take beside what it has at its start
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")  # its own memory is as large as all else


class Files:
    """The seeds, and the changed files by their numbers."""

    def __init__(self, folder, seed):
        self.seed, self.seeds = seed, seeds(folder)
        self.data = [one.data for one in self.seeds]
        self.path = str(Path(folder) / "changed.safetensors")

    def use(self, number):
        """Make file `number` and use it; returns the name of its change, and whether it could be
        opened. Raises Fault."""
        rng = random.Random(f"{self.seed} {number}")
        which, change, data = mutated(rng, self.data)
        with open(self.path, "wb") as file:
            file.write(data)
        before, start = peak(), time.process_time()
        opened = use(self.path, self.seeds[which], rng)
        spent, taken = time.process_time() - start, peak() - before
        if spent > SECONDS and not SANITIZED:
            raise Fault(f"{spent:.1f} s of processor time")
        if taken > TIMES * len(data) + ALLOWANCE and not SANITIZED:
            raise Fault(f"{taken >> 20} MB of memory for a file of {len(data)} bytes")
        return f"{self.seeds[which].name} {change}", opened, spent, taken


def peak():
    """Bytes of the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def child(files, numbers, at, out):
    """Use the files of these numbers; `at` always has the number in use, `out` gets the results."""
    warnings.simplefilter("ignore")
    if not SANITIZED:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    found = collections.Counter()
    slowest = largest = 0
    faults = []
    for number in numbers:
        at[:8] = struct.pack("<q", number)
        signal.alarm(HANGING)
        try:
            _, opened, spent, taken = files.use(number)
            found["loaded" if opened else "refused"] += 1
            slowest, largest = max(slowest, spent), max(largest, taken)
        except (Fault, MemoryError, RecursionError) as error:
            faults.append((number, str(error) or type(error).__name__))
        except Exception as error:
            faults.append((number, f"{type(error).__name__}: {str(error)[:200]}"))
    out.write(json.dumps([dict(found), slowest, largest, faults]))


def batch(files, numbers, total):
    """Use the files of these numbers in a child, and after a crash in another one."""
    at = mmap.mmap(-1, 8)
    while numbers:
        reading, writing = os.pipe()
        process = os.fork()
        if not process:
            os.close(reading)
            with os.fdopen(writing, "w") as out:
                child(files, numbers, at, out)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as lines:
            result = lines.read()
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status == 0 and result:
            found, slowest, largest, faults = json.loads(result)
            total["found"].update(found)
            total["slowest"] = max(total["slowest"], slowest)
            total["largest"] = max(total["largest"], largest)
            total["faults"] += faults
            return
        last = struct.unpack("<q", at[:8])[0]  # those before it are used again, without harm
        what = "hangs" if status == -signal.SIGALRM else f"crash, status {status}"
        total["faults"].append((last, what))
        done = numbers.index(last)
        batch(files, numbers[:done], total)
        numbers = numbers[done + 1 :]


def work(seed, first, count, step, shown=False):
    """Use the files first, first + step, ... of `count`; returns what was found."""
    total = {"found": collections.Counter(), "slowest": 0.0, "largest": 0, "faults": []}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as at:
        files = Files(at, seed)
        numbers = range(first, count, step)
        for start in range(0, len(numbers), BATCH):
            batch(files, list(numbers[start : start + BATCH]), total)
            if shown and start // BATCH % 20 == 19:
                print(f"{start + BATCH} files, faults: {total['faults']}", file=sys.stderr)
    return total


def campaign(count, seed, processes=2, shown=False):
    """Use so many files in a few processes; returns what was found, and a summary in words."""
    start = time.time()
    running = [subprocess.Popen(
        [sys.executable, __file__, str(count), "--seed", str(seed), "--part", str(i),
         "--processes", str(processes)] + ["--shown"] * shown,
        stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        for i in range(processes)]
    parts = [json.loads(process.communicate()[0]) for process in running]
    found = sum((collections.Counter(part["found"]) for part in parts), collections.Counter())
    faults = sorted(tuple(fault) for part in parts for fault in part["faults"])
    kinds = collections.Counter(what.split(" for a file")[0] for _, what in faults)
    summary = "\n".join([
        f"{count} files of seed {seed} in {time.time() - start:.0f} s: {found['refused']} refused, "
        f"{found['loaded']} loaded and used, {len(faults)} faults",
        f"most memory for a file {max(part['largest'] for part in parts) / 2**20:.1f} MB, most "
        f"time {max(part['slowest'] for part in parts):.2f} s",
        *(f"{number} times {what}, such as file {next(n for n, w in faults if w.startswith(what))}"
          for what, number in kinds.most_common(40))])
    return faults, summary


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, help="use one file here, and keep it as changed")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shown", action="store_true", help="say how far it has come")
    given = parser.parse_args()
    if given.only is not None:
        folder = tempfile.mkdtemp()
        print(folder, Files(folder, given.seed).use(given.only))
    elif given.part is not None:
        print(json.dumps(work(given.seed, given.part, given.count, given.processes, given.shown)))
    else:
        faults, summary = campaign(given.count, given.seed, given.processes, given.shown)
        print(summary)
        return int(bool(faults))
    return 0


if __name__ == "__main__":
    sys.exit(main())
