"""The command: choose what judges the model, make the images, write and print the report."""

import json
import time
from collections.abc import Sequence

import jsonargparse
import torch

from unetdiff.atomic import replacing
from unetdiff.cli.evaluate.captions import CaptionJudge
from unetdiff.cli.evaluate.classes import ClassJudge
from unetdiff.cli.evaluate.judge import Images, Judge
from unetdiff.cli.evaluate.options import CaptionOptions, ClassOptions, EvaluateOptions
from unetdiff.cli.generate import generate
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.cli.recipe import Recipe
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import user_input
from unetdiff.model_info import JSON
from unetdiff.pictures import to_uint8
from unetdiff.sample_identity import Sample

__all__ = ["parser", "run"]

DESCRIPTION = (
    "Measure how often a model's images show what was asked for: the class that a classifier sees, "
    "or the caption that a vision model finds."
)


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of its groups of options."""
    result = jsonargparse.ArgumentParser(description=DESCRIPTION)
    result.add_argument("model", nargs="?", help="model folder or run folder; without it the shipped model")
    for group in (EvaluateOptions, ClassOptions, CaptionOptions):
        result.add_class_arguments(group)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Make images, judge them, report what was found beside the same of real images."""
    options, of_classes, of_captions, recipe = _options(args)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = LoadedModel.load(args.model, device, of_captions.text_encoder)
    method = Method.of(recipe, model)
    judge: Judge = (
        ClassJudge.of(model, options, of_classes)
        if model.text is None
        else CaptionJudge.of(model, options, of_captions)
    )
    started = time.perf_counter()
    report = judge.report(_images(method, judge.wanted, options.batch_size))
    seconds = time.perf_counter() - started
    if options.out is not None:
        facts = {**_settings(method, options), "seconds": round(seconds, 2), **report.facts()}
        with replacing(options.out) as staged:
            staged.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(report.text())
    print(f"{options.n} images in {seconds:.1f} s, {method.calls} network calls each")


def _options(args: jsonargparse.Namespace) -> tuple[EvaluateOptions, ClassOptions, CaptionOptions, Recipe]:
    values = args.as_dict()
    with user_input():
        options = options_from(EvaluateOptions, values)
        return options, options_from(ClassOptions, values), options_from(CaptionOptions, values), options.recipe


def _images(method: Method, wanted: Sequence[Sample], batch_size: int) -> Images:
    """Rounded to 8 bits: what real images have, and what classifiers saw in training."""
    for batch, pictures in generate(method, wanted, batch_size):
        pixels = to_uint8(pictures, method.model.value_range)
        yield batch, torch.from_numpy(pixels).movedim(-1, 1) / 127.5 - 1


def _settings(method: Method, options: EvaluateOptions) -> dict[str, JSON]:
    chosen: dict[str, JSON] = {name: getattr(options, name) for name in ("n", "steps", "sampler", "guidance", "seed")}
    return {"model": str(method.model.folder), **chosen, "network_calls_per_image": method.calls}
