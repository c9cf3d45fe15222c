"""Operations in tokens: mints, their accounts, and the money of tasks that pay in a token.

Each function builds the instructions that existing clients would build; `operations` signs and sends them.
"""

from typing import TYPE_CHECKING, Any

import msgspec
from solders.instruction import Instruction
from solders.keypair import Keypair

from ..errors import BadConfig, TokenNotEnough
from ..protocol.addresses import compute_pot_seed, find_associated, find_authority
from ..protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    KOII,
    KPL_PROGRAM,
    TOKEN_PROGRAM,
    Key,
    NodeKey,
    TaskKey,
    base58_of,
    compute_rent,
    key_of,
)
from ..protocol.programs.token_records import MINT_BYTES
from ..protocol.tasks.instructions import (
    ClaimTokens,
    CreateTokenTask,
    DeleteTask,
    FundTokens,
    StakeTokens,
    UpdateTokenTask,
)
from ..views import TaskView
from .messages import instruct, make_account, wrap
from .rpc import Client, Refused

if TYPE_CHECKING:
    from ..package.folder import Package

STAKING_SPACE = 100
"""Bytes of a staking account, as existing clients make it."""

STAKING_MONEY = compute_rent(1000) + 10_000
"""Roe that existing clients leave on a staking account. They pay a fee where the main key cannot."""

# Tokens


def build_mint(payer: Keypair, mint: Keypair, decimals: int) -> list[Instruction]:
    """A new token, of which the payer may make more; signed by both."""
    return [
        make_account(payer, mint, compute_rent(MINT_BYTES), MINT_BYTES, TOKEN_PROGRAM),
        instruct(
            TOKEN_PROGRAM,
            "initializeMint2",
            mint=bytes(mint.pubkey()),
            decimals=decimals,
            mintAuthority=bytes(payer.pubkey()),
            freezeAuthority=None,
        ),
    ]


def build_minting(payer: Keypair, mint: str, owner: str, amount: int) -> list[Instruction]:
    """More of a token for an owner, in its associated account, which is opened if it is missing."""
    minting = instruct(
        TOKEN_PROGRAM,
        "mintTo",
        mint=key_of(mint),
        account=find_account(key_of(owner), mint),
        mintAuthority=bytes(payer.pubkey()),
        amount=amount,
    )
    return [open_account(payer, key_of(owner), mint), minting]


def find_account(owner: Key, mint: str) -> Key:
    """The owner's associated account."""
    return find_associated(owner, key_of(mint))


def open_account(payer: Keypair, owner: Key, mint: str) -> Instruction:
    """The instruction that opens an owner's associated account, if it is missing."""
    return instruct(
        ASSOCIATED_TOKEN_PROGRAM,
        "createIdempotent",
        source=bytes(payer.pubkey()),
        account=find_account(owner, mint),
        wallet=owner,
        mint=key_of(mint),
    )


def build_transfer(source: Keypair, owner: Key, mint: str, amount: int) -> Instruction:
    """The instruction that moves tokens from the payer's associated account to an owner's."""
    payer = bytes(source.pubkey())
    return instruct(
        TOKEN_PROGRAM,
        "transfer",
        source=find_account(payer, mint),
        destination=find_account(owner, mint),
        authority=payer,
        amount=amount,
    )


# Tasks


async def scale(client: Client, package: "Package") -> "Package":
    """A package whose amounts are in the smallest unit of its token, not in roe.

    Raises BadConfig if `token_type` is not a mint, or if the token's decimals cannot express an amount.
    """
    try:
        _, decimals = await client.get_token_supply(package.token_type)
    except Refused as error:
        raise BadConfig(
            f"token_type: {package.token_type} is not the mint of a token here: {error}"
        ) from error

    def convert(field: str, roe: int) -> int:
        amount = roe * 10**decimals
        if amount % KOII:
            raise BadConfig(f"{field}: {roe / KOII:g} has more decimals than the token, which has {decimals}")
        return int(amount // KOII)

    return msgspec.structs.replace(
        package,
        total_bounty=convert("total_bounty_amount", package.total_bounty),
        bounty_per_round=convert("bounty_amount_per_round", package.bounty_per_round),
        minimum_stake=convert("minimum_stake_amount", package.minimum_stake),
    )


def build_create(
    manager: Keypair, task: Keypair, pot: Keypair, mint: str, total_bounty: int, fields: dict[str, Any]
) -> list[Instruction]:
    """The instructions that found a task; the manager pays from its associated account. All three sign."""
    instruction = CreateTokenTask(
        payer=bytes(manager.pubkey()),
        source=find_account(bytes(manager.pubkey()), mint),
        task=TaskKey(bytes(task.pubkey())),
        pot=bytes(pot.pubkey()),
        authority=find_authority(bytes(pot.pubkey())),
        mint=key_of(mint),
        total_bounty=total_bounty,
        seed=compute_pot_seed(bytes(pot.pubkey())),
        **fields,
    )
    return [make_account(manager, task, compute_rent(0), 0, KPL_PROGRAM), wrap(instruction, KPL_PROGRAM)]


def build_update(
    manager: Keypair, successor: Keypair, pot: Keypair, old: TaskView, fields: dict[str, Any]
) -> list[Instruction]:
    """The instructions that found a task's successor in the same token. All three sign."""
    instruction = UpdateTokenTask(
        payer=bytes(manager.pubkey()),
        task=TaskKey(key_of(old.address)),
        pot=key_of(old.pot),
        authority=find_authority(key_of(old.pot)),
        successor=TaskKey(bytes(successor.pubkey())),
        successor_pot=bytes(pot.pubkey()),
        successor_authority=find_authority(bytes(pot.pubkey())),
        mint=key_of(_get_mint(old)),
        seed=compute_pot_seed(bytes(pot.pubkey())),
        **fields,
    )
    return [make_account(manager, successor, compute_rent(0), 0, KPL_PROGRAM), wrap(instruction, KPL_PROGRAM)]


def build_fund(payer: Keypair, task: TaskView, amount: int) -> list[Instruction]:
    """The instructions that add to a task's bounty from the payer's associated account."""
    source = find_account(bytes(payer.pubkey()), _get_mint(task))
    key, pot = TaskKey(key_of(task.address)), key_of(task.pot)
    instruction = FundTokens(key, bytes(payer.pubkey()), source, pot, amount)
    return [wrap(instruction, KPL_PROGRAM)]


async def build_stake(
    client: Client, payer: Keypair, staking: Keypair, task: TaskView, amount: int, endpoint: str
) -> list[Instruction]:
    """The instructions that move tokens from the main key to the staking key and stake them.

    Raises TokenNotEnough if the main key never had any, because the ledger would only name a missing account.
    """
    mint, node = _get_mint(task), NodeKey(bytes(staking.pubkey()))
    if await client.get_account_owner(base58_of(find_account(bytes(payer.pubkey()), mint))) is None:
        raise TokenNotEnough(f"{payer.pubkey()} has none of the token {mint}; {amount} are to be staked")
    instructions = []
    if await client.get_account_owner(base58_of(node)) is None:
        instructions.append(make_account(payer, staking, STAKING_MONEY, STAKING_SPACE, KPL_PROGRAM))
    source = find_account(node, mint)
    key, pot = TaskKey(key_of(task.address)), key_of(task.pot)
    instruction = StakeTokens(key, node, source, pot, amount, endpoint.encode())
    return [
        *instructions,
        open_account(payer, node, mint),
        build_transfer(payer, node, mint, amount),
        wrap(instruction, KPL_PROGRAM),
    ]


async def build_claim(
    client: Client, payer: Keypair, node: NodeKey, task: TaskView, beneficiary: str
) -> list[Instruction]:
    """The instructions that pay a node's available balance to a token account, or to an owner's own."""
    target, instructions = key_of(beneficiary), []
    if await client.get_account_owner(beneficiary) != base58_of(TOKEN_PROGRAM):
        target = find_account(key_of(beneficiary), _get_mint(task))
        if await client.get_account_owner(base58_of(target)) is None:
            instructions.append(open_account(payer, key_of(beneficiary), _get_mint(task)))
    pot = key_of(task.pot)
    instruction = ClaimTokens(TaskKey(key_of(task.address)), node, pot, target, find_authority(pot))
    return [*instructions, wrap(instruction, KPL_PROGRAM)]


async def build_close(client: Client, manager: Keypair, task: TaskView) -> list[Instruction]:
    """The instructions that end a task and pay the manager its bounty."""
    address, pot = NodeKey(bytes(manager.pubkey())), key_of(task.pot)
    key, mint = TaskKey(key_of(task.address)), key_of(_get_mint(task))
    instruction = DeleteTask(key, address, pot, find_authority(pot), mint)
    available = sum(stake.available for stake in task.stakes if stake.node == base58_of(address))
    if not task.bounty + available:
        return [wrap(instruction, KPL_PROGRAM)]
    return [
        wrap(instruction, KPL_PROGRAM),
        *await build_claim(client, manager, address, task, base58_of(address)),
    ]


def _get_mint(task: TaskView) -> str:
    assert task.mint is not None, "the task pays in native money"
    return task.mint
