"""A task that pays in a token: main.js nodes work in it, and an existing tool finds, decodes and funds it."""

import asyncio
import json
from pathlib import Path

import pytest

from roundwork.client.operations import mint_tokens, read_task
from roundwork.client.token_operations import find_account
from roundwork.protocol.addresses import find_authority
from roundwork.protocol.params import KOII, KPL_PROGRAM, base58_of, key_of

from ..node.house import require_sandbox
from ..node.javascript.mainjs import require_node
from ..node.javascript.village import STAKE, open_village
from .test_clients import DRIVERS, drive, require

HELLO = Path(__file__).parents[2] / "examples" / "hello-js"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("compat")
def test_main_js_nodes_are_paid_in_a_token_and_a_tool_funds_their_task_by_its_bytes(tmp_path: Path) -> None:
    require_node()
    require_sandbox("sandlock")
    modules = require("web3js", "node")

    async def run() -> None:
        async with open_village(tmp_path, HELLO, is_token=True) as village:
            nodes = [await village.add(tmp_path / f"node-{at}") for at in range(3)]
            everybody = {node.address for node in nodes}

            paid = await village.settle(0, lambda view: {each.node for each in view.payments} == everybody)

            share = 10 * KOII // 3
            assert dict.fromkeys(everybody, share) == {each.node: each.reward for each in paid.payments}
            assert village.token is not None
            funder = str(village.manager.pubkey())
            await mint_tokens(village.client, village.manager, village.token, funder, 7 * KOII)
            source = base58_of(find_account(bytes(village.manager.pubkey()), village.token))
            secret = json.dumps([*bytes(village.manager)])
            funded = await asyncio.to_thread(
                drive, "node", DRIVERS / "token_tasks.cjs", modules, village.client.url,
                base58_of(KPL_PROGRAM), secret, source, 7 * KOII,
            )  # fmt: skip

            task = await read_task(village.client, village.task)
            assert ([task.address], task.name) == (funded["found"], funded["name"])
            assert (village.token, task.manager) == (funded["mint"], funded["manager"])
            assert dict.fromkeys(everybody, str(STAKE)) == funded["stakes"]
            assert base58_of(find_authority(key_of(task.pot))) == funded["authority"]
            assert 1 == funded["records"][str(paid.round)]
            assert [paid.lists[-1].submitter] == funded["lists"][str(paid.round)]
            assert everybody == set(funded["submitters"][str(paid.round)])
            assert all(int(held) >= share for held in funded["balances"].values())
            # What rounds reserve stays in the bounty until they are paid: one may have been paid in between.
            assert 7 * KOII - int(funded["gained"]) in (0, 3 * share, 6 * share)

    asyncio.run(run())
