"""All campaigns of a cluster, and the operator itself."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards.panels import bars, board, distribution, figure, graph


def build() -> dashboard.Dashboard:
    """The dashboard `fleet`."""
    page = board(
        "Research fleet", "aar-fleet", "All campaigns of automated alignment research, and the operator that runs them."
    )
    for add in (_summary, _campaigns, _operator, _api):
        add(page)
    return page


def _summary(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Summary"))
    page.with_panel(figure("Campaigns", "count(aar_budget_limit_usd)", "none"))
    researching = 'sum(aar_campaign_stage{stage="researching"})'
    page.with_panel(figure("Researching", researching, "none"))
    page.with_panel(figure("Failed", 'sum(aar_campaign_stage{stage="failed"})', "none"))
    page.with_panel(figure("Spent", "sum(aar_cost_usd_total)", "currencyUSD", decimals=2))
    page.with_panel(figure("Reserved", "sum(aar_budget_reserved_usd)", "currencyUSD", decimals=2))
    page.with_panel(figure("Operator at work", "sum(aar_leader)", "none"))


def _campaigns(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Campaigns"))
    page.with_panel(
        bars(
            "Budget used",
            "max by (campaign, namespace) (1 - aar_budget_left_usd / aar_budget_limit_usd)",
            "{{campaign}}",
            "percentunit",
            "Spent or reserved.",
            most=1,
        )
    )
    page.with_panel(
        bars(
            "Best gap recovered",
            'max by (campaign, namespace) (aar_gap_recovered_ratio{split="feedback"})',
            "{{campaign}}",
            "percentunit",
            "On the feedback half, not yet checked on fresh seeds.",
        )
    )
    page.with_panel(
        graph(
            "Experiments by state",
            [("sum by (state) (aar_hub_experiments)", "{{state}}")],
            "none",
            "Of every campaign and purpose.",
            stacked=True,
        )
    )
    spend = "sum by (kind) (rate(aar_cost_usd_total[$__rate_interval])) * 3600"
    page.with_panel(graph("Cost an hour", [(spend, "{{kind}}")], "currencyUSD", "Settled cost.", stacked=True))
    page.with_panel(
        graph(
            "Campaigns by phase",
            [("sum by (phase) (aar_campaigns)", "{{phase}}")],
            "none",
            "As the operator reports it.",
            stacked=True,
        )
    )
    page.with_panel(
        graph(
            "Experiments by phase",
            [("sum by (phase) (aar_experiments)", "{{phase}}")],
            "none",
            "As the operator reports it.",
            stacked=True,
        )
    )


def _operator(page: dashboard.Dashboard) -> None:
    page.with_row(dashboard.Row("Operator"))
    looks = "sum by (kind, result) (rate(aar_reconcile_total[$__rate_interval]))"
    page.with_panel(graph("Reconciles", [(looks, "{{kind}} {{result}}")], "ops", "Objects looked at a second."))
    took = "histogram_quantile(0.95, sum by (le, kind) (rate(aar_reconcile_duration_seconds_bucket[$__rate_interval])))"
    page.with_panel(
        graph("Time of one look, 95 %", [(took, "{{kind}}")], "s", "A look that has a hub score takes seconds.")
    )
    page.with_panel(
        graph("Queue", [("sum(aar_workqueue_depth)", "objects")], "none", "Objects that wait to be looked at now.")
    )


def _api(page: dashboard.Dashboard) -> None:
    asked = "sum by (verb, code) (rate(aar_api_requests_total[$__rate_interval]))"
    page.with_panel(
        graph("Requests to the API server", [(asked, "{{verb}} {{code}}")], "reqps", "Code 0 is no answer.")
    )
    answered = (
        "histogram_quantile(0.95, sum by (le, verb) (rate(aar_api_request_duration_seconds_bucket[$__rate_interval])))"
    )
    page.with_panel(graph("Time of a request, 95 %", [(answered, "{{verb}}")], "s", "As the operator sees it."))
    page.with_panel(
        distribution(
            "From submission to Job",
            "sum by (le) (increase(aar_experiment_submit_to_job_seconds_bucket[$__rate_interval]))",
            "From an experiment's creation to that of its first Job.",
        )
    )
