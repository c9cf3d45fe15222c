"""What a node sends and fetches under roundwork-1: commitments, reveals, proofs, accusations, lists."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from solders.instruction import Instruction as SignedInstruction

from ...client.messages import pay, wrap
from ...client.operations import patiently
from ...client.rpc import Client
from ...errors import RemoteError
from ...hardened_views import HardenedSubmission
from ...participant import sealed as duties
from ...participant.sealed_messages import (
    Sender,
    Waves,
    compose_answers,
    compose_list,
    compose_message,
    compose_seal,
)
from ...participant.sealed_step import DrawnRound
from ...protocol.params import NodeKey, TaskKey, key_of
from ...protocol.tasks.commitments import PIECES_MAX
from ...views import LedgerView
from ..lookout import CurrentTask, Identity
from ..peers.proofs import Proofs

SENDING_MAX = 16
"""Instructions of a wave that are under way at a time."""

SendingDuty = (
    duties.SendCommitment | duties.SendReveal | duties.SendChallenge | duties.PostProof
    | duties.SendAccusation | duties.SendAmounts | duties.AccuseList | duties.VoteOnList
)  # fmt: skip


class SealedSending:
    """Carries out the duties of roundwork-1 that call none of the author's functions."""

    def __init__(
        self,
        client: Client,
        identity: Identity,
        current: CurrentTask,
        proofs: Proofs,
        send: Callable[[list[SignedInstruction]], Awaitable[None]],
    ) -> None:
        """`send` makes one transaction and waits until it is durable."""
        self._client = client
        self._identity = identity
        self._task = current.task.address
        self._program = key_of(current.task.program)
        self._proofs = proofs
        self._send = send
        self._fetched: dict[int, frozenset[str]] = {}
        self._ledger: LedgerView | None = None

    @property
    def fetched(self) -> Mapping[int, frozenset[str]]:
        """By round, the nodes whose proof is here."""
        return self._fetched

    async def fetch(self, duty: duties.FetchProof, shown: DrawnRound) -> None:
        """Get a proof. Raises RemoteError if it cannot be had now, StoreFull."""
        is_posted = any(each.node == duty.node and each.is_posted for each in _list_submissions(shown))
        value = get_value(shown, duty.node)
        proof = await self._proofs.fetch(value, duty.round, duty.node, is_posted)
        if proof is None:
            raise RemoteError(f"no node serves the proof of {duty.node}")
        self._fetched[duty.round] = self._fetched.get(duty.round, frozenset()) | {duty.node}

    def forget(self, before_round: int) -> None:
        """Forget which proofs of closed rounds are here."""
        self._fetched = {
            round_number: nodes
            for round_number, nodes in self._fetched.items()
            if round_number >= before_round
        }

    async def send(self, duty: SendingDuty, shown: DrawnRound, amounts: Mapping[str, int]) -> None:
        """Send what a duty says. `amounts` is the node's list of the round.

        Raises Rejected, Void, RemoteError, TimeoutError.
        """
        if isinstance(duty, duties.SendChallenge):
            await self._fill_up()
        for wave in await self._compose(duty, shown, amounts):
            for start in range(0, len(wave), SENDING_MAX):
                part = [self._send([wrap(each, self._program)]) for each in wave[start : start + SENDING_MAX]]
                for failure in await asyncio.gather(*part, return_exceptions=True):
                    if failure is not None:
                        raise failure

    async def _compose(self, duty: SendingDuty, shown: DrawnRound, amounts: Mapping[str, int]) -> Waves:
        sender = await self._make_sender()
        match duty:
            case duties.SendCommitment() | duties.SendReveal():
                return [[compose_seal(sender, duty)]]
            case duties.PostProof():
                proof = await self._proofs.get(get_value(shown, duty.node))
                if proof is None:
                    raise RemoteError(f"the proof of {duty.node} is not here any more")
                return compose_answers(sender, duty, proof)
            case duties.SendAmounts():
                submitters = [each.node for each in shown.round.submissions]
                return compose_list(sender, duty.round, submitters, amounts)
            case _:
                return [[compose_message(sender, duty)]]

    async def _make_sender(self) -> Sender:
        ledger, identity = await self._get_ledger(), self._identity
        return Sender(
            genesis_hash=key_of(ledger.genesis_hash),
            task=TaskKey(key_of(self._task)),
            node=NodeKey(key_of(identity.node)),
            task_address=self._task,
            secret=identity.secret,
        )

    async def _get_ledger(self) -> LedgerView:
        """The ledger as it was read first: its genesis, and the fees that follow from it, never change."""
        if self._ledger is None:
            self._ledger = await patiently(self._client.get_ledger)
        return self._ledger

    async def _fill_up(self) -> None:
        """Give the staking key what a challenge sets aside, if it does not have it: that key pays it."""
        ledger = await self._get_ledger()
        held = PIECES_MAX * ledger.fee_per_signature
        if await self._client.get_balance(self._identity.node) < held:
            await self._send([pay(self._identity.payer, self._identity.staking.pubkey(), held)])


def _list_submissions(shown: DrawnRound) -> list[HardenedSubmission]:
    return shown.round.hardened.submissions if shown.round.hardened else []


def get_value(shown: DrawnRound, node: str) -> str:
    """The value that a node submitted in a round."""
    return next(each.value for each in shown.round.submissions if each.node == node)
