"""What the kernels in Python have of their own; what they share is in test_kernels.py."""

import hmac

import pytest

from core.kernels_python import BLOCK_BYTES, COPIED_BYTES_MAX, Key


@pytest.mark.parametrize("size", [COPIED_BYTES_MAX - 2, COPIED_BYTES_MAX - 1, COPIED_BYTES_MAX])
def test_joined_or_not(size: int) -> None:
    """A body has the same MAC, whether it is joined to its timestamp or not."""
    block, body = b"k" * BLOCK_BYTES, b"x" * size
    assert Key(block).mac(b"1", body) == hmac.digest(block, b"1." + body, "sha256")
