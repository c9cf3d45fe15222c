"""Submissions and their audits."""

from roundwork.protocol.read import view_round, view_task
from roundwork.protocol.tasks import instructions as ins

from .registry import shows
from .stage import AW, SW, Stage
from .world import compact_submission


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


@shows("7.5")
def _not_own() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("OwnSubmission", "n00", world.audit("n00", 0, "n00"))


@shows("7.4")
def _candidate() -> None:
    world = Stage().go(1)
    world.expect("ok", "n00", world.submit("n00", 0))
    world.go(1, SW + 1).expect("UnknownSubmission", "n00", world.audit("n00", 0, "n01"))


@shows("7.6")
def _first_opinion() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n01"))
    world.expect("AlreadyAudited", "n00", world.audit("n00", 0, "n01", 1))


@shows("7.7")
def _raised() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("NoAuditRaised", "n00", world.audit("n00", 0, "n01", 1))
    world.expect("ok", "n00", world.audit("n00", 0, "n01", 0))
    world.expect("ok", "n02", world.audit("n02", 0, "n01", 1))


def test_the_beacon_is_fixed_when_submit_ends_and_seeds_the_work_that_begins_after_it() -> None:
    world = Stage().submitted()
    assert view_round(world.state, world.task, 0).beacon == ""
    seed = view_task(world.state, world.task).seed
    world.go(1, SW + 2)
    beacon = view_round(world.state, world.task, 0).beacon
    assert beacon
    assert seed == view_task(world.state, world.task).seed  # round 1 is worked on already

    world.submitted(1)

    assert beacon == view_task(world.state, world.task).seed
    assert seed == view_round(world.state, world.task, 1).seed
    world.submitted(2)
    assert beacon == view_round(world.state, world.task, 2).seed
