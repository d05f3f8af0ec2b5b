"""`unetdiff compare`: models, and settings of sampling, side by side."""

from unetdiff.cli.compare.command import parser, run

__all__ = ["parser", "run"]
