"""Every numbered rule refuses what it is there for, and would be missed."""

import re
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import (
    AllocateParams,
    AssignParams,
    CreateAccountParams,
    CreateAccountWithSeedParams,
    TransferParams,
    allocate,
    assign,
    create_account,
    create_account_with_seed,
    transfer,
)  # fmt: skip

from roundwork.errors import Undecodable
from roundwork.protocol.params import SPACE_MAX, SYSTEM_PROGRAM, TASK_PROGRAM, TASK_SPACE_MAX
from roundwork.protocol.rules import RULES
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.distribution import compute_bytes_max
from roundwork.protocol.tasks.layouts import TASKS
from roundwork.protocol.transaction import decode_transaction

from . import (  # noqa: F401 # their rules belong to the registry
    test_compute_budget,
    test_ed25519,
    test_lookups,
    test_nonces,
    test_token,
    test_token_tasks,
)
from .registry import CASES, rejected, shows
from .stage import AW, SW, Stage, T
from .world import World, compact_submission, keypair_of, task_instruction, upload_list


@pytest.mark.parametrize("number", sorted(RULES, key=lambda n: [int(part) for part in str(n).split(".")]))
def test_a_rule_refuses_what_it_is_there_for(number: str) -> None:
    CASES[number]()


@pytest.mark.parametrize("number", sorted(RULES, key=lambda n: [int(part) for part in str(n).split(".")]))
def test_without_the_rule_its_test_fails(number: str) -> None:
    def case() -> bool:
        try:
            CASES[number]()
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 # however the law breaks, it breaks
            return False
        return True

    with RULES[number].out_of_force():
        assert not case()


def test_rules_are_numbered_alike_in_the_law_the_text_and_the_tests() -> None:
    text = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()

    written = re.findall(r"^- (\d+\.\d+) ", text, re.MULTILINE)

    assert len(written) == len(set(written))
    assert set(RULES) == set(CASES) == set(written)


# 3 The ledger


def voided(world: World, expected: str, wire: bytes) -> None:
    receipt = world.block(wire).receipts[0]
    assert (2, expected, 0) == (receipt.kind, receipt.name, receipt.fee)


def move(world: World, source: str, target: str, amount: int) -> Instruction:
    return transfer(
        TransferParams(
            from_pubkey=Pubkey(world.key(source)), to_pubkey=Pubkey(world.key(target)), lamports=amount
        )
    )


def unsigned(one: Instruction) -> Instruction:
    """The instruction with no account marked as a signer."""
    return Instruction(
        one.program_id, one.data, [AccountMeta(a.pubkey, False, a.is_writable) for a in one.accounts]
    )


@shows("3.1")
def _signature() -> None:
    world = World()
    wire = bytearray(world.wire(["n00"], move(world, "n00", "n01", 5)))
    wire[10] ^= 1
    voided(world, "SignatureFailure", bytes(wire))


@shows("3.2")
def _tick() -> None:
    world = World()
    old = world.wire(["n00"], move(world, "n00", "n01", 5), tick=bytes(32))
    voided(world, "BlockhashNotFound", old)


@shows("3.3")
def _replay() -> None:
    world = World()
    wire = world.wire(["n00"], move(world, "n00", "n01", 5))
    assert not world.block(wire).receipts[0].kind
    voided(world, "AlreadyProcessed", wire)


@shows("3.4")
def _payer() -> None:
    world = World()
    voided(world, "AccountNotFound", world.wire(["nobody"], move(world, "nobody", "n01", 0)))


@shows("3.5")
def _fee() -> None:
    world = World(fee_per_signature=10)
    world.run("n00", move(world, "n00", "poor", 9))
    voided(world, "InsufficientFundsForFee", world.wire(["poor"], move(world, "poor", "n01", 0)))


@shows("3.6")
def _program() -> None:
    world = World()
    rejected(world, "UnknownProgram", "n00", Instruction(Pubkey(world.key("n01")), b"", []))


@shows("3.7")
def _layout() -> None:
    world = World()
    for data in (b"", b"\x63", b"\x09\x01", b"\x21"):
        rejected(world, "BadInstruction", "n00", Instruction(Pubkey(TASK_PROGRAM), data, []))


@shows("3.8")
def _accounts() -> None:
    world = Stage()
    whole = task_instruction(world.withdraw("n00"))
    rejected(world, "BadInstruction", "n00", Instruction(whole.program_id, whole.data, whole.accounts[:1]))


@shows("3.9")
def _signers() -> None:
    world = Stage()
    rejected(world, "MissingSigner", "n01", unsigned(task_instruction(world.withdraw("n00"))))


@shows("3.10")
def _well_formed() -> None:
    world = World()
    wire = world.wire(["n00"], move(world, "n00", "n01", 5))
    keys = 1 + 64 + 4
    twice = wire[:keys] + wire[keys : keys + 32] * 2 + wire[keys + 64 :]
    outside = bytearray(wire)
    outside[keys + 32 * wire[keys - 1] + 32 + 1] = 99  # the program of the first instruction
    readonly = bytearray(wire)
    readonly[66] = 1
    beyond = bytearray(wire)
    beyond[67] = 200
    short = bytes([0]) + wire[65:]
    for bad in (twice, bytes(outside), bytes(readonly), bytes(beyond), short):
        with pytest.raises(Undecodable):
            decode_transaction(bad)
        voided(world, "Undecodable", bad)


@shows("3.11")
def _system_signed() -> None:
    world = World()
    rejected(world, "MissingSigner", "n00", unsigned(move(world, "n01", "n00", 5)))


@shows("3.12")
def _system_spendable() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    rejected(world, "WrongOwner", ("n00", "owned"), move(world, "owned", "n01", 5))


@shows("3.13")
def _system_balance() -> None:
    world = World()
    world.run("n00", move(world, "n00", "poor", 9))
    rejected(world, "BalanceTooLow", "poor", move(world, "poor", "n01", 10))


def create(world: World, name: str, balance: int, space: int) -> Instruction:
    return create_account(
        CreateAccountParams(
            from_pubkey=Pubkey(world.key("n00")),
            to_pubkey=Pubkey(world.key(name)),
            lamports=balance,
            space=space,
            owner=Pubkey(SYSTEM_PROGRAM),
        )
    )


@shows("3.14")
def _system_vacant() -> None:
    world = World()
    rejected(world, "AccountInUse", ("n00", "n01"), create(world, "n01", 5, 0))


@shows("3.15")
def _system_space() -> None:
    world = World()
    rejected(world, "BadSpace", ("n00", "new"), create(world, "new", 5, SPACE_MAX + 1))
    rejected(world, "BadSpace", ("n00", "new"), world.create_account("n00", "new", 5, TASK_SPACE_MAX + 1))
    sized = allocate(AllocateParams(pubkey=Pubkey(world.key("new")), space=SPACE_MAX + 1))
    rejected(world, "BadSpace", ("n00", "new"), sized)
    assert not world.run(("n00", "new"), create(world, "new", 5, SPACE_MAX)).kind
    made = world.create_account("n00", "other", 5, TASK_SPACE_MAX)
    assert not world.run(("n00", "other"), made).kind


@shows("3.16")
def _system_blank() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    key = Pubkey(world.key("owned"))
    rejected(world, "AccountInUse", ("n00", "owned"), allocate(AllocateParams(pubkey=key, space=5)))
    world.run(("n00", "sized"), create(world, "sized", 500, 10))
    key = Pubkey(world.key("sized"))
    rejected(world, "AccountInUse", ("n00", "sized"), allocate(AllocateParams(pubkey=key, space=5)))


@shows("3.60")
def _system_assignable() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    assert not world.run(("n00", "nonce"), *test_nonces.create_nonce(world)).kind
    owner = Pubkey(world.key("n01"))
    for name in ("owned", "nonce"):
        given = assign(AssignParams(pubkey=Pubkey(world.key(name)), owner=owner))
        rejected(world, "AccountInUse", ("n00", name), given)


def create_seeded(world: World, seed: bytes, address: Pubkey, base: str = "n00") -> Instruction:
    one = create_account_with_seed(
        CreateAccountWithSeedParams(
            from_pubkey=Pubkey(world.key("n00")),
            to_pubkey=address,
            base=Pubkey(world.key(base)),
            seed="s" * len(seed),
            lamports=5,
            space=0,
            owner=Pubkey(TASK_PROGRAM),
        )
    )
    return one


def derive(world: World, seed: bytes, base: str = "n00") -> Pubkey:
    from hashlib import sha256

    return Pubkey(sha256(world.key(base) + seed + TASK_PROGRAM).digest())


@shows("3.17")
def _seed_size() -> None:
    world = World()
    seed = b"s" * 33
    rejected(world, "SeedTooLong", "n00", create_seeded(world, seed, derive(world, seed)))


@shows("3.18")
def _seed_derived() -> None:
    world = World()
    rejected(world, "SeedMismatch", "n00", create_seeded(world, b"s", derive(world, b"ss")))


@shows("3.19")
def _system_known() -> None:
    world = World()
    program = Pubkey(SYSTEM_PROGRAM)
    whole = move(world, "n00", "n01", 5)
    rejected(world, "BadInstruction", "n00", Instruction(program, b"\x63\0\0\0", []))
    rejected(world, "BadInstruction", "n00", Instruction(program, b"\x02", []))
    rejected(world, "BadInstruction", "n00", Instruction(program, whole.data[:-1], whole.accounts))
    rejected(world, "BadInstruction", "n00", Instruction(program, whole.data, whole.accounts[:1]))


@shows("3.47")
def _seed_owner() -> None:
    from hashlib import sha256

    world = World()
    owner = b"x" * 11 + b"ProgramDerivedAddress"
    base = Pubkey(world.key("n00"))
    address = Pubkey(sha256(bytes(base) + b"s" + owner).digest())
    ask = CreateAccountWithSeedParams(
        from_pubkey=base, to_pubkey=address, base=base, seed="s", lamports=5, space=0, owner=Pubkey(owner)
    )
    rejected(world, "WrongOwner", "n00", create_account_with_seed(ask))


@shows("3.20")
def _seed_base() -> None:
    world = World()
    one = create_seeded(world, b"s", derive(world, b"s", "n01"), base="n01")
    rejected(world, "MissingSigner", "n00", Instruction(one.program_id, one.data, one.accounts[:2]))


# 4 Tasks and stakes


@shows("4.1")
def _task() -> None:
    world = World()
    world.run("n00", move(world, "n00", "task", 1))
    assert world.do("n00", ins.Withdraw(world.task, world.key("n00"))) == "UnknownTask"


@shows("4.2")
def _created_once() -> None:
    world = Stage()
    again = ins.CreateTask(
        world.key("manager"),
        world.task,
        world.key("pot"),
        b"",
        b"",
        b"",
        b"",
        5,
        5,
        9,
        4,
        4,
        1000,
        b"",
        b"",
        1,
    )
    rejected(world, "TaskExists", ("manager", "task"), task_instruction(again))


@shows("4.3")
def _task_owner() -> None:
    world = World()
    ask = ins.CreateTask(
        world.key("manager"),
        world.task,
        world.key("pot"),
        b"",
        b"",
        b"",
        b"",
        5,
        5,
        9,
        4,
        4,
        1000,
        b"",
        b"",
        1,
    )
    rejected(world, "WrongOwner", ("manager", "task"), task_instruction(ask))


def refuses_task(expected: str, **changes: Any) -> None:
    world = World()
    assert expected == world.create_task(**changes).name


@shows("4.4")
def _windows() -> None:
    refuses_task("BadTask", submission_window=0)
    refuses_task("BadTask", audit_window=0)
    refuses_task("BadTask", round_time=7)
    refuses_task("BadTask", round_time=2**32 + 1)


@shows("4.5")
def _bounty() -> None:
    refuses_task("BadTask", total_bounty=99, bounty_per_round=100)


@shows("4.6")
def _minimum_stake() -> None:
    refuses_task("BadTask", minimum_stake=999)


@shows("4.7")
def _retries() -> None:
    refuses_task("BadTask", allowed_failed_distributions=101)


@shows("4.8")
def _rules_known() -> None:
    refuses_task("WrongRules", locals=b"rules:roundwork-9")


@shows("4.9")
def _texts() -> None:
    refuses_task("BadTask", description=b"\xff")


@shows("4.10")
def _funds() -> None:
    refuses_task("InsufficientFunds", total_bounty=10**15 + 1)


@shows("4.11")
def _payer_kind() -> None:
    world = Stage()
    world.run("manager", move(world, "manager", "task", 500))
    ask = ins.FundTask(world.task, world.task, world.key("pot"), 5)
    rejected(world, "WrongOwner", ("n00", "task"), task_instruction(ask))


@shows("4.12")
def _manager() -> None:
    world = Stage()
    world.expect("NotManager", "n00", ins.SetActive(world.task, world.key("n00"), 0))
    world.expect("NotManager", "n00", ins.CloseTask(world.task, world.key("n00"), world.key("pot")))


@shows("4.13")
def _living() -> None:
    world = Stage()
    pot = world.key("pot")
    world.expect("ok", "manager", ins.CloseTask(world.task, world.key("manager"), pot))
    world.expect("TaskClosed", "n00", world.stake("n00", 1000))
    world.expect("TaskClosed", "n00", ins.FundTask(world.task, world.key("n00"), pot, 5))
    world.expect("TaskClosed", "manager", ins.SetActive(world.task, world.key("manager"), 1))
    world.expect("TaskClosed", "manager", ins.CloseTask(world.task, world.key("manager"), pot))
    world.go(1).expect("TaskClosed", "n00", world.submit("n00", 0))


@shows("4.14")
def _amount() -> None:
    world = Stage()
    world.expect("BadAmount", "n00", world.stake("n00", 0))
    world.expect("BadAmount", "n00", ins.FundTask(world.task, world.key("n00"), world.key("pot"), 0))


@shows("4.15")
def _has_stake() -> None:
    world = Stage()
    world.expect("NotStaked", "manager", world.withdraw("manager"))


@shows("4.16")
def _locked_by_messages() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n01", world.audit("n01", 0, "n00"))
    world.expect("StakeLocked", "n00", world.withdraw("n00"))
    world = Stage({"allowed_failed_distributions": 90}).submitted()
    world.go(5).expect("StakeLocked", "n00", world.withdraw("n00"))


@shows("4.17")
def _locked_after_submission() -> None:
    world = Stage().paid()
    world.expect("StakeLocked", "n00", world.withdraw("n00"))
    world.go(3, T - 1).expect("StakeLocked", "n00", world.withdraw("n00"))
    world.go(4).expect("ok", "n00", world.withdraw("n00"))


@shows("4.18")
def _settling() -> None:
    world = Stage(settle_records_max=1).listed({"n00": 20, "n01": 20, "n02": 20}).go(2, SW + AW + 1)
    assert world.do("n00", world.claim("n00")) == "PayoutPending"  # the first of three entries is paid
    assert world.do("n00", world.withdraw("n00")) == "PayoutPending"
    assert world.do("n00", world.claim("n00")) == "ok"


@shows("4.19")
def _claimable() -> None:
    world = Stage()
    world.expect("NothingToClaim", "n00", world.claim("n00"))


@shows("4.20")
def _open_rounds() -> None:
    world = Stage().submitted()
    world.expect("OpenRounds", "manager", ins.CloseTask(world.task, world.key("manager"), world.key("pot")))


@shows("4.21")
def _allowlister() -> None:
    world = Stage(allowlister=str(keypair_of("lister").pubkey()))
    world.expect("NotAllowlister", "n00", ins.Whitelist(world.task, world.key("n00"), 0))
    ask = task_instruction(ins.Whitelist(world.task, world.key("lister"), 0))
    assert not world.run(("n00", "lister"), ask).kind
    assert not world.state.tasks.rows[world.task].is_allowlisted


# 6 Submitting


@shows("6.1")
def _submit_phase() -> None:
    world = Stage()
    world.expect("WrongPhase", "n00", world.submit("n00", 0))  # ledger round 0: nothing is reviewed
    world.go(1).expect("WrongPhase", "n00", world.submit("n00", 1))  # round 1 is worked on
    world.go(1, SW).expect("ok", "n00", world.submit("n00", 0))  # the window's last slot
    world.go(1, SW + 1).expect("WrongPhase", "n01", world.submit("n01", 0))
    world.go(2).expect("WrongPhase", "n01", world.submit("n01", 0))


@shows("6.2")
def _active() -> None:
    world = Stage()
    world.expect("ok", "manager", ins.SetActive(world.task, world.key("manager"), 0))
    world.go(1).expect("TaskInactive", "n00", world.submit("n00", 0))
    world.expect("ok", "manager", ins.SetActive(world.task, world.key("manager"), 1))
    world.expect("TaskInactive", "n00", world.submit("n00", 0))  # it was not when the review began
    world.go(2).expect("ok", "n00", world.submit("n00", 1))


@shows("6.3")
def _takes_part() -> None:
    world = Stage()
    world.go(1).expect("NotStaked", "manager", world.submit("manager", 0))


@shows("6.4")
def _first_submission() -> None:
    world = Stage().go(1)
    world.expect("ok", "n00", world.submit("n00", 0))
    world.expect("AlreadySubmitted", "n00", world.submit("n00", 0))
    world.expect("AlreadySubmitted", "n00", world.submit("n00", 0, b"other"))


@shows("6.5")
def _value() -> None:
    world = Stage().go(1)
    world.expect("BadValue", "n00", world.submit("n00", 0, b"   "), slots=1)
    world.expect("BadValue", "n00", world.submit("n00", 0, b"\xff"), slots=0)
    long = compact_submission(world.submit("n00", 0, b"x" * 513))
    assert world.run("n00", long, slots=0).name == "BadValue"
    world.expect("ok", "n00", world.submit("n00", 0, b"x" * 512), slots=0)


@shows("6.6")
def _reservable() -> None:
    world = Stage({"total_bounty": 150}).submitted(0)
    world.go(2).expect("BountyExhausted", "n00", world.submit("n00", 1))


# 7 Auditing submissions


@shows("7.1")
def _audit_phase() -> None:
    world = Stage().submitted()
    world.expect("WrongPhase", "n00", world.audit("n00", 0, "n01"))
    world.go(1, SW + AW).expect("ok", "n00", world.audit("n00", 0, "n01"))
    world.expect("WrongPhase", "n02", world.audit("n02", 0, "n01"))


@shows("7.2")
def _round() -> None:
    world = Stage().go(1, SW + 1)
    world.expect("UnknownRound", "n00", world.audit("n00", 0, "n01"))


@shows("7.3")
def _staker() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("NotStaked", "manager", world.audit("manager", 0, "n01"))


@shows("7.4")
def _not_own() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("OwnSubmission", "n00", world.audit("n00", 0, "n00"))


@shows("7.5")
def _candidate() -> None:
    world = Stage().go(1)
    world.expect("ok", "n00", world.submit("n00", 0))
    world.go(1, SW + 1).expect("UnknownSubmission", "n00", world.audit("n00", 0, "n01"))


@shows("7.6")
def _first_view() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n01"))
    world.expect("AlreadyAudited", "n00", world.audit("n00", 0, "n01", 1))


@shows("7.7")
def _raised() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("NoAuditRaised", "n00", world.audit("n00", 0, "n01", 1))
    world.expect("ok", "n00", world.audit("n00", 0, "n01", 0))
    world.expect("ok", "n02", world.audit("n02", 0, "n01", 1))


# 8 The distribution list


def upload(world: Stage, chunk: int = 0, size: int = 2, number: int = 0) -> ins.UploadDistributionList:
    return ins.UploadDistributionList(world.task, world.key("n00"), chunk, size, b"{}", number)


@shows("8.1")
def _upload_phase() -> None:
    world = Stage().submitted().go(2, SW + 1)
    roundless = upload(world, number=ins.NO_ROUND)
    accounts, data = TASKS.encode(roundless)
    metas = [AccountMeta(Pubkey(one.key), one.is_signer, one.is_writable) for one in accounts]
    asked = Instruction(Pubkey(TASK_PROGRAM), data[:513], metas)
    rejected(world, "WrongPhase", "n00", asked)


@shows("8.2")
def _list_clock() -> None:
    world = Stage().submitted()
    world.go(1, SW).expect("WrongPhase", "n00", upload(world))
    world.go(6).expect("WrongPhase", "n00", upload(world))
    world.expect("WrongPhase", "n00", upload(world, number=9))


@shows("8.3")
def _list_round() -> None:
    world = Stage().go(2)
    world.expect_list("UnknownRound", "n00", 0, {})


@shows("8.4")
def _attempt() -> None:
    world = Stage().submitted()
    world.go(3).expect_list("ok", "n00", 0, {"n00": 5})  # attempt 0 failed without a list: this is attempt 1
    world = Stage().paid().go(3)
    world.expect_list("WrongPhase", "n00", 0, {})


@shows("8.5")
def _lister() -> None:
    world = Stage().submitted().go(2)
    world.expect_list("NotStaked", "manager", 0, {})


@shows("8.6")
def _chunk() -> None:
    world = Stage(list_chunks_max=2).submitted().go(2)
    world.expect("BadUpload", "n00", upload(world, chunk=2), slots=1)
    world.expect("BadUpload", "n00", upload(world, size=509), slots=0)


@shows("8.7")
def _no_list() -> None:
    world = Stage().listed()
    world.expect_list("ListStands", "n01", 0, {"n01": 5})


@shows("8.8")
def _uploaded() -> None:
    world = Stage().submitted().go(2)
    node = world.key("n00")
    world.expect("BadUpload", "n00", ins.SubmitDistributionList(world.task, node, node, 0))


@shows("8.13")
def _list_size() -> None:
    world = Stage().submitted().go(2)
    world.block()
    most = compute_bytes_max(3)
    assert "ListTooLong" == world.hand_in("n00", 0, b"{}".ljust(most + 1), slots=0).name
    assert not world.hand_in("n01", 0, b"{}".ljust(most), slots=0).kind


@shows("8.14")
def _list_read_once() -> None:
    world = Stage().submitted().go(2)
    node = world.key("n00")
    upload, hand_in = upload_list(world, "n00", 0, b"nonsense")
    assert not world.run("n00", upload).kind
    wires = [world.wire(["n00"], hand_in) for _ in range(2)]
    assert ["ListMalformed", "ListReadAlready"] == [
        receipt.name for receipt in world.block(*wires, slots=0).receipts
    ]
    world.expect("ListMalformed", "n00", ins.SubmitDistributionList(world.task, node, node, 0), slots=0)


@shows("8.9")
def _json() -> None:
    world = Stage().submitted()
    name = str(Pubkey(world.key("n00")))
    bad = (
        b"", b"[]", b"{", b"\xff", f'{{"{name}": 1.0}}', f'{{"{name}": true}}', f'{{"{name}": "1"}}',
        f'{{"{name}": 1, "{name}": 2}}', f'{{"{name}": {2**63}}}', f'{{"{name}": NaN}}', f'{{"{name}": 1e2}}',
        "[" * 400, f'{{"{name}": {{}}}}', f'{{"{name}": {"9" * 300}}}', '"name"', "7",
    )  # fmt: skip
    world.go(2)
    for text in bad:
        raw = text if isinstance(text, bytes) else text.encode()
        receipt = world.hand_in("n00", 0, raw, slots=0 if text != b"" else 1)
        assert receipt.name == "ListMalformed", (text, receipt)


@shows("8.10")
def _listed() -> None:
    world = Stage().submitted().go(2)
    world.expect_list("ListBadNode", "n00", 0, {"manager": 5})
    world.expect_list("ListBadNode", "n00", 0, b'{"nobody": 5}')


@shows("8.11")
def _slashes() -> None:
    world = Stage().submitted().go(2)
    world.expect_list("ListBadSlash", "n00", 0, {"n01": -5})


@shows("8.12")
def _rewards() -> None:
    world = Stage().submitted().go(2)
    world.expect_list("ListOverBounty", "n00", 0, {"n00": 51, "n01": 50})
    world.expect_list("ok", "n00", 0, {"n00": 50, "n01": 50})


# 9 Auditing the list, payout


@shows("9.1")
def _list_audit_clock() -> None:
    world = Stage().listed()
    world.expect("WrongPhase", "n01", world.audit_list("n01", 0, "n00"))
    world.go(6, SW + 1).expect("WrongPhase", "n01", world.audit_list("n01", 0, "n00"))


@shows("9.2")
def _list_there() -> None:
    world = Stage().submitted().go(2, SW + 1)
    world.expect("ListMissing", "n01", world.audit_list("n01", 0, "n00"))


@shows("9.3")
def _list_auditor() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("NotStaked", "manager", world.audit_list("manager", 0, "n00"))


@shows("9.4")
def _not_own_list() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("OwnSubmission", "n00", world.audit_list("n00", 0, "n00"))


@shows("9.5")
def _list_candidate() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("UnknownSubmission", "n01", world.audit_list("n01", 0, "n02"))


@shows("9.6")
def _first_list_view() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("ok", "n01", world.audit_list("n01", 0, "n00"))
    world.expect("AlreadyAudited", "n01", world.audit_list("n01", 0, "n00"))


@shows("9.7")
def _list_raised() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("NoAuditRaised", "n01", world.audit_list("n01", 0, "n00", 1))


@shows("9.8")
def _payout_round() -> None:
    world = Stage()
    world.expect("UnknownRound", "n00", ins.Payout(world.task, 0))


@shows("9.9")
def _paid() -> None:
    world = Stage().listed()
    world.expect("NotDue", "n00", ins.Payout(world.task, 0))
    world.go(3).expect("ok", "n00", ins.Payout(world.task, 0))
