"""Options of `unetdiff train` whose defaults are those of the network that `--init` names.

`model` and `objective`, and of a pipeline also `text` and `latents`.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from unetdiff.errors import InputError
from unetdiff.losses import LogNormalObjective, Objective, continuing_objective
from unetdiff.plain import to_plain
from unetdiff.training.companions import Companions
from unetdiff.training.pretrained import Pretrained
from unetdiff.training.resume import starting_points
from unetdiff.training.run_folder import RunFolder

__all__ = ["config_files", "init_defaults"]

KEPT = ("model", "objective", "text", "latents")


def config_files(arguments: Sequence[str]) -> list[str]:
    """The files that options are read from."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    files: list[str] = parser.parse_known_args(arguments)[0].config
    saved = _saved(_chosen(arguments))
    return files if saved is None else [*files, str(saved)]


def init_defaults(arguments: Sequence[str]) -> dict[str, Any]:
    """By option; none without `--init`.

    A run that goes on has them in its own `config.yaml`, and needs the network that it started from no more.

    Raises:
        InputError: the network, or that `config.yaml`, cannot be read.
    """
    chosen = _chosen(arguments)
    if chosen["init"] is None:
        return {}
    saved = _saved(chosen)
    if saved is not None:
        values = _yaml(str(saved))
        if not values.keys() >= set(KEPT) or not isinstance(values["model"], dict):
            raise InputError(f"{saved}: expected the options of the run that goes on, got a damaged file")
        kept = {name: values[name] for name in KEPT}
        return {**_options("model", kept.pop("model")), **kept}
    source = Pretrained.find(chosen["init"])
    defaults = _options("model", source.config.to_dict()) | to_plain(Companions.find(chosen["init"]))
    if source.preconditioning is not None:
        defaults["objective"] = _spelled(continuing_objective(source.preconditioning))
    return defaults


def _saved(chosen: Mapping[str, str | None]) -> Path | None:
    """The `config.yaml` of a run with `init` that goes on."""
    if chosen["init"] is None or not chosen["out"]:
        return None
    folder = RunFolder(Path(chosen["out"]))
    goes_on = folder.config.is_file() and starting_points(folder.checkpoints, chosen["resume"] or "auto")
    return folder.config if goes_on else None


def _chosen(arguments: Sequence[str]) -> dict[str, str | None]:
    """The options that decide, of the command line or its YAML file, whatever else is there."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("config", "init", "out", "resume"):
        parser.add_argument(f"--{name}")
    given = vars(parser.parse_known_args(arguments)[0])
    values = _yaml(given["config"])
    return {name: value if value is not None else values.get(name) for name, value in given.items()}


def _yaml(path: str | None) -> Mapping[str, Any]:
    """What a file says; the parser of all options refuses a bad one with its reasons."""
    try:
        values = {} if path is None else yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _options(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _spelled(objective: Objective) -> dict[str, Any]:
    """An objective as the options of its class."""
    values = to_plain(objective)
    if objective.weighting is not None:
        values["weighting"] = _class_and_fields(objective.weighting, to_plain(objective.weighting))
    if isinstance(objective, LogNormalObjective):
        values["prediction"] = _class_and_fields(objective.prediction, to_plain(objective.prediction))
    return _class_and_fields(objective, values)


def _class_and_fields(value: Any, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401  # a dataclass
    kind = type(value)
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": dict(values)}
