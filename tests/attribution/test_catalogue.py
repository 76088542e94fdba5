import ast
import sys
from pathlib import Path

import pytest
import torch
from classifiers import B, Plain, pictures, seeded

from overfocus.attribution import catalogue
from overfocus.attribution.attribution import Attribution
from overfocus.attribution.catalogue import attribute, card, method, methods, upsampled
from overfocus.attribution.methods.gradcam import GradCAM
from overfocus.core.errors import OverfocusError, UnknownName

FOLDER = Path(catalogue.__file__).parent / "methods"


def test_a_file_with_a_method_is_a_method():
    written = {path.stem for path in FOLDER.glob("*.py") if "(LayerMethod)" in path.read_text()
               or "(PixelMethod)" in path.read_text() or "(Attribution)" in path.read_text()}  # fmt: skip
    assert set(methods()) == written
    assert len(methods()) >= 11
    assert list(methods()) == sorted(methods())


@pytest.mark.parametrize("name", methods())
def test_every_method_has_a_card_a_record_and_maps(name):
    made = method(name)
    assert isinstance(made, Attribution)
    assert eval(repr(made), vars(sys.modules[type(made).__module__])) == made
    for part in ("Source: ", "Formula: ", "Settings", "Where it misleads: "):
        assert part in card(name)
    settings = [
        line.split()[0]
        for line in card(name).split("Settings\n")[-1].splitlines()
        if line[:4] == " " * 4 and line[4] != " "
    ]
    assert settings == list(vars(made))
    maps = attribute(seeded(Plain), pictures(size=(16, 24)), name)
    assert maps.shape in ((B, 4, 6), (B, 8, 12), (B, 16, 24)), "a layer, an earlier one, the image"
    assert maps.dtype == torch.float32
    assert attribute(seeded(Plain), pictures(size=(16, 24)), name, size=(5, 9)).shape == (B, 5, 9)


def test_names_and_settings_that_are_not_there_get_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'gradcam'"):
        method("gradcamm")
    with pytest.raises(UnknownName):
        card("head")
    with pytest.raises(UnknownName):
        attribute(seeded(Plain), pictures(), "attribution")
    with pytest.raises(OverfocusError, match="did you mean 'samples'"):
        method("smoothgrad", sample=3)
    with pytest.raises(OverfocusError, match="it has none"):
        method("gradcam", chunk=3)


def test_a_method_may_be_given_as_a_value():
    model, images = seeded(Plain), pictures()
    assert torch.equal(attribute(model, images, GradCAM()), attribute(model, images, "gradcam"))


def test_upsampled_maps_lie_over_the_image():
    maps = torch.tensor([[[0.0, 4.0]]])
    # Centres lie at 1/4 and 3/4 of the width.
    assert torch.allclose(upsampled(maps, (2, 4)), torch.tensor([[[0.0, 1.0, 3.0, 4.0]] * 2]))
    assert upsampled(maps, (1, 2)) is maps


def test_captum_is_loaded_only_when_it_is_asked_for():
    for path in FOLDER.glob("*.py"):
        above = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not [node for node in above if "captum" in ast.unparse(node)], path.name
