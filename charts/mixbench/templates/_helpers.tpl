{{- define "mixbench.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mixbench.selector" -}}
app.kubernetes.io/name: mixbench
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mixbench.labels" -}}
{{ include "mixbench.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mixbench.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "mixbench.name" .) }}{{ else }}{{ required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- /* An image in one string: a list of the chart and the image's values. */ -}}
{{- define "mixbench.image" -}}
{{- $chart := index . 0 }}{{ $image := index . 1 -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default $chart.AppVersion }}{{ end }}
{{- end }}

{{- /* What the operator does with objects in the namespaces of benchmarks; docs/operations.md gives the reason of each. */ -}}
{{- define "mixbench.rules" -}}
- apiGroups: [mixbench.dev]
  resources: [mixupbenchmarks]
  verbs: [get, list, watch, delete]
- apiGroups: [mixbench.dev]
  resources: [mixupbenchmarks/status]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
