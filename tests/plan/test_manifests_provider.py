"""The provider's key is in the hub's namespace and nowhere else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aar_api.campaign import parse
from aar_operator import settings
from aar_operator.manifests import hub, researcher
from aar_operator.rotation import Rotating
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


def pod_of(made: dict) -> dict:
    return made["Deployment"]["spec"]["template"]["spec"]


def environment(made: dict) -> dict:
    return {one["name"]: one.get("value", one) for one in pod_of(made)["containers"][0]["env"]}


def built(known: Settings) -> dict:
    return {one["kind"]: one for one in hub.build(CAMPAIGN, known) if one["kind"] in ("Deployment", "Secret")}


@pytest.mark.parametrize(("known", "has_key", "url"), GIVEN.values(), ids=GIVEN)
def test_hub_gets_what_is_known(known, has_key, url):
    """The key by a file that the kubelet renews, never by a variable, which a running hub would keep as it was."""
    made = built(known)
    env, pod = environment(made), pod_of(made)
    assert ("Secret" in made) is has_key
    assert env.get("AAR_HUB_PROVIDER_KEY_FILE") == ("/provider/key" if has_key else None)
    assert env.get("AAR_HUB_PROVIDER_URL") == url
    assert "AAR_HUB_PROVIDER_KEY" not in env
    mounted = [one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if one["name"] == "provider"]
    assert mounted == (["/provider"] if has_key else [])
    if has_key:
        assert made["Secret"]["stringData"] == {"key": KEY}
        assert {one["name"]: one for one in pod["volumes"]}["provider"]["secret"]["secretName"] == "provider"
    assert KEY not in json.dumps(made["Deployment"])


def test_another_key_changes_no_pod():
    one, other = (built(Settings(provider_key=key, provider_ca="pem")) for key in (KEY, "sk-another"))
    assert one["Deployment"] == other["Deployment"]
    assert one["Secret"] != other["Secret"]


HERE = {
    "a key alone": (Settings(provider_key=KEY), {"AAR_HUB_PROVIDER_KEY"}),
    "files": (
        Settings(provider_key=KEY, provider_key_file="/k", provider_ca="pem", provider_ca_file="/c"),
        {"AAR_HUB_PROVIDER_KEY_FILE", "AAR_HUB_PROVIDER_CA_FILE"},
    ),
}


@pytest.mark.parametrize(("known", "wanted"), HERE.values(), ids=HERE)
def test_on_one_machine_files_are_read_where_they_are(known, wanted):
    made = built(replace(known, one_machine=True))
    env = {name: text for name, text in environment(made).items() if "PROVIDER" in name}
    assert set(env) == wanted
    assert env.get("AAR_HUB_PROVIDER_CA_FILE", "/c") == "/c"
    assert not [one for one in pod_of(made)["volumes"] if one["name"] == "provider"], "nothing is copied"


def test_no_researcher_gets_the_key():
    made = researcher.build(CAMPAIGN, 0, "http://hub", "token", Settings(provider_key=KEY, provider_url="http://p"))
    assert KEY not in json.dumps(made)
    assert "provider" not in json.dumps(made).lower()


def test_settings_are_read_and_the_key_is_not_shown():
    known = settings.read({"AAR_PROVIDER_KEY": f" {KEY}\n", "AAR_PROVIDER_URL": "http://p"})
    assert (known.provider_key, known.provider_url) == (KEY, "http://p")
    assert KEY not in repr(known)


def test_files_are_read_again_when_they_change(tmp_path: Path):
    key, authority = tmp_path / "key", tmp_path / "ca.crt"
    key.write_text(f"{KEY}\n")
    authority.write_text("pem")
    pull = tmp_path / "pull"
    pull.write_text("{}")
    known = settings.read(
        {
            "AAR_PROVIDER_KEY_FILE": str(key),
            "AAR_PROVIDER_CA_FILE": str(authority),
            "AAR_PULL_SECRETS": json.dumps({"mine": str(pull)}),
        }
    )
    kept = Rotating(known)
    assert (kept.now().provider_key, kept.now().provider_ca) == (KEY, "pem")
    assert kept.now() is kept.now(), "nothing is read while nothing changes"
    key.write_text("sk-the-next")
    authority.write_text("another pem")
    pull.write_text('{"auths": {}}')
    assert kept.now().pull_secrets == {"mine": '{"auths": {}}'}
    assert (kept.now().provider_key, kept.now().provider_ca) == ("sk-the-next", "another pem")
    for spoil in (lambda: key.write_text(""), key.unlink):
        spoil()
        assert kept.now().provider_key == "sk-the-next", "what is away or empty tells nothing"
