"""Operations of people and nodes, as the transactions that existing clients would build."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction, VersionedTransaction

from ..errors import (
    AccountNotFound,
    AlreadyProcessed,
    BadConfig,
    BlockhashNotFound,
    InsufficientFundsForFee,
    OpenRounds,
    PayoutPending,
    StakeLocked,
    UnknownTask,
)
from ..package.terms import compose_fields
from ..protocol.params import (
    ROUNDWORK_1,
    SYSTEM_PROGRAM,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    NodeKey,
    TaskKey,
    base58_of,
    compute_rent,
    key_of,
)
from ..protocol.tasks.instructions import (
    Claim,
    CloseTask,
    CreateTask,
    FundTask,
    SetActive,
    Stake,
    UpdateTask,
    Withdraw,
)
from ..views import RoundView, TaskView
from . import token_operations as tokens
from .messages import make_account, make_unique, offer, pay, wrap
from .rpc import Client, Unreachable
from .sealed_standing import compute_held_back, describe_part, describe_stakes, list_owed, takes_part
from .token_operations import STAKING_MONEY, STAKING_SPACE

if TYPE_CHECKING:
    from ..package.folder import Package

RETRY_SECONDS = 0.2
ROUNDS_READ = 1_000
"""The rounds of a standing, if the caller does not say how many."""

POT_PREFIX = "stakepotaccount"
POT_GIFT = 10**6
"""What existing clients send to a new pot, in roe."""

T = TypeVar("T")


class Signed(msgspec.Struct, frozen=True):
    """A signed transaction, and the last block height at which it can run."""

    wire: bytes
    last_valid: int

    @property
    def signature(self) -> str:
        """Its name, base58."""
        return str(VersionedTransaction.from_bytes(self.wire).signatures[0])


async def sign(client: Client, instructions: Sequence[Instruction], signers: Sequence[Keypair]) -> Signed:
    """A transaction with the newest tick and the client's priority fee; the first of `signers` pays.

    Equal instructions signed twice are two transactions.
    """
    tick, last_valid = await patiently(client.get_latest_blockhash)
    hash = Hash.from_string(tick)
    marked = [*instructions, *offer(client.priority_fee), make_unique()]
    message = Message.new_with_blockhash(marked, signers[0].pubkey(), hash)
    needed = message.account_keys[: message.header.num_required_signatures]
    by_key = {pair.pubkey(): pair for pair in signers}
    return Signed(bytes(Transaction([by_key[key] for key in needed], message, hash)), last_valid)


async def deliver(client: Client, signed: Signed) -> str:
    """Send a transaction until it is durable, also through outages of the ledger; its signature.

    It runs once, however often it is sent. Raises Rejected or Void. BlockhashNotFound means that it never ran
    and never will.
    """
    while True:
        try:
            await client.send(signed.wire)
            await client.confirm(signed.signature, signed.last_valid)
        except (AlreadyProcessed, BlockhashNotFound):
            # The answer to an earlier sending may have been lost: only its status says whether it ran.
            await patiently(lambda: client.confirm(signed.signature, signed.last_valid))
        except Unreachable:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        return signed.signature


async def send(client: Client, instructions: Sequence[Instruction], signers: Sequence[Keypair]) -> str:
    """Sign instructions as one transaction and deliver it; its signature.

    A transaction that lapsed in an outage is signed again; only one of them runs. Raises Rejected, Void.
    """
    while True:
        try:
            return await deliver(client, await sign(client, instructions, signers))
        except BlockhashNotFound:
            continue


async def patiently(operation: Callable[[], Awaitable[T]]) -> T:
    """The result of an operation, which is tried again while the ledger does not answer."""
    while True:
        try:
            return await operation()
        except Unreachable:
            await asyncio.sleep(RETRY_SECONDS)


async def airdrop(client: Client, address: str, amount: int) -> str:
    """Have a development ledger's faucet give roe, and wait until the transaction is durable; its signature.

    Raises Refused.
    """
    signature = await client.request_airdrop(address, amount)
    _, last_valid = await patiently(client.get_latest_blockhash)
    await patiently(lambda: client.confirm(signature, last_valid))
    return signature


async def transfer_money(client: Client, source: Keypair, target: str, amount: int) -> str:
    """Send roe."""
    return await send(client, [pay(source, Pubkey.from_string(target), amount)], [source])


async def create_token(client: Client, payer: Keypair, decimals: int) -> str:
    """A new token, of which the payer may make more; the address of its mint."""
    mint = Keypair()
    await send(client, tokens.build_mint(payer, mint, decimals), [payer, mint])
    return str(mint.pubkey())


async def mint_tokens(client: Client, payer: Keypair, mint: str, owner: str, amount: int) -> str:
    """Make more of a token for an owner. Raises TokenOwnerMismatch, TokenFixedSupply."""
    return await send(client, tokens.build_minting(payer, mint, owner, amount), [payer])


async def send_tokens(client: Client, source: Keypair, mint: str, owner: str, amount: int) -> str:
    """Move tokens to another owner's associated account, which is opened if it is missing."""
    key = key_of(owner)
    instructions = [tokens.open_account(source, key, mint), tokens.build_transfer(source, key, mint, amount)]
    return await send(client, instructions, [source])


async def read_tokens(client: Client, mint: str, owner: str) -> tuple[int, int]:
    """What an owner has in its associated account, and the token's decimals. Raises Refused."""
    account = base58_of(tokens.find_account(key_of(owner), mint))
    _, decimals = await client.get_token_supply(mint)
    is_there = await client.get_account_owner(account) is not None
    return await client.get_token_balance(account) if is_there else 0, decimals


async def deploy(
    client: Client, manager: Keypair, package: "Package", audit_program: str, metadata: str = ""
) -> str:
    """Create a task from its package; its address. A bounty in a token is paid from the manager's account.

    Raises BadConfig if `token_type` is not a mint.
    """
    task = Keypair()
    if package.task_type == "KPL":
        package, key = await tokens.scale(client, package), Keypair()
        fields = compose_fields(package, audit_program, metadata)
        instructions = tokens.build_create(
            manager, task, key, package.token_type, package.total_bounty, fields
        )
        await send(client, instructions, [manager, task, key])
        return str(task.pubkey())
    pot = make_pot()
    create = CreateTask(
        payer=bytes(manager.pubkey()),
        task=TaskKey(bytes(task.pubkey())),
        pot=bytes(pot),
        total_bounty=package.total_bounty,
        **compose_fields(package, audit_program, metadata),
    )
    instructions = [
        _make_task_account(manager, task, package),
        wrap(create),
        pay(manager, pot, POT_GIFT),
    ]
    await send(client, instructions, [manager, task])
    return str(task.pubkey())


async def update(
    client: Client, manager: Keypair, task: str, package: "Package", audit_program: str, metadata: str = ""
) -> str:
    """Found a task's successor from a package; its address. It takes over the free part of the bounty.

    Raises UnknownTask, NotManager, BadConfig for a package that pays in something else.
    """
    old = await read_task(client, task)
    token = package.token_type if package.task_type == "KPL" else None
    if token != old.mint:
        raise BadConfig(f"token_type: {token or 'KOII'} must be {old.mint or 'KOII'}, as in the old task")
    successor = Keypair()
    if old.mint is not None:
        package, key = await tokens.scale(client, package), Keypair()
        fields = compose_fields(package, audit_program, metadata)
        instructions = tokens.build_update(manager, successor, key, old, fields)
        await send(client, instructions, [manager, successor, key])
        return str(successor.pubkey())
    instruction = UpdateTask(
        payer=bytes(manager.pubkey()),
        task=TaskKey(key_of(task)),
        pot=key_of(old.pot),
        successor=TaskKey(bytes(successor.pubkey())),
        successor_pot=bytes(make_pot()),
        **compose_fields(package, audit_program, metadata),
    )
    instructions = [_make_task_account(manager, successor, package), wrap(instruction)]
    await send(client, instructions, [manager, successor])
    return str(successor.pubkey())


def _make_task_account(manager: Keypair, task: Keypair, package: "Package") -> Instruction:
    money = compute_rent(package.space_bytes) + 1000
    return make_account(manager, task, money, package.space_bytes, TASK_PROGRAM)


async def read_task(client: Client, address: str) -> TaskView:
    """A task as it stands. Raises UnknownTask."""
    task = await client.get_task(address)
    if task is None:
        raise UnknownTask(f"there is no task at {address}")
    return task


async def set_active(client: Client, manager: Keypair, task: str, active: bool) -> str:
    """Let a task take submissions or not, from the next ledger round on."""
    view = await read_task(client, task)
    instruction = SetActive(TaskKey(key_of(task)), bytes(manager.pubkey()), int(active))
    return await send(client, [wrap(instruction, key_of(view.program))], [manager])


async def close_task(client: Client, manager: Keypair, task: str) -> str:
    """End a task; its bounty goes to the manager. Raises OpenRounds."""
    view = await read_task(client, task)
    if view.mint is not None:
        return await send(client, await tokens.build_close(client, manager, view), [manager])
    instruction = CloseTask(TaskKey(key_of(task)), bytes(manager.pubkey()), key_of(view.pot))
    return await send(client, [wrap(instruction)], [manager])


async def close_task_when_free(
    client: Client, manager: Keypair, task: str, wait_for: Callable[[OpenRounds], None]
) -> str:
    """The same, after all open rounds; the task takes no submissions meanwhile.

    `wait_for` is called with each refusal.
    """
    if (await read_task(client, task)).is_active:
        await set_active(client, manager, task, False)
    slot_seconds = (await client.get_ledger()).slot_ms / 1000
    while True:
        try:
            return await close_task(client, manager, task)
        except OpenRounds as error:
            wait_for(error)
        await asyncio.sleep(slot_seconds)


async def fund(client: Client, payer: Keypair, task: str, amount: int) -> str:
    """Add to a task's bounty: native money through a throw-away account, as existing clients do."""
    view = await read_task(client, task)
    if view.mint is not None:
        return await send(client, tokens.build_fund(payer, view, amount), [payer])
    funder = Keypair()
    money = amount + compute_rent(STAKING_SPACE) + 1000
    instructions = [
        make_account(payer, funder, money, STAKING_SPACE, TASK_PROGRAM),
        wrap(FundTask(TaskKey(key_of(task)), bytes(funder.pubkey()), key_of(view.pot), amount)),
    ]
    return await send(client, instructions, [payer, funder])


async def stake(
    client: Client, payer: Keypair, staking: Keypair, task: str, amount: int, endpoint: str = ""
) -> str:
    """Add to a node's stake; the first time the staking account is created."""
    instructions = await build_stake(client, payer, staking, task, amount, endpoint)
    return await send(client, instructions, [payer, staking])


async def build_stake(
    client: Client, payer: Keypair, staking: Keypair, task: str, amount: int, endpoint: str
) -> list[Instruction]:
    """The instructions that add to a node's stake, signed by both keys. Raises UnknownTask."""
    view = await read_task(client, task)
    if view.mint is not None:
        return await tokens.build_stake(client, payer, staking, view, amount, endpoint)
    if await client.get_account_owner(str(staking.pubkey())) is None:
        provide = make_account(payer, staking, amount + STAKING_MONEY, STAKING_SPACE, TASK_PROGRAM)
    else:
        provide = pay(payer, staking.pubkey(), amount)
    key, node = TaskKey(key_of(task)), NodeKey(bytes(staking.pubkey()))
    instruction = Stake(key, node, key_of(view.pot), amount, endpoint.encode())
    return [provide, wrap(instruction)]


async def withdraw(client: Client, payer: Keypair, staking: Keypair, task: str) -> str:
    """Move a node's whole stake to its available balance."""
    program = key_of((await read_task(client, task)).program)
    instruction = Withdraw(TaskKey(key_of(task)), NodeKey(bytes(staking.pubkey())))
    return await send_as_node(client, [wrap(instruction, program)], payer, staking)


async def withdraw_when_free(
    client: Client,
    payer: Keypair,
    staking: Keypair,
    task: str,
    wait_for: Callable[[StakeLocked | PayoutPending], None],
) -> str:
    """The same, after all open rounds and payouts that lock the stake.

    `wait_for` is called with each refusal.
    """
    slot_seconds = (await client.get_ledger()).slot_ms / 1000
    while True:
        try:
            return await withdraw(client, payer, staking, task)
        except (StakeLocked, PayoutPending) as error:
            wait_for(error)
        await asyncio.sleep(slot_seconds)


async def claim(client: Client, payer: Keypair, staking: Keypair, task: str, beneficiary: str) -> str:
    """Pay a node's whole available balance to the beneficiary; tokens to its account of that token.

    Raises BadConfig for a beneficiary that could not pay it out again.
    """
    view = await read_task(client, task)
    await check_beneficiary(client, view, beneficiary)
    return await claim_from(client, payer, staking, view, beneficiary)


async def check_beneficiary(client: Client, task: TaskView, beneficiary: str) -> None:
    """Check that a claim can go to an address: a wallet, or a token account of the task's token.

    Raises BadConfig.
    """
    owner = await client.get_account_owner(beneficiary)
    is_pot = beneficiary == task.pot
    if not is_pot and owner in (None, base58_of(SYSTEM_PROGRAM)):
        return
    what = "the pot of this task" if is_pot else f"an account of the program {owner}"
    if task.mint is None:
        raise BadConfig(f"{beneficiary} is {what}: native money cannot be taken out there; name a wallet")
    mint = await client.get_token_of(beneficiary)
    if mint is not None:
        what = f"{what} with the token {mint}"
    if is_pot or mint != task.mint:
        raise BadConfig(
            f"{beneficiary} is {what}: the task pays in the token {task.mint}; name a wallet, or an account"
            " of that token"
        )


async def claim_from(
    client: Client, payer: Keypair, staking: Keypair, task: TaskView, beneficiary: str
) -> str:
    """The same for a task that was read before; its pot and its token never change."""
    node = NodeKey(bytes(staking.pubkey()))
    if task.mint is not None:
        instructions = await tokens.build_claim(client, payer, node, task, beneficiary)
        return await send_as_node(client, instructions, payer, staking)
    instruction = Claim(TaskKey(key_of(task.address)), node, key_of(task.pot), key_of(beneficiary))
    return await send_as_node(client, [wrap(instruction)], payer, staking)


async def read_stake(client: Client, task: str, node: str) -> tuple[str | None, int, int]:
    """The token of a task (None for native money), a node's stake in it, and its available balance."""
    view = await read_task(client, task)
    stake = next((stake for stake in view.stakes if stake.node == node), None)
    return view.mint, stake.amount if stake else 0, stake.available if stake else 0


async def read_holding(client: Client, mint: str | None, owner: str) -> int:
    """What an owner, or a token account, holds of native money or of a token. Raises Refused."""
    if mint is None:
        return await client.get_balance(owner)
    if await client.get_account_owner(owner) == base58_of(TOKEN_PROGRAM):
        return await client.get_token_balance(owner)
    amount, _ = await read_tokens(client, mint, owner)
    return amount


async def send_as_node(
    client: Client, instructions: Sequence[Instruction], payer: Keypair, staking: Keypair
) -> str:
    """Send instructions that take out a node's money, whichever of its keys can pay the fee.

    The staking account pays if the main key cannot, from the roe that it was created with: so a node always
    gets what it earned. Raises Rejected, Void; InsufficientFundsForFee if neither can pay.
    """
    try:
        return await send(client, instructions, [payer, staking])
    except (AccountNotFound, InsufficientFundsForFee) as error:
        refusal = error
    accounts = [account for instruction in instructions for account in instruction.accounts]
    if any(account.is_signer and account.pubkey == payer.pubkey() for account in accounts):
        raise refusal  # the main key also pays for an account, which the staking key cannot
    try:
        return await send(client, instructions, [staking])
    except (AccountNotFound, InsufficientFundsForFee) as error:
        raise InsufficientFundsForFee(
            f"neither the main key ({refusal}) nor the staking key ({error}); send one of them some money"
        ) from error


async def read_standing(
    client: Client, task: str, main: str, node: str, last: int = ROUNDS_READ
) -> dict[str, object]:
    """A node's money in a task, its reward and slash in each of the last rounds, and the totals of those.

    `last`: how many rounds, counted back from the newest. Pruned rounds come from the ledger's history.
    """
    view = await read_task(client, task)
    stake = next((stake for stake in view.stakes if stake.node == node), None)
    newest = (view.slot - view.starting_slot) // view.round_time
    first = max(newest + 1 - last, 0)
    rounds = await client.get_rounds(task, list(range(first, newest + 1)))
    payments = {
        round_number: {"reward": paid.reward, "slash": paid.slash}
        for round_number, round_view in sorted(rounds.items())
        for paid in round_view.payments
        if paid.node == node
    }
    return {
        "node": node,
        "main_key": main,
        "is_closed": view.is_closed,
        "migrated_to": view.migrated_to,
        "stake": stake.amount if stake else 0,
        "available": stake.available if stake else 0,
        "endpoint": stake.endpoint if stake else "",
        "balance_of_main_key": await client.get_balance(main),
        **await _read_tokens_of(client, view, main),
        "first_round": first,
        "submitted": sum(each.node == node for view in rounds.values() for each in view.submissions),
        "paid": sum(payment["reward"] for payment in payments.values()),
        "slashed": sum(payment["slash"] for payment in payments.values()),
        "rounds": payments,
        **(await _read_sealed(client, view, rounds, node) if view.rules == ROUNDWORK_1.name else {}),
    }


async def _read_sealed(
    client: Client, task: TaskView, rounds: Mapping[int, RoundView], node: str
) -> dict[str, object]:
    """What a node owes now under roundwork-1, what it has at stake, and what became of it in each round."""
    owed = []
    for round_number, shown in sorted(rounds.items()):
        is_open = shown.status == "Open"
        drawn = await client.get_drawn_round(task.address, round_number, node) if is_open else None
        owed += list_owed(*drawn) if drawn is not None else []
    parts = {
        round_number: describe_part(shown, node)
        for round_number, shown in sorted(rounds.items())
        if takes_part(shown, node)
    }
    return {
        "held_back": compute_held_back(task, rounds.values(), node),
        "owed": owed,
        "at_stake": describe_stakes(rounds.values(), node),
        "parts": parts,
    }


async def _read_tokens_of(client: Client, view: TaskView, main: str) -> dict[str, object]:
    """An owner's balance of the token that a task pays in; empty for a task that pays native money."""
    if view.mint is None:
        return {}
    amount, decimals = await read_tokens(client, view.mint, main)
    return {"token": view.mint, "decimals": decimals, "tokens_of_main_key": amount}


def make_pot() -> Pubkey:
    """An address for a task's pot, in the form that existing clients make. It has no private key."""
    while True:
        text = POT_PREFIX + str(Keypair().pubkey())[len(POT_PREFIX) :]
        try:
            return Pubkey.from_string(text)
        except ValueError:  # a few do not decode to 32 bytes
            continue
