// Driven by the default bundle of @metaplex-foundation/umi: prints what it saw as JSON.
import { createRequire } from "node:module";
import path from "node:path";

const load = createRequire(path.resolve(process.argv[2], "package.json"));
const { createUmi } = load("@metaplex-foundation/umi-bundle-defaults");
const umiCore = load("@metaplex-foundation/umi");

const seen = {};
const umi = createUmi(process.argv[3], { commitment: "confirmed" });
const payer = umiCore.generateSigner(umi);
umi.use(umiCore.signerIdentity(payer));
await umi.rpc.airdrop(payer.publicKey, umiCore.sol(5), { commitment: "confirmed" });
seen.airdropped = Number((await umi.rpc.getBalance(payer.publicKey)).basisPoints);

const target = umiCore.generateSigner(umi).publicKey;
const move = (amount) => {
  const data = new Uint8Array(12);
  new DataView(data.buffer).setUint32(0, 2, true);
  new DataView(data.buffer).setBigUint64(4, BigInt(amount), true);
  return umiCore.transactionBuilder().add({
    instruction: {
      programId: umiCore.publicKey("11111111111111111111111111111111"),
      keys: [
        { pubkey: payer.publicKey, isSigner: true, isWritable: true },
        { pubkey: target, isSigner: false, isWritable: true },
      ],
      data,
    },
    signers: [payer],
    bytesCreatedOnChain: 0,
  });
};
let last;
for (let count = 0; count < 4; count += 1) last = await move(1_000_000).sendAndConfirm(umi);
seen.balance = Number((await umi.rpc.getBalance(target)).basisPoints);
seen.err = last.result.value.err;
const transaction = await umi.rpc.getTransaction(last.signature, { commitment: "confirmed" });
seen.logs = transaction.meta.logs;
seen.statuses = (await umi.rpc.getSignatureStatuses([last.signature]))[0].commitment !== undefined;
const accounts = await umi.rpc.getAccounts([payer.publicKey, target, umiCore.generateSigner(umi).publicKey]);
seen.accounts = accounts.map((account) => account.exists);
seen.rent = Number((await umi.rpc.getRent(100)).basisPoints);
try {
  await move(100_000_000_000).sendAndConfirm(umi);
} catch (error) {
  seen.refused = error.logs ?? [String(error.message)];
}
console.log(JSON.stringify(seen));
process.exit(0);
