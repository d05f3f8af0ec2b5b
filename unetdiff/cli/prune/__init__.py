"""`unetdiff prune`: take out the parts of a network that it misses least, and write what remains as a model."""

from unetdiff.cli.prune.command import parser, run

__all__ = ["parser", "run"]
