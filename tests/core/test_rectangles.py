import pytest
import torch

from overfocus.core import boxes
from overfocus.core.key import Key

H, W = 9, 13


def slow_inside(box: list[int]) -> torch.Tensor:
    x0, y0, x1, y1 = box
    return torch.tensor([[x0 <= x < x1 and y0 <= y < y1 for x in range(W)] for y in range(H)])


@pytest.fixture
def some_boxes() -> torch.Tensor:
    """Boxes of all kinds: empty, odd, even, cut at each border, the whole image."""
    x, y = torch.tensor([0, 4, 12, 6, 6, 3, 6]), torch.tensor([8, 4, 0, 4, 0, 8, 4])
    wide, high = torch.tensor([5, 4, 7, 0, 3, 6, 99]), torch.tensor([3, 4, 9, 5, 2, 5, 99])
    return boxes.around(x, y, wide, high, (H, W))


def test_around_is_pixel_by_pixel_the_box_that_was_asked_for():
    uniform = Key.seeded(1).uniform(200, 4)
    x, y = (uniform[:, 0] * W).long(), (uniform[:, 1] * H).long()
    wide, high = (uniform[:, 2] * 18).long(), (uniform[:, 3] * 14).long()
    found = boxes.inside(boxes.around(x, y, wide, high, (H, W)), (H, W))
    for row in range(200):
        left, top = x[row] - wide[row] // 2, y[row] - high[row] // 2
        columns = [0 <= c - left < wide[row] for c in range(W)]
        lines = [0 <= line - top < high[row] for line in range(H)]
        assert torch.equal(found[row], torch.tensor(lines)[:, None] & torch.tensor(columns)[None])


def test_an_odd_box_is_centred_and_keeps_its_last_pixel():
    box = boxes.around(*(torch.tensor([n]) for n in (6, 4, 5, 3)), (H, W))
    assert box.tolist() == [[4, 3, 9, 6]]


def test_no_box_leaves_the_image(some_boxes):
    x0, y0, x1, y1 = some_boxes.unbind(1)
    assert ((x0 >= 0) & (x0 <= x1) & (x1 <= W) & (y0 >= 0) & (y0 <= y1) & (y1 <= H)).all()


def test_inside_and_share_count_pixels(some_boxes):
    inside = boxes.inside(some_boxes, (H, W))
    for row, box in enumerate(some_boxes.tolist()):
        assert torch.equal(inside[row], slow_inside(box))
    assert torch.allclose(boxes.share(some_boxes, (H, W)), inside.float().mean((1, 2)))


def test_the_union_counts_what_overlaps_once(some_boxes):
    other = some_boxes.roll(1, 0)
    union = boxes.inside(some_boxes, (H, W)) | boxes.inside(other, (H, W))
    assert torch.equal(boxes.union_share([some_boxes, other], (H, W)), union.float().mean((1, 2)))
    assert torch.equal(boxes.union_share([some_boxes], (H, W)), boxes.share(some_boxes, (H, W)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.uint8, torch.float64])
@pytest.mark.parametrize("channels_last", [False, True])
def test_paste_and_fill_pixel_by_pixel(some_boxes, dtype, channels_last):
    count = len(some_boxes)
    images = (Key.seeded(2).uniform(count, 3 * H * W).reshape(count, 3, H, W) * 255).to(dtype)
    images = images.contiguous(memory_format=torch.channels_last) if channels_last else images
    rows, before = Key.seeded(3).derangement(count), images.clone()
    value = torch.tensor([1, 2, 3], dtype=dtype).reshape(1, 3, 1, 1)
    pasted, filled = boxes.paste(images, images, rows, some_boxes), boxes.fill(images, value, some_boxes)
    for row, box in enumerate(some_boxes.tolist()):
        inside = slow_inside(box)
        assert torch.equal(pasted[row], torch.where(inside, before[rows[row]], before[row]))
        assert torch.equal(filled[row], torch.where(inside, value[0].expand(3, H, W), before[row]))
    assert torch.equal(images, before)


def test_both_ways_to_paste_and_fill_are_one(some_boxes):
    images = Key.seeded(4).uniform(len(some_boxes), 3 * H * W).reshape(-1, 3, H, W)
    rows, leaf = Key.seeded(5).derangement(len(images)), images.clone().requires_grad_()
    by_mask = boxes.paste(leaf, leaf, rows, some_boxes)
    assert torch.equal(by_mask, boxes.paste(images, images, rows, some_boxes))
    assert torch.equal(boxes.fill(leaf, images[:1], some_boxes), boxes.fill(images, images[:1], some_boxes))


def test_gradients_flow_to_where_the_pixels_came_from(some_boxes):
    images = torch.zeros(len(some_boxes), 1, H, W, requires_grad=True)
    rows = Key.seeded(6).derangement(len(images))
    boxes.paste(images, images, rows, some_boxes).sum().backward()
    expected = (~boxes.inside(some_boxes, (H, W))).float()
    expected = expected.index_add(0, rows, boxes.inside(some_boxes, (H, W)).float())
    assert torch.equal(images.grad[:, 0], expected)
