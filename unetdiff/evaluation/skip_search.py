"""The rho of least distance: a curve over given values, refined by golden section (Kiefer 1953).

A distance is measured on a limited number of images, so it is noisy. With the same seeds at every rho it is
nevertheless one function of rho, and the differences along it are known better than its values (common random
numbers). Its minimum is the minimum for these seeds and lies too low; measure it anew, with others.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from unetdiff.evaluation.distances import Estimate
from unetdiff.plain import require

__all__ = ["PLAIN", "best", "golden_section", "rho_curve"]

PLAIN = 1.0
GOLDEN = (math.sqrt(5) - 1) / 2
NARROW = 0.01
DECIMALS = 4


def rho_curve(distance: Callable[[float], Estimate], rhos: Sequence[float], refinements: int) -> dict[float, Estimate]:
    """Distance by rho, ascending: at `rhos`, at 1, and at up to `refinements` more between the neighbours of the best.

    Raises:
        ValueError: a rho that is no finite number of 0 or more.
    """
    require(all(0 <= rho < math.inf for rho in rhos), "rhos", "finite numbers, 0 or more", list(rhos))
    grid = sorted({*rhos, PLAIN})
    curve = {rho: distance(rho) for rho in grid}
    middle = grid.index(best(curve))
    low, high = grid[max(middle - 1, 0)], grid[min(middle + 1, len(grid) - 1)]
    return dict(sorted({**curve, **golden_section(distance, low, high, refinements)}.items()))


def best(curve: Mapping[float, Estimate]) -> float:
    """The rho of least distance; of equals, the one nearest to 1."""
    return min(curve, key=lambda rho: (curve[rho].value, abs(rho - PLAIN)))


def golden_section(
    distance: Callable[[float], Estimate], low: float, high: float, evaluations: int
) -> dict[float, Estimate]:
    """Up to `evaluations` values, closing in on a minimum between `low` and `high`.

    It ends where the bracket is narrower than 0.01, or where the two inner values differ by no more than their noise:
    nothing tells then which part to keep.
    """
    taken: dict[float, Estimate] = {}
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    while high - low >= NARROW:
        at_left, at_right = round(left, DECIMALS), round(right, DECIMALS)
        missing = [rho for rho in (at_left, at_right) if rho not in taken]
        if len(taken) + len(missing) > evaluations:
            break
        taken.update((rho, distance(rho)) for rho in missing)
        difference = taken[at_left] - taken[at_right]
        if not difference.resolved:
            break
        if difference.value < 0:
            high, right, left = right, left, low + right - left
        else:
            low, left, right = left, right, high - (right - left)
    return taken
