// Save a greeting, submit it, check those of all others: examples/hello as a main.js under the published contract.
// It needs nothing but Node.js. A task with packages of npm is bundled into one main.js.
const { createHash } = require('node:crypto');
const http = require('node:http');

const [name, taskId, port, , , secret, , , , nodePort] = process.argv.slice(2);
const GREETING = 'Hello, World!';

const steps = {
  async executeTask(round) {
    await ask('fs', 'writeFile', `value-${round}`, GREETING);
  },

  async submitPayload(round) {
    const value = await ask('fs', 'readFile', `value-${round}`, 'utf8');
    await ask('checkSubmissionAndUpdateRound', value, round);
  },

  async auditPayload(round) {
    const me = await getAddress();
    const { submissions, submissions_audit_trigger: raised } = await ask('getTaskSubmissionInfo', round);
    for (const [node, { submission_value: value }] of Object.entries(submissions[round] ?? {})) {
      const isValid = value === GREETING;
      if (node !== me && owesView(me, isValid, raised[round]?.[node])) {
        await ask('auditSubmission', node, isValid, round).catch(complain);
      }
    }
  },

  async generateAndSubmitDistributionList(round, isRetry) {
    if ((await selectNode(round, isRetry)) !== (await getAddress())) return;
    await ask('uploadDistributionList', await distribute(round), round);
    await ask('distributionListSubmissionOnChain', round);
  },

  async distributionListAudit(round) {
    const me = await getAddress();
    const info = await ask('getTaskDistributionInfo', round);
    const mine = JSON.stringify(sortByKey(await distribute(round)));
    for (const node of Object.keys(info.distribution_rewards_submission[round] ?? {})) {
      const isValid = JSON.stringify(sortByKey(JSON.parse(await ask('getDistributionList', node, round)))) === mine;
      if (node !== me && owesView(me, isValid, info.distributions_audit_trigger[round]?.[node])) {
        await ask('distributionListAuditSubmission', node, isValid, round).catch(complain);
      }
    }
  },
};

// Who finds fault raises an audit; once one is raised, each node gives its opinion once.
function owesView(me, isValid, raised) {
  if (!raised) return !isValid;
  return raised.trigger_by !== me && raised.votes.every((vote) => vote.voter !== me);
}

// The bounty in equal parts to all with votes above 0; from the convicted, 70 % of their stake. Integers only.
async function distribute(round) {
  const state = await ask('getTaskState', { is_submission_required: true, is_stake_list_required: true });
  const raised = state.submissions_audit_trigger[round] ?? {};
  const nodes = Object.keys(state.submissions[round] ?? {});
  const votes = (node) => raised[node]?.votes.reduce((sum, vote) => sum + (vote.is_valid ? 1 : -1), 0) ?? 1;
  const paid = nodes.filter((node) => votes(node) > 0);
  const list = {};
  for (const node of paid) list[node] = Math.floor(state.bounty_amount_per_round / paid.length);
  for (const node of nodes.filter((node) => votes(node) < 0)) {
    list[node] = -Math.floor((state.stake_list[node] * 7) / 10);
  }
  return list;
}

// The published rule for the node that hands in the list.
async function selectNode(round, isRetry) {
  const read = async (number) => (await ask('getTaskSubmissionInfo', number)).submissions[number] ?? {};
  const submissions = await read(round);
  const before = await Promise.all([round - 1, round - 2].filter((number) => number >= 0).map(read));
  const steady = Object.keys(submissions).filter((node) => before.every((each) => node in each));
  const info = await ask('getTaskDistributionInfo', round);
  const hasFailed = info.distributions_audit_record[round] === 'PayoutFailed';
  const failed = hasFailed ? info.distribution_rewards_submission[round] ?? {} : {};
  const nodes = (steady.length ? steady : Object.keys(submissions)).filter((node) => !(node in failed));
  const whole = sumDigest(nodes.map((node) => submissions[node]));
  let [best, second, selected] = [-Infinity, -Infinity, null];
  for (const node of nodes) {
    const score = Math.abs(whole - sumDigest({ [node]: submissions[node] }));
    if (score > best) {
      [second, best] = [best, score];
      if (!isRetry) selected = node;
    } else if (isRetry && score > second) {
      [second, selected] = [score, node];
    }
  }
  return selected;
}

function sumDigest(value) {
  return Buffer.from(createHash('sha256').update(JSON.stringify(value)).digest('hex')).reduce((sum, code) => sum + code, 0);
}

function sortByKey(list) {
  return Object.fromEntries(Object.entries(list).filter(([, amount]) => amount).sort());
}

async function getAddress() {
  const { _keypair } = await ask('getSubmitterAccount');
  return encodeBase58(Buffer.from(Object.values(_keypair.publicKey)));
}

function encodeBase58(bytes) {
  const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  let text = '';
  for (let rest = BigInt(`0x${bytes.toString('hex')}`); rest; rest /= 58n) text = ALPHABET[rest % 58n] + text;
  return '1'.repeat(bytes.findIndex((byte) => byte)) + text;
}

async function ask(...args) {
  const body = JSON.stringify({ args, taskId, secret });
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`http://localhost:${nodePort}/namespace-wrapper`, { method: 'POST', headers, body });
  const { response, message } = await answer.json();
  if (!answer.ok) throw new Error(`${args[0]}: ${message}`);
  return response;
}

function complain(error) {
  console.error(error.message);
}

process.on('message', ({ functionCall, roundNumber, isPreviousRoundFailed }) => {
  steps[functionCall]?.(roundNumber, isPreviousRoundFailed).catch(complain);
});
http.createServer((request, answer) => answer.end(JSON.stringify({ name, taskId, path: request.url }))).listen(port);
