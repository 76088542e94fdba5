"""MaxBoxAcc and its kin, against slow readings of the protocol and cases made by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from overfocus.core.errors import OverfocusError
from overfocus.metrics.iou_hits import overlap, scaled, with_area
from overfocus.metrics.localization import FIXED, METRICS, BoxAccuracy, Thresholds

SIZE = (20, 27)
GIVEN = Thresholds(100, (80, 100, 120))


def box(*corners):
    return torch.tensor([corners])


def filled(x0, y0, x1, y1, size=SIZE):
    image = torch.zeros(size)
    image[y0:y1, x0:x1] = 1
    return image


def scene(seed, count=10):
    """Smooth random maps, and one or two random boxes for each."""
    random = np.random.Generator(np.random.Philox(seed))
    small = random.standard_normal((count, 5, 6))
    maps = np.stack([ndimage.zoom(each, (SIZE[0] / 5, SIZE[1] / 6), order=1) for each in small])
    boxes = []
    for number in range(count):
        x0, y0 = random.integers(0, 15, 2 + number % 2), random.integers(0, 10, 2 + number % 2)
        wide, high = random.integers(4, 12, len(x0)), random.integers(4, 10, len(x0))
        boxes.append(torch.from_numpy(np.stack((x0, y0, x0 + wide, y0 + high), axis=1)))
    return torch.from_numpy(maps), boxes


def accumulated(maps, boxes, right=None):
    accuracy = BoxAccuracy()
    accuracy.update(maps, boxes, right)
    return accuracy


def slow_iou(one, other):
    """Both ends inside."""
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    shared = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (one, other)]
    return shared / (sum(areas) - shared)


def clipped(corners):
    return [corners[0], corners[1], min(corners[2], SIZE[1] - 1), min(corners[3], SIZE[0] - 1)]


def outlined(cv2, above):
    """The clipped boxes of all contours, and the place of the largest one among them."""
    contours = cv2.findContours(above.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not contours:
        return [[0, 0, 0, 0]], 0
    areas = [cv2.contourArea(each) for each in contours]
    rectangles = [cv2.boundingRect(each) for each in contours]
    return [clipped([x, y, x + w, y + h]) for x, y, w, h in rectangles], areas.index(max(areas))


def slow_hits(cv2, maps, boxes, share):
    """Whether each image is hit at one threshold (a share of the maximum): largest [N], any contour [N, 3]."""
    largest, every = [], []
    for each, true in zip(maps.numpy(), boxes):
        image8 = ((each - each.min()) / (each - each.min()).max() * 255).astype(np.uint8)
        found, place = outlined(cv2, image8 > int(share * image8.max()))
        best = [max(slow_iou(one, clipped(other)) for other in true.tolist()) for one in found]
        largest.append(best[place] >= 0.5)
        every.append([max(best) >= bound for bound in (0.3, 0.5, 0.7)])
    return np.array(largest), np.array(every)


def test_the_published_maximum_over_a_thousand_thresholds():
    cv2 = pytest.importorskip("cv2")
    maps, boxes = scene(0)
    levels = [slow_hits(cv2, maps, boxes, share) for share in np.arange(0, 1, 0.001)]
    found = accumulated(maps, boxes).oracle()
    assert found["max_box_acc_oracle"].value == max(largest.mean() for largest, _ in levels)
    by_bound = np.stack([every.mean(axis=0) for _, every in levels]).max(axis=0)
    assert found["max_box_acc_v2_oracle"].value == pytest.approx(by_bound.mean())
    assert 0 < by_bound[2] < by_bound[0], "the scene must be able to tell the bounds apart"


def test_figures_at_a_given_threshold():
    cv2 = pytest.importorskip("cv2")
    maps, boxes = scene(1)
    right = torch.arange(10) % 3 > 0
    found = accumulated(maps, boxes, right).compute(Thresholds(90, (51, 102, 153)))
    # Half a level up, so that rounding down gives the level.
    levels = {level: slow_hits(cv2, maps, boxes, (level + 0.5) / 255) for level in (90, 51, 102, 153, FIXED)}
    assert found["max_box_acc"].value == levels[90][0].mean()
    assert found["top1_loc"].value == (levels[90][0] & right.numpy()).mean()
    assert found["gt_known_fixed"].value == levels[FIXED][0].mean()
    assert found["top1_loc_fixed"].value == (levels[FIXED][0] & right.numpy()).mean()
    every = np.mean([levels[level][1][:, bound].mean() for bound, level in enumerate((51, 102, 153))])
    assert found["max_box_acc_v2"].value == pytest.approx(every)


def test_the_fixed_threshold_is_15_percent_of_the_maximum():
    """A square at 39 of 255, on a patch at 38 that is no use, beside a spot of 255."""
    image = torch.zeros(SIZE)
    image[0:16, 0:20], image[2:9, 3:12], image[18, 25] = 38, 39, 255
    right = torch.tensor([True, False])
    found = accumulated(image.expand(2, *SIZE), [box(3, 2, 12, 9)] * 2, right).compute(GIVEN)
    assert found["gt_known_fixed"].value == 1
    assert found["top1_loc_fixed"].value == 0.5
    assert found["max_box_acc"].value == 0


def test_iou_counts_both_ends():
    found, true = np.array([[0, 0, 4, 4]]), np.array([[2, 0, 6, 4], [20, 10, 22, 12]])
    assert overlap(found, true, SIZE).tolist() == [15 / (25 + 25 - 15)]
    assert overlap(true[:1], true[:1], SIZE).tolist() == [1]


def test_a_box_at_the_far_border_is_met_exactly():
    true = np.array([[20, 10, 27, 20]])
    assert overlap(np.array([[20, 10, 26, 19]]), true, SIZE).tolist() == [1]
    found = accumulated(filled(20, 10, 27, 20)[None], [torch.from_numpy(true)]).compute(GIVEN)
    assert found["max_box_acc_v2"].value == 1


def test_any_of_several_boxes_will_do():
    boxes = [torch.tensor([[0, 0, 3, 3], [10, 5, 20, 15]])]
    found = accumulated(filled(10, 5, 20, 15)[None], boxes).compute(GIVEN)
    assert found["max_box_acc"].value == found["max_box_acc_v2"].value == 1


def test_any_contour_may_hit_where_the_largest_misses():
    maps = (filled(0, 0, 12, 12) + filled(16, 14, 22, 19))[None]
    found = accumulated(maps, [box(16, 14, 22, 19)]).compute(GIVEN)
    assert found["max_box_acc"].value == 0
    assert found["max_box_acc_v2"].value == 1


def test_a_map_without_an_answer_is_a_miss_and_is_told():
    maps = torch.stack((filled(2, 3, 9, 12), torch.full(SIZE, 0.5), filled(2, 3, 9, 12)))
    maps[2, 0, 0] = torch.nan
    found = accumulated(maps, [box(2, 3, 9, 12)] * 3).compute(Thresholds(0, (0, 0, 0)))["max_box_acc"]
    assert found.value == pytest.approx(1 / 3)
    assert found.n == 3
    assert "2 maps without an answer counted as misses" in found.note
    corner = accumulated(torch.zeros(1, *SIZE), [box(0, 0, 1, 1)]).compute(GIVEN)
    assert corner["max_box_acc"].value == 0, "the empty level's box must not hit by chance"


def test_an_image_without_a_box_is_left_out_and_told():
    boxes = [torch.zeros(0, 4, dtype=torch.int64), box(5, 5, 5, 9), box(40, 3, 50, 9), box(2, 3, 9, 12)]
    accuracy = accumulated(filled(2, 3, 9, 12).expand(4, *SIZE), boxes)
    found = accuracy.compute(GIVEN)["max_box_acc"]
    assert (found.value, found.n, accuracy.without_box) == (1, 1, 3)
    assert "3 images without a box left out" in found.note
    assert with_area(torch.tensor([[-3, 2, 4, 90]]), SIZE).tolist() == [[0, 2, 4, 20]]


def test_nothing_at_all_has_no_answer():
    accuracy = BoxAccuracy()
    assert not any(score.answered for score in accuracy.compute(GIVEN).values())
    with pytest.raises(OverfocusError, match="no image"):
        accuracy.best_threshold()
    with pytest.raises(OverfocusError, match="no image"):
        accumulated(filled(2, 3, 9, 12)[None], [box(2, 3, 9, 12)]).crossed()


def test_the_top_1_figure_has_no_answer_where_right_was_not_told():
    found = accumulated(*scene(2)).compute(GIVEN)
    assert not found["top1_loc"].answered
    assert found["max_box_acc"].answered


def test_baselines_by_hand():
    """20 x 28: the centre box is 14 x 20 pixels at (4, 3)."""
    size = (20, 28)
    centre, corner = box(4, 3, 24, 17), box(0, 0, 9, 9)
    found = accumulated(filled(1, 1, 3, 3, size).expand(2, *size), [centre, corner]).compute(GIVEN)
    assert found["centre_box"].value == found["centre_box_v2"].value == 0.5
    # 21 x 15 of 28 x 20 counted: 0.5625, met at 0.3 and 0.5.
    assert found["whole_picture"].value == 0.5
    assert found["whole_picture_v2"].value == pytest.approx((2 / 3 + 0) / 2)


def test_small_objects_are_judged_apart():
    large, small = (0, 0, 27, 15), (2, 3, 9, 12)
    maps = torch.stack((filled(*large), filled(15, 10, 20, 18)))
    found = accumulated(maps, [box(*large), box(*small)]).compute(GIVEN)
    assert found["max_box_acc"].value == 0.5
    assert (found["max_box_acc_small"].value, found["max_box_acc_small"].n) == (0, 1)
    assert set(found) == {*METRICS, *(f"{name}_small" for name in METRICS)}


def test_small_is_what_all_boxes_cover_together():
    twice = torch.tensor([[0, 0, 13, 13], [0, 0, 13, 13]])
    apart = torch.tensor([[0, 0, 13, 13], [14, 0, 27, 13]])
    found = accumulated(filled(0, 0, 13, 13).expand(2, *SIZE), [twice, apart]).compute(GIVEN)
    assert found["max_box_acc_small"].n == 1


def dim(level):
    """A square that lies at `level` on a patch of 60 and beside a spot of 255: a box only for 60 <= t < level."""
    image = torch.zeros(SIZE)
    image[0:16, 0:20] = 60
    image[2:9, 3:12] = level
    image[18, 25] = 255
    return image


def test_the_threshold_comes_from_the_other_images():
    """Each kind is perfect at thresholds that are no use to the other."""
    low, high = (torch.stack([dim(level)] * 3) for level in (80, 200))
    high[:, 0:16, 0:20] = high[:, 0:16, 0:20].clamp(min=150)
    boxes = [box(3, 2, 12, 9)] * 3
    one, other = accumulated(low, boxes), accumulated(high, boxes)
    assert 60 <= one.best_threshold().largest < 80
    assert 150 <= other.best_threshold().largest < 200
    assert one.oracle()["max_box_acc_oracle"].value == 1
    assert one.compute(other.best_threshold())["max_box_acc"].value == 0
    assert one.compute(one.best_threshold())["max_box_acc"].value == 1


def test_crossed_gives_no_half_its_own_choice():
    """Two images: each is judged where the other one is best, so both miss, and the oracle has one of them."""
    high = dim(200)
    high[0:16, 0:20] = high[0:16, 0:20].clamp(min=150)
    accuracy = accumulated(torch.stack((dim(80), high)), [box(3, 2, 12, 9)] * 2)
    assert accuracy.crossed()["max_box_acc"].value == 0
    assert accuracy.oracle()["max_box_acc_oracle"].value == 0.5
    assert "other half" in accuracy.crossed()["max_box_acc"].note


def test_crossed_has_every_image_once_and_repeats_by_seed():
    accuracy = accumulated(*scene(3, 11))
    found = accuracy.crossed(seed=4)
    assert found["max_box_acc"].n == 11
    assert str(found) == str(accuracy.crossed(seed=4))
    assert found["centre_box"].value == accuracy.compute(GIVEN)["centre_box"].value


def test_batches_change_nothing():
    maps, boxes = scene(4)
    right = torch.arange(10) % 2 == 0
    whole = accumulated(maps, boxes, right)
    parts = accumulated(maps[:1], boxes[:1], right[:1])
    parts.update(maps[1:4], boxes[1:4], right[1:4])
    parts.update(maps[4:], boxes[4:], right[4:])
    assert str(parts.compute(GIVEN)) == str(whole.compute(GIVEN))
    assert parts.best_threshold() == whole.best_threshold()


def test_images_of_other_sizes_may_follow():
    accuracy = accumulated(filled(2, 3, 9, 12)[None], [box(2, 3, 9, 12)])
    accuracy.update(filled(1, 1, 5, 4, (9, 31))[None], [box(1, 1, 5, 4)])
    assert accuracy.compute(GIVEN)["max_box_acc_v2"].value == 1


def test_the_interval_is_over_images():
    maps = torch.stack([filled(2, 3, 9, 12)] * 30 + [filled(15, 12, 26, 19)] * 10)
    found = accumulated(maps, [box(2, 3, 9, 12)] * 40).compute(GIVEN)["max_box_acc"]
    assert found.value == 0.75
    assert 0.55 < found.low < 0.7 < 0.8 < found.high < 0.95


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_other_precisions_and_inputs_unchanged(dtype):
    maps, boxes = scene(5)
    maps = maps.to(dtype)
    before = maps.clone(), [each.clone() for each in boxes]
    found = accumulated(maps, boxes).compute(GIVEN)
    assert str(found) == str(accumulated(maps.double(), boxes).compute(GIVEN))
    assert torch.equal(maps, before[0])
    assert all(torch.equal(one, other) for one, other in zip(boxes, before[1]))


def test_scaling_reaches_both_ends():
    shares, usable = scaled(torch.randn(4, 5, 3, dtype=torch.float32) * 1e-3 + 7)
    assert usable.all()
    assert shares.amin((1, 2)).eq(0).all()
    assert shares.amax((1, 2)).eq(1).all()


def test_errors_say_what_to_give():
    maps, boxes = scene(6)
    with pytest.raises(OverfocusError, match="10 images"):
        BoxAccuracy().update(maps[:3], boxes)
    with pytest.raises(OverfocusError, match="right"):
        BoxAccuracy().update(maps, boxes, torch.ones(3))
    with pytest.raises(OverfocusError, match=r"0\.\.254"):
        Thresholds(255, (0, 0, 0))
