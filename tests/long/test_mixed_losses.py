"""What mixed_bfloat16 learns is as good as what float32 learns: bench/precision.py, shorter."""
import precision
import pytest

# what makes the works of bench/precision.py short
SHORT = {
    "tiny-shakespeare": {"hidden_size": 96, "seq_length": 40, "epochs": None, "updates": 400},
    "memorization": {"hidden_size": 96, "epochs": 8},
}


@pytest.mark.parametrize("name", SHORT)
def test_validation_losses_are_no_worse(long, shakespeare, name):
    """The mean over five seeds is at most a standard deviation of float32's losses higher."""
    source, settings = precision.works(shakespeare)[name]
    losses, _ = precision.compare(source, settings | SHORT[name], seeds=5, threads=2)
    assert precision.no_worse(losses), losses
    assert losses["float32"] != losses["mixed_bfloat16"]
    # both have learned something: ln 65 = 4.2, and 8 of 22 symbols unknown are 0.76
    worst = max(map(max, losses.values()))
    assert worst < (2.4 if name == "tiny-shakespeare" else 0.6)
