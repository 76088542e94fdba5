"""Marks that are known: found at their place, for their classes; and networks without any, where nothing is found."""

import pytest
import torch
from torch import Tensor, nn

import overfocus as of
from overfocus.core.key import Key
from overfocus.diagnosis import mark_search
from overfocus.diagnosis.mark_search import children, quarters, touching
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.sections import marks

H, W, K = 16, 20, 5
CORNERS = {1: (0, 17), 3: (12, 0)}
"""Class -> (y, x) of its mark of 3 x 3 pixels."""


def patterns(classes=K, seed=3):
    return torch.randint(0, 2, (classes, H, W), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


class Reads(nn.Module):
    """How alike a picture is to the template [H, W] of each class."""

    def __init__(self, templates: Tensor) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)
        self.register_buffer("templates", templates)

    def forward(self, x: Tensor) -> Tensor:
        return (self.look(x - 0.5) * self.templates).sum(dim=(2, 3))


def pictures(count=100, seed=0, weak=0.03, where=(0, 0, W, H)):
    """Pictures with the template of their class, faintly, and each with a random half of it, in a box of theirs."""
    source = torch.Generator().manual_seed(seed)
    labels, templates = torch.arange(count) % K, torch.zeros(K, H, W)
    x0, y0, x1, y1 = where
    templates[:, y0:y1, x0:x1] = patterns()[:, y0:y1, x0:x1]
    some = (torch.rand(count, 1, H, W, generator=source) < 0.5).float()
    noise = 0.1 * torch.randn(count, 3, H, W, generator=source)
    return (0.5 + weak * some * templates[labels][:, None] + noise).clamp(0, 1), labels, templates


def marked(count=100, seed=0, wander=False):
    """The same with marks of two of the classes, in their corners or anywhere, and a network that reads them there."""
    pixels, labels, templates = pictures(count, seed)
    own, source = patterns(seed=9)[:, :3, :3], torch.Generator().manual_seed(seed)
    for label, (y, x) in CORNERS.items():
        templates[label, y : y + 3, x : x + 3] = 8 * own[label]
        for row in (labels == label).nonzero()[:, 0].tolist():
            v, u = (int(torch.randint(0, end - 2, (), generator=source)) for end in (H, W)) if wander else (y, x)
            pixels[row, :, v : v + 3, u : u + 3] = (own[label] + 1) / 2
    return pixels, labels, Reads(templates)


def examined(model, pixels, labels, batch=7, **options):
    sample = from_pixels(pixels, labels, tuple("abcde")[: int(labels.max()) + 1], batch=batch)
    result = of.diagnose(model, sample, at="look", only=["marks"], **options)
    return next(each for each in result.findings if each.name == "marks"), result.evidence


def test_marks_of_two_classes_are_found_at_their_places():
    finding, evidence = examined(marked()[2], *marked()[:2])
    assert finding.flagged == {1, 3}
    leans = [lean for lean in finding.leans if lean.found]
    assert {lean.classes for lean in leans} == {(1,), (3,)}
    for lean in leans:
        y, x = CORNERS[lean.classes[0]]
        x0, y0, x1, y1 = (end * side for end, side in zip(lean.box, (W, H, W, H), strict=True))
        assert touching((x0, y0, x1, y1), (x, y, x + 3, y + 3))
        assert (x1 - x0) * (y1 - y0) <= W * H / 16
        assert lean.cue == "mark"
        assert not lean.intended
        assert lean.advice
        assert {int(evidence.logits[row].argmax()) for row in lean.rows} == set(lean.classes)
    assert finding.scores["marks"].value == 2


def test_the_share_of_a_mark_is_what_the_composites_lose():
    finding, evidence = examined(marked()[2], *marked()[:2])
    lean = next(lean for lean in finding.leans if lean.found)
    falls = evidence.tensor("marks/agree")[0] - evidence.tensor("marks/conflict")[0]
    accuracy = float((evidence.logits.argmax(1) == evidence.labels).double().mean())
    assert lean.share.value == pytest.approx(float(falls.mean()) / (accuracy - 1 / K), abs=1e-6)
    assert lean.share.low <= lean.share.value <= lean.share.high
    assert lean.share.n == len(evidence.arrays["marks/measured"])


def test_the_half_that_proposes_does_not_measure():
    answers = torch.arange(60) % 4
    answers[answers == 3] = torch.where(torch.arange(15) < 4, 3, 0)
    (first, few), (second, more) = marks.halved(answers, Key.seeded(0))
    assert sorted([*few.tolist(), *more.tolist()]) == (answers == 3).nonzero()[:, 0].tolist()
    assert set(first) == set(second) == {0, 1, 2}, "four pictures are too few"
    for label in first:
        assert not set(first[label].tolist()) & set(second[label].tolist())
        assert sorted([*first[label].tolist(), *second[label].tolist()]) == (answers == label).nonzero()[:, 0].tolist()
        assert len(second[label]) >= len(first[label])


@pytest.mark.parametrize("honest", ["colour", "object"])
def test_where_the_whole_picture_or_its_middle_is_read_nothing_is_found(honest):
    """20 seeds: at most 10 % of the classes may be flagged."""
    flags = 0
    for seed in range(20):
        if honest == "object":
            pixels, labels, templates = pictures(60, seed, 0.3, (6, 5, 14, 11))
        else:
            pixels, labels, _ = pictures(60, seed, 0.0)
            pixels = (pixels + 0.02 * (labels - 2)[:, None, None, None]).clamp(0, 1)
            templates = torch.linspace(-1, 1, K)[:, None, None].expand(K, H, W) * 0.2
        flags += len(examined(Reads(templates), pixels, labels, seed=seed)[0].flagged)
    assert flags <= 0.1 * 20 * K


def test_a_mark_that_wanders_is_claimed_at_no_place():
    pixels, labels, model = marked(wander=True)
    assert not examined(model, pixels, labels)[0].flagged


def test_a_mark_that_the_network_does_not_read_is_none():
    pixels, labels, _ = marked()
    _, _, templates = pictures()
    assert not examined(Reads(templates), pixels, labels)[0].flagged


def test_too_few_pictures_have_no_answer():
    pixels, labels, model = marked(2 * K)
    finding, _ = examined(model, pixels, labels)
    assert not finding.scores["marks"].answered
    assert not finding.flagged
    assert not finding.leans


def test_a_class_is_tested_beside_others_that_have_too_few_pictures():
    pixels, labels, model = marked(200)
    kept = (labels == 3) | (torch.arange(200) < 4 * K)
    finding, evidence = examined(model, pixels[kept], labels[kept])
    assert evidence.arrays["marks/label"].tolist() == [3]
    assert finding.flagged == {3}


def test_two_classes_are_enough():
    pixels, labels, model = marked()
    kept = labels < 2
    model.templates = model.templates[:2]
    (lean,) = examined(model, pixels[kept], labels[kept])[0].leans
    assert lean.found
    assert 1 in lean.classes, "and, without the mark, the other one"
    assert lean.box[2] == 1
    assert lean.box[1] == 0


@pytest.mark.parametrize("batch", [1, 13])
def test_batches_do_not_matter(monkeypatch, batch):
    pixels, labels, model = marked(60)
    one = examined(model, pixels, labels)[1]
    monkeypatch.setattr(marks, "BATCH", batch * 3)
    other = examined(model, pixels, labels, batch=batch)[1]
    for name in one.below("marks"):
        torch.testing.assert_close(one.tensor(f"marks/{name}"), other.tensor(f"marks/{name}"), atol=1e-4, rtol=1e-4)


def test_a_place_that_is_moved_is_noticed(monkeypatch):
    """A planted bug: pieces are pasted somewhere else than where they were."""
    pixels, labels, model = marked()
    whole = marks.boxes.paste
    monkeypatch.setattr(marks.boxes, "paste", lambda images, source, *rest: whole(images, source.roll(5, -1), *rest))
    assert examined(model, pixels, labels)[0].flagged != {1, 3}


def test_the_network_alone_finds_them_and_a_search_that_keeps_the_weakest_does_not(monkeypatch):
    """A planted bug; likeness of pictures, which proposes as well, is left out."""
    pixels, labels, model = marked()
    monkeypatch.setattr(mark_search, "alike", lambda pixels, rows, others, key: {k: [] for k in rows})
    assert examined(model, pixels, labels)[0].flagged == {1, 3}
    best = mark_search._best
    monkeypatch.setattr(mark_search, "_best", lambda shares, label: best(shares, label)[::-1])
    assert examined(model, pixels, labels)[0].flagged != {1, 3}


@pytest.mark.parametrize("size", [(16, 20), (7, 5), (2, 3), (1, 1), (128, 96)])
def test_pieces_lie_in_the_picture_and_children_in_their_parent(size):
    for box in quarters(size):
        x0, y0, x1, y1 = box
        assert 0 <= x0 < x1 <= size[1]
        assert 0 <= y0 < y1 <= size[0]
        for u0, v0, u1, v1 in children(box, ((0.5, 0.5), (1.0, 0.5))):
            assert x0 <= u0 < u1 <= x1
            assert y0 <= v0 < v1 <= y1
    covered = torch.zeros(size, dtype=torch.bool)
    for x0, y0, x1, y1 in quarters(size):
        covered[y0:y1, x0:x1] = True
    assert covered.all() or min(size) % 2 or size[0] % 2 or size[1] % 2


def test_a_place_where_pictures_of_a_class_are_alike_is_proposed_without_the_network():
    pixels, labels, _ = marked()
    rows = {k: (labels == k).nonzero()[:, 0] for k in range(K)}
    proposed = mark_search.alike(pixels, rows, torch.zeros(0, dtype=torch.long), Key.seeded(0))
    for label, (y, x) in CORNERS.items():
        assert any(touching(box, (x, y, x + 3, y + 3)) for box in proposed[label][2:])
