"""The command line: help, mistakes, and what each command does to a real ledger."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from solders.keypair import Keypair

from roundwork.cli import main
from roundwork.cli.commands import COMMANDS
from roundwork.cli.keygen import command as keygen
from roundwork.cli.options import AMOUNT, ROE, format_money, read_pairs
from roundwork.cli.root import root
from roundwork.host.keypairs import read_keypair, write_keypair
from roundwork.node.keystore import derive_keypairs
from roundwork.protocol.params import KOII

from ..ledger.process import RunningLedger, running

HELLO = Path(__file__).parent.parent.parent / "examples" / "hello"
STRANGER = str(Keypair().pubkey())
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of a command."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(each) for each in arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("cli") / "ledger") as ledger:
        yield ledger


@pytest.fixture
def do(run: Run, ledger: RunningLedger) -> Callable[..., Any]:
    """What a command prints as JSON; it must succeed."""

    def call(*arguments: object) -> Any:
        code, out, told = run(*arguments, "--url", ledger.url, "--json")
        assert (0, "") == (code, told)
        return json.loads(out)

    return call


@pytest.fixture
def rich(ledger: RunningLedger, tmp_path: Path) -> Path:
    pair, path = Keypair(), tmp_path / "rich.json"
    write_keypair(path, pair)
    ledger.fund(pair, 5_000 * KOII)
    return path


# Help


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_every_command(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, _ = run(*arguments)

    assert 0 == code
    for name, line in COMMANDS.items():
        assert name in out
        assert line in out


def test_click_has_the_same_help_and_every_command_has_its_own(run: Run) -> None:
    assert CliRunner().invoke(root, ["--help"]).output.strip() == run("--help")[1].strip()
    for name in COMMANDS:
        code, out, _ = run(name, "--help")
        assert 0 == code
        assert f"Usage: roundwork {name}" in out


def measure(*command: str) -> float:
    """Seconds that a command takes, the fastest of several."""

    def once() -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return min(once() for _ in range(7))


def test_help_costs_at_most_five_bare_interpreter_starts() -> None:
    assert measure(sys.executable, "-m", "roundwork", "--help") <= 5 * measure(sys.executable, "-c", "pass")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("up",), "TASK is missing"),
        (("up", HELLO, "--nodes", "0"), "0 is not in the range"),
        (("up", HELLO, "--param", "x"), "'x' is not of the form NAME=VALUE"),
        (("up", HELLO, "--rules", "none"), "'none' is not"),
        (("balance", "0OIl"), "'0OIl' is not an address: 32 bytes in base58"),
        (("transfer", STRANGER, "-1", "--from", "x"), "No such option"),
        (("transfer", STRANGER, "0", "--from", "x"), "0 is not in the range"),
        (("airdrop", STRANGER, 2**64), "is not in the range"),
        (("node", "run"), "Missing option '--task'"),
        (("ledger", "run", "--port", "99999"), "99999 is not in the range"),
        (("ledger", "run", "--slot-ms", "0"), "0 is not in the range"),
        (("node", "claim", "--task", STRANGER, "--to", "me"), "'me' is not an address"),
    ],
)
def test_a_wrong_call_is_explained_and_exits_with_2(
    run: Run, arguments: tuple[object, ...], message: str
) -> None:
    code, out, told = run(*arguments)

    assert (2, "") == (code, out)
    assert message in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("balance", STRANGER), "Unreachable: http://127.0.0.1:1 does not answer"),
        (("transfer", STRANGER, 1, "--from", "nowhere.json"), "BadKeypair: nowhere.json cannot be read"),
        (("task", "show", STRANGER), "Unreachable"),
        (("node", "status", "--task", STRANGER, "--directory", "nowhere"), "BadKeypair"),
        (("task", "deploy", "nowhere", "--key", "nowhere.json"), "BadKeypair"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exits_with_1(
    run: Run, arguments: tuple[object, ...], message: str
) -> None:
    code, out, told = run(*arguments, "--url", "http://127.0.0.1:1")

    assert (1, "", 1) == (code, out, told.count("\n"))
    assert told.startswith(message)


@pytest.mark.parametrize(
    "url", ["nosuch", "ftp://host", "http://", "http://host:99999", "http://[::1", "http://a\x01"]
)
def test_what_is_no_url_is_said_at_once(run: Run, url: str) -> None:
    code, out, told = run("balance", STRANGER, "--url", url)

    assert (1, "") == (code, out)
    assert f"BadConfig: --url {url!r}: it must be a URL, such as http://127.0.0.1:8899\n" == told


@pytest.mark.parametrize(
    "arguments", [("ledger", "run"), ("ledger", "info"), ("node", "run", "--task", STRANGER)]
)
def test_a_path_that_cannot_be_used_is_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, told = run(*arguments, "--directory", "/dev/null")

    assert (1, "", 1) == (code, out, told.count("\n"))
    name, _, text = told.partition(": ")
    assert name.endswith("Error")  # of Python, such as NotADirectoryError
    assert text.startswith("/dev/null")


def test_what_the_law_refuses_is_named(run: Run, ledger: RunningLedger, rich: Path) -> None:
    for asked in (
        ("show", STRANGER),
        ("close", STRANGER, "--key", rich),
        ("fund", STRANGER, 5, "--key", rich),
    ):
        code, _, told = run("task", *asked, "--url", ledger.url)

        assert (1, f"UnknownTask: there is no task at {STRANGER}\n") == (code, told)


# Keys


def test_a_keypair_is_made_and_never_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "key.json"

    code, out, _ = run("keygen", path, "--json")

    assert 0 == code
    assert {"address": str(read_keypair(path).pubkey()), "path": str(path)} == json.loads(out)
    assert (1, "", f"BadKeypair: {path} exists already; a keypair is never overwritten\n") == run(
        "keygen", path
    )


@pytest.mark.parametrize("words", ["12", "24"])
def test_a_mnemonic_gives_both_keys_again(run: Run, tmp_path: Path, words: str) -> None:
    main_path, staking_path = tmp_path / "main.json", tmp_path / "staking.json"
    made = run("keygen", main_path, "--staking", staking_path, "--mnemonic", "--words", words, "--json")[1]
    phrase = json.loads(made)["mnemonic"]
    again = tmp_path / "again.json"

    recovered = CliRunner().invoke(keygen, [str(again), "--recover"], input=f"{phrase}\n")

    assert 0 == recovered.exit_code, recovered.output
    assert read_keypair(again) == read_keypair(main_path)
    assert derive_keypairs(phrase) == (read_keypair(main_path), read_keypair(staking_path))
    assert int(words) == len(phrase.split())


# Against a ledger


def test_money_is_given_shown_and_sent(
    do: Callable[..., Any], run: Run, ledger: RunningLedger, rich: Path
) -> None:
    address = str(Keypair().pubkey())

    assert do("airdrop", address, 3 * KOII)["signature"]
    assert do("transfer", address, 500, "--from", rich)["signature"]

    assert {"address": address, "roe": 3 * KOII + 500} == do("balance", address)
    assert "3.0000005 KOII\n" == run("balance", address, "--url", ledger.url)[1]


def test_a_task_and_a_stake_in_it_from_beginning_to_end(
    do: Callable[..., Any], run: Run, ledger: RunningLedger, rich: Path, tmp_path: Path
) -> None:
    deployed = do("task", "deploy", HELLO, "--key", rich)
    task = deployed["task"]
    shown = do("task", "show", task)
    assert (True, deployed["package"], "hello") == (shown["is_active"], shown["audit_program"], shown["name"])
    do("task", "fund", task, 7, "--key", rich)
    assert shown["bounty"] + 7 == do("task", "show", task)["bounty"]
    do("task", "activate", task, "--off", "--key", rich)
    assert do("task", "show", task)["is_active"] is False

    node = tmp_path / "node"
    node.mkdir()
    (node / "main.json").write_text(rich.read_text())
    write_keypair(node / "staking.json", Keypair())
    where = ("--task", task, "--directory", node)
    do("node", "stake", *where, "--amount", 2 * KOII, "--endpoint", "http://127.0.0.1:9")
    assert 2 * KOII == do("node", "status", *where)["stake"]
    assert "http://127.0.0.1:9" in run("task", "show", task, "--url", ledger.url)[1]
    do("node", "withdraw", *where)
    assert (0, 2 * KOII) == tuple(do("node", "status", *where)[name] for name in ("stake", "available"))
    do("node", "claim", *where, "--to", STRANGER)
    assert 2 * KOII <= do("balance", STRANGER)["roe"]

    do("task", "close", task, "--key", rich)
    assert do("task", "show", task)["is_closed"] is True
    assert "stake" in run("node", "status", *where, "--url", ledger.url)[1]


# Small things


@pytest.mark.parametrize(
    ("roe", "text"),
    [
        (0, "0 KOII"),
        (1, "0.000000001 KOII"),
        (25 * 10**8, "2.5 KOII"),
        (10**18, "1,000,000,000 KOII"),
        (-7 * 10**9, "-7 KOII"),
    ],
)
def test_money_is_shown_exactly(roe: int, text: str) -> None:
    assert text == format_money(roe)


@pytest.mark.parametrize(
    ("text", "roe"),
    [
        ("5", 5),
        ("2koii", 2 * KOII),
        ("2.5 KOII", 25 * 10**8),
        ("0.000000001koii", 1),
        ("1000000000 Koii", 10**18),
        ("0.5000000000koii", KOII // 2),
    ],
)
def test_money_is_read_exactly(text: str, roe: int) -> None:
    assert roe == ROE.convert(text, None, None)


NOT_ROE = ["", "x", "1.5", "1,5", "1_000", "0x10", "1e3", "١٢", "²"]
NOT_COINS = [
    *("", "-1", "+1", "nan", "inf", "1e3", "1,5", "1,000", "1,000.5", "1.000,5", "1'000", "1 000", "1_000"),
    *(".5", "5.", "1.2.3", "0.5.", "½", "١٢", "１２"),
]
NOT_EXACT = ["007", "9" * 40]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "write roe in digits, 1500, or KOII") for text in NOT_ROE),
        *(
            (f"{text}koii", "digits, 1500, or KOII with at most one point between digits")
            for text in NOT_COINS
        ),
        *((f"{text}koii", 'write digits with at most one point between them, "1500"') for text in NOT_EXACT),
        ("007", 'write digits, "1500"'),
        ("0koii", "0 is not in the range"),
        ("0.0000000001koii", "at most 9 digits behind the point"),
        ("20000000000koii", "is not in the range"),
    ],
)
def test_an_amount_that_can_be_read_in_two_ways_is_refused(text: str, reason: str) -> None:
    with pytest.raises(click.BadParameter) as refusal:
        ROE.convert(text, None, None)

    assert reason in refusal.value.message


@pytest.mark.parametrize("text", ["", "1.5", "1,5", "1_000", " 5", "007", "١٢", "5koii", "0", str(2**64)])
def test_an_amount_of_tokens_is_digits(text: str) -> None:
    with pytest.raises(click.BadParameter):
        AMOUNT.convert(text, None, None)

    assert 5 == AMOUNT.convert("5", None, None)


def test_pairs_may_hold_equals_signs() -> None:
    assert {"start": "http://x/?a=b"} == read_pairs(("start=http://x/?a=b",), "--param")
