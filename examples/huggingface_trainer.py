"""Hugging Face's Trainer on a dataset of theirs: the losses are those of the plain loop.

python examples/huggingface_trainer.py
"""

from tempfile import TemporaryDirectory
from typing import Any

import torch
from plain import BATCH, SEED, batches, compared, optimizer
from plain import network as plain_network
from torch import Tensor, nn
from transformers import TrainingArguments
from transformers.modeling_outputs import ImageClassifierOutput

from overfocus.integrations.huggingface import RegularizedTrainer

METHOD = "cutmix + sgdrop"


class Model(nn.Module):
    """The network of the other examples, called as models of transformers are."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain_network()

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> ImageClassifierOutput:
        logits = self.net(pixel_values)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]


class InOrder(RegularizedTrainer):
    """Keeps the order of the images, and the losses."""

    losses: list[float]

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.losses.append(loss.item())
        return loss


def losses() -> list[float]:
    samples = [
        {"pixel_values": image, "labels": label}
        for images, labels in batches()
        for image, label in zip(images, labels, strict=True)
    ]
    model = Model()
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, num_train_epochs=1, use_cpu=True, report_to="none",
            save_strategy="no", max_grad_norm=0, lr_scheduler_type="constant", disable_tqdm=True,
        )  # fmt: skip
        trainer = InOrder(
            model, arguments, train_dataset=samples, method=METHOD, seed=SEED, optimizers=(optimizer(model), None)
        )
        trainer.losses = []
        trainer.train()
    return trainer.losses


if __name__ == "__main__":
    compared("Trainer", METHOD, losses())
