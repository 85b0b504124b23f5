"""Researchers against a hub that speaks real HTTP."""

import logging
import os
import signal
import subprocess
import sys
import threading

import pytest
from aar_agent import explore
from aar_agent.desk import Desk
from aar_agent.errors import HubAway, Stopped
from aar_agent.hub import Hub
from aar_agent.main import EXIT_STOPPED
from aar_agent.researchers import random as random_researcher
from aar_agent.researchers import search
from aar_api import labels
from aar_api.wire import LeaderboardRow
from agent.claudeworld import until
from agent.smallhub import SmallHub, serving

LOG = logging.getLogger("test")
ENVIRON = dict(os.environ)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(explore, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(explore, "LONGEST_POLL_SECONDS", 0.05)


def work(hub: SmallHub, folder, researcher=search, stop=None):
    with serving(hub) as url:
        line = Hub(url, "secret", stop or threading.Event(), patience=5.0)
        try:
            return researcher.run(Desk(line, folder, stop or threading.Event(), LOG), line.brief())
        finally:
            line.close()


def labels_of(hub):
    return [view.label for view in hub.views.values()]


def test_search_uses_what_it_may_and_finds_the_better_method(tmp_path):
    hub = SmallHub(limit=24)
    assert "used" in work(hub, tmp_path)
    tried = labels_of(hub)
    assert len(tried) == 24
    assert tried.count("good") >= 14
    assert tried.count("broken") <= 5
    assert "blind" not in tried
    first = next(view for view in hub.views.values() if view.label == "good")
    assert first.config == {"x": 0.1, "n": 2}, "published defaults come first"
    assert max(view.score.pgr for view in hub.views.values() if view.score) > 0.7


def test_random_spreads_evenly(tmp_path):
    hub = SmallHub(limit=30, kind="random")
    work(hub, tmp_path, random_researcher)
    tried = labels_of(hub)
    assert all(4 <= tried.count(name) <= 17 for name in ("good", "poor", "broken"))
    assert len({str(view.config) for view in hub.views.values() if view.label != "broken"}) > 15


def test_findings_tell_of_bests_and_of_a_methods_first_failure(tmp_path):
    hub = SmallHub(limit=24)
    work(hub, tmp_path)
    kinds = [post.kind for post in hub.posts.values()]
    assert kinds.count("error") <= 1
    bests = [post for post in hub.posts.values() if post.title.startswith("good")]
    assert bests
    assert len(bests) < labels_of(hub).count("good")


def test_fills_its_part_of_the_places(tmp_path):
    hub = SmallHub(limit=9, parallelism=6, colleagues=2, polls_to_end=3)
    most = 0
    plain = hub.experiment

    def watched(name):
        nonlocal most
        most = max(most, sum(view.state == "admitted" for view in hub.views.values()))
        return plain(name)

    hub.experiment = watched
    work(hub, tmp_path)
    assert most == 3


def test_repeats_the_best_on_all_seeds_towards_the_end(tmp_path):
    hub = SmallHub(limit=10, max_seeds=3)
    work(hub, tmp_path)
    repeats = [view for view in hub.views.values() if len(view.seeds) == 3]
    assert len(repeats) >= 2
    assert all(view.label == "good" for view in repeats)
    assert len({str(view.config) for view in repeats}) == len(repeats)


def colleague(**over):
    base = {
        "rank": 1, "experiment": "x1", "researcher": "r1", "label": "theirs", "snapshot": "sha256:" + "b" * 64,
        "config": {"x": 0.4}, "pgr": 0.95, "stderr": 0.05, "n_seeds": 1,
    }  # fmt: skip
    return LeaderboardRow.model_validate(base | over)


@pytest.mark.parametrize(
    ("row", "taken_up"),
    [(colleague(), True), (colleague(pgr=-0.2), False)],
    ids=["better than all known", "worse"],
)
def test_takes_up_a_colleagues_snapshot_if_it_is_good(tmp_path, row, taken_up):
    hub = SmallHub(limit=10, colleagues=2, foreign=[row])
    work(hub, tmp_path)
    mine = [view for view in hub.views.values() if view.snapshot == row.snapshot]
    assert bool(mine) is taken_up
    assert all(0.2 <= view.config["x"] <= 0.8 for view in mine)


def test_an_idea_for_a_colleagues_snapshot_is_taken_up_again(tmp_path):
    """A start knows the lab's methods by itself; the snapshot is no longer better than all known."""
    row, stop = colleague(), threading.Event()
    hub = SmallHub(limit=10, colleagues=2, foreign=[row])
    plain = hub.experiment

    def held(name):
        if hub.views[name].snapshot != row.snapshot:
            return plain(name)
        stop.set()
        return hub.views[name]

    hub.experiment = held
    with pytest.raises(Stopped):
        work(hub, tmp_path, stop=stop)
    hub.experiment = plain
    [open_one] = [asked for asked in hub.submissions if asked.snapshot == row.snapshot]
    asked_before = len(hub.submissions)
    work(hub, tmp_path)
    assert open_one in hub.submissions[asked_before:]
    assert len(hub.views) == 10


def test_uses_all_its_submissions_though_some_run(tmp_path):
    hub = SmallHub(limit=9, parallelism=3)
    plain = hub.experiment

    def one_after_another(name):
        hub.polls_to_end = 2 * int(name.removeprefix("e"))
        return plain(name)

    hub.experiment = one_after_another
    work(hub, tmp_path)
    assert len(hub.views) == 9


ENDS = {
    "budget gone": (SmallHub(refuse=(402, "BudgetExceeded"), refuse_after=3), 3, "No. Raise it."),
    "submissions used": (SmallHub(refuse=(422, "SubmissionsExceeded"), refuse_after=2), 2, "No. Raise it."),
    "all ideas are old": (SmallHub(refuse=(409, "Duplicate"), refuse_after=2), 2, "No. Raise it."),
    "count reached": (SmallHub(limit=4), 4, "used"),
    "verification began": (SmallHub(stage="verifying"), 0, "verifying"),
}


@pytest.mark.parametrize(("hub", "experiments", "why"), ENDS.values(), ids=ENDS)
def test_ends_with_a_reason(tmp_path, hub, experiments, why):
    assert why in work(hub, tmp_path)
    assert len(hub.views) == experiments


def test_stays_through_a_hub_that_restarts(tmp_path):
    hub = SmallHub(limit=3, down=4)
    work(hub, tmp_path)
    assert len(hub.views) == 3


def test_gives_up_on_a_hub_that_stays_away():
    hub = Hub("http://127.0.0.1:9", "secret", threading.Event(), patience=0.5)
    with pytest.raises(HubAway, match="did not answer GET /v1/brief"):
        hub.brief()
    hub.close()


def test_stops_when_asked(tmp_path):
    stop = threading.Event()
    hub = SmallHub(limit=5, polls_to_end=10**9)
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        work(hub, tmp_path, stop=stop)


def test_torn_journal_line_is_cut(tmp_path):
    work(SmallHub(limit=3), tmp_path)
    with (tmp_path / "studies.journal").open("a") as journal:
        journal.write('{"op_code": 4, "wor')
    hub = SmallHub(limit=2)
    work(hub, tmp_path)
    assert len(hub.views) == 2


def process(url, folder, **env):
    known = {
        labels.ENV_HUB_URL: url, labels.ENV_TOKEN: "secret", labels.ENV_WORK_DIR: str(folder), labels.ENV_RESEARCHER: "r0"
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "aar_agent.main"], env={**ENVIRON, **known, **env}, stderr=subprocess.PIPE, text=True
    )


def test_killed_again_and_again_it_submits_nothing_twice(tmp_path):
    hub = SmallHub(limit=8, polls_to_end=0)
    with serving(hub) as url:
        for target in (1, 3, 5):
            one = process(url, tmp_path)
            until(lambda target=target: len(hub.views) >= target, 120)
            one.kill()
            one.communicate()
        last = process(url, tmp_path)
        _, log = last.communicate(timeout=120)
        assert last.returncode == 0, log
    assert len(hub.views) == 8
    assert len({(view.label, str(view.config)) for view in hub.views.values()}) >= 6
    assert hub.finished == ["All experiments that were allowed are used."]
    settled = [view for view in hub.views.values() if view.state in ("scored", "failed")]
    assert len(settled) == 8


def test_sigterm_ends_the_process_without_saying_it_is_done(tmp_path):
    hub = SmallHub(limit=5, polls_to_end=10**9)
    with serving(hub) as url:
        one = process(url, tmp_path)
        until(lambda: hub.polls, 120)
        one.send_signal(signal.SIGTERM)
        _, log = one.communicate(timeout=120)
    assert one.returncode == EXIT_STOPPED, log
    assert hub.finished == []


FAULTS = {
    "no such researcher": ({}, "oracle", labels.EXIT_METHOD_FAILED, "No researcher is named 'oracle'. Known: "),
    "no token": ({labels.ENV_TOKEN: ""}, "search", labels.EXIT_METHOD_FAILED, "AAR_TOKEN is not set"),
}


@pytest.mark.parametrize(("env", "kind", "code", "sentence"), FAULTS.values(), ids=FAULTS)
def test_faults_that_another_try_would_meet_again(tmp_path, env, kind, code, sentence):
    with serving(SmallHub(kind=kind)) as url:
        one = process(url, tmp_path, **env)
        _, log = one.communicate(timeout=120)
    assert one.returncode == code
    assert sentence in log
    assert "Traceback" not in log
