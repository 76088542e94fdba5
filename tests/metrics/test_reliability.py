import math

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics.confidence import Predictions, scores
from overfocus.metrics.reliability import CELLS, Calibration, diagram

EXACT = ("accuracy", "confidence", "gap", "brier", "nll", "ece")
BY_CELL = ("ece_mass", "ece_debiased", "aurc", "eaurc")


def sample(n=1500, k=6, seed=0, scale=2.0, sharper=2.0):
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=source) * scale
    labels = torch.multinomial(logits.softmax(1), 1, generator=source)[:, 0]
    return logits * sharper, labels


def streamed(logits, labels, size=257, **settings):
    calibration = Calibration(**settings)
    for some, own in zip(logits.split(size), labels.split(size)):
        calibration.update(some, own)
    return calibration


@pytest.mark.parametrize(("scale", "sharper"), [(0.5, 1.0), (2.0, 2.0), (8.0, 3.0)])
def test_the_stream_is_the_whole(scale, sharper):
    logits, labels = sample(scale=scale, sharper=sharper)
    whole, calibration = scores(logits, labels), streamed(logits, labels)
    found = calibration.compute()
    fullest = float(calibration.state["ranks"][:, 0].max()) / len(labels)
    assert list(found) == list(whole)
    for name in EXACT:
        assert found[name].value == pytest.approx(whole[name].value, abs=1e-12), name
    for name in BY_CELL:
        # The debiased error is a root, which close to 0 makes much of little.
        power = 2 if name == "ece_debiased" else 1
        assert found[name].value ** power == pytest.approx(whole[name].value ** power, abs=1e-3), name
    assert abs(found["ece_mass"].value - whole["ece_mass"].value) <= 14 * fullest
    assert abs(found["aurc"].value - whole["aurc"].value) <= fullest * (1 - math.log(fullest) / 4)


def test_soft_labels_and_probabilities():
    logits, _ = sample(400)
    votes = torch.rand(400, 6, generator=torch.Generator().manual_seed(3)).softmax(1)
    whole = scores(logits.softmax(1), votes, probabilities=True)
    found = streamed(logits.softmax(1), votes, probabilities=True).compute()
    for name in EXACT:
        assert found[name].value == pytest.approx(whole[name].value, abs=1e-9), name
    for name in BY_CELL:
        assert found[name].value == pytest.approx(whole[name].value, abs=5e-3), name


def test_intervals_are_those_of_the_whole():
    logits, labels = sample(4000)
    whole, found = scores(logits, labels), streamed(logits, labels).compute()
    for name, score in found.items():
        width = whole[name].high - whole[name].low
        assert score.low == pytest.approx(whole[name].low, abs=0.3 * width), name
        assert score.high == pytest.approx(whole[name].high, abs=0.3 * width), name


def test_merging_is_associative_and_writes_nothing():
    logits, labels = sample(900)
    parts = [streamed(some, own) for some, own in zip(logits.split(300), labels.split(300))]
    before = [part.state["ranks"].clone() for part in parts]
    left, right = parts[0].merge(parts[1]).merge(parts[2]), parts[0].merge(parts[1].merge(parts[2]))
    whole = streamed(logits, labels)
    for name in whole.state:
        torch.testing.assert_close(left.state[name], right.state[name], rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(left.state[name], whole.state[name], rtol=1e-12, atol=1e-12)
    assert all(torch.equal(part.state["ranks"], kept) for part, kept in zip(parts, before))
    assert left.compute()["ece"].n == 900


def test_unlike_counts_are_not_merged():
    for other in (Calibration(10), Calibration(cells=50), Calibration(probabilities=True)):
        with pytest.raises(OverfocusError, match="make them equal"):
            Calibration().merge(other)


def test_memory_is_constant():
    calibration = Calibration()
    size = sum(value.numel() * value.element_size() for value in calibration.state.values())
    logits, labels = sample(8)
    for _ in range(200):
        calibration.update(logits, labels)
    held = [value for value in vars(calibration).values() if isinstance(value, torch.Tensor)]
    assert not held
    assert sum(value.numel() * value.element_size() for value in calibration.state.values()) == size < 330_000
    assert calibration.compute()["accuracy"].n == 1600


def test_cells_ascend_with_confidence_and_hold_the_ends():
    confidence = (
        torch.cat((torch.linspace(0, 1, 999).double(), 1 - 10.0 ** -torch.arange(1, 17).double())).sort().values
    )
    logits = torch.stack((confidence, 1 - confidence), dim=1)
    calibration = Calibration(probabilities=True)
    calibration.update(logits, torch.zeros(len(logits)).long())
    assert calibration.state["ranks"].shape == (CELLS, 4)
    assert calibration.state["ranks"][:, 0].sum() == len(logits)
    occupied = calibration.state["ranks"][calibration.state["ranks"][:, 0] > 0]
    assert ((occupied[:, 1] / occupied[:, 0]).diff() > 0).all()
    assert len(occupied) > 500


def test_what_has_no_answer_is_counted():
    logits, labels = sample(10)
    logits[3] = torch.nan
    found = streamed(logits, labels).compute()
    assert found["ece"].n == 9
    assert "1 images" in found["ece"].note
    probabilities = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    endless = streamed(probabilities, torch.tensor([1, 0]), probabilities=True).compute()
    assert endless["nll"].value == math.inf
    assert endless["accuracy"].value == 0.5


def test_nothing_yet():
    for score in Calibration().compute().values():
        assert math.isnan(score.value)
        assert score.note


def test_a_stream_of_one():
    found = streamed(torch.tensor([[2.0, 0.0]]), torch.tensor([0])).compute()
    assert found["accuracy"].value == 1
    assert math.isnan(found["accuracy"].low)


def test_computing_repeats_and_draws_only_from_its_seed():
    calibration = streamed(*sample(300))
    state = torch.random.get_rng_state()
    assert calibration.compute(1)["ece"] == calibration.compute(1)["ece"]
    assert calibration.compute(1)["ece"].low != calibration.compute(2)["ece"].low
    assert torch.equal(state, torch.random.get_rng_state())


def test_diagram_by_hand():
    calibration = Calibration(4, probabilities=True)
    rows = torch.tensor([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]])
    calibration.update(rows, torch.tensor([0, 1, 0]))
    found = calibration.diagram()
    assert found.count.tolist() == [0, 0, 2, 1]
    assert found.confidence[2:].tolist() == pytest.approx([0.65, 0.9])
    assert found.accuracy[2:].tolist() == [0.5, 1.0]
    assert found.accuracy[:2].isnan().all()
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    judged = Predictions.of(rows, torch.tensor([0, 1, 0]), probabilities=True)
    torch.testing.assert_close(diagram(judged.confidence, judged.hit, 4).accuracy, found.accuracy, equal_nan=True)
