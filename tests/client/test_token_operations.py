"""Tasks that pay in a token, by operations against a real ledger process."""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.keypair import Keypair

from roundwork.client import operations
from roundwork.client import token_operations as tokens
from roundwork.client.rpc import Client
from roundwork.errors import AccountNotFound, BadConfig, NotStaked, TokenNotEnough
from roundwork.package.folder import Package, load_package
from roundwork.protocol.addresses import find_authority
from roundwork.protocol.params import KOII, KPL_PROGRAM, base58_of, key_of
from roundwork.views import TaskView

from ..ledger.process import NEWEST, RunningLedger, running

HELLO = Path(__file__).parents[2] / "examples" / "hello"
UNIT = 10**6
"""One token; the mint of these tests has 6 decimals."""


class Bank:
    """Somebody rich on a running ledger, the mint of a token, and a task that pays in it."""

    def __init__(self, client: Client, rich: Keypair, package: Package) -> None:
        self.client = client
        self.rich = rich
        self.package = package
        self.mint = ""
        self.task = ""

    @property
    def owner(self) -> str:
        return str(self.rich.pubkey())

    async def open(self) -> "Bank":
        self.mint = await operations.create_token(self.client, self.rich, 6)
        await self.give(self.owner, 1000)
        self.package = msgspec.structs.replace(self.package, task_type="KPL", token_type=self.mint)
        self.task = await operations.deploy(self.client, self.rich, self.package, "bafkreipackage")
        return self

    async def give(self, owner: str, whole: int) -> None:
        await operations.mint_tokens(self.client, self.rich, self.mint, owner, whole * UNIT)

    async def read(self) -> TaskView:
        return await operations.read_task(self.client, self.task)

    async def count(self, owner: str) -> int:
        amount, _ = await operations.read_tokens(self.client, self.mint, owner)
        return amount

    async def count_pot(self) -> int:
        return await self.client.get_token_balance((await self.read()).pot)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("tokens") / "ledger") as ledger:
        yield ledger


@pytest.fixture
def live(ledger: RunningLedger) -> Callable[[Callable[[Bank], Awaitable[Any]]], Any]:
    """Run a test in a bank; everything in one loop."""
    rich = Keypair()
    ledger.fund(rich, 1000 * KOII)
    package = msgspec.structs.replace(load_package(HELLO), total_bounty=100 * KOII)

    async def run(question: Callable[[Bank], Awaitable[Any]]) -> Any:
        async with Client(ledger.url) as client, asyncio.timeout(60):
            return await question(await Bank(client, rich, package).open())

    return lambda question: asyncio.run(run(question))


Live = Callable[[Callable[[Bank], Awaitable[Any]]], Any]


def test_a_task_is_deployed_in_its_token_and_shown_so(live: Live) -> None:
    async def question(bank: Bank) -> None:
        view = await bank.read()

        assert (bank.mint, base58_of(KPL_PROGRAM)) == (view.mint, view.program)
        amounts = view.bounty, view.bounty_per_round, view.minimum_stake
        assert (100 * UNIT, 10 * UNIT, UNIT) == amounts
        assert 100 * UNIT == await bank.count_pot()
        assert 900 * UNIT == await bank.count(bank.owner)

    live(question)


def test_clients_find_a_task_in_a_token_its_json_and_its_pot(live: Live) -> None:
    async def question(bank: Bank) -> None:
        call, view = bank.client.call, await bank.read()

        listed = await call("getProgramAccounts", base58_of(KPL_PROGRAM), {**NEWEST, "encoding": "base64"})
        shown = (await call("getTaskAccountInfo", bank.task, {**NEWEST, "stake": True}))["value"]
        authority = base58_of(find_authority(key_of(view.pot)))
        config = {**NEWEST, "encoding": "jsonParsed"}
        held = await call("getTokenAccountsByOwner", authority, {"mint": bank.mint}, config)

        text = base64.b64decode(shown["data"][0])
        assert text.startswith(b'{"is_allowlisted":true,"is_active":false,')
        facts = json.loads(text)
        assert (bank.mint, 100 * UNIT) == (facts["token_type"], facts["total_bounty_amount"])
        assert base58_of(KPL_PROGRAM) == shown["owner"]
        assert bank.task in [row["pubkey"] for row in listed]
        assert [view.pot] == [row["pubkey"] for row in held["value"]]

    live(question)


def test_a_stake_in_tokens_grows_is_withdrawn_and_claimed(live: Live) -> None:
    async def question(bank: Bank) -> None:
        client, staking, somebody = bank.client, Keypair(), str(Keypair().pubkey())
        await operations.stake(client, bank.rich, staking, bank.task, 2 * UNIT, "http://127.0.0.1:1")
        await operations.stake(client, bank.rich, staking, bank.task, UNIT)
        [mine] = (await bank.read()).stakes
        assert (str(staking.pubkey()), 3 * UNIT) == (mine.node, mine.amount)
        assert base58_of(KPL_PROGRAM) == await client.get_account_owner(mine.node)
        assert (897 * UNIT, 103 * UNIT) == (await bank.count(bank.owner), await bank.count_pot())
        standing = await operations.read_standing(client, bank.task, bank.owner, mine.node)
        assert (bank.mint, 3 * UNIT) == (standing["token"], standing["stake"])
        assert 897 * UNIT == standing["tokens_of_main_key"]

        await operations.withdraw(client, bank.rich, staking, bank.task)
        await operations.claim(client, bank.rich, staking, bank.task, somebody)

        assert (3 * UNIT, 100 * UNIT) == (await bank.count(somebody), await bank.count_pot())
        with pytest.raises(NotStaked):
            await operations.withdraw(client, bank.rich, staking, bank.task)

    live(question)


def test_a_claim_goes_to_a_token_account_that_is_named_and_the_staking_key_can_pay_its_fee(
    live: Live,
) -> None:
    async def question(bank: Bank) -> None:
        client, poor, staking = bank.client, Keypair(), Keypair()
        account = base58_of(tokens.find_account(key_of(bank.owner), bank.mint))
        await operations.stake(client, bank.rich, staking, bank.task, 2 * UNIT)

        await operations.withdraw(client, poor, staking, bank.task)
        with pytest.raises(AccountNotFound, match=str(poor.pubkey())):  # somebody's account has to be opened
            await operations.claim(client, poor, staking, bank.task, str(Keypair().pubkey()))
        await operations.claim(client, poor, staking, bank.task, account)

        assert 900 * UNIT == await bank.count(bank.owner)

    live(question)


def test_who_has_too_few_tokens_is_told_how_many_are_there(live: Live) -> None:
    async def question(bank: Bank) -> None:
        with pytest.raises(TokenNotEnough, match=f"{900 * UNIT} tokens are there"):
            await operations.stake(bank.client, bank.rich, Keypair(), bank.task, 901 * UNIT)
        poor = Keypair()
        with pytest.raises(TokenNotEnough, match=f"{poor.pubkey()} has none of the token {bank.mint}; 5 are"):
            await operations.stake(bank.client, poor, Keypair(), bank.task, 5)

    live(question)


def test_a_task_is_funded_and_closed_and_the_manager_has_its_tokens(live: Live) -> None:
    async def question(bank: Bank) -> None:
        await operations.set_active(bank.client, bank.rich, bank.task, True)
        await operations.fund(bank.client, bank.rich, bank.task, 5 * UNIT)
        assert (105 * UNIT, 105 * UNIT) == ((await bank.read()).bounty, await bank.count_pot())

        await operations.close_task(bank.client, bank.rich, bank.task)

        assert (await bank.read()).is_closed
        assert (1000 * UNIT, 0) == (await bank.count(bank.owner), await bank.count_pot())

    live(question)


def test_a_successor_pays_in_the_same_token_from_a_pot_of_its_own(live: Live) -> None:
    async def question(bank: Bank) -> None:
        old = await bank.read()
        in_koii = msgspec.structs.replace(bank.package, task_type="KOII", token_type="")
        with pytest.raises(BadConfig, match=f"token_type: KOII must be {bank.mint}"):
            await operations.update(bank.client, bank.rich, bank.task, in_koii, "bafkreinext")

        bank.task = await operations.update(bank.client, bank.rich, bank.task, bank.package, "bafkreinext")

        new = await bank.read()
        assert (old.address, 100 * UNIT, bank.mint) == (new.migrated_from, new.bounty, new.mint)
        assert (100 * UNIT, 0) == (await bank.count_pot(), await bank.client.get_token_balance(old.pot))
        await operations.close_task(bank.client, bank.rich, bank.task)
        assert 1000 * UNIT == await bank.count(bank.owner)

    live(question)


def test_amounts_that_a_token_cannot_express_and_mints_that_are_none_are_named(live: Live) -> None:
    async def question(bank: Bank) -> None:
        fine = msgspec.structs.replace(bank.package, minimum_stake=KOII + 1)
        with pytest.raises(BadConfig, match=r"minimum_stake_amount: .* decimals than the token, which has 6"):
            await operations.deploy(bank.client, bank.rich, fine, "")
        none = msgspec.structs.replace(bank.package, token_type=bank.owner)
        with pytest.raises(BadConfig, match=f"token_type: {bank.owner} is not the mint"):
            await operations.deploy(bank.client, bank.rich, none, "")

    live(question)


def test_a_claim_goes_only_where_it_can_be_taken_out_again(live: Callable[..., Any]) -> None:
    async def question(bank: Bank) -> None:
        other, wallet = await operations.create_token(bank.client, bank.rich, 6), Keypair()
        await operations.mint_tokens(bank.client, bank.rich, other, bank.owner, UNIT)
        wrong = base58_of(tokens.find_account(key_of(bank.owner), other))
        right = base58_of(tokens.find_account(key_of(bank.owner), bank.mint))
        task = await bank.read()
        native = msgspec.structs.replace(task, mint=None)

        for place, reason in (
            (wrong, f"with the token {other}: the task pays in the token {bank.mint}"),
            (task.pot, "the pot of this task with the token"),
            (bank.mint, "an account of the program"),
            (bank.task, "an account of the program"),
        ):
            with pytest.raises(BadConfig, match=re.escape(reason)):
                await operations.check_beneficiary(bank.client, task, place)
            with pytest.raises(BadConfig, match="native money cannot be taken out there; name a wallet"):
                await operations.check_beneficiary(bank.client, native, place)
        for place in (right, bank.owner, str(wallet.pubkey())):
            await operations.check_beneficiary(bank.client, task, place)
        with pytest.raises(BadConfig, match="the pot of this task"):
            await operations.claim(bank.client, bank.rich, bank.rich, bank.task, task.pot)

    live(question)
