// Driven by @solana/spl-token: prints what it saw as JSON.
const path = require("node:path");
const { createRequire } = require("node:module");
const load = createRequire(path.resolve(process.argv[2], "package.json"));
const web3 = load("@solana/web3.js");
const spl = load("@solana/spl-token");

async function main() {
  const seen = {};
  const connection = new web3.Connection(process.argv[3], "confirmed");
  const payer = web3.Keypair.generate();
  const friend = web3.Keypair.generate();
  const airdrop = await connection.requestAirdrop(payer.publicKey, 10_000_000_000);
  await connection.confirmTransaction(airdrop);

  const mint = await spl.createMint(connection, payer, payer.publicKey, payer.publicKey, 6);
  const mine = await spl.getOrCreateAssociatedTokenAccount(connection, payer, mint, payer.publicKey);
  const theirs = await spl.getOrCreateAssociatedTokenAccount(connection, payer, mint, friend.publicKey);
  seen.sameAgain = (await spl.getOrCreateAssociatedTokenAccount(connection, payer, mint, payer.publicKey))
    .address.equals(mine.address);
  await spl.mintTo(connection, payer, mint, mine.address, payer, 1_000_000);
  seen.signature = await spl.transferChecked(connection, payer, mine.address, mint, theirs.address, payer, 250, 6);
  for (let count = 0; count < 3; count += 1) {
    await spl.transfer(connection, payer, mine.address, theirs.address, payer, 50);
  }
  await spl.approve(connection, payer, mine.address, friend.publicKey, payer, 70);
  seen.delegated = Number((await spl.getAccount(connection, mine.address)).delegatedAmount);
  await spl.revoke(connection, payer, mine.address, payer);
  await spl.burn(connection, payer, mine.address, mint, payer, 600);
  await spl.freezeAccount(connection, payer, mine.address, mint, payer);
  try {
    await spl.transfer(connection, payer, mine.address, theirs.address, payer, 1);
  } catch (error) {
    seen.refused = error.logs;
  }
  await spl.thawAccount(connection, payer, mine.address, mint, payer);
  seen.amounts = [mine.address, theirs.address].map(async (key) => Number((await spl.getAccount(connection, key)).amount));
  seen.amounts = await Promise.all(seen.amounts);
  seen.supply = Number((await spl.getMint(connection, mint)).supply);
  try {
    await spl.createAssociatedTokenAccount(connection, payer, mint, friend.publicKey);
  } catch (error) {
    seen.twice = error.logs;
  }
  const wrapped = await spl.createWrappedNativeAccount(connection, payer, payer.publicKey, 12_345);
  seen.wrapped = Number((await spl.getAccount(connection, wrapped)).amount);
  await spl.closeAccount(connection, payer, wrapped, payer.publicKey, payer);
  seen.closed = (await connection.getAccountInfo(wrapped)) === null;
  const parsed = await connection.getParsedTransaction(seen.signature, { maxSupportedTransactionVersion: 0 });
  seen.parsed = [parsed.transaction.message.instructions[0].parsed.type, parsed.meta.loadedAddresses === undefined];
  const creation = await connection.getSignaturesForAddress(theirs.address);
  const first = await connection.getParsedTransaction(creation.at(-1).signature, { maxSupportedTransactionVersion: 0 });
  seen.inner = first.meta.innerInstructions.map((entry) => [
    entry.index, entry.instructions.map((each) => each.parsed?.type ?? each.programId.toBase58()),
  ]);
  console.log(JSON.stringify(seen));
  process.exit(0);
}
main().catch((error) => { console.error(error); process.exit(1); });
