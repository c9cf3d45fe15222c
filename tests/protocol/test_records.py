"""Records: what the state keeps comes back from its bytes as it was."""

import msgspec

from roundwork.protocol.records import Record
from roundwork.protocol.state import TABLE_KINDS
from roundwork.protocol.tasks import instructions as ins

from .hardened import Hardened
from .stage import AW, SW, Stage
from .world import World


def test_every_kind_of_record_survives_its_bytes() -> None:
    world = Stage(settle_records_max=1).submitted().go(1, SW + 1)
    seen = _check_records(world)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.go(2)
    node = world.key("n01")
    world.expect("ok", "n01", ins.UploadDistributionList(world.task, node, 0, 2, b"{}".ljust(508), 0))
    seen |= _check_records(world)
    world.expect_list("ok", "n00", 0, {"n00": 40, "n01": 30})
    world.go(2, SW + AW + 1).block()
    seen |= _check_records(world)
    hardened = Hardened()
    hardened.play(lambda: seen.update(_check_records(hardened)))

    assert {kind.record for kind in TABLE_KINDS.values()} == seen


def _check_records(world: World) -> set[type[Record]]:
    """The kinds of records that the state holds; each record is read from its bytes as it was written."""
    records = [record for table in world.state.tables.values() for record in table.rows.values()]
    for record in records:
        assert record == msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record))
    return {type(record) for record in records}
