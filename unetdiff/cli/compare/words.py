"""What a report says beside its tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from unetdiff.cli.compare.comparison import Comparison

__all__ = ["Words"]

LEGEND = """\
In brackets the 95% interval of a bootstrap over images, which is what other seeds would have given, or +- the \
deviation of the subsets. Real images: as many of them in place of the generated ones, which a perfect model would \
equal; for classes test images, for copies held-out ones."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """Sentences without markup."""

    title: str
    images: str
    legend: str
    notes: Sequence[str]

    @classmethod
    def of(cls, comparison: Comparison, notes: Sequence[str]) -> "Words":
        """Of a comparison; further `notes` come after its own."""
        first = comparison.rows[0]
        wanted, facts = first.row.made.wanted, first.row.evaluation.facts
        told = "" if first.candidates.shown[0] is None else " and shows the same"
        against = f", beside {facts['reference']} real ones of {facts['data']}" if "reference" in facts else ""
        space = f" in the space {facts['features']}" if "features" in facts else ""
        return cls(
            title=" and ".join(dict.fromkeys(row.row.model for row in comparison.rows)),
            images=f"{len(wanted)} images of each row{against}{space}. Image i has seed {wanted[0].seed} + i{told} "
            "in every row.",
            legend=LEGEND,
            notes=[*(f"not measured: {note}" for note in comparison.notes), *notes],
        )
