"""karpathy/char-rnn's experiment: two LSTM layers learn to write like Shakespeare.

    python examples/char_rnn.py                        # tiny-shakespeare, 5 epochs
    python examples/char_rnn.py --epochs 50            # char-rnn's own length; 500 takes hours
    python examples/char_rnn.py FILE --cell gru

With char-rnn's defaults: 2 layers of 128 units, 50 symbols an unroll, 50 streams, RMSProp 2e-3
(gamma 0.95), falling by 0.97 an epoch after 10 of them, gradients cut to [-5, 5], weights uniform
within 0.08, the last 5 % of the text for validation. Writes a sample after 5, 50 and 500 epochs, as
far as it goes, and at the end the losses as char_rnn.png and the model as char_rnn.safetensors.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import fastrnn

SAMPLES_AFTER = (5, 50, 500)  # epochs


def main() -> None:
    parser = argparse.ArgumentParser(description="karpathy/char-rnn's experiment on any text.")
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help="a UTF-8 text (default: tiny-shakespeare, downloaded)")
    parser.add_argument("--epochs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--cell", choices=("rnn", "lstm", "gru"), default="lstm",
                        help="default: %(default)s")
    parser.add_argument("--dropout", type=float, default=0.0, help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help="where char_rnn.png and char_rnn.safetensors go (default: here)")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:  # better known before the training
        raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
    if options.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, not {options.epochs}")
    corpus = (fastrnn.Corpus.from_file(options.file) if options.file
              else fastrnn.datasets.load("tiny-shakespeare"))
    model = fastrnn.Model(corpus.vocabulary, cell=options.cell, hidden_size=128, num_layers=2,
                          dropout=options.dropout, init="uniform", init_scale=0.08, seed=123)
    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint, picture = (options.output / f"char_rnn.{kind}" for kind in ("safetensors", "png"))
    trainer = fastrnn.Trainer(
        model, corpus, seq_length=50, batch_size=50, epochs=options.epochs, clip_value=5.0,
        optimizer="rmsprop", learning_rate=2e-3, decay_rate=0.95,
        learning_rate_decay=0.97, learning_rate_decay_after=10,
        valid_fraction=0.05, threads=options.threads, seed=123, checkpoint=checkpoint)
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct; {model}")

    start = time.perf_counter()
    for epochs in sorted({*SAMPLES_AFTER, options.epochs}):
        if epochs <= options.epochs:
            trainer.run(updates=epochs * trainer.updates_per_epoch - trainer.update)
            seconds = time.perf_counter() - start
            print(f"---- after {epochs} epochs, {seconds:.0f} s: validation loss "
                  f"{trainer.history.valid_loss[-1]:.4f} nats per character ----\n"
                  f"{model.sample(400, seed=0)}\n")

    axes = trainer.history.plot()
    axes.set(title=f"{options.cell}, 2 layers of 128 units, on {corpus.name}")
    axes.figure.savefig(picture, dpi=150)
    print(f"lowest validation loss {trainer.best_loss:.4f} after {trainer.best_update:,} updates; "
          f"the picture is in {picture}, the model in {checkpoint}")


if __name__ == "__main__":
    main()
