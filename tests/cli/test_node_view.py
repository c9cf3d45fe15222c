"""What an operator agreed to: the task that was named, and successors that ask for the same."""

from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from roundwork.cli.node_view import Agreement
from roundwork.errors import BadConfig
from roundwork.package.folder import Package, load_package
from roundwork.views import TaskView

from ..package.test_folder import write_task

FIRST, SECOND, THIRD = (str(Keypair().pubkey()) for _ in range(3))
HOSTS = "roundwork: {hosts: [example.org]}"
MORE = "roundwork: {hosts: ['*']}"


def make(folder: Path, more: str) -> Package:
    folder.mkdir(exist_ok=True)
    return load_package(write_task(folder, more))


def of(address: str, predecessor: str | None = None) -> TaskView:
    fields: dict[str, Any] = dict.fromkeys(TaskView.__struct_fields__, 0)
    return TaskView(**{**fields, "address": address, "migrated_from": predecessor})


def test_yes_is_for_the_task_that_was_named_and_for_successors_that_ask_for_the_same(tmp_path: Path) -> None:
    asks, asks_for_more = make(tmp_path / "a", HOSTS), make(tmp_path / "b", MORE)
    agree = Agreement(tmp_path, FIRST, True)
    agree(asks, asks.hosts, of(FIRST))

    agree(asks, asks.hosts, of(SECOND, FIRST))
    with pytest.raises(BadConfig) as refused:
        agree(asks_for_more, asks_for_more.hosts, of(THIRD, SECOND))

    assert f"agree to it with `node run --task {THIRD} --yes`" in str(refused.value)
    Agreement(tmp_path, THIRD, True)(asks_for_more, asks_for_more.hosts, of(THIRD, SECOND))
    agree(asks_for_more, asks_for_more.hosts, of(THIRD, SECOND))


def test_what_was_agreed_to_for_one_task_is_not_for_a_strangers_task(tmp_path: Path) -> None:
    asks = make(tmp_path / "a", HOSTS)
    Agreement(tmp_path, FIRST, True)(asks, asks.hosts, of(FIRST))

    with pytest.raises(BadConfig, match="agree to it with --yes"):
        Agreement(tmp_path, SECOND, False)(asks, asks.hosts, of(SECOND))

    Agreement(tmp_path, FIRST, False)(asks, asks.hosts, of(FIRST))


@pytest.mark.parametrize("text", ["", "[]", "{", "5"])
def test_what_cannot_be_read_was_not_agreed_to(tmp_path: Path, text: str) -> None:
    asks = make(tmp_path / "a", HOSTS)
    (tmp_path / "agreed.json").write_text(text)

    with pytest.raises(BadConfig):
        Agreement(tmp_path, FIRST, False)(asks, asks.hosts, of(FIRST))


def test_a_successor_that_asks_for_less_than_everybody_has_needs_nobody(tmp_path: Path) -> None:
    asks, modest = make(tmp_path / "a", HOSTS), make(tmp_path / "b", "")
    agree = Agreement(tmp_path, FIRST, True)
    agree(asks, asks.hosts, of(FIRST))

    agree(modest, modest.hosts, of(SECOND, FIRST))
