"""Which nodes are paired, and which networks are refused."""

from dataclasses import replace

import pytest

from unetdiff.config import LevelConfig, MidConfig, UNetConfig
from unetdiff.distillation.pairing import paired, require_alike
from unetdiff.errors import InputError

TEACHER = UNetConfig(levels=(LevelConfig(channels=32, depth=2),), mid=MidConfig(), num_classes=10)
STUDENT = replace(TEACHER, removed={"down_blocks.0.resnets.1": "identity", "mid_block.resnets.0": "identity"})


def names(config):
    return [node.name for node in config.nodes()]


def test_what_both_still_have_is_paired_but_the_output():
    gone = {*STUDENT.removed, "conv_out"}
    expected = tuple(name for name in names(TEACHER) if name not in gone)
    assert paired(STUDENT, TEACHER, ["*"]) == paired(TEACHER, STUDENT, ["*"]) == expected


def test_patterns_choose():
    assert paired(STUDENT, TEACHER, ["mid_block", "conv_in"]) == ("conv_in", "mid_block.resnets.1")
    with pytest.raises(InputError, match="distill.nodes: expected a pattern of names in the network, got mid_blok"):
        paired(STUDENT, TEACHER, ["mid_blok"])
    with pytest.raises(InputError, match="got mid_block.resnets.0"):
        paired(STUDENT, TEACHER, ["mid_block.resnets.0"])


def test_a_student_of_another_width_is_refused_where_it_is_paired():
    wide = replace(TEACHER, levels=(LevelConfig(channels=64, depth=2),), stem_channels=32)
    with pytest.raises(InputError, match=r"as wide as its teacher .*, got 64 instead of 32 at down_blocks.0.resnets.0"):
        paired(wide, TEACHER, ["*"])
    assert paired(wide, TEACHER, ["conv_in"]) == ("conv_in",)


def test_other_conditions_are_listed():
    other = replace(TEACHER, num_classes=None, cross_attention_dim=8)
    words = "conditions, got num_classes None and 10; cross_attention_dim 8 and None"
    with pytest.raises(InputError, match=words):
        require_alike(other, TEACHER)


def test_other_nodes_are_listed():
    other = replace(TEACHER, levels=(LevelConfig(channels=32, depth=1),), mid=MidConfig(depth=2))
    with pytest.raises(InputError, match=r"got only in the student: mid_block\.resnets\.2; only in the teacher: down_"):
        require_alike(other, TEACHER)


def test_a_pruned_network_is_alike():
    require_alike(STUDENT, TEACHER)
