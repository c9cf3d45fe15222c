"""The control groups that bound a task's threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from roundwork.node.confinement import pids


@pytest.mark.skipif(not pids.is_enforced(), reason="this machine lets us make no control groups")
def test_threads_let_go_of_their_groups_at_the_same_time() -> None:
    def use(_: int) -> None:
        groups = [pids.PidsGroup(1) for _ in range(3)]
        for group in groups:
            group.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(200)))

    assert not pids._left
