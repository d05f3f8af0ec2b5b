"""Images of given subjects and seeds, batch by batch; an image depends on its own seed, not on its batch."""

import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import samplers
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.pictures import from_uint8, read_pixels
from unetdiff.sample_identity import Sample

__all__ = ["generate"]


def generate(method: Method, samples: Sequence[Sample], batch_size: int) -> Iterator[tuple[Sequence[Sample], Tensor]]:
    """Yield every batch with its pictures (N, C, H, W), in order, with a progress bar where a terminal shows it."""
    batches = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]
    total = len(batches) * (len(method.sigmas) - 1)
    with tqdm(total=total, unit="step", disable=not sys.stderr.isatty()) as bar:
        for batch in batches:
            yield batch, _pictures(method, batch, bar.update)


@torch.no_grad()
def _pictures(method: Method, batch: Sequence[Sample], on_step: Callable[[], object]) -> Tensor:
    recipe, model = method.recipe, method.model
    subjects = [sample.subject for sample in batch if sample.subject is not None]
    labels = [sample.label for sample in batch if sample.label is not None]
    leads_away = recipe.guidance.guides and method.guide is None
    null_condition = model.null_condition(subjects, recipe.guidance.negative_prompt) if leads_away else {}
    given = _given(batch, model)
    told = method.told(given)
    noise = _Noise(batch, model)
    images = samplers.sample(
        method.bound({**model.condition(subjects, labels), **told}, {**null_condition, **told}, given),
        recipe.start.begin(given, noise, method.sigmas),
        method.sigmas,
        method.sampler,
        noise=noise,
        churn=recipe.levels.churn,
        callback=lambda step: on_step(),
    )
    return model.decoded(images)


def _given(batch: Sequence[Sample], model: LoadedModel) -> Tensor | None:
    """The pictures to start from or to tell of, as the network's images; small ones for super-resolution."""
    paths = [sample.source.path for sample in batch if sample.source is not None]
    if not paths:
        return None
    means = Image.Resampling.BOX  # as training reduces images
    resampling = Image.Resampling.LANCZOS if model.concat is None else means
    pixels = [read_pixels(path, model.picture_channels, model.given_size, resampling) for path in paths]
    pictures = torch.stack([from_uint8(picture, model.value_range) for picture in pixels])
    return model.encoded(pictures.to(model.device))


class _Noise:
    """Draws of each image's own seed, or on the great circle between those of two."""

    def __init__(self, batch: Sequence[Sample], model: LoadedModel) -> None:
        shape, device = model.info.data.shape, model.device
        self._near = samplers.PerImageNoise([sample.seed for sample in batch], shape, device=device)
        ways = [sample.towards for sample in batch]
        self._shares = [way.step / way.of if way else 0.0 for way in ways]
        others = [way.seed if way else sample.seed for way, sample in zip(ways, batch, strict=True)]
        self._far = samplers.PerImageNoise(others, shape, device=device) if any(ways) else None

    def __call__(self) -> Tensor:
        """Draw once for every image."""
        near = self._near()
        if self._far is None:
            return near
        return torch.stack([samplers.slerp(*ends) for ends in zip(near, self._far(), self._shares, strict=True)])
