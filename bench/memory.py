"""Peak resident memory of a process that does three updates of a work and nothing else; or that
fits an echo state network of 500 units to a series of so many steps.

    python bench/memory.py fastrnn|torch WORK FILE
    python bench/memory.py echo STEPS

FILE is an .npz with the text's ids and the initial parameters by name. Prints bytes: Linux's VmHWM,
since ru_maxrss of a process starts at what its parent had when it started it.
"""

import re
import sys
from pathlib import Path

import numpy as np
from contestants import fastrnn_updates, torch_updates
from works import WORKS, symbols

STATUS = Path("/proc/self/status")
UPDATES, THREADS = 3, 2


def main(contestant: str, *arguments: str) -> None:
    if contestant == "echo":
        fit(int(arguments[0]))
    else:
        update(contestant, *arguments)
    print(1024 * int(re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())[1]))


def fit(steps: int) -> None:
    import fastrnn

    u = np.sin(np.arange(steps + 1) / 5)[:, None]
    fastrnn.EchoStateNetwork(500).fit(u[:-1], u[1:])


def update(contestant: str, name: str, file: str) -> None:
    work, params = WORKS[name], dict(np.load(file))
    ids = params.pop("ids")
    if contestant == "fastrnn":
        import fastrnn

        corpus = fastrnn.Corpus(ids, fastrnn.Vocabulary(symbols(work.K)))
        updates = fastrnn_updates(work, corpus, threads=THREADS)
    else:
        updates = torch_updates(work, params, ids, threads=THREADS)
    updates(UPDATES)


if __name__ == "__main__":
    main(*sys.argv[1:])
