"""A loop as timm's `train.py` has it, with the drop-in for `timm.data.Mixup`: the losses are those of the plain loop.

    python examples/timm_mixup.py

In train.py itself one line changes; see docs/integrations.md.
"""

from plain import CLASSES, SEED, batches, compared, network, optimizer
from timm.loss import SoftTargetCrossEntropy

from overfocus.integrations.timm import TimmMixup

METHOD = "cutmix + sgdrop"


def losses() -> list[float]:
    model, criterion = network(), SoftTargetCrossEntropy()
    mixup_fn = TimmMixup(num_classes=CLASSES, label_smoothing=0.0, method=METHOD, model=model, seed=SEED)
    update, found = optimizer(model), []
    for images, labels in batches():
        mixed, targets = mixup_fn(images, labels)
        loss = criterion(model(mixed), targets)
        loss.backward()
        update.step()
        update.zero_grad()
        found.append(loss.item())
    return found


if __name__ == "__main__":
    compared("timm", METHOD, losses())
