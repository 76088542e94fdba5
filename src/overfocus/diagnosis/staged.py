"""A section that goes through its images in stages, and ends as soon as its number is sure."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence, joined
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import OnProgress, Section
from overfocus.metrics.score import Score

FIRST = 64
"""Images of the first stage; each later one doubles what was seen."""
Tick = Callable[[float], None]
"""Called with the share of a batch that is done, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Staged(Section):
    """Looks at 64 images, then at as many again, and so on, until its number is sure or `images` are seen.

    The images of a stage are those of `Sample.some`, where more contain fewer, and what was counted of them alone says
    whether another stage follows: so a section ends at the same images whatever their batches.
    """

    decided_by: ClassVar[str] = ""
    """The score whose interval decides; empty for the first of `headline`."""
    along: ClassVar[int] = -1
    """The dimension of its arrays in which the images lie."""
    images: int = 128
    """At most this many; 0: all."""
    half_width: float = 0.05
    """It ends where the 95 % interval of its number reaches at most this far to either side; 0: not before all `images`
    are seen.
    """

    @abstractmethod
    def portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion, tick: Tick
    ) -> dict[str, Tensor]:
        """Run the model on a batch of B images; return arrays by name, with B in the dimension `along`."""

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return NAME/rows [n], the images that were seen, ascending, and below NAME what `portion` returns of them."""
        rows, arrays, most = torch.zeros(0, dtype=torch.int64), {}, self.count(sample)
        for count in self.stages(most):
            every = sample.some(count, evidence.seed)
            parts, new = [], every[~torch.isin(every, rows)]
            done = len(rows)
            for each in sample.batches(new):
                tick = _tick(on_progress, self.title, done, len(each.rows), most)
                parts.append(self.portion(classifier, sample, evidence, each, tick))
                tick(1.0)
                done += len(each.rows)
            arrays = self._merged(arrays, joined(parts, f"{self.name}/", dim=self.along), torch.cat((rows, new)))
            rows = every
            if self.half_width and self._sure(evidence.with_arrays(arrays)):
                break
        on_progress(self.title, len(rows), len(rows))
        return arrays

    def stages(self, most: int) -> Iterator[int]:
        """Yield how many images are seen after each stage; the last are `most`."""
        count = FIRST if self.half_width else most
        while count < most:
            yield count
            count *= 2
        yield most

    def _merged(
        self, before: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray], rows: Tensor
    ) -> dict[str, np.ndarray]:
        """Return the arrays of all images seen, which are `rows` [n] in the order in which they came, ascending."""
        order = rows.argsort().numpy()
        every = {
            name: np.concatenate((before[name], values), axis=self.along) if before else values
            for name, values in new.items()
        }
        ordered = {name: values.take(order, axis=self.along) for name, values in every.items()}
        return {f"{self.name}/rows": rows.sort().values.numpy(), **ordered}

    def _sure(self, evidence: Evidence) -> bool:
        """Say whether the interval of the number is narrow enough; no model is run."""
        return narrow(self.evaluate(evidence).scores[self.decided_by or self.headline[0]], self.half_width)


def evaluated(evidence: Evidence, name: str) -> Tensor:
    """Return the rows [n] of the images that the section `name` saw: all, where older evidence does not say."""
    rows = f"{name}/rows"
    return evidence.tensor(rows).long() if rows in evidence else torch.arange(len(evidence.labels))


def narrow(score: Score, half_width: float) -> bool:
    """Say whether the interval of `score` has ends, and neither lies further than `half_width` from its middle."""
    return score.bounded and score.high - score.low <= 2 * half_width


def _tick(on_progress: OnProgress, title: str, done: int, batch: int, most: int) -> Tick:
    return lambda share: on_progress(title, done + int(share * batch), most)
