"""The commands of `unetdiff`, one module each."""
