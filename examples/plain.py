"""The loop that the other examples are compared with: embedded data, a small network, `Objective` for a criterion.

python examples/plain.py
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import overfocus as of

SEED, BATCH, STEPS, CLASSES = 0, 50, 12, 10


def network() -> nn.Module:
    torch.manual_seed(SEED)
    return of.create_model("overfocus_cnn", CLASSES, widths=[16, 32])


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    dataset = of.load("totem", per_class=BATCH * STEPS // CLASSES, seed=SEED)
    stream = of.Stream(dataset.splits["train"], batch=BATCH, mean=dataset.mean, std=dataset.std, seed=SEED)
    for images, labels, _ in stream.epoch():
        yield images, labels


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def losses(method: str) -> list[float]:
    model = network()
    objective = of.Objective(model, of.parse(method), seed=SEED)
    update, found = optimizer(model), []
    for images, labels in batches():
        loss = objective(images, labels)
        loss.backward()
        update.step()
        update.zero_grad()
        found.append(loss.item())
    return found


def compared(name: str, method: str, found: list[float]) -> None:
    """Print both curves, and stop where they differ by more than rounding."""
    expected = losses(method)
    print(f"{method}: loss by step\n{'plain loop':>12} {name:>12}")
    for ours, theirs in zip(expected, found, strict=True):
        print(f"{ours:12.6f} {theirs:12.6f}")
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    for each in losses("cutmix + sgdrop"):
        print(f"{each:.6f}")
