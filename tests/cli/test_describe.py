"""`unetdiff describe`: which models it finds, what it prints and draws, what it refuses."""

import dataclasses
import json

import pytest
from diffusers import UNet2DConditionModel, UNet2DModel

from unetdiff import presets
from unetdiff.cli.main import main
from unetdiff.config import AttentionConfig, LevelConfig, UNetConfig
from unetdiff.describe import costs
from unetdiff.diagram import draw
from unetdiff.features.aliases import aliased
from unetdiff.model_folder import SHIPPED
from unetdiff.tap_points import tap_points

CONFIG = UNetConfig(
    sample_size=(8, 12),
    levels=(
        LevelConfig(channels=32, depth=1),
        LevelConfig(channels=32, depth=1, attention=AttentionConfig(kind="transformer", heads=4)),
    ),
    cross_attention_dim=6,
)


def write(folder, config=CONFIG):
    """A folder without weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"_class_name": "UNet", **config.to_dict()}))


@pytest.fixture
def model(tmp_path):
    write(tmp_path / "model" / "unet")
    return str(tmp_path / "model")


@pytest.fixture
def described(capsys):
    """Give a function that describes a model as JSON."""

    def run(*arguments):
        main(["describe", *map(str, arguments), "--json"])
        return json.loads(capsys.readouterr().out)

    return run


def test_json_holds_every_cost(model, described):
    rows = costs(CONFIG, (8, 12))
    facts = described(model)
    assert facts["model"] == model
    assert facts["size"] == [8, 12]
    assert facts["context_tokens"] == 77
    assert [node["name"] for node in facts["nodes"]] == [row.name for row in rows]
    for field in ("parameters", "macs", "activation_bytes", "tokens", "height", "width", "skip_from"):
        assert [node[field] for node in facts["nodes"]] == [getattr(row, field) for row in rows]
    for field in ("parameters", "macs", "activation_bytes"):
        assert facts["total"][field] == sum(getattr(row, field) for row in rows)
        assert facts["total"][field] == sum(level[field] for level in facts["levels"])


@pytest.mark.parametrize("place", ["unet", "model/unet", "."], ids=["model", "run", "network"])
def test_folders_that_hold_a_configuration(tmp_path, described, place):
    write(tmp_path / "given" / place)
    assert described(tmp_path / "given")["total"] == described_total(CONFIG, (8, 12))


def described_total(config, size):
    rows = costs(config, size)
    return {name: sum(getattr(row, name) for row in rows) for name in ("parameters", "macs", "activation_bytes")}


def test_what_was_taken_out(tmp_path, described, capsys):
    part = "down_blocks.1.attentions.0.transformer_blocks.0.ff"
    removed = {"mid_block.resnets.0": "identity", "up_blocks.0.resnets.0": "shortcut", part: "identity"}
    write(tmp_path / "whole")
    write(tmp_path / "pruned", dataclasses.replace(CONFIG, removed=removed))
    whole, pruned = (described(str(tmp_path / name)) for name in ("whole", "pruned"))
    assert pruned["removed"] == removed
    rows = {row["name"]: row for row in pruned["nodes"]}
    assert [row["name"] for row in whole["nodes"]] == list(rows)
    assert rows["mid_block.resnets.0"]["kind"] == "identity"
    assert rows["mid_block.resnets.0"]["parameters"] == rows["mid_block.resnets.0"]["macs"] == 0
    assert rows["up_blocks.0.resnets.0"]["parameters"] == (32 + 32) * 32 + 32
    before = {row["name"]: row["parameters"] for row in whole["nodes"]}
    norm, feed_forward = 2 * 32, 32 * 256 + 256 + 128 * 32 + 32
    node = "down_blocks.1.attentions.0"
    assert before[node] - rows[node]["parameters"] == norm + feed_forward
    assert main(["describe", str(tmp_path / "pruned")]) == 0
    assert f"Taken out: mid_block.resnets.0, up_blocks.0.resnets.0, {part}." in capsys.readouterr().out


def test_the_shipped_model_by_name(described):
    assert described("fashion-mnist")["total"] == described(SHIPPED)["total"]


def test_presets_by_name(described):
    facts = described("ddpm_cifar10", "--size", "16")
    assert facts["size"] == [16, 16]
    assert facts["context_tokens"] is None
    assert facts["total"] == described_total(presets.ddpm_cifar10(), (16, 16))


def test_taps_are_listed_with_their_aliases(model, described):
    taps = described(model, "--taps")["taps"]
    points = tap_points(CONFIG, CONFIG.nodes())
    for field in ("name", "node", "form", "channels", "stride"):
        assert [tap[field] for tap in taps] == [getattr(point, field) for point in points]
    assert sum(len(tap["aliases"]) for tap in taps) > len(CONFIG.levels)
    assert all(aliased(alias, CONFIG) == [tap["name"]] for tap in taps for alias in tap["aliases"])
    assert "taps" not in described(model)


def test_taps_are_printed_behind_the_costs(model, capsys):
    main(["describe", model, "--taps"])
    *_, costs_, taps = capsys.readouterr().out.rstrip().split("\n\n")
    assert "For one image" in costs_
    heading, *lines = taps.splitlines()
    assert heading.split() == ["tap", "form", "channels", "stride", "also", "called"]
    assert len(lines) == len(tap_points(CONFIG, CONFIG.nodes()))
    assert next(line for line in lines if line.startswith("mid_block.resnets.1 ")).split() == [
        "mid_block.resnets.1",
        "image",
        "32",
        "2",
        "block:5",
    ]


def test_height_comes_before_width(model, described):
    node = described(model, "--size", "16x4")["nodes"][-1]
    assert (node["height"], node["width"]) == (16, 4)


@pytest.mark.parametrize(
    "foreign",
    [
        lambda: UNet2DModel(
            sample_size=8,
            block_out_channels=(32, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        ),
        lambda: UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
        ),
    ],
    ids=["UNet2DModel", "UNet2DConditionModel"],
)
def test_networks_of_diffusers(tmp_path, described, foreign):
    network = foreign()
    network.save_config(tmp_path / "pipeline" / "unet")
    facts = described(tmp_path / "pipeline")
    assert facts["total"]["parameters"] == network.num_parameters()
    for node in facts["nodes"]:
        parameters = network.get_submodule(node["name"]).parameters()
        assert node["parameters"] == sum(parameter.numel() for parameter in parameters), node["name"]


def test_tables_are_aligned_and_complete(model, capsys):
    main(["describe", model])
    first, nodes, levels, notes = capsys.readouterr().out.strip().split("\n\n")
    assert first == f"{model} at 8x12, 77 context tokens"
    rows = costs(CONFIG, (8, 12))
    heading, *lines, total = nodes.splitlines()
    assert [line.split()[0] for line in lines] == [row.name for row in rows]
    assert total.startswith("total ")
    for line, row in zip(lines, rows, strict=True):
        end = heading.index("size") + len("size")
        assert line[:end].split()[-1] == ("-" if row.level is None else f"{row.height}x{row.width}")
        assert line[heading.index("skip from") :] == (row.skip_from or "")
    assert [line.split()[:3] for line in levels.splitlines()] == [
        ["level", "size", "tokens"],
        ["embedding", "-", "-"],
        ["0", "8x12", "-"],
        ["1", "4x6", "24"],
    ]
    assert "multiply-accumulates" in notes


def test_numbers_have_units(capsys):
    main(["describe", "ddpm_cifar10"])
    (total,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("total"))
    sums = described_total(presets.ddpm_cifar10(), (32, 32))
    expected = f"{sums['parameters'] / 1e6:.1f} M {sums['macs'] / 1e9:.1f} G {sums['activation_bytes'] / 2**20:.1f} MiB"
    assert total.split() == ["total", *expected.split()]


def test_the_diagram_is_drawn(tmp_path, model, capsys):
    path = tmp_path / "pictures" / "u.svg"
    main(["describe", model, "--diagram", str(path)])
    assert path.read_text(encoding="utf-8") == draw(costs(CONFIG, (8, 12)))
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("size", ["0", "8x", "x8", "8x8x8", "-8", "big", "8 8", "100000"])
def test_sizes_that_are_none(model, refused, size):
    assert f"size: expected a number or HEIGHTxWIDTH, up to 99999 each, got {size!r}" in refused(
        ["describe", model, f"--size={size}"]
    )


def test_a_size_is_needed_where_the_model_has_none(tmp_path, refused):
    write(tmp_path / "model" / "unet", UNetConfig())
    assert "size: expected --size" in refused(["describe", str(tmp_path / "model")])


@pytest.mark.parametrize("name", ["sd16", "."])
def test_nothing_to_describe(tmp_path, monkeypatch, refused, name):
    monkeypatch.chdir(tmp_path)
    message = refused(["describe", name])
    assert f"{name}: a folder with config.json or unet/config.json, or a preset's name expected" in message


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("{", "Expecting"),
        ("[]", "expected a JSON object, got []"),
        ('{"_class_name": "AutoencoderKL"}', "AutoencoderKL"),
        ('{"_class_name": "UNet", "chanels": 3}', "chanels"),
        ('{"_class_name": "UNet", "in_channels": "three"}', "in_channels: expected a value of type int, got 'three'"),
    ],
)
def test_configurations_that_are_none(tmp_path, refused, contents, message):
    (tmp_path / "config.json").write_text(contents)
    said = refused(["describe", str(tmp_path), "--size=8", "--diagram", str(tmp_path / "u.svg")])
    assert f"{tmp_path}/config.json: " in said
    assert message in said
    assert not (tmp_path / "u.svg").exists()


def test_what_is_narrower_inside(tmp_path, described, capsys):
    part = "down_blocks.1.attentions.0.transformer_blocks.0.ff"
    write(tmp_path / "narrow", dataclasses.replace(CONFIG, widths={part: 96}))
    assert described(str(tmp_path / "narrow"))["widths"] == {part: 96}
    assert main(["describe", str(tmp_path / "narrow")]) == 0
    assert f"Narrower inside: {part} 96 of 128." in capsys.readouterr().out
