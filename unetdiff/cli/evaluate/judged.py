"""What the judges of an evaluation said, all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass

from unetdiff.cli.evaluate.evaluation import Evaluation
from unetdiff.cli.evaluate.report import as_facts
from unetdiff.evaluation.judges.judge import Candidates, Finding, Measure
from unetdiff.model_info import JSON

__all__ = ["Judged"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A finding of each judge."""

    evaluation: Evaluation
    findings: Sequence[Finding]

    @classmethod
    def of(cls, evaluation: Evaluation, candidates: Candidates) -> "Judged":
        """Show them the images.

        Raises:
            InputError: images that cannot be judged.
        """
        return cls(evaluation=evaluation, findings=[judge(candidates) for judge in evaluation.panel.judges])

    @property
    def measures(self) -> list[Measure]:
        """Of all judges."""
        return [measure for finding in self.findings for measure in finding.measures]

    @property
    def texts(self) -> list[str]:
        """What is to be said beside the measures."""
        return [finding.text for finding in self.findings if finding.text]

    @property
    def notes(self) -> Sequence[str]:
        """What was not measured, and why."""
        return self.evaluation.panel.notes

    def facts(self) -> dict[str, JSON]:
        """What the images are of, the measures, and all else that was found."""
        facts = {**self.evaluation.source.facts(), **self.evaluation.facts, "measures": as_facts(self.measures)}
        for finding in self.findings:
            facts |= finding.facts
        return {**facts, "not_measured": list(self.notes)}
