"""What a main.js answers to strangers takes no more of its node's memory than a bound, however many ask."""

import asyncio
from pathlib import Path

import pytest

from roundwork.errors import TaskFailed
from roundwork.node.answers import WebAnswer
from roundwork.node.javascript.process import ANSWERS_BYTES_MAX

from ..node.javascript.mainjs import MainJs, require_node, run_main
from .features import require_backend

MIB = 1024 * 1024
PART_BYTES = 40 * MIB

SERVER = f"""
const piece = Buffer.alloc(1024 * 1024);
const waiting = [];
require('http').createServer((request, response) => {{
  if (request.url === '/small') return response.end('small');
  if (request.url === '/end') {{
    for (const each of waiting) each.end();
    return response.end('ended');
  }}
  for (let count = 0; count < {PART_BYTES // MIB}; count += 1) response.write(piece);
  waiting.push(response);
}}).listen(Number(process.argv[4]), '127.0.0.1', () => console.log('listens'));
"""


@pytest.fixture(params=["sandlock", "bwrap"])
def sandbox(request: pytest.FixtureRequest) -> str:
    require_node()
    return require_backend(request.param)


def test_answers_without_an_end_take_a_bounded_part_of_the_memory(tmp_path: Path, sandbox: str) -> None:
    async def get(main: MainJs, path: str) -> WebAnswer:
        return await main.program.serve("GET", path, "", [], b"")

    async def run() -> None:
        async with run_main(tmp_path, SERVER, sandbox) as main:
            await main.wait_for(lambda line: "listens" in line)
            held = ANSWERS_BYTES_MAX // PART_BYTES
            asked = [asyncio.create_task(get(main, "/large")) for _ in range(held + 2)]
            done: set[asyncio.Task[WebAnswer]] = set()
            while len(done) < 2:
                done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for refused in done:
                with pytest.raises(TaskFailed, match="together"):
                    refused.result()

            assert b"small" == (await get(main, "/small")).body
            assert b"ended" == (await get(main, "/end")).body
            whole = [task.result().body for task in (await asyncio.wait(asked))[0] if not task.exception()]
            assert [PART_BYTES] * (held + 2 - len(done)) == [len(body) for body in whole]
            assert 0 == main.program._answer_bytes

    asyncio.run(run())
