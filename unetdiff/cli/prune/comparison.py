"""What pruning has made of a network: cost and output before and after."""

from dataclasses import dataclass

from torch import Tensor

from unetdiff.denoiser import Denoiser
from unetdiff.prune.additivity import joint_losses
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.latency import milliseconds
from unetdiff.prune.savings import Cost, Probe
from unetdiff.tables import in_thousands, table

__all__ = ["Comparison", "cost_rows", "costs_on"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two networks: costs, measured milliseconds for a batch of `batch` images, and the change of the output."""

    before: Cost
    after: Cost
    ms_before: float
    ms_after: float
    batch: int
    output_loss: float

    @classmethod
    def of(cls, before: Denoiser, after: Denoiser, calibration: Calibration) -> "Comparison":
        """On the images of a calibration set."""
        batch = next(calibration.batches)
        taken = milliseconds({"before": before, "after": after}, batch)
        (loss,) = joint_losses(before, [after.unet], calibration)
        return cls(
            before=costs_on(before, calibration),
            after=costs_on(after, calibration),
            ms_before=taken["before"],
            ms_after=taken["after"],
            batch=len(batch),
            output_loss=loss,
        )

    def text(self) -> str:
        """A table."""
        milliseconds = (
            f"ms for {self.batch} images",
            f"{self.ms_before:.1f}",
            f"{self.ms_after:.1f}",
            _share(self.ms_before, self.ms_after),
        )
        return table([*cost_rows(self.before, self.after), milliseconds], left_aligned=(0,))


def costs_on(denoiser: Denoiser, calibration: Calibration) -> Cost:
    """Of a network at the size, and with the length of texts, of a calibration set."""
    height, width = calibration.images.shape[2:]
    context = calibration.condition.get("encoder_hidden_states")
    tokens = context.shape[1] if isinstance(context, Tensor) else 1
    return Probe(config=denoiser.unet.config, size=(height, width), context_tokens=tokens).total({})


def cost_rows(before: Cost, after: Cost) -> list[tuple[str, str, str, str]]:
    """What is counted, under its heading."""
    return [
        ("", "before", "after", "kept"),
        _row("parameters", before.parameters, after.parameters),
        _row("MACs of an image", before.macs, after.macs),
    ]


def _row(name: str, before: int, after: int) -> tuple[str, str, str, str]:
    return name, in_thousands(before), in_thousands(after), _share(before, after)


def _share(before: float, after: float) -> str:
    return f"{after / before:.3f}"
