"""The pure parts of the hub as tables."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aar_api.campaign import CampaignSpec, Resources
from aar_api.errors import InvalidInput
from aar_hub import tasks
from aar_hub.domain import audits, duplicates, halves, ladder, ledger, rows, scoring, seeds, selection, snapshot, told
from aar_hub.domain.audits import carried_data, forbidden_imports
from aar_hub.tasks import code
from hub.hubworld import METHOD, REVIEWS, spec

ROOT = Path(__file__).parents[2]
PRICES = ledger.Prices(cpu="0.36", gpu="3.60")  # 100 and 1,000 micro-dollars a second


# Ladder


@pytest.mark.parametrize(
    ("value", "step", "incumbent", "shown", "best"),
    [
        pytest.param(0.437, 0.0, None, 0.44, True, id="first, at the smallest step"),
        pytest.param(0.437, 0.1, None, 0.4, True, id="first"),
        pytest.param(0.437, 0.08, None, 0.4, True, id="a step of the list, the next above"),
        pytest.param(0.51, 0.1, 0.4, 0.5, True, id="beats by more than the step"),
        pytest.param(0.49, 0.1, 0.4, 0.4, False, id="beats by less"),
        pytest.param(0.46, 0.05, 0.4, 0.45, True, id="beats by little, of a small step"),
        pytest.param(0.3, 0.1, 0.4, 0.3, False, id="worse"),
        pytest.param(-0.26, 0.1, 0.4, -0.3, False, id="below the floor"),
        pytest.param(0.408, 0.0, 0.4, 0.4, False, id="the same predictions, one point apart"),
    ],
)
def test_ladder(value: float, step: float, incumbent: float | None, shown: float, best: bool) -> None:
    assert ladder.climb(value, step, incumbent) == ladder.Rung(pytest.approx(shown), best)


@pytest.mark.parametrize(
    ("step", "unit"),
    [
        (0.0, 0.01),
        (0.01, 0.01),
        (0.0101, 0.015),
        (0.02, 0.02),
        (0.06, 0.07),
        (0.08, 0.1),
        (0.1, 0.1),
        (0.11, 0.15),
        (1.2, 1.5),
    ],
)
def test_steps(step: float, unit: float) -> None:
    assert ladder.coarse(step) == pytest.approx(unit)


def test_new_best_is_never_shown_below_the_old() -> None:
    rng = np.random.default_rng(0)
    for step, incumbent, more in zip(
        rng.uniform(0, 0.5, 5000), rng.uniform(-1, 1, 5000), rng.exponential(0.1, 5000), strict=True
    ):
        rung = ladder.climb(incumbent + max(step, 0.01) + more + 1e-9, step, round(incumbent, 4))
        assert not rung.best or rung.shown > incumbent


# Halves


@pytest.mark.parametrize(("n", "half"), [(2, 1), (3, 2), (10, 5), (11, 6)])
def test_halves_keep_problems_whole_and_balanced(n: int, half: int) -> None:
    names = [f"p{i % n}" for i in range(5 * n)]
    chosen = halves.feedback(b"k", names)
    sides = {name: {bool(side) for other, side in zip(names, chosen, strict=True) if other == name} for name in names}
    assert all(len(side) == 1 for side in sides.values())
    assert sum(side == {True} for side in sides.values()) == half


def test_halves_follow_from_the_key_and_not_from_the_order() -> None:
    names = [f"p{i}" for i in range(40)]
    first, second = halves.feedback(b"one", names), halves.feedback(b"two", names)
    assert first.tolist() != second.tolist()
    assert halves.feedback(b"one", names[::-1])[::-1].tolist() == first.tolist()


# Seeds


def test_seeds_are_keyed_by_purpose_and_start_alike() -> None:
    drawn = seeds.draw(b"k", "a", 5)
    assert seeds.draw(b"k", "a", 2) == drawn[:2]
    assert len({*drawn, *seeds.draw(b"k", "b", 5), *seeds.draw(b"l", "a", 5)}) == 15
    many = seeds.draw(b"k", "many", 2000)
    assert all(0 <= one < 2**31 for one in many)
    # Evenly spread: the mean of 2,000 is within four standard errors of the middle, 4 x 2^31 / sqrt(12 x 2000).
    assert abs(np.mean(many) - 2**30) < 4 * 2**31 / np.sqrt(24000)


# Ledger


@pytest.mark.parametrize(
    ("limit", "spent", "reserved", "verification", "amount", "verdict"),
    [
        pytest.param(100, 0, 0, 0, 100, "yes", id="all of it"),
        pytest.param(100, 0, 0, 0, 101, "no", id="one too many"),
        pytest.param(100, 20, 50, 30, 30, "yes", id="just free"),
        pytest.param(100, 20, 50, 30, 31, "wait", id="another runs"),
        pytest.param(100, 20, 50, 30, 50, "wait", id="all but spent and verification"),
        pytest.param(100, 20, 50, 30, 51, "no", id="only with verification's money"),
        pytest.param(100, 100, 0, 0, 1, "no", id="spent"),
        pytest.param(100, 120, 0, 0, 0, "no", id="overspent"),
    ],
)
def test_decide(limit: int, spent: int, reserved: int, verification: int, amount: int, verdict: str) -> None:
    assert ledger.Balance(limit, spent, reserved, verification).decide(amount) == verdict


@pytest.mark.parametrize(
    ("amount", "gpu", "verdict"),
    [
        pytest.param(50, 20, "yes", id="both have it"),
        pytest.param(50, 21, "wait", id="GPUs run"),
        pytest.param(50, 41, "no", id="too much for GPUs"),
        pytest.param(101, 20, "no", id="too much"),
        pytest.param(61, 0, "wait", id="no GPU, but others run"),
        pytest.param(61, 41, "no", id="the worse of the two"),
    ],
)
def test_both_limits_have_to_allow_it(amount: int, gpu: int, verdict: str) -> None:
    # Of GPUs 20 are spent, 10 held for verification and 20 by what runs.
    pot = ledger.Pot(70, 20, 30, 10)
    assert ledger.Balance(100, 20, 20, 10, gpu=pot).afford(amount, gpu) == verdict
    assert ledger.Balance(100, 0, 0, 0).afford(100, 100) == "yes", "without a limit of its own"


@pytest.mark.parametrize(("text", "cores"), [("2", "2"), ("0.5", "0.5"), ("500m", "0.5"), ("1m", "0.001")])
def test_cores(text: str, cores: str) -> None:
    assert ledger.cores(text) == Decimal(cores)


@pytest.mark.parametrize(
    ("n", "deadline", "resources", "attempts", "micros"),
    [
        pytest.param(1, 10, Resources(cpu="1"), 1, 1_000, id="ten seconds of a core"),
        pytest.param(3, 10, Resources(cpu="500m"), 2, 3_000, id="half a core, three seeds, twice"),
        pytest.param(2, 60, Resources(cpu="2", gpus=4), 2, 2 * 2 * (12_000 + 240_000), id="GPUs too"),
        pytest.param(1, 1, Resources(cpu="1m"), 1, 1, id="a tenth of a micro-dollar is one"),
    ],
)
def test_worst_case(n: int, deadline: int, resources: Resources, attempts: int, micros: int) -> None:
    assert ledger.worst_case(n, deadline, resources, PRICES, attempts) == micros


@pytest.mark.parametrize(
    ("evaluation", "runs", "sets", "start"),
    [
        # k = 2, v = 3, experiments.seeds = 2, baselineSeeds = 3
        pytest.param({}, (2 + 1) * 3 + 2 * 2 * 3, 5, 5, id="replication and controls"),
        pytest.param({"controls": False}, 9, 5, 5, id="no controls"),
        pytest.param({"replication": {"topK": 0, "seeds": 3}}, 0, 2, 3, id="no verification"),
        pytest.param({"transferTasks": [REVIEWS, REVIEWS]}, 21 + 2 * (9 + 1 + 5 + 3), 5, 5, id="two transfer tasks"),
        pytest.param({"baselineSeeds": 20}, 21, 5, 20, id="dear ceiling"),
    ],
)
def test_verification_is_counted_whole(evaluation: dict[str, Any], runs: int, sets: int, start: int) -> None:
    found = CampaignSpec.model_validate(spec(evaluation=evaluation))
    assert ledger.verification_runs(found) == runs
    assert ledger.weak_sets(found) == sets
    each = 2 * 60 * 100  # two attempts of 60 seconds of one core at 100 micro-dollars
    assert ledger.verification_reserve(found, PRICES) == runs * each
    assert ledger.smallest_start(found, PRICES) == start * each


# Selection


def candidate(name: str, pgr: float, **config: Any) -> selection.Candidate:
    return selection.Candidate(name, "s", None, config, pgr)


def test_repeats_count_by_their_mean() -> None:
    tried = [candidate("a", 0.9, x=1), candidate("b", 0.1, x=1), candidate("c", 0.6, x=2), candidate("d", 0.6, x=3)]
    # x=1 has (0.9 + 0.1) / 2 = 0.5: the lucky repeat alone would have won. c and d are equal: by name.
    assert [(one.experiment, pytest.approx(mean)) for one, mean in selection.distinct(tried)] == [
        ("c", 0.6),
        ("d", 0.6),
        ("a", 0.5),
    ]


BARE = "def train(lab):\n    return lab.predict(lab.finetune(lab.weak))\n"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param("# new\n" + BARE.replace("    ", "  "), True, id="a comment and other layout"),
        pytest.param('"""New."""\n' + BARE.replace("lab):\n", 'lab):\n    """New."""\n'), True, id="docstrings"),
        pytest.param(BARE.replace("lab.weak", "lab.weak > 0.5"), False, id="another expression"),
        pytest.param(BARE + "x = " + "-" * 5000 + "1\n", False, id="too deep to compare"),
    ],
)
def test_what_makes_another_method(other: str, same: bool) -> None:
    assert (snapshot.essence({"method.py": BARE}) == snapshot.essence({"method.py": other})) is same


def test_configuration_counts_where_it_is_read() -> None:
    assert not snapshot.reads_config({"method.py": BARE, "notes.txt": "config"})
    assert snapshot.reads_config({"method.py": METHOD})


@pytest.mark.parametrize(
    ("p", "rejected"),
    [
        # Holm 1979 with level 0.05 and m = 4: limits 0.0125, 0.0167, 0.025, 0.05 in order of p.
        pytest.param({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, {"d", "a"}, id="by hand"),  # 0.03 > 0.025 stops
        pytest.param({"a": 0.0125, "b": 0.016, "c": 0.025, "d": 0.05}, {"a", "b", "c", "d"}, id="all, just"),
        pytest.param({"a": 0.02, "b": 0.02, "c": 0.02}, set(), id="each alone would pass"),  # 0.02 > 0.0167
        pytest.param({"a": 0.05}, {"a"}, id="one"),
        pytest.param({}, set(), id="none"),
    ],
)
def test_holm(p: dict[str, float], rejected: set[str]) -> None:
    assert selection.holm(p) == rejected


@pytest.mark.parametrize(
    ("difference", "stderr", "freedom", "p"),
    [
        (0.0, 1.0, np.inf, 0.5),
        (1.6449, 1.0, np.inf, 0.05),
        (0.32898, 0.2, np.inf, 0.05),
        (-1.6449, 1.0, np.inf, 0.95),
        (0.1, 0.0, np.inf, 0.0),
        (0.0, 0.0, np.inf, 1.0),
        # Tables of Student's t.
        (6.3138, 1.0, 1.0, 0.05),
        (2.9200, 1.0, 2.0, 0.05),
        (-2.9200, 1.0, 2.0, 0.95),
        (3.3649, 1.0, 5.0, 0.01),
        (1.6602, 1.0, 100.0, 0.05),
        (1.6449, 1.0, 99_999.0, 0.05),
    ],
)
def test_p_value(difference: float, stderr: float, freedom: float, p: float) -> None:
    assert selection.p_value(scoring.Estimate(difference, stderr, freedom)) == pytest.approx(p, abs=1e-5)


@pytest.mark.parametrize("seeds", [2, 3])
def test_few_seeds_do_not_confirm_what_is_no_better(seeds: int) -> None:
    """Methods whose seeds differ more than items do: by the normal distribution two seeds each confirm one in ten that are no better."""
    rng = np.random.default_rng(11)
    groups, found = np.arange(400), []
    for _ in range(2000):
        one, other = ((rng.random((seeds, 400)) < rng.normal(0.7, 0.1, (seeds, 1))).astype(float) for _ in range(2))
        found.append(selection.p_value(scoring.paired(one, other, groups)))
    assert np.mean(np.array(found) <= 0.05) <= 0.06


def test_chance_of_any_false_confirmation_is_the_level() -> None:
    rng = np.random.default_rng(3)
    tails = [
        {str(i): selection.p_value(scoring.Estimate(z, 1.0)) for i, z in enumerate(row)}
        for row in rng.normal(size=(4000, 5))
    ]
    share = np.mean([bool(selection.holm(row)) for row in tails])
    assert share == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4000))


# Duplicates


@pytest.mark.parametrize(
    ("flipped", "shape", "twin"),
    [
        pytest.param(0, (2, 500), "first", id="same"),
        pytest.param(2, (2, 500), "first", id="two of a thousand"),
        pytest.param(3, (2, 500), None, id="three of a thousand"),
        pytest.param(0, (1, 500), "first", id="another number of seeds, all alike"),
        pytest.param(2, (1, 500), None, id="two of five hundred"),
        pytest.param(0, (2, 499), None, id="other rows"),
    ],
)
def test_near_duplicates(flipped: int, shape: tuple[int, int], twin: str | None) -> None:
    other = np.full(shape, 0.9)
    other.flat[:flipped] = 0.1
    assert duplicates.nearest(other, {"first": np.full((2, 500), 0.8), "second": np.full((2, 500), 0.7)}) == twin


# Rows


def test_ids_and_order_follow_from_the_texts_alone() -> None:
    texts = [(f"q{i}", f"c{i}") for i in range(50)] + [("q0", "c0")]
    key = rows.data_digest([texts])
    assert rows.data_digest([texts[::-1]]) == key
    one = [(texts[position], name) for position, name in rows.shuffled(key, "test", texts)]
    back = [(texts[::-1][position], name) for position, name in rows.shuffled(key, "test", texts[::-1])]
    assert one == back
    names = [name for _, name in one]
    assert len(set(names)) == 51
    assert names != sorted(names), "the id is another part of the mark than the order"
    assert not set(names) & {name for _, name in rows.shuffled(key, "train", texts)}


# Snapshots


@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param({"method.py": METHOD}, None, id="one file"),
        pytest.param({"method.py": METHOD, "lib/a.py": "x = 1\n", "notes.txt": "not (python"}, None, id="more files"),
        pytest.param({"main.py": METHOD}, "no method.py: add it", id="no method"),
        pytest.param({"method.py": "def other(lab): ..."}, "no function `train`", id="no train"),
        pytest.param({"method.py": "async def train(lab): ..."}, "no function `train`", id="async"),
        pytest.param({"method.py": "class A:\n  def train(lab): ..."}, "no function `train`", id="nested"),
        pytest.param({"method.py": "def train(lab):\nreturn"}, "method.py, line 2 is not valid Python", id="syntax"),
        pytest.param({"method.py": METHOD, "a.py": "("}, "a.py, line 1", id="syntax elsewhere"),
        pytest.param({"method.py": METHOD + "\0"}, "null bytes", id="null"),
        pytest.param({"method.py": METHOD + "(" * 500 + ")" * 500}, "is not valid Python", id="too deep"),
        pytest.param({"method.py": METHOD, "../a.py": ""}, "'../a.py' is not inside", id="above"),
        pytest.param({"method.py": METHOD, "/a.py": ""}, "'/a.py' is not inside", id="absolute"),
        pytest.param({"method.py": METHOD, "a//b": ""}, "is not inside", id="empty part"),
        pytest.param({"method.py": METHOD, "a/./b": ""}, "is not inside", id="dot"),
        pytest.param({"method.py": METHOD, "w": "é" * 600_000}, "at most 1048576 are allowed", id="weights"),
    ],
)
def test_snapshot_checks(files: dict[str, str], told: str | None) -> None:
    if told is None:
        snapshot.check(files)
        return
    with pytest.raises(InvalidInput, match=told.replace("(", r"\(")):
        snapshot.check(files)


# What is told of a run that failed


@pytest.mark.parametrize(
    ("before", "message", "log", "said"),
    [
        pytest.param(0, 5, 10, (5, 10), id="short"),
        pytest.param(0, 5_000, 16_000, (1_000, 4_000), id="long"),
        pytest.param(30_000, 1_000, 4_000, (1_000, 1_000), id="little is left"),
        pytest.param(31_500, 1_000, 4_000, (500, len(told.USED_UP)), id="less than the message"),
        pytest.param(40_000, 1_000, 4_000, (200, len(told.USED_UP)), id="nothing is left"),
        pytest.param(40_000, 1_000, 0, (200, 0), id="nothing is left, and there is no log"),
        pytest.param(None, 1_000, 20_000, (1_000, 16_000), id="a person"),
    ],
)
def test_what_is_told_of_a_failure(before: int | None, message: int, log: int, said: tuple[int, int]) -> None:
    found = told.cut("m" * message, "x" * (log - 1) + "e" if log else "", before)
    assert (len(found[0]), len(found[1])) == said
    assert not log or found[1] == told.USED_UP or found[1].endswith("e"), "the end of it"


# Audits


def evidence(pgr: float = 0.5, predictions: Any = ((0.9, 0.1),), source: str = METHOD) -> audits.Evidence:
    found = np.array(predictions)
    return audits.Evidence(
        files={"method.py": source, "a.txt": "import socket"}, predictions=found, ceiling=found, pgr=pgr
    )


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(evidence(), [], id="clean"),
        pytest.param(evidence(pgr=1.25), [], id="high"),
        pytest.param(evidence(pgr=1.26), ["above-ceiling: its PGR exceeds 1.25"], id="too high"),
        pytest.param(
            evidence(predictions=((0.9, 0.1), (0.6, 0.9), (0.2, 0.5))),
            ["constant-predictions: seeds [1, 2] give every test item the same answer"],
            id="constant",
        ),
        pytest.param(
            evidence(pgr=2.0, source="import socket\n"),
            ["above-ceiling: its PGR exceeds 1.25", "forbidden-imports: the snapshot uses socket"],
            id="two",
        ),
    ],
)
def test_audits(given: audits.Evidence, found: list[str]) -> None:
    assert audits.run(given) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy, torch.nn", ""),
        ("model.eval()", ""),
        ("from . import helper", ""),
        ("import django.conf as x", "django"),
        ("def train(lab):\n    from aar_hub.domain import scoring", "aar_hub"),
        ("import urllib.request, socket", "socket, urllib"),
        ("__import__('django')", "__import__()"),
        ("e = eval", "eval()"),
        ("import importlib as i\ni.import_module('django')", "import_module()"),
        ("from importlib import import_module as m\nm('django')", "import_module()"),
        ("import builtins\nbuiltins.exec('import django')", "exec()"),
        ("__builtins__.eval('1')", "eval()"),
    ],
)
def test_forbidden_imports(source: str, found: str) -> None:
    said = forbidden_imports.check(evidence(source=source))
    assert said == (f"the snapshot uses {found}" if found else "")


LONG = "has a text or number as long as a table"


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        pytest.param("a.py", f"KNOWN = '{'01' * 100}'", "", id="a digest or two"),
        pytest.param("a.py", f"KNOWN = '{'01' * 101}'", f"a.py {LONG}", id="bits as text"),
        pytest.param("a.py", f"KNOWN = b'{'01' * 101}'", f"a.py {LONG}", id="bits as bytes"),
        pytest.param("a.py", f"KNOWN = 0x{'f' * 9000}", f"a.py {LONG}", id="bits as a number"),
        pytest.param("a.py", f"'{'plain words ' * 100}'", "", id="a long docstring"),
        pytest.param("a.py", f"KNOWN = {[0.1] * 100}", "", id="a hundred constants"),
        pytest.param("a.py", f"KNOWN = {[0.1] * 101}", "a.py has a table", id="a list"),
        pytest.param("a.py", f"KNOWN = {dict.fromkeys(map(str, range(101)), True)}", "a.py has a table", id="a dictionary"),
        pytest.param("a.json", str([True] * 100), "", id="a small file"),
        pytest.param("a.json", str([True] * 4_000), "a.json is as long as a table", id="a file"),
    ],
)  # fmt: skip
def test_carried_data(path: str, text: str, found: str) -> None:
    nothing = np.zeros((1, 1))
    said = carried_data.check(audits.Evidence(files={path: text}, predictions=nothing, ceiling=nothing, pgr=0.5))
    assert said == (f"the snapshot carries data: {found}" if found else "")


def test_the_methods_that_the_lab_ships_carry_no_data() -> None:
    shipped = {path.name: path.read_text() for path in (ROOT / "runner/aar_lab/methods").glob("*.py")}
    assert len(shipped) > 10
    assert carried_data.check(audits.Evidence(shipped, np.zeros((1, 1)), np.zeros((1, 1)), 0.5)) == ""


def test_every_source_of_a_task_is_an_answer_key() -> None:
    packages = {
        part.split("=")[0].split(">")[0].replace("-", "_").strip()
        for name in tasks.names()
        for part in tasks.resolve(name, {}).package.replace(" and ", ", ").split(",")
        if part.strip()[0].isalpha()
    }
    modules = {next((m for m, p in code.LIBRARIES.items() if p.replace("-", "_") == one), one) for one in packages}
    assert modules == set(forbidden_imports.ANSWER_KEYS)
