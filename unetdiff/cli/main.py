"""The console command `unetdiff <command>`: find the command's module, parse, run, turn bad input into one sentence.

A command is a module of this package with `parser()` and `run(args)`. It is imported only when it is called, so that
`unetdiff --help` needs neither torch nor a second.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol, cast

import jsonargparse

from unetdiff import __version__
from unetdiff.errors import InputError

__all__ = ["COMMANDS", "Command", "main"]

BROKEN_PIPE = 141  # as shells count a death by SIGPIPE
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CommandModule(Protocol):
    """What a module of a command provides."""

    def parser(self) -> jsonargparse.ArgumentParser:
        """Build the parser of the command's own options."""

    def run(self, args: jsonargparse.Namespace) -> None:
        """Do it."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A row of `unetdiff --help`."""

    module: str
    summary: str

    def load(self) -> CommandModule:
        """Import the command's module."""
        return cast(CommandModule, importlib.import_module(self.module))


COMMANDS = {
    "train": Command(module="unetdiff.cli.train", summary="train a U-Net, or go on with a run"),
    "distill": Command(
        module="unetdiff.cli.distill", summary="train a smaller or faster network to do what another one does"
    ),
    "verify-resume": Command(
        module="unetdiff.cli.verify_resume", summary="kill a training again and again, and see that nothing changes"
    ),
    "sample": Command(module="unetdiff.cli.sample", summary="make images with a model"),
    "reproduce": Command(
        module="unetdiff.cli.reproduce", summary="make a picture of `unetdiff sample` again from what it says of itself"
    ),
    "data": Command(module="unetdiff.cli.data", summary="find or fetch a data set and pack it for training"),
    "eval": Command(module="unetdiff.cli.evaluate", summary="measure how good a model's images are"),
    "compare": Command(
        module="unetdiff.cli.compare", summary="measure models or settings side by side; a page with curves and samples"
    ),
    "skip-search": Command(module="unetdiff.cli.skip_search", summary="find the skip-tuning that samples best"),
    "skip-report": Command(module="unetdiff.cli.skip_report", summary="show what skip connections and skip-tuning do"),
    "features": Command(
        module="unetdiff.cli.features", summary="extract a network's features of images, by place and noise level"
    ),
    "probe": Command(module="unetdiff.cli.probe", summary="show what can be told from stored features"),
    "segment": Command(
        module="unetdiff.cli.segment", summary="show how well the class of each pixel can be told from stored maps"
    ),
    "sweep": Command(
        module="unetdiff.cli.sweep",
        summary="probe the features of all nodes at several noise levels; table and picture",
    ),
    "cka": Command(module="unetdiff.cli.cka", summary="compare representations: layers, noise levels, two models"),
    "attention": Command(
        module="unetdiff.cli.attention", summary="show where in the pictures each token of a prompt acts"
    ),
    "embed": Command(module="unetdiff.cli.embed", summary="draw the features of images as points in a plane, by class"),
    "classify": Command(module="unetdiff.cli.classify", summary="find the class of images with a model of classes"),
    "fine-tune-classifier": Command(
        module="unetdiff.cli.fine_tune_classifier",
        summary="train a U-Net and a head on its features together to tell classes",
    ),
    "describe": Command(module="unetdiff.cli.describe", summary="show what a network costs, node by node, and draw it"),
    "prune": Command(module="unetdiff.cli.prune", summary="take out the layers of a network that it misses least"),
    "reshape": Command(
        module="unetdiff.cli.reshape", summary="make a network smaller by shape: a published layout, narrower parts"
    ),
    "compress": Command(
        module="unetdiff.cli.compress", summary="prune a model and distil it, in stages, with a table before and after"
    ),
    "convert": Command(
        module="unetdiff.cli.convert", summary="turn a network of EDM or guided-diffusion into a model folder"
    ),
    "ema": Command(
        module="unetdiff.cli.ema",
        summary="list a run's stored averages of the weights, or make a model of another width",
    ),
    "replay": Command(
        module="unetdiff.cli.replay", summary="run again the training step whose loss or gradient was not finite"
    ),
    "train-classifier": Command(
        module="unetdiff.cli.train_classifier", summary="train the small classifier that evaluation uses"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return 0; exit with status 2 on bad input, 130 on Ctrl-C, 141 without a reader."""
    name, *options = _front(sys.argv[1:] if argv is None else argv)
    try:
        _call(COMMANDS[name], f"unetdiff {name}", options)
    except (InputError, argparse.ArgumentError) as error:
        _refuse(name, str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to print has no reader
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        if error.filename is None and error.errno not in DISK_FULL:
            raise
        _refuse(name, f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
    except KeyboardInterrupt:
        sys.exit(130)
    return 0


def _front(argv: Sequence[str]) -> list[str]:
    """The command's name and its arguments; `--help`, `--version` and an unknown name end here."""
    parser = argparse.ArgumentParser(
        prog="unetdiff",
        description="The time-conditioned diffusion U-Net.",
        epilog="commands:\n" + "\n".join(f"  {name:<22}{command.summary}" for name, command in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"unetdiff {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="command", help="one of the below; see its own --help")
    name = parser.parse_args(argv[:1]).command
    return [name, *argv[1:]]


def _call(command: Command, prog: str, options: Sequence[str]) -> None:
    module = command.load()
    parser = module.parser()
    parser.prog = prog
    parser.exit_on_error = False
    module.run(parser.parse_args([_underscored(option) for option in options]))
    sys.stdout.flush()  # here, where a reader that has gone is noticed


def _underscored(argument: str) -> str:
    """Options are named like the fields that they set, but `--skip-scale` is as good as `--skip_scale`."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _refuse(name: str, message: str) -> NoReturn:
    print(f"unetdiff {name}: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
