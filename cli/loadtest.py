"""`contox-ingest loadtest`: how much a gateway takes, how fast, and whether all of it is there."""

import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson
import typer

from cli.errors import CliError
from cli.live import LiveView
from cli.output import print_table, stderr, stdout
from cli.proof import prove
from cli.target import Chaos, Target
from cli.throwaway import throwaway
from cli.verdict import end, print_summary
from loadtest.html import page
from loadtest.plan import Arrivals, Plan, Profile
from loadtest.probe import ProbeError, probe
from loadtest.report import Trial, build, compare
from loadtest.run import Outcome, run
from loadtest.sweep import find_knee, judge, knee

CHAOS_ATTEMPTS = 100
RATE_S = 1_000.0
NAMED_ALIKE = (
    "seed",
    "profile",
    "arrivals",
    "connections",
    "processes",
    "batch_size",
    "payload_bytes",
    "gzip",
    "verify",
    "request_timeout_s",
)  # options that are the plan's fields

app = typer.Typer(
    invoke_without_command=True,
    help="Measure a gateway, and prove that nothing it acknowledged was lost.",
)

Url = Annotated[
    str | None, typer.Option(help="The gateway to measure; without it, a throw-away stack.")
]
Project = Annotated[str | None, typer.Option(envvar="CONTOX_PROJECT", help="The project's id.")]
Secret = Annotated[str | None, typer.Option(envvar="CONTOX_SECRET", help="The project's secret.")]
ProfileName = Annotated[Profile, typer.Option(help="What is sent.")]
Rate = Annotated[float | None, typer.Option(min=0.1, help="Requests per second: open loop [1000].")]
Max = Annotated[bool, typer.Option("--max", help="As fast as answers come: closed loop.")]
Duration = Annotated[float, typer.Option(min=0.5, help="Seconds of load; of each step of a sweep.")]
Connections = Annotated[int, typer.Option(min=1, max=20_000, help="Over all processes.")]
Processes = Annotated[int, typer.Option(min=1, max=64, help="Sending processes.")]
BatchSize = Annotated[int, typer.Option(min=1, max=5_000, help="Events in a batch.")]
PayloadBytes = Annotated[int, typer.Option(min=60, max=200_000, help="Of each event, about.")]
Gzip = Annotated[bool, typer.Option("--gzip", help="Send bodies compressed.")]
ArrivalsName = Annotated[Arrivals, typer.Option(help="How requests fall due.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is random.")]
Verify = Annotated[bool, typer.Option("--verify", help="Reconcile acknowledged with stored.")]
Retries = Annotated[
    int, typer.Option(min=0, max=10_000, help="Attempts after the first, if time may cure it.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, max=120, help="Seconds that an answer may take.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option(envvar="CONTOX_DATABASE_URL", help="For --verify.")
]
RedisUrl = Annotated[
    str | None, typer.Option(envvar="CONTOX_REDIS_URL", help="For --verify: dead letters.")
]
ChaosParts = Annotated[
    str, typer.Option("--chaos", help="Kill these at random: gateway,worker,redis.")
]
Every = Annotated[str, typer.Option(help="Seconds between kills, e.g. 5s.")]
Sweep = Annotated[bool, typer.Option("--sweep", help="Find the highest rate under --p99-ms.")]
P99 = Annotated[float, typer.Option(min=0.1, help="The limit of a sweep, in milliseconds.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show nothing while it measures.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write the report as a page.")]


@app.callback()
def loadtest(
    context: typer.Context,
    url: Url = None,
    project: Project = None,
    secret: Secret = None,
    profile: ProfileName = "single",
    rate: Rate = None,
    closed: Max = False,
    duration: Duration = 10.0,
    connections: Connections = 64,
    processes: Processes = 1,
    batch_size: BatchSize = 100,
    payload_bytes: PayloadBytes = 600,
    gzip: Gzip = False,
    arrivals: ArrivalsName = "constant",
    seed: Seed = 0,
    retries: Retries = 0,
    request_timeout_s: Timeout = 30.0,
    verify: Verify = False,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    chaos: ChaosParts = "",
    every: Every = "5s",
    sweep: Sweep = False,
    p99_ms: P99 = 50.0,
    json: JsonFile = None,
    html: HtmlFile = None,
    quiet: Quiet = False,
) -> None:
    """Measure a gateway, and prove that nothing it acknowledged was lost."""
    if context.invoked_subcommand is None:
        _carry_out(context.params)


def _carry_out(options: dict[str, Any]) -> None:
    """Measure, verify, report. options: those of `loadtest`, by their names."""
    if options["closed"] and options["rate"] is not None:
        raise CliError("--max and --rate exclude each other: a closed loop has no rate.")
    _check_writable(options["json"], options["html"])
    with ExitStack() as stack:
        target = _target(stack, options)
        chaos = Chaos(target.kill, options["chaos"], options["every"], options["seed"])
        plan = _plan(target, options)
        _probe(plan)
        trials: list[Trial] = []
        if options["sweep"]:
            outcome, trials = _sweep(plan, options["p99_ms"], quiet=options["quiet"])
        else:
            outcome = _measure(plan, chaos, quiet=options["quiet"])
        verdict = None
        if plan.verify:
            environ = target.environ(options["database_url"], options["redis_url"])
            try:
                verdict = prove(outcome, environ)
            except CliError:  # the figures are worth keeping without the proof
                _write(build(outcome, trials=trials), options["json"], options["html"])
                raise
    report = build(outcome, verdict=verdict, trials=trials, kills=chaos.kills)
    _write(report, options["json"], options["html"])
    print_summary(report)
    end(report)


def _plan(target: Target, options: dict[str, Any]) -> Plan:
    return Plan(
        url=target.url,
        project=target.project,
        secret=target.secret,
        run=secrets.token_hex(4),
        rate_s=None if options["closed"] else options["rate"] or RATE_S,
        duration_s=options["duration"],
        attempts_max=CHAOS_ATTEMPTS if options["chaos"] else 1 + options["retries"],
        **{name: options[name] for name in NAMED_ALIKE},
    )


@app.command("compare")
def compare_reports(
    old: Annotated[Path, typer.Argument(help="A report written with --json.")],
    new: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """Show two reports' figures side by side."""
    reports = [_read(path) for path in (old, new)]
    rows = compare(*reports)
    print_table(("figure", old.name, new.name, "change"), rows, nothing="")
    differing = [
        f"{name}: {reports[0]['plan'][name]} and {reports[1]['plan'][name]}"
        for name in reports[0]["plan"]
        if name not in ("url", "run", "project")
        and reports[0]["plan"][name] != reports[1]["plan"].get(name)
    ]
    if differing:
        stdout.print("The runs differ in " + "; ".join(differing), soft_wrap=True)


def _target(stack: ExitStack, options: dict[str, Any]) -> Target:
    """The gateway named, or a throw-away stack that lives as long as `stack`."""
    url, project, secret = options["url"], options["project"], options["secret"]
    if url is None:
        stderr.print("No --url: measuring a throw-away stack on this machine.")
        own = stack.enter_context(throwaway())
        return Target(own.url, own.project, own.secret, own)
    if project is None or secret is None:
        raise CliError("--url needs --project and --secret (CONTOX_PROJECT, CONTOX_SECRET).")
    if options["chaos"]:
        raise CliError("--chaos needs a stack of its own to kill: leave out --url.")
    if options["verify"] and not (options["database_url"] and options["redis_url"]):
        raise CliError("--verify of a gateway at --url needs its --database-url and --redis-url.")
    if stderr.is_terminal:
        stderr.print(f"Measuring the gateway at {url}.", soft_wrap=True)
    return Target(url.rstrip("/"), project, secret, None)


def _probe(plan: Plan) -> None:
    try:
        probe(plan, int(time.time()))
    except ProbeError as error:
        raise CliError(str(error)) from None


def _measure(plan: Plan, chaos: Chaos | None = None, *, quiet: bool) -> Outcome:
    with LiveView(plan.url, quiet=quiet) as view:

        def on_progress(outcome: Outcome) -> None:
            view.show(outcome)
            if chaos and outcome.elapsed_s < plan.duration_s:
                chaos.strike(outcome.elapsed_s)

        return run(plan, on_progress)


def _sweep(plan: Plan, p99_ms: float, *, quiet: bool) -> tuple[Outcome, list[Trial]]:
    """The outcome of the best trial (or else the first), and all trials."""
    outcomes: dict[float, Outcome] = {}

    def measure(rate_s: float) -> Trial:
        step = msgspec.structs.replace(plan, rate_s=rate_s, run=secrets.token_hex(4))
        outcome = outcomes[rate_s] = _measure(step, quiet=quiet)
        if outcome.partial:
            raise KeyboardInterrupt
        trial = judge(outcome, p99_ms)
        verdict = "good" if trial.good else "too much"
        stderr.print(f"{rate_s:,.0f}/s: p99 {trial.p99_ms:.1f} ms, {verdict}", highlight=False)
        return trial

    trials = find_knee(plan.rate_s or RATE_S, measure)
    best = knee(trials)
    return outcomes[best.rate_s if best else trials[0].rate_s], trials


def _write(report: dict[str, Any], json: Path | None, html: Path | None) -> None:
    try:
        if json:
            json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
        if html:
            html.write_text(page(report))
    except OSError as error:
        raise CliError(f"The report cannot be written: {error}.") from None


def _check_writable(*paths: Path | None) -> None:
    """Raises CliError before the run, rather than after it."""
    for path in filter(None, paths):
        new = not path.exists()
        try:
            path.open("a").close()
            if new:
                path.unlink()
        except OSError as error:
            raise CliError(f"The report {path} cannot be written: {error.strerror}.") from None


def _read(path: Path) -> Any:
    try:
        report = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise CliError(f"{path} is no report: {error}.") from None
    if not isinstance(report, dict) or "latencyMs" not in report:
        raise CliError(f"{path} is no report of a load test.")
    return report
