"""Distribution lists: uploaded, handed in, read, audited."""

import msgspec
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from roundwork.protocol.execute import TEXT_MAX
from roundwork.protocol.params import TASK_PROGRAM, base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.distribution import compute_bytes_max
from roundwork.protocol.tasks.layouts import TASKS

from .registry import rejected, shows
from .stage import SW, Stage
from .world import task_instruction, upload_list


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


@shows("8.9")
def _list_size() -> None:
    world = Stage().submitted().go(2)
    world.block()
    most = compute_bytes_max(3)
    assert most == 2048 + 3 * 128
    assert "ListTooLong" == world.hand_in("n00", 0, b"{}".ljust(most + 1), slots=0).name
    assert not world.hand_in("n01", 0, b"{}".ljust(most), slots=0).kind


@shows("8.10")
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


@shows("8.11")
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


@shows("8.12")
def _listed() -> None:
    world = Stage().submitted().go(2)
    world.expect_list("ListBadNode", "n00", 0, {"manager": 5})
    world.expect_list("ListBadNode", "n00", 0, b'{"nobody": 5}')


@shows("8.13")
def _slashes() -> None:
    world = Stage().submitted().go(2)
    world.expect_list("ListBadSlash", "n00", 0, {"n01": -5})


@shows("8.14")
def _rewards() -> None:
    world = Stage().submitted().go(2)
    world.expect_list("ListOverBounty", "n00", 0, {"n00": 51, "n01": 50})
    world.expect_list("ok", "n00", 0, {"n00": 50, "n01": 50})


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
def _first_list_opinion() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("ok", "n01", world.audit_list("n01", 0, "n00"))
    world.expect("AlreadyAudited", "n01", world.audit_list("n01", 0, "n00"))


@shows("9.7")
def _list_raised() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("NoAuditRaised", "n01", world.audit_list("n01", 0, "n00", 1))


def test_a_list_that_is_voted_down_is_tried_again_and_after_the_last_retry_the_round_closes_unpaid() -> None:
    world = Stage().submitted()
    for attempt in range(3):
        world.go(2 + attempt).expect_list("ok", "n00", 0, {"n00": 100})
        world.go(2 + attempt, SW + 1).expect("ok", "n01", world.audit_list("n01", 0, "n00"))
        assert attempt == view_round(world.state, world.task, 0).attempt
    world.go(5)

    assert view_round(world.state, world.task, 0).status == "ClosedUnpaid"
    assert world.state.tasks.rows[world.task].bounty == 1000
    assert world.state.tasks.rows[world.task].open_rounds == ()


def test_a_list_without_a_round_is_taken_from_the_older_layout() -> None:
    world = Stage().submitted().go(2)
    node = world.key("n00")
    upload = ins.UploadDistributionList(world.task, node, 0, 2, b"{}", ins.NO_ROUND)
    accounts, data = TASKS.encode(upload)

    metas = [AccountMeta(Pubkey(one.key), one.is_signer, one.is_writable) for one in accounts]
    older = Instruction(Pubkey(TASK_PROGRAM), data[:513], metas)
    hand_in = task_instruction(ins.SubmitDistributionList(world.task, node, node, 0))

    assert world.run("n00", older, hand_in).kind == 0
    assert RoundCursor(world.state, world.task, ins.NO_ROUND).chunks.rows == {}


def test_a_list_of_several_chunks_is_put_together() -> None:
    world = Stage().submitted().go(2)
    node = world.key("n00")

    for number, chunk in enumerate((b" " * 508, b" " * 508, b"{}".ljust(508))):  # the last one is full too
        ask = ins.UploadDistributionList(world.task, node, number, 508, chunk, 0)
        world.expect("ok", "n00", ask, slots=0 if number else 1)
    world.expect("ok", "n00", ins.SubmitDistributionList(world.task, node, node, 0), slots=0)

    assert {} == view_round(world.state, world.task, 0).lists[0].amounts


def test_whatever_a_list_names_its_receipt_can_be_written_and_stays_short() -> None:
    world = Stage().submitted().go(2)
    names = (rb'"\ud800"', b'"' + b"x" * 500 + b'"', '"\u202e"'.encode())

    for name in names:
        receipt = world.hand_in("n00", 0, b"{" + name + b": 1}")

        assert receipt.name == "ListBadNode"
        assert len(receipt.text) <= TEXT_MAX
        assert receipt == msgspec.msgpack.decode(msgspec.msgpack.encode(receipt), type=type(receipt))


def test_views_of_a_list_are_shown_in_their_order() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("ok", "n02", world.audit_list("n02", 0, "n00"))
    world.expect("ok", "n01", world.audit_list("n01", 0, "n00", 1), slots=0)

    [listed] = view_round(world.state, world.task, 0).lists

    assert list(listed.auditors.values()) == [False, True]
    assert (1, base58_of(world.key("n02"))) == (listed.votes, listed.trigger_by)
