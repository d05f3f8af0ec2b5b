"""Options that only some samplers and grids have."""

from collections.abc import Collection, Mapping

from unetdiff.plain import require

__all__ = ["require_accepted", "require_known"]


def require_known(field: str, name: str, known: Collection[str]) -> None:
    """Refuse a name that nothing has, and list those that there are."""
    require(name in known, field, f"one of {', '.join(known)}", name)


def require_accepted(given: Mapping[str, object], accepted: Collection[str], owner: str) -> None:
    """Refuse an option that its owner lacks, and list those that it has."""
    for option, value in given.items():
        require(option in accepted, option, f"an option of {owner} ({', '.join(accepted) or 'it has none'})", value)
