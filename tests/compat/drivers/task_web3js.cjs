// How @solana/web3.js 1 reads the instructions of a transaction, parsed, as JSON.
const path = require("node:path");
const web3 = require(path.resolve(process.argv[2], "node_modules/@solana/web3.js"));

async function main() {
  const [url, signature] = process.argv.slice(3);
  const connection = new web3.Connection(url, "confirmed");
  const got = await connection.getParsedTransaction(signature, { maxSupportedTransactionVersion: 0 });
  console.log(JSON.stringify({ instructions: got.transaction.message.instructions }));
}
main().catch((error) => { console.error(error); process.exit(1); });
