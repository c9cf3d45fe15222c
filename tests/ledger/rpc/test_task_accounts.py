"""A token task's account is Borsh in the published layout, read here by a decoder of its own."""

import hashlib
import struct
from collections.abc import Callable
from typing import Any

import pytest
from solders.pubkey import Pubkey

from roundwork.ledger.rpc.account_forms import get_account_data
from roundwork.ledger.rpc.task_accounts import encode_task_account
from roundwork.ledger.rpc.task_forms import describe_task, encode_task
from roundwork.protocol.params import KPL_PROGRAM, base58_of
from roundwork.wire import base58_decode

from ...protocol.stage import SW, Stage
from ...protocol.token_world import TokenStage


class Reader:
    """Reads Borsh from the front."""

    def __init__(self, raw: bytes) -> None:
        self.rest = raw

    def take(self, size: int) -> bytes:
        assert len(self.rest) >= size
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def flag(self) -> bool:
        return {b"\0": False, b"\1": True}[self.take(1)]

    def byte(self) -> int:
        return self.take(1)[0]

    def u64(self) -> int:
        return int(struct.unpack("<Q", self.take(8))[0])

    def count(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])

    def text(self) -> str:
        return self.take(self.count()).decode()

    def key(self) -> str:
        return base58_of(self.take(32))

    def map(self, read: Callable[[], Any]) -> dict[str, Any]:
        rows = {}
        for _ in range(self.count()):
            key = self.text()
            rows[key] = read()
        return rows

    def rounds(self, read: Callable[[], Any]) -> dict[str, Any]:
        return self.map(lambda: self.map(read))

    def submission(self) -> Any:
        return {"submission_value": self.text(), "slot": self.u64(), "round": self.u64()}

    def list_of_round(self) -> Any:
        return {"submission_value": self.key(), "slot": self.u64(), "round": self.u64()}

    def trigger(self) -> Any:
        trigger_by, slot = self.key(), self.u64()
        votes = [
            {"is_valid": self.flag(), "voter": self.key(), "slot": self.u64()} for _ in range(self.count())
        ]
        return {"trigger_by": trigger_by, "slot": slot, "votes": votes}

    def result(self) -> str:
        return ("Uninitialized", "PayoutSuccessful", "PayoutFailed")[self.byte()]


def decode(raw: bytes) -> dict[str, Any]:
    reader = Reader(raw)
    task = {
        "is_allowlisted": reader.flag(),
        "is_active": reader.flag(),
        "task_name": reader.text(),
        "task_description": reader.text(),
        "task_manager": list(reader.take(32)),
        "task_audit_program": reader.text(),
        "stake_pot_account": reader.key(),
        "stake_pot_seed": reader.take(32),
        "stake_pot_bump": reader.byte(),
        "submissions": reader.rounds(reader.submission),
        "submissions_audit_trigger": reader.rounds(reader.trigger),
        "total_bounty_amount": reader.u64(),
        "bounty_amount_per_round": reader.u64(),
        "token_type": reader.key(),
        "total_stake_amount": reader.u64(),
        "minimum_stake_amount": reader.u64(),
        "available_balances": reader.map(reader.u64),
        "stake_list": reader.map(reader.u64),
        "ip_address_list": reader.map(reader.text),
        "round_time": reader.u64(),
        "starting_slot": reader.u64(),
        "audit_window": reader.u64(),
        "submission_window": reader.u64(),
        "task_executable_network": reader.text(),
        "distribution_rewards_submission": reader.rounds(reader.list_of_round),
        "distributions_audit_trigger": reader.rounds(reader.trigger),
        "distributions_audit_record": reader.map(reader.result),
        "task_metadata": reader.text(),
        "task_vars": reader.text(),
        "is_migrated": reader.flag(),
        "migrated_to": reader.text(),
        "allowed_failed_distributions": reader.u64(),
    }
    assert b"" == reader.rest
    return task


def audited() -> TokenStage:
    """A conviction in round 0, and an audited list."""
    world = TokenStage()
    world.submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2)
    world.expect_list("ok", "n01", 0, {"n00": 60, "n01": 40, "n02": -700})
    world.go(2, SW + 1).expect("ok", "n02", world.audit_list("n02", 0, "n01"))
    world.expect("ok", "n00", world.audit_list("n00", 0, "n01", 1), slots=0)
    return world


def unpaid() -> TokenStage:
    """Round 0 has failed, no node handed in a list; others are open."""
    world = TokenStage().submitted()
    assert isinstance(world, TokenStage)
    world.go(3, 1)
    return world


@pytest.mark.parametrize("make", [TokenStage, audited, lambda: audited().go(3, 1), unpaid])
def test_a_token_task_is_borsh_with_the_values_of_its_json(make: Callable[[], Stage]) -> None:
    world = make()

    raw = encode_task_account(world.state, world.task)

    shown = describe_task(world.state, world.task)
    read = decode(raw)
    pot = world.state.tasks.rows[world.task].pot
    seed = hashlib.sha256(base58_of(pot).encode()).digest()
    authority = Pubkey.create_program_address([seed, bytes([read["stake_pot_bump"]])], Pubkey(KPL_PROGRAM))
    assert authority == Pubkey.find_program_address([seed], Pubkey(KPL_PROGRAM))[0]
    assert seed == read["stake_pot_seed"]
    left_out = {"current_round", "koii_vars"}
    assert {name: value for name, value in shown.items() if name not in left_out} == {
        name: value for name, value in read.items() if not name.startswith("stake_pot_") or name in shown
    }
    assert len(raw) >= 264


def test_a_token_task_is_found_by_its_first_two_bytes_and_a_native_one_by_its_text() -> None:
    token, native = TokenStage(), Stage()
    token_data, native_data = (
        get_account_data(world.state, world.task, world.state.accounts.rows[world.task])
        for world in (token, native)
    )

    assert base58_decode("5S") == token_data.cut(0, 2) == b"\1\1"
    assert len(token_data.raw) == token_data.size
    assert native_data.raw == encode_task(native.state, native.task)
    assert native_data.raw.startswith(b'{"is_allowlisted":true,"is_active":true')


def test_maps_are_in_the_order_of_the_bytes_of_their_keys() -> None:
    world = audited()

    submissions = decode(encode_task_account(world.state, world.task))["submissions"]

    assert sorted(submissions) == list(submissions)
    assert all(sorted(nodes) == list(nodes) for nodes in submissions.values())
