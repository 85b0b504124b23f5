"""A provider's key that is renewed while a campaign runs: its hub's Secret follows, and no pod is started anew."""

from __future__ import annotations

import base64
from pathlib import Path

from kube import world
from kube.hubdouble import Hubs
from kube.plane import Plane
from kube.test_kube_life import begun, researchers_run
from kube.world import Api, Kubelet, part, until


def test_a_new_key_reaches_the_hub(
    plane: Plane, api: Api, hubs: Hubs, kubelet: Kubelet, environment: dict[str, str], folder: Path, space: str
) -> None:
    kubelet.ends = researchers_run
    file = folder / "api-key"
    file.write_text("sk-first\n")
    known = environment | {"AAR_PROVIDER_KEY_FILE": str(file)}
    with world.operator(plane.kubeconfig, folder, known) as process:
        found, _ = begun(api, hubs, space)
        own = part(found, "hub")

        def key() -> str:
            return base64.b64decode(api.get("Secret", own, "provider")["data"]["key"]).decode()

        assert key() == "sk-first"
        before = api.get("Deployment", own, "hub")["metadata"]["generation"]
        file.write_text("sk-second\n")
        until("the hub's Secret has the new key", lambda: key() == "sk-second")
        assert api.get("Deployment", own, "hub")["metadata"]["generation"] == before
        assert "sk-" not in process.log.read_text()
