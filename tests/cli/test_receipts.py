"""What commands say of money that they moved: how much, and what is there now."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roundwork.protocol.params import KOII, TASK_PROGRAM, base58_of
from roundwork.wire import format_money

from ..ledger.process import RunningLedger, running
from .test_task import make, run

FEE = 5_000


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("receipts") / "ledger") as ledger:
        yield ledger


def keygen(path: Path) -> str:
    address: str = json.loads(run("keygen", path, "--json").stdout)["address"]
    return address


def read(*arguments: object) -> dict[str, Any]:
    """What a command prints as JSON; it must succeed."""
    done = run(*arguments, "--json")
    assert 0 == done.returncode, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def read_line(*arguments: object) -> str:
    """The first line that a command prints for people; the second has the signature."""
    done = run(*arguments)
    assert 0 == done.returncode, done.stderr
    line, signature = done.stdout.splitlines()
    assert signature.startswith("signature ")
    return line


def test_money_that_is_given_and_sent_is_shown_with_the_balance_after(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    mine, theirs = keygen(tmp_path / "mine.json"), keygen(tmp_path / "theirs.json")
    url = ("--url", ledger.url)

    given = read_line("airdrop", mine, "3koii", *url)
    facts = read("airdrop", mine, "0.5koii", *url)
    sent = read_line("transfer", theirs, "1.25koii", "--from", tmp_path / "mine.json", *url)

    assert f"the faucet gave 3 KOII to {mine}, which holds 3 KOII now" == given
    assert (mine, 5 * 10**8, 35 * 10**8) == (facts["address"], facts["roe"], facts["balance"])
    assert f"sent 1.25 KOII to {theirs}; {mine} holds 2.249995 KOII now" == sent


@pytest.mark.slow
def test_a_stake_is_shown_as_it_grows_is_withdrawn_and_claimed(ledger: RunningLedger, tmp_path: Path) -> None:
    url = ("--url", ledger.url)
    manager, key = (
        keygen(tmp_path / "manager.json"),
        ("--key", tmp_path / "manager.json", "--url", ledger.url),
    )
    read("airdrop", manager, "100koii", *url)
    deployed = read("task", "deploy", make(tmp_path / "task"), *key)
    task, held = deployed["task"], read("balance", manager, *url)["roe"]
    node, target = tmp_path / "node", keygen(tmp_path / "target.json")
    main, _ = keygen(node / "main.json"), keygen(node / "staking.json")
    read("airdrop", main, "20koii", *url)
    where = ("--task", task, "--directory", node, *url)

    funded = read("task", "fund", task, "2.5koii", *key)
    staked = read_line("node", "stake", "--amount", "4koii", *where)
    more = read("node", "stake", "--amount", "1koii", *where)
    withdrawn = read_line("node", "withdraw", *where)
    status = run("node", "status", *where).stdout
    claimed = read_line("node", "claim", "--to", target, *where)
    read("node", "stake", "--amount", "1koii", *where)
    read("node", "withdraw", *where)
    before = read("balance", main, *url)["roe"]
    own = read("node", "claim", *where)
    closed = read("task", "close", task, *key)

    assert (11 * KOII, held) == (deployed["bounty"], deployed["balance"])
    assert (25 * 10**8, 135 * 10**8) == (funded["amount"], funded["bounty"])
    assert "staked 4 KOII; the stake is 4 KOII now" == staked
    assert (5 * KOII, 0) == (more["stake"], more["available"])
    assert "withdrew the stake; 5 KOII can be claimed now" == withdrawn
    assert "0 proofs, paid 0 KOII, slashed 0 KOII" in status
    assert f"claimed 5 KOII for {target}, which holds 5 KOII now" == claimed
    # The main key pays the fee of the claim that pays it: what was claimed is the whole.
    assert (KOII, before + KOII - 2 * FEE) == (own["amount"], own["balance"])
    assert read("balance", manager, *url)["roe"] == closed["balance"]
    assert "closed\n" in run("node", "status", *where).stdout


def test_amounts_of_a_token_are_shown_in_tokens(ledger: RunningLedger, tmp_path: Path) -> None:
    mine, theirs = keygen(tmp_path / "mine.json"), keygen(tmp_path / "theirs.json")
    options = ("--key", tmp_path / "mine.json", "--url", ledger.url)
    read("airdrop", mine, "10koii", "--url", ledger.url)
    mint = read("token", "create", "--decimals", "2", *options)["mint"]

    made = read_line("token", "mint", mint, mine, "1050", *options)
    sent = read_line("token", "send", mint, theirs, "25", *options)
    facts = read("token", "send", mint, theirs, "25", *options)

    assert f"made 10.5 tokens for {mine}, which holds 10.5 tokens now" == made
    assert f"sent 0.25 tokens to {theirs}; {mine} holds 10.25 tokens now" == sent
    assert (25, 1000) == (facts["amount"], facts["balance"])


def test_a_task_is_shown_in_groups_with_units_and_yes_or_no(ledger: RunningLedger, tmp_path: Path) -> None:
    manager = keygen(tmp_path / "manager.json")
    options = ("--key", tmp_path / "manager.json", "--url", ledger.url)
    read("airdrop", manager, "100koii", "--url", ledger.url)
    folder = make(tmp_path / "task", bounty_amount_per_round="2")
    done = run("task", "deploy", folder, *options)
    task = done.stdout.splitlines()[0].split()[1]

    shown = run("task", "show", task, "--url", ledger.url).stdout

    held = format_money(read("balance", manager, "--url", ledger.url)["roe"])
    assert f"paid in 11 KOII; {manager} holds {held} now" in done.stderr.splitlines()
    lines = shown.splitlines()
    assert lines[0].endswith(f"  {task}")
    assert ["money", "rounds", "state", "addresses"] == [line for line in lines if line.isalpha()]
    facts = dict(line[2:].split("  ", 1) for line in lines if line.startswith("  ") and "  " in line[2:])
    facts = {name: value.strip() for name, value in facts.items()}
    assert "11 KOII, pays 5 more rounds" == facts["bounty"]
    assert "2 KOII at most" == facts["bounty per round"]
    view = ledger.call("getTask", task)
    seconds = f"{view['round_time'] * 50 / 1000:,g} s"
    assert f"{view['round_time']:,} slots, {seconds}" == facts["round time"]
    assert ("yes", "no") == (facts["active"], facts["closed"])
    assert (manager, base58_of(TASK_PROGRAM)) == (facts["manager"], facts["program"])
    assert "none" == facts["open rounds"]
