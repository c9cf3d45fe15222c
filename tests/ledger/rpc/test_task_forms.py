"""Clients read the rounds of a task as the published network shows them."""

from roundwork.ledger.rpc.task_forms import describe_distributions, describe_task
from roundwork.protocol.params import base58_of

from ...protocol.stage import SW, Stage


def read_round(world: Stage, round_number: int = 0) -> tuple[object, object]:
    """The entry of a round among the lists, and its record."""
    shown = describe_distributions(world.state, world.task)
    name = str(round_number)
    whole = describe_task(world.state, world.task)
    assert shown.items() <= whole.items()
    return shown["distribution_rewards_submission"].get(name), shown["distributions_audit_record"].get(name)


def test_a_failed_round_has_its_entry_even_if_no_node_handed_in_a_list() -> None:
    world = Stage({"allowed_failed_distributions": 1}).submitted()
    seen = [read_round(world)]
    world.go(2)  # LIST of attempt 0
    seen.append(read_round(world))
    world.go(3, 1)  # attempt 1
    seen.append(read_round(world))
    world.go(4, 1)  # no attempt is left
    seen.append(read_round(world))

    assert [
        (None, "Uninitialized"),
        (None, "Uninitialized"),
        ({}, "PayoutFailed"),
        ({}, "PayoutFailed"),
    ] == seen


def test_a_failed_list_stays_in_the_entry_of_its_round() -> None:
    world = Stage({"allowed_failed_distributions": 1}).listed()
    world.go(2, SW + 1).expect("ok", "n01", world.audit_list("n01", 0, "n00"))
    world.expect("ok", "n02", world.audit_list("n02", 0, "n00"), slots=0)

    entry, record = read_round(world.go(3, 1))

    submitter = base58_of(world.key("n00"))
    assert "PayoutFailed" == record
    assert isinstance(entry, dict)
    assert {submitter} == entry.keys()
    assert (submitter, 0) == (entry[submitter]["submission_value"], entry[submitter]["round"])


def test_a_paid_round_names_its_list() -> None:
    entry, record = read_round(Stage().paid())

    assert "PayoutSuccessful" == record
    assert isinstance(entry, dict)
    assert len(entry) == 1
