"""The instructions of the task programs, one struct each; how they lie in bytes is said in `layouts`.

The native program and KPL, whose tasks pay in a token, share what does not touch money.
Source: docs/PROTOCOL.md 4 and 13.
"""

import msgspec

from ..params import Key, NodeKey, TaskKey

VALUE_BYTES_MAX = 512
"""Bytes of a submission, at most."""

CHUNK_BYTES = 508
"""Bytes of a whole chunk of a distribution list."""

NO_ROUND = 2**64 - 1
"""Stands for the round where an older layout carries none."""


class _Base(msgspec.Struct, frozen=True, gc=False):
    pass


class CreateTask(_Base, frozen=True, gc=False):
    """The payer pays `total_bounty` in and becomes the manager."""

    payer: Key
    task: TaskKey
    pot: Key
    name: bytes
    description: bytes
    audit_program: bytes
    executable_network: bytes
    total_bounty: int
    bounty_per_round: int
    round_time: int
    audit_window: int
    submission_window: int
    minimum_stake: int
    metadata: bytes
    locals: bytes
    allowed_failed_distributions: int


class SubmitTask(_Base, frozen=True, gc=False):
    """The node's proof for a round."""

    task: TaskKey
    node: NodeKey
    value: bytes
    round: int


class AuditSubmission(_Base, frozen=True, gc=False):
    """An opinion of a node's submission; the first opinion of invalid raises the audit."""

    task: TaskKey
    node: NodeKey
    candidate: NodeKey
    is_valid: int
    round: int


class AuditDistribution(_Base, frozen=True, gc=False):
    """An opinion of the distribution list that stands for a round."""

    task: TaskKey
    node: NodeKey
    candidate: NodeKey
    is_valid: int
    round: int


class Payout(_Base, frozen=True, gc=False):
    """Requests a payout. It changes nothing, because the ledger pays by itself."""

    task: TaskKey
    round: int


class Whitelist(_Base, frozen=True, gc=False):
    """Allow-lists a task; signed by the task program's own key."""

    task: TaskKey
    program: Key
    flag: int


class SetActive(_Base, frozen=True, gc=False):
    """Lets a task take submissions or not, from the next ledger round on."""

    task: TaskKey
    manager: Key
    active: int


class Claim(_Base, frozen=True, gc=False):
    """Pays the node's whole available balance to the beneficiary."""

    task: TaskKey
    node: NodeKey
    pot: Key
    beneficiary: Key


class FundTask(_Base, frozen=True, gc=False):
    """Adds to a task's bounty."""

    task: TaskKey
    funder: Key
    pot: Key
    amount: int


class Stake(_Base, frozen=True, gc=False):
    """Adds to a node's stake and says where peers reach it (all spaces: unchanged)."""

    task: TaskKey
    node: NodeKey
    pot: Key
    amount: int
    endpoint: bytes = b""


class Withdraw(_Base, frozen=True, gc=False):
    """Moves the node's whole stake to its available balance."""

    task: TaskKey
    node: NodeKey


class UploadDistributionList(_Base, frozen=True, gc=False):
    """One numbered chunk of a distribution list."""

    task: TaskKey
    node: NodeKey
    chunk: int
    size: int
    data: bytes
    round: int = NO_ROUND


class SubmitDistributionList(_Base, frozen=True, gc=False):
    """Puts the list that `account` uploaded into the round's record; in practice that is the node itself."""

    task: TaskKey
    node: NodeKey
    account: NodeKey
    round: int


class UpdateTask(_Base, frozen=True, gc=False):
    """Founds a successor, which takes over the unreserved bounty."""

    payer: Key
    task: TaskKey
    pot: Key
    successor: TaskKey
    successor_pot: Key
    name: bytes
    description: bytes
    audit_program: bytes
    executable_network: bytes
    bounty_per_round: int
    round_time: int
    audit_window: int
    submission_window: int
    minimum_stake: int
    metadata: bytes
    locals: bytes
    allowed_failed_distributions: int


class CloseTask(_Base, frozen=True, gc=False):
    """Returns the bounty to the manager; stakes and balances stay."""

    task: TaskKey
    manager: Key
    pot: Key


class Commit(_Base, frozen=True, gc=False):
    """Commits the node to a submission (kind 0), a receipt (1) or votes (2) of a round."""

    task: TaskKey
    node: NodeKey
    kind: int
    round: int
    commitment: bytes


class Reveal(_Base, frozen=True, gc=False):
    """Opens a commitment: its salt of 32 bytes, and the payload."""

    task: TaskKey
    node: NodeKey
    kind: int
    round: int
    salt: bytes
    payload: bytes


class Accuse(_Base, frozen=True, gc=False):
    """Sends a submission to a jury, with a bond from the node's stake."""

    task: TaskKey
    node: NodeKey
    candidate: NodeKey
    round: int


class Challenge(_Base, frozen=True, gc=False):
    """Demands that the proof of a submission be posted, and sets fees for it aside."""

    task: TaskKey
    node: NodeKey
    candidate: NodeKey
    round: int


class Answer(_Base, frozen=True, gc=False):
    """Posts a chunk of the proof of a submission; `node` is the node that posts it."""

    task: TaskKey
    node: NodeKey
    candidate: NodeKey
    round: int
    chunk: int
    data: bytes


class CreateTokenTask(_Base, frozen=True, gc=False):
    """The payer pays `total_bounty` in from its token account `source` and becomes the manager.

    `seed` is the sha256 of the pot's base58 text; `authority` follows from it and owns the pot.
    """

    payer: Key
    source: Key
    task: TaskKey
    pot: Key
    authority: Key
    mint: Key
    name: bytes
    description: bytes
    audit_program: bytes
    executable_network: bytes
    total_bounty: int
    bounty_per_round: int
    round_time: int
    audit_window: int
    submission_window: int
    minimum_stake: int
    metadata: bytes
    locals: bytes
    allowed_failed_distributions: int
    seed: bytes


class UpdateTokenTask(_Base, frozen=True, gc=False):
    """Founds a successor in the same token, which takes over the unreserved bounty."""

    payer: Key
    task: TaskKey
    pot: Key
    authority: Key
    successor: TaskKey
    successor_pot: Key
    successor_authority: Key
    mint: Key
    name: bytes
    description: bytes
    audit_program: bytes
    executable_network: bytes
    bounty_per_round: int
    round_time: int
    audit_window: int
    submission_window: int
    minimum_stake: int
    metadata: bytes
    locals: bytes
    allowed_failed_distributions: int
    seed: bytes


class FundTokens(_Base, frozen=True, gc=False):
    """Adds to a task's bounty from a token account of the funder's."""

    task: TaskKey
    funder: Key
    source: Key
    pot: Key
    amount: int


class StakeTokens(_Base, frozen=True, gc=False):
    """Adds to a node's stake from a token account of its own, and says where peers reach it."""

    task: TaskKey
    node: NodeKey
    source: Key
    pot: Key
    amount: int
    endpoint: bytes = b""


class ClaimTokens(_Base, frozen=True, gc=False):
    """Pays the node's whole available balance to the token account `beneficiary`."""

    task: TaskKey
    node: NodeKey
    pot: Key
    beneficiary: Key
    authority: Key


class DeleteTask(_Base, frozen=True, gc=False):
    """Ends a task; its bounty becomes the manager's available balance."""

    task: TaskKey
    manager: Key
    pot: Key
    authority: Key
    mint: Key


Instruction = (
    CreateTask | SubmitTask | AuditSubmission | AuditDistribution | Payout | Whitelist | SetActive | Claim
    | FundTask | Stake | Withdraw | UploadDistributionList | SubmitDistributionList | UpdateTask | CloseTask
    | Commit | Reveal | Accuse | Challenge | Answer
    | CreateTokenTask | UpdateTokenTask | FundTokens | StakeTokens | ClaimTokens | DeleteTask
)  # fmt: skip
