"""Hugging Face's Trainer, with models of theirs, small and with random weights."""

import copy

import pytest
import torch

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import overfocus as of  # noqa: E402
from overfocus.core.balance import Balance  # noqa: E402
from overfocus.core.errors import OverfocusError  # noqa: E402
from overfocus.integrations.huggingface import Logits, RegularizedTrainer  # noqa: E402
from overfocus.models.split import SplitError  # noqa: E402

CLASSES, METHOD = 5, "cutmix(prob=1.0) + sgdrop(prob=1.0)"
IMAGES = torch.randn(16, 3, 20, 24, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(16) % CLASSES


def resnet():
    torch.manual_seed(0)
    return transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], num_labels=CLASSES, layer_type="basic"
        )
    )


def convnext():
    torch.manual_seed(0)
    return transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(hidden_sizes=[4, 6], depths=[1, 1], num_stages=2, num_labels=CLASSES)
    )


def vit():
    torch.manual_seed(0)
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=(20, 24),
            patch_size=4, num_labels=CLASSES,
        )
    )  # fmt: skip


SEVERAL = (torch.arange(16)[:, None] + torch.arange(CLASSES)) % 3 == 0


def data(labels=LABELS):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"pixel_values": IMAGES.numpy(), "labels": labels.tolist()})
    return made.with_format("torch")


class InOrder(RegularizedTrainer):
    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def trainer(model, folder, method=METHOD, kind=InOrder, labels=LABELS, balance=None, **settings):
    known = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "learning_rate": 0.1, "save_strategy": "no"}
    arguments = transformers.TrainingArguments(
        str(folder), use_cpu=True, report_to="none", max_grad_norm=0, lr_scheduler_type="constant", disable_tqdm=True,
        optim="sgd", logging_steps=1, seed=3, **{**known, **settings},
    )  # fmt: skip
    rows = data(labels)
    return kind(model, arguments, train_dataset=rows, eval_dataset=rows, method=method, balance=balance)


def by_hand(model, rows, steps, parts=1, smoothing=0.0, labels=LABELS, method=METHOD, **own):
    """Train as the plain loop does: `rows` images at a time, `parts` of them for a step."""
    objective = of.Objective(Logits(model), of.parse(method), seed=3, smoothing=smoothing, **own)
    update, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
    model.train()
    for number, (images, named) in enumerate(zip(IMAGES.split(rows), labels.split(rows))):
        loss = objective(images, named)
        (loss / parts).backward()
        losses.append(loss.item())
        if (number + 1) % parts == 0:
            update.step()
            update.zero_grad()
    return losses[:steps]


def same(one, other):
    for (name, mine), theirs in zip(one.state_dict().items(), other.state_dict().values()):
        assert torch.allclose(mine.float(), theirs.float(), atol=1e-5), name


@pytest.mark.parametrize("make", [resnet, convnext])
def test_losses_and_weights_are_those_of_the_plain_loop(make, tmp_path):
    model, other = make(), make()
    ours = trainer(model, tmp_path)
    ours.train()
    logged = [row for row in ours.state.log_history if "loss" in row]
    assert [row["loss"] for row in logged] == pytest.approx(by_hand(other, 4, 4), abs=2e-3)
    assert all(row["cutmix_rate"] == 1.0 and row["sgdrop_rate"] == 1.0 for row in logged)
    same(model, other)


def test_accumulated_steps_are_means_over_all_of_them(tmp_path):
    model, other = resnet(), resnet()
    trainer(model, tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=2).train()
    by_hand(other, 2, 8, parts=2)
    same(model, other)


def test_smoothing_is_that_of_the_arguments(tmp_path):
    model, other = resnet(), resnet()
    trainer(model, tmp_path, label_smoothing_factor=0.2).train()
    by_hand(other, 4, 4, smoothing=0.2)
    same(model, other)


@pytest.mark.filterwarnings("ignore:.*hides all")  # of a map of a few positions
def test_several_labels_are_trained_as_in_the_plain_loop(tmp_path):
    model, other = resnet(), resnet()
    model.config.problem_type = "multi_label_classification"
    method = "cutmix(prob=1.0, label='union') + sgdrop(prob=1.0)"
    ours = trainer(model, tmp_path, method, labels=SEVERAL.float())
    ours.train()
    by_hand(other, 4, 4, labels=SEVERAL, method=method, multi_label=True)
    same(model, other)
    logits = model.eval()(IMAGES).logits
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, SEVERAL.float())
    assert ours.evaluate()["eval_loss"] == pytest.approx(loss.item(), abs=1e-4)


@pytest.mark.parametrize("kind", ["weights", "logit-adjustment"])
def test_classes_of_unequal_size_are_balanced_as_in_the_plain_loop(kind, tmp_path):
    balance = Balance.of(kind, LABELS.bincount())
    model, other = resnet(), resnet()
    trainer(model, tmp_path, balance=balance).train()
    by_hand(other, 4, 4, balance=balance)
    same(model, other)
    model.config.problem_type = "multi_label_classification"
    with pytest.raises(OverfocusError, match="one class each"):
        trainer(model, tmp_path, balance=balance)


def test_a_resumed_run_ends_as_the_whole_one(tmp_path):
    model, resumed = resnet(), resnet()
    trainer(model, tmp_path / "whole", save_strategy="steps", save_steps=2).train()
    trainer(resumed, tmp_path / "again").train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    same(model, resumed)


class Killed(Exception):
    """Stands for SIGKILL."""


class Killer(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 5:
            raise Killed


@pytest.mark.parametrize("saved", [3, 4], ids=["after a short group", "in the second epoch"])
def test_a_killed_run_with_short_groups_of_accumulation_goes_on_with_the_same_draws(tmp_path, saved):
    """8 batches an epoch in groups of 3 are steps of 3, 3 and 2, so 3 steps have drawn 8 times, not 9."""
    accumulated = {"gradient_accumulation_steps": 3, "num_train_epochs": 3, "per_device_train_batch_size": 2}
    model, killed, resumed = resnet(), resnet(), resnet()
    whole = trainer(model, tmp_path / "whole", **accumulated)
    whole.train()
    first = trainer(killed, tmp_path / "k", **accumulated, save_strategy="steps", save_steps=1)
    first.add_callback(Killer())
    with pytest.raises(Killed):
        first.train()
    second = trainer(resumed, tmp_path / "k", **accumulated)
    second.train(resume_from_checkpoint=str(tmp_path / "k" / f"checkpoint-{saved}"))
    assert int(second.attached.objective.step) == int(whole.attached.objective.step) == 3 * 8
    for (name, mine), theirs in zip(model.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(mine, theirs), name


class Frozen(InOrder):
    def compute_loss(self, model, *args, **kwargs):
        normalisations(model)[0].eval()
        return super().compute_loss(model, *args, **kwargs)


def normalisations(model):
    return [each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d)]


def test_a_layer_that_the_user_holds_in_evaluation_mode_stays_there(tmp_path):
    model = resnet()
    made = trainer(model, tmp_path, kind=Frozen)
    made.train()
    first, other, *_ = normalisations(model)
    assert not first.running_mean.any()
    assert other.running_mean.any()


def test_evaluation_is_the_plain_model(tmp_path):
    model = resnet()
    ours = trainer(model, tmp_path)
    theirs = transformers.Trainer(copy.deepcopy(resnet()), ours.args, eval_dataset=data())
    assert ours.evaluate()["eval_loss"] == pytest.approx(theirs.evaluate()["eval_loss"], abs=1e-6)
    assert ours.attached.detach() is model
    assert "forward" not in vars(model)


def test_a_transformer_takes_methods_on_images_and_refuses_those_on_features(tmp_path):
    ours = trainer(vit(), tmp_path, "cutmix(prob=1.0)", max_steps=2)
    ours.train()
    assert ours.state.log_history[0]["cutmix_rate"] == 1.0
    with pytest.raises(SplitError):
        trainer(vit(), tmp_path, "sgdrop")


def test_a_method_that_never_acts_is_told(tmp_path):
    with pytest.warns(UserWarning, match="cutmix never ran"):
        trainer(resnet(), tmp_path, "cutmix(prob=0.0)", max_steps=1).train()


def test_two_losses_are_refused(tmp_path):
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(OverfocusError, match="compute_loss_func"):
        RegularizedTrainer(resnet(), arguments, train_dataset=data(), compute_loss_func=lambda *_, **__: 0)


def test_its_models_are_mapped_and_cut_like_any_other():
    model = Logits(resnet()).eval()
    assert of.attribute(model, IMAGES[:2], "cam").shape[0] == 2
    model.model.train()
    assert of.split(model).classify(model, of.split(model).encode(model, IMAGES[:4])).shape == (4, CLASSES)
