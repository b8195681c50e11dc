"""What a peer in Python checks, and how it knows where it is; standard library only."""

import hashlib
import hmac
import os
import time

WINDOW_S = 300
PORT = int(os.environ.get("BENCH_PORT", "0"))
QUEUE_PORT = int(os.environ.get("BENCH_QUEUE_PORT", "0"))
SECRET = os.environ.get("BENCH_SECRET", "").encode()


def verified(timestamp: str, signature: str, body: bytes) -> bool:
    """Whether the request is fresh and signed with the secret."""
    if not (timestamp.isascii() and timestamp.isdigit()):
        return False
    if abs(time.time() - int(timestamp)) > WINDOW_S:
        return False
    mac = hmac.digest(SECRET, timestamp.encode() + b"." + body, hashlib.sha256)
    return hmac.compare_digest(b"sha256=" + mac.hex().encode(), signature.encode())
