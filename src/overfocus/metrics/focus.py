"""Is the attribution on the object? Numbers of a map and a mask, for every image.

`maps` is [B, H, W] at the size of the image, `masks` [B, H, W] bool, true on the object. As in `metrics.spread`, only
the positive part of a map has mass; a map without any, or with a value that is not finite, has no answer (NaN), and
neither has an empty mask. A mask says nothing about which part of an object matters: on the object is no better than
on the right part of it. Read these beside the spread, which an object that fills the picture makes look good.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import Metric
from overfocus.metrics.spread import mass

REST = "rest"
ENERGY = Metric("energy inside", "sum of a inside the mask / sum of a, a = max(map, 0)", "higher", "of the mass")
OVER_AREA = Metric(
    "energy over area", "energy inside / share of the image that the mask covers; 1 is an even map", "higher", "x",
    high=float("inf"),
)  # fmt: skip
POINTING = Metric("pointing game", "share of the map's highest pixels that lie inside the mask", "higher", "of images")
PART = Metric("share of a part", "sum of a inside the part / sum of a, a = max(map, 0)", "neither", "of the mass")


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map's mass inside its mask: [B] float64 in [0, 1], higher is more on the object.

    The energy-based pointing game of Score-CAM (Wang et al., 1910.01279). A large mask holds much of any map: compare
    with `energy_over_area`. Raises where shapes differ or a mask is not bool.
    """
    inside = _flat(maps, masks)
    share = torch.where(inside, mass(maps), 0.0).sum(dim=1)
    return torch.where(inside.any(dim=1) & _usable(maps), share, torch.nan)


def energy_over_area(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the energy inside over the mask's share of the image: [B] float64, at least 0; 1 is what an even map has,
    and 1 over the mask's share the most there is. Higher is more on the object. Raises as `energy_inside`.
    """
    return energy_inside(maps, masks) / _flat(maps, masks).double().mean(dim=1)


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Return whether each map is highest inside its mask: [B] float64 in [0, 1], higher is better.

    Zhang et al. (1608.00507), without their margin of 15 pixels around the object. Where several pixels are highest, it
    is the share of them that lies inside. Raises as `energy_inside`.
    """
    inside, flat = _flat(maps, masks), maps.detach().flatten(1)
    highest = flat == flat.amax(dim=1, keepdim=True)
    hit = (highest & inside).sum(dim=1).double() / highest.sum(dim=1)
    return torch.where(inside.any(dim=1) & _usable(maps), hit, torch.nan)


def part_shares(maps: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the share of each map's mass on every part, and on the rest of the picture: name -> [B] float64 in [0, 1].

    `parts` maps names to masks [B, H, W] bool. Parts may overlap, then their shares sum to more than 1; "rest" is what
    lies in none. A part that is not in an image has no answer there. Raises as `energy_inside`, and for a part called
    "rest".
    """
    if REST in parts:
        raise OverfocusError(f"parts: {REST!r} is the name of what lies in no part; call this part something else")
    covered = torch.zeros_like(maps, dtype=torch.bool)
    for mask in parts.values():
        _flat(maps, mask)
        covered = covered | mask
    shares = {name: energy_inside(maps, mask) for name, mask in parts.items()}
    rest = torch.where(covered.flatten(1), 0.0, mass(maps)).sum(dim=1)
    return {**shares, REST: torch.where(_usable(maps), rest, torch.nan)}


def _flat(maps: Tensor, masks: Tensor) -> Tensor:
    if maps.ndim != 3 or maps.shape != masks.shape or masks.dtype != torch.bool:
        raise OverfocusError(
            f"focus: maps {tuple(maps.shape)} and masks {tuple(masks.shape)} of {masks.dtype}; give both as [B, H, W], "
            "the masks as bool, the maps at the size of the image"
        )
    return masks.to(maps.device).flatten(1)


def _usable(maps: Tensor) -> Tensor:
    return mass(maps).isfinite().all(dim=1)


ALL = {
    "energy_inside": (ENERGY, energy_inside),
    "energy_over_area": (OVER_AREA, energy_over_area),
    "pointing_game": (POINTING, pointing_game),
}
"""Name -> what it means, and the function of maps and masks [B, H, W] that computes it."""
