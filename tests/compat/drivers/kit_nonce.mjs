// Driven by @solana/kit with durable nonces: prints what it saw as JSON.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const load = createRequire(path.resolve(process.argv[2], "package.json"));
const kit = await import(pathToFileURL(load.resolve("@solana/kit")).href);
const system = await import(pathToFileURL(load.resolve("@solana-program/system")).href);

const [url, websocket] = process.argv.slice(3);
const rpc = kit.createSolanaRpc(url);
const rpcSubscriptions = kit.createSolanaRpcSubscriptions(websocket);
const seen = {};
const payer = await kit.generateKeyPairSigner();
const nonce = await kit.generateKeyPairSigner();
const target = (await kit.generateKeyPairSigner()).address;
const airdrop = kit.airdropFactory({ rpc, rpcSubscriptions });
await airdrop({ commitment: "confirmed", lamports: kit.lamports(5_000_000_000n), recipientAddress: payer.address });

const { value: latest } = await rpc.getLatestBlockhash().send();
const creation = kit.pipe(
  kit.createTransactionMessage({ version: 0 }),
  (m) => kit.setTransactionMessageFeePayerSigner(payer, m),
  (m) => kit.setTransactionMessageLifetimeUsingBlockhash(latest, m),
  (m) => kit.appendTransactionMessageInstructions([
    system.getCreateAccountInstruction({
      payer, newAccount: nonce, lamports: kit.lamports(2_000_000n), space: 80n,
      programAddress: system.SYSTEM_PROGRAM_ADDRESS,
    }),
    system.getInitializeNonceAccountInstruction({ nonceAccount: nonce.address, nonceAuthority: payer.address }),
  ], m),
);
const sendAndConfirm = kit.sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
await sendAndConfirm(await kit.signTransactionMessageWithSigners(creation), { commitment: "confirmed" });

const sendDurably = kit.sendAndConfirmDurableNonceTransactionFactory({ rpc, rpcSubscriptions });
const values = new Set();
for (let count = 0; count < 4; count += 1) {
  const { data } = await system.fetchNonce(rpc, nonce.address, { commitment: "confirmed" });
  values.add(data.blockhash);
  const message = kit.pipe(
    kit.createTransactionMessage({ version: 0 }),
    (m) => kit.setTransactionMessageFeePayerSigner(payer, m),
    (m) => kit.setTransactionMessageLifetimeUsingDurableNonce({
      nonce: data.blockhash, nonceAccountAddress: nonce.address, nonceAuthorityAddress: payer.address,
    }, m),
    (m) => kit.appendTransactionMessageInstruction(system.getTransferSolInstruction({
      source: payer, destination: target, amount: kit.lamports(1_000n),
    }), m),
  );
  await sendDurably(await kit.signTransactionMessageWithSigners(message), { commitment: "confirmed" });
}
seen.values = values.size;
seen.balance = Number((await rpc.getBalance(target, { commitment: "confirmed" }).send()).value);
console.log(JSON.stringify(seen));
process.exit(0);
