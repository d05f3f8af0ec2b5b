"""Logistic regression by L-BFGS on standardised features: minimise ||W||^2 / 2 + C sum of cross-entropies.

scikit-learn's, with C from a logarithmic grid as for CLIP (Radford et al. 2021, arXiv 2103.00020, appendix A.3) and
DINOv2 (Oquab et al. 2024, arXiv 2304.07193).
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from unetdiff.errors import InputError
from unetdiff.plain import require
from unetdiff.probes.probe import CellProbe, Fitted, Predictor, Scores, best_of, require_fit
from unetdiff.probes.rows import Rows, blocks
from unetdiff.probes.standardisation import Standardisation
from unetdiff.probes.task import Labels, Task

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

__all__ = ["Logistic"]


@dataclass(frozen=True, kw_only=True)
class Logistic(CellProbe):
    """Multinomial logistic regression; it holds the rows of one cell in memory.

    Attributes:
        strengths: Values of C to choose from; the smaller, the smaller the weights.
        iterations: Of L-BFGS, at most; `chosen` says how many were made.
    """

    strengths: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
    iterations: int = 1000

    def __post_init__(self) -> None:
        valid = bool(self.strengths) and all(0 < strength < math.inf for strength in self.strengths)
        require(valid, "strengths", "positive numbers", self.strengths)
        require(self.iterations >= 1, "iterations", "at least 1", self.iterations)

    def fit(self, rows: Rows, task: Task) -> Fitted:
        """Choose C with the held-out rows, then fit to all rows."""
        require_fit([rows], task)
        standardisation = Standardisation.of(rows)
        x = _standardised(rows, standardisation)
        validation = self._validation(x, task)
        best = best_of(validation)
        [model] = _path(x, task.labels, self.strengths[best : best + 1], self.iterations)
        return Fitted(
            inputs=(0,),
            predictor=LogisticPredictor(standardisation=standardisation, model=model, classes=task.classes),
            validation=validation[best],
            chosen={"C": self.strengths[best], "iterations": int(model.n_iter_.max())},
        )

    def _validation(self, x: Scores, task: Task) -> list[float | None]:
        """Accuracy on the held-out rows for each C."""
        if len(task.held_out) == 0:
            return [None] * len(self.strengths)
        kept, held_out = task.kept, task.held_out
        models = _path(x[kept], task.labels[kept], self.strengths, self.iterations)
        return [float(model.score(x[held_out], task.labels[held_out])) for model in models]


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticPredictor(Predictor):
    """log p(class | x); minus infinity for classes that the training rows lack."""

    standardisation: Standardisation
    model: "LogisticRegression"
    classes: int

    def scores(self, features: Sequence[Rows]) -> Scores:
        """Logarithms of probabilities."""
        [rows] = features
        scores = np.full((len(rows), self.classes), -np.inf, dtype=np.float32)
        scores[:, self.model.classes_] = self.model.predict_log_proba(_standardised(rows, self.standardisation))
        return scores


def _standardised(rows: Rows, standardisation: Standardisation) -> Scores:
    standardised: Scores = torch.cat([standardisation(block) for block in blocks(rows)]).cpu().numpy()
    return standardised


def _path(x: Scores, labels: Labels, strengths: Sequence[float], iterations: int) -> Iterator["LogisticRegression"]:
    """The same model for one C after the other, each begun at the weights of the last."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise InputError("logistic: expected scikit-learn, got none; pip install 'unetdiff[eval]'") from error
    model = LogisticRegression(solver="lbfgs", max_iter=iterations, warm_start=True)
    for strength in strengths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the iterations are reported
            model.set_params(C=strength).fit(x, labels)
        yield model
