{{- define "gigastt.name" -}}
{{- if contains "gigastt" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ .Release.Name | trunc 42 | trimSuffix "-" }}-gigastt{{ end }}
{{- end }}

{{- define "gigastt.selector" -}}
app.kubernetes.io/name: gigastt
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gigastt.labels" -}}
{{ include "gigastt.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "gigastt.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "gigastt.claim" -}}
{{ .Values.model.claim.existing | default (printf "%s-models" (include "gigastt.name" .)) }}
{{- end }}

{{- define "gigastt.usageClaim" -}}
{{ .Values.usage.claim.existing | default (printf "%s-usage" (include "gigastt.name" .)) }}
{{- end }}

{{- define "gigastt.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* A pod that goes waits for its sessions, up to an hour: none is sent away for a short lull. */ -}}
{{- define "gigastt.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
scaleDown:
  stabilizationWindowSeconds: 900
  policies:
    - type: Pods
      value: 1
      periodSeconds: 300
{{- end }}
