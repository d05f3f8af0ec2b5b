"""What a report says beside its tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from unetdiff.cli.compare.comparison import Comparison
from unetdiff.model_info import JSON

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
        chosen = (f"{name} {_text(value)}" for name, value in comparison.shared.items())
        shared = f" All rows have {', '.join(chosen)}." if comparison.shared else ""
        return cls(
            title=" and ".join(dict.fromkeys(row.row.model for row in comparison.rows)),
            images=f"{len(wanted)} images of each row{against}{space}. Image i has seed {wanted[0].seed} + i{told} "
            f"in every row.{shared}",
            legend=LEGEND,
            notes=[*(f"not measured: {note}" for note in comparison.notes), *notes],
        )


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value)
