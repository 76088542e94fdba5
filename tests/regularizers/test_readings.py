import pytest
import torch

import readings
from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers import dropblock
from overfocus.regularizers.dropblock import blocks, centre_rate
from overfocus.regularizers.spec import parse


@pytest.mark.parametrize(
    "spec",
    [
        "cutmix",
        "cutmix(prob=1.0)",
        "cutmix(prob=1.0, alpha=0.4)",
        "cutmix(prob=0.5, per='batch')",
        "cutmix(prob=1.0, centre='gaussian')",
        "cutmix(prob=1.0, size=5)",
        "cutmix(prob=1.0, size=0.6)",
        "cutmix(prob=1.0, label='larger')",
        "cutmix(prob=0.7, label='half')",
    ],
)
def test_cutmix(spec):
    readings.cutmix(spec)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_cutmix_scheduled(progress):
    readings.cutmix("cutmix(prob=0.9, schedule='linear')", progress)


def test_cutmix_pastes_the_area_that_the_formula_gives():
    readings.cutmix_mean_area()


@pytest.mark.parametrize(
    "spec",
    [
        "cutout",
        "cutout(size=4)",
        "cutout(size=5, holes=3)",
        "cutout(size=(2, 7), prob=0.5)",
        "cutout(size=(0.2, 0.6), per='batch', prob=0.5)",
        "cutout(fill='mean')",
        "cutout(fill='noise', holes=2)",
        "cutout(fill=-1.5)",
    ],
)
def test_cutout(spec):
    readings.cutout(spec)


def test_cutout_hides_less_than_its_nominal_share():
    readings.cutout_mean_area()


@pytest.mark.parametrize("spec", ["mixup", "mixup(alpha=0.4)", "mixup(prob=0.5)", "mixup(prob=0.5, per='batch')"])
def test_mixup(spec):
    readings.mixup(spec)


def test_mixup_of_integers_says_what_to_do():
    batch = Batch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), Targets.of(torch.tensor([0, 1])))
    with pytest.raises(OverfocusError, match="convert the images"):
        parse("mixup").on_batch(batch, Key.seeded(0))


@pytest.mark.parametrize("head", [readings.Pooled, readings.Deep])
@pytest.mark.parametrize("target", ["label", "predicted", "soft"])
@pytest.mark.parametrize("unit", ["element", "position", "channel"])
def test_sgdrop(unit, target, head):
    readings.sgdrop(f"sgdrop(drop=0.3, unit={unit!r}, target={target!r})", head)


@pytest.mark.parametrize(
    ("spec", "progress"),
    [
        ("sgdrop(drop=0.9, prob=1.0, unit='element')", 1.0),
        ("sgdrop(drop=1.0, unit='position')", 1.0),
        ("sgdrop(drop=0.01)", 1.0),
        ("sgdrop(drop=0.4, rescale=True)", 1.0),
        ("sgdrop(drop=0.4, views='both')", 1.0),
        ("sgdrop(drop=(0.1, 0.9))", 1.0),
        ("sgdrop(drop=(0.0, 0.5), unit='element', prob=1.0, ramp=0.8)", 0.5),
        ("sgdrop(drop=0.5, start=0.4)", 0.3),
        ("sgdrop(drop=0.5, start=0.4)", 0.4),
        ("sgdrop(drop=0.6, start=0.2, ramp=0.5, unit='element')", 0.47),
        ("sgdrop(drop=1.0, ramp=0.5, unit='channel')", 0.9),
    ],
)
def test_sgdrop_with_settings(spec, progress):
    readings.sgdrop(spec, readings.Pooled, progress)


@pytest.mark.parametrize("unit", ["element", "position", "channel"])
def test_the_control_of_sgdrop_drops_as_much_anywhere(unit):
    readings.sgdrop_control(unit)


@pytest.mark.parametrize("unit", ["element", "position", "channel"])
def test_protecting_what_is_salient_drops_as_much_of_the_rest(unit):
    readings.sgdrop_least(unit)


def test_a_chance_spares_a_part_of_what_is_salient():
    readings.sgdrop_chance()


@pytest.mark.parametrize("drop", [0.0, 0.25, 0.9])
def test_dropout(drop):
    readings.dropout(f"dropout(drop={drop})")
    readings.dropout(f"spatialdropout(drop={drop})", whole=(2, 3))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 12])
def test_dropblock(size):
    readings.dropblock(f"dropblock(drop=0.3, size={size})")


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_dropblock_scheduled(progress):
    readings.dropblock("dropblock(drop=0.4, size=3, schedule='linear')", progress)


@pytest.mark.parametrize("drop", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("side", "size"), [(7, 3), (14, 5), (28, 7)])
def test_dropblock_hides_what_it_is_asked_to(side, size, drop):
    readings.dropblock_rate(side, size, drop)


@pytest.mark.slow
@pytest.mark.parametrize("drop", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("side", [7, 14, 28])
def test_dropblock_hides_what_it_is_asked_to_at_every_size(side, size, drop):
    readings.dropblock_rate(side, size, drop)


@pytest.mark.parametrize(("drop", "size"), [(0.05, 3), (0.5, 4), (0.9, 7), (0.3, 40), (0.0, 3)])
@pytest.mark.parametrize("side", [(7, 7), (5, 11), (1, 1)])
def test_the_rate_of_centres_is_exact(drop, size, side):
    assert centre_rate(drop, size, side) == pytest.approx(readings._dropblock_rate(drop, size, *side), rel=1e-6)


def test_a_map_hidden_whole_is_zero_and_nothing_worse():
    found = parse("dropblock(drop=0.9, size=9)").on_features(
        readings.some_batch((40, 2, 3, 3)), readings.probe_of(torch.nn.Identity()), Key.seeded(0)
    )
    assert (found.measured["dropblock_dropped"] == 1).any()
    assert found.values.isfinite().all()


def test_a_block_reaches_no_further_than_its_size():
    centres = torch.zeros(1, 9, 9, dtype=torch.bool)
    centres[0, 4, 4] = True
    assert [int(blocks(centres, size).sum()) for size in (1, 2, 3, 4, 5)] == [1, 4, 9, 16, 25]


@pytest.mark.parametrize(
    "spec",
    [
        "oneof",
        "oneof(cutmix, mixup(alpha=0.4), weights=(1, 2))",
        "oneof(cutmix, plain, cutout + mixup, per='image', weights=(2, 1, 3))",
        "oneof(cutout, cutmix, weights=(0, 1))",
    ],
)
def test_oneof(spec):
    readings.oneof(spec)


def test_oneof_is_one_member_at_the_images_and_at_every_layer():
    """Manifold Mixup: in every batch exactly one of the places is mixed."""
    method = parse("oneof(mixup, mixup(at='a'), mixup(at='b'))")
    batch, counts = readings.some_batch(), torch.zeros(3)
    for seed in range(60):
        key = Key.seeded(seed)
        at = [method.acting(frozenset({place})) for place in ("image", "a", "b")]
        results = [at[0].on_batch(batch, key), *(m.on_features(batch, None, key) for m in at[1:])]
        mixed = torch.tensor([float(not torch.equal(result.values, batch.values)) for result in results])
        assert mixed.sum() == 1
        counts += mixed
    assert (counts > 10).all()


def test_oneof_makes_one_choice_for_a_batch_spread_over_processes():
    method = parse("oneof(mixup, cutmix(prob=1.0))")
    whole = Key.seeded(4)
    for first_row in (0, 3, 6):
        assert torch.equal(
            method._choice(3, Key(whole.words, first_row=first_row)),
            method._choice(9, whole)[first_row : first_row + 3],
        )


def test_one_coin_for_a_batch_spread_over_processes():
    method, batch = parse("cutmix(prob=0.5, per='batch')"), readings.some_batch()
    for seed in range(10):
        key = Key.seeded(seed).words
        rates = {
            float(method.on_batch(batch, Key(key, first_row=row)).measured["cutmix_rate"][0]) for row in (0, B, 2 * B)
        }
        assert len(rates) == 1


B = readings.B


@pytest.mark.parametrize(
    "reading",
    [
        readings.closed_form,
        readings.a_new_norm_is_not_nothing,
        readings.sgdrop_gradient,
        readings.partners,
        readings.cross_entropy,
        readings.own_boxes,
    ],
    ids=lambda reading: reading.__name__,
)
def test_what_the_readings_stand_on(reading):
    reading()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 13, 40])
@pytest.mark.parametrize("shape", [(3, 9, 14), (1, 1, 6), (2, 5, 1)])
def test_blocks_by_numpy_and_by_the_pool_are_the_same(monkeypatch, size, shape):
    centres = torch.rand(shape, generator=torch.Generator().manual_seed(size)) < 0.1
    slow = torch.zeros(shape, dtype=torch.bool)
    for image, y, x in centres.nonzero().tolist():
        top, left = y - size // 2, x - size // 2
        slow[image, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = True
    assert torch.equal(blocks(centres, size), slow)
    monkeypatch.setattr(dropblock, "by_hand", lambda *_: False)
    assert torch.equal(blocks(centres, size), slow)
