"""Manifests of stores that tests write themselves."""

from dataclasses import replace

from unetdiff.features.manifest import Manifest
from unetdiff.features.settings import FeatureSettings

MANIFEST = Manifest(
    weights="abc",
    settings=FeatureSettings(taps=("conv_in", "mid_block.resnets.0:input"), sigmas=(0.1, 1.0)),
    shapes=((3,), (2, 2, 2)),
    size=(8, 8),
    channels=1,
    value_range=(-1.0, 1.0),
    data="def",
    split="train",
    images=11,
    classes=("a", "b"),
    shard_images=4,
)


def manifest(settings=None, **facts):
    """Give MANIFEST with other facts; `settings` names those of the extraction."""
    return replace(MANIFEST, settings=replace(MANIFEST.settings, **(settings or {})), **facts)
