"""`--lora rank=16 targets=to_q,to_v`: the fields of `LoraConfig` in one argument or several."""

import json
from collections.abc import Sequence

__all__ = ["with_lora_fields"]

OPTION = "--lora"


def with_lora_fields(arguments: Sequence[str]) -> list[str]:
    """`--lora rank=16 targets=to_q,to_v` becomes `--lora.rank=16 --lora.targets=["to_q", "to_v"]`.

    Nothing behind `--lora` means the defaults. Anything else, such as JSON, stays as it is.
    """
    if OPTION not in arguments:
        return list(arguments)
    at = list(arguments).index(OPTION)
    before, after = arguments[:at], list(arguments[at + 1 :])
    fields: list[str] = []
    while after and "=" in after[0] and not after[0].startswith("-"):
        fields.extend(after.pop(0).split())
    if not fields and after and not after[0].startswith("-"):
        return list(arguments)
    return [*before, *(map(_option, fields) if fields else [OPTION, "{}"]), *after]


def _option(field: str) -> str:
    name, _, value = field.partition("=")
    return f"{OPTION}.{name}={json.dumps(value.split(',')) if name == 'targets' else value}"
