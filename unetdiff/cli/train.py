"""`unetdiff train`: train a U-Net as a configuration says, or go on with a run that was stopped."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonargparse

from unetdiff.atomic import replacing
from unetdiff.cli.init_defaults import config_files, init_defaults
from unetdiff.cli.lora_argument import with_lora_fields
from unetdiff.cli.preview_grid import PreviewGrid
from unetdiff.cli.train_plan import plan_text
from unetdiff.config import UNetConfig
from unetdiff.errors import InputError
from unetdiff.plain import to_plain
from unetdiff.training.config import TrainConfig
from unetdiff.training.held_out import held_out
from unetdiff.training.images import prepare_images
from unetdiff.training.loop import Trainer
from unetdiff.training.plan import make_plan
from unetdiff.training.processes import join_processes
from unetdiff.training.resume import starting_points
from unetdiff.training.run_folder import RunFolder

__all__ = ["TrainParser", "config_parser", "parser", "run", "train_config", "write_config"]

INTERRUPTED = 130


class TrainParser(jsonargparse.ArgumentParser):
    """Reads `--init` first: what it names gives the defaults of the network and the objective."""

    def spelled_out(self, arguments: Sequence[str]) -> list[str]:
        """The arguments without short forms."""
        return with_lora_fields(arguments)

    def parse_args(  # type: ignore[override]  # of the library's two ways to read the one that this is about
        self,
        args: Sequence[str] | None = None,
        namespace: jsonargparse.Namespace | None = None,
        env: bool | None = None,
        defaults: bool = True,
        **reading: Any,  # noqa: ANN401  # as the library declares it
    ) -> jsonargparse.Namespace:
        """Read them, whatever the short forms.

        Raises:
            InputError: some cannot be used; the message names the files that options were read from.
        """
        arguments = self.spelled_out(sys.argv[1:] if args is None else args)
        try:
            self.set_defaults(init_defaults(arguments))
            settings = super().parse_args(arguments, namespace=namespace, env=env, defaults=defaults, **reading)
            self.validate(settings, skip_unset=False)  # reading alone lets null pass
        except (argparse.ArgumentError, AttributeError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise _refusal(error, config_files(arguments)) from error
        return settings


def parser(kind: type[TrainParser] = TrainParser) -> jsonargparse.ArgumentParser:
    """A run, and where it starts."""
    result = config_parser("Train a U-Net, or go on with a run that was stopped.", kind)
    result.add_argument(
        "--resume",
        type=str,
        default="auto",
        help="auto: go on from the newest whole checkpoint in out, if any; never; or the folder of a checkpoint",
    )
    result.add_argument(
        "--dry_run", action="store_true", help="show what the run will take, from two steps on the side; write nothing"
    )
    return result


def config_parser(description: str, kind: type[TrainParser] = TrainParser) -> jsonargparse.ArgumentParser:
    """Every field of `TrainConfig` is an option."""
    result = kind(description=description)
    result.add_argument("--config", action="config", help="YAML file with any of the options below")
    result.add_class_arguments(TrainConfig)
    result.set_defaults({"model.levels": [to_plain(level) for level in UNetConfig().levels]})
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Train to the end, or until a signal: then save, say how to go on, and exit with status 130."""
    config = train_config(args)
    folder = RunFolder(config.out)
    starts = starting_points(folder.checkpoints, args.resume)
    with join_processes(config).local_main_process_first():  # which packs the images, and encodes them
        data = prepare_images(config)
        measured = held_out(config, data)
    preview = PreviewGrid.of(config, data, measured) if config.preview.every else None
    trainer = Trainer(config, data, preview, starts, measured)
    trainer.fit_memory()
    if args.dry_run:
        plan = make_plan(trainer)
        if trainer.is_main:
            print(plan_text(plan, data, trainer.start.checkpoint))
        return
    if trainer.is_main:
        folder.prepare()
        write_config(folder.config, args)
        start = trainer.start.checkpoint
        print(trainer.network if start is None else f"going on from {start}", file=sys.stderr)
        if config.validation.every and measured is None:
            print(f"no validation: {config.data.source} has no test part; see validation.source", file=sys.stderr)
    finished = trainer.fit()
    if trainer.is_main and finished:
        print(f"all {trainer.state.step} steps are made; the model is in {folder.model}")
    if not finished:
        print(f"saved at step {trainer.state.step}; to go on: train.py --config {folder.config}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def train_config(args: jsonargparse.Namespace) -> TrainConfig:
    """What the options of `config_parser` say.

    Raises:
        InputError: a value that its field cannot take.
    """
    try:
        values = config_parser("").instantiate(_settings(args))
        return TrainConfig(**{field.name: values[field.name] for field in dataclasses.fields(TrainConfig)})
    except (TypeError, ValueError) as error:  # null, inside an option that names a class, comes as far as here
        raise _refusal(error, [str(file) for file in args.get("config") or []]) from error


def write_config(path: Path, args: jsonargparse.Namespace) -> None:
    """Everything that was set, but not where it was read from nor where this start went on from."""
    text = config_parser("").dump(_settings(args), skip_unset=False, skip_validation=True)
    with replacing(path) as staged:
        staged.write_text(text, encoding="utf-8")


def _refusal(error: Exception, files: Sequence[str]) -> InputError:
    return InputError(f"{error} (options were read from {', '.join(files)})" if files else str(error))


def _settings(args: jsonargparse.Namespace) -> jsonargparse.Namespace:
    """The options of `config_parser` alone: what the run is, not what a command does with it."""
    settings = args.clone()
    for option in vars(args).keys() - {field.name for field in dataclasses.fields(TrainConfig)}:
        settings.pop(option)
    return settings
