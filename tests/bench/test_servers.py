"""The gateway that is measured."""

import psutil

from bench.servers import Server


def test_real_command(server: Server) -> None:
    """It is the command that operators run, pinned to a core."""
    process = psutil.Process(server.pid)
    assert process.cmdline()[-1] == "gateway"
    assert len(process.cpu_affinity()) == 1


def test_one_sender(server: Server) -> None:
    """It has the projects that were asked for, with their secrets."""
    assert [sender.secret[:6] for sender in server.senders] == ["whsec_"]
