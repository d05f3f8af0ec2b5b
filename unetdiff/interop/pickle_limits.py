"""What a pickle asks of memory, looked at before it is read.

Python's reader takes a pickle at its word: it makes room for the highest number that an object is kept under, so that
one damaged byte can ask for gigabytes, and recurses into nested tuples where they are keys, so that many of them end
the process. `pickletools` goes through the operations without building anything.
"""

import pickletools
from typing import BinaryIO

__all__ = ["require_modest"]

PARTS = 1000
"""Of a tuple, with those of the tuples in it; the arguments of a tensor have about twenty."""

BUILT = {
    "BUILD",
    "FROZENSET",
    "INST",
    "NEWOBJ",
    "NEWOBJ_EX",
    "OBJ",
    "REDUCE",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
}
"""Operations whose result may be, or hold, the tuples that they are given; the others keep the lowest of theirs."""

MARK = 0


def require_modest(file: BinaryIO) -> None:
    """Pass a pickle that Python's reader can take; `file` stands behind it then.

    Raises:
        LookupError, ValueError: one that numbers objects beyond its size, or nests tuples too deeply, or is damaged.
    """
    stack: list[int] = []  # for each object the parts of the tuples in it
    memo: dict[int, int] = {}
    for opcode, argument, position in pickletools.genops(file):
        match opcode.name, argument:
            case "PUT" | "BINPUT" | "LONG_BINPUT", int(number):
                if number > (position or 0):  # every object takes a byte
                    raise ValueError(f"object number {number} kept at byte {position}")
                memo[number] = stack[-1]
            case "MEMOIZE", _:
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET", int(number):
                stack.append(memo[number])
            case _:
                _apply(opcode, stack)


def _apply(opcode: pickletools.OpcodeInfo, stack: list[int]) -> None:
    """Take from the stack what the operation takes, and put there what it leaves."""
    kinds = opcode.stack_before
    taken, below = [], len(kinds)
    if pickletools.markobject in kinds:
        below = kinds.index(pickletools.markobject)
        while (parts := stack.pop()) != MARK:
            taken.append(parts)
    taken += [stack.pop() for _ in range(below)]
    parts = 1 + sum(taken) if opcode.name in BUILT else taken[-1] if below else 1
    if parts > PARTS:
        raise ValueError(f"a tuple of more than {PARTS} parts")
    stack += [MARK if kind is pickletools.markobject else parts for kind in opcode.stack_after]
