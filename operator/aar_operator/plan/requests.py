"""The hub's feed carried out: experiments it asks for are created, cancellations are written down, and the cursor moves on."""

from __future__ import annotations

from aar_api import labels
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import obj, owned_by
from aar_operator.plan.model import CampaignSeen, Manifest, Plan, Target


def carry_out(campaign: ResearchCampaign, seen: CampaignSeen) -> tuple[Plan, int]:
    """Objects to make, and the cursor up to which this carries everything out."""
    if seen.feed is None:
        return Plan(), campaign.status.feed_cursor
    create: list[Manifest] = []
    merge: list[tuple[Target, Manifest]] = []
    for event in seen.feed.events:
        if event.kind == "experiment-requested" and event.experiment and event.spec:
            create.append(_experiment(campaign, event.experiment, event.spec.dump()))
        elif event.kind == "cancel-requested" and event.experiment:
            target = Target("Experiment", campaign.metadata.namespace, event.experiment)
            merge.append((target, {"spec": {"desiredState": "Cancelled"}}))
    return Plan(create=tuple(create), merge=tuple(merge)), seen.feed.cursor


def _experiment(campaign: ResearchCampaign, name: str, spec: Manifest) -> Manifest:
    marks = owned_by(campaign, "experiment", "hub")
    one = obj(labels.API_VERSION, "Experiment", name, campaign.metadata.namespace, marks, spec=spec)
    meta = campaign.metadata
    owner = {
        "apiVersion": labels.API_VERSION,
        "kind": "ResearchCampaign",
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
    }
    one["metadata"] |= {"ownerReferences": [owner], "finalizers": [labels.FINALIZER]}
    return one
