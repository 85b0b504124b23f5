"""The few panels that the dashboards are made of, and the labels that tell campaigns apart."""

from __future__ import annotations

import string
from collections.abc import Iterable

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh, VariableSort
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HUB = 'campaign=~"$campaign", namespace=~"$namespace"'
"""Matchers of a hub's series. `.*` for the namespace also matches a hub on one machine, which has none."""
WIDTH, HEIGHT = 8, 8
"""Of 24 columns: three graphs a row."""
STAT_WIDTH, STAT_HEIGHT = 4, 4

Queries = Iterable[tuple[str, str]]
"""(PromQL, legend)."""


def board(title: str, uid: str, description: str) -> dashboard.Dashboard:
    """An empty dashboard with a choice of the data source."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["aar"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def choice(name: str, label: str, query: str, *, every: str | None = None) -> dashboard.QueryVariable:
    """A choice among a label's values; `every` is the regular expression of all of them."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    return variable if every is None else variable.include_all(True).all_value(every).multi(True)


def figure(title: str, query: str, unit: str, *, legend: str = "", decimals: int | None = None) -> stat.Panel:
    """One number; with a legend, the name of the series in its place."""
    panel = (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .span(STAT_WIDTH)
        .height(STAT_HEIGHT)
        .unit(unit)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("none yet")
        .with_target(_target(query, legend, instant=True))
    )
    if legend:
        panel = panel.text_mode(BigValueTextMode.NAME)
    return panel if decimals is None else panel.decimals(decimals)


def graph(
    title: str, queries: Queries, unit: str, description: str, *, stacked: bool = False, least: float | None = 0
) -> timeseries.Panel:
    """Lines over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(WIDTH)
        .height(HEIGHT)
        .unit(unit)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    if stacked:
        panel = panel.fill_opacity(30).stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if least is not None:
        panel = panel.min(least)
    for letter, (query, legend) in zip(string.ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_target(query, legend, letter))
    return panel


def bars(title: str, query: str, legend: str, unit: str, description: str, most: float | None = None) -> bargauge.Panel:
    """One bar a series, as it is now."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(WIDTH)
        .height(HEIGHT)
        .unit(unit)
        .min(0)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query, legend, instant=True))
    )
    return panel if most is None else panel.max(most)


def distribution(title: str, query: str, description: str) -> heatmap.Panel:
    """The buckets of a histogram over time; the query keeps `le`."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(WIDTH)
        .height(HEIGHT)
        .calculate(False)
        .with_target(_target(query, "{{le}}").format(PromQueryFormat.HEATMAP))
    )


def _target(query: str, legend: str, letter: str = "A", *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query).legend_format(legend).datasource(SOURCE).ref_id(letter)
    return target.instant() if instant else target.range()
