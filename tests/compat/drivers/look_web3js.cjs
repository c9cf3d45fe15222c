// What @solana/web3.js 1 sees of accounts: their money, owner and size, as JSON.
const path = require("node:path");
const web3 = require(path.resolve(process.argv[2], "node_modules/@solana/web3.js"));

async function main() {
  const [url, ...names] = process.argv.slice(3);
  const connection = new web3.Connection(url, "confirmed");
  const seen = {};
  for (const name of names) {
    const got = await connection.getAccountInfo(new web3.PublicKey(name));
    seen[name] = [got.lamports, got.owner.toBase58(), got.data.length];
  }
  console.log(JSON.stringify(seen));
}
main().catch((error) => { console.error(error); process.exit(1); });
