"""Boxes at all thresholds, against a labelling of every single level, and against OpenCV."""

import numpy as np
import pytest
from scipy import ndimage

from overfocus.core.errors import OverfocusError
from overfocus.metrics import contours
from overfocus.metrics.contours import boxes_at_thresholds, boxes_of_maps


def ours(map8):
    """[(boxes sorted, box of the largest)] by threshold."""
    found = boxes_at_thresholds(map8)
    assert (np.diff(found.thresholds) >= 0).all()
    assert found.thresholds[found.largest].tolist() == list(range(255))
    cuts = np.flatnonzero(np.diff(found.thresholds)) + 1
    return [
        (sorted(map(tuple, boxes.tolist())), tuple(found.boxes[largest].tolist()))
        for boxes, largest in zip(np.split(found.boxes, cuts), found.largest)
    ]


def area_within(mask):
    """Twice the area of the polygon through the border pixels' centres of a part without holes."""
    m = np.pad(mask, 1).astype(int)
    quads = m[1:, 1:] + m[1:, :-1] + m[:-1, 1:] + m[:-1, :-1]
    return int((quads >= 3).sum() + (quads == 4).sum())


def slow(map8, threshold):
    """The same as `ours`, at one threshold, from labels."""
    height, width = map8.shape
    above = map8 > threshold
    if not above.any():
        return [(0, 0, 0, 0)], (0, 0, 0, 0)
    boxes, areas = [], []
    labels, count = ndimage.label(above, np.ones((3, 3)))
    for label in range(1, count + 1):
        part = labels == label
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        box = (columns[0], rows[0], min(columns[-1] + 1, width - 1), min(rows[-1] + 1, height - 1))
        filled = ndimage.binary_fill_holes(part)
        areas.append((area_within(filled), int(np.flatnonzero(part)[0]), box))
        boxes.append(box)
        holes, found = ndimage.label(filled & ~part)
        # A part inside a hole does not reach its edge, so the box of both is the hole's.
        for hole in range(1, found + 1):
            region = holes == hole
            rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
            boxes.append((columns[0] - 1, rows[0] - 1, min(columns[-1] + 2, width - 1), min(rows[-1] + 2, height - 1)))
    return sorted(boxes), max(areas)[2]


def sizes(random, times=1):
    return tuple(int(each) * times for each in random.integers(1, 14, 2))


def smooth(random, cells, size):
    """A random map of few cells, brought to `size` by cubic splines, as 8 bits."""
    small = random.standard_normal((cells, cells + 1))
    large = ndimage.zoom(small, (size[0] / cells, size[1] / (cells + 1)), order=3)
    return ((large - large.min()) / np.ptp(large) * 255).astype(np.uint8)


KINDS = {
    "noise": lambda random: random.integers(0, 256, sizes(random)),
    "three values": lambda random: random.integers(0, 3, sizes(random, 2)) * 127,
    "two values": lambda random: (random.random(sizes(random, 3)) < random.random()) * 255,
    "plateaus": lambda random: random.integers(0, 12, sizes(random, 2)) * 20,
    "constant": lambda random: np.full(sizes(random), random.integers(0, 256)),
    "one pixel": lambda random: random.integers(0, 256, (1, 1)),
    "one row": lambda random: random.integers(0, 4, (1, 19)) * 80,
    "smooth": lambda random: smooth(random, 4, (29, 34)),
    "positive part": lambda random: np.maximum(smooth(random, 5, (31, 27)), 128) - 128,
}


def drawn(kind, seed):
    return KINDS[kind](np.random.Generator(np.random.Philox(seed))).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_every_level_as_labelled_by_itself(kind):
    for seed in range(3):
        map8 = drawn(kind, seed)
        found, levels = ours(map8), np.unique(map8)
        # Between two values of the map nothing changes; the ends of every such step are checked.
        for threshold in {*(levels[levels < 255].tolist()), *(levels[levels > 0] - 1).tolist(), 0, 254}:
            assert found[threshold] == slow(map8, threshold), (kind, seed, threshold)


def by_opencv(cv2, map8):
    height, width = map8.shape
    found = []
    for threshold in range(255):
        above = np.ascontiguousarray((map8 > threshold) * np.uint8(255))
        contours = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        rectangles = [cv2.boundingRect(each) for each in contours] or [(0, 0, 0, 0)]
        boxes = [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in rectangles]
        areas = [cv2.contourArea(each) for each in contours] or [0]
        found.append((sorted(boxes), boxes[areas.index(max(areas))]))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_level_as_opencv(kind):
    cv2 = pytest.importorskip("cv2")
    for seed in range(100, 105):
        map8 = drawn(kind, seed)
        assert ours(map8) == by_opencv(cv2, map8), (kind, seed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_maps_as_opencv(kind):
    cv2 = pytest.importorskip("cv2")
    for seed in range(1000, 1300):
        map8 = drawn(kind, seed)
        assert ours(map8) == by_opencv(cv2, map8), (kind, seed)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [7, 14])
def test_maps_of_full_size_as_opencv(cells):
    cv2 = pytest.importorskip("cv2")
    for seed in range(3):
        map8 = smooth(np.random.Generator(np.random.Philox(seed)), cells, (224, 224))
        assert ours(map8) == by_opencv(cv2, map8)


def picture(*rows):
    return np.array([[int(each) for each in row] for row in rows], np.uint8) * 100


def test_a_hole_has_a_box_one_further_out_and_a_part_inside_it_its_own():
    ring = picture("11111111", "11111111", "11000011", "11010011", "11000011", "11111111", "00000000")
    assert ours(ring)[50] == ([(0, 0, 7, 6), (1, 1, 7, 6), (3, 3, 4, 4)], (0, 0, 7, 6))


def test_corners_connect_parts_and_do_not_connect_holes():
    assert len(ours(picture("1000", "0100", "0010", "0000"))[0][0]) == 1
    assert len(ours(picture("11111", "10111", "11011", "11111"))[0][0]) == 3


def test_the_largest_is_by_area_within_not_by_pixels():
    """A thin ring of 12 pixels encloses more than a block of 9, and a row of 7 encloses nothing."""
    rows = picture("11110000000", "10010111000", "10010111000", "11110111000", "00000000000", "11111110000")
    assert ours(rows)[0][1] == (0, 0, 4, 4)


def test_of_equal_parts_the_one_that_begins_last_is_the_largest():
    assert ours(picture("1100011", "1100011", "0000000", "0011000", "0011000", "0000000"))[0][1] == (2, 3, 4, 5)


def test_an_empty_level_has_the_empty_box():
    found = ours(np.full((4, 6), 7, np.uint8))
    assert found[6] == ([(0, 0, 5, 3)], (0, 0, 5, 3))
    assert found[7] == found[254] == ([(0, 0, 0, 0)], (0, 0, 0, 0))


@pytest.mark.parametrize("room", [1, 700, 2**19])
def test_maps_together_are_maps_one_by_one(monkeypatch, room):
    """Also of several pictures, and where neighbours are bright up to their borders or have nothing at all."""
    monkeypatch.setattr(contours, "_PIXELS", room)
    random = np.random.Generator(np.random.Philox(5))
    maps8 = random.integers(0, 256, (9, 11, 17)).astype(np.uint8)
    maps8[2:4], maps8[5], maps8[6] = 255, 0, smooth(random, 3, (11, 17))
    for found, map8 in zip(boxes_of_maps(maps8), maps8, strict=True):
        alone = boxes_at_thresholds(map8)
        for name in ("thresholds", "boxes", "largest"):
            assert np.array_equal(getattr(found, name), getattr(alone, name)), name
    assert not list(boxes_of_maps(maps8[:0]))


def test_the_input_is_not_written_to_and_may_be_a_view():
    map8 = drawn("noise", 3)
    before = map8.copy()
    assert ours(np.asfortranarray(map8)) == ours(map8)
    assert (map8 == before).all()


@pytest.mark.parametrize("wrong", [np.zeros((3, 4)), np.zeros((2, 3, 4), np.uint8), np.zeros((0, 4), np.uint8)])
def test_other_maps_are_refused(wrong):
    with pytest.raises(OverfocusError, match="uint8"):
        boxes_at_thresholds(wrong)
