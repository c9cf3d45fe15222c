// Driven by @solana/kit: prints what it saw as JSON.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.resolve(process.argv[2], "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const kit = await load("@solana/kit");
const { getCreateAccountInstruction, getTransferSolInstruction } = await load("@solana-program/system");

const [url, websocket, owner] = process.argv.slice(3);
const seen = {};
const rpc = kit.createSolanaRpc(url);
const rpcSubscriptions = kit.createSolanaRpcSubscriptions(websocket);
const payer = await kit.generateKeyPairSigner();
const target = await kit.generateKeyPairSigner();
const airdrop = kit.airdropFactory({ rpc, rpcSubscriptions });
await airdrop({ commitment: "confirmed", lamports: kit.lamports(5_000_000_000n), recipientAddress: payer.address });
seen.airdropped = Number((await rpc.getBalance(payer.address, { commitment: "confirmed" }).send()).value);

const abort = new AbortController();
const notifications = await rpcSubscriptions.accountNotifications(target.address, { commitment: "confirmed" })
  .subscribe({ abortSignal: abort.signal });
const first = (async () => { for await (const one of notifications) return Number(one.value.lamports); })();

const logs = await rpcSubscriptions.logsNotifications({ mentions: [target.address] }, { commitment: "confirmed" })
  .subscribe({ abortSignal: abort.signal });
const logged = (async () => { for await (const one of logs) return one.value; })();
const programs = await rpcSubscriptions.programNotifications(kit.address(owner), { encoding: "base64", filters: [{ dataSize: 56n }] })
  .subscribe({ abortSignal: abort.signal });
const program = (async () => { for await (const one of programs) return one.value.pubkey; })();

const { value: latest } = await rpc.getLatestBlockhash().send();
const message = kit.pipe(
  kit.createTransactionMessage({ version: 0 }),
  (m) => kit.setTransactionMessageFeePayerSigner(payer, m),
  (m) => kit.setTransactionMessageLifetimeUsingBlockhash(latest, m),
  (m) => kit.appendTransactionMessageInstruction(
    getTransferSolInstruction({ source: payer, destination: target.address, amount: kit.lamports(4321n) }), m),
);
const signed = await kit.signTransactionMessageWithSigners(message);
const simulated = await rpc.simulateTransaction(kit.getBase64EncodedWireTransaction(signed), { encoding: "base64" }).send();
seen.simulated = simulated.value.err;
await kit.sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions })(signed, { commitment: "confirmed" });
seen.transferred = Number((await rpc.getBalance(target.address, { commitment: "confirmed" }).send()).value);
seen.notified = await first;
const signature = kit.getSignatureFromTransaction(signed);
const line = await logged;
seen.logged = [line.signature === signature, line.err, line.logs[0]];
const signatures = await rpcSubscriptions.signatureNotifications(signature, { commitment: "confirmed" })
  .subscribe({ abortSignal: new AbortController().signal });
for await (const one of signatures) { seen.signature = one.value.err; break; }

const created = await kit.generateKeyPairSigner();
const creation = kit.pipe(
  kit.createTransactionMessage({ version: "legacy" }),
  (m) => kit.setTransactionMessageFeePayerSigner(payer, m),
  (m) => kit.setTransactionMessageLifetimeUsingBlockhash(latest, m),
  (m) => kit.appendTransactionMessageInstruction(getCreateAccountInstruction({
    payer, newAccount: created, lamports: kit.lamports(3_500_000n), space: 56n, programAddress: kit.address(owner),
  }), m),
);
await kit.sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions })(
  await kit.signTransactionMessageWithSigners(creation), { commitment: "confirmed" });
seen.programNotified = (await program) === created.address;
abort.abort();
const found = await rpc.getProgramAccounts(kit.address(owner), {
  commitment: "confirmed", encoding: "base64", filters: [{ dataSize: 56n }, { memcmp: { offset: 0n, bytes: "1111", encoding: "base58" } }],
}).send();
seen.programAccounts = found.map((one) => one.pubkey);
seen.made = created.address;
const got = await rpc.getTransaction(signature, {
  commitment: "confirmed", maxSupportedTransactionVersion: 0, encoding: "json",
}).send();
seen.fee = Number(got.meta.fee);
const slots = await rpcSubscriptions.slotNotifications().subscribe({ abortSignal: new AbortController().signal });
for await (const one of slots) { seen.slot = Number(one.slot) > 0; break; }
console.log(JSON.stringify(seen));
process.exit(0);
