import math

import pytest
import torch
from sklearn.metrics import log_loss

from overfocus.core.errors import OverfocusError
from overfocus.metrics.confidence import Predictions, scores


def sample(n=60, k=7, seed=0, scale=2.0):
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=source) * scale
    return logits, torch.multinomial(logits.softmax(1), 1, generator=source)[:, 0]


def votes(n=40, k=5, seed=1):
    source = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 9, (n, k), generator=source) + torch.eye(k)[torch.arange(n) % k]
    return counts / counts.sum(dim=1, keepdim=True)


def test_by_hand():
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    found = Predictions.of(probabilities, torch.tensor([1, 2]), probabilities=True)
    assert found.confidence.tolist() == pytest.approx([0.5, 0.7])
    assert found.hit.tolist() == [0.0, 1.0]
    assert found.brier.tolist() == pytest.approx([0.25 + 0.5625 + 0.0625, 0.01 + 0.04 + 0.09])
    assert found.nll.tolist() == pytest.approx([math.log(4), -math.log(0.7)])


def test_soft_labels_by_hand():
    probabilities, labels = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.6, 0.4, 0.0]])
    found = Predictions.of(probabilities, labels, probabilities=True)
    assert found.hit.item() == pytest.approx(0.6)
    assert found.brier.item() == pytest.approx(0.01 + 0.0225 + 0.0625)
    assert found.nll.item() == pytest.approx(-0.6 * math.log(0.5) - 0.4 * math.log(0.25))


def test_one_hot_labels_are_plain_labels():
    logits, labels = sample()
    plain, soft = Predictions.of(logits, labels), Predictions.of(logits, torch.eye(7)[labels])
    for name in ("confidence", "hit", "brier", "nll"):
        torch.testing.assert_close(getattr(plain, name), getattr(soft, name))


def test_logits_and_their_probabilities_agree():
    logits, labels = sample()
    one, other = scores(logits, labels), scores(logits.softmax(1), labels, probabilities=True)
    for name in one:
        assert one[name].value == pytest.approx(other[name].value, abs=1e-6), name


def test_logits_in_the_unit_interval_are_still_logits():
    logits = torch.tensor([[0.2, 0.8], [0.9, 0.1]])
    found = Predictions.of(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(found.confidence, logits.double().softmax(1).amax(1))


def test_parity_with_scikit_learn_and_torch():
    logits, labels = sample(200, 6)
    found, share = scores(logits, labels), logits.double().softmax(1)
    assert found["nll"].value == pytest.approx(log_loss(labels, share, labels=range(6)))
    assert found["nll"].value == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert found["brier"].value == pytest.approx(float((share - torch.eye(6)[labels]).square().sum(1).mean()))
    assert found["accuracy"].value == pytest.approx((logits.argmax(1) == labels).double().mean().item())


def test_brier_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = sample(200, 6)
    try:
        expected = metrics.brier_score_loss(labels, logits.double().softmax(1), labels=range(6), scale_by_half=False)
    except TypeError:
        pytest.skip("this scikit-learn has only the binary Brier score")
    assert scores(logits, labels)["brier"].value == pytest.approx(expected)


def gap(logits, labels):
    return float(Predictions.of(logits, labels).means()["gap"][1].mean())


def test_gap_is_signed():
    logits, labels = sample(2000, 4)
    gaps = [gap(logits * scale, labels) for scale in (0.3, 1.0, 4.0)]
    assert gaps[0] < -0.05 < 0.05 < gaps[2]
    assert abs(gaps[1]) < 0.03
    soft = scores(logits[:50], votes(50, 4))
    assert soft["gap"].value == pytest.approx(soft["confidence"].value - soft["accuracy"].value)


def test_rows_without_numbers_are_left_out_and_counted():
    logits, labels = sample(9, 4)
    broken = logits.clone()
    broken[2, 1], broken[5, 0] = torch.nan, torch.inf
    found, kept = scores(broken, labels), torch.tensor([0, 1, 3, 4, 6, 7, 8])
    expected = scores(logits[kept], labels[kept])
    for name, score in found.items():
        assert score.value == pytest.approx(expected[name].value, nan_ok=True), name
        assert score.n == 7 or not score.answered
        assert "2 images" in score.note


def test_nothing_to_judge_has_no_answer():
    for logits in (torch.zeros(0, 3), torch.full((4, 3), torch.nan)):
        for score in scores(logits, torch.zeros(len(logits), dtype=torch.long)).values():
            assert math.isnan(score.value)
            assert score.note


def test_a_label_without_probability_makes_the_likelihood_infinite():
    probabilities = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    score = scores(probabilities, torch.tensor([1, 0]), probabilities=True)["nll"]
    assert not score.answered
    assert score.value == math.inf
    assert "1 images" in score.note
    soft = scores(probabilities, torch.tensor([[1.0, 0.0], [0.5, 0.5]]), probabilities=True)["nll"]
    assert soft.value == pytest.approx(math.log(2) / 2)


def test_one_class_and_a_batch_of_one():
    assert scores(torch.zeros(1, 1), torch.zeros(1, dtype=torch.long))["accuracy"].value == 1.0
    found = scores(torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([1]))
    assert found["ece"].value == pytest.approx(found["confidence"].value)
    assert math.isnan(found["ece_debiased"].value)


def test_classes_that_are_ruled_out():
    logits = torch.tensor([[1.0, -torch.inf, 0.0]])
    assert scores(logits, torch.tensor([0]))["nll"].value == pytest.approx(math.log(1 + math.exp(-1)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_read_and_not_written_to(dtype):
    logits, labels = sample()
    low = logits.to(dtype)
    kept = low.clone()
    exact = Predictions.of(logits, labels)
    torch.testing.assert_close(Predictions.of(low, labels).nll, exact.nll, rtol=0.02, atol=0.03)
    assert torch.equal(low, kept)
    shares = Predictions.of(logits.softmax(1).to(dtype), labels, probabilities=True)
    torch.testing.assert_close(shares.brier, exact.brier, rtol=0.02, atol=0.02)


def test_blocks_do_not_matter(monkeypatch):
    logits, labels = sample()
    whole = Predictions.of(logits, labels)
    monkeypatch.setattr("overfocus.metrics.confidence.BLOCK", 22)
    assert torch.equal(Predictions.of(logits, labels).nll, whole.nll)


def test_the_global_draw_is_not_moved_and_a_seed_repeats():
    logits, labels = sample()
    state = torch.random.get_rng_state()
    assert {n: s.low for n, s in scores(logits, labels).items()} == {
        n: s.low for n, s in scores(logits, labels).items()
    }
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("logits", "labels", "flag", "word"),
    [
        (torch.zeros(3), torch.zeros(3).long(), False, r"\[N, K\]"),
        (torch.zeros(3, 2).long(), torch.zeros(3).long(), False, "floats"),
        (torch.zeros(3, 2), torch.zeros(2).long(), False, "labels"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 2]), False, "2 classes"),
        (torch.zeros(3, 2), torch.tensor([0, 1, -1]), False, "without a label"),
        (torch.zeros(3, 2), torch.ones(3, 2), False, "votes"),
        (torch.tensor([[2.0, 1.0]]), torch.tensor([0]), True, "leave probabilities=True out"),
        (torch.tensor([[1.5, -0.5]]), torch.tensor([0]), True, "negative"),
    ],
)
def test_errors_say_what_instead(logits, labels, flag, word):
    with pytest.raises(OverfocusError, match=word):
        scores(logits, labels, probabilities=flag)
