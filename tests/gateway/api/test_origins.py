"""Which pages are ours; what others may is in test_edge.py."""

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.api.origins import Origins


@pytest.mark.parametrize(
    ("host", "origin", "own"),
    [
        ("g.test", "http://g.test", True),
        ("g.test", "https://g.test", True),
        ("G.test", "https://g.TEST", True),
        ("g.test:443", "https://g.test", True),
        ("g.test", "https://g.test:443", True),
        ("g.test:8080", "http://g.test:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("g.test:443", "http://g.test", False),
        ("g.test", "http://g.test:8080", False),
        ("g.test", "https://g.test.evil", False),
        ("g.test", "ftp://g.test", False),
        ("g.test", "null", False),
        ("g.test", "", False),
        ("g.test", "g.test", False),
        ("", "http://", False),
    ],
)
def test_own(host: str, origin: str, own: bool) -> None:
    """A page is ours if its origin names the host that was asked, the scheme's port aside."""
    request = make_mocked_request("POST", "/", headers={"Host": host, "Origin": origin})
    assert Origins((), ()).is_own(request) is own
