import pytest
import torch
from torch import fx, nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.models.overfocus_cnn import OverfocusCNN, ResidualBlock

SETTINGS = [
    {},
    {"channels": 1},
    {"channels": 5, "widths": (12, 20)},
    {"depth": 2},
    {"stem": "large"},
    {"pooling": "max"},
    {"norm": "group"},
    {"widths": [8]},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("side", [(40, 40), (33, 17), (9, 64)], ids=str)
def test_any_size_and_channels_give_logits(settings, side):
    model = OverfocusCNN(7, **settings).eval()
    images = torch.randn(1, settings.get("channels", 3), *side)
    assert model(images).shape == (1, 7)


def test_the_parts_come_in_the_order_of_the_paper():
    names = [name for name, _ in OverfocusCNN(7).named_children()]
    assert names == ["stem", "stages", "norm", "relu", "pool", "flatten", "fc"]


def test_the_stem_keeps_the_side_and_later_stages_halve_it():
    model = OverfocusCNN(7)
    maps = [model.stem(torch.randn(2, 3, 40, 28))]
    for stage in model.stages:
        maps.append(stage(maps[-1]))
    assert [tuple(m.shape[1:]) for m in maps] == [(24, 40, 28), (24, 40, 28), (48, 20, 14), (96, 10, 7)]


def test_a_large_stem_leaves_a_quarter_of_the_side():
    assert OverfocusCNN(7, stem="large").stem(torch.randn(2, 3, 64, 48)).shape == (2, 24, 16, 12)


def test_the_shortcut_is_the_identity_where_the_shape_stays():
    block = ResidualBlock(6, 6)
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 6, 5, 4)
    assert block.projection is None
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)


def test_a_block_is_what_it_says():
    block = ResidualBlock(6, 10, stride=2).eval()
    x = torch.randn(2, 6, 9, 7)
    a = torch.relu(block.norm1(x))
    residual = block.conv2(torch.relu(block.norm2(block.conv1(a))))
    torch.testing.assert_close(block(x), residual + block.projection(a))


def test_no_layer_changes_its_input():
    model = OverfocusCNN(7)
    kept = []

    def keep(module, inputs, output):
        kept.extend((value, value.clone()) for value in (*inputs, output))

    for module in model.modules():
        if module is not model:
            module.register_forward_hook(keep)
    model(torch.randn(3, 3, 16, 12))
    assert all(torch.equal(value, copy) for value, copy in kept)


def test_fx_traces_it_and_the_features_ahead_of_the_pool_are_the_relu():
    traced = fx.symbolic_trace(OverfocusCNN(7, depth=2))
    pool = next(node for node in traced.graph.nodes if node.target == "pool")
    assert pool.args[0].target == "relu"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_channels_last(dtype):
    model = OverfocusCNN(7).to(dtype=dtype, memory_format=torch.channels_last).eval()
    images = torch.randn(2, 3, 20, 12, dtype=dtype).to(memory_format=torch.channels_last)
    features = model.relu(model.norm(model.stages(model.stem(images))))
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert model(images).dtype == dtype
    assert model(images).isfinite().all()


def test_group_norm_lets_no_image_see_another():
    model = OverfocusCNN(7, norm="group").train()
    images = torch.randn(4, 3, 12, 20)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_every_parameter_learns():
    model = OverfocusCNN(7)
    model(torch.randn(4, 3, 16, 12)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_activations_keep_their_scale_at_the_start():
    torch.manual_seed(0)
    logits = OverfocusCNN(7)(torch.randn(16, 3, 24, 24))
    assert 0.05 < logits.std() < 5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"classes": 0}, "classes is 0"),
        ({"channels": 0}, "channels is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"widths": ()}, "stages in widths is 0"),
        ({"widths": (8, -1)}, r"widths\[1\] is -1"),
    ],
)
def test_counts_below_one_are_refused(settings, said):
    with pytest.raises(OverfocusError, match=said):
        OverfocusCNN(**{"classes": 7} | settings)


@pytest.mark.parametrize(("setting", "typo", "meant"), [("stem", "smal", "small"), ("pooling", "avg", "average")])
def test_unknown_choices_name_the_nearest(setting, typo, meant):
    with pytest.raises(UnknownName, match=meant):
        OverfocusCNN(7, **{setting: typo})
