"""What a node refuses to send, and how the failures of its duties are shown."""

import pytest

from roundwork.errors import ListOverBounty, ListTooLong, NothingToClaim, TaskFailed
from roundwork.node.duties import LIST_CHUNKS_MAX, check_list, describe_failure
from roundwork.protocol.params import Genesis


def test_a_list_is_refused_from_the_first_roe_and_the_first_chunk_too_many_on() -> None:
    check_list(7, {"a": 60, "b": 40, "c": -500}, 100, LIST_CHUNKS_MAX)

    with pytest.raises(ListOverBounty, match="list of round 7 pays 101; bounty_per_round is 100"):
        check_list(7, {"a": 60, "b": 41, "c": -500}, 100)
    with pytest.raises(ListTooLong, match="list of round 7 has 8193 chunks; a ledger takes 8192"):
        check_list(7, {"a": 60}, 100, LIST_CHUNKS_MAX + 1)


def test_the_chunks_of_a_list_are_those_of_a_genesis_that_says_nothing_else() -> None:
    assert Genesis(time_ms=0, producer="", accounts=()).list_chunks_max == LIST_CHUNKS_MAX


def test_a_failure_is_a_line_that_names_its_error_unless_the_task_failed() -> None:
    assert "NothingToClaim: there is nothing" == describe_failure(NothingToClaim("there is nothing"))
    assert "TimeoutError: it took too long" == describe_failure(TimeoutError())
    assert "ValueError: empty" == describe_failure(ValueError("line 1\nempty\n"))
    assert "ValueError: no" == describe_failure(
        TaskFailed("work failed: Traceback\n  a line\nValueError: no")
    )
