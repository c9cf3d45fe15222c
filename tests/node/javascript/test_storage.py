"""Blobs that one main.js keeps and the main.js of another node gets: whole nodes in real processes."""

import asyncio
import shutil
from pathlib import Path

import httpx2
import pytest

from roundwork.package.content import compute_content_id

from ..house import require_sandbox
from .mainjs import require_node
from .village import JAVASCRIPT, open_village

EXAMPLES = Path(__file__).parents[3] / "examples"
PAGES = """
const write = (node, round) => `The page of ${node} in round ${round}, gr\u00fcezi.\\n`.repeat(3000);
steps.executeTask = async (round) => {
  const id = await ask('storagePut', write(await getAddress(), round));
  await ask('fs', 'writeFile', `value-${round}`, id);
};
steps.auditPayload = async (round) => {
  const me = await getAddress();
  const { submissions, submissions_audit_trigger: raised } = await ask('getTaskSubmissionInfo', round);
  for (const [node, { submission_value: id }] of Object.entries(submissions[round] ?? {})) {
    if (node === me) continue;
    const text = await ask('storageGet', id, 'utf8', node).catch((error) => error.message);
    const bytes = await ask('storageGet', id, 'base64').catch((error) => error.message);
    const isValid = text === write(node, round) && text === Buffer.from(bytes, 'base64').toString();
    console.log(`${round} ${node} ${isValid ? 'has its page' : text.slice(0, 200)}`);
    if (owesView(me, isValid, raised[round]?.[node])) await ask('auditSubmission', node, isValid, round);
  }
};
"""


def write_page(node: str, round_number: int) -> bytes:
    """What the main.js of a node keeps for a round."""
    return (f"The page of {node} in round {round_number}, grüezi.\n" * 3000).encode()


def write_package(directory: Path) -> Path:
    shutil.copytree(EXAMPLES / "hello-js", directory)
    with (directory / "main.js").open("a") as program:
        program.write(PAGES)
    return directory


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_main_js_keeps_is_got_and_then_served_by_the_other_node(tmp_path: Path) -> None:
    require_node()
    require_sandbox("sandlock")

    async def run() -> None:
        async with open_village(tmp_path, write_package(tmp_path / "package")) as village:
            nodes = [await village.add(tmp_path / f"node-{at}", *JAVASCRIPT) for at in range(2)]
            both = {node.address for node in nodes}
            view = await village.settle(0, lambda view: {each.node for each in view.submissions} == both)

            pages = {address: write_page(address, view.round) for address in both}
            submitted = {each.node: each.value for each in view.submissions}
            assert {node: compute_content_id(page) for node, page in pages.items()} == submitted
            assert both == {each.node for each in view.payments if each.reward}
            for node, other in (nodes, nodes[::-1]):
                assert f"{view.round} {other.address} has its page" in node.read_log()
            [first, second] = nodes
            await first.end()  # now only the node that got the page can serve it
            async with httpx2.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{second.endpoint}/ipfs/{submitted[first.address]}")
            assert pages[first.address] == answer.content

    asyncio.run(run())
