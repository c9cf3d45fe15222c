"""The configuration of a new task, and the rules for it."""

from ...errors import BadTask, WrongRules
from ..params import KOII_1, RULE_SETS
from ..rules import rule
from .instructions import CreateTask, CreateTokenTask, UpdateTask, UpdateTokenTask

STAKE_MIN = 1000
"""The least `minimum_stake` of a task, in roe."""

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
