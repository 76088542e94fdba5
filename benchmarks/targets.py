"""The loss of mixed labels, forward and backward, with all that it takes to make the targets from two lists of labels.

    python benchmarks/targets.py [--rounds 31]

`dense` makes rows of all classes, as torchvision's CutMix (one-hot, rolled, blended) and timm's Mixup (scattered,
flipped, blended) do in the loader, and gives them to the cross-entropy. `two cross-entropies` is the loop of the CutMix
authors, which needs one share for the batch; with own shares it takes `reduction='none'`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from ratios import Bar, Table, Work, grown, parser, peer, run, turns
from torch import Tensor

from overfocus.core.targets import Targets

OURS = "overfocus"
PLAIN = "plain labels, one cross-entropy"


@dataclass(frozen=True)
class Case:
    """Logits of a batch, its labels, and with which row each is mixed by what share."""

    logits: Tensor
    """[B, K], with a gradient."""
    labels: Tensor
    """[B]."""
    partners: Tensor
    """[B]."""
    kept: Tensor
    """[B]."""

    @property
    def classes(self) -> int:
        return self.logits.shape[1]

    def loss(self) -> Tensor:
        targets = Targets.of(self.labels)
        return targets.blend(targets.take(self.partners), self.kept).cross_entropy(self.logits)

    def plain(self) -> Tensor:
        return F.cross_entropy(self.logits, self.labels)

    def dense(self) -> Tensor:
        """Do as torchvision does, with own shares and partners."""
        rows = F.one_hot(self.labels, self.classes).float()
        kept = self.kept[:, None]
        return F.cross_entropy(self.logits, rows[self.partners].mul_(1 - kept).add_(rows.mul(kept)))

    def torchvision(self) -> Tensor:
        """Do as torchvision's MixUp and CutMix do: one share, the neighbour as partner."""
        rows = F.one_hot(self.labels, self.classes).float()
        return F.cross_entropy(self.logits, rows.roll(1, 0).mul_(1.0 - 0.3).add_(rows.mul(0.3)))

    def timm(self) -> Tensor:
        """Let timm make the targets, and take the loss that its train script takes with them."""
        from timm.data.mixup import mixup_target
        from timm.loss import SoftTargetCrossEntropy

        return SoftTargetCrossEntropy()(self.logits, mixup_target(self.labels, self.classes, 0.3))

    def two(self) -> Tensor:
        return 0.3 * F.cross_entropy(self.logits, self.labels) + 0.7 * F.cross_entropy(
            self.logits, self.labels[self.partners]
        )

    def two_each(self) -> Tensor:
        own, other = (
            F.cross_entropy(self.logits, labels, reduction="none")
            for labels in (self.labels, self.labels[self.partners])
        )
        return (self.kept * own + (1 - self.kept) * other).mean()


def case(rows: int, classes: int, device: str) -> Case:
    torch.manual_seed(0)
    logits = torch.randn(rows, classes, device=device, requires_grad=True)
    labels = torch.randint(classes, (rows,), device=device)
    return Case(logits, labels, torch.randperm(rows, device=device), torch.rand(rows, device=device))


def backward(made: Case, loss: str) -> Work:
    """Return the work of a loss and its gradient."""

    def work() -> None:
        made.logits.grad = None
        getattr(made, loss)().backward()

    return work


def table(rows: int, classes: int, asked: argparse.Namespace) -> Table:
    made = case(rows, classes, asked.device)
    losses = {OURS: "loss", "dense": "dense", "dense, torchvision's": "torchvision"}
    if peer("timm"):
        losses["dense, timm's"] = "timm"
    losses |= {"two cross-entropies, one share": "two", "two cross-entropies, own shares": "two_each", PLAIN: "plain"}
    variants = {name: backward(made, loss) for name, loss in losses.items()}
    seconds = turns(variants, asked.rounds, 1 if asked.tiny else 5, asked.device)
    bars = [Bar(OURS, name, 1.0) for name in variants if name not in (OURS, PLAIN)]
    return Table(f"Mixed targets and their loss, {rows} x {classes:,} classes", OURS, seconds, bars, ours=[OURS])


def growth(asked: argparse.Namespace) -> Table:
    """Time ours over the number of classes; the law is linear, for the logits are all read."""
    counts = (10, 100) if asked.tiny else (10, 100, 1000, 5000, 21_000)
    variants = {f"{classes:,} classes": backward(case(512, classes, asked.device), "loss") for classes in counts}
    return grown("The loss of 512 mixed rows, growing classes", counts, variants, asked, warm=5)


def building(asked: argparse.Namespace) -> Table:
    """Time the mixing of targets alone over the number of classes; the law is that it does not matter."""
    counts = (10, 100) if asked.tiny else (10, 100, 1000, 5000, 21_000)

    def work(made: Case) -> Work:
        def mix() -> Targets:
            targets = Targets.of(made.labels)
            return targets.blend(targets.take(made.partners), made.kept)

        return mix

    variants = {f"{classes:,} classes": work(case(512, classes, asked.device)) for classes in counts}
    title, law = "Mixing 512 targets, growing classes", "constant (power 0)"
    return grown(title, counts, variants, asked, law=law, most=1.5, warm=5)


def rows(asked: argparse.Namespace) -> Table:
    """Time ours over the batch; the law is linear."""
    counts = (8, 16) if asked.tiny else (32, 64, 128, 256, 512)
    variants = {f"{count} rows": backward(case(count, 1000, asked.device), "loss") for count in counts}
    return grown("The loss of mixed rows of 1,000 classes, growing batch", counts, variants, asked, warm=5)


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    yield table(*((16, 10) if asked.tiny else (512, 1000)), asked)
    yield growth(asked)
    yield building(asked)
    yield rows(asked)


def main() -> None:
    run(parser(__doc__, rounds=31).parse_args(), tables)


if __name__ == "__main__":
    main()
