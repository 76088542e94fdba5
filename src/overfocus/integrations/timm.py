"""In the place of `timm.data.Mixup`: the same arguments and the same call, with any method of overfocus behind it.

    from overfocus.integrations.timm import TimmMixup

    mixup_fn = TimmMixup(**mixup_args)                                           # timm's own arguments
    mixup_fn = TimmMixup(**mixup_args, method="cutmix + sgdrop", model=model)    # any method, features too

In timm's `train.py` that is the one line to change; run it with `--no-prefetcher`, which is the path that calls it, and
give `--mixup` or `--cutmix` a value, which is what makes timm ask for it.

Differs from timm: a batch may be odd; the images are not written to; all draws come from `seed`; every image has its
own lambda, box and partner in every mode, where timm's `batch` has one for all (`mode` says only whether the coin is
tossed for the batch or for each image); no image is its own partner.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.targets import Targets
from overfocus.integrations.attached import Attached
from overfocus.models.split import FEATURES

MODES = ("batch", "pair", "elem")


class TimmMixup:
    """`mixup_fn(images, labels) -> (images, targets [B, K])`, as timm's.

    mixup_alpha, cutmix_alpha  of the Beta distributions; 0 leaves that one out
    prob, switch_prob          share of batches (or images) that are mixed; of these, how many by CutMix
    mode                       `batch`: one coin for all; `elem` and `pair`: one for each image
    label_smoothing            share of every target that goes evenly to all classes
    num_classes                K
    method                     a spec of overfocus instead of all the above but the last two
    model, at                  for methods that act on features: what the loop trains, and at which of its layers
    seed                       of all draws

    `mixup_enabled` is what timm's loop sets to False for the last epochs: then nothing acts. What timm has besides
    (cutmix_minmax, multi_label, correct_lam=False) is refused.
    """

    def __init__(  # noqa: PLR0913 - timm's own
        self, mixup_alpha: float = 1.0, cutmix_alpha: float = 0.0, cutmix_minmax: Sequence[float] | None = None,
        prob: float = 1.0, switch_prob: float = 0.5, mode: str = "batch", correct_lam: bool = True,
        label_smoothing: float = 0.1, num_classes: int = 1000, multi_label: bool = False, *, method: str = "",
        model: nn.Module | None = None, at: str = FEATURES, seed: int = 0,
    ) -> None:  # fmt: skip
        if cutmix_minmax is not None or multi_label or not correct_lam:
            raise OverfocusError(
                "overfocus.integrations.timm.Mixup has no cutmix_minmax, multi_label or correct_lam=False; for boxes "
                "of a fixed size give method='cutmix(size=0.5)'"
            )
        method = method or timm_spec(mixup_alpha, cutmix_alpha, prob, switch_prob, mode)
        self.attached = Attached(model, method, at=at, seed=seed)
        self.label_smoothing, self.num_classes = label_smoothing, num_classes
        self.mixup_enabled = True

    def __call__(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mix images `x` [B, C, H, W] and labels [B] or soft labels [B, K]; neither is written to."""
        batch = self.attached.prepare(x, target) if self.mixup_enabled else Batch(x, Targets.of(target))
        dense = batch.targets.dense(self.num_classes)
        return batch.images, dense * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes


def timm_spec(mixup_alpha: float, cutmix_alpha: float, prob: float, switch_prob: float, mode: str = "batch") -> str:
    """Return the method that timm's arguments describe."""
    if mode not in MODES:
        raise UnknownName("mode", mode, MODES)
    if mixup_alpha <= 0 and cutmix_alpha <= 0:
        raise OverfocusError("mixup_alpha and cutmix_alpha are both 0; give one of them, or a method")
    per = "batch" if mode == "batch" else "image"
    mixup = f"mixup(alpha={float(mixup_alpha)}, prob={float(prob)}, per={per!r})"
    cutmix = f"cutmix(alpha={float(cutmix_alpha)}, prob={float(prob)}, per={per!r})"
    if cutmix_alpha <= 0:
        return mixup
    if mixup_alpha <= 0:
        return cutmix
    return f"oneof({mixup}, {cutmix}, weights=({1 - float(switch_prob)}, {float(switch_prob)}), per={per!r})"
