"""The provider's key is in the hub's namespace and nowhere else."""

import json

import pytest
from aar_api.campaign import parse
from aar_operator import settings
from aar_operator.manifests import hub, researcher
from aar_operator.settings import Settings

CAMPAIGN = parse(
    {
        "apiVersion": "aar.dev/v1alpha1",
        "kind": "ResearchCampaign",
        "metadata": {"name": "c", "namespace": "n", "uid": "u"},
        "spec": {
            "task": {"name": "chat"},
            "budget": {"limitUSD": "1"},
            "researchers": {"kind": "claude", "model": "m"},
        },
    }
)
KEY = "sk-of-the-provider"
GIVEN = {
    "neither": (Settings(), False, None),
    "key": (Settings(provider_key=KEY), True, None),
    "key and address": (Settings(provider_key=KEY, provider_url="http://p"), True, "http://p"),
    "address alone": (Settings(provider_url="http://p"), False, "http://p"),
}


@pytest.mark.parametrize(("known", "has_key", "url"), GIVEN.values(), ids=GIVEN)
def test_hub_gets_what_is_known(known, has_key, url):
    made = {one["kind"]: one for one in hub.build(CAMPAIGN, known) if one["kind"] in ("Deployment", "Secret")}
    env = {one["name"]: one for one in made["Deployment"]["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert ("Secret" in made) is has_key
    assert ("AAR_HUB_PROVIDER_KEY" in env) is has_key
    assert env.get("AAR_HUB_PROVIDER_URL", {}).get("value") == url
    if has_key:
        assert made["Secret"]["stringData"] == {"key": KEY}
        assert env["AAR_HUB_PROVIDER_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "provider", "key": "key"}
    assert KEY not in json.dumps(made["Deployment"])


def test_no_researcher_gets_the_key():
    made = researcher.build(CAMPAIGN, 0, "http://hub", "token", Settings(provider_key=KEY, provider_url="http://p"))
    assert KEY not in json.dumps(made)
    assert "provider" not in json.dumps(made).lower()


def test_settings_are_read_and_the_key_is_not_shown():
    known = settings.read({"AAR_PROVIDER_KEY": f" {KEY}\n", "AAR_PROVIDER_URL": "http://p"})
    assert (known.provider_key, known.provider_url) == (KEY, "http://p")
    assert KEY not in repr(known)
