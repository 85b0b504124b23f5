"""A double of the Kubernetes API server for machines that have none: what the operator asks of one, over real HTTP, in memory.

`tests/kube/test_kube_conformance.py` holds it to the real one. What it does: discovery; list (limit, continue, label selectors), get,
create (generateName), replace, JSON merge patch, server-side apply, status subresources, delete with preconditions, finalizers;
resourceVersion, generation, 409; watches with bookmarks, initial events, label selectors and 410; CRDs with defaults, pruning and JSON
schemas; namespaces that end; and of the controller manager: indexed and plain Jobs with pods, back-off, pod failure policy, deadline,
suspension and TTL, the garbage collector, quotas of object counts.

What it does not do, so that a test that needs it has to run on a real one:
- CEL rules of CRDs, admission policies and webhooks, Pod Security, LimitRange, RBAC (whoever has the token is an administrator), TLS;
- tables, OpenAPI, field selectors, strategic and JSON patches, protobuf, dry runs, exec and logs, conversion between versions;
- lists inside an object are replaced as a whole by server-side apply, whatever their keys are;
- quantities stay as they were written, and quotas count objects, not CPUs or GPUs;
- a Job's pods are made again at once: there is no back-off in time;
- no scheduler and no kubelet (as on a control plane without nodes), and no controller of Deployments;
- its memory outlives `kill_api`, as etcd does a kill of the API server; there is no etcd to kill.
"""
