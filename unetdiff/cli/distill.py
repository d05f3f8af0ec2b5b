"""`unetdiff distill`: `unetdiff train` with a teacher, under shorter names for what this needs.

    --teacher MODEL    distill.teacher, of `KnowledgeDistillation` unless --distill names another class
    --student MODEL    init; without it the teacher, which is what fewer steps start from
    --data SOURCE      data.source

Everything else, and what comes of it, is `unetdiff train`'s.
"""

import argparse
from collections.abc import Sequence

import jsonargparse

from unetdiff.cli import train
from unetdiff.distillation import KnowledgeDistillation
from unetdiff.errors import InputError

__all__ = ["as_training", "parser", "run"]


class _Parser(train.TrainParser):
    def spelled_out(self, arguments: Sequence[str]) -> list[str]:
        return super().spelled_out(as_training(arguments))


def parser() -> jsonargparse.ArgumentParser:
    """Teacher, student and data, and all options of a training."""
    result = train.parser(_Parser)
    result.description = "Train a network to do what its teacher does; the other options are those of unetdiff train."
    result.add_argument("--teacher", help="model, run or pipeline folder, or a pipeline of the hub: distill.teacher")
    result.add_argument("--student", help="what to start from, such as a pruned model: init (default: the teacher)")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Train, as `unetdiff train` does.

    Raises:
        InputError: as there; or no teacher.
    """
    if args.distill is None:
        raise InputError("teacher: expected a model to learn from, got none")
    train.run(args)


def as_training(arguments: Sequence[str]) -> list[str]:
    """The arguments of `unetdiff train` that say the same."""
    short = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("teacher", "student", "data", "distill", "init"):
        short.add_argument(f"--{name}")
    given, others = short.parse_known_args(arguments)
    options = {
        "data.source": given.data,
        "init": given.student or given.init or given.teacher,
        "distill": given.distill,
    }
    if given.teacher is not None:
        kind = KnowledgeDistillation
        options["distill"] = given.distill or f"{kind.__module__}.{kind.__qualname__}"
        options["distill.teacher"] = given.teacher
    return [*(f"--{name}={value}" for name, value in options.items() if value is not None), *others]
