"""Does mixed_bfloat16 learn as well as float32? Both train the same models, from the same initial
weights and in the same order, for several seeds; compared are the validation losses at the end.

    FASTRNN_DATA=FOLDER python bench/precision.py          # FOLDER/tinyshakespeare.txt
    python bench/precision.py --text book.txt --seeds 5 --threads 2 --length 1

Exit code 1 where the mean of mixed_bfloat16 is higher by more than a standard deviation of
float32's losses.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn

DTYPES = ("float32", "mixed_bfloat16")


def works(text: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The data of each work, and how it is trained; `epochs` is multiplied by --length."""
    return {
        "tiny-shakespeare": (fastrnn.Corpus.from_file(text), {
            "cell": "lstm", "hidden_size": 256, "seq_length": 64, "batch_size": 32,
            "optimizer": "adam", "learning_rate": 4e-3, "epochs": 1, "valid_fraction": 0.1}),
        "memorization": (fastrnn.tasks.memorization(5000, 8, blanks=5), {
            "cell": "lstm", "hidden_size": 128, "batch_size": 50, "optimizer": "adam",
            "learning_rate": 4e-3, "epochs": 12, "valid_fraction": 0.1}),
    }


def final_loss(source: Any, settings: dict[str, Any], dtype: str, seed: int, threads: int) -> float:
    """The validation loss after the last update, in nats."""
    model = fastrnn.train(
        source, **settings, dtype=dtype, seed=seed, threads=threads, schedule="cosine",
        clip_value=None, clip_norm=5.0, dropout=0.0, embedding_size=None, num_layers=1,
        progress=False, sample_every=0)
    return float(model.history.valid_loss[-1])


def compare(
    source: Any, settings: dict[str, Any], seeds: int, threads: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """The final losses of every seed and the seconds that they took, by dtype."""
    losses: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    seconds = dict.fromkeys(DTYPES, 0.0)
    for seed in range(seeds):
        for dtype in DTYPES:
            start = time.perf_counter()
            losses[dtype].append(final_loss(source, settings, dtype, seed, threads))
            seconds[dtype] += time.perf_counter() - start
    return losses, seconds


def no_worse(losses: dict[str, list[float]]) -> bool:
    """Whether the mean of mixed_bfloat16 is at most a standard deviation above float32's."""
    plain, mixed = (np.array(losses[dtype]) for dtype in DTYPES)
    return bool(mixed.mean() <= plain.mean() + plain.std(ddof=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--text", default=Path(os.environ.get("FASTRNN_DATA", "."),
                                               "tinyshakespeare.txt"), type=Path)
    parser.add_argument("--work", action="append", help="only this one; may be given again")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--length", type=float, default=1, help="factor on the number of epochs")
    given = parser.parse_args()
    good = True
    print(f"mixed_bfloat16 runs on {fastrnn.build_info()['mixed_bfloat16']}")
    for name, (source, settings) in works(given.text).items():
        if given.work and name not in given.work:
            continue
        settings["epochs"] = max(1, round(settings["epochs"] * given.length))
        losses, seconds = compare(source, settings, given.seeds, given.threads)
        for dtype, found in losses.items():
            print(f"{name:17} {dtype:15} {np.mean(found):.4f} +- {np.std(found, ddof=1):.4f} nats  "
                  f"({' '.join(f'{loss:.4f}' for loss in found)})  {seconds[dtype]:.0f} s")
        good &= no_worse(losses)
        print(f"{name:17} mixed_bfloat16 is {'no worse' if no_worse(losses) else 'WORSE'}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
