"""Objects as models, each version parsed once; one that breaks the models is told apart, so that it harms no other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

from aar_api.campaign import ResearchCampaign
from aar_api.campaign import stored as stored_campaign
from aar_api.errors import InvalidInput, explain
from aar_api.experiment import Experiment
from aar_api.experiment import stored as stored_experiment
from pydantic import ValidationError

from aar_operator.cluster import Manifest

CAMPAIGNS = 10_000
"""That are remembered: each is read whenever one of its experiments is looked at."""
EXPERIMENTS = 250
"""A parsed one takes more memory than its manifest, and is looked at a few times in a row."""


NEEDED = ("suspend", "task", "budget")
"""Fields without which a campaign's spec is none, and the one that always counts."""


class Malformed(InvalidInput):
    """An object that the API server took, but that is no campaign or experiment: an old schema, or what a schema cannot say."""

    def __init__(self, message: str, rest: ResearchCampaign | None = None) -> None:
        super().__init__(message)
        self.rest = rest
        """The campaign without the parts that are wrong, if that is one."""


Model = TypeVar("Model", ResearchCampaign, Experiment)


class Reading:
    """Parses, and remembers what it parsed."""

    def __init__(self) -> None:
        self._campaigns: OrderedDict[str, tuple[str, ResearchCampaign | Malformed]] = OrderedDict()
        self._experiments: OrderedDict[str, tuple[str, Experiment | Malformed]] = OrderedDict()

    def campaign(self, manifest: Manifest) -> ResearchCampaign:
        """A campaign.

        Raises:
            Malformed: it is none.
        """
        return _need(_remembered(self._campaigns, CAMPAIGNS, manifest, stored_campaign))

    def experiment(self, manifest: Manifest) -> Experiment:
        """An experiment.

        Raises:
            Malformed: it is none.
        """
        return _need(_remembered(self._experiments, EXPERIMENTS, manifest, stored_experiment))

    def campaigns(self, manifests: Iterable[Manifest]) -> list[ResearchCampaign]:
        """Those that are campaigns; of those with mistakes the rest."""
        read = (_remembered(self._campaigns, CAMPAIGNS, one, stored_campaign) for one in manifests)
        found = (one.rest if isinstance(one, Malformed) else one for one in read)
        return [one for one in found if one is not None]


def _need(read: Model | Malformed) -> Model:
    if isinstance(read, Malformed):
        raise read
    return read


def _remembered(
    memory: OrderedDict[str, tuple[str, Model | Malformed]],
    most: int,
    manifest: Manifest,
    parse: Callable[[Manifest], Model],
) -> Model | Malformed:
    uid, version = manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
    known = memory.get(uid)
    if known is not None and known[0] == version:
        return known[1]
    read: Model | Malformed
    try:
        read = parse(manifest)
    except ValidationError as error:
        rest = _rest(manifest, error) if manifest["kind"] == "ResearchCampaign" else None
        read = Malformed(f"{explain(error)}: correct that.", rest)
    memory[uid] = (version, read)
    while len(memory) > most:
        memory.popitem(last=False)
    return read


def _rest(manifest: Manifest, error: ValidationError) -> ResearchCampaign | None:
    """A campaign without the fields of its spec that are wrong; if no field alone is, with what it cannot do without."""
    spec: Manifest = manifest.get("spec", {})
    wrong = {str(one["loc"][1]) for one in error.errors() if len(one["loc"]) > 1 and one["loc"][0] == "spec"}
    for kept in (set(spec) - wrong, set(NEEDED)):
        try:
            return stored_campaign({**manifest, "spec": {key: one for key, one in spec.items() if key in kept}})
        except ValidationError:
            continue
    return None
