import json

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.commands import inspect
from overfocus.commands.inspect import inspect_method
from overfocus.core.errors import OverfocusError
from overfocus.data import load
from overfocus.models.overfocus_cnn import OverfocusCNN
from overfocus.models.split import FEATURES
from overfocus.regularizers.spec import parse
from overfocus.report.drawing import inspection
from overfocus.report.drawing.contact_sheet import Panel, contact_sheet
from overfocus.report.drawing.letters import drawable
from overfocus.training.expected import expected
from overfocus.training.objective import Objective
from overfocus.training.recorder import Recorder

NAMES = ("[bold]x[/bold]", "猫と犬", "Ærøskøbing é" + "long" * 30, "plain")


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A folder of few small images that are not square, in classes with names as people give them."""
    root = tmp_path_factory.mktemp("pets")
    random = np.random.default_rng(0)
    for name in NAMES:
        (root / name.replace("/", "")).mkdir()
        for number in range(5):
            pixels = random.integers(0, 256, (12, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name.replace("/", "") / f"{number}.png")
    return root


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(inspect, "BATCH", 16)
    monkeypatch.setattr(inspect, "BATCHES", 4)
    monkeypatch.setattr(inspect, "ENCODED", 2)


def watched(spec, pets, at=FEATURES):
    """What the first batch of `pets` went through."""
    method, dataset = parse(spec), load(str(pets))
    torch.manual_seed(0)
    experiment = inspect._experiment(str(pets), None, None, None)
    model = OverfocusCNN(4, widths=(4, 6, 8))
    return inspect._record(method, model, at, inspect._stream(dataset, experiment, 0, 6), seed=3)


@pytest.mark.parametrize(
    "spec",
    [
        "plain",
        "cutmix(prob=1.0)",
        "oneof(cutmix, mixup, plain) + cutout(holes=2, fill='noise')",
        "sgdrop(prob=1.0, views='both') + dropout",
        "sgdrop(unit='element', ramp=0.5, teacher='ema')",
        "mixup(at='stages.0') + dropblock(at='stages.1', schedule='linear') + sgdrop + sgdrop(drop=0.2)",
    ],
)
def test_every_kind_of_method_is_drawn(spec, pets, tmp_path):
    rates = inspect_method(spec, tmp_path / "new" / "a.png", data=str(pets), images=3)
    assert json.loads(json.dumps(rates, allow_nan=False)) == rates
    assert all(rate["n"] > 0 and 0 <= rate["measured"] <= 1 for rate in rates.values())
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]
    picture = Image.open(tmp_path / "new" / "a.png")
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    edges = np.asarray(picture)
    assert all((side == 255).all() for side in (edges[:, :10], edges[:, -10:], edges[:10], edges[-10:]))


def test_measured_rates_stand_beside_the_nominal_ones(monkeypatch, tmp_path):
    monkeypatch.undo()
    rates = inspect_method("cutmix + cutout(size=10) + mixup(prob=0.3)", tmp_path / "a.PNG", seed=1)
    assert list(rates) == ["cutmix_kept", "cutmix_rate", "cutout_hidden", "cutout_rate", "mixup_kept", "mixup_rate"]
    for name, rate in rates.items():
        error = 4 * rate["sd"] / rate["n"] ** 0.5
        if name != "cutout_hidden":  # clipped at the border, which its nominal share is not
            assert rate["measured"] == pytest.approx(rate["nominal"], abs=error + 0.01 * (name == "cutmix_kept"))
    assert rates["cutout_hidden"]["nominal"] == 10**2 / 40**2 > rates["cutout_hidden"]["measured"]
    assert rates["cutmix_rate"]["n"] == 20 * 128
    assert rates["cutmix_kept"]["n"] == round(rates["cutmix_rate"]["measured"] * 20 * 128)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_nominal_cutmix_is_the_mean_of_clipped_boxes(alpha):
    random = np.random.default_rng(0)
    side, x, y = np.sqrt(random.beta(alpha, alpha, 400_000)), *random.random((2, 400_000))
    across, down = (np.minimum(c + side / 2, 1) - np.maximum(c - side / 2, 0) for c in (x, y))
    kept = expected(parse(f"cutmix(alpha={alpha})"), (40, 40))["cutmix_kept"]
    assert kept == pytest.approx(1 - (across * down).mean(), abs=2e-3)
    if alpha == 1:
        assert kept == pytest.approx(1 - 0.3208, abs=1e-4)


def test_nominal_values_follow_the_settings():
    assert expected(parse("cutout(size=(1, 3), prob=0.5)"), (4, 8)) == {
        "cutout_rate": 0.5,
        "cutout_hidden": pytest.approx((1 + 4 + 9) / 3 / 32),
    }
    assert expected(parse("cutmix(size=4)"), (8, 16))["cutmix_kept"] == pytest.approx(1 - 0.4375 * 0.234375)
    assert "cutmix_kept" not in expected(parse("cutmix(centre='gaussian')"), (8, 8))
    assert expected(parse("oneof(mixup, cutmix(prob=0.5), plain, weights=(2, 1, 1))"), (8, 8))["cutmix_rate"] == 0.125
    assert expected(parse("sgdrop(drop=(0.2, 0.6), unit_prob=0.5)"), (8, 8))["sgdrop_dropped"] == pytest.approx(0.2)
    both = expected(parse("sgdrop(drop=0.2, prob=0.5) + sgdrop(drop=0.4, prob=0.5)"), (8, 8))
    assert both == {"sgdrop_rate": 0.5}


@pytest.mark.parametrize(
    ("spec", "quantity"),
    [("cutmix(prob=1.0)", "cutmix_kept"), ("cutout(fill='mean', size=5, holes=2, prob=1.0)", "cutout_hidden")],
)
def test_the_outline_is_that_of_the_box(spec, quantity, pets):
    sample, _ = watched(spec, pets)
    measured = sample.seen[-1].after.measured[quantity]
    touched = sample.touched.float().mean(dim=(1, 2))
    assert torch.allclose(touched, 1 - measured if quantity == "cutmix_kept" else measured)


@pytest.mark.parametrize("views", ["masked", "both"])
def test_what_is_dropped_is_read_off_the_features(views, pets):
    sample, _ = watched(f"sgdrop(prob=1.0, drop=0.4, views='{views}')", pets)
    seen = sample.first(6).seen[-1]
    what, share = inspection._changed_share(seen)
    active = (seen.before.values != 0).any(dim=1).numpy()
    assert what == "dropped"
    assert set(np.unique(share)) <= {0, 1}
    dropped = share.sum(axis=(1, 2)) / active[0].size
    assert dropped == pytest.approx(seen.after.measured["sgdrop_dropped"].numpy(), abs=1e-6)
    heat, share = inspection._by_position(seen.attribution).numpy(), share.numpy()
    assert all(heat[n][share[n] == 1].min() >= heat[n][(share[n] == 0) & active[n]].max() for n in range(len(heat)))


def test_behind_two_views_the_masked_one_is_shown(pets):
    sample, tally = watched("sgdrop(at='stages.1', prob=1.0, views='both') + dropblock(drop=0.5)", pets)
    first, second = sample.first(6).seen[1:]
    assert len(sample.seen[-1].before) == 2 * len(first.after) * len(sample.images) // 6
    assert len(first.after) == len(second.before) == len(second.after) == 6
    assert (first.after.values == 0).any()
    assert tally.images == 2 * len(sample.images)
    assert [name for name in second.measured() if name.endswith("dropped")] == ["sgdrop_dropped", "dropblock_dropped"]


def test_a_mix_of_features_is_not_called_dropped(pets):
    sample, _ = watched("cutmix(prob=1.0, at='features')", pets)
    what, share = inspection._changed_share(sample.seen[-1])
    assert what == "mixed"
    assert set(np.unique(share[share < 0.5])) == {0}
    assert share.mean(dim=(1, 2)).numpy() == pytest.approx(
        1 - sample.seen[-1].after.measured["cutmix_kept"].numpy(), abs=0.2
    )


@pytest.mark.parametrize("spec", ["cutmix + sgdrop(views='both')", "oneof(mixup, cutout) + dropblock(at='stages.0')"])
def test_a_witness_changes_nothing(spec):
    torch.manual_seed(0)
    model, images, labels = OverfocusCNN(4, widths=(4, 6)), torch.randn(6, 3, 8, 10), torch.arange(6) % 4
    witness = Recorder(parse(spec))
    own, watched = (Objective(model, method, seed=5)(images, labels) for method in (parse(spec), witness))
    assert own.item() == watched.item()
    assert [seen.place for seen in witness.seen] == ["image", "@features" if "both" in spec else "stages.0"]
    assert str(witness) == str(parse(spec))


def test_schedules_stand_at_their_end(pets, tmp_path):
    rates = inspect_method("sgdrop(start=0.5, ramp=0.5, drop=0.4, prob=1.0)", tmp_path / "a.png", data=str(pets))
    assert rates["sgdrop_dropped"]["measured"] == pytest.approx(0.4, abs=0.07)


def test_the_same_seed_gives_the_same_picture_and_moves_no_random_state(pets, tmp_path):
    state = torch.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        inspect_method("cutmix + dropout", tmp_path / f"{name}.png", data=str(pets), seed=seed)
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c
    assert torch.equal(torch.get_rng_state(), state)


def test_a_picture_is_written_whole_or_not_at_all(pets, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_text("the old one")

    def full(*args, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OverfocusError, match="disk is full"):
        inspect_method("mixup", tmp_path / "a.png", data=str(pets))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.png", "the old one")]


def test_a_bad_target_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for name, told in (("a.jpg", "ends in .png"), ("folder.png", "is a folder"), ("file/a.png", "cannot be made")):
        with pytest.raises(OverfocusError, match=told):
            inspect_method("no such method", tmp_path / name)


def test_names_are_drawn_with_the_letters_there_are():
    assert drawable("Ægir\té", "class 3") == "Ægir é"
    assert drawable("猫と犬", "class 3") == "class 3"
    assert drawable("", "class 3") == "class 3"
    assert drawable("[bold]x\x1b[31m", "class 3") == "[bold]x?[31m"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["", "猫と犬", "m" * 10_000, "$x^", "x\udcffy\0", "\u202eevil", "🦊" * 60])
def test_any_name_can_be_drawn(name):
    pictures = [Image.new("RGB", (150, 40), "red")] * 3
    sheet = contact_sheet(name, [name], [Panel(name, pictures, [[name]] * 3, inspection.AMOUNT)])
    assert (sheet.mode, sheet.width) == ("RGB", 720)
    assert (np.asarray(sheet) == (255, 0, 0)).all(axis=2).sum() == 3 * 150 * 40, "each pixel of the pictures is kept"


def test_many_labels_are_counted():
    weights = torch.tensor([0.4, 0.3, 0.1, 0.08, 0.07, 0.05])
    named = inspection._target(weights, tuple("abcdef"))
    assert named == ["0.40 a", "0.30 b", "0.10 c", "0.20 3 more"]
    assert inspection._target(weights[[0, 1]], ("x", "猫")) == ["0.40 x", "0.30 class 1"]


def test_tokens_and_vectors_have_a_place():
    grid = torch.arange(6.0)
    tokens = torch.cat((torch.full((1, 1, 2), 99.0), torch.arange(4.0).reshape(1, 4, 1).expand(1, 4, 2)), dim=1)
    assert inspection._by_position(tokens).tolist() == [[[0, 2], [4, 6]]]
    assert inspection._by_position(grid.reshape(1, 3, 2)).tolist() == [[[1, 5, 9]]]
    assert inspection._by_position(grid.reshape(1, 6)).tolist() == [[[15]]]


def test_large_images_are_brought_to_a_readable_size():
    for height, width, size in (
        (28, 28, (168, 168)),
        (10, 40, (160, 40)),
        (600, 300, (128, 256)),
        (200, 9, (9, 200)),
    ):
        (picture,) = inspection._pictures(torch.zeros(1, 3, height, width))
        assert picture.size == size
