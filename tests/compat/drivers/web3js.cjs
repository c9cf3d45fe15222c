// Driven by @solana/web3.js 1: prints what it saw as JSON.
const path = require("node:path");
const web3 = require(path.resolve(process.argv[2], "node_modules/@solana/web3.js"));

async function main() {
  const seen = {};
  const [url, owner] = process.argv.slice(3);
  const connection = new web3.Connection(url, "confirmed");
  const payer = web3.Keypair.generate();
  const target = web3.Keypair.generate().publicKey;
  const airdrop = await connection.requestAirdrop(payer.publicKey, 5_000_000_000);
  const latest = await connection.getLatestBlockhash();
  await connection.confirmTransaction({ signature: airdrop, ...latest });
  seen.airdropped = await connection.getBalance(payer.publicKey);

  const notified = new Promise((resolve) => connection.onAccountChange(target, (info) => resolve(info.lamports)));
  const logged = new Promise((resolve) => connection.onLogs(target, (logs) => resolve(logs.logs[0])));
  const slot = new Promise((resolve) => connection.onSlotChange((info) => resolve(info.slot > 0)));
  const listed = new Promise((resolve) =>
    connection.onProgramAccountChange(new web3.PublicKey(owner), (info) => resolve(info.accountId.toBase58())),
  );
  await slot; // the websocket is open
  const transfer = (lamports) => web3.SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: target, lamports });
  const rooted = new Promise((resolve) => connection.onRootChange((root) => resolve(root > 0)));
  seen.root = await rooted;
  seen.signature = await web3.sendAndConfirmTransaction(connection, new web3.Transaction().add(transfer(1234)), [payer]);
  seen.notified = await notified;
  seen.logged = await logged;
  seen.slot = await slot;

  const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash();
  const message = new web3.TransactionMessage({
    payerKey: payer.publicKey, recentBlockhash: blockhash, instructions: [transfer(6)],
  }).compileToV0Message();
  const versioned = new web3.VersionedTransaction(message);
  versioned.sign([payer]);
  const sent = await connection.sendTransaction(versioned);
  await connection.confirmTransaction({ signature: sent, blockhash, lastValidBlockHeight });
  seen.signatureNotified = await new Promise((resolve) =>
    connection.onSignature(sent, (result) => resolve(result.err === null), "confirmed"),
  );
  seen.transferred = await connection.getBalance(target);
  seen.version = (await connection.getTransaction(sent, { maxSupportedTransactionVersion: 0 })).version;
  seen.parsed = (await connection.getParsedTransaction(seen.signature)).transaction.message.instructions[0].parsed.info.lamports;

  const created = web3.Keypair.generate();
  await web3.sendAndConfirmTransaction(
    connection,
    new web3.Transaction().add(
      web3.SystemProgram.createAccount({
        fromPubkey: payer.publicKey, newAccountPubkey: created.publicKey, lamports: 3_000_000, space: 24,
        programId: new web3.PublicKey(owner),
      }),
    ),
    [payer, created],
  );
  seen.programNotified = (await listed) === created.publicKey.toBase58();
  const accounts = await connection.getProgramAccounts(new web3.PublicKey(owner), {
    filters: [{ dataSize: 24 }, { memcmp: { offset: 0, bytes: "1111" } }],
  });
  seen.programAccounts = accounts.map((one) => one.pubkey.toBase58()).includes(created.publicKey.toBase58());
  const poor = new web3.Transaction().add(transfer(10 ** 15));
  seen.simulated = JSON.stringify((await connection.simulateTransaction(poor, [payer])).value.err);
  try {
    await web3.sendAndConfirmTransaction(connection, new web3.Transaction().add(transfer(10 ** 15)), [payer]);
  } catch (error) {
    seen.refused = error.constructor.name;
  }
  const clock = (await connection.getParsedAccountInfo(web3.SYSVAR_CLOCK_PUBKEY)).value.data;
  seen.clock = [clock.program, clock.parsed.type];
  seen.history = (await connection.getSignaturesForAddress(target)).length;
  seen.block = (await connection.getBlock(await connection.getSlot(), { maxSupportedTransactionVersion: 0 })).parentSlot >= 0;
  seen.made = created.publicKey.toBase58();
  console.log(JSON.stringify(seen));
  process.exit(0);
}
main().catch((error) => { console.error(error); process.exit(1); });
