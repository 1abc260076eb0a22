"""Messages of at most 140 characters, one on each line, each learned from the zero state.

    python examples/tweets.py FILE                  # a UTF-8 text with one message on each line
    python examples/tweets.py FILE --epochs 5

A course homework on short texts. Without FILE the lines of tiny-shakespeare serve as messages.
An LSTM learns each from a start symbol to a stop symbol; samples during the training show how it
learns to write messages and to end them. At the end it generates 1,000, counts the new ones, and
saves the model.
"""

import argparse
import time

import common

import fastrnn

LONGEST = 140  # characters


def main() -> None:
    parser = common.parser(
        "Messages of at most 140 characters.", "one message on each line", hidden_size=256,
        epochs=2, batch_size=64, learning_rate=5e-3, temperature=0.7, seed=0,
        threads=None)
    common.run(learn, parser)


def learn(options: argparse.Namespace) -> None:
    limits = {"max_length": LONGEST, "too_long": "drop"}
    if options.file:
        corpus = fastrnn.Corpus.from_lines(options.file, **limits)
    else:
        text = common.load_text(None, "tiny-shakespeare")
        corpus = fastrnn.Corpus.from_records(
            text.vocabulary.decode(text.ids).split("\n"), name=text.name, **limits)
    counts = corpus.records.counts
    print(f"{corpus.name}: {len(corpus.records):,} messages, "
          f"{int(corpus.records.steps.sum()):,} characters with the stops, "
          f"{len(corpus.vocabulary)} distinct; {counts['blank']} blank lines and "
          f"{counts['too long']} longer than {LONGEST} characters left out")

    def show(trainer: fastrnn.Trainer) -> None:
        samples = "\n".join(trainer.model.sample(
            n=3, max_length=LONGEST, temperature=options.temperature, seed=1))
        trainer.history.add_sample(trainer.update, samples)
        common.show(f"---- update {trainer.update} ----\n{samples}\n")

    began = time.perf_counter()
    model = fastrnn.train(
        corpus, preset="tweets", hidden_size=options.hidden_size, batch_size=options.batch_size,
        learning_rate=options.learning_rate, epochs=options.epochs, threads=options.threads,
        seed=options.seed, callback=show, sample_every=0)  # samples of its own, at a temperature
    seconds = time.perf_counter() - began
    characters = int(corpus.records.steps.sum()) * options.epochs
    print(f"{options.epochs} epochs in {seconds:.1f} s, {characters / seconds:,.0f} characters a "
          f"second, loss {model.score(corpus):.4f} nats per character")
    samples = model.sample(n=1000, max_length=LONGEST, temperature=options.temperature, seed=0)
    new = model.novelty(samples)
    print(f"of 1,000 sampled messages {sum(len(text) > LONGEST for text in samples)} are longer "
          f"than {LONGEST} characters, {sum(len(text) == LONGEST for text in samples)} were cut "
          f"there, {new.sum()} are new")
    common.show("\n".join(samples[:10]))
    common.save_model(model, options, samples=["\n".join(samples[:10])])


if __name__ == "__main__":
    main()
