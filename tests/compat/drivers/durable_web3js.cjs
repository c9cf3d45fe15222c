// Durable nonces and lookup tables by @solana/web3.js 1: prints what it saw as JSON.
const path = require("node:path");
const web3 = require(path.resolve(process.argv[2], "node_modules/@solana/web3.js"));

async function main() {
  const seen = {};
  const connection = new web3.Connection(process.argv[3], "confirmed");
  const send = (signers, ...asked) =>
    web3.sendAndConfirmTransaction(connection, new web3.Transaction().add(...asked), signers);
  const payer = web3.Keypair.generate();
  const latest = await connection.getLatestBlockhash();
  await connection.confirmTransaction({
    signature: await connection.requestAirdrop(payer.publicKey, 5_000_000_000), ...latest,
  });
  const target = web3.Keypair.generate().publicKey;
  const transfer = (lamports, to = target) =>
    web3.SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: to, lamports });

  const nonce = web3.Keypair.generate();
  const rent = await connection.getMinimumBalanceForRentExemption(web3.NONCE_ACCOUNT_LENGTH);
  await send([payer, nonce], web3.SystemProgram.createNonceAccount({
    fromPubkey: payer.publicKey, noncePubkey: nonce.publicKey, authorizedPubkey: payer.publicKey,
    lamports: rent + 1000,
  }));
  const nextSlot = async () => {
    const slot = await connection.getSlot();
    while ((await connection.getSlot()) === slot) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await nextSlot();
  const before = (await connection.getNonceAndContext(nonce.publicKey)).value;
  seen.authority = before.authorizedPubkey.equals(payer.publicKey);
  seen.nonceFee = before.feeCalculator.lamportsPerSignature;
  const durable = new web3.Transaction({
    feePayer: payer.publicKey,
    nonceInfo: {
      nonce: before.nonce,
      nonceInstruction: web3.SystemProgram.nonceAdvance({
        noncePubkey: nonce.publicKey, authorizedPubkey: payer.publicKey,
      }),
    },
  }).add(transfer(111));
  durable.sign(payer);
  seen.feeForNonce = (await connection.getFeeForMessage(durable.compileMessage())).value;
  const { context } = await connection.getNonceAndContext(nonce.publicKey);
  const signature = await connection.sendRawTransaction(durable.serialize());
  const confirmed = await connection.confirmTransaction({
    signature, minContextSlot: context.slot, nonceAccountPubkey: nonce.publicKey, nonceValue: before.nonce,
  });
  seen.nonceError = confirmed.value.err;
  seen.movedOn = (await connection.getNonce(nonce.publicKey)).nonce !== before.nonce;
  try {
    await connection.sendRawTransaction(durable.serialize());
  } catch (error) {
    seen.again = error.message;
  }
  await nextSlot();
  await send([payer], web3.SystemProgram.nonceWithdraw({
    noncePubkey: nonce.publicKey, authorizedPubkey: payer.publicKey, toPubkey: target, lamports: rent + 1000,
  }));
  seen.nonceEnded = (await connection.getAccountInfo(nonce.publicKey)) === null;
  seen.target = (await connection.getBalance(target)) - rent - 1000;

  const inside = web3.Keypair.generate().publicKey;
  const [create, table] = web3.AddressLookupTableProgram.createLookupTable({
    authority: payer.publicKey, payer: payer.publicKey, recentSlot: await connection.getSlot(),
  });
  await send([payer], create);
  await send([payer], web3.AddressLookupTableProgram.extendLookupTable({
    payer: payer.publicKey, authority: payer.publicKey, lookupTable: table, addresses: [target, inside],
  }));
  const read = (await connection.getAddressLookupTable(table)).value;
  seen.table = [read.isActive(), read.state.addresses.length, read.state.authority.equals(payer.publicKey)];
  await nextSlot();
  const hash = await connection.getLatestBlockhash();
  const through = new web3.VersionedTransaction(
    new web3.TransactionMessage({
      payerKey: payer.publicKey, recentBlockhash: hash.blockhash, instructions: [transfer(222, inside)],
    }).compileToV0Message([read]),
  );
  seen.named = through.message.staticAccountKeys.some((key) => key.equals(inside));
  through.sign([payer]);
  const sent = await connection.sendTransaction(through);
  await connection.confirmTransaction({ signature: sent, ...hash });
  seen.inside = await connection.getBalance(inside);
  const got = await connection.getTransaction(sent, { maxSupportedTransactionVersion: 0 });
  seen.loaded = got.meta.loadedAddresses.writable.map((key) => key.equals(inside));
  const keys = got.transaction.message.getAccountKeys({ accountKeysFromLookups: got.meta.loadedAddresses });
  const at = keys.keySegments().flat().findIndex((key) => key.equals(inside));
  seen.balances = [got.meta.preBalances[at], got.meta.postBalances[at]];
  const parsed = await connection.getParsedTransaction(sent, { maxSupportedTransactionVersion: 0 });
  seen.parsed = parsed.transaction.message.instructions[0].parsed.info.destination === inside.toBase58();
  seen.source = parsed.transaction.message.accountKeys.at(-1).source;
  seen.history = (await connection.getSignaturesForAddress(inside)).map((one) => one.signature === sent);
  await send([payer], web3.AddressLookupTableProgram.deactivateLookupTable({
    lookupTable: table, authority: payer.publicKey,
  }));
  seen.deactivated = (await connection.getAddressLookupTable(table)).value.isActive();
  seen.lookupTable = table.toBase58();
  seen.insideKey = inside.toBase58();
  console.log(JSON.stringify(seen));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
