"""`unetdiff eval`: whether a model's images show the class or the caption asked for, beside real images."""

from unetdiff.cli.evaluate.command import parser, run

__all__ = ["parser", "run"]
