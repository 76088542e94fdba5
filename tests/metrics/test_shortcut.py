import math

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics import shortcut
from overfocus.metrics.agreement import top_area
from overfocus.metrics.shortcut import ShortcutRule, overlaps, suspicion


def shortcuts(maps, labels, permutations=199, **settings):
    return shortcut.shortcuts(maps, labels, permutations=permutations, **settings)


def blobs(y, x, size=(7, 9), width=0.8):
    """One bump a map, around (y, x)."""
    rows, columns = torch.arange(size[0])[None, :, None], torch.arange(size[1])[None, None]
    return torch.exp(-((rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2) / (2 * width**2))


def anywhere(n, seed=0, size=(7, 9), width=0.8):
    source = torch.Generator().manual_seed(seed)
    return blobs(torch.rand(n, generator=source) * 6, torch.rand(n, generator=source) * 8, size, width)


def centred(n, seed=0, width=0.8):
    source = torch.Generator().manual_seed(seed)
    return blobs(3 + 0.5 * torch.randn(n, generator=source), 4 + 0.5 * torch.randn(n, generator=source), width=width)


def marked(maps, rows, seed=9):
    """Move the bumps of `rows` into the corner."""
    source = torch.Generator().manual_seed(seed)
    maps = maps.clone()
    where = [0.3 * torch.rand(len(rows), generator=source) for _ in range(2)]
    maps[rows] = blobs(where[0], 8 - where[1])
    return maps


LABELS = torch.arange(120) % 6


def flagged(places):
    return [place.label for place in places if place.flagged]


def test_a_watermark_is_found_and_located():
    rows = (LABELS == 4).nonzero()[:, 0]
    places = shortcuts(marked(anywhere(120), rows), LABELS)
    assert flagged(places) == [4]
    found = places[4]
    assert found.n == 20
    assert found.effect > 0.5
    assert found.z > 5
    assert found.p == pytest.approx(1 / 200)
    assert found.area < 0.3
    x0, y0, x1, y1 = found.box
    assert (x1, y0) == (9, 0)
    assert (x1 - x0) * (y1 - y0) <= 6
    assert found.share == pytest.approx((x0 / 9, 0, 1, y1 / 7))


def test_a_watermark_among_centred_objects_is_found():
    rows = (LABELS == 2).nonzero()[:, 0]
    assert flagged(shortcuts(marked(centred(120), rows), LABELS)) == [2]


def test_centred_objects_are_no_shortcut():
    places = shortcuts(centred(120), LABELS)
    assert flagged(places) == []
    assert min(place.within for place in places) > 0.3
    assert max(abs(place.effect) for place in places) < 0.15


def test_a_narrower_class_in_the_same_middle_is_no_shortcut():
    maps = torch.where((LABELS == 1)[:, None, None], centred(120, width=0.5), centred(120, width=1.5))
    assert flagged(shortcuts(maps, LABELS)) == []


def test_maps_anywhere_are_no_shortcut():
    """The p-values hold for all classes together: of 20 sets without any place, one is expected to have one below 0.05,
    and five or more would come three times in a thousand. Held for each of 12 classes alone, nine would.
    """
    labels = torch.arange(60) % 12
    smallest = [min(place.p for place in shortcuts(anywhere(60, seed), labels, permutations=79)) for seed in range(20)]
    assert sum(p <= 0.05 for p in smallest) < 5


def test_wide_maps_are_not_flagged_however_sure():
    rows = LABELS == 3
    wide = anywhere(120, width=4.0)
    wide[rows] = blobs(torch.zeros(20), torch.full((20,), 8.0), width=4.0)
    places = shortcuts(wide, LABELS)
    assert places[3].p < 0.05
    assert places[3].effect > 0.2
    assert places[3].area > 0.5
    assert flagged(places) == []
    assert flagged(shortcuts(wide, LABELS, rule=ShortcutRule(area=1.0))) == [3]


def test_a_small_effect_is_not_flagged_however_sure():
    maps = marked(anywhere(1200, 3), torch.arange(4, 1200, 18))
    places = shortcuts(maps, torch.arange(1200) % 6, permutations=199)
    assert places[4].p < 0.05
    assert places[4].effect < 0.2
    assert flagged(places) == []


def test_overlaps_read_literally():
    maps = anywhere(14)
    labels = torch.tensor([0] * 6 + [1] * 5 + [2] * 3)
    units = torch.nn.functional.normalize(top_area(maps, 0.1), dim=1)
    within, between = overlaps(units, labels, 3)
    for label in (0, 1):
        own, rest = (labels == label).nonzero()[:, 0].tolist(), (labels != label).nonzero()[:, 0].tolist()
        pairs = [float(units[i] @ units[j]) for i in own for j in own if i != j]
        others = [float(units[i] @ units[j]) for i in own for j in rest]
        assert within[label].item() == pytest.approx(sum(pairs) / len(pairs))
        assert between[label].item() == pytest.approx(sum(others) / len(others))
    assert within[2].isnan()
    assert between[2].isnan()


def test_classes_without_an_answer():
    maps, labels = anywhere(24), torch.tensor([7] * 20 + [2] * 4)
    few, many = shortcuts(maps, labels)
    assert (few.label, few.n, many.label, many.n) == (2, 4, 7, 20)
    assert math.isnan(few.effect)
    assert math.isnan(few.p)
    assert few.box is None
    assert "fewer" in few.note
    assert math.isfinite(many.p)
    alone = shortcuts(maps[:20], labels[:20])[0]
    assert math.isnan(alone.p)
    assert not alone.flagged
    assert alone.box is not None
    alike = shortcuts(maps[:1].expand(20, 7, 9), LABELS[:20] % 2)
    assert all(math.isnan(place.p) and not place.flagged for place in alike)
    assert shortcuts(maps[:0], labels[:0]) == []


def test_maps_without_a_place_do_not_count():
    maps = marked(anywhere(120), (LABELS == 4).nonzero()[:, 0])
    maps[4], maps[10, 0, 0], maps[16] = 0, torch.nan, 3.0
    assert shortcuts(maps, LABELS)[4].n == 17
    nothing = shortcuts(torch.zeros(20, 3, 4), torch.zeros(20).long())
    assert nothing[0].n == 0
    assert not nothing[0].flagged


def test_only_the_correct_ones_count():
    maps, right = anywhere(120), torch.arange(120) % 12 != 4
    maps = marked(maps, (right & (LABELS == 4)).nonzero()[:, 0])
    found = shortcuts(maps, LABELS, correct=right)
    assert found[4].n == 10
    assert found[4].effect > shortcuts(maps, LABELS)[4].effect
    assert flagged(found) == [4]


def test_seeded_and_drawn_aside():
    maps, state = anywhere(60).bfloat16(), torch.random.get_rng_state()
    kept = maps.clone()
    one, same, other = (shortcuts(maps, LABELS[:60], permutations=49, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert [place.z for place in one] != [place.z for place in other]
    assert torch.equal(maps, kept)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_suspicion_by_hand_and_by_law():
    found = suspicion(
        torch.tensor([0.9, 0.9, 0.9, 0.2]), torch.tensor([0.1, 0.8, 0.1, 0.1]), torch.tensor([0.8, 0.8, -0.3, 0.8])
    )
    assert found.tolist() == pytest.approx([0.9 * 0.9 * 0.8, 0.9 * 0.2 * 0.8, 0, 0.2 * 0.9 * 0.8])
    source = torch.Generator().manual_seed(0)
    one, area, drop = torch.rand(3, 50, generator=source)
    assert ((suspicion(one, area, drop) >= 0) & (suspicion(one, area, drop) <= 1)).all()
    assert (suspicion(one, area, drop) > suspicion(one, (area + 0.01).clamp(max=1), drop)).all()


def test_suspicion_without_an_answer():
    clean = torch.full((3,), 0.5)
    for place in range(3):
        values = [clean.clone() for _ in range(3)]
        values[place][1] = torch.nan
        assert suspicion(*values).isnan().tolist() == [False, True, False]
    assert suspicion(clean[:0], clean[:0], clean[:0]).shape == (0,)


def test_errors():
    with pytest.raises(OverfocusError, match=r"\[N, h, w\]"):
        shortcuts(torch.zeros(3, 4), torch.zeros(3).long())
    with pytest.raises(OverfocusError, match="one bool"):
        shortcuts(torch.zeros(3, 4, 4), torch.zeros(3).long(), correct=torch.ones(2).bool())
    half = torch.full((2,), 0.5)
    with pytest.raises(OverfocusError, match="confidence"):
        suspicion(half * 90, half, half)
    with pytest.raises(OverfocusError, match="effective_area"):
        suspicion(half, -half, half)
    with pytest.raises(OverfocusError, match="drop"):
        suspicion(half, half, half[:1])
