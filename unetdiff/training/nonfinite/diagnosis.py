"""What made a step's loss or gradient infinite or NaN: the step's batches again, watched, on every process.

A batch is a function of its step and its dropout is seeded, so that the numbers come again.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

from accelerate.utils import gather_object
from torch import Tensor

from unetdiff.data import SampleStream
from unetdiff.losses import TrainingLoss
from unetdiff.training.nonfinite.watch import Finding, Watch, watching
from unetdiff.training.sharding import is_sharded
from unetdiff.training.step import OptimizerStep

__all__ = ["Diagnosis", "diagnose"]

MOST_LISTED = 3


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The first finding of a step, in the order of its samples.

    `part` of process `process`'s share of the batch is the micro-batch `inputs` (by name), whose rows are the global
    samples `samples`, at the noise levels `sigmas`.
    """

    finding: Finding
    part: int
    process: int
    samples: tuple[int, ...]
    sigmas: tuple[float, ...]
    inputs: Mapping[str, Tensor] = field(repr=False)

    @property
    def place(self) -> tuple[int, bool, int]:
        """Of several processes' findings the smallest is the first: sharded, they share the gradients of parameters."""
        return self.part, self.finding.kind in ("gradient", "gradient's norm"), self.process

    def __str__(self) -> str:
        samples = [self.samples[row] for row in self.finding.rows]
        sigmas = [self.sigmas[row] for row in self.finding.rows]
        which = ", ".join(f"sample {g} at sigma {sigma:.4g}" for g, sigma in zip(samples, sigmas, strict=True))
        if len(samples) > MOST_LISTED:
            which = f"samples {min(samples)} to {max(samples)}, sigma {min(sigmas):.4g} to {max(sigmas):.4g}"
        return f"first not finite is {self.finding}, in {len(samples)} of {len(self.samples)} images: {which}"


def diagnose(step: OptimizerStep, stream: SampleStream) -> Diagnosis | None:
    """Run the batches of the step that `step` could not make, `stream`'s first, again.

    Returns:
        The same on all processes, which have to call this together; None where nothing broke this time.
    """
    mine = [found for found in _findings(step, stream) if found is not None][:1]
    places = gather_object([found.place for found in mine])
    if not places:
        return None
    first = [found for found in mine if found.place == min(places)]
    diagnosis: Diagnosis = gather_object(first)[0]
    return diagnosis


def _findings(step: OptimizerStep, stream: SampleStream) -> list[Diagnosis | None]:
    """One for each part; all are run whatever is found, since processes may have to compute together."""
    (loss,) = (module for module in step.training_loss.modules() if isinstance(module, TrainingLoss))
    sharded, found = is_sharded(step.state.unet), []  # a gradient that is not exchanged would stay with the shards
    for part in range(stream.micro_batches):
        step.optimizer.zero_grad()
        with watching(loss) as watch, nullcontext() if sharded else step.accelerator.no_sync(step.training_loss):
            step.backward(stream[part], part)
        watch.look_at_gradients(loss)
        found.append(_diagnosis(watch, stream, part))
    step.optimizer.zero_grad()
    return found


def _diagnosis(watch: Watch, stream: SampleStream, part: int) -> Diagnosis | None:
    if watch.finding is None:
        return None
    return Diagnosis(
        finding=watch.finding,
        part=part,
        process=stream.rank,
        samples=tuple(stream.samples(part).tolist()),
        sigmas=tuple(watch.inputs["sigma"].tolist()),
        inputs={name: tensor.cpu() for name, tensor in watch.inputs.items()},
    )
