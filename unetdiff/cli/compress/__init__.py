"""`unetdiff compress`: a smaller model of a trained one, by pruning and distillation, and what that cost in quality."""

from unetdiff.cli.compress.command import parser, run

__all__ = ["parser", "run"]
