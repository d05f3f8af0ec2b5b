"""Which parts of a student and its teacher belong together: names are stable under pruning, so those of the same name.

A student may lack what its teacher has; what both have is compared.
"""

from collections.abc import Sequence

from unetdiff.config import UNetConfig
from unetdiff.errors import InputError
from unetdiff.name_patterns import matching

__all__ = ["paired", "require_alike"]

CONDITIONS = (
    "in_channels",
    "concat_channels",
    "num_classes",
    "class_projection",
    "class_channels",
    "vector_channels",
    "vector_time_channels",
    "augment_channels",
    "cross_attention_dim",
)


def require_alike(student: UNetConfig, teacher: UNetConfig) -> None:
    """Refuse networks that cannot be given the same, or whose nodes have other names.

    Raises:
        InputError: lists the conditions or the names that differ.
    """
    told = [
        f"{name} {getattr(student, name)} and {getattr(teacher, name)}"
        for name in CONDITIONS
        if getattr(student, name) != getattr(teacher, name)
    ]
    if told:
        raise InputError(f"distill: expected a student with its teacher's input and conditions, got {'; '.join(told)}")
    own, other = ([node.name for node in config.nodes()] for config in (student, teacher))
    alone = [("student", sorted(set(own) - set(other))), ("teacher", sorted(set(other) - set(own)))]
    found = "; ".join(f"only in the {who}: {', '.join(names)}" for who, names in alone if names)
    if found:
        raise InputError(f"distill: expected a student with its teacher's nodes, got {found}")


def paired(student: UNetConfig, teacher: UNetConfig, patterns: Sequence[str]) -> tuple[str, ...]:
    """Names of the nodes that both still have and that a pattern means, without `conv_out`: that is the output.

    Raises:
        InputError: a pattern that means nothing, or a pair whose widths differ.
    """
    widths = {node.name: node.out_channels for node in teacher.nodes() if node.removed is None}
    both = [node for node in student.nodes() if node.removed is None and node.name in widths]
    names = matching([node.name for node in both if node.name != "conv_out"], patterns, "distill.nodes")
    wrong = [
        f"{node.out_channels} instead of {widths[node.name]} at {node.name}"
        for node in both
        if node.name in names and node.out_channels != widths[node.name]
    ]
    if wrong:
        raise InputError(f"distill: expected a student as wide as its teacher at paired nodes, got {', '.join(wrong)}")
    return tuple(names)
