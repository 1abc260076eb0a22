"""Messages of at most 140 characters: one a line, each read by itself from the zero state.

    python examples/tweets.py FILE                  # a UTF-8 text with one message on each line
    python examples/tweets.py FILE --epochs 5

Without FILE the lines of tiny-shakespeare stand in for messages. An LSTM reads each whole, from a
start symbol to a stop symbol; samples on the way show how it learns to write them and to end them.
At the end 1,000 are drawn, and the new ones among them counted.
"""

import argparse
import time

import fastrnn

LONGEST = 140  # characters


def main() -> None:
    parser = argparse.ArgumentParser(description="Messages of at most 140 characters.")
    parser.add_argument("file", metavar="FILE", nargs="?", help="one message a line")
    parser.add_argument("--hidden-size", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=5e-3, help="default: %(default)s")
    parser.add_argument("--temperature", type=float, default=0.7, help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="default: all cores")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    limits = {"max_length": LONGEST, "too_long": "drop"}
    if options.file:
        corpus = fastrnn.Corpus.from_lines(options.file, **limits)
    else:
        text = fastrnn.datasets.load("tiny-shakespeare")
        corpus = fastrnn.Corpus.from_records(
            text.vocabulary.decode(text.ids).split("\n"), name=text.name, **limits)
    counts = corpus.records.counts
    print(f"{corpus.name}: {len(corpus.records):,} messages, "
          f"{int(corpus.records.steps.sum()):,} characters with the stops, "
          f"{len(corpus.vocabulary)} distinct; {counts['blank']} blank lines and "
          f"{counts['too long']} longer than {LONGEST} characters left out")
    seen = []

    def show(trainer: fastrnn.Trainer) -> None:
        if trainer.update in seen:
            return
        seen.append(trainer.update)
        drawn = trainer.model.sample(n=3, max_length=LONGEST, temperature=options.temperature,
                                     seed=1)
        print(f"---- update {trainer.update} ----\n" + "\n".join(drawn) + "\n", flush=True)

    began = time.perf_counter()
    model = fastrnn.train(
        corpus, cell="lstm", hidden_size=options.hidden_size, batch_size=options.batch_size,
        optimizer="adam", learning_rate=options.learning_rate, schedule="cosine", clip_value=None,
        clip_norm=5.0, epochs=options.epochs, threads=options.threads, callback=show,
        sample_length=1)
    seconds = time.perf_counter() - began
    characters = int(corpus.records.steps.sum()) * options.epochs
    print(f"{options.epochs} epochs in {seconds:.1f} s, {characters / seconds:,.0f} characters a "
          f"second, loss {model.score(corpus):.4f} nats per character")
    drawn = model.sample(n=1000, max_length=LONGEST, temperature=options.temperature, seed=0)
    new = model.novelty(drawn)
    print(f"of 1,000 messages drawn {sum(len(text) > LONGEST for text in drawn)} are longer than "
          f"{LONGEST} characters, {sum(len(text) == LONGEST for text in drawn)} were cut there, "
          f"{new.sum()} are new")
    print("\n".join(drawn[:10]))


if __name__ == "__main__":
    main()
