"""Kueue's side of a sandbox: a LocalQueue that leads to the ClusterQueue the campaign may use."""

from __future__ import annotations

from aar_api.campaign import ResearchCampaign

from aar_operator.manifests.common import Manifest, obj, owned_by, part_namespace
from aar_operator.manifests.experiment import queue_name

API_VERSION = "kueue.x-k8s.io/v1beta1"


def build(campaign: ResearchCampaign, part: str, cluster_queue: str) -> Manifest:
    """The LocalQueue of one part."""
    marks = owned_by(campaign, "queue", part)
    spec = {"clusterQueue": cluster_queue}
    return obj(API_VERSION, "LocalQueue", queue_name(campaign), part_namespace(campaign, part), marks, spec=spec)
