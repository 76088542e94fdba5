"""A plain DataLoader with a method as its `collate_fn`: the losses are those of the plain loop.

python examples/torchvision_collate.py
"""

from plain import BATCH, CLASSES, SEED, batches, compared, network, optimizer
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from overfocus.integrations.torchvision import OnBatch

METHOD = "cutmix"


def losses() -> list[float]:
    model = network()
    update, found = optimizer(model), []
    samples = [sample for images, labels in batches() for sample in zip(images, labels, strict=True)]
    mix = OnBatch(METHOD, num_classes=CLASSES, seed=SEED)
    for images, targets in DataLoader(samples, batch_size=BATCH, collate_fn=mix.collate):
        loss = cross_entropy(model(images), targets)
        loss.backward()
        update.step()
        update.zero_grad()
        found.append(loss.item())
    return found


if __name__ == "__main__":
    compared("torchvision", METHOD, losses())
