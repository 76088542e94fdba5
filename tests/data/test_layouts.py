from overfocus.data import load, names
from overfocus.data.layout import layouts


def test_special_layouts_are_tried_before_general_ones():
    found = [layout.__name__.rpartition(".")[2] for layout in layouts()]
    assert found == ["tiny_imagenet", "cub", "waterbirds", "hub", "parquet", "table", "folder"]
    assert len({layout.RANK for layout in layouts()}) == len(found)


def test_every_layout_is_listed():
    listed = dict(names())["PATH"]
    assert all(layout.CARD in listed for layout in layouts())
    assert load("totem", per_class=1).name in dict(names())
