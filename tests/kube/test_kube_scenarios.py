"""What becomes of campaigns and experiments in both homes: one table of scenarios with one expectation, run on one machine, where
containers are processes, and on Kubernetes, where a test plays the kubelet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from kube import homes
from kube.homes import Home
from kube.hubdouble import Hubs
from kube.plane import Plane
from kube.world import Kubelet, condition

ASKED = {"campaignRef": "c", "method": {"builtin": "hard-labels"}, "submittedBy": {"researcher": "r0", "key": "1"}}


async def researching(home: Home, **spec: object) -> None:
    await home.begin(**spec)
    await home.until_phase("c", "Researching")


async def running(home: Home, **spec: object) -> None:
    """With an experiment `e` that holds on until it is told to end."""
    await researching(home, **spec)
    home.does("e", "hold")
    await home.apply()
    await home.until_phase("e", "Running")


async def ends_well(home: Home) -> None:
    await researching(home)
    home.hub.ask_for("c-1", ASKED | {"seeds": 2})
    done = await home.until_phase("c-1", "Complete")
    assert [one["state"] for one in done["status"]["seeds"]] == ["Succeeded", "Succeeded"]
    assert (done["status"]["attempts"], done["status"]["score"]["pgr"]) == (1, "0.5000")
    assert condition(done, "Scored")[:2] == ("True", "ScoreRecorded")

    async def let_go() -> bool:
        return not (await home.experiment("c-1"))["metadata"].get("finalizers") and not await home.job("c-1-1")

    await home.until("it is let go", let_go)
    home.hub.finished = ("r0",)
    over = await home.until_phase("c", "Complete")
    assert condition(over, "Complete")[1] == "ResearchersFinished"
    assert len(home.hub.admitted["c-1"]) >= 1
    assert len(home.made["c-1-1"]) == 1


async def method_fails(home: Home) -> None:
    await researching(home)
    home.does("e", "42")
    await home.apply()
    failed = await home.until_phase("e", "Failed")
    assert condition(failed, "Failed")[1] == "SeedFailed"
    (outcome,) = home.hub.settled["e"][-1].indexes
    assert (outcome.succeeded, outcome.reason) == (False, "FailedIndexes")
    assert len(home.made["e-1"]) == 1


async def its_hub_fails_at_scoring(home: Home) -> None:
    await researching(home)
    home.hub.full = True
    await home.apply()
    waits = await home.until_phase("e", "Scoring")
    assert condition(waits, "Scored")[:2] == ("False", "WaitingForScorer")
    assert "answered 500: its log says why." in condition(waits, "Scored")[2]
    home.hub.full = False
    done = await home.until_phase("e", "Complete")
    assert condition(done, "Scored")[:2] == ("True", "ScoreRecorded")
    assert len(home.made["e-1"]) == 1


async def its_hub_is_away_when_it_ends(home: Home) -> None:
    await running(home)
    home.hub.down = True
    home.does("e", "0")
    waits = await home.until_phase("e", "Scoring")
    assert condition(waits, "Scored")[:2] == ("False", "WaitingForScorer")
    home.hub.down = False
    await home.until_phase("e", "Complete")


async def a_step_breaks_every_time(home: Home) -> None:
    await researching(home)
    home.does("e", "3")
    await home.apply(seeds=2)
    failed = await home.until_phase("e", "Failed")
    told = condition(failed, "Failed")[2]
    assert "Its step 'post' ended with exit code 3 and left no report, the last of 2 tries" in told


async def suspended_and_resumed(home: Home) -> None:
    await running(home)
    await home.change("Experiment", "e", desiredState="Suspended")

    async def stopped() -> bool:
        rest = condition(await home.experiment(), "Suspended")[0] == "True"
        return rest and not [one for one in await home.pods("e-1") if one["status"].get("phase") == "Running"]

    await home.until("it is stopped", stopped)
    home.does("e", "0")
    await home.change("Experiment", "e", desiredState="Active")
    done = await home.until_phase("e", "Complete")
    assert condition(done, "Suspended")[:2] == ("False", "Resumed")
    assert done["status"]["attempts"] == 1
    assert len(home.made["e-1"]) == 1


async def cancelled_while_it_runs(home: Home) -> None:
    await running(home)
    await home.change("Experiment", "e", desiredState="Cancelled")
    done = await home.until_phase("e", "Cancelled")
    assert condition(done, "Failed")[1] == "Cancelled"
    assert home.hub.settled["e"][-1].outcome == "cancelled"

    async def gone() -> bool:
        return not await home.job("e-1")

    await home.until("its Job is gone", gone)


async def deleted_while_it_runs(home: Home) -> None:
    await running(home)
    await home.cluster.delete(homes.Ref("Experiment", home.space, "e"))

    async def gone() -> bool:
        return not await home.experiment() and not await home.job("e-1")

    await home.until("nothing is left of it", gone)
    assert home.hub.settled["e"][-1].outcome == "cancelled"


async def its_job_is_deleted_by_hand(home: Home) -> None:
    await running(home)
    await home.cluster.delete(homes.Ref("Job", home.namespace("r0"), "e-1"))

    async def again() -> bool:
        return (await home.experiment())["status"].get("jobRef", {}).get("name") == "e-2"

    await home.until("another is made", again)
    home.does("e", "0")
    done = await home.until_phase("e", "Complete")
    assert done["status"]["attempts"] == 2


async def one_after_another(home: Home) -> None:
    await running(home, experiments={"parallelism": 1})
    await home.apply("late")
    await home.until_phase("late", "Queued")
    assert not await home.job("late-1")
    home.does("e", "0")
    await home.until_phase("e", "Complete")
    await home.until_phase("late", "Complete")


async def waits_for_money(home: Home) -> None:
    await researching(home)
    home.hub.refuse["e"] = ("wait", "WaitingForBudget", "No money now.")
    await home.apply()
    waiting = await home.until_phase("e", "Queued")
    assert condition(waiting, "BudgetReserved") == ("False", "WaitingForBudget", "No money now.")
    del home.hub.refuse["e"]
    await home.until_phase("e", "Complete")


async def refused_by_the_hub(home: Home) -> None:
    await researching(home)
    home.hub.refuse["e"] = ("refused", "Duplicate", "Run before as x.")
    await home.apply()
    refused = await home.until_phase("e", "Failed")
    assert condition(refused, "Accepted") == ("False", "Duplicate", "Run before as x.")
    assert "e-1" not in home.made


async def of_no_campaign(home: Home) -> None:
    await researching(home)
    await home.apply(campaignRef="nobody")
    waiting = await home.until_phase("e", "Queued")
    assert condition(waiting, "Accepted")[:2] == ("False", "UnknownCampaign")


async def unknown_task(home: Home) -> None:
    await home.begin(task={"name": "unknown"})
    failed = await home.until_phase("c", "Failed")
    assert condition(failed, "Accepted") == (
        "False",
        "InvalidTask",
        "There is no task 'unknown': `aar tasks` lists them.",
    )


async def campaign_suspended_and_resumed(home: Home) -> None:
    await running(home)
    await home.change("ResearchCampaign", "c", suspend=True)
    await home.until_phase("c", "Suspended")

    async def stopped(wanted: bool = True) -> bool:
        jobs = [await home.job(name) for name in ("researcher", "e-1")]
        return all(one["spec"].get("suspend", False) is wanted for one in jobs)

    await home.until("its Jobs are stopped", stopped)
    await home.change("ResearchCampaign", "c", suspend=False)
    await home.until_phase("c", "Researching")
    await home.until("its Jobs go on", lambda: stopped(False))
    home.does("e", "0")
    await home.until_phase("e", "Complete")


async def money_runs_out(home: Home) -> None:
    await running(home)
    home.hub.purse_empty = True

    async def told() -> bool:
        return condition(await home.campaign(), "BudgetAvailable")[:2] == ("False", "Exhausted")

    await home.until("it is said", told)
    home.does("e", "0")
    await home.until_phase("e", "Complete")
    assert condition(await home.until_phase("c", "Complete"), "Complete")[1] == "BudgetExhausted"


async def campaign_deleted_mid_research(home: Home) -> None:
    await running(home)
    await home.cluster.delete(homes.Ref("ResearchCampaign", home.space, "c"))

    async def gone() -> bool:
        left = await home.cluster.find("Namespace", {"aar.dev/campaign-uid": home.uid})
        return not left and not await home.campaign() and not await home.experiment()

    await home.until("nothing is left", gone)
    assert home.hub.settled["e"][-1].outcome == "cancelled"


SCENARIOS: list[Callable[[Home], Awaitable[None]]] = [
    ends_well,
    method_fails,
    its_hub_fails_at_scoring,
    its_hub_is_away_when_it_ends,
    a_step_breaks_every_time,
    suspended_and_resumed,
    cancelled_while_it_runs,
    deleted_while_it_runs,
    its_job_is_deleted_by_hand,
    one_after_another,
    waits_for_money,
    refused_by_the_hub,
    of_no_campaign,
    unknown_task,
    campaign_suspended_and_resumed,
    money_runs_out,
    campaign_deleted_mid_research,
]
IDS = [one.__name__ for one in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=IDS)
def test_on_one_machine(hubs: Hubs, tmp_path: Path, scenario: Callable[[Home], Awaitable[None]]) -> None:
    async def run() -> None:
        async with homes.on_one_machine(tmp_path, hubs, "s") as home:
            await scenario(home)

    asyncio.run(run())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=IDS)
def test_on_kubernetes(
    plane: Plane, kubelet: Kubelet, hubs: Hubs, space: str, tmp_path: Path, scenario: Callable[[Home], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with homes.on_kubernetes(tmp_path, hubs, space, plane, kubelet) as home:
            await scenario(home)

    asyncio.run(run())
