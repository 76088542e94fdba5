import gc

import pytest
import torch

from overfocus.core import processor
from overfocus.core.processor import blank


@pytest.fixture(autouse=True)
def nothing_kept():
    gc.collect()
    processor._spare.clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_blank_is_as_what_it_is_like(dtype, layout):
    like = torch.ones(2, 3, 4, 5).to(dtype).contiguous(memory_format=layout)
    for _ in range(3):
        found = blank(like)
        assert (found.shape, found.dtype, found.stride()) == (like.shape, like.dtype, like.stride())
        assert torch.equal(found.copy_(like), like)


def test_blank_is_like_a_part_and_like_nothing():
    part = torch.zeros(4, 3, 6, 6)[:, :, ::2, 1:4]
    assert blank(part).shape == part.shape
    assert blank(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)


def test_memory_is_lent_again_only_when_nobody_holds_any_of_it():
    first = blank(torch.zeros(2, 3, 4, 5))
    place, view = first.data_ptr(), first[1, 2, 3:].t()
    view.fill_(7.0)
    del first
    others = [blank(torch.zeros(2, 3, 4, 5)).fill_(1.0) for _ in range(3)]
    assert place not in [other.data_ptr() for other in others]
    assert (view == 7.0).all()
    del view
    again = [blank(torch.zeros(2, 3, 4, 5)) for _ in range(3)]
    assert place in [other.data_ptr() for other in again]
    assert all((other == 1.0).all() for other in others)


def test_what_a_graph_or_another_array_needs_is_not_lent_again():
    like, weight = torch.zeros(2, 3, 4, 5), torch.ones(1, requires_grad=True)
    values = blank(like).fill_(3.0)
    product, seen = weight * values, values.numpy()
    del values
    blank(like).fill_(9.0)
    product.sum().backward()
    assert weight.grad == 3.0 * like.numel()
    assert (seen == 3.0).all()


def test_no_more_than_one_block_is_kept():
    many = [blank(torch.zeros(2, 3, 4, side)) for side in range(5, 9)]
    del many
    gc.collect()
    assert len(processor._spare) == 1
