"""Half of the object: geometry in pictures of any shape, fillings, and networks whose answer is known."""

from math import pi

import pytest
import torch
from nets import Constant, LeftHalf, halves
from torch import nn

import overfocus as of
from overfocus.core.key import Key
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.fillings import FILLINGS, fillings, in_words
from overfocus.diagnosis.half_planes import centroids, half_planes
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.sections.halves import Halves


def slow_half(centre, angle, size):
    """Ask every pixel by itself on which side it lies."""
    direction = torch.tensor([torch.cos(angle), torch.sin(angle)])
    return torch.tensor(
        [[bool((torch.tensor([x + 0.5, y + 0.5]) - centre) @ direction >= -1e-6) for x in range(size[1])]
         for y in range(size[0])]
    )  # fmt: skip


class TestGeometry:
    @pytest.mark.parametrize("size", [(5, 9), (11, 4), (1, 6), (7, 1)])
    def test_it_is_a_half_plane_in_a_picture_of_any_shape(self, size):
        drawn = torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
        centres = drawn[:, :2] * torch.tensor([size[1], size[0]])
        angles = 2 * pi * drawn[:, 2]
        for found, centre, angle in zip(half_planes(centres, angles, size), centres, angles, strict=True):
            assert torch.equal(found, slow_half(centre, angle, size))

    def test_the_angle_turns_from_x_to_y_and_the_centre_is_where_it_is_said_to_be(self):
        centres = torch.tensor([[2.0, 3.0]]).expand(4, -1)
        right, down, left, up = half_planes(centres, torch.arange(4) * pi / 2 + 1e-4, (6, 10))
        assert torch.equal(right, (torch.arange(10) >= 2).expand(6, 10))
        assert torch.equal(down, (torch.arange(6) >= 3)[:, None].expand(6, 10))
        assert torch.equal(left, ~right)
        assert torch.equal(up, ~down)

    def test_a_centroid_is_the_mean_place_of_its_pixels(self):
        masks = torch.zeros(3, 4, 9, dtype=torch.bool)
        masks[0, 1:3, 2:8] = True
        masks[1, 0, 0] = masks[1, 3, 8] = masks[1, 3, 7] = True
        found = centroids(masks)
        assert found[0].tolist() == [5, 2]
        assert found[1].tolist() == pytest.approx([(0.5 + 8.5 + 7.5) / 3, (0.5 + 3.5 + 3.5) / 3])
        assert found[2].isnan().all()


class TestFillings:
    pixels = torch.rand(3, 2, 8, 13, generator=torch.Generator().manual_seed(0))

    def filled(self, rows=slice(None)):
        key = Key.seeded(0).at(torch.arange(3)[rows])
        return fillings(self.pixels[rows], torch.tensor([0.2, 0.7]).view(2, 1, 1), key, self.pixels.flip(0)[rows])

    def test_each_is_what_it_says(self):
        found = self.filled()
        assert list(found) == list(FILLINGS)
        assert all(each.shape == self.pixels.shape for each in found.values())
        assert found["mean"][1, :, 3, 4].tolist() == pytest.approx([0.2, 0.7])
        assert torch.equal(found["patch"], self.pixels.flip(0))
        assert found["noise"].min() < 0.1
        assert found["noise"].max() > 0.9
        assert abs(float(torch.corrcoef(torch.stack((found["noise"].flatten(), self.pixels.flatten())))[0, 1])) < 0.2

    def test_blur_leaves_the_colour_and_takes_what_is_small(self):
        blurred = self.filled()["blur"]
        torch.testing.assert_close(blurred.mean(dim=(2, 3)), self.pixels.mean(dim=(2, 3)), atol=0.02, rtol=0)
        assert blurred.std() < 0.4 * self.pixels.std()

    def test_a_picture_is_filled_alike_in_any_batch(self):
        whole, one = self.filled(), self.filled(slice(1, 2))
        for name, each in one.items():
            torch.testing.assert_close(each, whole[name][1:2])

    def test_without_donors_there_is_no_patch(self):
        assert "patch" not in fillings(self.pixels, torch.zeros(2, 1, 1), Key.seeded(0).at(torch.arange(3)))


class Everywhere(nn.Module):
    """Two classes by the mean of all pixels, normalised: any half says what the whole says."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.look.weight, 1 / 3)

    def forward(self, x):
        return 40 * self.look(x).mean(dim=(2, 3)) * torch.tensor([-1.0, 1.0])


def even(count=40, size=(12, 16)):
    labels = torch.arange(count) % 2
    noise = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(2))
    return 0.2 + 0.6 * labels[:, None, None, None] + 0.1 * (noise - 0.5), labels


def asked(model, pixels, labels, mean=0.5, sections=(), **known):
    sample = from_pixels(pixels, labels, ("0", "1"), batch=7, **known)
    return of.diagnose(model, sample, at="look", only=["halves"], seed=4, mean=(mean,), std=(1,), sections=sections)


def test_a_network_that_reads_everything_knows_it_from_either_half():
    found = asked(Everywhere(), *even())["halves"]
    for name in ("whole", "half_mean", "half_blur", "half_noise"):
        assert found[name].value == 1, name
    # The other picture is of the other class, and shows as much as what is left.
    assert 0.3 < found["half_patch"].value < 0.7
    assert found["both"].value >= 0.75
    assert found["kept"].value == pytest.approx(2 * found["half"].value - 1)


def test_a_network_that_reads_one_side_loses_what_hides_it():
    pixels, labels = halves(40)
    masks = torch.ones(40, *pixels.shape[2:], dtype=torch.bool)
    found = asked(LeftHalf(), pixels, labels, mean=0.0, masks={"all": masks})
    scores = found["halves"]
    assert scores["whole"].value == 1
    assert scores["half_patch"].value == pytest.approx(0.5, abs=0.1)
    assert scores["agreement"].value < 1
    assert found.evidence.tensor("halves/share").sub(0.5).abs().max() < 0.1


def test_one_class_for_everything_keeps_nothing_that_has_a_number():
    pixels, labels = halves(20)
    found = asked(Constant(), pixels, labels)["halves"]
    assert found["half"].value == found["whole"].value == 0.5
    assert found["agreement"].value == 1
    assert not found["kept"].answered
    assert found["kept"].note


def test_the_centre_is_that_of_the_mark_and_else_of_the_picture():
    pixels, labels = torch.zeros(30, 3, 12, 16), torch.arange(30) % 2
    pixels[:, :, :2, :2] = labels[:, None, None, None].float()
    corner = [torch.tensor([[0, 0, 2, 2]])] * 15 + [torch.zeros(0, 4, dtype=torch.int64)] * 15
    found = asked(Everywhere(), pixels, labels, boxes=corner)
    assert found.evidence.tensor("halves/marked").tolist() == [True] * 15 + [False] * 15
    share = found.evidence.tensor("halves/share")
    assert ((share[:15] >= 0.25) & (share[:15] <= 0.75)).all()
    assert share[15:].isnan().all()
    notes = found.findings[0].notes[0]
    assert "15 pictures" in notes
    assert "boxes" in notes


def test_both_halves_of_a_picture_make_it_whole():
    """What is hidden once is shown once: the pictures that the network gets, put together, are the picture."""
    seen = []

    class Watched(Everywhere):
        def forward(self, x):
            seen.append(x.clone())
            return super().forward(x)

    pixels, labels = even(6, (5, 8))
    asked(Watched(), pixels, labels)
    one, other = seen[-8:-6]  # the first filling, 0 where normalised, in the one and the other half
    assert torch.allclose(one + other, pixels - 0.5)
    assert ((one == 0) ^ (other == 0)).all()


def test_what_it_trained_with_is_left_out_of_the_first_number():
    pixels, labels = even()
    sample = from_pixels(pixels, labels, ("0", "1"), batch=7)

    def found(trained_with):
        classifier = Classifier(
            "net", Everywhere(), (0.5,) * 3, (1.0,) * 3, ("0", "1"), "look", trained_with=trained_with
        )
        return of.diagnose(classifier, sample, only=["halves"], seed=4)

    none, patch, all_of_them = found(None), found(("patch",)), found(tuple(FILLINGS))
    assert patch["halves"]["half_new"].value == 1  # by another picture alone it is wrong
    assert none["halves"]["half_new"].value == none["halves"]["half"].value == patch["halves"]["half"].value < 1
    assert not all_of_them["halves"]["half_new"].answered
    assert len({each.findings[0].notes[1] for each in (none, patch, found(()))}) == 3
    assert [each.evidence.about["trained_with"] for each in (none, patch)] == [None, ["patch"]]


def test_a_diagnosis_of_before_counts_every_filling():
    found = asked(Everywhere(), *even())
    about = {name: value for name, value in found.evidence.about.items() if name != "trained_with"}
    before = Diagnosis(Evidence(found.evidence.arrays, about))
    assert before["halves"]["half_new"].value == found["halves"]["half"].value


def test_fillings_in_words_keep_their_order():
    assert in_words(["noise", "mean", "blur"]) == "the mean colour, blur or noise"
    assert in_words({"patch", "mean"}, "and") == "the mean colour and another picture"
    assert in_words(["blur"]) == "blur"
    assert in_words([]) == ""


def test_at_most_so_many_images_and_one_class_alone_has_no_other_picture():
    pixels, labels = even(12)
    found = asked(Everywhere(), pixels, labels, sections=[Halves(images=8)])
    assert found["halves"]["half"].n == 8
    alone = asked(Everywhere(), pixels[:3], torch.zeros(3, dtype=torch.int64))["halves"]
    assert "half_patch" not in alone
    assert alone["half"].n == 3
