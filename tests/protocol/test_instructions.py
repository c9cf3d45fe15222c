"""Instructions as existing clients send them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from roundwork.protocol.addresses import compute_pot_seed, find_authority
from roundwork.protocol.layout import FIXED, Call, Codec, Layout
from roundwork.protocol.params import KPL_PROGRAM, TASK_PROGRAM, Key, base58_of, key_of
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.layouts import TASK_PROGRAMS, TASKS, TOKEN_TASKS, TaskProgram
from roundwork.protocol.transaction import decode_transaction, is_signed

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "instructions.json").read_text())
LAYOUTS = VECTORS["native_data_layouts"]
FLOWS = VECTORS["native_flows"]

KEYS: list[Any] = [bytes([n]) * 32 for n in range(12)]
PLACES = bytes(range(12))

EXPECTED = {
    "SubmitTask": ins.SubmitTask,
    "AuditSubmissions false": ins.AuditSubmission,
    "AuditSubmissions true": ins.AuditSubmission,
    "AuditDistribution false": ins.AuditDistribution,
    "Payout": ins.Payout,
    "Stake 1.9 KOII (cli layout, 9 bytes)": ins.Stake,
    "SubmitDistributionList": ins.SubmitDistributionList,
    "UploadDistributionList": ins.UploadDistributionList,
    "Stake 1.9 KOII + endpoint (desktop-node layout, 73 bytes)": ins.Stake,
}


def decode(
    data: bytes,
    program: TaskProgram = TASKS,
    keys: Sequence[Key] = KEYS,
    signers: int = 12,
    places: bytes = PLACES,
) -> Any:
    """The struct of an instruction whose accounts stand at these places among the keys of a message."""
    call = Call([keys[at] for at in places], places, signers, data, slot=0, payer=keys[0])
    _, (instruction,) = program.decode(program, call)
    return instruction


@pytest.mark.parametrize("name", LAYOUTS)
def test_recorded_bytes_decode_to_the_instruction_they_are(name: str) -> None:
    vector = LAYOUTS[name]

    decoded = decode(bytes.fromhex(vector["data_hex"]))

    assert EXPECTED[name.partition(" (chunk")[0]] is type(decoded)
    inputs = vector.get("inputs", {})
    if "round" in inputs:
        assert inputs["round"] == decoded.round
    if "is_valid" in inputs:
        assert inputs["is_valid"] == decoded.is_valid
    if "stakeAmount" in inputs or isinstance(decoded, ins.Stake):
        assert decoded.amount == 1_900_000_000
    if isinstance(decoded, ins.SubmitTask):
        assert decoded.value == b"Hello, World!"
    if isinstance(decoded, ins.UploadDistributionList):
        assert (decoded.chunk, decoded.size) == (0, 118)
        assert len(json.loads(decoded.data[: decoded.size])) == 2


@pytest.mark.parametrize("flow", FLOWS, ids=[flow["name"] for flow in FLOWS])
def test_recorded_transactions_decode_verify_and_hold_what_was_asked(flow: dict[str, Any]) -> None:
    for recorded in flow["transactions"]:
        transaction = decode_transaction(bytes.fromhex(recorded["wire_hex"]))

        assert is_signed(transaction)
        assert recorded["fee_payer"] == base58_of(transaction.keys[0])
        for given_, one in zip(transaction.instructions, recorded["instructions"], strict=True):
            assert one["program_id"] == base58_of(transaction.keys[given_.program])
            assert bytes.fromhex(one["data_hex"]) == given_.data
            assert [a["pubkey"] for a in one["accounts"]] == [
                base58_of(transaction.keys[at]) for at in given_.accounts
            ]
            if transaction.keys[given_.program] == TASK_PROGRAM:
                decoded = decode(given_.data, TASKS, transaction.keys, transaction.signers, given_.accounts)
                accounts, data = TASKS.encode(decoded)
                assert given_.data[0] == data[0]
                assert [one["accounts"][at]["pubkey"] for at in range(len(accounts))] == [
                    base58_of(account.key) for account in accounts
                ][: len(one["accounts"])]


KPL = VECTORS["kpl_builders"]["cases"]

EXPECTED_KPL = {
    "create": (
        ins.CreateTokenTask,
        {"total_bounty": 100_000_000, "bounty_per_round": 1_000_000, "locals": b""},
    ),
    "update": (ins.UpdateTokenTask, {"bounty_per_round": 1_000_000, "allowed_failed_distributions": 3}),
    "fund": (ins.FundTokens, {"amount": 5_000_000}),
    "stake": (ins.StakeTokens, {"amount": 1_900_000, "endpoint": b"http://x"}),
    "claim": (ins.ClaimTokens, {}),
    "setActive": (ins.SetActive, {"active": 1}),
    "withdraw": (ins.Withdraw, {}),
    "submit": (ins.SubmitTask, {"value": b"Hello, World!", "round": 7}),
    "audit": (ins.AuditSubmission, {"is_valid": 0, "round": 7}),
    "auditDist": (ins.AuditDistribution, {"is_valid": 0, "round": 7}),
    "payout": (ins.Payout, {"round": 7}),
    "submitDist": (ins.SubmitDistributionList, {"round": 7}),
    "upload": (ins.UploadDistributionList, {"chunk": 0, "size": 118, "round": 7}),
    "allow": (ins.Whitelist, {"flag": 1}),
    "delete": (ins.DeleteTask, {}),
}


@pytest.mark.parametrize("name", KPL)
def test_recorded_instructions_for_tokens_decode_to_what_they_are_and_encode_to_the_same(name: str) -> None:
    recorded, (kind, fields) = KPL[name], EXPECTED_KPL[name]
    keys = [key_of(one["pubkey"]) for one in recorded["accounts"]]
    # Signers come first in a message, so that the codec can tell by a position whether it signed.
    order = sorted(range(len(keys)), key=lambda at: not recorded["accounts"][at]["is_signer"])
    signers = sum(one["is_signer"] for one in recorded["accounts"])
    data = bytes.fromhex(recorded["data_hex"])

    places = bytes(order.index(at) for at in range(len(keys)))
    decoded = decode(data, TOKEN_TASKS, [keys[at] for at in order], signers, places)

    assert kind is type(decoded)
    assert fields == {field: getattr(decoded, field) for field in fields}
    task = VECTORS["kpl_builders"]["seeds"]["taskState"]
    assert task == base58_of(decoded.task)
    accounts, encoded = TOKEN_TASKS.encode(decoded)
    assert data == encoded
    named = [(base58_of(one.key), one.is_signer, one.is_writable) for one in accounts]
    given = [(one["pubkey"], one["is_signer"], one["is_writable"]) for one in recorded["accounts"]]
    assert given[: len(named)] == named
    assert len(given) == len(named) or name == "payout"  # which names the list account, too


def test_a_pots_seed_and_authority_are_those_that_clients_compute() -> None:
    for name, pot, authority, seed_at in (("create", 3, 4, 401), ("update", 5, 6, 393)):
        accounts = [key_of(one["pubkey"]) for one in KPL[name]["accounts"]]
        data = bytes.fromhex(KPL[name]["data_hex"])

        assert data[seed_at:] == compute_pot_seed(accounts[pot])
        assert accounts[authority] == find_authority(accounts[pot])


@pytest.mark.parametrize("program", TASK_PROGRAMS.values(), ids=["native", "tokens"])
def test_every_layout_encodes_what_it_decodes(program: TaskProgram) -> None:
    for (number, size), codec in program.by_size.items():
        data = bytes([number]) + bytes((7 * at) % 255 + 1 for at in range(size - 1))
        decoded = decode(data, program)
        if program.by_name[codec.name] is codec:
            accounts, encoded = program.encode(decoded)
            assert data == encoded
            places = PLACES[: len(accounts)]
            assert decoded == decode(encoded, program, [one.key for one in accounts], len(accounts), places)


@pytest.mark.parametrize("program", TASK_PROGRAMS.values(), ids=["native", "tokens"])
def test_an_instruction_has_one_number_whatever_its_length(program: TaskProgram) -> None:
    assert [program.by_name[codec.name].number for codec in program.codecs] == [
        codec.number for codec in program.codecs
    ]


def test_only_the_open_ended_field_that_says_so_loses_its_spaces() -> None:
    kept = Codec(Layout(1, "SubmitTask", "task:w node:sw", "round:Q value:*", ins.SubmitTask), 1)
    trimmed = Codec(Layout(1, "SubmitTask", "task:w node:sw", "round:Q value:*t", ins.SubmitTask), 1)
    call = Call(KEYS[:2], b"\0\1", 2, b"\1" + bytes(8) + b" proof  ", slot=0, payer=KEYS[0])

    assert ins.SubmitTask(KEYS[0], KEYS[1], b" proof  ", 0) == kept.read_struct(call)
    assert ins.SubmitTask(KEYS[0], KEYS[1], b" proof", 0) == trimmed.read_struct(call)


def test_a_text_that_does_not_fit_is_not_cut() -> None:
    with pytest.raises(ValueError, match="513 bytes; 512 fit"):
        TASKS.encode(ins.SubmitTask(KEYS[0], KEYS[1], b"x" * 513, 0))


def test_the_known_addresses_are_those_of_the_ecosystem() -> None:
    assert VECTORS["pda"]["native_manager"] == base58_of(FIXED["nativeManager"])
    assert VECTORS["pda"]["kpl_manager"] == base58_of(FIXED["kplManager"])
    assert VECTORS["kpl_builders"]["seeds"]["programId"] == base58_of(KPL_PROGRAM)
    assert key_of("Koiitask22222222222222222222222222222222222") == TASK_PROGRAM
