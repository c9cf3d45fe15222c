"""The messages are on the wire what CometBFT sends, and are known to nobody else in the process."""

import pytest
from google.protobuf import descriptor_pool

from roundwork.ledger.comet.schema import PACKAGE, ExecTxResult, Request, Response, get_message


def make_request(kind: str, **fields: object) -> bytes:
    request = Request()
    getattr(request, kind).CopyFrom(getattr(request, kind).__class__(**fields))
    raw: bytes = request.SerializeToString()
    return raw


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (make_request("echo", message="hi"), "0a040a026869"),
        (make_request("check_tx", tx=b"ab", type=1), "42060a0261621001"),
        (make_request("init_chain", chain_id="c", initial_height=1), "2a05120163" + "3001"),
        (
            make_request("finalize_block", txs=[b"a", b""], hash=b"h", height=3, proposer_address=b"p"),
            "a2010d" + "0a0161" + "0a00" + "220168" + "2803" + "420170",
        ),
        (
            ExecTxResult(code=2, data=b"d", log="l", codespace="c").SerializeToString(),
            "0802120164" + "1a016c420163",
        ),
        (get_message("Timestamp")(seconds=1, nanos=5).SerializeToString(), "08011005"),
    ],
)  # fmt: skip
def test_a_message_has_the_bytes_of_the_specification(raw: bytes, expected: str) -> None:
    assert expected == raw.hex()


def test_the_number_of_an_answer_is_one_more_than_that_of_its_question() -> None:
    """The answers begin with the exception, so theirs are shifted; a mistake here would mix up methods."""
    questions = {field.name: field.number for field in Request.DESCRIPTOR.fields}
    answers = {field.name: field.number for field in Response.DESCRIPTOR.fields}

    assert {"exception"} == answers.keys() - questions.keys()
    assert all(answers[name] == number + 1 for name, number in questions.items())


def test_the_pool_is_private() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.Request")


def test_fields_that_nobody_reads_are_passed_over() -> None:
    consensus_params = bytes.fromhex("1a020801")
    raw = bytes.fromhex("2a09120163") + consensus_params + bytes.fromhex("3001")

    assert ("c", 1) == (
        Request.FromString(raw).init_chain.chain_id,
        Request.FromString(raw).init_chain.initial_height,
    )
