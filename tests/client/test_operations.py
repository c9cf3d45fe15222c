"""Operations against a real ledger process: what is asked for happens, and happens once."""

import asyncio
import base64
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import pytest
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from roundwork.client import operations
from roundwork.client.messages import build_uploads, wrap
from roundwork.client.operations import Signed, deliver, make_pot, send, sign
from roundwork.client.rpc import Client, Unreachable
from roundwork.errors import (
    BadTask,
    BalanceTooLow,
    BlockhashNotFound,
    InsufficientFundsForFee,
    NotManager,
    NotStaked,
    Rejected,
    UnknownTask,
)
from roundwork.package.folder import Package, load_package
from roundwork.package.terms import fit_long_windows
from roundwork.protocol.params import KOII, TASK_PROGRAM, NodeKey, TaskKey, base58_of, key_of
from roundwork.protocol.tasks import instructions
from roundwork.protocol.tasks.instructions import CHUNK_BYTES

from ..ledger.process import NEWEST, RunningLedger, running

T = TypeVar("T")
Question = Callable[[Client], Awaitable[T]]
HELLO = Path(__file__).parents[2] / "examples" / "hello"
FEE = 5000


class Use(Protocol):
    """Asks the ledger one question."""

    def __call__(self, question: Question[T]) -> T: ...


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("operations") / "ledger") as ledger:
        yield ledger


@pytest.fixture
def ask(ledger: RunningLedger) -> Use:
    def ask_it(question: Question[T]) -> T:
        return use(ledger.url, question)

    return ask_it


def use(url: str, question: Question[T]) -> T:
    async def run() -> T:
        async with Client(url) as client, asyncio.timeout(60):
            return await question(client)

    return asyncio.run(run())


@pytest.fixture
def rich(ledger: RunningLedger) -> Keypair:
    pair = Keypair()
    ledger.fund(pair, 10_000 * KOII)
    return pair


@pytest.fixture(scope="module")
def package() -> Package:
    hello = load_package(HELLO)
    return msgspec.structs.replace(hello, total_bounty=100 * KOII, description="ä" * 40)


@pytest.fixture
def task(ask: Use, rich: Keypair, package: Package) -> str:
    return ask(lambda client: operations.deploy(client, rich, package, "bafkreipackage"))


def test_a_live_task_moves_to_roundwork_1_with_the_terms_that_its_folder_names(
    ledger: RunningLedger, ask: Use, rich: Keypair, package: Package, task: str
) -> None:
    strict = msgspec.structs.replace(
        fit_long_windows(package, None), rules="roundwork-1", slash_percent=50, is_split_by_stake=True
    )
    short = msgspec.structs.replace(strict, audit_window=40)
    ask(lambda client: operations.set_active(client, rich, task, True))

    with pytest.raises(BadTask, match=r"audit_window is 40 slots; roundwork-1 needs at least 48"):
        ask(lambda client: operations.update(client, rich, task, short, "bafkreinext"))
    successor = ask(lambda client: operations.update(client, rich, task, strict, "bafkreinext"))

    old, new = (ask(partial(operations.read_task, address=address)) for address in (task, successor))
    assert ("koii-1", "roundwork-1") == (old.rules, new.rules)
    assert (successor, task, 0, package.total_bounty) == (
        old.migrated_to,
        new.migrated_from,
        old.bounty,
        new.bounty,
    )
    assert "rules:roundwork-1 slash:50 split:stake" == read_locals(ledger, successor)


def read_locals(ledger: RunningLedger, task: str) -> str:
    """The task_locals of a task, as task clients read them."""
    [text, _] = ledger.call("getTaskAccountInfo", task, {**NEWEST, "encoding": "base64"})["value"]["data"]
    fields: dict[str, str] = json.loads(base64.b64decode(text))
    return fields["task_vars"]


def give(source: Keypair, target: Pubkey, amount: int) -> list[Instruction]:
    return [transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=target, lamports=amount))]


def test_money_is_sent_and_the_fee_is_paid(ask: Use, rich: Keypair) -> None:
    target = str(Keypair().pubkey())
    before = ask(lambda client: client.get_balance(str(rich.pubkey())))

    ask(lambda client: operations.transfer_money(client, rich, target, 7))

    assert 7 == ask(lambda client: client.get_balance(target))
    assert before - 7 - FEE == ask(lambda client: client.get_balance(str(rich.pubkey())))


def test_equal_transfers_are_two_transfers(ask: Use, rich: Keypair) -> None:
    target = str(Keypair().pubkey())

    async def twice(client: Client) -> None:
        await asyncio.gather(*[operations.transfer_money(client, rich, target, 7) for _ in range(2)])

    ask(twice)
    assert 14 == ask(lambda client: client.get_balance(target))


def test_one_transaction_delivered_often_runs_once(ask: Use, rich: Keypair) -> None:
    target = Keypair().pubkey()

    async def often(client: Client) -> None:
        signed = await sign(client, give(rich, target, 7), [rich])
        await asyncio.gather(*[deliver(client, signed) for _ in range(3)])
        assert signed.signature == await deliver(client, signed)

    ask(often)
    assert 7 == ask(lambda client: client.get_balance(str(target)))


def test_what_can_never_run_is_reported_as_such(ask: Use, rich: Keypair) -> None:
    no_tick = Hash(bytes(32))
    message = Message.new_with_blockhash(give(rich, Keypair().pubkey(), 7), rich.pubkey(), no_tick)
    signed = Signed(bytes(Transaction([rich], message, no_tick)), last_valid=0)

    with pytest.raises(BlockhashNotFound):
        ask(lambda client: deliver(client, signed))


def test_a_task_is_deployed_with_what_its_package_says(ask: Use, task: str, rich: Keypair) -> None:
    view = ask(lambda client: operations.read_task(client, task))

    assert ("hello", "ä" * 32, str(rich.pubkey())) == (view.name, view.description, view.manager)
    assert ("bafkreipackage", "koii-1", False) == (view.audit_program, view.rules, view.is_active)
    assert (60, 24, 24) == (view.round_time, view.submission_window, view.audit_window)
    assert (100 * KOII, 10 * KOII, KOII) == (view.bounty, view.bounty_per_round, view.minimum_stake)
    assert view.pot.startswith("stakepotaccount")
    assert base58_of(TASK_PROGRAM) == ask(lambda client: client.get_account_owner(task))
    assert 10**6 == ask(lambda client: client.get_balance(view.pot))


def test_a_task_that_is_not_there_is_unknown(ask: Use) -> None:
    nowhere = str(Keypair().pubkey())

    with pytest.raises(UnknownTask, match=nowhere):
        ask(lambda client: operations.read_task(client, nowhere))
    with pytest.raises(UnknownTask, match=nowhere):
        ask(lambda client: operations.fund(client, Keypair(), nowhere, 1))


def test_a_task_is_opened_and_shut_by_its_manager_alone(ask: Use, task: str, rich: Keypair) -> None:
    for is_active in (True, False):
        ask(partial(operations.set_active, manager=rich, task=task, active=is_active))
        assert is_active is ask(lambda client: operations.read_task(client, task)).is_active

    stranger = Keypair()
    ask(lambda client: operations.airdrop(client, str(stranger.pubkey()), KOII))
    with pytest.raises(NotManager):
        ask(lambda client: operations.set_active(client, stranger, task, True))


def test_funding_adds_exactly_the_amount_and_returns_the_rest(ask: Use, task: str, rich: Keypair) -> None:
    before = ask(lambda client: client.get_balance(str(rich.pubkey())))

    ask(lambda client: operations.fund(client, rich, task, 3 * KOII))

    assert 103 * KOII == ask(lambda client: operations.read_task(client, task)).bounty
    after = ask(lambda client: client.get_balance(str(rich.pubkey())))
    assert 3 * KOII + 2 * FEE == before - after


def test_closing_pays_the_bounty_back(ask: Use, task: str, rich: Keypair) -> None:
    before = ask(lambda client: client.get_balance(str(rich.pubkey())))

    ask(lambda client: operations.close_task(client, rich, task))

    assert ask(lambda client: operations.read_task(client, task)).is_closed
    assert 100 * KOII - FEE == ask(lambda client: client.get_balance(str(rich.pubkey()))) - before


def test_a_stake_grows_is_withdrawn_and_claimed(ask: Use, task: str, rich: Keypair) -> None:
    staking, beneficiary = Keypair(), str(Keypair().pubkey())

    async def live(client: Client) -> None:
        await operations.stake(client, rich, staking, task, 2 * KOII, "http://127.0.0.1:1")
        await operations.stake(client, rich, staking, task, KOII)
        [mine] = (await operations.read_task(client, task)).stakes
        assert (str(staking.pubkey()), 3 * KOII, 0) == (mine.node, mine.amount, mine.available)
        assert mine.endpoint == "http://127.0.0.1:1"

        await operations.withdraw(client, rich, staking, task)
        await operations.claim(client, rich, staking, task, beneficiary)
        assert await client.get_balance(beneficiary) == 3 * KOII
        with pytest.raises(NotStaked):
            await operations.withdraw(client, rich, staking, task)

    ask(live)


def test_money_gets_out_although_the_main_key_has_none_for_the_fee(
    ask: Use, task: str, rich: Keypair
) -> None:
    empty, staking, beneficiary = Keypair(), Keypair(), str(Keypair().pubkey())

    async def live(client: Client) -> None:
        await operations.stake(client, rich, staking, task, 2 * KOII)
        before = await client.get_balance(str(staking.pubkey()))

        await operations.withdraw(client, empty, staking, task)
        await operations.claim(client, empty, staking, task, beneficiary)

        assert await client.get_balance(beneficiary) == 2 * KOII
        assert before - 2 * FEE == await client.get_balance(str(staking.pubkey()))

    ask(live)


def test_if_neither_key_can_pay_the_fee_both_are_named(ask: Use, task: str) -> None:
    main, staking = Keypair(), Keypair()

    with pytest.raises(InsufficientFundsForFee) as refused:
        ask(lambda client: operations.claim(client, main, staking, task, str(main.pubkey())))

    for each in (main, staking):
        assert f"{each.pubkey()} pays the fee and does not exist" in str(refused.value)


def test_a_standing_tells_the_money_of_a_node(ask: Use, task: str, rich: Keypair) -> None:
    staking = Keypair()

    async def live(client: Client) -> dict[str, object]:
        await operations.stake(client, rich, staking, task, 2 * KOII, "http://127.0.0.1:1")
        return await operations.read_standing(client, task, str(rich.pubkey()), str(staking.pubkey()))

    standing = ask(live)
    assert (2 * KOII, 0, {}) == (standing["stake"], standing["available"], standing["rounds"])


def test_who_has_too_little_is_told_how_much_is_there(ask: Use, task: str) -> None:
    poor, staking = Keypair(), Keypair()

    async def try_it(client: Client) -> None:
        await operations.airdrop(client, str(poor.pubkey()), KOII)
        await operations.stake(client, poor, staking, task, 2 * KOII)

    with pytest.raises(Rejected, match=r"\d+ roe"):
        ask(try_it)


@pytest.mark.parametrize("priority_fee", [0, 1, 999, 123_456_789])
def test_a_priority_fee_is_added_to_the_fee_to_the_roe(ledger: RunningLedger, priority_fee: int) -> None:
    payer, target = Keypair(), str(Pubkey.new_unique())

    async def pay_twice() -> int:
        async with Client(ledger.url, priority_fee=priority_fee) as client:
            await operations.airdrop(client, str(payer.pubkey()), KOII)
            for _ in range(2):  # equal requests are two transactions
                await operations.transfer_money(client, payer, target, 5)
            assert 10 == await client.get_balance(target)
            return await client.get_balance(str(payer.pubkey()))

    assert KOII - 2 * (5 + 5000 + priority_fee) == asyncio.run(pay_twice())


def test_what_a_transaction_was_rejected_with_is_read_from_its_meta(ledger: RunningLedger, ask: Use) -> None:
    payer = Keypair()
    ask(lambda client: operations.airdrop(client, str(payer.pubkey()), KOII))
    much = TransferParams(from_pubkey=payer.pubkey(), to_pubkey=Pubkey.new_unique(), lamports=2 * KOII)
    signature = ledger.send(ledger.sign(payer, transfer(much)), skipPreflight=True)

    with pytest.raises(BalanceTooLow, match=f"{2 * KOII}"):
        ask(lambda client: client.confirm(signature, 2**63))

    meta = ledger.call("getTransaction", signature, NEWEST)["meta"]
    assert ("BalanceTooLow", 0) == (meta["roundwork"]["name"], meta["roundwork"]["instruction"])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_list_is_uploaded_in_chunks_of_which_a_short_one_is_the_last(size: int) -> None:
    text = bytes(at % 251 for at in range(size))

    uploads: list[Any] = list(build_uploads(TaskKey(bytes(32)), NodeKey(bytes(32)), 4, text))

    assert text == b"".join(each.data for each in uploads)
    assert list(range(len(uploads))) == [each.chunk for each in uploads]
    assert uploads[-1].size < CHUNK_BYTES
    assert all(each.size == CHUNK_BYTES for each in uploads[:-1])
    assert all(len(wrap(each).data) < 600 for each in uploads)


def test_a_pot_is_an_address_in_the_form_of_existing_clients() -> None:
    pots = {str(make_pot()) for _ in range(20)}

    assert 20 == len(pots)
    for pot in pots:
        assert pot.startswith("stakepotaccount")
        assert 32 == len(key_of(pot))


def test_an_outage_is_waited_out_and_the_transaction_runs_once(tmp_path: Path) -> None:
    directory, pair, target = tmp_path / "ledger", Keypair(), Keypair().pubkey()
    ledger = RunningLedger(directory)
    ledger.fund(pair)
    first = use(ledger.url, lambda client: sign(client, give(pair, target, 7), [pair]))
    use(ledger.url, lambda client: deliver(client, first))
    ledger.kill()
    ledger.stop()

    async def send_through_the_outage(client: Client) -> None:
        sending = asyncio.create_task(send(client, give(pair, target, 30), [pair]))
        again = asyncio.create_task(deliver(client, first))  # its answer was lost, as far as it knows
        await asyncio.sleep(0.5)
        assert not sending.done()
        later = await asyncio.to_thread(RunningLedger, directory, ledger.port)
        try:
            await asyncio.gather(sending, again)
            assert await client.get_balance(str(target)) == 37
        finally:
            later.stop()

    use(ledger.url, send_through_the_outage)


def test_a_ledger_that_answers_nobody_now_is_one_to_ask_again_later(tmp_path: Path) -> None:
    with (
        running(tmp_path, None, "--limit", "connections=1") as ledger,
        socket.create_connection(("127.0.0.1", ledger.port)),  # takes the only place
        pytest.raises(Unreachable, match="does not answer: 503 1 connections are open"),
    ):
        use(ledger.url, lambda client: client.get_slot())


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 does not answer"):
        use("http://127.0.0.1:1", lambda client: client.get_slot())


def test_instructions_are_wrapped_as_the_vectors_have_them() -> None:
    ask = instructions.Withdraw(TaskKey(bytes([1]) * 32), NodeKey(bytes([2]) * 32))

    wrapped = wrap(ask)

    assert b"\x0a" == wrapped.data
    assert [False, True, False] == [meta.is_signer for meta in wrapped.accounts]
