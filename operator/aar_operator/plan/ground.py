"""What every living campaign has: first its finalizer, then namespaces and hub."""

from __future__ import annotations

from aar_api import labels, names
from aar_api.campaign import ResearchCampaign

from aar_operator.manifests import hub, namespace, queue
from aar_operator.plan.model import CampaignSeen, Manifest, Plan, Target
from aar_operator.settings import Settings

POLL_SECONDS = 0.7
"""How often the hub is asked for news: what a person waits for at most between a submission and its Job."""


def held(campaign: ResearchCampaign) -> Plan | None:
    """What holds the campaign before anything of it is made, which nobody would remove else; none once it is held."""
    own = campaign.metadata.finalizers
    if labels.FINALIZER in own:
        return None
    return Plan(merge=(finalizers(campaign, (*own, labels.FINALIZER)),), requeue=0.0)


def ground(campaign: ResearchCampaign, seen: CampaignSeen, fresh_token: str, settings: Settings) -> Plan:
    """All of it, to be looked at again soon; `fresh_token` becomes the hub's if it has none."""
    parts = [*names.RESERVED_PARTS, *(names.researcher(i) for i in range(campaign.spec.researchers.count))]
    address = seen.hub_address
    objects: list[Manifest] = [one for part in parts for one in namespace.build(campaign, part, settings, address)]
    if seen.cluster_queue:
        objects += [queue.build(campaign, part, seen.cluster_queue) for part in parts if part != "hub"]
    if seen.operator_token:
        made = hub.build(campaign, settings, address, seen.operator_token)
        return Plan(apply=(*objects, *made), requeue=POLL_SECONDS)
    # The hub's pods name its token, which is drawn anew as long as its Secret is not there: first that, so that no other replaces them.
    made = [one for one in hub.build(campaign, settings, address) if one["kind"] != "Deployment"]
    return Plan(apply=(*objects, *made), create=(hub.secret(campaign, fresh_token),), requeue=POLL_SECONDS)


def finalizers(campaign: ResearchCampaign, wanted: tuple[str, ...]) -> tuple[Target, Manifest]:
    """The patch after which the campaign has these finalizers and no others."""
    meta = campaign.metadata
    return Target("ResearchCampaign", meta.namespace, meta.name), {"metadata": {"finalizers": list(wanted)}}
