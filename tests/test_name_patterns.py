import pytest

from unetdiff.config import LevelConfig, UNetConfig
from unetdiff.errors import InputError
from unetdiff.name_patterns import matching
from unetdiff.unet import UNet

NAMES = ["conv_in", "down_blocks.0.resnets.0.conv1", "down_blocks.1.resnets.0.conv1", "mid_block.attentions.0.to_q"]


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["conv_in"], [0]),
        (["down_blocks.*"], [1, 2]),
        (["down_blocks"], [1, 2]),
        (["down_blocks.[1-9]"], [2]),
        (["to_q"], [3]),
        (["*.conv1"], [1, 2]),
        (["resnets.0"], [1, 2]),
        (["to_q", "conv_in", "conv_in"], [0, 3]),
        (["*"], [0, 1, 2, 3]),
        ([], []),
    ],
    ids=repr,
)
def test_a_pattern_means_a_name_the_end_of_one_and_what_is_inside(patterns, chosen):
    assert matching(NAMES, patterns, "freeze") == [NAMES[index] for index in chosen]


@pytest.mark.parametrize("pattern", ["q", "conv", "down", "block.0", "To_q", ""])
def test_part_of_a_word_means_nothing(pattern):
    with pytest.raises(InputError, match=r"freeze: expected a pattern of names in the network, got"):
        matching(NAMES, [pattern], "freeze")


def test_the_names_of_nodes_are_patterns():
    config = UNetConfig(levels=(LevelConfig(channels=32, depth=1), LevelConfig(channels=32, depth=1)))
    parameters = [name for name, _ in UNet(config).named_parameters()]
    chosen = [matching(parameters, [node.name], "freeze") for node in config.nodes()]
    assert all(
        name.startswith(f"{node.name}.") for node, names in zip(config.nodes(), chosen, strict=True) for name in names
    )
    rest = set(parameters) - {name for names in chosen for name in names}
    assert {name.partition(".")[0] for name in rest} == {"time_embedding"}


@pytest.mark.parametrize(("pattern", "near"), [("to_qq", "to_q"), ("mid_blok", "mid_block")])
def test_a_pattern_that_means_nothing_is_refused_with_what_is_near(pattern, near):
    with pytest.raises(InputError, match=rf"got {pattern}; near to it are .*\b{near}\b"):
        matching(NAMES, ["conv_in", pattern], "lora.targets")
