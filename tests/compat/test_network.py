"""A main.js with axios, node-fetch, fetch and https reaches a website and a peer through its node."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..node.house import require_sandbox
from ..node.javascript.mainjs import require_node
from ..node.javascript.village import Node, open_village
from ..node.javascript.website import open_website
from .test_clients import require

HELLO = Path(__file__).parents[2] / "examples" / "hello-js"
READ = """
const axios = require('axios');
const nodeFetch = require('node-fetch');
const https = require('node:https');

const byModule = (url) => new Promise((resolve, reject) => {
  https.get(url, (answer) => answer.setEncoding('utf8').on('data', resolve)).on('error', reject);
});
const ways = {
  axios: (url) => axios.get(url).then((answer) => answer.data),
  'node-fetch': (url) => nodeFetch(url).then((answer) => answer.text()),
  fetch: (url) => fetch(url).then((answer) => answer.text()),
  https: byModule,
};
const explain = (error) => `refused: ${error.cause?.message ?? error.message}`;
const readAll = async (url) => Object.fromEntries(await Promise.all(
  Object.entries(ways).map(async ([name, read]) => [name, await read(url).catch(explain)]),
));

process.on('message', async ({ functionCall }) => {
  if (functionCall !== 'executeTask') return;
  console.log('site', JSON.stringify(await readAll(process.env.SITE)));
  console.log('elsewhere', JSON.stringify(await readAll(process.env.SITE.replace('localhost', '127.0.0.1'))));
  const urls = (await ask('getNodes')).map(({ data }) => `${data.url}/task/${taskId}/greeting`);
  const answers = await Promise.all(urls.map((url) => axios.get(url).then(({ data }) => data.path, explain)));
  console.log('peers', JSON.stringify(answers));
});
"""


def write_package(directory: Path, port: int, authority: Path) -> Path:
    """The greeting's task, which also reads a website and its peers; with the packages of npm in one file."""
    tools = require("network", "node")
    shutil.copytree(HELLO, directory)
    source = directory.with_suffix(".js")
    source.write_text((HELLO / "main.js").read_text() + READ)
    modules = tools / "node_modules"
    command = [modules / ".bin" / "esbuild", source, "--bundle", "--log-level=error", "--platform=node"]
    environment = {**os.environ, "NODE_PATH": str(modules)}
    words = [*map(str, command), f"--outfile={directory / 'main.js'}", "--allow-overwrite"]
    subprocess.run(words, check=True, env=environment)
    shutil.copy(authority, directory / "authority.pem")
    with (directory / "config-task.yml").open("a") as config:
        config.write(f"\nroundwork: {{hosts: ['localhost:{port}'], secrets: [SITE, NODE_EXTRA_CA_CERTS]}}\n")
    return directory


async def wait_for(node: Node, name: str, count: int) -> Any:
    """What a main.js printed as `name {json}`, once there are so many values in it."""
    while True:
        lines = [line for line in node.read_log().splitlines() if f"javascript: {name} " in line]
        found = [json.loads(line.partition(f"javascript: {name} ")[2]) for line in lines]
        if found and len(found[-1]) >= count:
            return found[-1]
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.xdist_group("compat")
def test_packages_of_npm_reach_a_website_and_a_peer_through_the_node(tmp_path: Path) -> None:
    require_node()
    require_sandbox("sandlock")

    async def run() -> None:
        async with open_website(tmp_path / "site") as site:
            package = write_package(tmp_path / "package", site.port, site.authority)
            url, authority = f"https://localhost:{site.port}/page", str(package / "authority.pem")
            async with open_village(tmp_path, package, SITE=url, NODE_EXTRA_CA_CERTS=authority) as village:
                nodes = [await village.add(tmp_path / f"node-{at}") for at in range(2)]
                for node in nodes:
                    ways = ("axios", "node-fetch", "fetch", "https")
                    assert dict.fromkeys(ways, "this is the site") == await wait_for(node, "site", 4)
                    elsewhere = await wait_for(node, "elsewhere", 4)
                    reason = f"127.0.0.1:{site.port} is not among the permitted hosts"
                    assert all(reason in elsewhere[way] for way in ways), elsewhere
                    assert f"no connection to {reason.split(' is ')[0]}: {reason}" in node.read_log()
                    assert ["/greeting"] * 2 == await wait_for(node, "peers", 2)
                assert {"GET /page HTTP/1.1"} == set(site.lines)

    asyncio.run(run())
