"""Each call of CometBFT has its answer, and what it may never send ends the application; on a real socket."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from roundwork.ledger.comet.schema import TABLE, Request
from roundwork.ledger.inspect import verify
from roundwork.ledger.store.journal import Journal
from roundwork.protocol.execute import Kind, encode_receipt
from roundwork.protocol.params import LAW_VERSION

from ...protocol.world import SLOT_MS, keypair_of
from .driven import Ledger
from .standin import Connection, Disk, Refused, StandIn, StoredBlock

ACCEPT, REJECT = 1, 2


def ask(connection: Connection, kind: str, **fields: Any) -> Any:
    """The answer to a call."""
    request = Request()
    asked = getattr(request, kind)
    asked.SetInParent()
    for name, value in fields.items():
        setattr(asked, name, value)
    return getattr(connection.call(request), kind)


@pytest.fixture
def engine(ledger: Ledger) -> StandIn:
    """An engine whose ledger is in the first slot in which transactions run."""
    engine = ledger.start()
    ledger.make_block()
    ledger.make_block()
    return engine


def now(ledger: Ledger) -> int:
    return ledger.world.state.head.began_ms + SLOT_MS


def spoil(wire: bytes) -> bytes:
    """The same transaction with one bit of its signature changed."""
    return wire[:5] + bytes([wire[5] ^ 1]) + wire[6:]


def use_table(ledger: Ledger) -> bytes:
    """A signed transaction that takes an account from a lookup table, which no ledger of ours has."""
    payer, target = keypair_of("manager"), keypair_of("somebody").pubkey()
    table = AddressLookupTableAccount(Pubkey.from_bytes(bytes(32)), [target])
    asked = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target, lamports=1))
    message = MessageV0.try_compile(payer.pubkey(), [asked], [table], Hash(ledger.world.tick()))
    return bytes(VersionedTransaction(message, [payer]))


def replay_last(ledger: Ledger) -> bytes:
    """A payment that stands in a block already."""
    paid = ledger.pay(1)
    ledger.make_block(paid)
    return paid


BAD: dict[str, tuple[Callable[[Ledger], bytes], str, bool]] = {
    "empty": (lambda ledger: b"", "Undecodable: the transaction ends too early, after 0 bytes", True),
    "undecodable": (lambda ledger: b"nonsense", "Undecodable: the transaction ends too early", True),
    "oversized": (lambda ledger: b"x" * 1233, "Undecodable: the transaction has 1233 bytes; 1232", True),
    "cut": (lambda ledger: ledger.pay(1)[:-1], "Undecodable: the transaction should end at byte", True),
    "wrongly signed": (lambda ledger: spoil(ledger.pay(1)), "SignatureFailure: a signature does not", True),
    "a lookup table": (
        use_table,
        "InvalidAddressLookupTableOwner: 11111111111111111111111111111111 belongs to",
        False,
    ),
    "replayed": (replay_last, "AlreadyProcessed: This transaction has already been processed", False),
    "expired": (
        lambda ledger: ledger.world.wire(["manager"], tick=bytes(32)),
        "BlockhashNotFound: Blockhash not found: 11111111111111111111111111111111",
        False,
    ),
    "penniless": (
        lambda ledger: ledger.world.wire(["nobody"]),
        "AccountNotFound: Attempt to debit an account",
        False,
    ),
}
"""How it is made, what it is told, and whether a proposal with it is refused whatever the state is."""

bad = pytest.mark.parametrize(("make", "text", "is_refused"), BAD.values(), ids=BAD.keys())


# What goes in


def test_what_will_run_may_enter_the_pool(ledger: Ledger, engine: StandIn) -> None:
    paid = ledger.pay(1)

    answers = [engine.check_tx(paid), engine.check_tx(paid), engine.check_tx(paid, is_recheck=True)]

    assert [(0, "")] * 3 == [(answer.code, answer.log) for answer in answers]


@bad
def test_a_bad_transaction_is_named_and_stays_out_of_the_pool(
    ledger: Ledger, engine: StandIn, make: Callable[[Ledger], bytes], text: str, is_refused: bool
) -> None:
    answer = engine.check_tx(make(ledger))

    assert (Kind.VOID, "roundwork") == (answer.code, answer.codespace)
    assert answer.log.startswith(text)


@bad
def test_a_bad_transaction_is_never_proposed(
    ledger: Ledger, engine: StandIn, make: Callable[[Ledger], bytes], text: str, is_refused: bool
) -> None:
    wire, paid = make(ledger), ledger.pay(1)

    ledger.make_block(wire, paid)

    assert (paid,) == ledger.disk.blocks[-1].txs


@bad
def test_a_proposal_is_refused_for_what_no_correct_proposer_sends(
    ledger: Ledger, engine: StandIn, make: Callable[[Ledger], bytes], text: str, is_refused: bool
) -> None:
    wire, paid = make(ledger), ledger.pay(1)
    height = ledger.disk.block_height + 1

    answer = engine.process(StoredBlock(height, now(ledger) * 10**6, (paid, wire)))

    assert answer == (REJECT if is_refused else ACCEPT)
    assert REJECT == engine.process(StoredBlock(height, now(ledger) * 10**6, (paid, paid)))


@bad
def test_a_bad_transaction_in_a_decided_block_is_void_and_changes_nothing(
    ledger: Ledger, engine: StandIn, make: Callable[[Ledger], bytes], text: str, is_refused: bool
) -> None:
    """Two thirds of the validators wanted it, so there it is: one result for each, and on it goes."""
    wire, before, after = make(ledger), ledger.pay(1), ledger.pay(2)

    engine.decide(now(ledger), [before, wire, after])
    ledger.follow()
    ledger.make_block(ledger.pay(3))
    height = ledger.disk.block_height
    ledger.stop()
    ledger.start()
    ledger.stop()
    ledger.check()

    receipts = ledger.outcomes[height - 1].receipts
    assert [Kind.OK, Kind.VOID, Kind.OK] == [receipt.kind for receipt in receipts]
    assert f"{receipts[1].name}: {receipts[1].text}".startswith(text)
    assert verify(ledger.directory, lambda done, total: None)["blocks"] == height


def test_a_result_holds_the_receipt_and_its_kind(ledger: Ledger, engine: StandIn) -> None:
    block = StoredBlock(ledger.disk.block_height + 1, now(ledger) * 10**6, (b"nonsense", ledger.pay(1)))
    ledger.disk.blocks.append(block)

    answer = engine.finalize(block)
    ledger.follow()

    receipts = ledger.outcomes[block.height].receipts
    assert [Kind.VOID, Kind.OK] == [result.code for result in answer.tx_results]
    assert [encode_receipt(receipt) for receipt in receipts] == [result.data for result in answer.tx_results]
    assert ledger.outcomes[block.height].state_hash == answer.app_hash


def test_more_transactions_than_are_remembered_are_checked_all_the_same(ledger: Ledger) -> None:
    ledger.mode = "forgetful"
    engine = ledger.start()
    ledger.make_block()
    ledger.make_block()
    wires = [ledger.pay(amount) for amount in range(1, 21)] + [b"nonsense"]

    answers = engine.check_many(wires)
    ledger.make_block(*wires)
    ledger.stop()
    ledger.check()

    assert [0] * 20 + [Kind.VOID] == [answer.code for answer in answers]
    assert tuple(wires[:20]) == ledger.disk.blocks[-1].txs


def test_evidence_of_misbehaviour_is_part_of_the_block(ledger: Ledger, engine: StandIn) -> None:
    request = Request()
    asked = request.finalize_block
    asked.height, asked.proposer_address = 3, engine.proposer
    asked.time.seconds, asked.time.nanos = divmod(now(ledger) * 10**6, 10**9)
    asked.misbehavior.add(type=1, height=2).validator.power = 10
    engine.consensus.call(request)
    ask(engine.consensus, "commit")

    journal = Journal(ledger.directory / "journal.db")
    entry = journal.read(3)
    journal.close()

    assert entry is not None
    assert [[1, b"", 10, 2, 0]] == msgspec.msgpack.decode(entry.block.evidence)


# The handshake and everything else that is asked


def test_a_chain_without_blocks_says_so(ledger: Ledger) -> None:
    engine = ledger.start()

    info = ask(engine.query, "info")

    assert ("roundwork", LAW_VERSION, 0, b"") == (
        info.data,
        info.app_version,
        info.last_block_height,
        info.last_block_app_hash,
    )


def test_founding_comes_again_and_changes_nothing(ledger: Ledger) -> None:
    engine = ledger.start()

    hashes = {engine.found() for _ in range(3)}
    ledger.make_block()
    ledger.stop()
    ledger.check()

    assert {ledger.world.state.genesis_hash} != hashes
    assert 1 == len(hashes)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("chain_id", "another", "CometBFT founds another; the ledger here is roundwork-"),
        ("initial_height", 7, "CometBFT founds at height 7; the state is at 0"),
        ("app_state", "fee", "the app_state that CometBFT founds .* on is not our genesis"),
    ],
)
def test_another_chain_is_not_founded(ledger: Ledger, name: str, value: Any, text: str) -> None:
    if name == "app_state":
        ledger.disk.genesis["app_state"]["ledger"]["fee_per_signature"] = 1
    else:
        ledger.disk.genesis[name] = value

    with pytest.raises(Refused, match=text):
        ledger.start()

    assert 0 != ledger.stop()


def test_there_are_no_snapshots(ledger: Ledger, engine: StandIn) -> None:
    abort = 2

    assert [] == list(ask(engine.snapshot, "list_snapshots").snapshots)
    assert b"" == ask(engine.snapshot, "load_snapshot_chunk", height=2, format=1, chunk=0).chunk
    assert abort == ask(engine.snapshot, "offer_snapshot", app_hash=bytes(32)).result
    assert abort == ask(engine.snapshot, "apply_snapshot_chunk", index=0, chunk=b"x").result


def test_votes_carry_nothing(ledger: Ledger, engine: StandIn) -> None:
    assert b"" == ask(engine.consensus, "extend_vote", height=3).vote_extension
    assert ACCEPT == ask(engine.consensus, "verify_vote_extension", height=3).status
    assert REJECT == ask(engine.consensus, "verify_vote_extension", vote_extension=b"x").status


def test_the_head_can_be_asked_through_cometbft(ledger: Ledger, engine: StandIn) -> None:
    head = ledger.world.state.head

    answer = ask(engine.query, "query", path="/head")
    unknown = ask(engine.query, "query", path="/store/key", data=b"x")
    empty = ask(engine.query, "query")

    assert (0, head.height) == (answer.code, answer.height)
    assert {
        "height": head.height,
        "slot": head.slot,
        "block_hash": head.block_hash.hex(),
        "state_hash": head.state_hash.hex(),
    } == msgspec.json.decode(answer.value)
    assert (1, "roundwork") == (unknown.code, unknown.codespace)
    assert unknown.log.startswith("the path '/store/key' is unknown; /head is known")
    assert 1 == empty.code


def test_every_method_of_the_table_has_an_answer(ledger: Ledger, engine: StandIn) -> None:
    methods = [line.split()[2] for line in TABLE.split("Response: one of")[0].splitlines()[2:]]
    needs_a_block = {"init_chain", "prepare_proposal", "process_proposal", "finalize_block", "commit"}

    for method in methods:
        if method not in needs_a_block:  # these are called for every block here
            ask(engine.query, method)

    assert 16 == len(methods)
    assert "hello" == ask(engine.query, "echo", message="hello").message


# Calls out of order: CometBFT is told why, and the application ends


def stop_at(ledger: Ledger, call: Callable[[], Any], text: str) -> None:
    with pytest.raises(Refused, match=text):
        call()
    assert 0 != ledger.stop()
    ledger.check()


def test_a_block_is_executed_once_however_often_it_comes(ledger: Ledger, engine: StandIn) -> None:
    block = StoredBlock(3, now(ledger) * 10**6, (ledger.pay(1),))

    first, again = engine.finalize(block), engine.finalize(block)

    assert first == again


def test_another_block_before_the_commit_is_refused(ledger: Ledger, engine: StandIn) -> None:
    engine.finalize(StoredBlock(3, now(ledger) * 10**6, (ledger.pay(1),)))
    other = StoredBlock(3, now(ledger) * 10**6, (ledger.pay(2),))

    stop_at(ledger, lambda: engine.finalize(other), "block 3 came while block 3 waits for its commit")


def test_a_commit_without_a_block_is_refused(ledger: Ledger, engine: StandIn) -> None:
    stop_at(ledger, lambda: ask(engine.consensus, "commit"), "Commit came without a block")


@pytest.mark.parametrize("height", [1, 2, 4])
def test_a_block_out_of_turn_is_refused(ledger: Ledger, engine: StandIn, height: int) -> None:
    block = StoredBlock(height, now(ledger) * 10**6, ())

    stop_at(ledger, lambda: engine.finalize(block), f"CometBFT is at block {height}; the state is at 2")


def test_a_block_before_its_parent_is_refused(ledger: Ledger, engine: StandIn) -> None:
    block = StoredBlock(3, (ledger.world.state.head.time_ms - 1) * 10**6, ())

    stop_at(ledger, lambda: engine.finalize(block), r"block 3 is dated \d+ ms, before its parent's \d+")


def test_an_engine_that_lost_its_blocks_is_stopped_before_it_makes_others(ledger: Ledger) -> None:
    """A validator does not sign twice at a height: without this stop it would hang for good."""
    ledger.mode = "usual"
    ledger.start()
    for _ in range(3):
        ledger.make_block()
    ledger.stop()
    blocks = ledger.disk.blocks
    ledger.disk = Disk(ledger.directory / "comet")

    engine = ledger.start()
    with pytest.raises(ConnectionError):
        engine.make_block(blocks[0].time_ns // 10**6)

    assert 0 != ledger.stop()
    ledger.disk.blocks = blocks
    ledger.check()


# Four connections at a time


def test_checks_are_answered_between_a_block_and_its_commit(ledger: Ledger, engine: StandIn) -> None:
    """CometBFT waits for them there: an application that held a lock would hang for good."""
    block = StoredBlock(3, now(ledger) * 10**6, (ledger.pay(1),))
    ledger.disk.blocks.append(block)
    other = ledger.pay(2)

    engine.finalize(block)
    answers = [engine.check_tx(other).code, ask(engine.query, "info").last_block_height]
    ask(engine.consensus, "commit")
    ledger.stop()
    ledger.check()

    assert answers[0] == 0
    assert answers[1] <= 2


def test_a_connection_that_breaks_ends_the_application(ledger: Ledger, engine: StandIn) -> None:
    assert ledger.process is not None
    engine.snapshot.close()

    assert 0 == ledger.process.wait(20)
