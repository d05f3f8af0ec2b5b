"""`unetdiff describe`: what a network costs and how it looks, from its configuration; the weights are not read."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonargparse

from unetdiff import presets
from unetdiff.atomic import replacing
from unetdiff.config import UNetConfig
from unetdiff.describe import LevelCost, NodeCost, costs, costs_of_levels
from unetdiff.diagram import draw
from unetdiff.diffusers_config import read_config
from unetdiff.errors import InputError
from unetdiff.features.aliases import aliases
from unetdiff.interop.edm_pickle import read_edm_config
from unetdiff.model_folder import named
from unetdiff.plain import require
from unetdiff.tables import in_bytes, in_thousands, table
from unetdiff.tap_points import tap_points
from unetdiff.widths import narrowable

__all__ = ["parser", "run"]

CONTEXT_TOKENS = 77  # of CLIP's text encoders
SUMS = ("parameters", "macs", "activation_bytes")
SUM_HEADINGS = ("parameters", "MACs", "activations")
NODE_HEADINGS = ("name", "kind", "level", "in", "skip", "out", "size", "tokens", *SUM_HEADINGS, "skip from")
LEVEL_HEADINGS = ("level", "size", "tokens", *SUM_HEADINGS)
TAP_HEADINGS = ("tap", "form", "channels", "stride", "also called")
TAPS_LEFT_ALIGNED = [TAP_HEADINGS.index(heading) for heading in ("tap", "form", "also called")]
LEFT_ALIGNED = [NODE_HEADINGS.index(heading) for heading in ("name", "kind", "skip from")]
NOTES = """\
For one image. MACs: multiply-accumulates of convolutions and matrix products, attention's too.
Activations: an estimate of what the backward pass keeps in float32, with fused attention."""


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(description="Show what a network costs, node by node. Reads no weights.")
    names = ", ".join(presets.__all__)
    result.add_argument(
        "model",
        help=f"model, run or pipeline folder, folder with a config.json, EDM's network-snapshot.pkl, or one of {names}",
    )
    result.add_argument("--size", type=str, help="height and width of the input, such as 64 or 64x48; else the model's")
    result.add_argument("--taps", action="store_true", help="also list where feature maps can be read, and how wide")
    result.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    result.add_argument("--diagram", type=Path, metavar="FILE.svg", help="also draw the U with its skips")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Print the costs; write the diagram if asked for."""
    config = _config(args.model)
    size = _size(args.size, config)
    rows = costs(config, size, CONTEXT_TOKENS)
    if args.diagram is not None:
        with replacing(args.diagram) as staged:
            staged.write_text(draw(rows), encoding="utf-8")
    if args.json:
        taps = {"taps": _taps(config)} if args.taps else {}
        print(json.dumps(_everything(args.model, config, size, rows) | taps, indent=2))
        return
    context = f", {CONTEXT_TOKENS} context tokens" if config.cross_attention_dim is not None else ""
    print(f"{args.model} at {_resolution(*size)}{context}\n")
    nodes = [*map(_node_cells, rows), ("total", *[""] * 7, *_sum_cells(_totals(rows)), "")]
    levels = list(map(_level_cells, costs_of_levels(rows)))
    print(table([NODE_HEADINGS, *nodes], LEFT_ALIGNED), table([LEVEL_HEADINGS, *levels]), NOTES, sep="\n\n")
    if config.removed:
        print(f"Taken out: {', '.join(config.removed)}.")
    if config.widths:
        whole = narrowable(config)
        parts = (f"{name} {width} of {whole[name].width}" for name, width in config.widths.items())
        print(f"Narrower inside: {', '.join(parts)}.")
    if args.taps:
        print(f"\n{table([TAP_HEADINGS, *map(_tap_cells, _taps(config))], TAPS_LEFT_ALIGNED)}")
    if args.diagram is not None:
        print(f"\n{args.diagram}")


def _config(model: str) -> UNetConfig:
    folder = named(model)
    if folder.suffix == ".pkl":
        return read_edm_config(folder)
    if not folder.is_dir() and model in presets.__all__:
        preset: UNetConfig = getattr(presets, model)()
        return preset
    places = [folder / place / "config.json" for place in ("unet", "model/unet", "")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(f"{model}: a folder with config.json or unet/config.json, or a preset's name expected")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        require(isinstance(values, dict), "contents", "a JSON object", values)
        return read_config(values)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _size(text: str | None, config: UNetConfig) -> tuple[int, int]:
    if text is None:
        if config.image_size is None:
            raise InputError("size: expected --size, since the model's configuration has no sample_size")
        return config.image_size
    if not re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4})?", text):
        raise InputError(f"size: expected a number or HEIGHTxWIDTH, up to 99999 each, got {text!r}")
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def _everything(model: str, config: UNetConfig, size: tuple[int, int], rows: Sequence[NodeCost]) -> dict[str, object]:
    return {
        "model": model,
        "size": size,
        "context_tokens": CONTEXT_TOKENS if config.cross_attention_dim is not None else None,
        "total": _totals(rows),
        "removed": dict(config.removed),
        "widths": dict(config.widths),
        "levels": [asdict(level) for level in costs_of_levels(rows)],
        "nodes": [asdict(row) for row in rows],
    }


def _taps(config: UNetConfig) -> list[dict[str, Any]]:
    """Where feature maps can be read, with the names that papers have for them."""
    also = aliases(config)
    return [
        {**asdict(point), "aliases": list(also.get(point.name, ()))} for point in tap_points(config, config.nodes())
    ]


def _totals(rows: Sequence[NodeCost]) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in rows) for name in SUMS}


def _node_cells(row: NodeCost) -> tuple[str, ...]:
    level = "-" if row.level is None else str(row.level)
    channels = (str(row.in_channels), str(row.skip_channels or "-"), str(row.out_channels))
    return (row.name, row.kind, level, *channels, *_size_cells(row), *_sum_cells(asdict(row)), row.skip_from or "")


def _tap_cells(tap: Mapping[str, Any]) -> tuple[str, ...]:
    return (tap["name"], tap["form"], str(tap["channels"]), str(tap["stride"]), " ".join(tap["aliases"]))


def _level_cells(row: LevelCost) -> tuple[str, ...]:
    level = "embedding" if row.level is None else str(row.level)
    return (level, *_size_cells(row), *_sum_cells(asdict(row)))


def _size_cells(row: NodeCost | LevelCost) -> tuple[str, str]:
    return ("-" if row.level is None else _resolution(row.height, row.width)), str(row.tokens or "-")


def _sum_cells(sums: Mapping[str, int]) -> tuple[str, ...]:
    return in_thousands(sums["parameters"]), in_thousands(sums["macs"]), in_bytes(sums["activation_bytes"])


def _resolution(height: int, width: int) -> str:
    return f"{height}x{width}"
