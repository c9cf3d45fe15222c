"""The home that `ledger comet init` writes."""

import base64
import json
import shutil
import stat
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.errors import BadConfig, BadGenesis, BadKeypair
from roundwork.ledger.chain import Chain
from roundwork.ledger.comet.home import Home, compute_address, compute_timeout_commit_ms, write_home
from roundwork.ledger.inspect import read_info
from roundwork.ledger.server import found_development
from roundwork.protocol.execute import next_block
from roundwork.protocol.genesis import hash_genesis

from ...protocol.world import keypair_of, make_genesis
from .conftest import require_cometbft

P2P = "tcp://127.0.0.1:0"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_home(tmp_path, make_genesis([keypair_of("n00")]), P2P, Keypair())
    return tmp_path


def test_a_home_reads_back_as_it_was_founded(directory: Path) -> None:
    genesis = make_genesis([keypair_of("n00")])

    home = Home(directory)

    assert genesis == home.genesis.app_state.ledger
    assert hash_genesis(genesis) == home.genesis_hash
    assert [bytes(keypair_of("producer").pubkey())] == list(home.producers.values())
    assert home.rpc_address == "unix://rpc.sock"


def test_a_validator_has_the_address_that_its_key_gives() -> None:
    """A key and its address as CometBFT 0.39.4 wrote them into a home of its own."""
    public = base64.b64decode("cLJZ3u7xA8o4e5jVbvRSekeFqlHpP66BKg9S+GPYitk=")

    assert compute_address(public).hex().upper() == "82E969B6FA919CD10C37C06CC98F145E8C54C9CE"


def test_secrets_are_for_their_owner_alone(directory: Path) -> None:
    secrets = [
        directory / "comet/config/priv_validator_key.json",
        directory / "comet/config/node_key.json",
        directory / "comet/data/priv_validator_state.json",
    ]

    assert [stat.S_IMODE(path.stat().st_mode) for path in secrets] == [0o600] * 3
    assert [stat.S_IMODE(path.parent.stat().st_mode) for path in secrets] == [0o700] * 3
    assert 0o700 == stat.S_IMODE((directory / "comet").stat().st_mode)


def test_a_home_whose_writing_was_cut_short_is_written_again(tmp_path: Path) -> None:
    genesis = make_genesis([keypair_of("n00")])
    unfinished = tmp_path / "comet.new" / "config"
    unfinished.mkdir(parents=True)
    (unfinished / "genesis.json").write_bytes(b'{"chain_id": "rou')

    write_home(tmp_path, genesis, P2P, Keypair())

    assert genesis == Home(tmp_path).genesis.app_state.ledger
    assert [tmp_path / "comet"] == list(tmp_path.iterdir())


def test_a_home_is_never_written_twice(directory: Path) -> None:
    before = (directory / "comet/config/priv_validator_key.json").read_bytes()

    with pytest.raises(BadConfig, match="a validator must not forget"):
        write_home(directory, make_genesis([]), P2P, Keypair())

    assert before == (directory / "comet/config/priv_validator_key.json").read_bytes()


def test_a_directory_without_a_home_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="run `roundwork ledger comet init --directory"):
        Home(tmp_path)


def change(directory: Path, *path: str, to: object) -> None:
    file = directory / "comet/config/genesis.json"
    genesis = json.loads(file.read_text())
    place = genesis
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    file.write_text(json.dumps(genesis))


def test_a_changed_genesis_has_another_name(directory: Path) -> None:
    change(directory, "app_state", "ledger", "fee_per_signature", to=1)

    with pytest.raises(BadGenesis, match=r"genesis\.json: chain_id is roundwork-dev-.*was founded as"):
        Home(directory)


def test_a_validator_without_an_account_for_its_fees_is_refused(directory: Path) -> None:
    change(directory, "app_state", "producers", to={})

    with pytest.raises(BadGenesis, match=r"app_state\.producers names no account for validator"):
        Home(directory)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("app_state", "ledger", "slot_ms"), "fast", r"app_state\.ledger\.slot_ms"),
        (("app_state", "producers"), {"zz": "1"}, "non-hexadecimal"),
        (("app_state",), {}, "missing required field"),
    ],
)
def test_a_malformed_genesis_is_named(
    directory: Path, path: tuple[str, ...], value: object, text: str
) -> None:
    change(directory, *path, to=value)

    with pytest.raises(BadGenesis, match=text):
        Home(directory)


def test_a_broken_configuration_is_named(directory: Path) -> None:
    (directory / "comet/config/config.toml").write_text("[rpc\n")

    with pytest.raises(BadConfig, match=r"config\.toml cannot be read"):
        Home(directory)


def test_a_configuration_under_which_cometbft_would_not_find_its_application_is_refused(
    directory: Path,
) -> None:
    config = directory / "comet/config/config.toml"
    config.write_text(config.read_text().replace("unix://app.sock", "unix://apq.sock"))

    with pytest.raises(BadConfig, match=r'they must be "unix://app\.sock" and "socket"'):
        Home(directory)


@pytest.mark.parametrize("part", ["address", "pub_key", "priv_key"])
def test_a_validator_key_whose_parts_do_not_belong_together_is_refused(directory: Path, part: str) -> None:
    place = directory / "comet/config/priv_validator_key.json"
    write_home(directory / "other", make_genesis([keypair_of("n00")]), P2P, Keypair())
    key, other = [
        json.loads((root / place.relative_to(directory)).read_text())
        for root in (directory, directory / "other")
    ]
    place.write_text(json.dumps({**key, part: other[part]}))

    with pytest.raises(BadKeypair, match="its parts belong to different keys"):
        Home(directory)


def test_the_key_of_another_validator_is_refused(directory: Path) -> None:
    other = directory / "other"
    write_home(other, make_genesis([keypair_of("n00")]), P2P, Keypair())
    shutil.copy(other / "comet/config/priv_validator_key.json", directory / "comet/config")

    with pytest.raises(BadKeypair, match="is not a validator of this chain"):
        Home(directory)


def test_the_configuration_makes_about_a_block_a_slot(directory: Path) -> None:
    config = tomllib.loads((directory / "comet/config/config.toml").read_text())

    assert config["consensus"]["timeout_commit"] == "330ms"
    assert config["consensus"]["create_empty_blocks"] is True
    assert compute_timeout_commit_ms(make_genesis([], slot_ms=100)) == 50


def test_without_cometbft_a_test_is_skipped_with_the_reason_and_fails_where_changes_are_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="CometBFT is not installed"):
        require_cometbft(tmp_path / "cometbft")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CometBFT is not installed"):
        require_cometbft(tmp_path / "cometbft")


def init(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", "ledger", "comet", "init", "--directory", str(directory)]
    return subprocess.run([*command, *options], capture_output=True, text=True)


def test_init_founds_a_ledger_and_its_home_with_the_validator_it_is_given(tmp_path: Path) -> None:
    pair = Keypair()
    (tmp_path / "validator.json").write_text(json.dumps(list(bytes(pair))))

    done = init(
        tmp_path / "ledger", "--slot-ms", "200", "--validator", str(tmp_path / "validator.json"),
        "--p2p", "tcp://127.0.0.1:26656",
    )  # fmt: skip

    home = Home(tmp_path / "ledger")
    key = json.loads((home.path / "config/priv_validator_key.json").read_text())
    config = tomllib.loads((home.path / "config/config.toml").read_text())
    assert f"chain {home.genesis.chain_id}, one validator, in {home.path}\n" == done.stdout
    assert base64.b64encode(bytes(pair)).decode() == key["priv_key"]["value"]
    assert (200, "tcp://127.0.0.1:26656") == (home.genesis.app_state.ledger.slot_ms, config["p2p"]["laddr"])


def test_init_uses_the_genesis_that_is_there_and_refuses_a_second_home_and_blocks(tmp_path: Path) -> None:
    genesis = make_genesis([keypair_of("n00")])
    Chain.create(tmp_path, genesis)
    read_info(tmp_path)  # looking at a ledger does not make it one with blocks
    first, second = init(tmp_path), init(tmp_path)
    used = tmp_path / "used"
    found_development(used)
    with closing(Chain(used)) as chain:
        block = next_block(chain.state, chain.genesis.time_ms, [], bytes(32))
        outcome = chain.execute(block, [])
        chain.persist(block, outcome)
        chain.publish(block, outcome)
    late = init(used)

    assert genesis == Home(tmp_path).genesis.app_state.ledger
    assert [0, 1, 1] == [first.returncode, second.returncode, late.returncode]
    assert "a home is never written twice" in second.stderr
    assert f"{used} holds 1 blocks already" in late.stderr
