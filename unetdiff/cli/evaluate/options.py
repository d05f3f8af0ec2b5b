"""The options of `unetdiff eval` beside those of sampling: which images are judged, and by what."""

from dataclasses import dataclass
from pathlib import Path

from unetdiff.cli.device import DeviceName
from unetdiff.cli.recipe.number_list import read_numbers
from unetdiff.data.config import Split
from unetdiff.evaluation.bootstrap import Resampling
from unetdiff.evaluation.kernel_subsets import KernelSubsets
from unetdiff.plain import require

__all__ = ["CaptionOptions", "ImageOptions", "JudgeOptions", "ReportOptions"]


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Images.

    Attributes:
        n: Number of images, spread evenly over the classes or captions; of --images all when left out, else 1000.
        images: A folder of images to judge instead of making some.
        samples: Samples folder for the images that are made; in the cache when left out. What is there is not made
            again.
        seed: Image i has the seed `seed` + i.
        batch_size: Images at a time.
        device: auto is the GPU if there is one.
        text_encoder: Folder of the text encoder, if it is not where it was in training.
        codec: Folder of the autoencoder, if it is not where it was in training.
    """

    n: int | None = None
    images: Path | None = None
    samples: Path | None = None
    seed: int = 0
    batch_size: int = 100
    device: DeviceName = "auto"
    text_encoder: str | None = None
    codec: str | None = None

    def __post_init__(self) -> None:
        require(self.n is None or self.n >= 1, "n", "at least 1", self.n)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        require(self.images is None or self.samples is None, "samples", "nothing with --images", self.samples)

    @property
    def count(self) -> int:
        """Of images that are made."""
        return 1000 if self.n is None else self.n


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Report.

    Attributes:
        csv: Also write the table to this file.
        out: Also write everything to this JSON file.
        json: Print one JSON object instead of the table.
    """

    csv: Path | None = None
    out: Path | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """Measures.

    Attributes:
        features: The space of distances, precision and the like: classifier, efficientnet-lite0 or
            efficientnet-lite0-320 (their packages), inception (torch-fidelity), a vision model of transformers by
            folder or hub repository, dinov2:THAT for the class token. Without it classifier for grey images and
            efficientnet-lite0-320 for colour.
        classifier: Folder of a classifier; the Fashion-MNIST classifier of this package when left out.
        reference: Most real images to compare with, taken at random.
        k: Precision, recall, density and coverage: neighbours that a ball reaches to.
        bootstrap: Draws for each interval.
        subsets: Kernel distance: how many subsets its usual form is averaged over.
        subset_size: Images in each.
        sigmas: Noise levels of the denoising loss; those beyond the model's range are left out.
        held_out: Images that the denoising loss is measured on.
    """

    features: str | None = None
    classifier: Path | None = None
    reference: int = 10000
    k: int = 5
    bootstrap: int = 200
    subsets: int = 100
    subset_size: int = 1000
    sigmas: str = "0.1,0.3,1,3,10"
    held_out: int = 100

    def __post_init__(self) -> None:
        require(self.reference >= 3, "reference", "at least 3", self.reference)
        require(self.k >= 1, "k", "at least 1", self.k)
        require(self.held_out >= 1, "held_out", "at least 1", self.held_out)
        require(min(self.levels) > 0, "sigmas", "positive numbers", self.sigmas)
        _ = self.resampling, self.kernel_subsets

    @property
    def levels(self) -> tuple[float, ...]:
        """`sigmas` as numbers."""
        return read_numbers(self.sigmas, "sigmas", "noise levels with commas between")

    @property
    def resampling(self) -> Resampling:
        """For the intervals."""
        return Resampling(draws=self.bootstrap)

    @property
    def kernel_subsets(self) -> KernelSubsets:
        """For the kernel distance."""
        return KernelSubsets(count=self.subsets, size=self.subset_size)


@dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """Of a model of texts.

    Attributes:
        caption_features: What finds captions; a name as those of `features`.
        split: The part of the data whose captions are asked for and ranked.
        captions: How many of them, taken at random; all when left out.
    """

    caption_features: str = "efficientnet-lite0"
    split: Split = "test"
    captions: int | None = None

    def __post_init__(self) -> None:
        require(self.captions is None or self.captions >= 2, "captions", "at least 2", self.captions)
