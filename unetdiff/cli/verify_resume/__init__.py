"""`unetdiff verify-resume`: proof that a run that is killed again and again ends as one that is left alone."""

from unetdiff.cli.verify_resume.command import parser, run

__all__ = ["parser", "run"]
