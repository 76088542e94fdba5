import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics import focus

SIZE = (3, 5, 7)


def drawn(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SIZE, generator=generator), torch.rand(SIZE, generator=generator) < 0.3


def slow_energy(maps, masks):
    found = []
    for one, mask in zip(maps.tolist(), masks.tolist()):
        cells = [(max(value, 0), inside) for row, line in zip(one, mask) for value, inside in zip(row, line)]
        found.append(sum(v for v, inside in cells if inside) / sum(v for v, _ in cells))
    return torch.tensor(found, dtype=torch.float64)


def test_energy_is_the_positive_mass_inside():
    maps, masks = drawn()
    torch.testing.assert_close(focus.energy_inside(maps, masks), slow_energy(maps, masks))


def test_by_hand():
    maps = torch.tensor([[[3.0, 1.0, -9.0], [0.0, 4.0, 0.0]]])
    masks = torch.tensor([[[True, False, True], [False, False, False]]])
    assert focus.energy_inside(maps, masks).item() == 3 / 8
    assert focus.energy_over_area(maps, masks).item() == pytest.approx(9 / 8)
    assert focus.pointing_game(maps, masks).item() == 0
    assert focus.pointing_game(maps, ~masks).item() == 1


def test_an_even_map_has_the_energy_of_its_area():
    _, masks = drawn()
    even = torch.full(SIZE, 0.3)
    torch.testing.assert_close(focus.energy_over_area(even, masks), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(focus.pointing_game(even, masks), masks.flatten(1).double().mean(dim=1))


def test_ties_count_by_their_share():
    maps, masks = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4, dtype=torch.bool)
    maps[0, 0, :3] = 2.0
    masks[0, 0, 1:] = True
    assert focus.pointing_game(maps, masks).item() == pytest.approx(2 / 3)


def test_parts_and_rest_sum_to_one():
    maps, _ = drawn()
    column = torch.arange(7).expand(SIZE)
    parts = {"left": column < 2, "middle": (column >= 2) & (column < 4)}
    shares = focus.part_shares(maps, parts)
    assert list(shares) == ["left", "middle", "rest"]
    torch.testing.assert_close(sum(shares.values()), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(shares["left"], slow_energy(maps, parts["left"]))
    torch.testing.assert_close(shares["rest"], slow_energy(maps, column >= 4))


def test_a_part_that_is_absent_has_no_answer_but_the_rest_has():
    maps, mask = drawn()
    shares = focus.part_shares(maps, {"hidden": torch.zeros_like(mask), "seen": mask})
    assert shares["hidden"].isnan().all()
    torch.testing.assert_close(shares["seen"] + shares["rest"], torch.ones(3, dtype=torch.float64))


def test_overlapping_parts_leave_the_rest_outside_of_both():
    maps = torch.ones(1, 1, 4)
    one, other = torch.tensor([[[True, True, False, False]]]), torch.tensor([[[False, True, True, False]]])
    assert focus.part_shares(maps, {"one": one, "other": other})["rest"].item() == 0.25


@pytest.mark.parametrize("name", focus.ALL)
def test_no_answer_is_nan_in_that_row_alone(name):
    maps, masks = torch.rand(5, 4, 6) + 0.1, torch.ones(5, 4, 6, dtype=torch.bool)
    maps[0], maps[1, 2, 3], maps[2], masks[3] = 0, torch.nan, -1, False
    assert focus.ALL[name][1](maps, masks).isnan().tolist() == [True, True, True, True, False]
    maps[4, 0, 0] = torch.inf
    assert focus.ALL[name][1](maps, masks).isnan().all()


def test_the_rest_has_no_answer_for_a_map_without_mass():
    masks = torch.ones(1, 2, 3, dtype=torch.bool)
    assert focus.part_shares(torch.zeros(1, 2, 3), {"a": masks})["rest"].isnan().all()


@pytest.mark.parametrize("name", focus.ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_and_inputs_unchanged(name, dtype):
    maps, masks = drawn()
    maps = maps.to(dtype)
    before = maps.clone(), masks.clone()
    found = focus.ALL[name][1](maps, masks)
    torch.testing.assert_close(found, focus.ALL[name][1](maps.double(), masks))
    assert torch.equal(maps, before[0])
    assert torch.equal(masks, before[1])
    torch.testing.assert_close(focus.ALL[name][1](maps[1:2], masks[1:2]), found[1:2])


def test_errors_name_the_shapes():
    maps, masks = drawn()
    with pytest.raises(OverfocusError, match="bool"):
        focus.energy_inside(maps, masks.float())
    with pytest.raises(OverfocusError, match=r"\(3, 5, 7\)"):
        focus.pointing_game(maps, masks[:2])
    with pytest.raises(OverfocusError, match="rest"):
        focus.part_shares(maps, {"rest": masks})
