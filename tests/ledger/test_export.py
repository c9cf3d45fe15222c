"""What a ledger of one law holds becomes the genesis of the next; a ledger of an older law is not run."""

import json
import sqlite3
import tarfile
from contextlib import closing
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
import zstandard

from roundwork.errors import BadGenesis, BadInput, OldLaw, StoreCorrupt
from roundwork.ledger.chain import Chain
from roundwork.ledger.export import export
from roundwork.ledger.inspect import read_info, verify
from roundwork.protocol.books import compute_supply
from roundwork.protocol.genesis import create_state, encode_genesis
from roundwork.protocol.params import Genesis, base58_of

from ..cli.test_task import run
from ..protocol.hardened import AUDIT_END, PROOF, STAKES, Hardened, HardenedTokens, eighth, name_proof
from ..protocol.token_world import TokenStage
from ..protocol.world import START, World, keypair_of

VECTOR = Path(__file__).parents[1] / "vectors" / "law-1-ledger.tar.zst"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger of law version 1, as its own code left it when it was stopped."""
    raw = zstandard.ZstdDecompressor().stream_reader(BytesIO(VECTOR.read_bytes())).read()
    with tarfile.open(fileobj=BytesIO(raw)) as archive:
        archive.extractall(tmp_path / "old", filter="data")
    return tmp_path / "old"


def balances(genesis: Genesis) -> dict[str, int]:
    return {grant.address: grant.balance for grant in genesis.accounts}


def name(who: str) -> str:
    return str(keypair_of(who).pubkey())


def test_a_ledger_of_the_older_law_is_told_what_to_do_and_left_as_it_is(old: Path) -> None:
    before = {path.name: path.read_bytes() for path in old.iterdir()}

    for use in (Chain, read_info, lambda path: verify(path, lambda done, total: None)):
        with pytest.raises(OldLaw, match=r"law version 1; this roundwork runs version 2\. .*ledger export"):
            use(old)

    assert before == {path.name: path.read_bytes() for path in old.iterdir()}


def test_blocks_of_the_older_law_are_told_too_when_the_genesis_was_edited(old: Path) -> None:
    fields = json.loads((old / "genesis.json").read_text())
    for field in ("treasury", "lattice_blocks"):
        del fields[field]
    (old / "genesis.json").write_text(json.dumps(fields))

    for use in (Chain, read_info, lambda path: verify(path, lambda done, total: None)):
        with pytest.raises(OldLaw, match=r"journal\.db is of a ledger of law version 1"):
            use(old)


def test_the_money_of_the_older_ledger_is_all_in_the_new_genesis(old: Path) -> None:
    exported = export(old)

    supply = compute_supply(create_state(exported.genesis))
    assert 4 * START == supply == sum(exported.sums.values())
    assert ("roundwork-dev-2", 5000) == (exported.genesis.chain, exported.genesis.fee_per_signature)
    assert 7000 == exported.sums["stakes, to the nodes"]
    assert 3000 == exported.sums["to be claimed, to the nodes"]
    assert 50_000 == exported.sums["bounties, to the managers"]
    assert 1234 == balances(exported.genesis)[name("native")]
    assert 10**6 == balances(exported.genesis)[name("nonce")]


def test_every_owner_has_what_it_had(old: Path) -> None:
    nodes = [keypair_of(who).pubkey() for who in ("n00", "n01", "n02")]
    with closing(sqlite3.connect(old / "checkpoint.db")) as database:
        rows = database.execute("SELECT key, record FROM records WHERE name = ?", (b"A",)).fetchall()
    plain = {key: msgspec.msgpack.decode(record)[0] for key, record in rows}

    held = balances(export(old).genesis)

    # Its stake or what it withdrew, and what the money of its token account itself was.
    gained = sorted(held[str(node)] - plain[bytes(node)] for node in nodes)
    assert [5, 3005, 7005] == gained


def test_tokens_are_said_to_stay_behind(old: Path) -> None:
    [line] = export(old).left_behind

    assert f"{4 * START} of the token {name('mint')}: tokens are not carried over" == line


def test_a_ledger_that_did_not_end_well_is_not_exported(old: Path) -> None:
    with closing(sqlite3.connect(old / "checkpoint.db")) as database, database:
        head = msgspec.msgpack.decode(database.execute("SELECT head FROM head").fetchone()[0])
        head[0] -= 1
        database.execute("UPDATE head SET head = ?", (msgspec.msgpack.encode(head),))

    with pytest.raises(BadInput, match="start and stop the ledger once with the version"):
        export(old)


def test_a_checkpoint_that_cannot_be_read_is_named(old: Path) -> None:
    (old / "checkpoint.db").write_bytes(b"nonsense" * 1000)

    with pytest.raises(StoreCorrupt, match="cannot be read as a checkpoint of law version 1"):
        export(old)


def test_a_folder_without_a_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadGenesis, match=r"genesis.json is missing; name the --directory"):
        export(tmp_path)


def test_a_ledger_of_this_law_is_exported_as_well(tmp_path: Path) -> None:
    world = TokenStage(fee_per_signature=5000).paid()
    keep(world, tmp_path)

    exported = export(tmp_path, "another")

    assert world.supply == compute_supply(create_state(exported.genesis))
    assert "another" == exported.genesis.chain
    assert base58_of(world.key("mint")) in exported.left_behind[0]


def keep(world: World, path: Path) -> None:
    """Write a world's blocks into a ledger."""
    Chain.create(path, world.state.genesis)
    with closing(Chain(path)) as chain:
        for block, verified, _ in world.blocks:
            outcome = chain.execute(block, verified)
            chain.persist(block, outcome)
            chain.publish(block, outcome)


@pytest.mark.parametrize("kind", [Hardened, HardenedTokens])
def test_what_is_set_aside_or_held_back_goes_to_whom_it_belongs(tmp_path: Path, kind: type[Hardened]) -> None:
    """A reward of round 0 is held back while in round 1 a bond, and fees for an answer, are set aside."""
    world = kind().submitted().judged().listed({"n02": 900})
    world.submitted({"n01": name_proof(PROOF)}, number=1)
    world.expect("ok", "n03", world.challenge("n03", "n01", 1), slots=0)
    keep(world, tmp_path / "challenged")
    for chunk, data in enumerate((PROOF[:800], PROOF[800:])):
        world.expect("ok", "n04", world.answer("n04", "n01", chunk, data, 1), slots=0)
    world.go(2, eighth(4)).block()
    world.accused("n00", "n01", number=1)
    keep(world, tmp_path / "accused")
    world.go(2, AUDIT_END + 1).block()
    assert 900 == world.held_of("n02", 2)
    keep(world, tmp_path / "held")

    moments = [export(tmp_path / each) for each in ("challenged", "accused", "held")]

    assert {world.supply} == {compute_supply(create_state(each.genesis)) for each in moments}
    if kind is Hardened:
        sums = [each.sums for each in moments]
        assert {sum(STAKES.values())} == {each["stakes, to the nodes"] for each in sums[:2]}
        assert 900 == sums[2]["to be claimed, to the nodes"]


def test_the_command_writes_a_genesis_that_a_ledger_runs_on(old: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "genesis.json"
    target.parent.mkdir()

    shown = run("ledger", "export", "--directory", old, "--output", target, "--json")

    facts = json.loads(shown.stdout)
    assert 4 * START == facts["total"] == sum(facts["sums"].values())
    with closing(Chain(target.parent)) as chain:
        assert encode_genesis(chain.genesis) == target.read_bytes()
    again = run("ledger", "export", "--directory", old, "--output", target)
    assert again.returncode != 0
    assert "genesis.json" in again.stderr
    assert "Traceback" not in again.stderr
