"""Which test shows what each numbered rule is there for."""

from collections.abc import Callable

from solders.instruction import Instruction

from .world import World

CASES: dict[str, Callable[[], None]] = {}


def shows(number: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """The test of a rule: it fails when the rule is out of force."""

    def register(case: Callable[[], None]) -> Callable[[], None]:
        assert number not in CASES
        CASES[number] = case
        return case

    return register


def rejected(world: World, expected: str, signers: str | tuple[str, ...], *asked: Instruction) -> None:
    before = world.dump()
    receipt = world.run(signers, *asked)
    assert expected == receipt.name, receipt
    ignored = (b"H", b"X")
    kept = {name: rows for name, rows in before.items() if name[:1] not in ignored}
    assert kept == {name: rows for name, rows in world.dump().items() if name[:1] not in ignored}
