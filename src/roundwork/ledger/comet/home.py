"""A CometBFT home beside our journal: keys, its genesis, its configuration.

DIRECTORY/               our ledger directory: genesis.json, journal, checkpoint, history
DIRECTORY/comet/         CometBFT's home, and the working directory of engine and application
    config/              config.toml, genesis.json, node_key.json, priv_validator_key.json
    data/                CometBFT's own stores and write-ahead log; never copy it between machines
    app.sock rpc.sock    the sockets between CometBFT and the application
"""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3
from solders.keypair import Keypair

from ...errors import BadConfig, BadGenesis, BadKeypair, Malformed
from ...host.files import READABLE_BY_OWNER, make_own_folder, rename_folder, replace_file
from ...protocol.genesis import hash_genesis
from ...protocol.params import Genesis, Key, key_of
from ...protocol.transaction import WIRE_BYTES_MAX
from ...wire import decode_json, decode_toml

APP_SOCKET = "app.sock"
RPC_SOCKET = "rpc.sock"
BLOCK_BYTES_MAX = 2**20
"""Bytes of transactions in one block. We hold to this ourselves: to a ledger that sets no bound (-1) CometBFT
offers all of its pool for a proposal, else only what came first."""

POOL_TRANSACTIONS_MAX = 10_000
CHAIN_ID_BYTES_MAX = 50
CONFIG_BYTES_MAX = 1024 * 1024
RPC_BATCH_MAX = 256
"""Transactions handed to CometBFT in one request; they stay below its 1 MB of body."""


class AppState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `app_state` of CometBFT's genesis: our genesis, and the accounts that earn proposers' fees.

    `producers` maps the address of a validator's key (hex, as CometBFT prints it) to an account.
    """

    ledger: Genesis
    producers: dict[str, str]


class Validator(msgspec.Struct, frozen=True):
    """A validator of CometBFT's genesis, as far as we read it."""

    address: str


class CometGenesis(msgspec.Struct, frozen=True):
    """CometBFT's genesis.json, as far as we read it."""

    chain_id: str
    validators: tuple[Validator, ...]
    app_state: AppState


class Home:
    """A home that `init` has written.

    `rpc_address` is where CometBFT's own RPC is. Raises BadGenesis, BadConfig, BadKeypair.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = get_home(directory)
        place = self.path / "config" / "genesis.json"
        try:
            raw = place.read_bytes()
        except FileNotFoundError:
            raise BadConfig(
                f"{directory} has no CometBFT home ({place} is missing); "
                f"run `roundwork ledger comet init --directory {directory}` first"
            ) from None
        self.genesis = decode_comet_genesis(raw, str(place))
        self.rpc_address = read_rpc_address(self.path / "config" / "config.toml")
        check_validator_key(self.path / "config" / "priv_validator_key.json", self.genesis)
        self.genesis_hash = hash_genesis(self.genesis.app_state.ledger)
        self.producers: dict[bytes, Key] = {
            bytes.fromhex(address): key_of(account)
            for address, account in self.genesis.app_state.producers.items()
        }


def get_home(directory: Path) -> Path:
    """Where the CometBFT home of a ledger directory is."""
    return directory / "comet"


def has_home(directory: Path) -> bool:
    """Whether this ledger runs on CometBFT."""
    return get_home(directory).exists()


def check_no_home(directory: Path) -> None:
    """Raises BadConfig if only CometBFT may add blocks to the ledger in this directory."""
    if has_home(directory):
        raise BadConfig(
            f"the ledger in {directory} runs on CometBFT; start it with "
            f"`roundwork ledger comet run --directory {directory}`"
        )


def write_home(directory: Path, genesis: Genesis, p2p: str, validator: Keypair) -> None:
    """Write the home of a ledger with one validator. Raises BadConfig if there is one already."""
    home = get_home(directory)
    if home.exists():
        raise BadConfig(f"{home} exists; a home is never written twice, because a validator must not forget")
    building = directory / "comet.new"
    for folder in (building, building / "config", building / "data"):
        make_own_folder(folder)
    config = building / "config"
    replace_file(config / "genesis.json", _pretty(compose_genesis(genesis, [validator])))
    replace_file(config / "config.toml", compose_config(genesis, p2p).encode())
    for name, secret in (
        ("config/priv_validator_key.json", _compose_validator_key(validator)),
        ("config/node_key.json", {"priv_key": _compose_private(Keypair())}),
        ("data/priv_validator_state.json", {"height": "0", "round": 0, "step": 0}),
    ):
        replace_file(building / name, _pretty(secret), READABLE_BY_OWNER)
    rename_folder(building, home)


def compose_genesis(genesis: Genesis, validators: list[Keypair]) -> dict[str, object]:
    """CometBFT's genesis of a ledger; every validator's fees go to the ledger's producer."""
    addresses = [compute_address(bytes(key.pubkey())).hex().upper() for key in validators]
    state = AppState(genesis, dict.fromkeys(addresses, genesis.producer))
    begins = datetime.fromtimestamp(genesis.time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {
        "genesis_time": f"{begins}.{genesis.time_ms % 1000:03}Z",
        "chain_id": compute_chain_id(state),
        "initial_height": "1",
        "consensus_params": {
            "block": {"max_bytes": "-1", "max_gas": "-1"},
            "evidence": {
                "max_age_num_blocks": "100000",
                "max_age_duration": str(48 * 3600 * 10**9),
                "max_bytes": str(BLOCK_BYTES_MAX // 16),
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "0"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            {"address": address, "pub_key": _compose_public(key), "power": "10", "name": ""}
            for address, key in zip(addresses, validators, strict=True)
        ],
        "app_hash": "",
        "app_state": msgspec.to_builtins(state),
    }


def decode_comet_genesis(raw: bytes, source: str) -> CometGenesis:
    """CometBFT's genesis.json, checked. Raises BadGenesis, which names `source` and the field."""
    try:
        genesis = decode_json(raw, CometGenesis)
        for address, account in genesis.app_state.producers.items():
            bytes.fromhex(address)
            key_of(account)
    except (Malformed, ValueError) as error:
        raise BadGenesis(f"{source}: {error}") from None
    for validator in genesis.validators:
        if validator.address not in genesis.app_state.producers:
            raise BadGenesis(
                f"{source}: app_state.producers names no account for validator {validator.address}"
            )
    if (expected := compute_chain_id(genesis.app_state)) != genesis.chain_id:
        raise BadGenesis(f"{source}: chain_id is {genesis.chain_id}; app_state was founded as {expected}")
    return genesis


def read_rpc_address(place: Path) -> str:
    """The address of CometBFT's own RPC, as config.toml has it: unix://… or tcp://…

    Raises BadConfig, also if CometBFT would look for its application at another place and find none.
    """
    try:
        settings = decode_toml(place.read_bytes(), CONFIG_BYTES_MAX)
        address = settings["rpc"]["laddr"]
        meeting = settings["proxy_app"], settings["abci"]
    except (Malformed, KeyError, TypeError, OSError) as error:
        raise BadConfig(f"{place} cannot be read ({error!r}); restore it") from None
    if meeting != (f"unix://{APP_SOCKET}", "socket"):
        raise BadConfig(
            f'{place}: proxy_app and abci are {meeting}; they must be "unix://{APP_SOCKET}" and "socket"'
        )
    return str(address)


def check_validator_key(place: Path, genesis: CometGenesis) -> None:
    """Raises BadKeypair if the validator's key is damaged, or not the key of a validator of this chain.

    CometBFT would start with another key, and wait for ever for a block that no validator makes.
    """
    try:
        content = decode_json(place.read_bytes(), dict[str, Any])
        pair = Keypair.from_bytes(base64.b64decode(content["priv_key"]["value"], validate=True))
    except FileNotFoundError:
        raise BadKeypair(f"{place} is missing; put the validator's key back") from None
    except (Malformed, ValueError, KeyError, TypeError) as error:
        raise BadKeypair(f"{place} is damaged ({error!r}); put the validator's key back") from None
    if content != _compose_validator_key(pair):
        raise BadKeypair(f"{place} is damaged: its parts belong to different keys; put it back")
    if content["address"] not in [validator.address for validator in genesis.validators]:
        raise BadKeypair(
            f"{place} is the key of {content['address']}, which is not a validator of this chain"
        )


def compute_chain_id(state: AppState) -> str:
    """The name by which validators find each other. Validators with different app_states never connect."""
    digest = blake3(b"roundwork/comet/1" + hash_genesis(state.ledger) + _encode_producers(state)).digest()
    return f"{state.ledger.chain[: CHAIN_ID_BYTES_MAX - 17]}-{digest[:8].hex()}"


def compute_address(public_key: bytes) -> bytes:
    """CometBFT's 20-byte address of an Ed25519 key."""
    return hashlib.sha256(public_key).digest()[:20]


def compose_config(genesis: Genesis, p2p: str) -> str:
    """The text of config.toml. What it leaves out has CometBFT's own default."""
    return f"""\
# Written by `roundwork ledger comet init` for CometBFT 0.39 (and 0.38).
# What is not here has CometBFT's own default. Paths of sockets are relative to this home.
proxy_app = "unix://{APP_SOCKET}"
abci = "socket"
moniker = "roundwork"
log_level = "error"

[rpc]
laddr = "unix://{RPC_SOCKET}"
max_request_batch_size = {RPC_BATCH_MAX}

[p2p]
laddr = "{p2p}"
flush_throttle_timeout = "10ms"

[mempool]
size = {POOL_TRANSACTIONS_MAX}
cache_size = {2 * POOL_TRANSACTIONS_MAX}
max_tx_bytes = {WIRE_BYTES_MAX}

[consensus]
# A slot is {genesis.slot_ms} ms: a block takes this, the two rounds of votes and its execution.
timeout_commit = "{compute_timeout_commit_ms(genesis)}ms"
# Blocks are made all the time: slots must pass for what falls due.
create_empty_blocks = true
create_empty_blocks_interval = "0s"
peer_gossip_sleep_duration = "10ms"

[storage]
# Receipts are in our own journal and history.
discard_abci_responses = true

[tx_index]
indexer = "null"
"""


def compute_timeout_commit_ms(genesis: Genesis) -> int:
    """CometBFT's pause after a block, so that there is about one block in each slot."""
    return max(genesis.slot_ms - 70, genesis.slot_ms // 2)


def _encode_producers(state: AppState) -> bytes:
    return msgspec.msgpack.encode(sorted(state.producers.items()))


def _compose_public(key: Keypair) -> dict[str, str]:
    return {"type": "tendermint/PubKeyEd25519", "value": _base64(bytes(key.pubkey()))}


def _compose_private(key: Keypair) -> dict[str, str]:
    return {"type": "tendermint/PrivKeyEd25519", "value": _base64(bytes(key))}


def _compose_validator_key(key: Keypair) -> dict[str, object]:
    address = compute_address(bytes(key.pubkey())).hex().upper()
    return {"address": address, "pub_key": _compose_public(key), "priv_key": _compose_private(key)}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
