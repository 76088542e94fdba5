import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from overfocus.core.errors import OverfocusError
from overfocus.metrics.temperature import halves, scaled, temperature, tempered


def sample(n=4000, k=5, seed=0):
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=source, dtype=torch.float64) * 2
    return logits, torch.multinomial(logits.softmax(1), 1, generator=source)[:, 0]


def nll(logits, labels, t):
    return torch.nn.functional.cross_entropy(logits / t, labels).item()


@pytest.mark.parametrize("planted", [0.01, 0.4, 1.0, 3.0, 500.0])
def test_finds_the_planted_temperature(planted):
    logits, labels = sample()
    assert temperature(logits * planted, labels) == pytest.approx(planted, rel=0.06)


def test_is_the_minimum_that_a_search_finds():
    logits, labels = sample(300)
    logits = logits * 2.5
    searched = minimize_scalar(lambda t: nll(logits, labels, t), bounds=(0.2, 20), method="bounded").x
    found = temperature(logits, labels)
    assert found == pytest.approx(searched, rel=1e-4)
    assert nll(logits, labels, found) <= min(nll(logits, labels, found * f) for f in (0.999, 1.001))


def test_soft_labels():
    logits, _ = sample(200)
    votes = (logits / 3).softmax(1)
    assert temperature(logits, votes) == pytest.approx(3.0, rel=1e-6)
    onehot = torch.eye(5)[sample(200)[1]]
    assert temperature(logits, onehot) == pytest.approx(temperature(logits, sample(200)[1]))


def test_probabilities_are_their_own_logits():
    logits, labels = sample(500)
    flagged = temperature((logits * 2).softmax(1), labels, probabilities=True)
    assert flagged == pytest.approx(temperature(logits * 2, labels), rel=1e-4)
    torch.testing.assert_close(
        scaled(logits.softmax(1), 2.0, probabilities=True).softmax(1), (logits / 2).softmax(1), rtol=1e-5, atol=1e-6
    )


def test_no_finite_temperature_is_no_answer():
    logits, labels = sample(50)
    right = logits.argmax(1)
    assert math.isnan(temperature(logits, right))
    assert math.isnan(temperature(-logits, labels))
    assert math.isnan(temperature(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])))
    assert math.isnan(temperature(torch.zeros(0, 3), torch.zeros(0).long()))
    ruled_out = logits.clone()
    ruled_out[0, labels[0]] = -torch.inf
    assert math.isnan(temperature(ruled_out, labels))


def test_what_is_no_number_is_left_out():
    logits, labels = sample(400)
    broken = torch.cat((logits, torch.full((3, 5), torch.nan)))
    more = torch.cat((labels, torch.zeros(3).long()))
    assert temperature(broken, more) == temperature(logits, labels)
    masked = torch.cat((logits, torch.full((400, 1), -torch.inf)), dim=1)
    assert temperature(masked, labels) == pytest.approx(temperature(logits, labels))


def test_low_precision_is_read_and_not_written_to():
    logits, labels = sample(800)
    low = logits.bfloat16()
    kept = low.clone()
    assert temperature(low, labels) == pytest.approx(temperature(logits, labels), rel=0.01)
    assert torch.equal(low, kept)


@pytest.mark.parametrize("n", [0, 1, 7, 100])
def test_halves_are_halves_of_every_class(n):
    labels = torch.randint(4, (n,), generator=torch.Generator().manual_seed(n))
    one, other = halves(labels, 3)
    assert torch.equal(torch.cat((one, other)).sort().values, torch.arange(n))
    assert 0 <= len(one) - len(other) <= 1
    for label in range(4):
        assert abs(int((labels[one] == label).sum()) - int((labels[other] == label).sum())) <= 1


def test_halves_are_seeded_and_drawn_aside():
    labels = torch.arange(40) % 3
    state = torch.random.get_rng_state()
    assert torch.equal(halves(labels, 1)[0], halves(labels, 1)[0])
    assert not torch.equal(halves(labels, 1)[0], halves(labels, 2)[0])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(halves(torch.eye(3)[labels], 1)[0], halves(labels, 1)[0])


def test_tempering_mends_the_other_half():
    logits, labels = sample()
    found = tempered(logits * 3, labels)
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.after["ece"].value < 0.03 < 0.1 < found.before["ece"].value
    assert found.after["nll"].value < found.before["nll"].value
    assert found.after["accuracy"].value == found.before["accuracy"].value
    assert found.before["ece"].n == 2000


def test_tempering_without_an_answer():
    logits, _ = sample(40)
    found = tempered(logits, logits.argmax(1))
    assert math.isnan(found.temperature)
    assert found.before["nll"].answered
    assert not found.after["nll"].answered


def test_errors_are_those_of_the_scores():
    with pytest.raises(OverfocusError, match="2 classes"):
        temperature(torch.zeros(1, 2), torch.tensor([2]))
