"""The configuration of a new task, and the rules for it."""

import re
from typing import NamedTuple

from ...errors import BadTask, WrongRules
from ..params import KOII_1, ROUNDWORK_1, RULE_SETS, Genesis
from ..rules import rule
from .instructions import CreateTask, CreateTokenTask, UpdateTask, UpdateTokenTask

STAKE_MIN = 1000
"""The least `minimum_stake` of a task, in roe."""

HARDENED_RETRIES_MAX = 3
"""The same under `roundwork-1`."""

STAKE_FEES = 1000
"""Under `roundwork-1` the minimum stake of a native task is at least so many fees of a signature."""

SLASH_PERCENT = 70
"""The part of its stake that a convicted node loses, unless its task says another."""

RETRIES_MAX = 100
"""The most retries of failed lists that a task may allow."""

SLOTS_MIN = 1
"""The least slots of a window."""

SLOTS_MAX = 2**32
"""The most slots a round may have, so that no slot number ever needs more than 64 bits."""

Configuration = CreateTask | UpdateTask | CreateTokenTask | UpdateTokenTask
"""What founds a task says of it."""


def check_configuration(instruction: Configuration) -> None:
    """Everything that can be said of a task's configuration by itself. Raises WrongRules, BadTask."""
    name = compute_rules_name(instruction.locals)
    check_rules_known(name)
    check_windows(instruction)
    check_minimum_stake(instruction)
    check_retries(instruction)
    check_texts(instruction)


def compute_rules_name(text: bytes) -> str:
    """The name of the rule set in a task's `task_locals`: the text after `rules:`, or the default."""
    first = text.decode(errors="replace").partition(" ")[0]
    return first.removeprefix("rules:") if first.startswith("rules:") else KOII_1.name


class Terms(NamedTuple):
    """What a task's `task_locals` say of money under `roundwork-1`."""

    slash_percent: int = SLASH_PERCENT
    """How much of its stake a convicted node loses, 10 to 100."""
    is_split_by_stake: bool = False
    """Whether the ledger splits a bounty by stake, or in equal parts."""


_TERMS = re.compile(rb"rules:roundwork-1(?: slash:([1-9][0-9]|100))?( split:stake)?")


def compute_terms(text: bytes) -> Terms:
    """The terms in the `task_locals` of a task under `roundwork-1`. Raises BadTask."""
    found = check_terms(text)
    return Terms(int(found[1] or SLASH_PERCENT), bool(found[2]))


def check_hardened(genesis: Genesis, instruction: Configuration) -> None:
    """What `roundwork-1` needs of a task's configuration beyond `check_configuration`. Raises BadTask."""
    if compute_rules_name(instruction.locals) != ROUNDWORK_1.name:
        return
    check_terms(instruction.locals)
    check_long_windows(genesis, instruction)
    if isinstance(instruction, CreateTask | UpdateTask):
        check_stake_in_fees(genesis, instruction)
    check_few_retries(instruction)


# Checks


@rule("4.4")
def check_windows(instruction: Configuration) -> None:
    """Each window has a slot, and both fit into the round."""
    needs = (
        (instruction.submission_window, SLOTS_MIN, "submission_window"),
        (instruction.audit_window, SLOTS_MIN, "audit_window"),
        (instruction.round_time, instruction.submission_window + instruction.audit_window, "round_time"),
    )
    for value, least, name in needs:
        if not least <= value <= SLOTS_MAX:
            raise BadTask(f"{name} is {value} slots; {least} to {SLOTS_MAX} are allowed")


@rule("4.5")
def check_bounty(bounty: int, per_round: int) -> None:
    """The bounty that a task starts with covers at least one round."""
    if per_round > bounty:
        raise BadTask(f"bounty_per_round is {per_round} roe; the task starts with a bounty of {bounty}")


@rule("4.6")
def check_minimum_stake(instruction: Configuration) -> None:
    """A task has a minimum stake."""
    if instruction.minimum_stake < STAKE_MIN:
        raise BadTask(f"minimum_stake is {instruction.minimum_stake} roe; at least {STAKE_MIN} are needed")


@rule("4.7")
def check_retries(instruction: Configuration) -> None:
    """Retries of failed lists are bounded."""
    if instruction.allowed_failed_distributions > RETRIES_MAX:
        raise BadTask(
            f"allowed_failed_distributions is {instruction.allowed_failed_distributions}; "
            f"0 to {RETRIES_MAX} are allowed"
        )


@rule("4.8")
def check_rules_known(name: str) -> None:
    """A task names a rule set that this ledger has."""
    if name not in RULE_SETS:
        raise WrongRules(f"rule set {name!a} is unknown; this ledger has {', '.join(RULE_SETS)}")


@rule("4.9")
def check_texts(instruction: Configuration) -> None:
    """A task's texts are UTF-8."""
    for name in ("name", "description", "audit_program", "executable_network", "metadata", "locals"):
        try:
            getattr(instruction, name).decode()
        except UnicodeDecodeError as error:
            raise BadTask(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from None


@rule("15.2")
def check_terms(text: bytes) -> re.Match[bytes]:
    """The `task_locals` of a task under `roundwork-1` say the slash and the split in one way only."""
    if (found := _TERMS.fullmatch(text)) is None:
        raise BadTask(
            f"task_locals is {text!a}; it must be rules:roundwork-1, and may go on with ' slash:NN', 10 to "
            "100, and then ' split:stake'"
        )
    return found


@rule("15.3")
def check_long_windows(genesis: Genesis, instruction: Configuration) -> None:
    """No outage of the length that the ledger allows takes a half of SUBMIT or an eighth of AUDIT."""
    gap = genesis.gap_slots_max + 1
    submit, audit = instruction.submission_window, instruction.audit_window
    for value, least, name in (
        (submit, 4 * gap - 1, "submission_window"),
        (audit, 16 * gap, "audit_window"),
        (instruction.round_time, submit + audit + 1, "round_time"),
    ):
        if value < least:
            raise BadTask(
                f"{name} is {value} slots; roundwork-1 needs at least {least} "
                f"at a gap of {genesis.gap_slots_max} slots"
            )


@rule("15.4")
def check_stake_in_fees(genesis: Genesis, instruction: CreateTask | UpdateTask) -> None:
    """The minimum stake of a native task is large beside the fees that a challenge sets aside."""
    least = STAKE_FEES * genesis.fee_per_signature
    if instruction.minimum_stake < least:
        raise BadTask(f"minimum_stake is {instruction.minimum_stake} roe; roundwork-1 needs at least {least}")


@rule("15.5")
def check_few_retries(instruction: Configuration) -> None:
    """Retries of failed lists are few, because the ledger splits after the last one."""
    if instruction.allowed_failed_distributions > HARDENED_RETRIES_MAX:
        raise BadTask(
            f"allowed_failed_distributions is {instruction.allowed_failed_distributions}; roundwork-1 allows "
            f"0 to {HARDENED_RETRIES_MAX}"
        )
