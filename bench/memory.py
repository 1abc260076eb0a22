"""Peak resident memory of a process that does three updates of a work and nothing else, or that
fits an echo state network of 500 units to a series of so many steps.

    python bench/memory.py fastrnn|PyTorch WORK FILE
    python bench/memory.py echo STEPS

FILE is an .npz with the ids of the text and the initial parameters by name. Prints bytes: VmHWM of
Linux's /proc, since ru_maxrss of a process begins with that of the process that started it.
Each contestant is imported only where it is measured.
"""

import re
import sys
from pathlib import Path

import numpy as np
from works import WORKS, symbols

STATUS = Path("/proc/self/status")
UPDATES, THREADS = 3, 2


def main(contestant: str, *arguments: str) -> None:
    {"fastrnn": update_fastrnn, "PyTorch": update_torch, "echo": fit}[contestant](*arguments)
    print(1024 * int(re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())[1]))


def fit(steps: str) -> None:
    import fastrnn

    u = np.sin(np.arange(int(steps) + 1) / 5)[:, None]
    fastrnn.EchoStateNetwork(500).fit(u[:-1], u[1:])


def update_fastrnn(name: str, file: str) -> None:
    from contestants import updates

    import fastrnn

    corpus = fastrnn.Corpus(np.load(file)["ids"], fastrnn.Vocabulary(symbols(WORKS[name].K)))
    updates(WORKS[name], corpus, "float32", THREADS)(UPDATES)


def update_torch(name: str, file: str) -> None:
    from peers.torch_peer import TorchPeer

    work, params = WORKS[name], dict(np.load(file))
    ids = params.pop("ids")
    peer = TorchPeer(params, ids, work.K, cell=work.cell, threads=THREADS,
                     **work.training)
    for _ in range(UPDATES):
        peer.update()


if __name__ == "__main__":
    main(*sys.argv[1:])
