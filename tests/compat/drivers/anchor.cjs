// Driven by the provider of @coral-xyz/anchor: prints what it saw as JSON.
const path = require("node:path");
const { createRequire } = require("node:module");
const load = createRequire(path.resolve(process.argv[2], "package.json"));
const anchor = load("@coral-xyz/anchor");
const web3 = anchor.web3;

async function main() {
  const seen = {};
  const [url] = process.argv.slice(3);
  const payer = web3.Keypair.generate();
  const target = web3.Keypair.generate().publicKey;
  const connection = new web3.Connection(url, "processed");
  const provider = new anchor.AnchorProvider(connection, new anchor.Wallet(payer));
  seen.commitment = provider.opts.commitment;
  const airdrop = await connection.requestAirdrop(payer.publicKey, 5_000_000_000);
  await connection.confirmTransaction(airdrop, "confirmed");

  const move = (lamports) =>
    new web3.Transaction().add(
      web3.SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: target, lamports }),
    );
  // Subscribe and act at once: nothing may be lost.
  let accounts = 0;
  const logs = new Set();
  const account = connection.onAccountChange(target, () => { accounts += 1; });
  const subscription = connection.onLogs(target, (entry) => logs.add(entry.signature));
  const sent = [];
  for (let lamports = 1; lamports <= 5; lamports += 1) {
    sent.push(await provider.sendAndConfirm(move(lamports)));
  }
  sent.push(...(await provider.sendAll([{ tx: move(6) }, { tx: move(7) }])));
  while (!sent.every((signature) => logs.has(signature)) || accounts === 0) {
    await new Promise((resolve) => connection.onSlotChange(resolve));
  }
  seen.logged = logs.size;
  seen.balance = await connection.getBalance(target);
  await connection.removeAccountChangeListener(account);
  await connection.removeOnLogsListener(subscription);

  const simulated = await provider.simulate(move(8));
  seen.simulated = [simulated.logs, Number(simulated.unitsConsumed)];
  try {
    await provider.sendAndConfirm(move(10_000_000_000));
  } catch (error) {
    seen.refused = [error.constructor.name, error.logs];
  }
  // The same transfer again and again, each built anew after the one before is confirmed.
  const again = new anchor.AnchorProvider(connection, provider.wallet, {
    preflightCommitment: "confirmed", commitment: "confirmed",
  });
  for (let count = 0; count < 4; count += 1) await again.sendAndConfirm(move(100));
  seen.repeated = (await connection.getBalance(target, "confirmed")) - seen.balance;
  console.log(JSON.stringify(seen));
  process.exit(0);
}
main().catch((error) => { console.error(error); process.exit(1); });
