from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from helm.apiserver import Api, Server
from needs import lacking

from helm import charttools


@pytest.fixture(scope="session", autouse=True)
def helm() -> None:
    """Everything here renders the chart."""
    try:
        charttools.helm_path()
    except charttools.NoHelm as reason:
        lacking("helm", str(reason))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API server of the module's own: policies and kinds are for a whole cluster."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        lacking(
            "kubernetes",
            "KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver, whose admission and RBAC this is about.",
        )
    server = Server(tmp_path_factory.mktemp("apiserver"))
    try:
        yield server.api
    finally:
        server.stop()
