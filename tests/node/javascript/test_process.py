"""A main.js is started, told, confined and ended as the published contract and our sandbox say."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from roundwork.errors import BadConfig, TaskFailed
from roundwork.node.confinement.order import Limits
from roundwork.node.confinement.watch import list_descendants, measure_resident
from roundwork.node.javascript.process import (
    PAUSE_SECONDS_MAX,
    JavascriptTask,
    compute_endpoints,
    compute_pause_seconds,
)
from roundwork.node.javascript.standing import Standing
from roundwork.node.javascript.steps import Step

from ..house import require_sandbox
from ..peers.neighbours import serve
from .mainjs import SECRET, TASK, MainJs, require_node, run_main

TELL = "const tell = (name, value) => console.log(name, JSON.stringify(value));\n"
STAY = "setInterval(() => {}, 1000);\n"


@pytest.fixture(autouse=True)
def node() -> None:
    require_node()


@pytest.fixture(params=["sandlock", "bwrap"])
def sandbox(request: pytest.FixtureRequest) -> str:
    return require_sandbox(request.param)


async def until_running(main: MainJs) -> None:
    await main.wait_for(lambda line: "ready" in line)


def test_arguments_and_environment_are_those_of_the_contract(tmp_path: Path, sandbox: str) -> None:
    source = TELL + "tell('argv', process.argv.slice(1)); tell('env', process.env); " + STAY

    async def run() -> None:
        async with run_main(
            tmp_path, source, sandbox, variables={"API_KEY": "hush", "MODE": "production"}
        ) as main:
            setting = main.program.setting
            argv, env = await main.read("argv"), await main.read("env")
            assert argv == [
                str(setting.program), "a name", TASK, str(setting.web_port), "service", "Main", "[secret]",
                setting.ledger_url, "http://service", "7", str(setting.node_port),
            ]  # fmt: skip
            assert set(env) == {"API_KEY", "MODE", "PATH"}
            assert env["API_KEY"] == "[API_KEY]"
            assert not any(SECRET in line or "hush" in line for line in main.lines)

    asyncio.run(run())


def test_steps_arrive_as_messages_of_node_ipc(tmp_path: Path, sandbox: str) -> None:
    source = TELL + "process.on('message', (message) => { tell('message', message); process.send('no'); });"

    async def run() -> None:
        async with run_main(tmp_path, source + "console.log('ready')", sandbox) as main:
            await until_running(main)
            main.program.send(Step("executeTask", 5))
            main.program.send(Step("generateAndSubmitDistributionList", 3, True))
            first, second = await main.read("message"), await main.read("message", 2)
            assert {"functionCall": "executeTask", "roundNumber": 5, "isPreviousRoundFailed": False} == first
            assert ("generateAndSubmitDistributionList", 3, True) == tuple(second.values())

    asyncio.run(run())


CAUGHT_BY_NOTHING = "ended by an exception that nothing caught"
ITSELF = "ended itself with exit code 1: it is not started again"


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("process.exit(0)", "ended with exit code 0"),
        ("process.exit(7)", "ended with exit code 7"),
        ("process.exitCode = 5; process.disconnect()", "ended with exit code 5"),
        ("throw new Error('x')", CAUGHT_BY_NOTHING),
        ("null.x", CAUGHT_BY_NOTHING),
        ("Promise.reject(new Error('x'))", CAUGHT_BY_NOTHING),
        ("setTimeout(() => { throw 1 }, 1)", CAUGHT_BY_NOTHING),
        ("process.kill(process.pid, 'SIGKILL')", "ended: killed by SIGKILL"),
    ],
)
def test_a_process_that_ends_otherwise_waits_for_its_restart(tmp_path: Path, end: str, how: str) -> None:
    require_sandbox("sandlock")
    source = f"process.on('message', () => {{ {end} }}); console.log('ready');"

    async def run() -> None:
        async with run_main(tmp_path, source) as main:
            await until_running(main)
            main.program.send(Step("executeTask", 0))
            expected = f"{how}: started again in 2 s"
            await main.wait_for(lambda line: line == f"javascript: {expected}")
            assert [Standing("runs", 1), Standing("waits", 1, expected)] == main.standings

    asyncio.run(run())


def test_it_is_started_again_after_the_pause(tmp_path: Path, sandbox: str) -> None:
    source = "process.on('message', () => process.exit(0)); console.log('ready');"

    async def run() -> None:
        async with run_main(tmp_path, source, sandbox) as main:
            await until_running(main)
            main.program.send(Step("executeTask", 0))
            await main.wait_for(lambda line: line == "javascript: ready", 2)
            assert 2 == main.program.starts
            assert Standing("runs", 2, "ended with exit code 0: started again in 2 s") == main.standings[-1]

    asyncio.run(run())


@pytest.mark.parametrize(
    "end",
    [
        "process.exit(1)",
        "process.exit('1')",
        "process.exitCode = 1; process.exit()",
        "const { exit } = require('node:process'); exit(1)",
        "import('node:process').then(({ exit }) => exit(1))",
        "process.removeAllListeners('exit'); process.exit(1)",
        "process.on('uncaughtException', () => process.exit(1)); throw new Error('x')",
    ],
)
def test_exit_1_by_its_own_call_stops_it_for_good(tmp_path: Path, end: str) -> None:
    require_sandbox("sandlock")
    source = f"process.on('message', () => {{ {end} }}); console.log('ready');"

    async def run() -> None:
        async with run_main(tmp_path, source) as main:
            await until_running(main)
            main.program.send(Step("executeTask", 0))
            await asyncio.wait_for(main.running, 30)
            assert f"javascript: {ITSELF}" in main.lines
            assert [Standing("runs", 1), Standing("stopped", 1, ITSELF)] == main.standings
            assert not main.program.is_running

    asyncio.run(run())


def test_it_sees_its_own_exit_code(tmp_path: Path, sandbox: str) -> None:
    source = """
        process.on('exit', (code) => require('fs').writeFileSync('code', `${code}`));
        process.on('message', () => process.exit(1));
        console.log('ready');
    """

    async def run() -> None:
        async with run_main(tmp_path, source, sandbox) as main:
            await until_running(main)
            main.program.send(Step("executeTask", 0))
            await asyncio.wait_for(main.running, 30)
            assert "1" == (tmp_path / "home" / "code").read_text()

    asyncio.run(run())


def test_pauses_double_up_to_five_minutes() -> None:
    pauses = [compute_pause_seconds(failures) for failures in range(10)]

    assert [2, 4, 8, 16, 32, 64, 128, 256, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX] == pauses


def test_its_web_routes_are_reached_through_the_node(tmp_path: Path, sandbox: str) -> None:
    source = """
        require('http').createServer((request, answer) => {
            let body = '';
            request.on('data', (chunk) => { body += chunk; });
            request.on('end', () => {
                answer.writeHead(201, { 'x-mark': 'kept', 'set-cookie': ['a=1', 'b=2'] });
                answer.end(`${request.method} ${request.url} ${request.headers['x-asked']} ${body.length}`);
            });
        }).listen(process.argv[4], () => console.log('ready'));
    """

    async def run() -> None:
        async with run_main(tmp_path, source, sandbox) as main:
            await until_running(main)
            sent = [("x-asked", "why")]
            answer = await main.program.serve("POST", "/a/b c", "q=%20", sent, b"x" * 20_000_000)
            assert (201, b"POST /a/b%20c?q=%20 why 20000000") == (answer.status, answer.body)
            assert [("set-cookie", "a=1"), ("set-cookie", "b=2")] == [
                pair for pair in answer.headers if pair[0] == "set-cookie"
            ]

    asyncio.run(run())


def test_a_task_that_does_not_serve_costs_a_request_and_nothing_else(tmp_path: Path, sandbox: str) -> None:
    async def run() -> None:
        async with run_main(tmp_path, "console.log('ready');" + STAY, sandbox) as main:
            await until_running(main)
            with pytest.raises(TaskFailed, match="GET /"):
                await main.program.serve("GET", "/", "", [], b"")
            assert main.program.is_running

    asyncio.run(run())


def test_it_reaches_the_ledger_and_the_node_and_no_other_port(tmp_path: Path, sandbox: str) -> None:
    async def app(scope: dict[str, Any], receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"here"})  # type: ignore[operator]

    async def run() -> None:
        async with serve(app) as ledger, serve(app) as node, serve(app) as other:
            source = (
                TELL
                + f"""
                const tries = ['{ledger}', '{node.replace("127.0.0.1", "localhost")}', '{other}'];
                const read = (url) => fetch(url).then((answer) => answer.text(), () => 'refused');
                Promise.all(tries.map(read))
                    .then((found) => tell('found', found));
            """
            )
            port = int(node.rpartition(":")[2])
            async with run_main(tmp_path, source + STAY, sandbox, ledger_url=ledger, node_port=port) as main:
                assert ["here", "here", "refused"] == await main.read("found")

    asyncio.run(run())


def test_its_files_are_its_own_and_the_nodes_are_not_there(tmp_path: Path, sandbox: str) -> None:
    key = tmp_path / "main.json"
    key.write_text("[1, 2]")
    source = (
        TELL
        + f"""
        const fs = require('fs');
        const attempt = (work) => {{ try {{ return work(); }} catch (error) {{ return error.code; }} }};
        fs.writeFileSync('mine', 'kept');
        tell('found', [
            fs.readFileSync('mine', 'utf8'),
            attempt(() => fs.readFileSync('{key}', 'utf8')),
            attempt(() => fs.writeFileSync(__dirname + '/x', '')),
            attempt(() => fs.readFileSync('/etc/passwd', 'utf8')),
            attempt(() => require('child_process').execSync('true') && 'ran'),
        ]);
    """
    )

    async def run() -> None:
        async with run_main(tmp_path, source + STAY, sandbox) as main:
            mine, *refused = await main.read("found")
            assert mine == (tmp_path / "home" / "mine").read_text() == "kept"
            assert all(code in ("EACCES", "EPERM", "ENOENT", "EROFS", "EAGAIN") for code in refused), refused

    asyncio.run(run())


HOSTILE = r"""
const fs = require('fs'), net = require('net'), dgram = require('dgram');
const attempt = (work) => { try { return work() ?? 'done'; } catch (error) { return error.code; } };
const follow = (one, event) => new Promise((resolve) => {
    one.on(event, () => resolve('done')).on('error', (error) => resolve(error.code));
});
(async () => {
    const udp = dgram.createSocket('udp4').on('error', () => {});
    attempt(() => udp.send('x', UDP_PORT, '127.0.0.1', () => {}));
    tell('found', {
        signal: attempt(() => process.kill(NODE_PID, 0)),
        environment: attempt(() => fs.readFileSync('/proc/NODE_PID/environ')),
        link: attempt(() => { fs.symlinkSync('KEY_PATH', 'link'); return fs.readFileSync('link'); }),
        mark: attempt(() => fs.chmodSync('KEY_PATH', 0o777)),
        socket: await follow(net.connect('SOCKET_PATH'), 'connect'),
        name: await new Promise((resolve) => {
            require('dns').lookup('example.org', (error) => resolve(error?.code ?? 'done'));
        }),
    });
})();
"""


def test_what_a_hostile_main_js_tries_is_refused(tmp_path: Path, sandbox: str) -> None:
    key, path = tmp_path / "main.json", tmp_path / "socket"
    key.write_text("[1, 2]")

    async def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_UNIX) as unix:
            udp.bind(("127.0.0.1", 0))
            udp.setblocking(False)
            unix.bind(str(path))
            unix.listen()
            source = HOSTILE.replace("UDP_PORT", str(udp.getsockname()[1])).replace("KEY_PATH", str(key))
            source = source.replace("NODE_PID", str(os.getpid())).replace("SOCKET_PATH", str(path))
            async with run_main(tmp_path, TELL + source + STAY, sandbox) as main:
                found = await main.read("found")
                assert found.keys() == {"signal", "environment", "link", "mark", "socket", "name"}
                assert all(isinstance(code, str) and code.startswith("E") for code in found.values()), found
                with pytest.raises(BlockingIOError):
                    udp.recv(1)

    asyncio.run(run())


def test_its_resident_memory_is_bounded_and_what_it_only_reserves_is_not(
    tmp_path: Path, sandbox: str
) -> None:
    source = """
        const reserved = new WebAssembly.Memory({ initial: 1, maximum: 32768 });
        console.log('ready');
        const eaten = [];
        process.on('message', () => setInterval(() => eaten.push(Buffer.alloc(2_000_000, 1)), 20));
    """
    # It eats slowly enough to be seen before RLIMIT_DATA, which lies 128 MiB above, makes it abort.
    limits = Limits(memory_bytes=192 * 1024 * 1024)

    async def run() -> None:
        async with run_main(tmp_path, source, sandbox, limits=limits) as main:
            await until_running(main)
            main.program.send(Step("executeTask", 1))
            expected = f"ended: it used more than {limits.memory_bytes} bytes of memory: started again in 2 s"
            await main.wait_for(lambda line: expected in line)

    asyncio.run(run())


def test_it_ends_when_its_disk_is_full(tmp_path: Path, sandbox: str) -> None:
    source = (
        "for (let at = 0; at < 20; at++)"
        " require('fs').writeFileSync(`file-${at}`, Buffer.alloc(1_000_000));" + STAY
    )

    async def run() -> None:
        async with run_main(tmp_path, source, sandbox, limits=Limits(disk_bytes=10_000_000)) as main:
            await main.wait_for(lambda line: "10000000 are allowed: started again" in line)

    asyncio.run(run())


@pytest.mark.parametrize("confined", ["sandlock", "bwrap", "none"])
@pytest.mark.parametrize("target", ["node", "guard", "keeper"])
def test_nothing_is_left_behind_when_a_process_above_it_is_killed(
    tmp_path: Path, confined: str, target: str
) -> None:
    if confined != "none":
        require_sandbox(confined)
    script = f"""
import asyncio
from pathlib import Path
from tests.node.javascript.mainjs import run_main
async def run():
    source = "console.log('pid', process.pid); " + {STAY!r}
    async with run_main(Path({str(tmp_path)!r}), source, {confined!r}) as main:
        print(await main.read("pid"), flush=True)
        await asyncio.sleep(60)
asyncio.run(run())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as node:
        assert node.stdout is not None
        assert node.stdout.readline()
        starter, guard, keeper, *program = list_descendants(node.pid)
        assert program
        os.kill({"node": node.pid, "guard": guard, "keeper": keeper}[target], signal.SIGKILL)
        wait_until_gone([guard, keeper, *program])
        node.kill()
        wait_until_gone([starter])


def wait_until_gone(pids: list[int]) -> None:
    """A process that nobody has waited for yet is gone, too: it has no memory any more."""
    while any(measure_resident(pid) for pid in pids):
        time.sleep(0.01)


def test_the_endpoints_are_the_ledgers_two_ports_and_the_nodes() -> None:
    assert {"127.0.0.1:8899", "127.0.0.1:8900", "127.0.0.1:30017", "[::1]:30017"} == set(
        compute_endpoints("http://127.0.0.1:8899", 30017)
    )
    assert {"example.org:443", "example.org:444"} < set(compute_endpoints("https://example.org/", 1))
    assert {"[::1]:8899", "127.0.0.1:8899"} < set(compute_endpoints("http://localhost:8899", 1))


def test_a_machine_without_node_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BadConfig, match=r"need Node\.js 18 or newer"):
        JavascriptTask(None, "none", print)  # type: ignore[arg-type]


def test_under_bubblewrap_the_ledger_must_be_on_this_machine(tmp_path: Path) -> None:
    async def run() -> None:
        async with run_main(tmp_path, "", "bwrap", ledger_url="https://ledger.example.org"):
            pass

    with pytest.raises(
        BadConfig, match="under bwrap a JavaScript task reaches a ledger on this machine only"
    ):
        asyncio.run(run())
