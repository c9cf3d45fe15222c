// The task of task.py beside it, against the published contract: an express server, values kept in its own
// database file, submission, audit by random sampling, selection, distribution, all through the node's HTTP.
const { createHash } = require('crypto');
const fs = require('fs');
const express = require('express');

const [, , TASK_NAME, TASK_ID, PORT, KIND, MAIN_KEY, SECRET, , , STAKE, NODE_PORT] = process.argv;
const SALUTE = process.env.SALUTE;
const told = [];

class Namespace {
  async call(...args) {
    const answer = await fetch(`http://localhost:${NODE_PORT}/namespace-wrapper`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ args, taskId: TASK_ID, secret: SECRET }),
    });
    const body = await answer.json();
    if (answer.status !== 200) throw new Error(`${args[0]}: ${answer.status} ${body.message}`);
    return body.response;
  }
}

const node = new Namespace();

const database = {
  async read() {
    const path = await node.call('getTaskLevelDBPath');
    return fs.existsSync(path) ? JSON.parse(fs.readFileSync(path, 'utf8')) : {};
  },
  async set(key, value) {
    const path = await node.call('getTaskLevelDBPath');
    fs.writeFileSync(`${path}.part`, JSON.stringify({ ...(await this.read()), [key]: value }));
    fs.renameSync(`${path}.part`, path);
  },
};

function compose(round) {
  const digest = createHash('sha256').update(`${SALUTE} ${round}`).digest('hex');
  return JSON.stringify([SALUTE, round, digest]);
}

async function getOwnKey() {
  const { _keypair } = await node.call('getSubmitterAccount');
  const bytes = Buffer.from(Object.values(_keypair.publicKey));
  const { ip_address_list: known } = await node.call('getTaskState', {});
  const encoded = encodeBase58(bytes);
  if (!(encoded in known)) throw new Error(`${encoded} is none of ${Object.keys(known)}`);
  return encoded;
}

function encodeBase58(bytes) {
  const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  let number = BigInt('0x' + bytes.toString('hex'));
  let text = '';
  while (number > 0n) {
    text = alphabet[Number(number % 58n)] + text;
    number /= 58n;
  }
  for (const byte of bytes) {
    if (byte !== 0) break;
    text = '1' + text;
  }
  return text;
}

async function executeTask(round) {
  await database.set(`value-${round}`, compose(round));
}

async function submitPayload(round) {
  const value = (await database.read())[`value-${round}`];
  if (value) await node.call('checkSubmissionAndUpdateRound', value, round);
}

async function auditPayload(round) {
  const own = await getOwnKey();
  const info = await node.call('getTaskSubmissionInfo', round);
  const submissions = info.submissions[round] || {};
  const keys = Object.keys(submissions);
  const drawn = new Set();
  while (drawn.size < Math.min(5, keys.length)) drawn.add(keys[Math.floor(Math.random() * keys.length)]);
  const raised = info.submissions_audit_trigger[round] || {};
  for (const key of drawn) {
    if (key === own) continue;
    const isValid = submissions[key].submission_value === compose(round);
    if (isValid && !raised[key]) continue;
    await node.call('auditSubmission', key, isValid, round).catch(report);
  }
}

async function generateList(round) {
  const state = await node.call('getTaskState', { is_submission_required: true, is_stake_list_required: true });
  const raised = state.submissions_audit_trigger[round] || {};
  const list = {};
  const paid = [];
  for (const key of Object.keys(state.submissions[round] || {})) {
    let votes = 0;
    if (!raised[key]) votes = 1;
    else for (const vote of raised[key].votes) votes += vote.is_valid ? 1 : -1;
    if (votes > 0) paid.push(key);
    if (votes < 0) list[key] = -Math.floor((state.stake_list[key] * 7) / 10);
  }
  for (const key of paid) list[key] = Math.floor(state.bounty_amount_per_round / paid.length);
  return list;
}

async function selectNode(round, isPreviousFailed) {
  const sets = [];
  let submissions = {};
  for (const number of [round, round - 1, round - 2].filter((each) => each >= 0)) {
    const found = (await node.call('getTaskSubmissionInfo', number)).submissions[number] || {};
    if (number === round) submissions = found;
    sets.push(new Set(Object.keys(found)));
  }
  let keys = [...sets[0]].filter((key) => sets.every((set) => set.has(key)));
  if (keys.length === 0) keys = Object.keys(submissions);
  const info = await node.call('getTaskDistributionInfo', round);
  if (info.distributions_audit_record[round] === 'PayoutFailed') {
    const failed = Object.keys(info.distribution_rewards_submission[round] || {});
    keys = keys.filter((key) => !failed.includes(key));
  }
  const digest = (value) => createHash('sha256').update(JSON.stringify(value)).digest('hex');
  const sum = (text) => text.split('').reduce((all, one) => all + one.charCodeAt(0), 0);
  const whole = sum(digest(keys.map((key) => submissions[key])));
  let [best, second, selected] = [-Infinity, -Infinity, ''];
  for (const key of keys) {
    const score = Math.abs(whole - sum(digest({ [key]: submissions[key] })));
    if (score > best) {
      if (!isPreviousFailed) selected = key;
      second = best;
      best = score;
    } else if (isPreviousFailed && score > second) {
      second = score;
      selected = key;
    }
  }
  return selected;
}

async function generateAndSubmitDistributionList(round, isPreviousFailed) {
  if ((await selectNode(round, isPreviousFailed)) !== (await getOwnKey())) return;
  if (await node.call('uploadDistributionList', await generateList(round), round)) {
    await node.call('distributionListSubmissionOnChain', round);
  }
}

async function distributionListAudit(round) {
  const own = await getOwnKey();
  const info = await node.call('getTaskDistributionInfo', round);
  const raised = info.distributions_audit_trigger[round] || {};
  const mine = await generateList(round);
  for (const key of Object.keys(info.distribution_rewards_submission[round] || {})) {
    if (key === own) continue;
    const listed = JSON.parse(await node.call('getDistributionList', key, round));
    const isValid = [...new Set([...Object.keys(mine), ...Object.keys(listed)])].every(
      (each) => (mine[each] || 0) === (listed[each] || 0),
    );
    if (isValid && !raised[key]) continue;
    await node.call('distributionListAuditSubmission', key, isValid, round).catch(report);
  }
}

const report = (error) => console.error('failed', error.message);
const steps = {
  executeTask,
  submitPayload,
  auditPayload,
  generateAndSubmitDistributionList,
  distributionListAudit,
};
process.on('message', (message) => {
  told.push([message.functionCall, message.roundNumber]);
  steps[message.functionCall](message.roundNumber, message.isPreviousRoundFailed).catch(report);
});

const app = express();
app.use(express.json({ limit: '50mb' }));
app.get('/', (request, response) => response.json({ status: 200, message: 'Running' }));
app.get('/facts', (request, response) => {
  response.json({ name: TASK_NAME, kind: KIND, main: MAIN_KEY, stake: STAKE, env: Object.keys(process.env), told });
});
app.get('/values', async (request, response) => response.json(await database.read()));
app.post('/echo', (request, response) => response.status(201).json(request.body));
app.post('/ask', async (request, response) => {
  const { args, taskId = TASK_ID, secret = SECRET } = request.body;
  const answer = await fetch(`http://localhost:${NODE_PORT}/namespace-wrapper`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ args, taskId, secret }),
  });
  response.json({ status: answer.status, body: await answer.json() });
});
app.listen(Number(PORT), () => console.log('listening'));
