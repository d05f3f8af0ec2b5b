"""The options of `unetdiff eval`: how images are made, and what judges them."""

from dataclasses import dataclass
from pathlib import Path

from unetdiff.cli.recipe import GuidanceOptions, LevelOptions, Recipe, SamplerOptions
from unetdiff.data.config import Split
from unetdiff.errors import InputError

__all__ = ["CaptionOptions", "ClassOptions", "EvaluateOptions"]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How images are made and reported.

    Attributes:
        n: Number of images, spread evenly over the classes or captions.
        steps: Steps of the sampler on the Karras grid.
        sampler: One of those of `unetdiff sample`, with its usual options.
        guidance: Weight of classifier-free guidance; 1 is none.
        seed: Image i has the seed `seed` + i.
        batch_size: Images at a time.
        data: Real images: a classifier is measured on their test split, if it is there; captions are of them.
        out: JSON file to write the report to.
    """

    n: int = 1000
    steps: int = 18
    sampler: str = "heun"
    guidance: float = 1.0
    seed: int = 0
    batch_size: int = 100
    data: str = "fashion-mnist"
    out: Path | None = None

    def __post_init__(self) -> None:
        for name in ("n", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise InputError(f"seed: expected 0 or more, got {self.seed}")

    @property
    def recipe(self) -> Recipe:
        """How noise becomes an image."""
        return Recipe(
            sampler=SamplerOptions(sampler=self.sampler),
            levels=LevelOptions(steps=self.steps),
            guidance=GuidanceOptions(guidance=self.guidance),
        )


@dataclass(frozen=True, kw_only=True)
class ClassOptions:
    """Of a model of classes.

    Attributes:
        classifier: Folder of a classifier; the Fashion-MNIST classifier of this package when left out.
    """

    classifier: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """Of a model of texts.

    Attributes:
        features: What sees images: efficientnet-lite0, if its packages are installed, or a vision model of transformers
            (folder or hub repository).
        split: The part of the data whose captions are asked for and ranked.
        captions: How many of them, taken at random; all when left out.
        text_encoder: Where the model's text encoder lies, if not where it was in training.
    """

    features: str = "efficientnet-lite0"
    split: Split = "test"
    captions: int | None = None
    text_encoder: str | None = None

    def __post_init__(self) -> None:
        if self.captions is not None and self.captions < 2:
            raise InputError(f"captions: expected at least 2, got {self.captions}")
