{{- define "aar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "aar.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "aar.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "aar.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "aar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "aar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- /* Labels of a component: (list $ "uninstall"). managed-by is Helm here: `aar-operator` marks what the operator makes, and only that. */ -}}
{{- define "aar.labelsOf" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "aar.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: aar
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "aar.labels" -}}
{{ include "aar.labelsOf" (list . "operator") }}
{{- end }}

{{- /* An image of `images`: (list $ "operator"). A digest wins over a tag. */ -}}
{{- define "aar.image" -}}
{{- $root := index . 0 }}
{{- $image := index $root.Values.images (index . 1) }}
{{- $name := $image.repository }}
{{- if $root.Values.images.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $root.Values.images.registry) $name }}{{ end }}
{{- if $image.digest }}{{ printf "%s@%s" $name $image.digest }}
{{- else }}{{ printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag) }}{{ end }}
{{- end }}

{{- define "aar.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "aar.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ required "serviceAccount.create is false, but then serviceAccount.name has to name an account that exists: set it." .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* CEL list of the users that are the operator. */ -}}
{{- define "aar.operatorUsers" -}}
{{- $own := printf "system:serviceaccount:%s:%s" .Release.Namespace (include "aar.serviceAccount" .) }}
{{- printf "['%s']" (join "', '" (prepend .Values.admission.operatorUsers $own | uniq)) }}
{{- end }}

{{- define "aar.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "aar.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* An environment variable, left out where its value says nothing: (list "NAME" value). Lists and maps become JSON. */ -}}
{{- define "aar.variable" -}}
{{- $value := index . 1 }}
{{- if $value }}
{{- if or (kindIs "map" $value) (kindIs "slice" $value) }}
{{- $value = toJson $value }}
{{- end }}
- name: {{ index . 0 }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{- /* What the operator is told: docs/operator-settings.md explains each. */ -}}
{{- define "aar.environment" -}}
{{- $v := .Values -}}
{{- $pulls := dict }}
{{- range $v.images.pullSecrets }}
{{- $_ := set $pulls . (printf "/etc/aar/pull/%s/.dockerconfigjson" .) }}
{{- end }}
- name: AAR_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: AAR_OPERATOR_IDENTITY
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
{{- range list
  (list "AAR_IMAGE_HUB" (include "aar.image" (list . "operator")))
  (list "AAR_IMAGE_AGENT" (include "aar.image" (list . "agent")))
  (list "AAR_IMAGE_LAB" (include "aar.image" (list . "lab")))
  (list "AAR_IMAGE_PULL_POLICY" $v.images.pullPolicy)
  (list "AAR_PULL_SECRETS" $pulls)
  (list "AAR_CPU_USD_PER_HOUR" $v.prices.cpu)
  (list "AAR_GPU_USD_PER_HOUR" $v.prices.gpu)
  (list "AAR_MODEL_DIR" $v.models.dir)
  (list "AAR_MODEL_VOLUME" $v.models.volume)
  (list "AAR_PROVIDER_URL" $v.provider.url)
  (list "AAR_PROVIDER_KEY_FILE" (ternary (printf "/etc/aar/provider/%s" $v.provider.key) "" (ne $v.provider.existingSecret "")))
  (list "AAR_PROVIDER_PROXY" $v.provider.proxy)
  (list "AAR_PROVIDER_CA_FILE" (ternary (printf "/etc/aar/ca/%s" $v.provider.caKey) "" (ne $v.provider.caConfigMap "")))
  (list "AAR_WORKERS" $v.operator.workers)
  (list "AAR_RELIST_SECONDS" $v.operator.relistSeconds)
  (list "AAR_METRICS_PORT" $v.operator.port)
  (list "AAR_LOG_FORMAT" $v.operator.logFormat)
  (list "AAR_LOG_LEVEL" $v.operator.logLevel)
  (list "AAR_MONITORING_NAMESPACE" $v.metrics.monitoringNamespace)
  (list "AAR_NODE_SELECTOR" $v.sandbox.nodeSelector)
  (list "AAR_TOLERATIONS" $v.sandbox.tolerations)
  (list "AAR_GPU_NODE_SELECTOR" $v.sandbox.gpuNodeSelector)
  (list "AAR_GPU_TOLERATIONS" $v.sandbox.gpuTolerations)
  (list "AAR_RUNTIME_CLASS" $v.sandbox.runtimeClassName)
  (list "AAR_GPU_RUNTIME_CLASS" $v.sandbox.gpuRuntimeClassName)
  (list "AAR_PRIORITY_CLASS" $v.sandbox.priorityClassName)
  (list "AAR_CLUSTER_QUEUE" $v.kueue.clusterQueue)
  (list "AAR_STORAGE_CLASS" $v.sandbox.storageClassName)
  (list "AAR_HUB_STORAGE" $v.hub.storage)
  (list "AAR_RESEARCHER_STORAGE" $v.sandbox.researcherStorage)
  (list "AAR_SCRATCH" $v.sandbox.scratch)
  (list "AAR_SANDBOX_QUOTA" $v.sandbox.quota)
  (list "AAR_SANDBOX_LIMITS" $v.sandbox.limits)
  (list "AAR_JOB_TTL_SECONDS" (toString (int64 $v.operator.jobTTLSeconds)))
  (list "AAR_ISOLATION" $v.isolation.mode)
  (list "AAR_PROBE_TARGETS" $v.isolation.probeTargets)
  (list "AAR_NAMESPACE_LIMITS" $v.namespaceLimits)
}}
{{- include "aar.variable" . }}
{{- end }}
{{- end }}
