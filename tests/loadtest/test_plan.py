"""The plan as it goes to the sending processes: as JSON, whole, and only with what it may hold."""

import msgspec
import pytest

from loadtest.plan import Plan
from tests.loadtest.conftest import plan_for

CHANGED = plan_for(
    seed=3,
    profile="mixed",
    arrivals="poisson",
    rate_s=0.5,
    processes=4,
    batch_size=7,
    payload_bytes=100,
    gzip=True,
    verify=True,
    attempts_max=5,
    hostile_share=0.5,
    request_timeout_s=1.5,
)


@pytest.mark.parametrize("plan", [plan_for(), plan_for(rate_s=None), CHANGED])
def test_round_trip(plan: Plan) -> None:
    """A process reads the plan that its parent has made, to the last setting."""
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_closed_loop_unless_a_rate_is_named() -> None:
    """A plan without a rate is as fast as answers come, and tries each request once."""
    plan = Plan(url="http://127.0.0.1:1", project="p", secret="s", run="r")
    assert (plan.rate_s, plan.attempts_max, plan.profile) == (None, 1, "single")


def test_frozen() -> None:
    """A plan does not change under way."""
    with pytest.raises(AttributeError):
        plan_for().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("changed", [{"profile": "kind"}, {"arrivals": "late"}, {"seed": "x"}])
def test_closed_lists(changed: dict[str, str]) -> None:
    """A profile or a kind of arrivals that there is not is refused."""
    content = msgspec.to_builtins(plan_for()) | changed
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(content, Plan)
