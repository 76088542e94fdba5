import pytest

from overfocus.core.errors import UnknownName
from overfocus.diagnosis.fillings import FILLINGS
from overfocus.regularizers.cutmix import CutMix
from overfocus.regularizers.cutout import Cutout
from overfocus.regularizers.mixup import Mixup
from overfocus.regularizers.oneof import OneOf
from overfocus.regularizers.regularizer import Chain, SettingError
from overfocus.regularizers.sgdrop import SGDrop
from overfocus.regularizers.spec import SpecError, card, methods, parse

NAMES = {"cutmix", "cutout", "dropblock", "dropout", "mixup", "oneof", "sgdrop", "spatialdropout"}


def test_the_folder_is_the_registry():
    assert set(methods()) >= NAMES
    assert not {"chain", "regularizer", "group", "spec"} & set(methods())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_card_names_source_formula_settings_and_limits(name):
    text = card(name)
    for part in ("Source:", "Formula:", "Settings", "When it does not help:"):
        assert part in text
    for field in methods()[name].__dataclass_fields__:
        assert f"\n    {field} " in text


def test_a_spec_is_the_value():
    built = CutMix(prob=1.0) + SGDrop(drop=0.3, unit="channel")
    assert parse("cutmix(prob=1.0) + sgdrop(drop=0.3, unit='channel')") == built
    assert parse("plain") == parse("") == Chain()
    assert parse("oneof(cutmix, mixup(alpha=0.4), weights=(1, 2))") == OneOf((CutMix(), Mixup(alpha=0.4)), (1, 2))
    assert parse("oneof(plain, cutout + mixup)") == OneOf((Chain(), Cutout() + Mixup()))


def test_chains_are_flat_and_closed():
    chain = (CutMix() + Cutout()) + (Mixup() + SGDrop())
    assert chain == Chain((CutMix(), Cutout(), Mixup(), SGDrop()))
    assert Chain() + Mixup() == Chain((Mixup(),))
    assert OneOf() + Mixup() == Chain((OneOf(), Mixup()))


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        ("cutmx", UnknownName, "did you mean 'cutmix'"),
        ("cutmix(probb=1)", SpecError, "did you mean 'prob'"),
        ("cutmix(0.5)", SpecError, "not a method"),
        ("cutmix(cutout)", SpecError, "settings are written with their names"),
        ("cutmix(prob=2)", SettingError, r"prob=2 must be a number in \[0, 1\]"),
        ("cutmix(prob=True)", SettingError, "must be a number"),
        ("cutmix(prob=__import__('os'))", SpecError, "neither a number"),
        ("cutmix - cutout", SpecError, "not a method"),
        ("cutmix +", SpecError, "not a method"),
        ("mixup(alpha=0)", SettingError, r"\(0, 1000\]"),
        ("mixup(per='imgae')", SettingError, "did you mean 'image'"),
        ("dropout(drop=1.0)", SettingError, "0.99"),
        ("spatialdropout(drop=-0.1)", SettingError, "drop=-0.1"),
        ("dropblock(size=2.5)", SettingError, "whole number"),
        ("dropblock(drop=0.95)", SettingError, "0.9"),
        ("dropblock(schedule='xyz')", SettingError, "there are: constant, linear"),
        ("sgdrop(at='image')", SettingError, "name a layer"),
        ("sgdrop(drop=0)", SettingError, "drop=0"),
        ("sgdrop(drop=(0.6, 0.2))", SettingError, "a range"),
        ("cutout(size=0)", SettingError, "size=0"),
        ("oneof(cutmix, weights=(1, 2))", SettingError, "each of the 1 members"),
        ("oneof(cutmix, mixup, weights=(0, 0))", SettingError, "one of them above"),
        ("oneof(cutmix, mixup, weights=(-1, 2))", SettingError, "at least 0"),
        ("oneof(sgdrop(views='both'), mixup)", SettingError, "use the chain"),
        ("oneof(mixup, cutmix + sgdrop(views='both'))", SettingError, "use the chain"),
    ],
)
def test_an_error_says_what_and_what_instead(spec, error, text):
    with pytest.raises(error, match=text):
        parse(spec)


def test_oneof_needs_members():
    with pytest.raises(SettingError, match="no members"):
        OneOf(members=())


def test_oneof_asks_for_what_its_members_ask_for():
    method = parse("oneof(cutmix(schedule='linear'), mixup(at='layer1') + sgdrop(teacher='ema'))")
    assert method.places == {"image", "layer1", "features"}
    assert "ema" in method.teachers
    assert method.scheduled
    assert method.acting(frozenset({"elsewhere"})) == Chain()


@pytest.mark.parametrize(
    ("spec", "fillings"),
    [
        ("plain", ""), ("sgdrop", ""), ("dropblock", ""), ("dropblock(at='image')", "mean"), ("cutout", "mean"),
        ("cutout(fill='mean')", "mean"), ("cutout(fill=0.5)", "mean"), ("cutout(fill='noise')", "noise"),
        ("cutout(fill='noise', at='features')", ""), ("mixup", "patch"), ("cutmix(at='layer1')", ""),
        ("cutout + cutmix + sgdrop", "mean patch"),
        ("oneof(cutout(fill='noise'), plain, mixup + cutmix)", "noise patch"),
    ],
)  # fmt: skip
def test_a_method_says_what_it_shows_in_place_of_a_part_of_an_image(spec, fillings):
    assert parse(spec).fillings == set(fillings.split()) <= set(FILLINGS)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_filling_has_a_name(name):
    assert methods()[name]().fillings <= set(FILLINGS)
