"""A LightningModule that knows nothing of methods, and the callback: the losses are those of the plain loop.

python examples/lightning_callback.py
"""

from lightning.pytorch import LightningModule, Trainer
from plain import BATCH, CLASSES, SEED, batches, compared, network, optimizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from overfocus.integrations.lightning import Regularize

METHOD = "cutmix + sgdrop"


class Mine(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.losses: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = cross_entropy(self.net(images), labels)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> Optimizer:
        return optimizer(self.net)


def losses() -> list[float]:
    module = Mine()
    callback = Regularize(METHOD, model="net", classes=CLASSES, seed=SEED)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    samples = [sample for images, labels in batches() for sample in zip(images, labels, strict=True)]
    trainer.fit(module, DataLoader(samples, batch_size=BATCH))
    return module.losses


if __name__ == "__main__":
    compared("Lightning", METHOD, losses())
