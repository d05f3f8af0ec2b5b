"""Hyper-parameters that several samplers share, and what they may be."""

__all__ = ["check_order"]


def check_order(order: int, highest: int) -> None:
    """Refuse an order that the method does not have."""
    if order not in range(1, highest + 1):
        raise ValueError(f"order: expected a whole number from 1 to {highest}, got {order}")
