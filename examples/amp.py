"""An amplifier learned from sound: an LSTM for plug-ins that load RTNeural's JSON.

    python examples/amp.py                       # a made-up amplifier, half a minute
    python examples/amp.py DRY.wav WET.wav       # yours: the same sound before and after it
    python examples/amp.py --updates 8000        # the same in every run
    python examples/amp.py --quick               # a few seconds, to see that it runs

The network reads the dry sound sample by sample and learns the wet one (Wright, Damskägg and
Välimäki 2019, "Real-time black-box modelling with recurrent neural networks"), in windows with the
state carried from each to the next. Without files the example makes both: plucked strings and
chords between silence (Karplus and Strong 1983), and an overdrive of them, a high-pass filter, a
tanh that is not symmetric, and a low-pass filter. The last fifth is kept for the figures, and the
tenth before it chooses the best model of the training. Prints the error-to-signal ratio there,
sum (y - p)^2 / sum y^2, also after the filter y[t] - 0.85 y[t-1], beside that of the dry sound.
Writes amp.json, amp-predicted.wav and the model, and the sounds that it made. Files must be mono,
of 16 bits, and equally long.
"""

import argparse
import wave
from pathlib import Path

import common
import numpy as np
from scipy.signal import butter, lfilter

import fastrnn

RATE = 44_100  # samples in a second of what is made
TEST, VALID = 0.2, 0.1  # parts of the sound
EMPHASIS = 0.85
WINDOW, STREAMS = 128, 32
QUICK = {"seconds": 3.0, "updates": 300, "hidden_size": 8}


def main() -> None:
    parser = common.parser(
        "An LSTM learns an amplifier.", seconds=(8.0, "of sound to make"),
        hidden_size=(16, "units; AIDA-X loads 8, 12, 16, 20, 24, 32, 40, 64 or 80"),
        learning_rate=5e-3, threads=None)
    parser.add_argument("files", metavar="WAV", nargs="*", help="the dry sound and the wet one")
    parser.add_argument("--quick", action="store_true", help="little of all, in seconds")
    common.add_length(parser, 0.5)
    common.run(learn_amplifier, parser)


def learn_amplifier(options: argparse.Namespace) -> None:
    if options.quick:
        vars(options).update(QUICK)
    dry, wet, rate = sounds(options)
    test = round(len(dry) * (1 - TEST))
    source = fastrnn.Sequences(dry[None, :test, None], wet[None, :test, None], name="the sound")
    model = fastrnn.train(
        source, preset="classic", cell="lstm", hidden_size=options.hidden_size, seq_length=WINDOW,
        batch_size=STREAMS, valid_fraction=VALID / (1 - TEST), valid_every=200, optimizer="adam",
        learning_rate=options.learning_rate, schedule="cosine", clip_value=None, clip_norm=1.0,
        seed=options.seed, threads=options.threads, **common.length_of(options))
    predicted = model.predict(dry[None, :, None])[0, :, 0]
    show_errors(dry[test:], wet[test:], predicted[test:], len(model.history), rate)
    write(options.output / "amp-predicted.wav", predicted, rate)
    common.save_model(model, options)
    path = options.output / "amp.json"
    fastrnn.export(model, path, sample_rate=rate)
    print(f"RTNeural, and plug-ins with it, load {path}")


def sounds(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, int]:
    """The dry and the wet sound, from -1 to 1, and samples in a second."""
    if not options.files:
        paths = [options.output / f"amp-{name}.wav" for name in ("dry", "wet")]
        dry = plucked(options.seconds, np.random.default_rng(options.seed))
        for path, sound in zip(paths, (dry, overdriven(dry)), strict=True):
            write(path, sound, RATE)
    elif len(options.files) == 2:
        paths = [Path(name) for name in options.files]
    else:
        raise ValueError("give two files, DRY.wav and WET.wav, or none")
    (dry, rate), (wet, other) = map(read, paths)
    if len(dry) != len(wet) or rate != other:
        raise ValueError(f"{paths[0]} has {len(dry):,} samples at {rate} in a second and "
                         f"{paths[1]} {len(wet):,} at {other}: they must be the same sound")
    if len(dry) < rate or not wet[-round(len(wet) * TEST):].any():
        raise ValueError("give at least a second of sound, with sound in its last fifth")
    return dry, wet, rate


def plucked(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Strings and chords of many pitches and strengths, with silence between some."""
    if not 1 <= seconds <= 600:
        raise ValueError(f"--seconds must be from 1 to 600, not {seconds:g}")
    sound = np.zeros(round(seconds * RATE))
    start = 0
    while start < len(sound):
        length = min(round(RATE * rng.uniform(0.1, 0.6)), len(sound) - start)
        for step in ([0], [0, 7, 12], [0, 4, 7])[rng.integers(3)]:
            period = round(RATE / (82.4 * 2 ** ((rng.integers(25) + step) / 12)))
            burst = np.zeros(length)
            burst[:period] = rng.uniform(-1, 1, period)[:length]
            # a string: what comes back after a period is averaged, and a little weaker
            string = lfilter([1], [1, *np.zeros(period - 1), -0.498, -0.498], burst)
            sound[start : start + length] += rng.uniform(0.1, 1) * string
        start += length + round(RATE * rng.choice([0, 0, 0.1]))
    return 0.9 * sound / np.abs(sound).max()


def overdriven(dry: np.ndarray) -> np.ndarray:
    bass = lfilter(*butter(1, 100, "high", fs=RATE), dry)
    driven = np.tanh(8 * bass + 0.3) - np.tanh(0.3)
    return 0.6 * lfilter(*butter(1, 4000, fs=RATE), driven)


def read(path: Path) -> tuple[np.ndarray, int]:
    """The samples of a wav file, from -1 to 1, and how many are in a second."""
    try:
        with wave.open(str(path), "rb") as file:
            form = file.getnchannels(), 8 * file.getsampwidth()
            rate, data = file.getframerate(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is not a wav file that Python reads: {error}") from None
    if form != (1, 16):
        raise ValueError(f"{path} has {form[0]} channels of {form[1]} bits: make it mono of 16")
    return np.frombuffer(data, "<i2") / 2**15, rate


def write(path: Path, sound: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.rint(sound * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes())


def error_to_signal(wet: np.ndarray, predicted: np.ndarray) -> float:
    return float(((wet - predicted) ** 2).sum() / (wet**2).sum())


def emphasized(sound: np.ndarray) -> np.ndarray:
    return lfilter([1, -EMPHASIS], [1], sound)


def show_errors(dry: np.ndarray, wet: np.ndarray, predicted: np.ndarray, updates: int,
                rate: int) -> None:
    gain = dry @ wet / (dry @ dry or 1)  # that of the smallest error
    print(f"error-to-signal ratio of the last {len(wet) / rate:.1f} s after {updates:,} updates, "
          "and after pre-emphasis")
    for name, sound in (("the dry sound", dry), (f"{gain:.2f} times the dry sound", gain * dry),
                        ("the LSTM", predicted)):
        print(f"{name:26} {error_to_signal(wet, sound):8.4f} "
              f"{error_to_signal(emphasized(wet), emphasized(sound)):8.4f}")


if __name__ == "__main__":
    main()
