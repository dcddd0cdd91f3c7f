{{- /* The pod of a gateway, for a Deployment and a StatefulSet alike, and the parts of it that hooks share. */ -}}

{{- define "patchbay.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "patchbay.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* What all pods of the chart have in common. Called with (list . SERVICE-ACCOUNT). */ -}}
{{- define "patchbay.podCommon" -}}
{{- $top := index . 0 -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $top.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "patchbay.podSecurity" $top | nindent 2 }}
{{- with $top.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $top.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $top.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* Called with (list . NAME-OF-CONFIGMAP NAME-OF-SECRET). */ -}}
{{- define "patchbay.fileVolumes" -}}
{{- $top := index . 0 -}}
- name: config
  configMap:
    name: {{ index . 1 }}
{{- if not $top.Values.embedded }}
{{ include "patchbay.secretVolume" (list $top (index . 2)) }}
{{- end }}
{{- range $top.Values.extraSecrets }}
- name: extra-{{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 288
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ $top.Values.scratch.tmpSizeLimit }}
{{- end -}}

{{- define "patchbay.mounts" -}}
- name: config
  mountPath: /etc/patchbay/config
  readOnly: true
{{- if not .Values.embedded }}
- name: secrets
  mountPath: /etc/patchbay/secrets
  readOnly: true
{{- end }}
{{- range .Values.extraSecrets }}
- name: extra-{{ .name }}
  mountPath: /etc/patchbay/extra/{{ .name }}
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
- name: data
  mountPath: /var/lib/patchbay
{{- end -}}

{{- define "patchbay.dataSizeLimit" -}}
{{- $audit := .Values.config.audit | default dict -}}
{{- default (printf "%dMi" (add (int (get $audit "spool_mib" | default 64)) 448)) .Values.scratch.dataSizeLimit -}}
{{- end -}}

{{- define "patchbay.pod" -}}
metadata:
  labels:
    {{- include "patchbay.labels" (list . "gateway") | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: patchbay
    # The configuration is read at the start: pods are replaced when it changes.
    checksum/config: {{ include "patchbay.config" . | sha256sum }}
    {{- if not .Values.embedded }}
    checksum/secrets: {{ include "patchbay.secretMark" . }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "patchbay.podCommon" (list . (include "patchbay.serviceAccount" .)) | nindent 2 }}
  # At SIGTERM /readyz says 503 first, limits.drain_delay_s of the configuration goes by with everything served as usual, while
  # endpoints are withdrawn, and only then calls are drained. So no hook is needed that sleeps, and no shell.
  terminationGracePeriodSeconds: {{ if kindIs "invalid" .Values.terminationGracePeriodSeconds }}{{ include "patchbay.secondsToStop" . }}{{ else }}{{ int .Values.terminationGracePeriodSeconds }}{{ end }}
  {{- if .Values.affinity }}
  affinity:
    {{- toYaml .Values.affinity | nindent 4 }}
  {{- else if and (ne .Values.antiAffinity "off") (not .Values.embedded) }}
  affinity:
    podAntiAffinity:
      {{- if eq .Values.antiAffinity "required" }}
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "patchbay.selector" (list . "gateway") | nindent 14 }}
      {{- else }}
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "patchbay.selector" (list . "gateway") | nindent 16 }}
      {{- end }}
  {{- end }}
  {{- if not (kindIs "invalid" .Values.topologySpreadConstraints) }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- else if not .Values.embedded }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "patchbay.selector" (list $ "gateway") | nindent 10 }}
      # Pods of the version that goes do not count for the one that comes.
      matchLabelKeys: [{{ if include "patchbay.isStateful" $ }}controller-revision-hash{{ else }}pod-template-hash{{ end }}]
    {{- end }}
  {{- end }}
  containers:
    - name: patchbay
      image: {{ include "patchbay.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [/usr/local/bin/patchbay]
      args: [serve, --config, /etc/patchbay/config/patchbay.yaml]
      {{- with include "patchbay.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      ports:
        - name: mcp
          containerPort: {{ int .Values.ports.mcp }}
        - name: operations
          containerPort: {{ int .Values.ports.operations }}
        {{- if eq .Values.admin.listen "cluster" }}
        - name: admin
          containerPort: {{ int .Values.ports.admin }}
        {{- end }}
      # A minute to come up. The listener is there when the configuration, the store and the spool are.
      startupProbe:
        httpGet: { path: /livez, port: operations }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 30
      # Whether the process still does anything; Postgres and Redis have no part in it, since a restart mends neither.
      livenessProbe:
        httpGet: { path: /livez, port: operations }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      # Whether its tenants are loaded and it is not about to go.
      readinessProbe:
        httpGet: { path: /readyz, port: operations }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      securityContext:
        {{- include "patchbay.containerSecurity" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "patchbay.mounts" . | nindent 8 }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "patchbay.fileVolumes" (list . (include "patchbay.fullname" .) (include "patchbay.secretName" .)) | nindent 4 }}
    {{- if .Values.embedded }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ default (include "patchbay.fullname" .) .Values.persistence.existingClaim }}
    {{- else if not .Values.persistence.enabled }}
    - name: data
      emptyDir:
        sizeLimit: {{ include "patchbay.dataSizeLimit" . }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* The variable that `replica_url` names: where other replicas reach this one. */ -}}
{{- define "patchbay.podIp" -}}
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
{{- end -}}

{{- /* The variables of the gateway; empty if there are none. */ -}}
{{- define "patchbay.env" -}}
{{- if not .Values.embedded }}{{ include "patchbay.podIp" . }}{{ end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
