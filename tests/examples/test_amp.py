"""examples/amp.py: the figures are those of the files it writes; the tail is not learned from."""
import json
import re
import wave
from pathlib import Path

import amp
import common
import numpy as np
import pytest
from forked import program

import fastrnn

EXAMPLE = Path(common.__file__).with_name("amp.py")


def run(*arguments, cwd):
    return program(EXAMPLE, *arguments, "--threads", 1, cwd=cwd)


def test_error_to_signal_by_hand():
    wet, predicted = np.array([1.0, -2, 0, 2]), np.array([1.0, -1, 1, 2])
    assert amp.error_to_signal(wet, predicted) == pytest.approx(2 / 9)
    assert amp.emphasized(wet) == pytest.approx([1, -2.85, 1.7, 2])


def test_what_is_made():
    dry = amp.plucked(2, np.random.default_rng(0))
    wet = amp.overdriven(dry)
    assert len(dry) == len(wet) == 2 * amp.RATE
    assert np.abs(dry).max() == pytest.approx(0.9) and np.abs(wet).max() < 1
    quiet = amp.overdriven(1e-4 * dry)  # a linear filter there: the overdrive bends loud sound
    slope = 8 * (1 - np.tanh(0.3) ** 2) * 0.6
    assert 0.5 * slope < np.abs(quiet).max() / np.abs(1e-4 * dry).max() < slope


def test_a_quick_run(tmp_path):
    done = run("--quick", "--seed", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(the|[\d.]+ times the) (\w+)(?: sound)? +([\d.]+) +([\d.]+)$",
                      done.stdout, re.M)
    assert [name for _, name, *_ in rows] == ["dry", "dry", "LSTM"]
    errors = np.array([row[2:] for row in rows], float)
    assert (errors[2] < 0.5 * errors[:2]).all()

    (dry, rate), (wet, _), (predicted, _) = (
        amp.read(tmp_path / f"amp-{name}.wav") for name in ("dry", "wet", "predicted"))
    tail = slice(round(0.8 * len(dry)), None)
    for i, sound in ((0, dry), (2, predicted)):
        for j, by in enumerate((lambda y: y, amp.emphasized)):
            error = amp.error_to_signal(by(wet)[tail], by(sound)[tail])
            assert errors[i, j] == pytest.approx(error, rel=0.02, abs=1e-4)
    model = fastrnn.load(tmp_path / "amp.safetensors")
    assert model.predict(dry[None, :, None])[0, :, 0] == pytest.approx(predicted, abs=2**-15)
    content = json.loads((tmp_path / "amp.json").read_text())
    assert content["metadata"]["samplerate"] == rate == 44_100
    assert [layer["type"] for layer in content["layers"]] == ["lstm", "dense"]


def test_the_tail_is_not_learned_from(tmp_path):
    dry = amp.plucked(1, np.random.default_rng(3))
    wet = np.tanh(3 * dry)
    learned = []
    for name, end in (("a", 1.0), ("b", -0.3)):
        at = round(0.8 * len(wet))
        amp.write(tmp_path / "dry.wav", dry, 22_050)
        amp.write(tmp_path / "wet.wav", np.append(wet[:at], end * wet[at:]), 22_050)
        done = run("dry.wav", "wet.wav", "--updates", 20, "--hidden-size", 8, "--output", name,
                   cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        learned.append(json.loads((tmp_path / name / "amp.json").read_text()))
    assert learned[0] == learned[1] and learned[0]["metadata"]["samplerate"] == 22_050


@pytest.mark.parametrize(("arguments", "message"), [
    (["a.wav"], "give two files"), (["a.wav", "none.wav"], "none.wav"),
    (["a.wav", "text.wav"], "text.wav is not a wav file"),
    (["a.wav", "short.wav"], "must be the same sound"),
    (["a.wav", "stereo.wav"], "has 2 channels of 16 bits"),
    (["a.wav", "silent.wav"], "with sound in its last fifth"),
    (["--seconds", 0], "--seconds must be from 1 to 600"),
])
def test_what_is_refused(arguments, message, tmp_path):
    sound = np.full(8000, 0.5)
    for name, made in (("a", sound), ("short", sound[1:]), ("silent", 0 * sound)):
        amp.write(tmp_path / f"{name}.wav", made, 8000)
    (tmp_path / "text.wav").write_text("no sound")
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("amp*"))
