"""As root a task has a user of its own, who owns its directory and reads what it is given from anywhere."""

import multiprocessing
import os
from pathlib import Path

import pytest

from roundwork.node.confinement.namespaces import FIRST_USER, USERS, give_user
from roundwork.node.javascript.task_files import TaskFiles
from roundwork.node.python.environments import Environment

from ..node.house import House
from .features import require_backend, require_root


@pytest.fixture(params=["sandlock", "bwrap"])
def house(request: pytest.FixtureRequest, tmp_path: Path, environment: Environment) -> House:
    require_root()
    return House(tmp_path, environment, require_backend(request.param))


WHO = """
@task.submission
def submission(ctx):
    import helper
    with open(os.path.join(ctx.files, "mine"), "w") as file:
        file.write("x")
    return f"{os.getuid()} {helper.VALUE}"
"""


def test_a_task_has_a_user_of_its_own_and_keeps_it(house: House) -> None:
    house.write("")
    (house.directory / "task" / "helper.py").write_text("VALUE = 7")

    first, second = house.submit(WHO), house.submit(WHO)

    assert first is not None
    assert first == second
    user = int(first.split()[0])
    assert FIRST_USER <= user < FIRST_USER + USERS
    assert {user} == {path.lstat().st_uid for path in (house.home, *house.home.rglob("*"))}


def test_it_reads_its_package_although_only_root_may(house: House) -> None:
    folder = house.write("").parent
    helper = folder / "helper.py"
    helper.write_text("VALUE = 7")
    folder.chmod(0o700)
    helper.chmod(0o600)
    folder.joinpath("task.py").chmod(0o600)

    answer = house.submit(WHO)

    assert answer is not None
    assert answer.endswith(" 7")
    assert 0o600 == helper.stat().st_mode & 0o777


def test_its_directory_may_lie_in_its_package_and_is_still_the_only_place_that_it_writes(
    house: House,
) -> None:
    house.directory.joinpath("task").mkdir(mode=0o700)
    house.home = house.directory / "task" / "home"

    answer = house.submit("""
        @task.submission
        def submission(ctx):
            open("here", "w").close()
            try:
                open("../there", "w")
            except OSError:
                return "refused"
    """)

    assert answer == "refused"
    assert house.home.joinpath("here").exists()


def test_what_the_node_writes_for_a_task_is_the_tasks(tmp_path: Path) -> None:
    require_root()
    user = give_user(tmp_path)
    files = TaskFiles(tmp_path, 1000)

    files.call("writeFile", "file", "x")
    files.call("mkdir", "folder")
    files.call("mkdir", "deep/deeper", {"recursive": True})
    files.call("copyFile", "file", "folder/copy")

    assert len(list(tmp_path.rglob("*"))) == 5
    assert {user} == {path.lstat().st_uid for path in tmp_path.rglob("*")}


def test_what_an_older_node_left_behind_is_given_to_the_user_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    require_root()
    outside = tmp_path / "outside"
    outside.write_text("x")
    home = tmp_path / "home"
    home.joinpath("files").mkdir(parents=True)
    home.joinpath("files", "old").write_text("x")
    home.joinpath("link").symlink_to(outside)

    user = give_user(home)

    assert user == give_user(home)
    assert {user} == {path.lstat().st_uid for path in (home, *home.rglob("*"))}
    assert os.geteuid() == outside.stat().st_uid


def test_processes_of_a_task_that_start_together_have_the_same_user(tmp_path: Path) -> None:
    require_root()
    homes = [tmp_path / str(at) for at in range(20)]
    for home in homes:
        home.joinpath("files").mkdir(parents=True)
        for at in range(50):
            home.joinpath("files", str(at)).touch()
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        users = pool.starmap(give_user_to_all, [(homes,)] * 4, chunksize=1)

    assert [users[0]] * 4 == users
    for home, user in zip(homes, users[0], strict=True):
        assert {user} == {path.lstat().st_uid for path in (home, *home.rglob("*"))}


def give_user_to_all(homes: list[Path]) -> list[int]:
    return [give_user(home) for home in homes]


def test_two_tasks_are_two_users(tmp_path: Path) -> None:
    require_root()
    homes = [tmp_path / name for name in "ab"]
    for home in homes:
        home.mkdir()

    assert len({give_user(home) for home in homes}) == 2


def test_a_killed_task_leaves_no_memory_behind(house: House) -> None:
    house.submit("@task.submission\ndef submission(ctx): return 'x'")

    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    assert house.home.stat().st_uid not in {int(line.split()[7]) for line in lines}
