{{- /* Names, labels and what follows from values alone. */ -}}

{{- define "patchbay.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "patchbay.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What pods are selected by; it must never change. Called with (list . COMPONENT). */ -}}
{{- define "patchbay.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ include "patchbay.name" $top }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "patchbay.labels" -}}
{{- $top := index . 0 -}}
{{ include "patchbay.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" }}
{{- with $top.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "patchbay.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "patchbay.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "patchbay.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The service account of hooks that run before the chart's own is there. */ -}}
{{- define "patchbay.hookServiceAccount" -}}
{{- if .Values.serviceAccount.create }}default{{ else }}{{ include "patchbay.serviceAccount" . }}{{ end -}}
{{- end -}}

{{- /* The fewest replicas that there are on purpose. */ -}}
{{- define "patchbay.replicasMin" -}}
{{- if .Values.embedded -}}1
{{- else if .Values.autoscaling.enabled -}}{{ int .Values.autoscaling.minReplicas }}
{{- else -}}{{ int .Values.replicas }}
{{- end -}}
{{- end -}}

{{- define "patchbay.isStateful" -}}
{{- if and .Values.persistence.enabled (not .Values.embedded) }}true{{ end -}}
{{- end -}}
