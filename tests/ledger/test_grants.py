"""A development ledger begins with accounts from files, or with those of another ledger."""

import json
from pathlib import Path

from solders.keypair import Keypair

from ..cli.test_task import run
from .process import NEWEST, running

ADDRESS = str(Keypair().pubkey())


def write(path: Path, **account: object) -> Path:
    path.write_text(json.dumps({"pubkey": ADDRESS, "account": {"lamports": 5_000_000, **account}}))
    return path


def test_accounts_come_from_files_and_from_another_ledger(tmp_path: Path) -> None:
    plain = {"data": ["", "base64"], "owner": "1" * 32, "executable": False, "rentEpoch": 0, "space": 0}
    file = write(tmp_path / "account.json", **plain)

    with running(tmp_path / "first", None, "--account", str(file)) as first:
        assert 5_000_000 == first.call("getBalance", ADDRESS, NEWEST)["value"]
        options = ("--clone", ADDRESS, "--clone-url", first.url)
        with running(tmp_path / "second", None, *options) as second:
            assert 5_000_000 == second.call("getBalance", ADDRESS, NEWEST)["value"]


def test_what_a_genesis_cannot_hold_is_refused_and_nothing_is_created(tmp_path: Path) -> None:
    directory = tmp_path / "ledger"
    foreign = write(tmp_path / "a.json", owner="TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
    full = write(tmp_path / "b.json", data=["AAAA", "base64"])
    torn = tmp_path / "c.json"
    torn.write_text('{"pubkey": "x"')
    empty = write(tmp_path / "d.json", lamports=0)

    for path, said in (
        (foreign, "plain accounts only"),
        (full, "plain accounts only"),
        (torn, "is not an account"),
        (tmp_path / "none.json", "cannot be read"),
        (empty, f"d.json: {ADDRESS} has 0 lamports"),
    ):
        done = run("ledger", "run", "--directory", directory, "--account", path)
        assert (1, True) == (done.returncode, said in done.stderr), done.stderr
        assert not (directory / "genesis.json").exists()
    assert 2 == run("ledger", "run", "--directory", directory, "--clone", ADDRESS).returncode


def test_accounts_are_for_a_new_ledger_only(tmp_path: Path) -> None:
    directory, file = tmp_path / "ledger", write(tmp_path / "account.json")
    with running(directory):
        pass

    done = run("ledger", "run", "--directory", directory, "--account", file)

    assert (1, True) == (done.returncode, "are for a new one" in done.stderr)
