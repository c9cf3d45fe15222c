"""Stakes and balances of nodes: what is put in, locked, taken out."""

from roundwork.protocol.tasks import instructions as ins

from .registry import shows
from .stage import AW, SW, Stage, T


@shows("4.14")
def _amount() -> None:
    world = Stage()
    world.expect("BadAmount", "n00", world.stake("n00", 0))
    world.expect("BadAmount", "n00", ins.FundTask(world.task, world.key("n00"), world.key("pot"), 0))


@shows("4.17")
def _has_stake() -> None:
    world = Stage()
    world.expect("NotStaked", "manager", world.withdraw("manager"))


@shows("4.18")
def _locked_by_messages() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n01", world.audit("n01", 0, "n00"))
    world.expect("StakeLocked", "n00", world.withdraw("n00"))
    world = Stage({"allowed_failed_distributions": 90}).submitted()
    world.go(5).expect("StakeLocked", "n00", world.withdraw("n00"))


@shows("4.19")
def _locked_after_submission() -> None:
    world = Stage().paid()
    world.expect("StakeLocked", "n00", world.withdraw("n00"))
    world.go(3, T - 1).expect("StakeLocked", "n00", world.withdraw("n00"))
    world.go(4).expect("ok", "n00", world.withdraw("n00"))


@shows("4.20")
def _settling() -> None:
    world = Stage(settle_records_max=1).listed({"n00": 20, "n01": 20, "n02": 20}).go(2, SW + AW + 1)
    assert world.do("n00", world.claim("n00")) == "PayoutPending"  # the first of three entries is paid
    assert world.do("n00", world.withdraw("n00")) == "PayoutPending"
    assert world.do("n00", world.claim("n00")) == "ok"


@shows("4.21")
def _claimable() -> None:
    world = Stage()
    world.expect("NothingToClaim", "n00", world.claim("n00"))


def test_an_endpoint_stays_until_another_is_given() -> None:
    world = Stage()
    pot = world.key("pot")
    for endpoint in (b"http://one", b"", b"http://two"):
        world.expect("ok", "n00", ins.Stake(world.task, world.key("n00"), pot, 1, endpoint))
        kept = world.state.get_stakes(world.task).rows[world.key("n00")].endpoint
        assert (endpoint or b"http://one") == kept
