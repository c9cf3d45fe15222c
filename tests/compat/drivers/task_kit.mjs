// How @solana/kit reads the instructions of a transaction, parsed, as JSON.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.resolve(process.argv[2], "package.json"));
const kit = await import(pathToFileURL(require.resolve("@solana/kit")).href);

const [url, signature] = process.argv.slice(3);
const got = await kit.createSolanaRpc(url).getTransaction(signature, {
  maxSupportedTransactionVersion: 0, encoding: "jsonParsed",
}).send();
const { instructions } = got.transaction.message;
console.log(JSON.stringify({ instructions }, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
