"""The compute budget: what a transaction says of itself, read before it is admitted. It only sets the fee.

Nothing here is metered. The four instructions are accepted because clients send them, and a price for
compute units is a price that the sender offers, so it is paid. Formats and bounds are Solana's.
"""

from typing import NamedTuple

from ...errors import BadComputeBudget, DuplicateInstruction
from ..layout import Call
from ..params import COMPUTE_BUDGET_PROGRAM
from ..rules import rule
from ..state import State
from ..transaction import Transaction
from .layouts import COMPUTE_BUDGET

UNITS_DEFAULT = 200_000
"""The compute units of an instruction if no limit is set."""

UNITS_MAX = 1_400_000
"""Compute units of a transaction, at most."""

HEAP_STEP, HEAP_MIN, HEAP_MAX = 1024, 32 * 1024, 256 * 1024
"""Bytes of a heap: a multiple of the first, between the others."""

_HEAP, _LIMIT, _PRICE = (
    COMPUTE_BUDGET.by_name[name].number
    for name in ("requestHeapFrame", "setComputeUnitLimit", "setComputeUnitPrice")
)


class Budget(NamedTuple):
    """What a transaction asks for: a price in millionths of a roe a unit, and how many units."""

    price: int
    units: int

    def compute_price(self) -> int:
        """What the price adds to the fee, in roe."""
        return -(-self.price * self.units // 1_000_000)


NO_BUDGET = Budget(0, 0)


def read_budget(transaction: Transaction) -> Budget:
    """What the compute budget instructions of a transaction say.

    Raises BadComputeBudget, DuplicateInstruction. Source: docs/PROTOCOL.md 3.
    """
    keys = transaction.keys
    if COMPUTE_BUDGET_PROGRAM not in keys:
        return NO_BUDGET
    values: dict[int, int] = {}
    others = 0
    for at, instruction in enumerate(transaction.instructions):
        if keys[instruction.program] != COMPUTE_BUDGET_PROGRAM:
            others += 1
            continue
        kind, value = check_budget_instruction(at, instruction.data)
        check_budget_once(at, kind, values)
        values[kind] = value
    units = values.get(_LIMIT, UNITS_DEFAULT * others)
    return Budget(values.get(_PRICE, 0), min(units, UNITS_MAX))


def do_nothing(state: State, call: Call, value: int) -> None:
    """The instructions say something of their transaction, and were read before it was admitted."""


@rule("3.3")
def check_budget_instruction(at: int, data: bytes) -> tuple[int, int]:
    """A compute budget instruction has a known form, and sets a heap within bounds."""
    kind = data[0] if data else 0
    codec = COMPUTE_BUDGET.by_number.get(kind)
    if codec is None or len(data) < codec.size:
        raise BadComputeBudget(
            f"instruction {at}: the compute budget has instructions 1 to 4 of 5 or 9 bytes, "
            f"not {kind} of {len(data)}",
            at,
        )
    (value,) = codec.read(data)
    if kind == _HEAP and not (HEAP_MIN <= value <= HEAP_MAX and value % HEAP_STEP == 0):
        raise BadComputeBudget(
            f"instruction {at}: a heap has {HEAP_MIN} to {HEAP_MAX} bytes in steps of {HEAP_STEP}, "
            f"not {value}",
            at,
        )
    return kind, value


@rule("3.4")
def check_budget_once(at: int, kind: int, values: dict[int, int]) -> None:
    """A transaction has one compute budget instruction of a kind."""
    if kind in values:
        raise DuplicateInstruction(f"instruction {at} is the second compute budget instruction {kind}", at)
