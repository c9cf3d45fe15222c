"""How the synchronous client of solana reads the instructions of a transaction, parsed, as JSON."""

import json
import sys

from solana.rpc.api import Client
from solders.signature import Signature

signature = Signature.from_string(sys.argv[2])
got = Client(sys.argv[1]).get_transaction(signature, "jsonParsed", max_supported_transaction_version=0)
instructions = got.value.transaction.transaction.message.instructions
print(json.dumps({"instructions": [json.loads(instruction.to_json()) for instruction in instructions]}))
