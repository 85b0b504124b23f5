{{- /* A policy's binding: (list $ "campaign-ceilings"). */ -}}
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
{{- end }}

{{- /* CEL: a map of every ceiling. A key is a ceiling, or <namespace>.<ceiling> where a namespace has its own. */ -}}
{{- define "aar.ceilings" -}}
{{- $entries := list }}
{{- range $name, $value := .Values.admission.ceilings }}
{{- $entries = append $entries (printf "'%s': '%s'" $name (toString $value)) }}
{{- end }}
{{- range $namespace, $ceilings := .Values.admission.namespaceCeilings }}
{{- range $name, $value := $ceilings }}
{{- $entries = append $entries (printf "'%s.%s': '%s'" $namespace $name (toString $value)) }}
{{- end }}
{{- end }}
{{- printf "{%s}" (join ", " $entries) }}
{{- end }}

{{- /* CEL: a ceiling of the object's namespace, or else everybody's. */ -}}
{{- define "aar.ceiling" -}}
(object.metadata.namespace + '.{{ . }}') in variables.ceilings ? variables.ceilings[object.metadata.namespace + '.{{ . }}'] : variables.ceilings['{{ . }}']
{{- end }}

{{- /* The way out of a ceiling. */ -}}
{{- define "aar.wayOut" -}}
ask for less, or have admission.ceilings.{{ . }} of the aar chart raised.
{{- end }}
