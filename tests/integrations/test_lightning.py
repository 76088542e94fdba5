"""The callback and the module in a real Trainer."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import overfocus as of
from overfocus.core.balance import Balance
from overfocus.core.errors import OverfocusError

pl = pytest.importorskip("lightning.pytorch")
from overfocus.integrations.lightning import LightningClassifier, LogSpread, Regularize  # noqa: E402 - needs Lightning

IMAGES = torch.randn(24, 3, 9, 7, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(24) % 5


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


class Mine(pl.LightningModule):
    """A module as people have it, which knows nothing of methods."""

    def __init__(self):
        super().__init__()
        self.net, self.losses, self.targets = net(), [], []

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = nn.functional.cross_entropy(self.net(images), labels)
        self.losses.append(loss.item())
        self.targets.append(labels)
        return loss

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        assert labels.ndim == 1
        self.log("val", nn.functional.cross_entropy(self.net(images), labels))

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=0.1)


def loader():
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8)


def trainer(folder, epochs=2, **more):
    return pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, enable_checkpointing=more.pop("enable_checkpointing", False), **more,
    )  # fmt: skip


def plain_losses(method, epochs=2, seed=3):
    objective = of.Objective(net(), of.parse(method), seed=seed)
    update = torch.optim.SGD(objective.parameters(), lr=0.1)
    for _ in range(epochs):
        for images, labels in loader():
            loss = objective(images, labels)
            loss.backward()
            update.step()
            update.zero_grad()
            yield loss.item()


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*(num_workers|log_every_n_steps).*")
        yield


@pytest.mark.parametrize("method", ["cutout", "cutmix(prob=0.7)", "sgdrop", "cutmix + sgdrop"])
def test_the_callback_has_the_losses_of_the_plain_loop(method, tmp_path):
    module = Mine()
    callback = Regularize(method, model="net", classes=5, seed=3)
    trainer(tmp_path, callbacks=[callback]).fit(module, loader(), loader())
    np.testing.assert_allclose(module.losses, list(plain_losses(method)), rtol=1e-5)
    assert module.targets[0].ndim == (2 if "cutmix" in method else 1)
    assert "forward" not in vars(module.net)
    assert "on_after_batch_transfer" not in vars(module)


def test_the_module_has_them_too(tmp_path):
    losses = []

    class Kept(LightningClassifier):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            losses.append(loss.item())
            return loss

    module = Kept(net(), "cutmix + sgdrop", seed=3, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    found = trainer(tmp_path)
    found.fit(module, loader(), loader())
    np.testing.assert_allclose(losses, list(plain_losses("cutmix + sgdrop")), rtol=1e-5)
    assert {"val_loss", "val_accuracy", "sgdrop_dropped"} <= set(found.callback_metrics)


SEVERAL = (torch.arange(24)[:, None] + torch.arange(5)) % 3 == 0


class MineOfLabels(Mine):
    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = nn.functional.binary_cross_entropy_with_logits(self.net(images), labels)
        self.losses.append(loss.item())
        return loss


def losses_by_hand(method, **settings):
    """Losses of the plain loop on two batches, with labels of either kind."""
    objective = of.Objective(net(), of.parse(method), seed=3, **settings)
    update, labels = torch.optim.SGD(objective.parameters(), lr=0.1), SEVERAL if "multi_label" in settings else LABELS
    for rows in torch.arange(24).split(8):
        loss = objective(IMAGES[rows], labels[rows])
        loss.backward()
        update.step()
        update.zero_grad()
        yield loss.item()


@pytest.mark.parametrize("method", ["cutout", "cutmix(prob=1, label='union') + sgdrop"])
def test_several_labels_have_the_losses_of_the_plain_loop(method, tmp_path):
    module, data = MineOfLabels(), DataLoader(TensorDataset(IMAGES, SEVERAL), batch_size=8)
    callback = Regularize(method, model="net", seed=3, multi_label=True)
    trainer(tmp_path, 1, callbacks=[callback]).fit(module, data)
    expected = list(losses_by_hand(method, multi_label=True))
    np.testing.assert_allclose(module.losses, expected, rtol=1e-5)
    ready = LightningClassifier(net(), method, seed=3, multi_label=True)
    ready.log = ready.log_dict = lambda *_: None  # type: ignore[method-assign]
    assert ready.training_step((IMAGES[:8], SEVERAL[:8]), 0).item() == pytest.approx(expected[0], rel=1e-5)


def test_classes_of_unequal_size_are_balanced_by_the_module():
    balance = Balance.of("weights", torch.tensor([8, 4, 4, 4, 4]))
    ready = LightningClassifier(net(), "plain", seed=3, balance=balance)
    ready.log = lambda *_: None  # type: ignore[method-assign]
    first = next(losses_by_hand("plain", balance=balance))
    assert ready.training_step((IMAGES[:8], LABELS[:8]), 0).item() == pytest.approx(first, rel=1e-6)
    assert abs(first - next(losses_by_hand("plain"))) > 1e-3
    with pytest.raises(OverfocusError, match="one class each"):
        LightningClassifier(net(), "plain", balance=balance, multi_label=True)


def test_several_labels_are_validated_by_their_own_loss(tmp_path):
    found = trainer(tmp_path, 1)
    data = DataLoader(TensorDataset(IMAGES, SEVERAL), batch_size=24)
    module = LightningClassifier(net(), "plain", multi_label=True)
    (scores,) = found.validate(module, data, verbose=False)
    logits = module(IMAGES)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, SEVERAL.float()).item()
    assert scores["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert scores["val_accuracy"] == pytest.approx(((logits > 0) == SEVERAL).float().mean().item())


def test_a_resumed_training_goes_on_with_its_draws(tmp_path):
    whole = list(plain_losses("cutmix + sgdrop", epochs=4))
    first = trainer(tmp_path, callbacks=[Regularize("cutmix + sgdrop", model="net", classes=5, seed=3)])
    first.fit(Mine(), loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    module = Mine()
    second = trainer(tmp_path, 4, callbacks=[Regularize("cutmix + sgdrop", model="net", classes=5, seed=3)])
    second.fit(module, loader(), ckpt_path=tmp_path / "half.ckpt")
    np.testing.assert_allclose(module.losses, whole[6:], rtol=1e-5)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(OverfocusError, match="acts on features: give model="):
        trainer(tmp_path, callbacks=[Regularize("sgdrop")]).fit(Mine(), loader())
    with pytest.raises(OverfocusError, match="no network 'body'; it has net"):
        trainer(tmp_path, callbacks=[Regularize("sgdrop", model="body")]).fit(Mine(), loader())
    with pytest.raises(OverfocusError, match="mixes labels: give classes="):
        trainer(tmp_path, callbacks=[Regularize("mixup")]).fit(Mine(), loader())


def test_a_datamodule_that_takes_the_hook_is_told(tmp_path):
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return loader()

        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch

    with pytest.warns(UserWarning, match="never ran in this epoch"):
        trainer(tmp_path, 1, callbacks=[Regularize("cutout")]).fit(Mine(), datamodule=Data())


def test_a_forward_that_is_never_called_is_told(tmp_path):
    class Other(Mine):
        def training_step(self, batch, batch_idx):
            return nn.functional.cross_entropy(
                net()(batch[0]) + 0 * sum(p.sum() for p in self.net.parameters()), batch[1]
            )

    with pytest.warns(UserWarning, match="never reached the model"):
        trainer(tmp_path, 1, callbacks=[Regularize("sgdrop", model="net")]).fit(Other(), loader())


def test_where_the_network_looks_is_logged_and_changes_nothing(tmp_path):
    module, watch = Mine(), LogSpread(model="net", images=10)
    regularize = Regularize("cutmix + sgdrop", model="net", classes=5, seed=3)
    found = trainer(tmp_path, callbacks=[regularize, watch])
    found.fit(module, loader(), loader())
    np.testing.assert_allclose(module.losses, list(plain_losses("cutmix + sgdrop")), rtol=1e-5)
    # on the images that it kept, with the network as it is at the end
    maps = of.attribute(module.net, IMAGES[:10], "hirescam", target="label", labels=LABELS[:10])
    area = of.metrics.spread.effective_area(maps).nanmean()
    assert float(found.callback_metrics["effective_area"]) == pytest.approx(float(area), rel=1e-5)
    assert 0 < float(found.callback_metrics["gini"]) < 1


@pytest.mark.parametrize(("loaders", "looks"), [((loader(), loader()), [1, 3]), ((loader(),), [])])
def test_it_looks_every_so_many_epochs_and_not_without_validation(tmp_path, monkeypatch, loaders, looks):
    seen = []
    found = trainer(tmp_path, 4, callbacks=[LogSpread(model="net", every=2)])
    monkeypatch.setattr(
        "overfocus.training.probe.Probe.look",
        lambda *_: seen.append(found.current_epoch + 1) or {"effective_area": 0.5},
    )
    found.fit(Mine(), *loaders)
    assert seen == looks


def test_it_looks_at_a_module_whose_forward_gives_logits(tmp_path):
    found = trainer(tmp_path, 1, callbacks=[LogSpread(images=4)])
    found.fit(LightningClassifier(net()), loader(), loader())
    assert 0 < float(found.callback_metrics["effective_area"]) <= 1


class Named(Mine):
    """A module whose batches are mappings, as those of Hugging Face's datasets."""

    def training_step(self, batch, batch_idx):
        assert batch["id"].ndim == 1
        return super().training_step((batch["pixel_values"], batch["labels"]), batch_idx)

    def validation_step(self, batch, batch_idx):
        super().validation_step((batch["pixel_values"], batch["labels"]), batch_idx)


def named_loader(**names):
    rows = [{"pixel_values": image, "labels": label, "id": n} for n, (image, label) in enumerate(zip(IMAGES, LABELS))]
    return DataLoader([{names.get(key, key): value for key, value in row.items()} for row in rows], batch_size=8)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["cutout", "cutmix + sgdrop"])
def test_batches_that_are_mappings(tmp_path, method):
    module, spread = Named(), LogSpread(model="net", images=10)
    callbacks = [Regularize(method, model="net", classes=5, seed=3), spread]
    trainer(tmp_path, callbacks=callbacks).fit(module, named_loader(), named_loader())
    np.testing.assert_allclose(module.losses, list(plain_losses(method)), rtol=1e-5)
    assert sum(len(labels) for _, labels in spread._kept) == 10
    ours = LightningClassifier(net(), method, seed=3, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    found = trainer(tmp_path)
    found.fit(ours, named_loader(), named_loader())
    assert float(found.callback_metrics["train_loss"]) == pytest.approx(list(plain_losses(method))[-1], rel=1e-5)


@pytest.mark.parametrize("names", [{"labels": "caption"}, {"id": "label"}], ids=["none", "two"])
def test_a_mapping_without_one_name_for_each_is_refused(tmp_path, names):
    with pytest.raises(OverfocusError, match="a batch is a mapping of"):
        trainer(tmp_path, callbacks=[Regularize("cutout")]).fit(Named(), named_loader(**names))
