"""A producer of the suite's own, made with the standard library: signs and posts probes."""

import hashlib
import hmac
import itertools
import json
import os
import time
from http.client import HTTPConnection, HTTPException
from typing import Any

TYPE = "probe"


class Producer:
    """Posts single events to a gateway on this machine."""

    def __init__(self, port: int, created: bytes) -> None:
        """`created`: what `contox-ingest project create --json` has printed."""
        project: dict[str, Any] = json.loads(created)
        self._port = port
        self.project: str = project["projectId"]
        self.secret: str = project["hmacSecret"]
        self._name = os.urandom(4).hex()
        self._numbers = itertools.count()

    def new_id(self) -> str:
        """An event id that no other event has."""
        return f"probe-{self._name}-{next(self._numbers)}"

    def request(self, event_id: str) -> tuple[dict[str, str], bytes]:
        """Headers and body of a signed request."""
        body = json.dumps({"id": event_id, "event": TYPE, "payload": {"id": event_id}}).encode()
        timestamp = str(int(time.time()))
        signed = timestamp.encode() + b"." + body
        signature = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Contox-Project": self.project,
            "X-Contox-Timestamp": timestamp,
            "X-Contox-Signature": f"sha256={signature}",
        }
        return headers, body

    def post(self, event_id: str, timeout_s: float = 5) -> int:
        """The status that a probe is answered with; 0 if the connection broke or stayed silent."""
        headers, body = self.request(event_id)
        connection = HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request("POST", "/api/v2/ingest", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()
        return answer.status
