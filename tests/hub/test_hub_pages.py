from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from aar_api.wire import FindingPost
from aar_hub import auth, forum, records
from aar_hub.hub import Hub
from aar_hub.pages import chart, render
from aar_hub.store import tables
from hub import pagesworld
from hub.pagesworld import BIDI, IMAGE, OPERATOR, SCRIPT
from needs import lacking

BROWSER_PATIENCE = 30
"""Seconds a browser may take for one step on a busy machine; a bound on a hang."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = pagesworld.start(tmp_path / "hub")
    yield made
    made.db.close()


@pytest.fixture
def found(hub: Hub) -> dict[str, str]:
    pagesworld.begin(hub)
    return pagesworld.research(hub)


@pytest.fixture
def site(hub: Hub) -> Iterator[httpx.Client]:
    with (
        pagesworld.serving(hub) as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False, limits=httpx.Limits(keepalive_expiry=2)) as client,
    ):
        yield client


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[Hub, httpx.Client]]:
    """A hub that listens on every address, as in a pod, with its campaign."""
    made = pagesworld.start(tmp_path / "pod", host="0.0.0.0")
    pagesworld.begin(made)
    with (
        pagesworld.serving(made) as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False, limits=httpx.Limits(keepalive_expiry=2)) as client,
    ):
        yield made, client
    made.db.close()


def every_page(found: dict[str, str]) -> list[str]:
    pages = ["/", "/leaderboard", "/experiments", "/experiments?purpose=Exploration", "/forum", "/researchers"]
    pages += ["/researchers/r0", "/researchers/r1", "/researchers/r0/transcript", "/spend"]
    pages += [f"/experiments/{found[name]}" for name in ("scored", "failed", "running")]
    return [*pages, f"/snapshots/{found['first']}", f"/snapshots/{found['second']}"]


SHOWN: dict[str, tuple[str, list[str]]] = {
    "campaign": ("/", ["researching", "human researchers", "of 10 explored", "Feedback", "Private", "not confirmed"]),
    "leaderboard": ("/leaderboard", ["rate=0.5", "/snapshots/{first}", "/experiments/{scored}"]),
    "list": ("/experiments", ["{scored}", "{failed}", "{running}", "SeedFailed"]),
    "list of one purpose": ("/experiments?purpose=Baseline", ["There is none of this purpose"]),
    "scored experiment": (
        "/experiments/{scored}",
        ["{first}", "lab:1", "job-{scored}", "Clean", "bundle</span><div><code>sha256:", "receipt"],
    ),
    "failed experiment": ("/experiments/{failed}", ["MethodError", "Traceback", "There is no receipt"]),
    "running experiment": ("/experiments/{running}", ["pending", "USD reserved while it runs"]),
    "snapshot": ("/snapshots/{first}", ["starts a line", "/snapshots/{second}", "/experiments/{scored}"]),
    "child": ("/snapshots/{second}", ["/snapshots/{first}", "None so far", "/experiments/{failed}"]),
    "forum": ("/forum", ["checked by nobody", "/experiments/{scored}"]),
    "researchers": ("/researchers", ["ensembles", "It is done.", "experimenting", "slow"]),
    "researcher": ("/researchers/r0", ["Done (It is done.)", "&lt;b&gt;fast&lt;/b&gt;", "/snapshots/{first}"]),
    "spend": ("/spend", ["Exploration", "CPU", "verification, its worst case"]),
}


@pytest.mark.parametrize(("address", "wanted"), SHOWN.values(), ids=SHOWN)
def test_a_page_shows_what_there_is(site: httpx.Client, found: dict[str, str], address: str, wanted: list[str]) -> None:
    answer = site.get(address.format(**found))
    assert answer.status_code == 200
    for text in wanted:
        assert text.format(**found) in answer.text


def test_texts_of_researchers_are_inert(site: httpx.Client, found: dict[str, str]) -> None:
    seen = ""
    for address in every_page(found):
        page = site.get(address).text
        assert page.count("<script") == 1, address  # our own, in the head
        assert '<img src="http' not in page
        assert "<b>fast" not in page
        assert "<i>rows" not in page
        assert "\u202e" not in page
        seen += page
    for hostile in (SCRIPT, IMAGE, "<b>fast</b>", "reweight <i>rows</i>"):
        assert render.ENVIRONMENT.from_string("{{ text }}").render(text=hostile) in seen
    assert BIDI.replace("\u202e", "\\u202e") in seen


def test_every_page_forbids_what_it_does_not_need(site: httpx.Client, found: dict[str, str]) -> None:
    for address in [*every_page(found), "/nothing"]:
        headers = site.get(address).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


MISSING = {
    "page": ("/nothing", "GET /nothing is no page"),
    "experiment": ("/experiments/camp-x", "No experiment is named"),
    "snapshot": ("/snapshots/sha256:x", "No snapshot has the digest"),
    "researcher": ("/researchers/r7", "the campaign has r0 to r1"),
    "purpose": ("/experiments?purpose=Fun", "choose one of"),
    "post": ("/forum?before=x", "numbered from 1"),
    "row": ("/leaderboard?from=-1", "counted from 0"),
    "asset": ("/assets/../render.py", "no page"),
}


@pytest.mark.parametrize(("address", "sentence"), MISSING.values(), ids=MISSING)
def test_what_is_not_there_is_a_page_with_a_sentence(
    site: httpx.Client, found: dict[str, str], address: str, sentence: str
) -> None:
    answer = site.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert sentence in answer.text


PROGRAMS = {
    "unknown route": ("GET", "/v1/none", {}, 404),
    "wrong verb": ("DELETE", "/v1/operator/summary", {}, 405),
    "no token": ("GET", "/v1/operator/summary", {}, 401),
    "bad query": ("GET", "/v1/operator/feed?cursor=x", {"authorization": f"Bearer {OPERATOR}"}, 400),
}


@pytest.mark.parametrize(("verb", "address", "headers", "status"), PROGRAMS.values(), ids=PROGRAMS)
def test_programs_still_get_json(
    site: httpx.Client, found: dict[str, str], verb: str, address: str, headers: dict[str, str], status: int
) -> None:
    answer = site.request(verb, address, headers=headers)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_before_a_campaign_is_opened_a_page_says_so(site: httpx.Client) -> None:
    answer = site.get("/")
    assert answer.status_code == 409
    assert "no campaign yet" in answer.text


# The private half


FIGURES = {"shown": 1.7351, "pgr": 1.735149}


def test_private_scores_stay_sealed_until_the_verdict(hub: Hub, site: httpx.Client, found: dict[str, str]) -> None:
    again = pagesworld.verify(hub, found)
    with hub.db.write() as tx:  # figures that nothing else on a page has
        tx.execute(sa.update(tables.scores).where(tables.scores.c.experiment == again).values(FIGURES))
    pages = [*every_page(found), "/experiments?purpose=Replication", f"/experiments/{again}"]
    with hub.db.read() as tx:
        score = records.score(tx, again)
    assert score is not None
    assert score["split"] == "Private"
    figure, exact = f">{score['shown']:.2f}<", str(score["pgr"])[:8]
    before = {address: site.get(address).text for address in pages}
    assert not [address for address, page in before.items() if figure in page or exact in page]
    assert "sealed" in before[f"/experiments/{again}"]
    assert "Clean" not in before[f"/experiments/{again}"]
    pagesworld.control(hub)
    after = {address: site.get(address).text for address in pages}
    assert figure in after[f"/experiments/{again}"]
    assert figure in after["/"]
    assert "confirmed</span> on fresh seeds" in after["/"]


def test_exact_feedback_scores_and_labels_are_on_no_page(hub: Hub, site: httpx.Client, found: dict[str, str]) -> None:
    with hub.db.write() as tx:
        # What was told differs from what is, and neither is another figure of a page.
        tx.execute(sa.update(tables.scores).values(shown=1.2947, pgr=FIGURES["pgr"]))
        score = records.score(tx, found["scored"])
        sealed = records.all_tasks(tx)[0].sealed
    assert score is not None
    assert sealed is not None
    for address in every_page(found):
        page = site.get(address).text
        assert f">{score['pgr']:.2f}<" not in page, address
        assert str(score["pgr"])[:8] not in page, address
        assert sealed not in page


# Who may look


def test_one_machine_needs_no_token_but_a_foreign_name_does(site: httpx.Client, found: dict[str, str]) -> None:
    assert site.get("/").status_code == 200
    assert site.get("/", headers={"host": "localhost:1"}).status_code == 200
    rebound = site.get("/", headers={"host": "evil.invalid"})
    assert rebound.status_code == 401
    assert "camp" not in rebound.text


def test_elsewhere_a_token_is_traded_for_a_cookie(elsewhere: tuple[Hub, httpx.Client]) -> None:
    hub, client = elsewhere
    assert client.get("/").status_code == 401
    assert client.get("/forum").status_code == 401
    assert client.get("/metrics").status_code == 200
    assert client.get("/healthz").status_code == 200
    token = auth.issue(hub, "uid-1", "viewer", "ann")
    answer = client.get("/experiments", params={"purpose": "Smoke", "token": token})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/experiments?purpose=Smoke"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert token.lower() not in cookie
    assert client.get("/").status_code == 200
    value = next(iter(client.cookies.jar)).value
    client.cookies.clear()
    # What browsers send to every port of a host opens the pages and no more.
    refused = client.get("/v1/operator/summary", headers={"authorization": f"Bearer {value}"})
    assert refused.status_code == 401


TOKENS: dict[str, tuple[Callable[[Hub], str], int]] = {
    "operator": (lambda _: OPERATOR, 303),
    "viewer": (lambda hub: auth.issue(hub, "uid-1", "viewer", "ann"), 303),
    "researcher": (lambda hub: auth.issue(hub, "uid-1", "researcher", "r0"), 403),
    "viewer of another campaign": (lambda hub: auth.issue(hub, "uid-2", "viewer", "ann"), 401),
    "forged": (lambda _: "x.y.z", 401),
    "empty": (lambda _: "", 401),
}


@pytest.mark.parametrize(("token", "status"), TOKENS.values(), ids=TOKENS)
def test_who_may_see_the_pages(elsewhere: tuple[Hub, httpx.Client], token: Callable[[Hub], str], status: int) -> None:
    hub, client = elsewhere
    answer = client.get("/", params={"token": token(hub)})
    assert answer.status_code == status
    assert ("set-cookie" in answer.headers) == (status == 303)


# The form


def form_of(client: httpx.Client) -> dict[str, str]:
    page = client.get("/forum").text
    values = {name: page.split(f'name="{name}" value="')[1].split('"')[0] for name in ("form_key", "key")}
    return values | {"kind": "insight", "title": "From the owner", "text": SCRIPT, "experiments": ""}


def test_a_person_posts_as_owner_once(hub: Hub, site: httpx.Client, found: dict[str, str]) -> None:
    fields = form_of(site) | {"experiments": found["scored"]}
    answers = [site.post("/forum", data=fields) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"] == "/forum#post-2"
    with hub.db.read() as tx:
        posts = forum.since(tx, 1)
    assert [(one.author, one.owner, one.text, len(one.results)) for one in posts] == [("owner", True, SCRIPT, 1)]


FORGED: dict[str, tuple[dict[str, str], dict[str, str], int]] = {
    "no key": ({"form_key": ""}, {}, 403),
    "wrong key": ({"form_key": "0" * 64}, {}, 403),
    "key that is no ASCII": ({"form_key": "ü"}, {}, 403),
    "another site": ({}, {"sec-fetch-site": "cross-site"}, 403),
    "another port of this host": ({}, {"origin": "http://127.0.0.1:1"}, 403),
    "an origin that is hidden": ({}, {"origin": "null"}, 403),
    "a name bound to loopback": ({}, {"host": "evil.invalid", "origin": "http://evil.invalid"}, 401),
    "no title": ({"title": " "}, {}, 422),
    "long title": ({"title": "x" * 201}, {}, 422),
    "unknown kind": ({"kind": "advert"}, {}, 422),
    "unknown experiment": ({"experiments": "camp-x"}, {}, 422),
    "too long": ({"text": "x" * 200_000}, {}, 413),
}


@pytest.mark.parametrize(("fields", "headers", "status"), FORGED.values(), ids=FORGED)
def test_a_form_that_must_not_pass(
    hub: Hub, site: httpx.Client, found: dict[str, str], fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    answer = site.post("/forum", data=form_of(site) | fields, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    with hub.db.read() as tx:
        assert forum.since(tx, 1) == []


def test_a_form_with_a_mistake_comes_back_as_it_was(site: httpx.Client, found: dict[str, str]) -> None:
    page = site.post("/forum", data=form_of(site) | {"experiments": "camp-x"}).text
    assert "No experiment is named &#39;camp-x&#39;" in page
    assert 'value="From the owner"' in page
    assert "&lt;script&gt;window.pwned" in page


def test_the_forum_has_pages(hub: Hub, site: httpx.Client, found: dict[str, str]) -> None:
    for number in range(60):
        forum.post(hub, "r1", FindingPost(kind="error", title=f"number {number}."))
    newest, older = site.get("/forum").text, site.get("/forum?before=12").text
    assert "number 59." in newest
    assert 'href="/forum?before=12"' in newest
    assert "number 9." in older
    assert "Earlier posts" not in older


def test_long_lists_have_pages(hub: Hub, site: httpx.Client, found: dict[str, str]) -> None:
    with hub.db.write() as tx:
        exp = records.experiment(tx, found["scored"])
        score = dict(records.score(tx, exp.name) or {})
        row = tx.execute(sa.select(tables.experiments).where(tables.experiments.c.name == exp.name)).mappings().one()
        for number in range(210):
            values = {"name": f"camp-n{number}", "key": f"n{number}", "seq": 1000 + number}
            tx.execute(sa.insert(tables.experiments).values(dict(row) | values))
            # Later scores of earlier experiments: the order of the chart is that of the scores.
            values = {"experiment": f"camp-n{number}", "position": 500 - number, "shown": -9.0 - number / 1000}
            tx.execute(sa.insert(tables.scores).values(score | values))
    first, second = site.get("/leaderboard").text, site.get("/leaderboard?from=200").text
    assert "camp-n5<" in first
    assert "1 to 200 of 211" in first
    assert "camp-n205<" not in first
    assert "camp-n205<" in second
    chosen = site.get("/experiments?purpose=Exploration").text
    assert 'href="/experiments?from=200&amp;purpose=Exploration"' in chosen
    chart_page = site.get("/").text
    assert chart_page.index("/experiments/camp-n209") < chart_page.index("/experiments/camp-n0")


# Pieces


def test_the_chart_keeps_outliers_inside_and_labels_apart() -> None:
    points = [chart.Point(f"e{i}", "", pgr, 0.1, "r0") for i, pgr in enumerate((-40.0, 0.3, 0.9))]
    drawn = chart.draw(points, [], [("close to C", 0.99)])
    assert all(chart.TOP <= edge <= drawn.bottom for one in drawn.explored for edge in (one.low, one.y, one.high))
    labels = [rule.label_y for rule in drawn.rules]
    assert all(after - before >= chart.LABEL_GAP for before, after in pairwise(labels))
    assert len({one.y for one in drawn.explored}) == 3


TEXTS = {
    "line ends": ("a\r\nb\rc\td", "a\nb\nc\td"),
    "direction": ("a\u202eb", "a\\u202eb"),
    "lone surrogate": ("a\ud800", "a\\ud800"),
    "escape": ("\x1b[31m", "\\u001b[31m"),
    "letters": ("Grüße, 世界", "Grüße, 世界"),
}


@pytest.mark.parametrize(("text", "shown"), TEXTS.values(), ids=TEXTS)
def test_what_is_invisible_is_written_out(text: str, shown: str) -> None:
    assert render.plain(text) == shown


# A real browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        lacking("browser", "chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1200,700"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.get("about:blank")
    started.get_log("performance")  # what its first tab, not ours, has asked for
    yield started
    started.quit()


def until(holds: Callable[[], Any]) -> None:
    limit = time.monotonic() + BROWSER_PATIENCE
    while not holds():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.1)


@pytest.mark.timeout(300)
def test_in_a_browser(hub: Hub, site: httpx.Client, found: dict[str, str], browser: Any) -> None:
    base = str(site.base_url).rstrip("/")
    for address in every_page(found):
        browser.get(base + address)
        assert browser.title.endswith("camp"), address
        assert browser.execute_script("return window.pwned") is None, address
        assert browser.execute_script("return document.querySelectorAll('main script, main img').length") == 0
        wide = browser.execute_script("return document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{address} scrolls sideways"

    browser.get(f"{base}/forum")
    browser.execute_script("document.getElementById('compose').open = true")
    browser.find_element("name", "title").send_keys("Look at ensembles")
    browser.find_element("name", "text").send_keys(SCRIPT)
    browser.find_element("css selector", "form button").click()
    until(lambda: browser.current_url.endswith("/forum#post-2"))
    # In one call: between two, news may put another element in its place.
    read = "const post = document.getElementById('post-2'); return [post.innerText, post.className]"
    text, kind = browser.execute_script(read)
    assert "Look at ensembles" in text
    assert SCRIPT in text
    assert "owner" in kind

    # News comes in without losing what is typed, where one reads, or the page itself.
    browser.execute_script("window.same = true; document.getElementById('compose').open = true")
    browser.find_element("name", "title").send_keys("half a thought")
    for number in range(20):
        forum.post(hub, "r1", FindingPost(kind="insight", title=f"number {number}", text=f"{IMAGE}\n" * 5))
    until(lambda: "number 19" in browser.find_element("id", "live").text)
    browser.execute_script("scrollTo(0, 900)")
    until(lambda: browser.execute_script("return scrollY") == 900)
    forum.post(hub, "r1", FindingPost(kind="insight", title="the last one"))
    until(lambda: "the last one" in browser.find_element("id", "live").text)
    assert browser.execute_script("return scrollY") >= 900
    assert browser.execute_script("return window.same") is True
    assert browser.find_element("name", "title").get_attribute("value") == "half a thought"
    assert browser.execute_script("return window.pwned") is None

    assert [line["message"] for line in browser.get_log("browser")] == []
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    assert len(asked) > len(every_page(found))
    assert [url for url in asked if not url.startswith(base + "/")] == []
