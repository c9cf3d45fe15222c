"""REF: how many strict Ed25519 verifications one core does in a second, the measure of all others."""

import os
import platform
import statistics
import time
from pathlib import Path

from solders.keypair import Keypair


def measure_ref(seconds: float = 1.0) -> float:
    """Verifications in a second of processor time (solders, strict, 200 bytes), median of five slices."""
    pair = Keypair()
    message = bytes(200)
    signature, key = pair.sign_message(message), pair.pubkey()
    rates = []
    for _ in range(5):
        count, begin = 0, time.process_time()
        while time.process_time() - begin < seconds / 5:
            for _ in range(100):
                assert signature.verify(key, message)
            count += 100
        rates.append(count / (time.process_time() - begin))
    return statistics.median(rates)


def print_machine(ref: float) -> None:
    """One line on what this ran on, and REF."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    load = os.getloadavg()[0]
    print(f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}")
    print(f"REF = {ref:,.0f} Ed25519 verifications/s on one core (solders)")
