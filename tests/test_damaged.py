"""Folders, tables of boxes and checkpoints, damaged at random: a clear error or a counted exclusion, never a traceback,
and never a picture, box or weight other than what was stored.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from overfocus.core.errors import OverfocusError
from overfocus.data import load
from overfocus.models.checkpoints import load_weights

pytestmark = pytest.mark.slow

CLASSES, EACH = ("ants", "bees"), 4
FEW_SECONDS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
NAMES = ("x", "train", "Test", "val", "ants", "bees", "ANTS", ".hidden", "a b", "é", "e\u0301", "nul\n", "0", "10", "2")
SUFFIXES = (".png", ".PNG", ".jpg", ".txt", "", ".gif", ".csv", ".json", ".xml")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for label in CLASSES:
        (root / label).mkdir()
        for number in range(EACH):
            pixels = generator.integers(0, 256, (9, 11, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def stored(photos):
    """Bytes of a picture -> its class."""
    return {np.asarray(Image.open(file)).tobytes(): file.parent.name for file in photos.rglob("*.png")}


def cut(draw, file):
    whole = file.read_bytes()
    file.write_bytes(whole[: draw(st.integers(0, len(whole) - 1))])


def flip(draw, file):
    whole = bytearray(file.read_bytes())
    for _ in range(draw(st.integers(1, 3))):
        whole[draw(st.integers(0, len(whole) - 1))] ^= draw(st.integers(1, 255))
    file.write_bytes(bytes(whole))


def fill(draw, file):
    file.write_bytes(
        draw(st.sampled_from((b"", b"\0" * 99, b"<html>no</html>", b"file,label\na,b\n", b"\xff\xd8\xff")))
    )


def rename(draw, file):
    file.rename(file.with_name(draw(st.sampled_from(NAMES)) + draw(st.sampled_from(SUFFIXES))))


def move_up(draw, file):
    file.rename(file.parent.parent / file.name)


def link(draw, file):
    target = draw(st.sampled_from((file.name, "nothing", "..", "../..", ".")))
    file.unlink()
    file.symlink_to(target)


def folder_instead(draw, file):
    file.unlink()
    file.mkdir()


def rename_folder(draw, file):
    target = file.parent.with_name(draw(st.sampled_from(NAMES)))
    if not target.exists():
        file.parent.rename(target)


def empty_folder(draw, file):
    for each in file.parent.iterdir():
        each.unlink() if not each.is_dir() or each.is_symlink() else shutil.rmtree(each)


DAMAGES = (cut, flip, fill, rename, move_up, link, folder_instead, rename_folder, empty_folder)


@st.composite
def damages(draw, root):
    """Damage the copy of a folder in place, and return what was done."""
    done = []
    for _ in range(draw(st.integers(1, 4))):
        whole = (file for file in root.glob("*/*") if file.is_file() and not file.is_symlink())
        files = sorted(file for file in whole if file.stat().st_size)
        if not files:
            break
        damage = draw(st.sampled_from(DAMAGES))
        file = draw(st.sampled_from(files))
        done.append((damage.__name__, file.relative_to(root).as_posix()))
        damage(draw, file)
    return done


def check_error(error: OverfocusError, done: object) -> None:
    """Check that an error says something, in a readable length."""
    assert 10 < len(str(error)) < 2000, (done, error)


@settings(max_examples=250, **FEW_SECONDS)
@given(data=st.data())
def test_damaged_folders(photos, stored, tmp_path_factory, data):
    root = tmp_path_factory.mktemp("damaged") / "photos"
    shutil.copytree(photos, root)
    done = data.draw(damages(root))
    # What a renamed folder holds is rightly called by its new name.
    renamed = any(name in ("rename_folder",) for name, _ in done)
    try:
        dataset = load(root, on_bad_image="skip")
        for split in dataset.splits.values():
            for row, label in enumerate(split.labels.tolist()):
                pixels = split.images.read(row).permute(1, 2, 0).contiguous().numpy().tobytes()
                assert pixels in stored, (done, split.images.name(row))
                assert renamed or stored[pixels] == dataset.classes[label], (done, split.images.name(row))
    except OverfocusError as error:
        check_error(error, done)
    shutil.rmtree(root.parent)


CELLS = st.one_of(
    st.integers(-5, 30).map(str),
    st.floats(-1, 2).map(str),
    st.sampled_from(("", "nan", "inf", "x", "1e400", "0.5", '"', "ants/0.png", "é")),
)


@settings(max_examples=100, **FEW_SECONDS)
@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=6), min_size=1, max_size=5), header=st.booleans())
def test_damaged_tables_of_boxes(photos, tmp_path_factory, rows, header):
    table = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    lines = ["file,x0,y0,x1,y1"] * header + [",".join(("ants/1.png", *row)) for row in rows]
    table.write_text("\n".join(lines), encoding="utf-8")
    try:
        dataset = load(photos, boxes=table)
    except OverfocusError as error:
        check_error(error, lines)
        return
    for split in dataset.splits.values():
        for row, boxes in enumerate(split.boxes):
            height, width = split.images.size(row)
            inside = (boxes >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
            assert inside, (lines, boxes)
            assert (boxes[:, 2:] > boxes[:, :2]).all(), (lines, boxes)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.Flatten(), torch.nn.Linear(5, 2)
    )


def nested(draw, state):
    return {draw(st.sampled_from(("state_dict", "model", "ema", "x", 3))): state, "epoch": draw(st.integers(0, 9))}


def without_one(draw, state):
    left_out = draw(st.sampled_from(sorted(state)))
    return {name: tensor for name, tensor in state.items() if name != left_out}


def one_more(draw, state):
    return {
        **state,
        draw(st.sampled_from(("criterion.weight", "x", "0.weight.1"))): torch.ones(draw(st.integers(0, 3))),
    }


def one_reshaped(draw, state):
    name = draw(st.sampled_from(sorted(state)))
    return {**state, name: state[name].unsqueeze(0) if draw(st.booleans()) else state[name].flatten()[:1].repeat(7)}


def prefixed(draw, state):
    prefix = draw(st.sampled_from(("module.", "net.", "_orig_mod.", "objective.model.", "a.b.")))
    return {prefix + name: tensor for name, tensor in state.items()}


def one_prefixed(draw, state):
    name = draw(st.sampled_from(sorted(state)))
    return {("module." if each == name else "") + each: tensor for each, tensor in state.items()}


def not_tensors(draw, state):
    name = draw(st.sampled_from(sorted(state)))
    return {**state, name: draw(st.sampled_from((None, "x", 3.0, [1.0], {"a": 1})))}


CHANGES = (nested, without_one, one_more, one_reshaped, prefixed, one_prefixed, not_tensors)


@settings(max_examples=150, **FEW_SECONDS)
@given(data=st.data())
def test_damaged_checkpoints(tmp_path_factory, data):
    state = network().state_dict()
    path = tmp_path_factory.mktemp("weights") / "net.pt"
    content = dict(state)
    done = []
    for _ in range(data.draw(st.integers(0, 2))):
        change = data.draw(st.sampled_from(CHANGES))
        if all(isinstance(value, torch.Tensor) for value in content.values()):
            content = change(data.draw, content)
            done.append(change.__name__)
    torch.save(content, path)
    if data.draw(st.booleans()):
        damage = data.draw(st.sampled_from((cut, flip, fill)))
        damage(data.draw, path)
        done.append(damage.__name__)
    check_weights(path, state, done)


@settings(max_examples=100, **FEW_SECONDS)
@given(data=st.data())
def test_damaged_safetensors(tmp_path_factory, data):
    """The format has no checksum, so only its header and its length are damaged."""
    state = network().state_dict()
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_file(state, path)
    whole = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    if data.draw(st.booleans()):
        path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole) - 1))]))
    else:
        # A data type or an offset that changes to another valid one cannot be noticed, but for the shapes.
        places = [place for place in range(header) if not chr(whole[place]).isdigit()]
        whole[data.draw(st.sampled_from(places))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes(whole))
    check_weights(path, state, ["header"])


def check_weights(path: Path, state: dict, done: list[str]) -> None:
    model = network()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 7.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = state
    try:
        load_weights(model, path)
    except OverfocusError as error:
        check_error(error, done)
        expected = before
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name]), (done, name)
