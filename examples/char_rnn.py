"""karpathy/char-rnn's experiment: a character model of two LSTM layers on Shakespeare.

    python examples/char_rnn.py                        # tiny-shakespeare, 5 epochs
    python examples/char_rnn.py --epochs 50            # char-rnn's own length; 500 takes hours
    python examples/char_rnn.py FILE --cell gru

With char-rnn's defaults: 2 layers of 128 units, 50 steps of back-propagation, batches of 50
streams, RMSProp 2e-3 (decay rate 0.95) that falls by 0.97 an epoch after 10 epochs, gradients
clipped to [-5, 5], initial weights uniform within 0.08, the last 5 % of the text for validation.
Prints a sample after 5, 50 and 500 epochs, as far as the run goes, plots the losses to char_rnn.png
and saves the model as char_rnn.safetensors. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import time

import common

import fastrnn

SAMPLES_AFTER = (5, 50, 500)  # epochs


def main() -> None:
    parser = common.parser(
        "karpathy/char-rnn's experiment on any text.",
        "a UTF-8 text (default: tiny-shakespeare, downloaded)", epochs=5, dropout=0.0,
        threads=None, seed=123)
    parser.add_argument("--cell", choices=("rnn", "lstm", "gru"), default="lstm",
                        help="default: %(default)s")
    common.run(learn, parser, picture="char_rnn.png")


def learn(options: argparse.Namespace) -> None:
    if options.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, not {options.epochs}")
    corpus = common.load_text(options.file, "tiny-shakespeare")
    model = fastrnn.Model(corpus.vocabulary, cell=options.cell, hidden_size=128, num_layers=2,
                          dropout=options.dropout, init="uniform", init_scale=0.08,
                          seed=options.seed)
    checkpoint = options.picture.with_suffix(".safetensors")
    trainer = fastrnn.Trainer(
        model, corpus, seq_length=50, batch_size=50, epochs=options.epochs, clip_value=5.0,
        optimizer="rmsprop", learning_rate=2e-3, decay_rate=0.95,
        learning_rate_decay=0.97, learning_rate_decay_after=10,
        valid_fraction=0.05, threads=options.threads, seed=options.seed,
        checkpoint=checkpoint)
    print(f"{corpus.name}: {len(corpus):,} characters, {len(corpus.vocabulary)} distinct; {model}")

    start = time.perf_counter()
    for epochs in sorted({*SAMPLES_AFTER, options.epochs}):
        if epochs <= options.epochs:
            trainer.run(updates=epochs * trainer.updates_per_epoch - trainer.update)
            seconds = time.perf_counter() - start
            sample = model.sample(400, seed=0)
            trainer.history.add_sample(trainer.update, sample)
            trainer.save(checkpoint)
            print(f"---- after {epochs} epochs, {seconds:.0f} s: validation loss "
                  f"{trainer.history.valid_loss[-1]:.4f} nats per character ----")
            common.show(f"{sample}\n")

    axes = trainer.history.plot()
    axes.set(title=f"{options.cell}, 2 layers of 128 units, on {corpus.name}")
    print(f"lowest validation loss {trainer.best_loss:.4f} after {trainer.best_update:,} updates; "
          f"the model is in {checkpoint}")
    common.save(axes.figure, options.picture)


if __name__ == "__main__":
    main()
