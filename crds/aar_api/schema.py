"""Models to CRD YAML: `python -m aar_api.schema FOLDER` writes the files, `--check` says whether they are current."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aar_api import labels, names
from aar_api.base import Model
from aar_api.campaign import CampaignSpec, CampaignStatus
from aar_api.experiment import ExperimentSpec, ExperimentStatus

Schema = dict[str, Any]

ABOUT = {
    "ResearchCampaign": "A campaign of automated alignment research: a task with an objective score, a team of researchers, a budget in "
    "US dollars. Its winners are run again on fresh seeds, with controls, before they count as confirmed.",
    "Experiment": "A method on a campaign's task, with some seeds: submitted by a researcher or applied by a person, run as a Job in a "
    "sandbox, scored by the campaign's hub.",
}
"""What `kubectl explain` says first."""
HEADER = "# Generated from aar_api by `make crds`. Do not edit.\n"


def same(path: str) -> str:
    """CEL: an optional field that may neither change nor appear nor vanish."""
    return f"has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || self.{path} == oldSelf.{path})"


def weak_sets(spec: str) -> str:
    """CEL: sets of weak labels that the hub makes, one a seed of exploration, and fresh ones for verification."""
    again = f"{spec}.evaluation.replication"
    return f"{spec}.experiments.seeds + ({again}.topK > 0 ? {again}.seeds : 0)"


CAMPAIGN_RULES = [
    {"rule": "self.task == oldSelf.task", "message": "task is immutable: apply a new campaign"},
    {"rule": same("objective"), "message": "objective is immutable: apply a new campaign"},
    {"rule": same("queueName"), "message": "queueName is immutable: apply a new campaign"},
    {
        "rule": f"{weak_sets('self')} == {weak_sets('oldSelf')}",
        "message": "experiments.seeds plus evaluation.replication.seeds (0 with topK 0) is immutable, since weak labels are made once: "
        "put them back, or apply a new campaign",
    },
]
BUDGET_RULES = [
    {"rule": "double(self.limitUSD) > 0.0", "message": "limitUSD must be greater than 0"},
    {
        "rule": "!has(self.llmLimitUSD) || double(self.llmLimitUSD) <= double(self.limitUSD)",
        "message": "llmLimitUSD cannot exceed limitUSD",
    },
    {
        "rule": "!has(self.gpuLimitUSD) || double(self.gpuLimitUSD) <= double(self.limitUSD)",
        "message": "gpuLimitUSD cannot exceed limitUSD",
    },
]
RESEARCHERS_RULES = [
    {"rule": "self.kind != 'claude' || has(self.model)", "message": "kind claude needs a model: set model"},
]
EXPERIMENTS_RULES = [
    {
        "rule": "self.parallelism <= self.maxCount",
        "message": "experiments.parallelism cannot exceed experiments.maxCount",
    },
    {
        "rule": "self.resources.gpus <= self.maxGPUs",
        "message": "experiments.resources.gpus, those of one seed, cannot exceed experiments.maxGPUs, those of the whole campaign: raise "
        "maxGPUs, or ask for fewer",
    },
]
METHOD_RULES = [
    {
        "rule": "[has(self.builtin), has(self.snapshot), has(self.inline), has(self.configMap)].filter(g, g).size() == 1",
        "message": "method needs exactly one of builtin, snapshot, inline and configMap",
    }
]
EXPERIMENT_RULES = (
    [
        {"rule": f"self.{field} == oldSelf.{field}", "message": f"{field} is immutable: submit a new Experiment"}
        for field in ("campaignRef", "method", "seeds", "purpose")
    ]
    + [
        {"rule": same(field), "message": f"{field} is immutable: submit a new Experiment"}
        for field in ("task", "submittedBy", "control", "replicates", "resources", "activeDeadlineSeconds")
    ]
    + [
        {
            "rule": "oldSelf.desiredState != 'Cancelled' || self.desiredState == 'Cancelled'",
            "message": "a cancelled Experiment cannot be started again",
        },
    ]
)


def structural(model: type[Model]) -> Schema:
    """A model's JSON schema as a structural schema: no references, no titles, no null alternatives."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    inlined = _plain(raw, raw.get("$defs", {}))
    assert isinstance(inlined, dict)
    return inlined


def _plain(node: Any, defs: Schema) -> Any:
    if isinstance(node, list):
        return [_plain(item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _plain(defs[node["$ref"].rsplit("/", 1)[1]] | rest, defs)
    if "anyOf" in node:
        return _alternatives(node, defs)
    kept = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in kept:
        kept["enum"] = [kept.pop("const")]
    if "prefixItems" in kept:
        kept["items"] = kept.pop("prefixItems")[0]
    plain = {key: _plain(value, defs) for key, value in kept.items() if key != "properties"}
    if "properties" in node:
        plain["properties"] = {name: _plain(value, defs) for name, value in node["properties"].items()}
    if plain.get("default") in ([], {}) and plain.get("type") == "array":
        plain.pop("default")
    if "default" in plain:
        plain["default"] = _without_nulls(plain["default"])
    return plain


def _without_nulls(value: Any) -> Any:
    """A default as an API server takes it: an absent optional field is left out, not null."""
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(item) for key, item in value.items() if item is not None}


_DROPPED = ("title", "$defs", "additionalProperties_", "discriminator", "propertyNames")


def _alternatives(node: Schema, defs: Schema) -> Any:
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    options = [option for option in node["anyOf"] if option.get("type") != "null"]
    if rest.get("default", 0) is None:
        rest.pop("default")
    if len(options) == 1:
        return _plain(options[0] | rest, defs)
    # Scalars of several types (hyper-parameters, task parameters): Kubernetes knows no union, so any type is let through, and its rules
    # for texts, lists and objects bound what comes. The hub checks the rest.
    bounds = {"maxItems": 0, "maxProperties": 0}
    for option in options:
        bounds |= {name: value for name, value in option.items() if name == "maxLength"}
    return _plain(rest, defs) | {"x-kubernetes-preserve-unknown-fields": True, **bounds}


def _close(schema: Schema) -> Schema:
    """Kubernetes prunes unknown fields itself: `additionalProperties: false` is not structural."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            schema.pop("additionalProperties")
        for value in schema.values():
            if isinstance(value, dict):
                _close(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, dict):
                        _close(item)
    return schema


def _name_rules(most: int) -> list[dict[str, str]]:
    return [
        {"rule": f"size(self.metadata.name) <= {most}", "message": f"metadata.name must be at most {most} characters"},
        {
            "rule": f"self.metadata.name.matches('{names.RFC1035}')",
            "message": "metadata.name must be an RFC 1035 label",
        },
    ]


def _crd(kind: str, plural: str, short: str, spec: Schema, status: Schema, columns: list[Schema], most: int) -> Schema:
    top = {
        "type": "object",
        "description": ABOUT[kind],
        "required": ["spec"],
        "x-kubernetes-validations": _name_rules(most),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    version = {
        "name": labels.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": top},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{labels.GROUP}"},
        "spec": {
            "group": labels.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["aar"],
            },
            "versions": [version],
        },
    }


def _column(name: str, path: str, kind: str = "string", wide: bool = False) -> Schema:
    """A column of `kubectl get`; a wide one shows with `-o wide` only."""
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": 1} if wide else {})


def campaign_crd() -> Schema:
    """The CustomResourceDefinition of ResearchCampaign."""
    spec = _close(structural(CampaignSpec))
    spec["x-kubernetes-validations"] = CAMPAIGN_RULES
    spec["properties"]["budget"]["x-kubernetes-validations"] = BUDGET_RULES
    spec["properties"]["experiments"]["x-kubernetes-validations"] = EXPERIMENTS_RULES
    spec["properties"]["researchers"]["x-kubernetes-validations"] = RESEARCHERS_RULES
    columns = [
        _column("Phase", ".status.phase"),
        _column("Researchers", ".status.researchers.active", "integer"),
        _column("Running", ".status.experiments.running", "integer"),
        _column("Scored", ".status.experiments.scored", "integer"),
        _column("Best-PGR", ".status.best.pgr"),
        _column("SE", ".status.best.stderr"),
        _column("Confirmed", ".status.best.confirmed", "boolean"),
        _column("Spent", ".status.spend.totalUSD"),
        _column("Budget", ".spec.budget.limitUSD"),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    status = _close(structural(CampaignStatus))
    return _crd("ResearchCampaign", "researchcampaigns", "rcamp", spec, status, columns, names.MAX_CAMPAIGN)


def experiment_crd() -> Schema:
    """The CustomResourceDefinition of Experiment."""
    spec = _close(structural(ExperimentSpec))
    spec["x-kubernetes-validations"] = EXPERIMENT_RULES
    spec["properties"]["method"]["x-kubernetes-validations"] = METHOD_RULES
    columns = [
        _column("Campaign", ".spec.campaignRef"),
        _column("Purpose", ".spec.purpose"),
        _column("By", ".spec.submittedBy.researcher"),
        _column("Phase", ".status.phase"),
        _column("PGR", ".status.score.pgr"),
        _column("SE", ".status.score.stderr"),
        _column("Cost", ".status.cost.totalUSD"),
        _column("Audit", ".status.audit"),
        _column("Seeds", ".spec.seeds", "integer", wide=True),
        _column("Job", ".status.jobRef.name", wide=True),
        _column("Hypothesis", ".spec.hypothesis", wide=True),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    status = _close(structural(ExperimentStatus))
    return _crd("Experiment", "experiments", "rexp", spec, status, columns, names.MAX_EXPERIMENT)


def documents() -> dict[str, str]:
    """File name to content. JSON is YAML, so no YAML library is needed where the vocabulary is shared."""
    crds = {"researchcampaigns.yaml": campaign_crd(), "experiments.yaml": experiment_crd()}
    return {name: HEADER + json.dumps(crd, indent=2) + "\n" for name, crd in crds.items()}


def stale(folder: Path) -> list[str]:
    """Files in the folder that differ from what the models give."""
    return differing(folder, documents())


def differing(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Files of a folder that do not read as they should, by name."""
    return [name for name, text in texts.items() if not _reads(folder / name, text)]


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def generate(arguments: list[str], texts: Mapping[str, str], way_out: str) -> int:
    """Write files into the folder named last, or with --check say which are stale; 0 when all is well, else 1."""
    folder = Path(arguments[-1])
    if "--check" in arguments:
        old = differing(folder, texts)
        if old:
            sys.stderr.write(f"{', '.join(old)} in {folder} differ from {way_out}.\n")
        return 1 if old else 0
    for name, text in texts.items():
        (folder / name).write_text(text)
    return 0


def main(arguments: list[str]) -> int:
    """Generate the CRDs, or check them."""
    return generate(arguments, documents(), "the models: run `make crds`")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
