"""Numbers and rows as people read them: units that keep a number short, columns that line up."""

from collections.abc import Collection, Sequence

__all__ = ["in_bytes", "in_thousands", "table"]


def in_thousands(count: float) -> str:
    """2744321 as 2.7 M."""
    return _scaled(count, 1000, ("", "k", "M", "G", "T"))


def in_bytes(size: float) -> str:
    """10977284 as 10.5 MiB."""
    return _scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def table(rows: Sequence[Sequence[str]], left_aligned: Collection[int] = ()) -> str:
    """Columns as wide as their widest cell; numbers stand right, the columns of `left_aligned` left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if index in left_aligned else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    """A number below `base` with the unit that makes it so; whole in the first unit, else with one decimal."""
    power = 0
    while value >= base and power < len(units) - 1:
        value, power = value / base, power + 1
    return f"{value:.{min(power, 1)}f} {units[power]}".rstrip()
