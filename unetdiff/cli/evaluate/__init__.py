"""`unetdiff eval`: how good images are, of a model or of any folder, beside real ones."""

from unetdiff.cli.evaluate.command import parser, run

__all__ = ["parser", "run"]
