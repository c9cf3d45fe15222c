"""Secrets are blacked out of logs, errors and what people see, also cut, quoted and over several lines."""

import asyncio
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from roundwork.errors import TaskFailed
from roundwork.node.javascript.process import JavascriptSetting, JavascriptTask, find_free_port
from roundwork.node.keystore import derive_keypairs, make_mnemonic
from roundwork.node.python.lanes import Lanes
from roundwork.shown import PART_CHARACTERS, Blackout

from ..node.house import SEED, House

SECRET = 's3cr&t "Pässwörd"\\/+%41 of-the-node'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAAS\nAgEAAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----"
PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "repr": repr,
    "json": json.dumps,
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json in utf-8": lambda text: json.dumps(text, ensure_ascii=False),
    "url": quote,
    "base64": lambda text: b64encode(b"xy" + text.encode() + b"z").decode(),
    "hex": lambda text: text.encode().hex(),
    "cut behind": lambda text: text[: len(text) * 2 // 3],
    "cut in front": lambda text: text[len(text) // 3 :],
    "cut and quoted": lambda text: f"{text!r:.24}",
}


def check_hidden(secret: str, shown: str) -> None:
    """No part of the secret that is long enough to be of use is shown."""
    for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], secret.encode().hex(), quote(secret)):
        for at in range(len(form) - 2 * PART_CHARACTERS):
            assert form[at : at + 2 * PART_CHARACTERS] not in shown


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [SECRET, KEY], ids=["text", "lines"])
def test_every_form_of_a_secret_is_hidden(secret: str, form: str) -> None:
    written = FORMS[form](secret)

    shown = Blackout({"NAME": secret}).hide(f"before {written} behind")

    assert shown.startswith("before ")
    assert shown.endswith(" behind")
    assert "[NAME]" in shown
    check_hidden(secret, shown)


def test_each_line_of_a_secret_is_hidden_by_itself() -> None:
    blackout = Blackout({"NAME": KEY})

    assert {"[NAME]"} == {blackout.hide(line) for line in KEY.splitlines()}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@host/x", "https://[hidden]@host/x"),
        ("https://host/x?api_key=abc&page=2", "https://host/x?api_key=[hidden]&page=2"),
        ("wss://host?key=abc'", "wss://host?key=[hidden]'"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer [hidden]"),
        ("https://host/@user/page?x=1", "https://host/@user/page?x=1"),
        ("basic abandon", "basic abandon"),
    ],
)
def test_keys_in_urls_are_hidden_without_being_known(text: str, shown: str) -> None:
    assert shown == Blackout().hide(text)


def test_an_error_hides_the_key_of_the_ledgers_url() -> None:
    for url in (
        "http://user:hunter2hunter2@127.0.0.1:9/",
        "http://127.0.0.1:9/v2/abc123def456abc123def4?key=hunter2x",
    ):
        done = run("balance", "11111111111111111111111111111111", "--url", url)

        assert 1 == done.returncode
        assert "does not answer" in done.stderr
        for secret in ("hunter2", "abc123def456"):
            assert secret not in done.stderr + done.stdout


def test_a_wrong_secret_option_is_not_quoted() -> None:
    done = run("node", "run", "--task", "11111111111111111111111111111111", "--secret", "hunter2hunter2")

    assert 2 == done.returncode
    assert "number 1 is not NAME=VALUE" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("separator", [",", ", ", ";", "-", "\t", "  "])
def test_a_mnemonic_with_other_separators_is_read(separator: str) -> None:
    phrase = make_mnemonic()

    assert derive_keypairs(phrase) == derive_keypairs(separator.join(phrase.split()))


def test_no_error_shows_a_word_of_a_mnemonic(tmp_path: Path) -> None:
    words = PHRASE.split()
    for wrong in ("".join(words), " ".join(words[:-1]), " ".join([*words, "zzzz"]), ",".join([*words, "x"])):
        done = run("keygen", tmp_path / "key.json", "--recover", stdin=wrong)

        assert 1 == done.returncode
        assert "BadKeypair" in done.stderr
        assert not any(word in done.stderr for word in words)


def test_a_task_that_fails_shows_its_secret_neither_in_the_log_nor_in_the_error(house: House) -> None:
    source = """
    @task.work
    def work(ctx):
        secret = ctx.secrets["NAME"]
        print(secret)
        print(repr(secret), secret[:20], sep="\\n")
        raise ValueError(f"failed with {secret!r:.30}")
    """
    for secret in (SECRET, KEY):
        house.lines.clear()

        async def work(lanes: Lanes) -> str:
            with pytest.raises(TaskFailed) as failed:
                await lanes.work(0, SEED, 20)
            return str(failed.value)

        error = house.run(source, work, secrets={"NAME": secret})

        assert "[NAME]" in error
        assert any("[NAME]" in line for line in house.lines)
        check_hidden(secret, "\n".join([error, *house.lines]))


PRINT_COMMAND = """
const fs = require('fs');
console.log('command', fs.readFileSync('/proc/self/cmdline', 'utf8').split('\\0').join(' '));
console.log('arguments', process.argv.length, process.argv[2], process.env.MAIN_JS_ARGUMENTS);
process.exit(1);
"""


def test_no_secret_is_in_the_command_line_of_a_main_js(tmp_path: Path) -> None:
    program = tmp_path / "task" / "main.js"
    program.parent.mkdir()
    program.write_text(PRINT_COMMAND)
    lines: list[str] = []
    setting = JavascriptSetting(
        task="TASK", name="hello", program=program, home=tmp_path / "home", main_key="Main",
        secret="hunter2hunter2", ledger_url="http://user:swordfish1@127.0.0.1:9", service_url="http://127.0.0.1:9",
        web_port=find_free_port(), node_port=1, variables={"TOKEN": "correcthorse"},
    )  # fmt: skip
    task = JavascriptTask(setting, "none", lines.append)

    async def work() -> None:
        await task.run(5, lambda standing: None)
        await task.close()

    asyncio.run(work())

    [command] = [line for line in lines if "command" in line]
    assert str(program) in command
    for secret in ("[secret]", "[hidden]", "[TOKEN]", "hunter2", "swordfish", "correcthorse"):
        assert secret not in command
    assert "javascript: arguments 12 hello undefined" in lines


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roundwork", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
