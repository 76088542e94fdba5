"""Beside `torchvision.transforms.v2.CutMix` and `MixUp`: any method on a batch, as a `collate_fn` or after the loader.

    mix = OnBatch("cutmix(prob=1.0)", num_classes=10)
    loader = DataLoader(dataset, batch_size=64, collate_fn=mix.collate)     # in the workers
    images, targets = mix(images, labels)                                   # or in the loop, on the GPU

Boxes, partners and shares are each image's own, where torchvision's are one for the batch. Segmentation masks and
bounding boxes follow the pixels (pytorch/vision#9215 asks for that).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info
from torchvision import tv_tensors

from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers.cutmix import CutMix
from overfocus.regularizers.cutout import Cutout
from overfocus.regularizers.regularizer import IMAGE, Chain, Regularizer
from overfocus.regularizers.spec import parse


@dataclass
class OnBatch:
    """A method that acts on images, as a transform of batches. The same seed gives the same batches, in any process
    that asks in the same order; workers of a DataLoader draw apart, from the seeds that the loader gives them.
    """

    method: str | Regularizer
    """A spec or a value; one that acts on features is refused."""
    num_classes: int
    seed: int = 0
    least_visible: float = 0.1
    """A box of which a smaller share is left is dropped."""
    _step: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self.method = parse(self.method)
        if not self.method.places <= {IMAGE}:
            raise OverfocusError(
                f"{self.method} acts on features, which a transform does not see; use overfocus.Objective, or "
                "overfocus.integrations.attached.Attached"
            )

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return images [B, C, H, W] and soft labels [B, K]; the inputs are not written to."""
        batch = self._act(images, labels, self._draw(images.device))
        return _like(batch.images, images), batch.targets.dense(self.num_classes)

    def collate(self, samples: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Put samples (image, label) together and mix them: a `collate_fn`."""
        images, labels = default_collate(list(samples))
        return self(images, labels)

    def with_masks(self, images: Tensor, labels: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mix as `__call__`, and paste segmentation `masks` [B, H, W] or [B, N, H, W] as the images are pasted.

        Where Cutout hides a place its mask becomes 0. Raises OverfocusError for a method that blends.
        """
        layers = masks if masks.ndim == 4 else masks[:, None]
        batch, moved = self._along(images, labels, layers.as_subclass(Tensor))
        moved = _like(moved.reshape(masks.shape).to(masks.dtype), masks)
        return _like(batch.images, images), batch.targets.dense(self.num_classes), moved

    def with_boxes(
        self, images: Tensor, labels: Tensor, boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Mix as `__call__`, and let bounding boxes follow: XYXY in whole pixels, one tensor [n, 4] for each image.

        Returns also the boxes of every image, each the extent of what is left to see of it, and for each of them
        [n, 2] where it came from: the image and the number within `boxes`, which leads to its label.
        """
        height, width = images.shape[-2:]
        batch, moved = self._along(images, labels, _drawn(boxes, height, width, images.device))
        found = [_read(layers, boxes, self.least_visible) for layers in moved]
        mixed = _like(batch.images, images)
        return mixed, batch.targets.dense(self.num_classes), [box for box, _ in found], [origin for _, origin in found]

    def _along(self, images: Tensor, labels: Tensor, layers: Tensor) -> tuple[Batch, Tensor]:
        """Mix images, and `layers` [B, N, H, W] by the same draws."""
        _check_pastes(self.method)  # type: ignore[arg-type]
        key = self._draw(images.device)
        return self._act(images, labels, key), self._act(layers.double(), labels, key).images

    def _act(self, images: Tensor, labels: Tensor, key: Key) -> Batch:
        assert isinstance(self.method, Regularizer)
        return self.method.on_batch(Batch(images.as_subclass(Tensor), Targets.of(labels)), key)

    def _draw(self, device: torch.device) -> Key:
        worker, key = get_worker_info(), Key.seeded(self.seed, device=device)
        self._step += 1
        return (key if worker is None else key.fold_in(worker.seed)).fold_in(self._step - 1)


def _check_pastes(method: Regularizer) -> None:
    """Refuse what does more to pixels than to paste them or to set them to zero."""
    for member in method.members if isinstance(method, Chain) else (method,):
        if not isinstance(member, CutMix) and not (isinstance(member, Cutout) and member.fill == "zero"):
            raise OverfocusError(f"masks and boxes can follow cutmix and cutout(fill='zero'), not {member}")


def _drawn(boxes: Sequence[Tensor], height: int, width: int, device: torch.device) -> Tensor:
    """Fill each box with a number of its own, in a layer of its own: [B, most boxes of an image, H, W]."""
    most = max((len(each) for each in boxes), default=0)
    layers = torch.zeros(len(boxes), max(most, 1), height, width, dtype=torch.float64, device=device)
    for image, each in enumerate(boxes):
        for number, (x0, y0, x1, y1) in enumerate(each.tolist()):
            layers[image, number, int(y0) : int(y1), int(x0) : int(x1)] = 1 + image * most + number
    return layers


def _read(layers: Tensor, boxes: Sequence[Tensor], least: float) -> tuple[Tensor, Tensor]:
    """Return the extents [n, 4] of the numbers that are still to be seen in `layers` [N, H, W], and whose they are."""
    most = max((len(each) for each in boxes), default=0)
    kept, origins = [], []
    for identity in layers.unique().long().tolist():
        if not identity:
            continue
        image, number = divmod(identity - 1, most)
        seen = (layers == identity).any(dim=0)
        x0, y0, x1, y1 = boxes[image][number].tolist()
        if float(seen.sum()) >= least * (x1 - x0) * (y1 - y0):
            rows, columns = seen.any(dim=1).nonzero()[:, 0], seen.any(dim=0).nonzero()[:, 0]
            kept.append([int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1])
            origins.append([image, number])
    return torch.tensor(kept, dtype=torch.int64).reshape(-1, 4), torch.tensor(origins, dtype=torch.int64).reshape(-1, 2)


def _like(values: Tensor, other: Tensor) -> Tensor:
    """Return `values` as what `other` is: an Image, a Mask, or a plain tensor."""
    return tv_tensors.wrap(values, like=other)  # pyright: ignore[reportCallIssue] - its overloads are not typed
