"""Every label, annotation, environment variable and mount path, once."""

from __future__ import annotations

GROUP = "aar.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/cleanup"
FIELD_MANAGER = "aar-operator"

# Labels on every child. Ownership across namespaces is by UID label, since owner references do not cross them.
MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
CAMPAIGN = f"{GROUP}/campaign"
CAMPAIGN_UID = f"{GROUP}/campaign-uid"
CAMPAIGN_NAMESPACE = f"{GROUP}/campaign-namespace"
EXPERIMENT = f"{GROUP}/experiment"
EXPERIMENT_UID = f"{GROUP}/experiment-uid"
RESEARCHER = f"{GROUP}/researcher"
PART = f"{GROUP}/part"
BOOK = f"{GROUP}/book"
"""On the ConfigMap that keeps what a namespace spent on campaigns that are gone: the namespace."""
HUB_ADDRESS = f"{GROUP}/hub-address"
TOKEN_DIGEST = f"{GROUP}/token-digest"
"""Annotation of a hub's pod: of the token that it was started with."""
"""Annotation of the hub's namespace: the address of its Service, kept for when that has to be made again."""
RESERVED_USD = f"{GROUP}/reserved-usd"
"""Annotation of an experiment's Job: the US dollars that are held for it, which its status tells while it runs."""
APPLIED = f"{GROUP}/applied"
"""Annotation of what the operator applies: a digest of the manifest, so that a new process knows what need not be sent again."""
QUEUE = "kueue.x-k8s.io/queue-name"
WORKLOAD_JOB = "kueue.x-k8s.io/job-uid"

# Environment of the containers. Mount paths travel here too, so that one machine can put them anywhere.
ENV_HUB_URL = "AAR_HUB_URL"
ENV_TOKEN = "AAR_TOKEN"  # noqa: S105  a variable's name, not a secret
ENV_WORK_DIR = "AAR_WORK_DIR"
ENV_INPUT_DIR = "AAR_INPUT_DIR"
ENV_OUTPUT_DIR = "AAR_OUTPUT_DIR"
ENV_MODEL_DIR = "AAR_MODEL_DIR"
ENV_THREADS = "AAR_THREADS"
ENV_DEADLINE_SECONDS = "AAR_DEADLINE_SECONDS"
ENV_INDEX = "JOB_COMPLETION_INDEX"  # set by Kubernetes on pods of indexed Jobs
ENV_RESEARCHER = "AAR_RESEARCHER"
ENV_HUB_DATA_DIR = "AAR_HUB_DATA_DIR"
ENV_HUB_CACHE_DIR = "AAR_HUB_CACHE_DIR"
ENV_HUB_HOST = "AAR_HUB_HOST"
ENV_HUB_SANDBOX_PORT = "AAR_HUB_SANDBOX_PORT"
ENV_HUB_OPERATOR_PORT = "AAR_HUB_OPERATOR_PORT"
ENV_HUB_OPERATOR_TOKEN = "AAR_HUB_OPERATOR_TOKEN"  # noqa: S105
ENV_HUB_CPU_USD_PER_HOUR = "AAR_HUB_CPU_USD_PER_HOUR"
ENV_HUB_GPU_USD_PER_HOUR = "AAR_HUB_GPU_USD_PER_HOUR"
ENV_HUB_DATABASE_URL = "AAR_HUB_DATABASE_URL"
ENV_HUB_PROVIDER_KEY = "AAR_HUB_PROVIDER_KEY"
ENV_HUB_PROVIDER_KEY_FILE = "AAR_HUB_PROVIDER_KEY_FILE"
ENV_HUB_PROVIDER_URL = "AAR_HUB_PROVIDER_URL"
ENV_HUB_PROVIDER_PROXY = "AAR_HUB_PROVIDER_PROXY"
ENV_HUB_PROVIDER_CA_FILE = "AAR_HUB_PROVIDER_CA_FILE"
ENV_HUB_LLM_CONCURRENCY = "AAR_HUB_LLM_CONCURRENCY"
ENV_HUB_VERSION = "AAR_HUB_VERSION"
ENV_HUB_LAB_VERSION = "AAR_HUB_LAB_VERSION"

EXIT_NOT_ISOLATED = 43
"""Exit code of the isolation probe when it reached what it must not reach; trying again would not change that."""

EXIT_METHOD_FAILED = 42
"""Exit code of a lab container whose method is at fault: trying again would pay twice for the same failure."""
