"""How accuracy changes with the noise level: with one peak in between, or otherwise.

Of networks that generalise it rises, then falls; of networks that have memorised their images it only falls (Li et al.
2025, arXiv 2502.05743).
"""

from collections.abc import Sequence

__all__ = ["form_of"]


def form_of(curve: Sequence[float], tolerance: float = 0.0) -> str:
    """In words: "rises, then falls", "rises", "falls", "flat", or "neither rises then falls nor is monotone".

    Args:
        curve: accuracies by rising noise level.
        tolerance: differences up to this one count as none.
    """
    peak = curve.index(max(curve))
    before, after = curve[: peak + 1], curve[peak:]
    if _fall(before) > tolerance or _fall(after[::-1]) > tolerance:
        return "neither rises then falls nor is monotone"
    rises, falls = curve[peak] - before[0] > tolerance, curve[peak] - after[-1] > tolerance
    return {(True, True): "rises, then falls", (True, False): "rises", (False, True): "falls"}.get(
        (rises, falls), "flat"
    )


def _fall(curve: Sequence[float]) -> float:
    """The largest fall from any point to a later one."""
    highest, largest = curve[0], 0.0
    for value in curve:
        highest = max(highest, value)
        largest = max(largest, highest - value)
    return largest
