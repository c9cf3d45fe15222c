// What @solana/kit sees of accounts: their money, owner and size, as JSON.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.resolve(process.argv[2], "package.json"));
const kit = await import(pathToFileURL(require.resolve("@solana/kit")).href);

const [url, ...names] = process.argv.slice(3);
const rpc = kit.createSolanaRpc(url);
const seen = {};
for (const got of await kit.fetchEncodedAccounts(rpc, names.map((name) => kit.address(name)))) {
  seen[got.address] = [Number(got.lamports), got.programAddress, got.data.length];
}
console.log(JSON.stringify(seen));
