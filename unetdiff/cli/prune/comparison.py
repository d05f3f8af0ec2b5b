"""What pruning has made of a network: cost and output before and after."""

from dataclasses import dataclass

from torch import Tensor

from unetdiff.denoiser import Denoiser
from unetdiff.prune.additivity import joint_losses
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.latency import milliseconds
from unetdiff.prune.savings import Cost, Probe
from unetdiff.tables import in_thousands, table

__all__ = ["Comparison"]


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
        height, width = calibration.images.shape[2:]
        context = calibration.condition.get("encoder_hidden_states")
        tokens = context.shape[1] if isinstance(context, Tensor) else 1
        costs = [
            Probe(config=denoiser.unet.config, size=(height, width), context_tokens=tokens).total({})
            for denoiser in (before, after)
        ]
        batch = next(calibration.batches)
        taken = milliseconds({"before": before, "after": after}, batch)
        (loss,) = joint_losses(before, [after.unet], calibration)
        return cls(
            before=costs[0],
            after=costs[1],
            ms_before=taken["before"],
            ms_after=taken["after"],
            batch=len(batch),
            output_loss=loss,
        )

    def text(self) -> str:
        """A table."""
        rows = [
            ("", "before", "after", "kept"),
            _row("parameters", self.before.parameters, self.after.parameters),
            _row("MACs of an image", self.before.macs, self.after.macs),
            (
                f"ms for {self.batch} images",
                f"{self.ms_before:.1f}",
                f"{self.ms_after:.1f}",
                _share(self.ms_before, self.ms_after),
            ),
        ]
        return table(rows, left_aligned=(0,))


def _row(name: str, before: int, after: int) -> tuple[str, str, str, str]:
    return name, in_thousands(before), in_thousands(after), _share(before, after)


def _share(before: float, after: float) -> str:
    return f"{after / before:.3f}"
