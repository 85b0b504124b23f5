"""A campaign file to objects: one ResearchCampaign, and any Experiments and ConfigMaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from aar_api import labels
from aar_api.campaign import ResearchCampaign
from aar_api.campaign import parse as parse_campaign
from aar_api.campaign import stored as stored_campaign
from aar_api.errors import InvalidInput, explain
from aar_api.experiment import parse as parse_experiment
from pydantic import ValidationError

from aar_operator.cluster import Manifest

NAMESPACE = "default"
IMMUTABLE = ("task", "objective")


def read(path: Path) -> list[Manifest]:
    """The file's objects, the campaign first, each checked and in the one namespace of a machine.

    Raises:
        InvalidInput: the file cannot be read or an object breaks a rule.
    """
    try:
        documents = [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path} cannot be read as YAML ({error}): name a file with a ResearchCampaign.") from error
    objects = [_checked(path, one) for one in documents]
    campaigns = [one for one in objects if one["kind"] == "ResearchCampaign"]
    if len(campaigns) != 1:
        raise InvalidInput(
            f"{path} has {len(campaigns)} ResearchCampaigns, but a run is of exactly one: correct the file."
        )
    return [*campaigns, *(one for one in objects if one["kind"] != "ResearchCampaign")]


def continues(campaign: Manifest, before: Manifest | None, folder: Path) -> None:
    """Check that a campaign may take up what a directory holds.

    Raises:
        InvalidInput: it is another campaign, or changes what cannot change.
    """
    if before is None:
        return
    old, new = before["metadata"]["name"], campaign["metadata"]["name"]
    if old != new:
        raise InvalidInput(
            f"{folder} holds campaign {old!r}, but the file is of {new!r}: name another directory with --dir."
        )
    if _over(before) and campaign["spec"] != before["spec"]:
        changed = sorted(field for field in {**campaign["spec"], **before["spec"]} if _differs(field, campaign, before))
        raise InvalidInput(
            f"spec.{', spec.'.join(changed)} differs from what campaign {old!r} in {folder} ran with, but that campaign is over: put it "
            "back to see its report, or name another directory with --dir."
        )
    for field in IMMUTABLE:
        if _differs(field, campaign, before):
            raise InvalidInput(
                f"spec.{field} is {campaign['spec'].get(field)}, but campaign {old!r} in {folder} began with "
                f"{before['spec'].get(field)} and it cannot change: name another directory with --dir."
            )
    had, wants = _weak_sets(before), _weak_sets(campaign)
    if had != wants:
        raise InvalidInput(
            f"experiments.seeds and evaluation.replication ask for {wants} sets of weak labels, but campaign {old!r} in {folder} began "
            f"with {had} and they are made once: put them back, or name another directory with --dir."
        )


def _over(campaign: Manifest) -> bool:
    """Ended for good: one that was refused gets another chance when its file is corrected."""
    status = campaign.get("status", {})
    refused = any(c["type"] == "Accepted" and c["status"] == "False" for c in status.get("conditions", []))
    return status.get("phase") in ("Complete", "Failed") and not refused


def _differs(field: str, one: Manifest, other: Manifest) -> bool:
    return bool(one["spec"].get(field) != other["spec"].get(field))


def _weak_sets(campaign: Manifest) -> int:
    """Sets of weak labels that the hub makes, once: one a seed of exploration, and fresh ones for verification."""
    spec = stored_campaign(campaign).spec
    again = spec.evaluation.replication
    return spec.experiments.seeds + (again.seeds if again.top_k else 0)


def _checked(path: Path, document: Any) -> Manifest:
    if not isinstance(document, dict) or "kind" not in document:
        raise InvalidInput(
            f"{path} has a document without a kind: each is a ResearchCampaign, an Experiment or a ConfigMap."
        )
    kind = document["kind"]
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise InvalidInput(f"A {kind} in {path} has no metadata.name: give it one.")
    document = {**document, "metadata": {**metadata, "namespace": NAMESPACE}}
    if kind == "ConfigMap":
        return dict(document)
    if kind not in ("ResearchCampaign", "Experiment"):
        raise InvalidInput(
            f"{path} has a {kind}, but a campaign file has ResearchCampaign, Experiment and ConfigMap only: remove it."
        )
    try:
        parsed = parse_campaign(document) if kind == "ResearchCampaign" else parse_experiment(document)
    except ValidationError as error:
        raise InvalidInput(f"{kind} {metadata['name']!r} in {path}: {explain(error)}") from error
    if not isinstance(parsed, ResearchCampaign) and (parsed.spec.purpose != "Exploration" or parsed.spec.submitted_by):
        raise InvalidInput(
            f"Experiment {metadata['name']!r} in {path} sets purpose or submittedBy, which only the operator may: remove them."
        )
    # Defaults are filled in as an API server fills them in, so that a later file is compared with what was meant.
    return {**document, "apiVersion": labels.API_VERSION, "spec": parsed.spec.dump()}
