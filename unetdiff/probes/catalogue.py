"""Every probe by the name that commands and documents use, with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass

from unetdiff.probes.heads import AttentionProbe, CNNProbe, FusionProbe, MLPProbe
from unetdiff.probes.knn import NearestNeighbours
from unetdiff.probes.linear import Linear
from unetdiff.probes.logistic import Logistic
from unetdiff.probes.probe import Probe

__all__ = ["PROBES", "ProbeEntry"]


@dataclass(frozen=True)
class ProbeEntry:
    """A probe's class; without arguments it makes the probe with its usual settings."""

    make: type[Probe]
    source: str


PROBES: Mapping[str, ProbeEntry] = {
    "linear": ProbeEntry(Linear, "Chen et al. 2024 (l-DAE)"),
    "logistic": ProbeEntry(Logistic, "Radford et al. 2021 (CLIP)"),
    "knn": ProbeEntry(NearestNeighbours, "Caron et al. 2021 (DINO)"),
    "mlp": ProbeEntry(MLPProbe, "Mukhopadhyay et al. 2023"),
    "cnn": ProbeEntry(CNNProbe, "layers of our own"),
    "attention": ProbeEntry(AttentionProbe, "Mukhopadhyay et al. 2023"),
    "fusion": ProbeEntry(FusionProbe, "Mukhopadhyay et al. 2024 (DifFormer)"),
}
