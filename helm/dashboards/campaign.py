"""One campaign: what it found, what it costs, what runs, who does what."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards.panels import HUB, bars, board, choice, distribution, figure, graph

QUANTILES = (0.5, 0.95)


def build() -> dashboard.Dashboard:
    """The dashboard `campaign`."""
    page = board(
        "Research campaign",
        "aar-campaign",
        "One campaign of automated alignment research: results, money, experiments, researchers.",
    )
    page.with_variable(choice("campaign", "Campaign", "label_values(aar_budget_limit_usd, campaign)"))
    page.with_variable(
        choice(
            "namespace",
            "Hub namespace",
            'label_values(aar_budget_limit_usd{campaign="$campaign"}, namespace)',
            every=".*",
        )
    )
    for add in (_summary, _science, _money, _llm, _experiments, _researchers):
        add(page)
    return page


def _summary(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Summary"))
    page.with_panel(figure("Stage", f"max by (stage) (aar_campaign_stage{{{HUB}}}) == 1", "none", legend="{{stage}}"))
    again = 'split="private", researcher!="hub"'  # the hub's own is vanilla
    for title, which in (("Best so far", 'split="feedback"'), ("Best on fresh seeds", again)):
        query = f"max(aar_gap_recovered_ratio{{{HUB}, {which}}})"
        page.with_panel(figure(title, query, "percentunit", decimals=1))
    page.with_panel(figure("Spent", f"sum(aar_cost_usd_total{{{HUB}}})", "currencyUSD", decimals=2))
    page.with_panel(figure("Left", f"sum(aar_budget_left_usd{{{HUB}}})", "currencyUSD", decimals=2))
    scored = f'sum(aar_hub_experiments{{{HUB}, state="scored"}})'
    page.with_panel(figure("Experiments scored", scored, "none"))


def _science(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Science"))
    best = (f'max by (researcher) (aar_gap_recovered_ratio{{{HUB}, split="feedback"}})', "{{researcher}}")
    again = (
        f'max by (researcher) (aar_gap_recovered_ratio{{{HUB}, split="private"}})',
        "{{researcher}}, fresh seeds, private half",
    )
    lines = (f"max by (reference) (aar_reference_gap_recovered_ratio{{{HUB}}})", "{{reference}}")
    page.with_panel(
        graph(
            "Gap recovered",
            [best, again, lines],
            "percentunit",
            "Best of each researcher on the feedback half, its winners (and as hub, vanilla) run again on the private half, and published figures.",
            least=None,
        )
    )
    page.with_panel(
        distribution(
            "Scores",
            f'sum by (le) (aar_experiment_gap_recovered_ratio_bucket{{{HUB}, split="feedback"}})',
            "Gap recovered of all scored experiments.",
        )
    )
    page.with_panel(
        bars(
            "Floor and ceiling",
            f"max by (task, model) (aar_accuracy_ratio{{{HUB}}})",
            "{{task}} {{model}}",
            "percentunit",
            "Accuracy of the weak teacher and of the strong model trained on true labels.",
            most=1,
        )
    )


def _money(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Money"))
    page.with_panel(
        graph(
            "Cost by kind",
            [(f"sum by (kind) (aar_cost_usd_total{{{HUB}}})", "{{kind}}")],
            "currencyUSD",
            "Settled: an experiment is paid for when it has ended.",
            stacked=True,
        )
    )
    purse = [(f"sum(aar_budget_{name}_usd{{{HUB}}})", name) for name in ("limit", "reserved", "left")]
    page.with_panel(
        graph(
            "Budget",
            purse,
            "currencyUSD",
            "Reserved is held for what runs and for verification; spent, reserved and left add up.",
        )
    )
    compute = [
        (f"sum(rate(aar_{kind}_seconds_total{{{HUB}}}[$__rate_interval]))", legend)
        for kind, legend in (("cpu", "CPU cores"), ("gpu", "GPUs"))
    ]
    page.with_panel(
        graph(
            "Compute", compute, "none", "Cores and GPUs held on average, entered when an experiment ends.", stacked=True
        )
    )


def _llm(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("LLM"))
    tokens = f"sum by (kind) (rate(aar_llm_tokens_total{{{HUB}}}[$__rate_interval]))"
    page.with_panel(graph("Tokens", [(tokens, "{{kind}}")], "none", "Tokens a second, as the provider counts them."))
    calls = f"sum by (outcome) (rate(aar_llm_calls_total{{{HUB}}}[$__rate_interval]))"
    page.with_panel(graph("Calls", [(calls, "{{outcome}}")], "reqps", "Calls that the gateway passed on."))
    cost = f"sum by (model) (aar_llm_cost_usd_total{{{HUB}}})"
    page.with_panel(graph("Cost by model", [(cost, "{{model}}")], "currencyUSD", "Settled.", stacked=True))


def _experiments(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Experiments"))
    page.with_panel(
        graph(
            "Experiments by state",
            [(f"sum by (state) (aar_hub_experiments{{{HUB}}})", "{{state}}")],
            "none",
            "Of every purpose, baselines and verification included.",
            stacked=True,
        )
    )
    for title, metric, text in (
        (
            "Time waiting",
            "aar_experiment_queue_seconds",
            "Between submission and end, without running: for budget, its turn, compute.",
        ),
        ("Time running", "aar_experiment_run_seconds", "The longest seed of an experiment."),
    ):
        by = f"sum by (le) ({metric}_bucket{{{HUB}}})"
        queries = [(f"histogram_quantile({q}, {by})", f"{q:.0%}") for q in QUANTILES]
        page.with_panel(graph(title, queries, "s", text))


def _researchers(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Researchers"))
    page.with_panel(
        graph(
            "Submissions",
            [(f"sum by (researcher) (aar_submissions_total{{{HUB}}})", "{{researcher}}")],
            "none",
            "Exploration experiments of each researcher.",
        )
    )
    page.with_panel(
        bars(
            "Time since last seen",
            f"time() - max by (researcher) (aar_researcher_last_activity_timestamp_seconds{{{HUB}}})",
            "{{researcher}}",
            "s",
            "Since a researcher last submitted or posted.",
        )
    )
    ideas = [
        (f"max(aar_ideas{{{HUB}}})", "ideas tried"),
        (f"max(aar_ideas_effective{{{HUB}}})", "as diverse as"),
        (f"sum(aar_findings_total{{{HUB}}})", "findings"),
        (f'max(aar_researchers{{{HUB}, state="active"}})', "researchers at work"),
    ]
    page.with_panel(
        graph("Ideas", ideas, "none", "`as diverse as` is the number of equally common ideas with the same entropy.")
    )
