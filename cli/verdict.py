"""What a load test's report comes to, for a person and for the exit status."""

from typing import Any

from cli.errors import CliError
from cli.output import print_table, stderr, stdout


def print_summary(report: dict[str, Any]) -> None:
    """The figures of a report, its warnings, and the proof."""
    counts, latency = report["counts"], report["latencyMs"]
    rows = [
        ("accepted", f"{counts['accepted']:,} requests, {counts['events']:,} events"),
        ("throughput", f"{report['requestsPerS']:,} requests/s, {report['eventsPerS']:,} events/s"),
        ("latency, ms", "  ".join(f"{name} {ms:g}" for name, ms in latency.items())),
        ("offered, sent", f"{counts['offered']:,}, {counts['sent']:,}"),
        ("refused", _listed(counts["refused"])),
        ("retried", f"{counts['retried']:,}"),
        ("connection errors", f"{counts['connection_errors']:,}"),
        ("without an answer", f"{counts['unknown'] + counts['unanswered']:,}"),
        ("senders' CPU", "  ".join(f"{share:.0%}" for share in report["senderCpu"].values())),
    ]
    if report["plan"]["profile"] == "hostile":
        rows.append(("against the contract", _listed(counts["wrong"])))
    if report["kills"]:
        rows.append(("kills", f"{len(report['kills'])}: {', '.join(report['kills'])}"))
    print_table((f"{report['loop']} loop", f"{report['durationS']:g} s"), rows, nothing="")
    for warning in report["warnings"]:
        stderr.print(f"warning: {warning}", highlight=False, soft_wrap=True)
    if report["sweep"]:
        _print_knee(report["sweep"])
    if report["verify"]:
        _print_proof(report["verify"])


def end(report: dict[str, Any]) -> None:
    """Raises CliError, which makes the exit status 1, if the run did not go as it should."""
    counts, verify = report["counts"], report["verify"]
    if verify and not verify["holds"]:
        raise CliError("The proof failed: what was acknowledged is not what is stored.")
    if report["partial"]:
        raise CliError("The run ended early; the report is partial.")
    if counts["wrong"]:
        raise CliError("Hostile requests were answered otherwise than the contract says.")
    if not counts["accepted"]:
        raise CliError(f"No request was accepted: {_listed(counts['refused'])}.")


def _print_proof(verify: dict[str, Any]) -> None:
    stdout.print(
        f"acknowledged {verify['acknowledged']:,} = stored {verify['stored']:,}"
        f" (of them {verify['unacknowledged']:,} without an acknowledgement)"
        f" + dead letters {verify['dead_lettered']:,}:"
        f" {verify['lost']:,} lost, {verify['duplicated']:,} duplicated,"
        f" {verify['altered']:,} altered, {verify['never_sent']:,} never sent",
        highlight=False,
        soft_wrap=True,
    )
    for kind, ids in verify["ids"].items():
        if ids:
            stderr.print(f"{kind}: {', '.join(ids)}", highlight=False, soft_wrap=True)


def _print_knee(trials: list[dict[str, Any]]) -> None:
    good = [trial for trial in trials if trial["good"]]
    if good:
        best = max(good, key=lambda trial: trial["rate_s"])
        text = f"knee: {best['rate_s']:,.0f} requests/s with a p99 of {best['p99_ms']:.1f} ms"
    else:
        text = "knee: below the first rate; begin with a lower --rate"
    stdout.print(text, highlight=False)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} x {name}" for name, count in counts.items()) or "none"
