"""A campaign file, read and checked: one ResearchCampaign, any Experiments, any ConfigMaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aar_api.campaign import ResearchCampaign
from aar_api.experiment import Experiment
from pydantic import ValidationError

from aar_cli.errors import BadFile
from aar_cli.mistakes import line_of, sentences

KINDS = ("ResearchCampaign", "Experiment", "ConfigMap")


@dataclass(frozen=True)
class Documents:
    """What a file says."""

    campaign: ResearchCampaign
    experiments: tuple[Experiment, ...]
    manifests: tuple[dict[str, Any], ...]
    notices: tuple[str, ...] = ()

    def text(self) -> str:
        """The whole as one file, ConfigMaps that lay beside it included."""
        return yaml.safe_dump_all(self.manifests, sort_keys=False, allow_unicode=True)


def read(path: Path) -> Documents:
    """Read and check a file.

    Raises:
        BadFile: it breaks a rule; the text names each that it breaks.
    """
    parsed: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    manifests, mistakes = [], []
    for node, manifest in _load(path):
        try:
            parsed[_kind(path, node, manifest)].append(_parse(node, manifest))
            manifests.append(manifest)
        except BadFile as error:
            mistakes.append(str(error))
    if not mistakes:
        mistakes += _together(parsed)
    if mistakes:
        raise BadFile("\n".join(f"{path}, {one}" if one.startswith("line ") else f"{path}: {one}" for one in mistakes))
    found, notices = _beside(path, parsed)
    return Documents(parsed["ResearchCampaign"][0], tuple(parsed["Experiment"]), (*manifests, *found), tuple(notices))


def _load(path: Path) -> list[tuple[yaml.Node, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        nodes = []
        while loader.check_node():
            nodes.append(loader.get_node())
        found = [(node, loader.construct_document(node)) for node in nodes if node is not None]
    except FileNotFoundError:
        raise BadFile(f"{path} does not exist: name a file with a ResearchCampaign.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read ({error}): name a text file with a ResearchCampaign.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        problem = getattr(error, "problem", None) or str(error)
        raise BadFile(f"{path}{line} is no YAML ({problem}): correct it.") from None
    found = [(node, manifest) for node, manifest in found if manifest is not None]
    if not found:
        raise BadFile(f"{path} is empty, but it must hold a ResearchCampaign: see examples/quickstart.yaml.")
    return found


def _kind(path: Path, node: yaml.Node, manifest: Any) -> str:
    at = f"line {node.start_mark.line + 1}: "
    if not isinstance(manifest, dict):
        raise BadFile(
            f"{at}a document is {type(manifest).__name__}, but it must be a mapping with apiVersion and kind."
        )
    kind = manifest.get("kind")
    if kind not in KINDS:
        line = line_of(node, ("kind",))
        raise BadFile(f"line {line}: kind is {kind!r}, but a campaign file holds {', '.join(KINDS)} only: change it.")
    return str(kind)


def _parse(node: yaml.Node, manifest: dict[str, Any]) -> Any:
    if manifest["kind"] == "ConfigMap":
        if not isinstance(manifest.get("metadata"), dict) or not isinstance(manifest.get("data"), dict):
            raise BadFile(f"line {node.start_mark.line + 1}: a ConfigMap needs metadata.name and data: add them.")
        return manifest
    model: type[ResearchCampaign] | type[Experiment]
    model = ResearchCampaign if manifest["kind"] == "ResearchCampaign" else Experiment
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        raise BadFile("\n".join(sentences(error, model, node))) from None


def _together(parsed: dict[str, list[Any]]) -> list[str]:
    """Rules that no document breaks alone."""
    campaigns: list[ResearchCampaign] = parsed["ResearchCampaign"]
    if len(campaigns) != 1:
        named = ", ".join(repr(one.metadata.name) for one in campaigns) or "none"
        return [f"it holds {len(campaigns)} ResearchCampaigns ({named}), but a run is of exactly one: correct it."]
    return [sentence for one in parsed["Experiment"] for sentence in _against(campaigns[0], one)]


def _against(campaign: ResearchCampaign, one: Experiment) -> list[str]:
    name, spec, most = one.metadata.name, one.spec, campaign.spec.experiments.seeds
    said = []
    if spec.campaign_ref != campaign.metadata.name:
        said.append(
            f"Experiment {name!r} has campaignRef {spec.campaign_ref!r}, but the campaign is {campaign.metadata.name!r}: change it."
        )
    if spec.seeds > most:
        said.append(
            f"Experiment {name!r} asks for {spec.seeds} seeds, but experiments.seeds of the campaign allows {most}: "
            "lower the one or raise the other."
        )
    if spec.purpose != "Exploration" or spec.submitted_by is not None:
        said.append(f"Experiment {name!r} sets purpose or submittedBy, which only the operator may: remove them.")
    return said


def _beside(path: Path, parsed: dict[str, list[Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """ConfigMaps that Experiments name and the file lacks, made of files beside it, as `kubectl create configmap` would."""
    held = {one["metadata"].get("name"): one["data"] for one in parsed["ConfigMap"]}
    made, notices = [], []
    for one in parsed["Experiment"]:
        ref = one.spec.method.config_map
        if ref is None or ref.key in held.get(ref.name, {}):
            continue
        source = path.parent / ref.key
        if ref.name in held or not source.is_file():
            raise BadFile(
                f"{path}: Experiment {one.metadata.name!r} names key {ref.key!r} of ConfigMap {ref.name!r}, but it is neither in the "
                f"file nor a file {source}: add one of them."
            )
        held[ref.name] = {ref.key: source.read_text(encoding="utf-8")}
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ref.name}, "data": held[ref.name]})
        notices.append(f"ConfigMap {ref.name!r} is made of {source}.")
    return made, notices
