"""Every old name works, warns, and is the new thing; the code itself uses none."""

import ast
import dataclasses
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import overfocus
from overfocus import renamed
from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.diagnosis.section import Section
from overfocus.models.overfocus_cnn import OverfocusCNN
from overfocus.regularizers.regularizer import Regularizer
from overfocus.regularizers.sgdrop import SGDrop
from overfocus.regularizers.spec import parse, respelled
from overfocus.training.objective import Objective
from overfocus.training.recorder import Recorder

SOURCE = Path(overfocus.__file__).parent
CALLED = "is now called"
NEW, OLD = "sgdrop(selection='random', unit_prob=0.5, prob=0.5)", "sgdrop(which='random', chance=0.5, share=0.5)"


def full(name):
    return ".".join(filter(None, ("overfocus", name)))


def public(module):
    return [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]


def needed(name):
    """Import a new module; without a package that it needs there is nothing to test."""
    try:
        return import_module(full(name))
    except ModuleNotFoundError as error:
        if str(error.name).startswith("overfocus"):
            raise
        pytest.skip(f"needs {error.name}")
    except OverfocusError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("old", "new"), renamed.MODULES.items())
def test_an_old_module_is_the_new_one(old, new):
    there = needed(new)
    sys.modules.pop(full(old), None)
    with pytest.warns(DeprecationWarning, match=f"{full(old)} is now called {full(new)};"):
        here = import_module(full(old))
    for name in public(there):
        assert getattr(here, name) is getattr(there, name)
    with pytest.raises(AttributeError, match="no_such_name"):
        here.no_such_name  # noqa: B018


@pytest.mark.parametrize(("old", "new"), renamed.NAMES.items())
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_name_is_the_new_one(old, new):
    (home, name), (place, today) = old.split(":"), new.split(":")
    there = needed(place)
    here = import_module(full(home))
    with pytest.warns(DeprecationWarning, match=rf"{full(home)}\.{name} is now called {full(place)}\.{today};"):
        assert getattr(here, name) is getattr(there, today)


def test_no_old_name_hides_a_new_one():
    for old in renamed.MODULES:
        path = SOURCE.joinpath(*old.split("."))
        assert not path.with_suffix(".py").exists(), old
        assert not path.is_dir(), old
    for old, new in renamed.NAMES.items():
        home, name = old.split(":")
        assert old != new
        if home not in renamed.MODULES:
            assert name not in vars(needed(home)), old


def test_the_package_uses_no_old_name():
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("overfocus"):
                home = str(node.module).removeprefix("overfocus").removeprefix(".")
                assert home not in renamed.MODULES, path
                assert not {f"{home}:{alias.name}" for alias in node.names} & {*renamed.NAMES}, path


def test_the_warning_points_at_the_caller():
    with pytest.warns(DeprecationWarning, match=CALLED) as caught:
        overfocus.Draw.seeded(0).named("x")
    assert {Path(each.filename).name for each in caught} == {"test_renamed.py"}


def test_the_old_names_cost_no_import_of_torch():
    command = "import overfocus, sys; assert not {'torch', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", command], check=True)


def test_the_old_module_of_the_command_line_runs():
    ended = subprocess.run([sys.executable, "-m", "overfocus.cli", "--version"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_old_methods_of_a_key():
    key = Key.seeded(1)
    with pytest.warns(DeprecationWarning, match=r"Key\.named is now called Key\.fold_in"):
        assert torch.equal(key.named("x").words, key.fold_in("x").words)
    with pytest.warns(DeprecationWarning, match=CALLED):
        assert torch.equal(key.key, key.words)
    with pytest.warns(DeprecationWarning, match=CALLED):
        assert torch.equal(key.partners(5), key.derangement(5))


@dataclasses.dataclass(frozen=True)
class OfBefore(Regularizer):
    """A method as the version before had them."""

    at: str = "features"

    def on_features(self, features, look, draw):
        sight = look.at(features.values, features.targets, "label")
        kept = draw.named("x").uniform(*sight.attribution.flatten(1).shape) > 0.5
        return dataclasses.replace(features, values=features.values * kept.view_as(features.values))


@pytest.mark.parametrize("wrap", [lambda method: method, Recorder])
def test_a_method_of_before_acts(wrap):
    model = OverfocusCNN(classes=3, widths=(4, 8))
    objective = Objective(model, wrap(OfBefore()), seed=0)
    with pytest.warns(DeprecationWarning, match=r"HeadProbe\.at is now called HeadProbe\.attribute"):
        loss = objective(torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0]))
    assert torch.as_tensor(loss).isfinite().all()


def test_the_plugin_of_before_acts():
    with pytest.warns(DeprecationWarning, match=CALLED):
        from overfocus import Draw

    class Checkerboard(Regularizer):
        def on_batch(self, batch: Batch, draw: Draw) -> Batch:
            return dataclasses.replace(batch, values=batch.values * draw.uniform(len(batch), 2)[:, 0, None, None, None])

    batch = Batch(torch.rand(2, 3, 8, 8), Targets.of(torch.tensor([0, 1])))
    assert (Checkerboard() + Checkerboard()).on_batch(batch, Key.seeded(0)).values.shape == (2, 3, 8, 8)


def test_a_section_of_before_is_evaluated():
    with pytest.warns(DeprecationWarning, match=r"Mine\.judge is now called Mine\.evaluate"):

        class Mine(Section):
            def collect(self, classifier, sample, evidence, tick):
                return {}

            def judge(self, evidence):
                return "found"

    assert Mine().evaluate(None) == Mine().judge(None) == "found"


def test_old_settings_are_read_and_printed_by_their_new_names():
    with pytest.warns(DeprecationWarning, match=CALLED) as caught:
        method = parse(OLD)
    assert [str(each.message).partition(";")[0] for each in caught] == [
        "sgdrop(which=...) is now called sgdrop(selection=...)",
        "sgdrop(chance=...) is now called sgdrop(unit_prob=...)",
        "sgdrop(share=...) is now called sgdrop(prob=...)",
    ]
    assert str(method) == NEW
    assert respelled(NEW, old=True) == OLD
    assert respelled(OLD) == NEW
    assert respelled(f"cutmix(prob=0.5) + oneof({NEW}, plain, weights=(1, 2))", old=True) == (
        f"cutmix(prob=0.5) + oneof({OLD}, plain, weights=(1, 2))"
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_value_with_old_settings_is_the_same_value():
    old, new = SGDrop(which="random", chance=0.5, share=0.5), parse(NEW)
    assert old == new
    assert hash(old) == hash(new)
    assert repr(old) == repr(new)
    assert (old.which, old.chance, old.share) == ("random", 0.5, 0.5)
    assert pickle.loads(pickle.dumps(old)) == new
    assert dataclasses.replace(old, prob=0.25) == dataclasses.replace(new, prob=0.25)
    assert [each.name for each in dataclasses.fields(old)][:4] == ["drop", "unit", "selection", "unit_prob"]


def test_an_old_name_beside_its_new_one_is_an_error():
    with pytest.raises(OverfocusError, match="share is the old name of prob"):
        SGDrop(share=0.5, prob=0.5)
    with pytest.raises(OverfocusError, match="sgdrop: share is the old name of prob"):
        parse("sgdrop(share=0.5, prob=0.5)")
