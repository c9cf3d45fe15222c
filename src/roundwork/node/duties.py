"""Duties: their names in the log, and how stake is added."""

import logging
from collections.abc import Mapping
from typing import assert_never

from ..client.operations import build_stake, deliver, sign
from ..client.rpc import Client
from ..errors import ListOverBounty, ListTooLong, Rejected, StillRunning, TaskFailed, Void
from ..participant import sealed
from ..participant import step as duties
from ..participant.sealed import SealedDuty
from ..participant.step import Duty
from .lookout import Identity
from .memory import MemoryFile

DONE, FAILED = "done", "failed"
"""How a duty ended: the first part of its logger's name. The second part is the kind of the duty."""

LIST_CHUNKS_MAX = 8_192
"""The chunks of a list that a ledger takes, if its genesis says nothing else: docs/PROTOCOL.md 8.6."""

_AUDIT = "audit of {} in round {}"

log = logging.getLogger(__name__)


def log_done(duty: Duty | SealedDuty, outcome: str) -> None:
    """Log what came of a duty."""
    kind, subject = name_duty(duty)
    logging.getLogger(f"{DONE}.{kind}").info("%s: %s", subject, outcome)


def log_failure(duty: Duty | SealedDuty, error: Exception) -> None:
    """Log why a duty failed: a line, and below it the traceback of an author's function.

    The line names the window that a function has to end in, if it had not ended then.

    A function that failed and a transaction that the law refused have a logger of their own, by which `up`
    finds the reason of a round that was not paid.
    """
    kind, subject = name_duty(duty)
    text = str(error)
    window = name_window(duty) if isinstance(error, StillRunning) else ""
    line = f"{subject}: {describe_failure(error)}{window and f'; {window}'}"
    logger = logging.getLogger(f"{FAILED}.{kind}") if isinstance(error, TaskFailed | Rejected) else log
    logger.warning("%s", f"{line}\n{text}" if "\n" in text else line)


def describe_failure(error: Exception) -> str:
    """Why a duty failed, in a line: the name of the error, and the last line of its text."""
    last = str(error).strip().rpartition("\n")[2] or "it took too long"
    return last if isinstance(error, TaskFailed) else f"{type(error).__name__}: {last}"


def name_duty(duty: Duty | SealedDuty) -> tuple[str, str]:
    """The kind of a duty, and the duty in words."""
    match duty:
        case duties.Work():
            return "work", f"work of round {duty.round}"
        case duties.DecideValue():
            return "submission", f"proof of round {duty.round}"
        case duties.DecideOpinion():
            return "audit", _AUDIT.format(duty.node, duty.round)
        case duties.DecideList():
            return "distribution", f"list of round {duty.round}"
        case duties.SendValue():
            return "sending", f"sending the proof of round {duty.round}"
        case duties.SendOpinion():
            opinion = "valid" if duty.is_valid else "invalid"
            return "sending", f"sending that the proof of {duty.node} in round {duty.round} is {opinion}"
        case duties.SendList():
            return "sending", f"sending the list of round {duty.round}"
        case duties.SendListOpinion():
            opinion = "valid" if duty.is_valid else "invalid"
            return "sending", f"sending that the list of {duty.node} for round {duty.round} is {opinion}"
        case duties.TopUp():
            return "stake", "adding to the stake"
        case duties.ClaimAvailable():
            return "claim", "claiming the available balance"
        case duties.Forget():
            return "forgetting", f"forgetting the rounds below {duty.before_round}"
        case _:
            return _name_sealed(duty)


def _name_sealed(duty: SealedDuty) -> tuple[str, str]:
    round_number = duty.round
    match duty:
        case sealed.DecideSealedValue():
            return "submission", f"proof of round {round_number}"
        case sealed.Seal():
            return "sealing", f"writing down {_KINDS[duty.kind]} of round {round_number}"
        case sealed.SendCommitment():
            return "sending", f"committing to {_KINDS[duty.kind]} of round {round_number}"
        case sealed.SendReveal():
            return "sending", f"revealing {_KINDS[duty.kind]} of round {round_number}"
        case sealed.FetchProof():
            return "fetching", f"fetching the proof of {duty.node} in round {round_number}"
        case sealed.SendChallenge():
            return "sending", f"challenging the proof of {duty.node} in round {round_number}"
        case sealed.PostProof():
            return "sending", f"posting the proof of {duty.node} in round {round_number}"
        case sealed.CheckSubmission():
            return "audit", _AUDIT.format(duty.node, round_number)
        case sealed.SendAccusation():
            return "sending", f"accusing {duty.node} in round {round_number}"
        case sealed.DecideSealedList():
            return "distribution", f"list of round {round_number}"
        case sealed.SendAmounts():
            return "sending", f"sending the list of round {round_number}"
        case sealed.AccuseList():
            return "sending", f"accusing the list of {duty.node} for round {round_number}"
        case sealed.VoteOnList():
            opinion = "valid" if duty.is_valid else "invalid"
            return "sending", f"voting that the list of {duty.node} for round {round_number} is {opinion}"
        case _:
            assert_never(duty)


_KINDS = ("the submission", "the receipt", "the votes")
"""By the kind of the commitment."""


def name_window(duty: Duty | SealedDuty) -> str:
    """The window in which a function of the task has to end, in words; "" for a duty that calls none."""
    match duty:
        case duties.Work():
            return f"its window ends in slot {duty.until}, the middle of the submission window"
        case duties.DecideValue():
            return f"its window ends in slot {duty.until}, the end of the submission window"
        case duties.DecideOpinion():
            return f"all audits of the round share the window that ends in slot {duty.until}"
        case duties.DecideList():
            return f"its window ends in slot {duty.until}"
        case _:
            return ""


def read_audit(subject: str) -> tuple[int, str] | None:
    """The round and the candidate of an audit, from its words; None for another duty."""
    words = subject.split(" ")
    if len(words) != len(_AUDIT.split(" ")) or not words[-1].isdecimal():
        return None
    audited = int(words[-1]), words[2]
    return audited if _AUDIT.format(audited[1], audited[0]) == subject else None


def check_list(round_number: int, amounts: Mapping[str, int], bounty: int, chunks: int = 0) -> None:
    """A list that the ledger would refuse is not uploaded, which costs a fee for each chunk.

    `bounty` is the task's bounty_per_round, `chunks` the chunks of the list under koii-1. Raises
    ListOverBounty, ListTooLong.
    """
    total = sum(amount for amount in amounts.values() if amount > 0)
    if total > bounty:
        raise ListOverBounty(
            f"the task's list of round {round_number} pays {total}; bounty_per_round is {bounty}, so it"
            " is not uploaded"
        )
    if chunks > LIST_CHUNKS_MAX:
        raise ListTooLong(
            f"the task's list of round {round_number} has {chunks} chunks; a ledger takes {LIST_CHUNKS_MAX},"
            " so it is not uploaded"
        )


async def top_up(client: Client, identity: Identity, task: str, amount: int, file: MemoryFile) -> None:
    """Add roe to the stake, and give the ledger the endpoint at which peers reach the node.

    The signed transaction is on disk before it is sent: a node that is killed in between sends it again, and
    it runs once. Raises Rejected, Void.
    """
    signed = file.on_its_way
    if signed is None:
        instructions = await build_stake(
            client, identity.payer, identity.staking, task, amount, identity.endpoint
        )
        signed = await sign(client, instructions, [identity.payer, identity.staking])
        file.on_its_way = signed
    try:
        await deliver(client, signed)
    except (Rejected, Void):
        file.on_its_way = None
        raise
    file.on_its_way = None
