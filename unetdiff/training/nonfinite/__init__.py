"""When numbers break: what a run does about a loss or gradient that is not finite.

`watch` finds the module by hooks, `diagnosis` the micro-batch and its images, `repro` keeps them in a folder that makes
it happen again, `policies` say how the run goes on, and `response` puts these in their order.
"""

from unetdiff.training.nonfinite.repro import Repro, read_repro, replay
from unetdiff.training.nonfinite.response import NonFiniteResponse
from unetdiff.training.nonfinite.watch import Finding, Watch, watching

__all__ = ["Finding", "NonFiniteResponse", "Repro", "Watch", "read_repro", "replay", "watching"]
