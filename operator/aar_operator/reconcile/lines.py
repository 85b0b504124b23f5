"""The line of each campaign's experiments, as the cluster tells of them."""

from __future__ import annotations

from collections import defaultdict

from aar_operator.cluster import Cluster, Manifest, Ref
from aar_operator.plan.line import Line


class Lines:
    """Lines by namespace and name of the campaign."""

    def __init__(self, cluster: Cluster) -> None:
        self._lines: dict[tuple[str, str], Line] = defaultdict(Line)
        self._campaign: dict[Ref, str] = {}
        self._left: set[tuple[str, str]] = set()
        cluster.follow("Experiment", self._note)

    def of(self, namespace: str, campaign: str) -> Line:
        """The line of a campaign."""
        return self._lines[namespace, campaign]

    def left(self, namespace: str) -> list[str]:
        """Campaigns of a namespace of which something that ran or waited has vanished since this was asked last."""
        found = [campaign for space, campaign in self._left if space == namespace]
        self._left.difference_update((namespace, campaign) for campaign in found)
        return found

    def _note(self, ref: Ref, manifest: Manifest | None) -> None:
        before = self._campaign.pop(ref, None)
        now = None if manifest is None else str(manifest["spec"].get("campaignRef", ""))
        if before is not None and before != now and self._lines[ref.namespace, before].forget(ref.name):
            self._left.add((ref.namespace, before))
        if manifest is not None and now is not None:
            self._campaign[ref] = now
            self._lines[ref.namespace, now].note(manifest)
