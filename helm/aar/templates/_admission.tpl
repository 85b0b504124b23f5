{{- /* A policy's binding: (list $ "campaign-ceilings" withParameters). */ -}}
{{- define "aar.binding" -}}
{{- $root := index . 0 -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "aar.fullname" $root }}-{{ index . 1 }}
  labels: {{- include "aar.labels" $root | nindent 4 }}
spec:
  policyName: {{ include "aar.fullname" $root }}-{{ index . 1 }}
  validationActions: [Deny]
  {{- if index . 2 }}
  paramRef:
    name: {{ include "aar.fullname" $root }}-ceilings
    namespace: {{ $root.Release.Namespace }}
    parameterNotFoundAction: Deny
  {{- end }}
{{- end }}

{{- /* CEL: a ceiling of the object's namespace, or else everybody's. */ -}}
{{- define "aar.ceiling" -}}
(object.metadata.namespace + '.{{ . }}') in params.data ? params.data[object.metadata.namespace + '.{{ . }}'] : params.data['{{ . }}']
{{- end }}

{{- /* The way out of a ceiling. */ -}}
{{- define "aar.wayOut" -}}
ask for less, or have admission.ceilings.{{ . }} of the aar chart raised.
{{- end }}
