"""Configurations: valid ones build, run and survive JSON and the disk; others are refused by the name of a field."""

import dataclasses
import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.unet import UNet

WIDTHS = st.sampled_from([None, 4, 6])
RESAMPLING = st.sampled_from(["conv", "resnet"])
NUMBERS = [-1, 0, 1, 3, 7, -0.5, 0.5, float("nan"), float("inf"), -float("inf"), 1e-300]
WRONG = [None, True, "", "x", "8", *NUMBERS, [], [0, 0], [[]], [{}], {}, {1: 2, "a": 3}]


@st.composite
def attentions(draw):
    kind = draw(st.sampled_from(["attention", "transformer"]))
    heads = draw(st.sampled_from([{}, {"heads": 2}, {"head_channels": 4}]))
    return AttentionConfig(kind=kind, layers=draw(st.integers(0, 1 + (kind == "transformer"))), **heads)


@st.composite
def configs(draw):
    """Networks of a few channels, in every combination of kinds."""
    attention = st.none() | attentions()
    levels = st.builds(
        LevelConfig,
        channels=st.sampled_from([4, 8]),
        depth=st.integers(1, 2),
        attention=attention,
        downsample=st.none() | RESAMPLING,
        upsample=st.none() | RESAMPLING,
    )
    vector = draw(WIDTHS)
    return UNetConfig(
        in_channels=draw(st.integers(1, 2)),
        out_channels=draw(st.integers(1, 2)),
        levels=tuple(draw(st.lists(levels, min_size=1, max_size=3))),
        mid=draw(st.none() | st.builds(MidConfig, depth=st.integers(0, 1), attention=attention)),
        resnet=draw(
            st.builds(
                ResnetConfig,
                time_conditioning=st.sampled_from(["add", "scale_shift"]),
                residual_scale=st.sampled_from([1.0, 0.5]),
                norm_groups=st.just(2),
                resample_projection=st.booleans(),
            )
        ),
        time=draw(st.builds(TimeConfig, kind=st.sampled_from(["sinusoidal", "fourier"]), channels=WIDTHS)),
        input_residual=draw(st.booleans()),
        num_classes=draw(st.sampled_from([None, 3])),
        vector_channels=vector,
        vector_time_channels=None if vector is None else draw(st.sampled_from([None, 2])),
        augment_channels=draw(WIDTHS),
        cross_attention_dim=draw(WIDTHS),
    )


def run(unet):
    """The output for a picture of odd sizes under all conditions that the network takes."""
    config, condition = unet.config, {}
    torch.manual_seed(0)
    if config.num_classes is not None:
        condition["class_labels"] = torch.zeros(1, dtype=torch.long)
    for name, width in {"vector": config.vector_channels, "augment_labels": config.augment_channels}.items():
        if width is not None:
            condition[name] = torch.randn(1, width)
    if config.cross_attention_dim is not None:
        condition["encoder_hidden_states"] = torch.randn(1, 3, config.cross_attention_dim)
    with torch.no_grad():
        return unet(torch.randn(1, config.in_channels, 5, 6), 3.0, **condition).sample


@settings(max_examples=10)
@given(config=configs())
def test_a_valid_configuration_builds_runs_and_comes_back(tmp_path_factory, config):
    assert UNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    unet = UNet(config).eval()
    output = run(unet)
    assert output.shape == (1, config.out_channels, 5, 6)
    assert output.isfinite().all()
    folder = tmp_path_factory.mktemp("unet")
    unet.save_pretrained(folder)
    again = UNet.from_pretrained(folder)
    assert again.config == config
    assert torch.equal(run(again), output)


def places(value, path=()):
    """The paths to everything in a tree of dicts and lists, itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def replaced(tree, path, value):
    tree = json.loads(json.dumps(tree))
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return tree


FIELDS = {
    field.name
    for kind in (UNetConfig, LevelConfig, MidConfig, AttentionConfig, ResnetConfig, TimeConfig)
    for field in dataclasses.fields(kind)
}


@settings(max_examples=25)
@given(config=configs(), data=st.data(), wrong=st.sampled_from(WRONG))
def test_a_changed_field_is_refused_by_name_or_builds(config, data, wrong):
    plain = config.to_dict()
    path = data.draw(st.sampled_from(list(places(plain))))
    try:
        changed = UNetConfig.from_dict(replaced(plain, path, wrong))
    except ValueError as error:
        message = str(error)
        assert "\n" not in message
        assert any(part in FIELDS for part in message.partition(": ")[0].replace(",", "").replace(".", " ").split())
        return
    assume(changed.class_projection is None)
    assert run(UNet(changed).eval()).isfinite().all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({1: 2, "a": 3}, "UNetConfig: expected fields among .*, got "),
        ({"sample_size": 0}, "sample_size: expected positive numbers or null, got 0"),
        ({"resnet": {"norm_eps": -1.0}}, "resnet.norm_eps: expected 0 or a positive number, got -1.0"),
        ({"resnet": {"residual_scale": float("inf")}}, "resnet.residual_scale: expected a positive number, got inf"),
        ({"time": {"max_period": 0.0}}, "time.max_period: expected a positive number, got 0.0"),
        ({"time": {"freq_shift": float("nan")}}, "time.freq_shift: expected a finite number, got nan"),
        (
            {"time": {"channels": 2, "freq_shift": 1.0}},
            "time.freq_shift: expected a number below half of time.channels",
        ),
        ({"vector_channels": 9, "vector_time_channels": 3}, "vector_time_channels: expected an even number, got 3"),
    ],
)
def test_what_fuzzing_found_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig.from_dict(values)
