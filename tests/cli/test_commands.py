"""The command line, against a real ledger: what a person does from the first key to a closed task."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from ..ledger.process import RunningLedger, running

ROOT = Path(__file__).parents[2]
KOII = 10**9
NOBODY = "Koiitask22222222222222222222222222222222222"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("cli") / "ledger") as one:
        yield one


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def ask(*arguments: object) -> dict[str, Any]:
    """What a command prints with --json."""
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_money_comes_from_the_faucet_and_goes_where_it_is_sent(ledger: RunningLedger, tmp_path: Path) -> None:
    mine = ask("keygen", tmp_path / "mine.json")["address"]
    theirs = ask("keygen", tmp_path / "theirs.json")["address"]

    ask("airdrop", mine, 5 * KOII, "--url", ledger.url)
    ask("transfer", theirs, KOII, "--from", tmp_path / "mine.json", "--url", ledger.url)

    assert KOII == ask("balance", theirs, "--url", ledger.url)["roe"]
    before = ask("balance", mine, "--url", ledger.url)["roe"]
    options = ["--from", tmp_path / "mine.json", "--url", ledger.url, "--priority-fee", 700]
    assert before - 1 - 5000 - 700 == ask("transfer", theirs, 1, *options)["balance"]
    assert "1" in run("balance", theirs, "--url", ledger.url).stdout


def test_a_task_is_deployed_shown_funded_shut_and_closed(ledger: RunningLedger, tmp_path: Path) -> None:
    key = tmp_path / "manager.json"
    address = ask("keygen", key)["address"]
    ask("airdrop", address, 5000 * KOII, "--url", ledger.url)
    options = ["--key", key, "--url", ledger.url]

    task = ask("task", "deploy", ROOT / "examples" / "hello", *options)["task"]
    before = ask("task", "show", task, "--url", ledger.url)
    ask("task", "fund", task, 7, *options)
    ask("task", "activate", task, "--off", *options)
    after = ask("task", "show", task, "--url", ledger.url)
    ask("task", "close", task, *options)

    assert (True, False) == (before["is_active"], after["is_active"])
    assert before["bounty"] + 7 == after["bounty"]
    assert ask("task", "show", task, "--url", ledger.url)["is_closed"]
    assert "hello" in run("task", "show", task, "--url", ledger.url).stdout


def test_a_task_is_updated_its_successor_has_the_bounty_and_says_where_it_came_from(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    key = tmp_path / "manager.json"
    address = ask("keygen", key)["address"]
    ask("airdrop", address, 5000 * KOII, "--url", ledger.url)
    options = ["--key", key, "--url", ledger.url]
    folder = ROOT / "examples" / "hello"
    task = ask("task", "deploy", folder, *options)["task"]
    bounty = ask("task", "show", task, "--url", ledger.url)["bounty"]

    successor = ask("task", "update", task, folder, *options)["task"]

    old, new = (ask("task", "show", one, "--url", ledger.url) for one in (task, successor))
    assert (0, bounty) == (old["bounty"], new["bounty"])
    assert (successor, task) == (old["migrated_to"], new["migrated_from"])
    assert new["is_active"]
    refused = run("task", "fund", task, 5, *options)
    assert "TaskClosed" in refused.stderr


def test_info_and_verify_read_what_is_on_disk(ledger: RunningLedger) -> None:
    info = ask("ledger", "info", "--directory", ledger.directory)
    facts = ask("ledger", "verify", "--directory", ledger.directory)

    assert "roundwork-dev" == info["chain"]
    assert 10**18 == facts["supply"]
    assert "every signature and every hash" in run("ledger", "verify", "--directory", ledger.directory).stdout


def test_help_names_every_command() -> None:
    text = run("--help").stdout

    for name in ("up", "ledger", "node", "task", "keygen", "balance", "airdrop", "transfer"):
        assert name in text
        assert run(name, "--help").returncode == 0
    assert 2 == run("nothing").returncode


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["balance", NOBODY, "--url", "http://127.0.0.1:1"], "does not answer"),
        (["task", "deploy", "nowhere", "--key", "none.json"], "none.json"),
        (["ledger", "info", "--directory", "nowhere"], "genesis.json"),
        (["ledger", "verify", "--directory", "nowhere"], "genesis.json"),
        (["transfer", NOBODY, "5", "--from", "none.json"], "none.json"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "roundwork", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )

    assert 1 == done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())


def test_verify_says_in_one_line_which_blocks_of_the_journal_are_lost(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        one.fund(Keypair())
    (tmp_path / "journal.db").unlink()

    done = run("ledger", "verify", "--directory", tmp_path)

    [line] = done.stderr.splitlines()
    assert (1, "") == (done.returncode, done.stdout)
    assert line.startswith(f"StoreCorrupt: {tmp_path}/journal.db ends at block 0, ")
    assert "blocks 1 to " in line


def test_a_rejection_of_the_law_is_said_with_its_numbers(ledger: RunningLedger, tmp_path: Path) -> None:
    ask("keygen", tmp_path / "mine.json")
    mine = json.loads(run("keygen", tmp_path / "other.json", "--json").stdout)["address"]
    ask("airdrop", mine, KOII, "--url", ledger.url)

    done = run("transfer", mine, 10**15, "--from", tmp_path / "other.json", "--url", ledger.url)

    assert 1 == done.returncode
    assert "BalanceTooLow" in done.stderr
    assert "1000000000000000" in done.stderr


def test_a_token_is_made_sent_and_pays_a_task_that_is_funded_staked_in_and_closed(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    key, url = tmp_path / "manager.json", ["--url", ledger.url]
    mine = ask("keygen", key)["address"]
    ask("airdrop", mine, 500 * KOII, *url)
    options = ["--key", key, *url]
    mint = ask("token", "create", "--decimals", 6, *options)["mint"]
    ask("token", "mint", mint, mine, 3000 * 10**6, *options)
    folder = tmp_path / "hello"
    shutil.copytree(ROOT / "examples" / "hello", folder)
    config = folder / "config-task.yml"
    config.write_text(f"{config.read_text()}\ntask_type: KPL\ntoken_type: {mint}\n")
    node = tmp_path / "node"
    main = ask("keygen", node / "main.json")["address"]
    ask("keygen", node / "staking.json")
    ask("airdrop", main, KOII, *url)
    ask("token", "send", mint, main, 5 * 10**6, *options)

    task = ask("task", "deploy", folder, *options)["task"]
    ask("task", "fund", task, 7, *options)
    where = ["--task", task, "--directory", node, *url]
    ask("node", "stake", "--amount", 2 * 10**6, *where)
    view = ask("task", "show", task, *url)
    told = run("node", "status", *where).stdout
    ask("node", "withdraw", *where)
    ask("node", "claim", *where)
    ask("task", "close", task, *options)

    assert (mint, 2 * 10**6) == (view["mint"], view["stakes"][0]["amount"])
    assert f"{mint}\n" in told
    assert "2 tokens" in told
    assert "KOII and 3 tokens" in told
    assert {"mint": mint, "owner": main, "amount": 5 * 10**6, "decimals": 6} == ask(
        "token", "balance", mint, main, *url
    )
    assert f"2,995 {mint}\n" == run("token", "balance", mint, mine, *url).stdout
