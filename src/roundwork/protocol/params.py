"""Genesis parameters and rule sets, with their units; and the addresses that the law knows by name."""

from typing import Literal, NewType

import msgspec
from solders.pubkey import Pubkey

from ..wire import share_text

Key = bytes
"""A 32-byte Ed25519 public key, or a derived address for which no key exists."""

TaskKey = NewType("TaskKey", Key)
"""The address of a task."""

NodeKey = NewType("NodeKey", Key)
"""The address of a node, which stakes, submits, audits and hands in lists."""

KOII = 10**9
"""One coin, in roe."""

MONEY_MAX = 2**63 - 1
"""All money together, in roe, stays a signed 64-bit number, so that every sum of it does."""

TICKS = 300
"""A transaction names the tick of one of the last TICKS slots."""

RENT_PER_BYTE = 6960
RENT_OVERHEAD_BYTES = 128
"""Roe that clients put by for each byte of an account, and the bytes that every account counts more."""

SPACE_MAX = 10 * 1024 * 1024
"""Bytes that an account may have, as on Solana."""

TASK_SPACE_MAX = 50_000_000
"""Bytes that an account of a task program may have: what existing clients create for a task."""

LAW_VERSION = 2
"""The first field of a block. Another number means another law: docs/decisions/0063."""


def key_of(text: str) -> Key:
    """The 32 bytes of a base58 address. Raises ValueError."""
    return bytes(Pubkey.from_string(text))


def base58_of(key: Key) -> str:
    """The base58 text of 32 bytes; the same object each time, because views of a large task repeat them."""
    return share_text(str(Pubkey(key)))


def compute_rent(space: int) -> int:
    """What makes an account of this many bytes rent-exempt, in roe. The law never takes it."""
    return (space + RENT_OVERHEAD_BYTES) * RENT_PER_BYTE


SYSTEM_PROGRAM = bytes(32)
TASK_PROGRAM = key_of("Koiitask22222222222222222222222222222222222")
KPL_PROGRAM = key_of("KPLTRVs6jA7QTthuJH2cEmyCEskFbSV2xpZw46cganN")
TOKEN_PROGRAM = key_of("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ASSOCIATED_TOKEN_PROGRAM = key_of("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO_1_PROGRAM = key_of("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
MEMO_PROGRAM = key_of("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
MEMO_4_PROGRAM = key_of("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH")
MEMO_PROGRAMS = frozenset((MEMO_1_PROGRAM, MEMO_PROGRAM, MEMO_4_PROGRAM))
"""Version 1, versions 2 and 3, and version 4, which clients name today."""

LOOKUP_PROGRAM = key_of("AddressLookupTab1e1111111111111111111111111")
COMPUTE_BUDGET_PROGRAM = key_of("ComputeBudget111111111111111111111111111111")
ED25519_PROGRAM = key_of("Ed25519SigVerify111111111111111111111111111")
NATIVE_LOADER = key_of("NativeLoader1111111111111111111111111111111")
SYSVAR_OWNER = key_of("Sysvar1111111111111111111111111111111111111")
SYSVAR_CLOCK = key_of("SysvarC1ock11111111111111111111111111111111")
SYSVAR_RECENT_BLOCKHASHES = key_of("SysvarRecentB1ockHashes11111111111111111111")
SYSVAR_SLOT_HASHES = key_of("SysvarS1otHashes111111111111111111111111111")
SYSVAR_EPOCH_SCHEDULE = key_of("SysvarEpochSchedu1e111111111111111111111111")
SYSVAR_RENT = key_of("SysvarRent111111111111111111111111111111111")
WRAPPED_MINT = key_of("So11111111111111111111111111111111111111112")


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters in which rule sets differ. Source: docs/PROTOCOL.md 5."""

    name: str
    locked_rounds: int
    """For how many ledger rounds after the round of its node's last submission a stake stays locked."""
    held_rounds: int
    """For how many ledger rounds after its payment a reward is held back; 0 if it is not."""
    has_heads: bool
    """Whether the ledger makes a head of every round that is over."""


KOII_1 = RuleSet(
    name="koii-1",
    locked_rounds=3,
    held_rounds=0,
    has_heads=False,
)

ROUNDWORK_1 = RuleSet(
    name="roundwork-1",
    locked_rounds=0,
    held_rounds=3,
    has_heads=True,
)

RULE_SETS = {rules.name: rules for rules in (KOII_1, ROUNDWORK_1)}


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account that genesis funds."""

    address: str
    balance: int
    """In roe."""


class Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a ledger is founded on. Its hash names the chain.

    Slots are `slot_ms` milliseconds long; money is in roe; `faucet` makes it a development ledger.
    """

    chain: str = "roundwork-dev"
    """The name of the chain."""
    kind: Literal["development", "production"] = "development"
    time_ms: int
    """When slot 0 begins, milliseconds since 1970."""
    symbol: str = "KOII"
    """The symbol of native money."""
    decimals: int = 9
    """One coin is 10^decimals roe."""
    slot_ms: int = 400
    """The length of a slot in milliseconds."""
    gap_slots_max: int = 2
    """The most slots that may pass between two blocks; a longer silence pauses the rounds."""
    fee_per_signature: int = 5000
    """In roe."""
    settle_records_max: int = 20_000
    """The most list entries that a block pays."""
    list_chunks_max: int = 8192
    """Chunks of 508 bytes that one distribution list may have."""
    producer: str
    """Earns the fees of the embedded engine."""
    faucet: str | None = None
    """The address that airdrops come from; a ledger with a faucet is a development ledger."""
    allowlister: str | None = None
    """Whose signature allow-lists a task; on a development ledger tasks are allow-listed when created."""
    accounts: tuple[Grant, ...]
    """The accounts that genesis funds."""
