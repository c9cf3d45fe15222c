// A durable nonce and a lookup table by @solana/kit: prints what it saw as JSON.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.resolve(process.argv[2], "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const kit = await load("@solana/kit");
const system = await load("@solana-program/system");

const [url, websocket, table, inside] = process.argv.slice(3);
const seen = {};
const rpc = kit.createSolanaRpc(url);
const rpcSubscriptions = kit.createSolanaRpcSubscriptions(websocket);
const payer = await kit.generateKeyPairSigner();
const nonce = await kit.generateKeyPairSigner();
await kit.airdropFactory({ rpc, rpcSubscriptions })({
  commitment: "confirmed", lamports: kit.lamports(5_000_000_000n), recipientAddress: payer.address,
});
const confirm = kit.sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const confirmDurable = kit.sendAndConfirmDurableNonceTransactionFactory({ rpc, rpcSubscriptions });
const start = () => kit.setTransactionMessageFeePayerSigner(payer, kit.createTransactionMessage({ version: 0 }));
const pay = (amount, to) =>
  system.getTransferSolInstruction({ source: payer, destination: to, amount: kit.lamports(amount) });
const withTick = async (message) =>
  kit.setTransactionMessageLifetimeUsingBlockhash((await rpc.getLatestBlockhash().send()).value, message);

const space = BigInt(system.getNonceSize());
const made = kit.appendTransactionMessageInstructions([
  system.getCreateAccountInstruction({
    payer, newAccount: nonce, space, programAddress: system.SYSTEM_PROGRAM_ADDRESS,
    lamports: await rpc.getMinimumBalanceForRentExemption(space).send(),
  }),
  system.getInitializeNonceAccountInstruction({ nonceAccount: nonce.address, nonceAuthority: payer.address }),
], await withTick(start()));
await confirm(await kit.signTransactionMessageWithSigners(made), { commitment: "confirmed" });
const { data } = await system.fetchNonce(rpc, nonce.address, { commitment: "confirmed" });
seen.authority = data.authority === payer.address;

const target = (await kit.generateKeyPairSigner()).address;
const durable = kit.appendTransactionMessageInstruction(
  pay(333n, target),
  kit.setTransactionMessageLifetimeUsingDurableNonce(
    { nonce: data.blockhash, nonceAccountAddress: nonce.address, nonceAuthorityAddress: payer.address }, start()),
);
await confirmDurable(await kit.signTransactionMessageWithSigners(durable), { commitment: "confirmed" });
seen.target = Number((await rpc.getBalance(target, { commitment: "confirmed" }).send()).value);
seen.movedOn = (await system.fetchNonce(rpc, nonce.address, { commitment: "confirmed" })).data.blockhash !== data.blockhash;

const { value: account } = await rpc.getAccountInfo(kit.address(table), { commitment: "confirmed", encoding: "base64" }).send();
const bytes = kit.getBase64Encoder().encode(account.data[0]);
const addresses = [];
for (let at = 56; at < bytes.length; at += 32) addresses.push(kit.getAddressDecoder().decode(bytes.slice(at, at + 32)));
const through = kit.compressTransactionMessageUsingAddressLookupTables(
  kit.appendTransactionMessageInstruction(pay(444n, kit.address(inside)), await withTick(start())),
  { [table]: addresses },
);
const signed = await kit.signTransactionMessageWithSigners(through);
await confirm(signed, { commitment: "confirmed" });
const got = await rpc.getTransaction(kit.getSignatureFromTransaction(signed), {
  commitment: "confirmed", maxSupportedTransactionVersion: 0, encoding: "jsonParsed",
}).send();
seen.loaded = got.transaction.message.accountKeys
  .filter((key) => key.source === "lookupTable" && key.writable).map((key) => key.pubkey);
seen.sources = got.transaction.message.accountKeys.map((key) => key.source);
console.log(JSON.stringify(seen));
process.exit(0);
