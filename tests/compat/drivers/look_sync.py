"""What the synchronous client of solana sees of accounts: their money, owner and size, as JSON."""

import json
import sys

from solana.rpc.api import Client
from solders.pubkey import Pubkey

client = Client(sys.argv[1])
accounts = {one: client.get_account_info(Pubkey.from_string(one)).value for one in sys.argv[2:]}
print(json.dumps({one: [got.lamports, str(got.owner), len(got.data)] for one, got in accounts.items()}))
