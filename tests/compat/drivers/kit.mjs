// Driven by @solana/kit: prints what it saw as JSON.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.resolve(process.argv[2], "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const kit = await load("@solana/kit");
const { getTransferSolInstruction } = await load("@solana-program/system");

const [url, websocket, made] = process.argv.slice(3);
const seen = {};
const rpc = kit.createSolanaRpc(url);
const rpcSubscriptions = kit.createSolanaRpcSubscriptions(websocket);
const payer = await kit.generateKeyPairSigner();
const target = await kit.generateKeyPairSigner();
const airdrop = kit.airdropFactory({ rpc, rpcSubscriptions });
await airdrop({ commitment: "confirmed", lamports: kit.lamports(5_000_000_000n), recipientAddress: payer.address });
seen.airdropped = Number((await rpc.getBalance(payer.address).send()).value);
seen.otherLibraryMade = Number((await rpc.getAccountInfo(kit.address(made), { encoding: "base64" }).send()).value.lamports);

const abort = new AbortController();
const notifications = await rpcSubscriptions.accountNotifications(target.address, { commitment: "confirmed" })
  .subscribe({ abortSignal: abort.signal });
const first = (async () => { for await (const one of notifications) return Number(one.value.lamports); })();

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
seen.transferred = Number((await rpc.getBalance(target.address).send()).value);
seen.notified = await first;
abort.abort();
const signature = kit.getSignatureFromTransaction(signed);
const got = await rpc.getTransaction(signature, { maxSupportedTransactionVersion: 0, encoding: "json" }).send();
seen.fee = Number(got.meta.fee);
const slots = await rpcSubscriptions.slotNotifications().subscribe({ abortSignal: new AbortController().signal });
for await (const one of slots) { seen.slot = Number(one.slot) > 0; break; }
console.log(JSON.stringify(seen));
process.exit(0);
