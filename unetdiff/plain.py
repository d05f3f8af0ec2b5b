"""Frozen dataclasses to plain JSON values and back, every key and type checked against the annotations."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

__all__ = ["from_plain", "require", "to_plain"]

T = TypeVar("T")


def require(condition: bool, field: str, expected: str, got: object) -> None:
    """Raise ValueError in this package's one form for a bad configuration value."""
    if not condition:
        raise ValueError(f"{field}: expected {expected}, got {got!r}")


def to_plain(value: object) -> dict[str, Any]:
    """Nested dicts, lists and scalars of a dataclass; `from_plain` is its inverse."""
    plain = _plain(dataclasses.asdict(value))  # type: ignore[call-overload]  # any dataclass instance
    assert isinstance(plain, dict)
    return plain


def from_plain(kind: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Build a dataclass from `to_plain`'s form; `path` names the place in messages. `Any` takes what comes.

    Raises:
        ValueError: an unknown key, a missing one, or a value that a field cannot take; the message names it.
    """
    require(isinstance(values, Mapping), path or kind.__name__, "a mapping of fields", values)
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints), key=str)  # a mapping of Python's may have any keys
    require(not unknown, path or kind.__name__, f"fields among {sorted(hints)}", unknown)
    where = f"{path}." if path else ""
    fields = {name: _value(hints[name], value, f"{where}{name}") for name, value in values.items()}
    missing = [
        field.name
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]  # a dataclass type
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and field.name not in fields
    ]
    require(not missing, path or kind.__name__, "every field without a default", f"nothing for {missing}")
    return kind(**fields)


def _plain(value: Any) -> Any:  # noqa: ANN401  # a JSON tree
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _value(hint: Any, value: Any, path: str) -> Any:  # noqa: ANN401  # any annotation, any JSON value
    if hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _first_fit([argument for argument in arguments if argument is not type(None)], value, path)
    if origin is tuple:
        require(isinstance(value, (list, tuple)), path, "a list", value)
        items = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        require(len(items) == len(value), path, f"{len(items)} values", value)
        return tuple(
            _value(item, one, f"{path}.{index}") for index, (item, one) in enumerate(zip(items, value, strict=True))
        )
    if origin is Mapping:
        require(isinstance(value, Mapping), path, "a mapping", value)
        return {key: _value(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if origin is Literal:
        require(value in arguments, path, f"one of {list(arguments)}", value)
        return value
    if dataclasses.is_dataclass(hint):
        return (
            value
            if isinstance(value, typing.cast(type, hint))
            else from_plain(typing.cast("type[Any]", hint), value, path)
        )
    if hint is float and type(value) is int:
        return float(value)
    require(type(value) is hint, path, f"a value of type {hint.__name__}", value)
    return value


def _first_fit(hints: list[Any], value: Any, path: str) -> Any:  # noqa: ANN401  # any annotation, any JSON value
    """The first alternative of a union that takes the value."""
    errors = []
    for hint in hints:
        try:
            return _value(hint, value, path)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError("; or ".join(errors))
