"""Secrets at rest: sealed with AES-256-GCM (NIST SP 800-38D) under the operator's master key.

sealed := "1" | nonce, 12 random bytes | ciphertext and 16-byte tag
bound to the project's id as associated data, so that a secret cannot be moved to another
project
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.ports import ProjectStore
from core.settings import SettingError

VERSION = b"1"
NONCE_BYTES = 12


class SealError(Exception):
    """What was sealed cannot be opened: another master key, another project, or damage."""


class Sealer:
    """Seals and opens secrets. `master_key` is 32 bytes."""

    def __init__(self, master_key: bytes) -> None:
        self._cipher = AESGCM(master_key)

    def seal(self, text: str, *, project_id: str) -> bytes:
        """The sealed form of a secret, different each time."""
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._cipher.encrypt(nonce, text.encode(), project_id.encode())
        return VERSION + nonce + ciphertext

    def open(self, sealed: bytes, *, project_id: str) -> str:
        """The secret. Raises SealError."""
        nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            if sealed[:1] != VERSION:
                raise ValueError("unknown version")
            return self._cipher.decrypt(nonce, ciphertext, project_id.encode()).decode()
        except (InvalidTag, ValueError):
            raise SealError(f"the secret of {project_id} does not open with this key") from None


async def check_master_key(projects: ProjectStore, sealer: Sealer) -> None:
    """Raises SettingError if the key is not the one that the store's secrets are sealed with."""
    project = await projects.any()  # a look at all would take longer with each
    if project is None:
        return
    keys = await projects.keys(project.id)
    assert keys is not None
    try:
        sealer.open(keys.secrets[0].sealed, project_id=project.id)
    except SealError:
        raise SettingError(
            "CONTOX_MASTER_KEY is not the key that the store's secrets are sealed with."
        ) from None
