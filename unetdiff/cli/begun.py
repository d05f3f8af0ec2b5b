"""A folder that a command goes on with: it was begun with the same settings, or it is new."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unetdiff.atomic import replacing
from unetdiff.cli.prune.options import require_new
from unetdiff.errors import InputError
from unetdiff.training.identity import differences
from unetdiff.weight_source import read_json

__all__ = ["require_begun_with", "write_settings"]


def require_begun_with(settings: Mapping[str, Any], file: Path) -> None:
    """Refuse a folder with other settings in `file`, and a full one without that file.

    Raises:
        InputError: it is one of them.
    """
    root = file.parent
    if not file.exists():
        require_new(root)
        return
    found = differences(read_json(file), settings)
    if found:
        raise InputError(f"out: expected the settings that {root} was begun with, got others: {'; '.join(found)}")


def write_settings(settings: Mapping[str, Any], file: Path) -> None:
    """For `require_begun_with`."""
    with replacing(file) as staged:
        staged.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
