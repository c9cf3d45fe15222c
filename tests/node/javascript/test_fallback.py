"""Nodes of one task whose selected node hands in no list: the others hand in one, whatever their language."""

import asyncio
import shutil
from pathlib import Path

import pytest

from roundwork.views import RoundView

from ..house import require_sandbox
from .mainjs import require_node
from .village import JAVASCRIPT, ROUNDS, Node, Village, open_village

EXAMPLES = Path(__file__).parents[3] / "examples"
QUIET = """
if (process.env.QUIET === 'yes') steps.generateAndSubmitDistributionList = async () => console.log('quiet');
"""


def write_package(directory: Path) -> Path:
    """The greeting in both languages; a main.js with QUIET=yes hands in no list."""
    shutil.copytree(EXAMPLES / "hello-js", directory)
    shutil.copy(EXAMPLES / "hello" / "task.py", directory)
    with (directory / "main.js").open("a") as program:
        program.write(QUIET)
    with (directory / "config-task.yml").open("a") as config:
        config.write("\nroundwork: {secrets: [QUIET]}\n")
    return directory


async def pass_over(village: Village, quiet: Node) -> RoundView:
    """A round of all nodes whose selected node is the quiet one. Each round before it is paid, too."""
    everybody = {node.address for node in village.nodes}
    has_begun = False
    for round_number in range(ROUNDS):
        view = await village.read_after(round_number, 5)
        has_begun = has_begun or {each.node for each in view.submissions} == everybody
        if has_begun:
            logs = "\n".join(node.read_log()[-3000:] for node in village.nodes)
            assert ("PayoutSuccessful", True) == (view.status, view.attempt <= 1), f"{view}\n{logs}"
            assert quiet.address not in {each.submitter for each in view.lists}
            if await village.find_selected(view) == quiet.address:
                return view
    raise AssertionError(f"in none of {ROUNDS} rounds the quiet node was selected")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "languages", [(JAVASCRIPT, JAVASCRIPT), (JAVASCRIPT, ())], ids=["js", "js-and-python"]
)
def test_a_silent_selected_node_ends_no_main_js_and_costs_an_attempt_at_most(
    tmp_path: Path, languages: tuple[tuple[str, ...], ...]
) -> None:
    require_node()
    require_sandbox("sandlock")

    async def run() -> None:
        async with open_village(tmp_path, write_package(tmp_path / "package"), QUIET="no") as village:
            for at, options in enumerate(languages):
                await village.add(tmp_path / f"node-{at}", *options)
            quiet = await village.add(tmp_path / "quiet", *JAVASCRIPT, QUIET="yes")

            view = await pass_over(village, quiet)

            assert {each.node for each in view.payments if each.reward} == {
                node.address for node in village.nodes
            }
            for node in village.nodes:
                assert "its main.js ended" not in node.read_log()

    asyncio.run(run())
