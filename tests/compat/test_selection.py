"""The published rule in both languages: a main.js and a Python node select the same node."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

from roundwork.participant.selection import select_node
from roundwork.protocol.params import base58_of

from ..node.javascript.mainjs import require_node

ROOT = Path(__file__).parents[2]
ANSWER = """
ask = async (method, round) => method === 'getTaskSubmissionInfo'
  ? { submissions: { [round]: current.rounds[round] } }
  : { distributions_audit_record: { [round]: current.isRetry ? 'PayoutFailed' : 'Uninitialized' },
      distribution_rewards_submission: { [round]: list(current.failed) } };
const list = (nodes) => Object.fromEntries(nodes.map((node) => [node, {}]));
let current;
(async () => {
  const selected = [];
  for (current of JSON.parse(require('node:fs').readFileSync(0, 'utf8'))) {
    selected.push(await selectNode(current.round, current.isRetry));
  }
  console.log(JSON.stringify(selected));
  process.exit();
})();
"""
"""The task's own selectNode, with what a node would answer it."""


def make_case(chance: random.Random) -> dict[str, Any]:
    nodes = sorted(base58_of(chance.randbytes(32)) for _ in range(chance.randint(1, 9)))
    number = chance.randint(0, 4)
    rounds = {}
    for each in range(max(number - 2, 0), number + 1):
        present = [node for node in nodes if chance.random() < 0.8] or nodes
        values = {node: chance.choice(("Grüße", '"\\\n', "\u2028", "x" * 40, "")) for node in present}
        rounds[each] = {
            node: {"submission_value": value, "slot": chance.randint(0, 10**9), "round": each}
            for node, value in values.items()
        }
    is_retry = chance.random() < 0.5
    failed = chance.sample(sorted(rounds[number]), min(1, len(rounds[number]))) if is_retry else []
    return {"round": number, "rounds": rounds, "isRetry": is_retry, "failed": failed}


def select(case: dict[str, Any]) -> str | None:
    rounds, number = case["rounds"], case["round"]
    before = [rounds[each] for each in (number - 1, number - 2) if each >= 0]
    return select_node(rounds[number], before, case["failed"], case["isRetry"])


def test_javascript_and_python_select_the_same_node(tmp_path: Path) -> None:
    require_node()
    chance = random.Random(20)
    cases = [make_case(chance) for _ in range(300)]
    program = tmp_path / "main.js"
    program.write_text((ROOT / "examples" / "hello-js" / "main.js").read_text() + ANSWER)

    done = subprocess.run(
        ["node", program], input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=True
    )

    expected = [select(case) for case in cases]
    assert expected == json.loads(done.stdout)
    assert {True, False} == {each is None for each in expected}
