"""Does it look at the object? Attribution inside masks or boxes, and on each part where the data marks parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.attribution.catalogue import upsampled
from overfocus.diagnosis.evidence import CHUNK, Evidence
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Finding, Section
from overfocus.diagnosis.wording import percent
from overfocus.metrics.focus import ALL, PART, REST, part_shares
from overfocus.metrics.score import Metric, Score


@dataclass(frozen=True)
class Focus(Section):
    """Energy on the object, the pointing game, and the share of the attribution on each part."""

    name: ClassVar[str] = "focus"
    title: ClassVar[str] = "On the object"
    question: ClassVar[str] = "Does it look at the object, and at all its parts?"
    order: ClassVar[int] = 20
    reads_map: ClassVar[bool] = True
    passes: ClassVar[int] = 0
    needs: ClassVar[str] = "boxes or masks"

    def lacking(self, sample: Sample) -> str:
        """Need to know where the objects are."""
        if sample.masks or (sample.boxes is not None and any(len(each) for each in sample.boxes)):
            return ""
        return "the data does not say where the objects are; --boxes takes a CSV, COCO JSON, VOC XML or a mask folder"

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute every number of `metrics.focus` on the maps of the true class."""
        parts = evidence.below("masks")
        values: dict[str, list[Tensor]] = {}
        area: list[Tensor] = []
        for maps, inside, shown in _chunks(evidence):
            for name, (_, of) in ALL.items():
                values.setdefault(name, []).append(of(maps, inside))
            if len(parts) > 1:
                for name, share in part_shares(maps, shown).items():
                    values.setdefault(f"part_{name}", []).append(share)
            area.append(inside.flatten(1).double().mean(dim=1))
        metrics = {name: metric for name, (metric, _) in ALL.items()}
        words = {**{part: part for part in parts}, REST: "the rest of the picture"}
        metrics |= {f"part_{part}": Metric(f"attribution on {text}", PART.formula) for part, text in words.items()}
        per_image = {name: (metrics[name], torch.cat(each)) for name, each in values.items()}
        marked = torch.cat(area)
        empty = int((marked == 0).sum())
        notes = [
            f"The object is what the {'masks' if parts else 'boxes'} mark: {percent(_mean(marked))} of the picture."
        ]
        notes += [f"{empty} images mark nothing and are left out."] if empty else []
        return self.found(
            lambda scores: _sentence(scores, parts, _mean(marked)), per_image, evidence.seed, notes=tuple(notes)
        )


def _chunks(evidence: Evidence) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    """Yield maps [B, H, W] at the size of the images, what is object, and each part, some images at a time."""
    for rows in torch.arange(len(evidence.labels)).split(CHUNK):
        maps = upsampled(evidence.tensor("maps/true")[rows], evidence.size)
        yield maps, evidence.objects(rows), evidence.masks(rows)


def _mean(values: Tensor) -> float:
    return float(values[values > 0].mean()) if bool((values > 0).any()) else 0.0


def _sentence(scores: Mapping[str, Score], parts: list[str], area: float) -> str:
    energy = scores["energy_inside"]
    text = (
        f"{percent(energy.value)} of the attribution lies on the object, which is {percent(area)} of the picture "
        f"({scores['energy_over_area']:.2f} times what an even map would have, n = {energy.n:,})."
    )
    if len(parts) > 1:
        shares = ", ".join(f"{percent(scores[f'part_{part}'].value)} on {part}" for part in parts)
        text += f" By part: {shares}."
    return text
