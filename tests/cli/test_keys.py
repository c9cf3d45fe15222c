"""Keys on the command line: words and passphrases are never arguments, and known wallets are found."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from solders.keypair import Keypair

from roundwork.host.keypairs import read_keypair, write_keypair
from roundwork.node.keystore import derive_keypairs
from roundwork.protocol.params import KOII

from ..ledger.process import RunningLedger, running
from .terminal import type_into

PHRASE = "abandon " * 11 + "about"
STRANGER = str(Keypair().pubkey())


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("keys") / "ledger") as ledger:
        yield ledger


def run(*arguments: object, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60)


def test_keygen_warns_of_a_key_that_git_would_add(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("ignored.json\n")
    (tmp_path / "elsewhere").mkdir()

    seen = run("keygen", tmp_path / "elsewhere" / "key.json", "--staking", tmp_path / "staking.json")
    hidden = run("keygen", tmp_path / ".roundwork" / "key.json", "--staking", tmp_path / "ignored.json")

    assert [
        f"warning: git adds {path} to a commit; it leaves out what lies in .roundwork/"
        for path in (tmp_path / "elsewhere" / "key.json", tmp_path / "staking.json")
    ] == seen.stderr.splitlines()
    assert (0, "") == (hidden.returncode, hidden.stderr)


def test_words_come_from_stdin_and_both_keys_from_the_words(tmp_path: Path) -> None:
    main, staking = tmp_path / "main.json", tmp_path / "staking.json"

    done = run("keygen", main, "--staking", staking, "--recover", typed=f"{PHRASE}\n")

    assert (0, "") == (done.returncode, done.stderr)
    assert derive_keypairs(PHRASE) == (read_keypair(main), read_keypair(staking))
    assert "abandon" not in done.stdout


def test_words_typed_at_a_terminal_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "key.json"

    code, shown = type_into(["keygen", path, "--recover"], ("Mnemonic: ", PHRASE))

    assert (0, True) == (code, "abandon" not in shown)
    assert read_keypair(path) == derive_keypairs(PHRASE)[0]


def test_new_words_are_shown_once_and_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "key.json"

    done = run("keygen", path, "--mnemonic", "--words", "24", "--json")

    words = json.loads(done.stdout)["mnemonic"]
    assert 24 == len(words.split())
    assert "shown once and kept nowhere" in done.stderr
    assert derive_keypairs(words)[0] == read_keypair(path)
    assert words not in "".join(each.read_text() for each in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "0 words whose checksum is wrong; a mnemonic has 12 or 24"),
        ("abandon " * 12, "12 words whose checksum is wrong"),
        (PHRASE.replace("about", "roundwork"), "word 12 of 12 is not in the English word list"),
    ],
)
def test_wrong_words_make_no_key(tmp_path: Path, typed: str, message: str) -> None:
    done = run("keygen", tmp_path / "key.json", "--recover", typed=typed)

    assert (1, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_no_words_are_shown_for_a_file_that_is_there_already(tmp_path: Path) -> None:
    taken = tmp_path / "staking.json"
    write_keypair(taken, Keypair())

    done = run("keygen", tmp_path / "main.json", "--staking", taken, "--mnemonic")

    assert (1, "") == (done.returncode, done.stdout)
    assert f"BadKeypair: {taken} exists already" in done.stderr
    assert [taken] == list(tmp_path.iterdir())


def test_a_passphrase_is_typed_twice_and_then_opens_the_key(ledger: RunningLedger, tmp_path: Path) -> None:
    path = tmp_path / "key.json"

    made, shown = type_into(
        ["keygen", path, "--encrypt"], ("Passphrase: ", "horse"), ("Repeat for confirmation: ", "horse")
    )
    ledger.fund(read_keypair(path, "horse"))
    command = ["transfer", STRANGER, 5, "--from", path, "--url", ledger.url]
    paid, told = type_into(command, (f"Passphrase of {path}: ", "horse"))
    refused, reason = type_into(command, (f"Passphrase of {path}: ", "cow"))

    assert (0, 0, 1) == (made, paid, refused), (shown, told)
    assert "the passphrase is wrong" in reason
    assert "horse" not in shown + told


def test_a_passphrase_comes_from_a_file_or_a_variable(
    ledger: RunningLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, word = tmp_path / "key.json", tmp_path / "passphrase"
    word.write_text("horse\n")
    command = ("transfer", STRANGER, 5, "--from", path, "--url", ledger.url)

    made = run("keygen", path, "--encrypt", "--passphrase-file", word)
    ledger.fund(read_keypair(path, "horse"))

    assert (0, 0) == (made.returncode, run(*command, "--passphrase-file", word).returncode)
    refused = run(*command)
    assert (1, True) == (refused.returncode, "is encrypted; give its passphrase in" in refused.stderr)
    monkeypatch.setenv("ROUNDWORK_PASSPHRASE", "horse")
    assert 0 == run(*command).returncode
    monkeypatch.delenv("ROUNDWORK_PASSPHRASE")
    missing = run("keygen", tmp_path / "other.json", "--encrypt")
    assert (1, True) == (missing.returncode, "--encrypt needs a passphrase" in missing.stderr)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_passphrase_file_that_is_none_is_named(tmp_path: Path, content: str | None) -> None:
    word = tmp_path / "passphrase"
    if content is not None:
        word.write_text(content)

    done = run("keygen", tmp_path / "key.json", "--encrypt", "--passphrase-file", word)

    assert 1 == done.returncode
    assert f"BadKeypair: {word}, the passphrase file, " in done.stderr


def test_no_command_takes_a_passphrase_as_an_argument() -> None:
    for command in (("transfer",), ("task", "deploy"), ("node", "run"), ("node", "claim"), ("keygen",)):
        done = run(*command, "--passphrase", "horse")
        assert 2 == done.returncode
        assert "No such option" in done.stderr, command


# Solana's configuration


@pytest.mark.parametrize("name", ["solana", "koii"])
def test_what_solanas_command_line_is_configured_with_counts_and_is_said(
    ledger: RunningLedger, home: Path, name: str
) -> None:
    pair = Keypair()
    write_keypair(home / "id.json", pair)
    ledger.fund(pair, 7 * KOII)
    config = home / ".config" / name / "cli" / "config.yml"
    config.parent.mkdir(parents=True)
    config.write_text(f"---\njson_rpc_url: {ledger.url}\nwebsocket_url: ''\nkeypair_path: ~/id.json\n")

    balance = run("balance", "--json")
    sent = run("transfer", STRANGER, 5)

    assert {"address": str(pair.pubkey()), "roe": 7 * KOII} == json.loads(balance.stdout)
    assert f"using key ~/id.json (keypair_path of {config})" in balance.stderr
    assert f"using ledger {ledger.url} (json_rpc_url of {config})" in balance.stderr
    assert 0 == sent.returncode, sent.stderr
    assert "using" not in run("balance", STRANGER, "--url", ledger.url).stderr


def test_without_options_and_configuration_the_key_is_asked_for(home: Path) -> None:
    config = home / ".config" / "solana" / "cli" / "config.yml"
    config.parent.mkdir(parents=True)
    config.write_text("[")

    done = run("transfer", STRANGER, 5)

    assert 2 == done.returncode
    assert "Missing option '--from'" in done.stderr
    assert f"nothing of {config}, which cannot be read" in done.stderr


def test_a_ledger_that_is_none_of_ours_is_never_sent_anything(home: Path, tmp_path: Path) -> None:
    source = (
        "from http.server import *\n"
        "class Foreign(BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        asked = self.rfile.read(int(self.headers['content-length']))\n"
        "        print(asked.decode(), flush=True)\n"
        '        body = b\'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}\'\n'
        "        self.send_response(200)\n"
        "        self.send_header('content-length', str(len(body)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "server = HTTPServer(('127.0.0.1', 0), Foreign)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    write_keypair(tmp_path / "id.json", Keypair())
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as foreign:
        assert foreign.stdout is not None
        url = f"http://127.0.0.1:{foreign.stdout.readline().strip()}"

        done = run("transfer", STRANGER, 5, "--from", tmp_path / "id.json", "--url", url)

        foreign.terminate()
        asked = foreign.stdout.read()
    assert f"RemoteError: {url} is not a ledger of roundwork: Method not found (-32601)\n" == done.stderr
    assert ["getLedger"] == [json.loads(line)["method"] for line in asked.splitlines()]
