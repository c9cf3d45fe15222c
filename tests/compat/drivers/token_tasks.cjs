// A tool for token tasks as they exist: finds active ones by their first bytes, decodes them with Borsh, funds one by
// the pot that its bytes name. Driven with @solana/web3.js 1 and its borsh; prints what it saw as JSON.
const path = require('node:path');
const modules = path.resolve(process.argv[2], 'node_modules');
const web3 = require(path.join(modules, '@solana/web3.js'));
const borsh = require(path.join(modules, 'borsh'));

const [url, programId, secret, source, amount] = process.argv.slice(3);
const TOKEN_PROGRAM = new web3.PublicKey('TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA');

class Fields {
  constructor(fields) {
    Object.assign(this, fields);
  }
}
class Submission extends Fields {}
class List extends Fields {}
class Vote extends Fields {}
class Trigger extends Fields {}
class Task extends Fields {}

const map = (value) => ({ kind: 'map', key: 'string', value });
const struct = (fields) => ({ kind: 'struct', fields });
const schema = new Map([
  [Submission, struct([['submission_value', 'string'], ['slot', 'u64'], ['round', 'u64']])],
  [List, struct([['submission_value', [32]], ['slot', 'u64'], ['round', 'u64']])],
  [Vote, struct([['is_valid', 'u8'], ['voter', [32]], ['slot', 'u64']])],
  [Trigger, struct([['trigger_by', [32]], ['slot', 'u64'], ['votes', [Vote]]])],
  [Task, struct([
    ['is_allowlisted', 'u8'],
    ['is_active', 'u8'],
    ['task_name', 'string'],
    ['task_description', 'string'],
    ['task_manager', [32]],
    ['task_audit_program', 'string'],
    ['stake_pot_account', [32]],
    ['stake_pot_seed', [32]],
    ['stake_pot_bump', 'u8'],
    ['submissions', map(map(Submission))],
    ['submissions_audit_trigger', map(map(Trigger))],
    ['total_bounty_amount', 'u64'],
    ['bounty_amount_per_round', 'u64'],
    ['token_type', [32]],
    ['total_stake_amount', 'u64'],
    ['minimum_stake_amount', 'u64'],
    ['available_balances', map('u64')],
    ['stake_list', map('u64')],
    ['ip_address_list', map('string')],
    ['round_time', 'u64'],
    ['starting_slot', 'u64'],
    ['audit_window', 'u64'],
    ['submission_window', 'u64'],
    ['task_executable_network', 'string'],
    ['distribution_rewards_submission', map(map(List))],
    ['distributions_audit_trigger', map(map(Trigger))],
    ['distributions_audit_record', map('u8')],
    ['task_metadata', 'string'],
    ['task_vars', 'string'],
    ['is_migrated', 'u8'],
    ['migrated_to', 'string'],
    ['allowed_failed_distributions', 'u64'],
  ])],
]);

const address = (bytes) => new web3.PublicKey(bytes).toBase58();

async function main() {
  const connection = new web3.Connection(url, 'confirmed');
  const program = new web3.PublicKey(programId);
  const filters = [{ memcmp: { offset: 0, bytes: '5S' } }];
  const found = await connection.getProgramAccounts(program, { filters });
  const [{ pubkey, account }] = found;
  const task = borsh.deserialize(schema, Task, account.data);

  const funder = web3.Keypair.fromSecretKey(Uint8Array.from(JSON.parse(secret)));
  const data = Buffer.alloc(9);
  data.writeUInt8(8, 0);
  data.writeBigUInt64LE(BigInt(amount), 1);
  const keys = [
    { pubkey, isSigner: false, isWritable: true },
    { pubkey: funder.publicKey, isSigner: true, isWritable: true },
    { pubkey: new web3.PublicKey(source), isSigner: false, isWritable: true },
    { pubkey: new web3.PublicKey(task.stake_pot_account), isSigner: false, isWritable: true },
    { pubkey: TOKEN_PROGRAM, isSigner: false, isWritable: false },
  ];
  const fund = new web3.TransactionInstruction({ keys, programId: program, data });
  await web3.sendAndConfirmTransaction(connection, new web3.Transaction().add(fund), [funder]);
  const { data: later } = await connection.getAccountInfo(pubkey);
  const funded = borsh.deserialize(schema, Task, later);

  console.log(JSON.stringify({
    found: found.map((each) => each.pubkey.toBase58()),
    name: task.task_name,
    mint: address(task.token_type),
    manager: address(task.task_manager),
    stakes: Object.fromEntries([...task.stake_list].map(([node, stake]) => [node, stake.toString()])),
    balances: Object.fromEntries([...task.available_balances].map(([node, held]) => [node, held.toString()])),
    submitters: Object.fromEntries([...task.submissions].map(([round, nodes]) => [round, [...nodes.keys()]])),
    records: Object.fromEntries(task.distributions_audit_record),
    lists: Object.fromEntries(
      [...task.distribution_rewards_submission].map(([round, nodes]) => [round, [...nodes.keys()]]),
    ),
    authority: web3.PublicKey.createProgramAddressSync(
      [Buffer.from(task.stake_pot_seed), Buffer.from([task.stake_pot_bump])],
      program,
    ).toBase58(),
    gained: (BigInt(funded.total_bounty_amount.toString()) - BigInt(task.total_bounty_amount.toString())).toString(),
  }));
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
