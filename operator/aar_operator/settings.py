"""Settings of the operator: the one place where its environment is read. `docs/operator-settings.md` lists the variables."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aar_api import money
from aar_api.base import Model, Usd
from aar_api.errors import InvalidInput
from pydantic import Field, ValidationError

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "VIRTUAL_ENV", "SYSTEMROOT")
"""Variables that any program on this machine may need; nothing else of the environment reaches a container."""

Object = dict[str, Any]
Isolation = Literal["Required", "Reported"]
ISOLATIONS: tuple[Isolation, ...] = ("Required", "Reported")


class NamespaceLimits(Model):
    """What all campaigns of one namespace together may use; absent: no limit."""

    campaigns: int | None = Field(default=None, ge=0, description="Campaigns that are not over.")
    gpus: int | None = Field(default=None, ge=0, description="Sum of experiments.maxGPUs.")
    usd_per_month: Usd | None = Field(default=None, description="US dollars a calendar month (UTC), promised or spent.")


@dataclass(frozen=True)
class Settings:
    """What the operator is started with."""

    image_hub: str = "aar-operator:dev"
    """Image of the hub: the trusted image, by its second entry point."""

    image_agent: str = "aar-agent:dev"
    """Image of the researchers."""

    image_lab: str = "aar-lab:dev"
    """Image of experiments."""

    image_pull_policy: str = "IfNotPresent"
    """imagePullPolicy of every container."""

    pull_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Credentials of image registries (a Docker configuration in JSON) by name: every namespace of a campaign gets them, for the kubelet alone."""

    pull_secret_files: Mapping[str, str] = field(default_factory=dict)
    """Files that they were read from."""

    cpu_usd_per_hour: str = "0.05"
    """US dollars of one CPU core for one hour: about the list price of general-purpose cloud machines."""

    gpu_usd_per_hour: str = "2.50"
    """US dollars of one GPU for one hour."""

    cache_dir: str = ""
    """Folder where hubs keep baselines from one campaign to the next; empty: none are kept. Hubs on a cluster share none."""

    model_dir: str = ""
    """Folder with pretrained models that tasks may name; empty: only installed packages, absolute folders and hub ids."""

    model_volume: Object | None = None
    """Source of a volume with models, mounted read-only at `model_dir`; a claim cannot be shared by namespaces, so this is one of
    `csi`, `image` or `ephemeral`."""

    cores: int = 1
    """CPU cores that experiments may use on one machine: all of them by default."""

    host_environment: Mapping[str, str] = field(default_factory=dict)
    """What processes on one machine inherit."""

    provider_url: str = ""
    """Where hubs call the LLM provider; empty: the hub's default."""

    provider_key: str = field(default="", repr=False)
    """The provider's key, which hubs get and nobody else; empty: no LLM can be called."""

    provider_proxy: str = ""
    """HTTP proxy on the way to the provider."""

    provider_key_file: str = ""
    """File that the key was read from; empty: no file has it."""

    provider_ca: str = field(default="", repr=False)
    """Certificates (PEM) by which the provider is trusted, and by no others; empty: the usual ones."""

    provider_ca_file: str = ""
    """File that the certificates were read from."""

    one_machine: bool = False
    """Whether pods are processes of this machine: there is no network to isolate, and names resolve as they do here."""

    # On a cluster.

    operator_namespace: str = "aar-system"
    """Where the operator itself runs: its Lease and its books are there, and hubs let it in from there."""

    operator_identity: str = "operator"
    """Who holds the Lease; differs by replica."""

    hub_url: str = ""
    """Where hubs are reached by an operator that runs outside the cluster, with {namespace} and {port}; empty: at their Services."""

    api_server: str = ""
    """host:port at which pods would find the API server; the isolation probe must not reach it."""

    workers: int = 16
    """Objects that are reconciled side by side: they wait for the API server and for hubs, not for the CPU."""

    relist_seconds: float = 300.0
    """How often the cache is replaced by a list: what a lost watch event costs at most."""

    metrics_port: int = 8080
    """Port of /metrics, /healthz and /readyz."""

    log_format: str = "json"
    """`json` or `text`."""

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    monitoring_namespace: str = ""
    """Namespace whose pods may reach the hubs' operator port, which has their metrics; empty: none but the operator's."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    """nodeSelector of every pod."""

    tolerations: tuple[Object, ...] = ()
    """tolerations of every pod."""

    gpu_node_selector: Mapping[str, str] = field(default_factory=dict)
    """Further nodeSelector of pods that ask for GPUs."""

    gpu_tolerations: tuple[Object, ...] = ()
    """Further tolerations of pods that ask for GPUs."""

    runtime_class: str = ""
    """runtimeClassName of pods in sandboxes, for example gvisor; empty: the cluster's default."""

    gpu_runtime_class: str = ""
    """runtimeClassName of pods that ask for GPUs; empty: like the others."""

    priority_class: str = ""
    """priorityClassName of pods of campaigns that name none."""

    cluster_queue: str = ""
    """Kueue ClusterQueue that a LocalQueue in every sandbox leads to; empty: no Kueue."""

    storage_class: str = ""
    """storageClassName of volumes; empty: the cluster's default."""

    hub_storage: str = "10Gi"
    """Volume of a hub."""

    researcher_storage: str = "5Gi"
    """Volume of a researcher."""

    scratch: str = "10Gi"
    """Most that a seed may keep in its working folder, on the disk of its node; above it the pod is evicted."""

    sandbox_quota: Mapping[str, str] = field(default_factory=dict)
    """`hard` of the ResourceQuota of every sandbox, over the defaults."""

    sandbox_limits: Object = field(default_factory=dict)
    """The one entry of the LimitRange of every sandbox, over the defaults."""

    job_ttl_seconds: int = 3600
    """How long the Job of a scored experiment stays for `kubectl logs`."""

    isolation: Isolation = "Required"
    """Required: research waits until the probe found no way out. Reported: it only says what it found."""

    probe_targets: tuple[str, ...] = ("1.1.1.1:443", "169.254.169.254:80")
    """host:port outside the cluster that no sandbox may reach: the internet, and a cloud's metadata service."""

    namespace_limits: Mapping[str, NamespaceLimits] = field(default_factory=dict)
    """Limits by namespace of the campaigns; `*` for those not named."""


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        InvalidInput: a variable breaks a rule.
    """
    env = os.environ if environ is None else environ
    for name in ("AAR_CPU_USD_PER_HOUR", "AAR_GPU_USD_PER_HOUR"):
        money.parse_usd(env.get(name) or "0")
    pulls = {name: str(path) for name, path in _json(env, "AAR_PULL_SECRETS", dict).items()}
    return Settings(
        **_texts(env),
        workers=_number(env, "AAR_WORKERS", Settings.workers, 1),
        relist_seconds=_number(env, "AAR_RELIST_SECONDS", int(Settings.relist_seconds), 1),
        log_level=_one_of(env, "AAR_LOG_LEVEL", Settings.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
        log_format=_one_of(env, "AAR_LOG_FORMAT", Settings.log_format, ("json", "text")),
        metrics_port=_number(env, "AAR_METRICS_PORT", Settings.metrics_port, 0),
        job_ttl_seconds=_number(env, "AAR_JOB_TTL_SECONDS", Settings.job_ttl_seconds, 0),
        api_server=_api_server(env),
        pull_secrets={name: _content("AAR_PULL_SECRETS", path) for name, path in pulls.items()},
        pull_secret_files=pulls,
        provider_key=(_file(env, "AAR_PROVIDER_KEY_FILE") or env.get("AAR_PROVIDER_KEY") or "").strip(),
        provider_key_file=_path(env, "AAR_PROVIDER_KEY_FILE"),
        provider_ca=_file(env, "AAR_PROVIDER_CA_FILE"),
        provider_ca_file=_path(env, "AAR_PROVIDER_CA_FILE"),
        model_volume=_json(env, "AAR_MODEL_VOLUME", dict) or None,
        node_selector=_json(env, "AAR_NODE_SELECTOR", dict),
        tolerations=tuple(_json(env, "AAR_TOLERATIONS", list)),
        gpu_node_selector=_json(env, "AAR_GPU_NODE_SELECTOR", dict),
        gpu_tolerations=tuple(_json(env, "AAR_GPU_TOLERATIONS", list)),
        sandbox_quota=_json(env, "AAR_SANDBOX_QUOTA", dict),
        sandbox_limits=_json(env, "AAR_SANDBOX_LIMITS", dict),
        isolation=_isolation(env),
        probe_targets=tuple(_json(env, "AAR_PROBE_TARGETS", list)) or Settings.probe_targets,
        namespace_limits=_limits(env),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        host_environment={name: env[name] for name in PASSED_ON if name in env},
    )


TEXTS = {
    "image_hub": "AAR_IMAGE_HUB",
    "image_agent": "AAR_IMAGE_AGENT",
    "image_lab": "AAR_IMAGE_LAB",
    "image_pull_policy": "AAR_IMAGE_PULL_POLICY",
    "cpu_usd_per_hour": "AAR_CPU_USD_PER_HOUR",
    "gpu_usd_per_hour": "AAR_GPU_USD_PER_HOUR",
    "cache_dir": "AAR_CACHE_DIR",
    "model_dir": "AAR_MODEL_DIR",
    "provider_url": "AAR_PROVIDER_URL",
    "provider_proxy": "AAR_PROVIDER_PROXY",
    "operator_namespace": "AAR_OPERATOR_NAMESPACE",
    "hub_url": "AAR_HUB_URL_TEMPLATE",
    "monitoring_namespace": "AAR_MONITORING_NAMESPACE",
    "runtime_class": "AAR_RUNTIME_CLASS",
    "gpu_runtime_class": "AAR_GPU_RUNTIME_CLASS",
    "priority_class": "AAR_PRIORITY_CLASS",
    "cluster_queue": "AAR_CLUSTER_QUEUE",
    "storage_class": "AAR_STORAGE_CLASS",
    "hub_storage": "AAR_HUB_STORAGE",
    "researcher_storage": "AAR_RESEARCHER_STORAGE",
    "scratch": "AAR_SCRATCH",
}
"""Settings that are text: field to variable."""


def _texts(env: Mapping[str, str]) -> dict[str, Any]:
    texts = {name: env[variable] for name, variable in TEXTS.items() if env.get(variable)}
    texts["operator_identity"] = env.get("AAR_OPERATOR_IDENTITY") or f"{socket.gethostname()}-{os.getpid()}"
    return texts


def _number(env: Mapping[str, str], name: str, otherwise: int, least: int) -> int:
    text = env.get(name) or str(otherwise)
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise InvalidInput(f"{name} is {text!r}, but it is a whole number of at least {least}: correct it or unset it.")
    return int(text)


def _json(env: Mapping[str, str], name: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    """A variable that holds JSON; absent: an empty one."""
    text = env.get(name) or ""
    if not text:
        return kind()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{name} is {text!r}, which is no JSON ({error}): write one {kind.__name__}.") from error
    if not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a list"
        raise InvalidInput(f"{name} is {text!r}, but it must be {wanted} in JSON: correct it or unset it.")
    return value


def _file(env: Mapping[str, str], name: str) -> str:
    """Content of the file that a variable names; empty if it names none."""
    path = env.get(name) or ""
    return _content(name, path) if path else ""


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{name} is {path!r}, which cannot be read ({error}): mount the file or unset it."
        ) from error


def _path(env: Mapping[str, str], name: str) -> str:
    """Where the file is that a variable names, for programs that run in other folders; empty if it names none."""
    return str(Path(env[name]).absolute()) if env.get(name) else ""


def _one_of(env: Mapping[str, str], name: str, otherwise: str, known: tuple[str, ...]) -> str:
    text = env.get(name) or otherwise
    if text not in known:
        raise InvalidInput(f"{name} is {text!r}, but it is one of {', '.join(known)}: correct it or unset it.")
    return text


def _isolation(env: Mapping[str, str]) -> Isolation:
    text = _one_of(env, "AAR_ISOLATION", Settings.isolation, ISOLATIONS)
    return next(known for known in ISOLATIONS if known == text)


def _limits(env: Mapping[str, str]) -> dict[str, NamespaceLimits]:
    given = _json(env, "AAR_NAMESPACE_LIMITS", dict)
    try:
        return {name: NamespaceLimits.model_validate(limits) for name, limits in given.items()}
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"AAR_NAMESPACE_LIMITS is {given}, but {where}: {first['msg']}; each namespace, or '*', takes campaigns, gpus and usdPerMonth."
        ) from error


def _api_server(env: Mapping[str, str]) -> str:
    """Kubernetes tells every pod where its API server is."""
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT")
    return f"{host}:{port or 443}" if host else ""
