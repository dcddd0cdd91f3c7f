{{- /*
patchbay.yaml: the values' `config`, with what the chart has to say laid under or over it. Fields are set one by one, since
Helm's merges take `false` and 0 for absent.
*/ -}}
{{- define "patchbay.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $ports := .Values.ports -}}
{{- $address := .Values.listenAddress -}}
{{- $admin := printf "127.0.0.1:%d" (int $ports.admin) -}}
{{- if eq .Values.admin.listen "off" }}{{ $admin = "off" }}{{ end -}}
{{- if eq .Values.admin.listen "cluster" }}{{ $admin = printf "%s:%d" $address (int $ports.admin) }}{{ end -}}
{{- $_ := set $config "listen" (dict
      "mcp" (printf "%s:%d" $address (int $ports.mcp))
      "operations" (printf "%s:%d" $address (int $ports.operations))
      "admin" $admin) -}}
{{- $_ := set $config "data_dir" "/var/lib/patchbay" -}}
{{- if not .Values.embedded -}}
{{- $_ := set $config "store" (set (get $config "store" | default dict) "url" "${file:/etc/patchbay/secrets/database-url}") -}}
{{- /* Also for one replica: while it is updated there are two. */ -}}
{{- if not (hasKey $config "replica_url") -}}
{{- $_ := set $config "replica_url" (printf "http://${env:POD_IP}:%d" (int $ports.mcp)) -}}
{{- end -}}
{{- $_ := set $config "sealing_key" "file:/etc/patchbay/secrets/sealing-key" -}}
{{- $old := list -}}
{{- range $number, $_ := .Values.secrets.keys.sealingKeysOld -}}
{{- $old = append $old (printf "file:/etc/patchbay/secrets/sealing-key-old-%d" $number) -}}
{{- end -}}
{{- if $old }}{{ $_ := set $config "sealing_keys_old" $old }}{{ end -}}
{{- if .Values.redis.enabled -}}
{{- $_ := set $config "redis" (set (get $config "redis" | default dict) "url" "${file:/etc/patchbay/secrets/redis-url}") -}}
{{- end -}}
{{- if include "patchbay.hasBootstrapKey" . -}}
{{- $_ := set $config "admin" (set (get $config "admin" | default dict) "bootstrap_key" "file:/etc/patchbay/secrets/admin-bootstrap-key") -}}
{{- end -}}
{{- end -}}
{{- $about := get $config "admin" | default dict -}}
{{- if and (eq .Values.admin.listen "cluster") (not (hasKey $about "allowed_hosts")) -}}
{{- $service := printf "%s-admin" (include "patchbay.fullname" .) -}}
{{- $space := .Release.Namespace -}}
{{- $_ := set $about "allowed_hosts" (list $service (printf "%s.%s" $service $space) (printf "%s.%s.svc" $service $space) (printf "%s.%s.svc.cluster.local" $service $space)) -}}
{{- $_ := set $config "admin" $about -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not (hasKey $config "public_url")) -}}
{{- $scheme := ternary "https" "http" .Values.ingress.tls.enabled -}}
{{- $_ := set $config "public_url" (printf "%s://%s%s" $scheme .Values.ingress.host .Values.ingress.pathPrefix) -}}
{{- end -}}
{{- if not (hasKey $config "allowed_hosts") -}}
{{- $name := include "patchbay.fullname" . -}}
{{- $hosts := list "localhost" "127.0.0.1" "[::1]" $name -}}
{{- range list .Release.Namespace (printf "%s.svc" .Release.Namespace) (printf "%s.svc.cluster.local" .Release.Namespace) -}}
{{- $hosts = append $hosts (printf "%s.%s" $name .) -}}
{{- end -}}
{{- range .Values.httpRoute.hostnames -}}
{{- if not (hasPrefix "*" .) }}{{ $hosts = append $hosts . }}{{ end -}}
{{- end -}}
{{- $_ := set $config "allowed_hosts" $hosts -}}
{{- end -}}
{{- $log := get $config "log" | default dict -}}
{{- if not (hasKey $log "format") }}{{ $_ := set $log "format" "json" }}{{ end -}}
{{- $_ := set $config "log" $log -}}
{{- $limits := get $config "limits" | default dict -}}
{{- if not (hasKey $limits "workers") }}{{ $_ := set $limits "workers" 2 }}{{ end -}}
{{- if not (hasKey $limits "drain_delay_s") }}{{ $_ := set $limits "drain_delay_s" 5 }}{{ end -}}
{{- if not (hasKey $limits "drain_s") }}{{ $_ := set $limits "drain_s" 25 }}{{ end -}}
{{- $_ := set $config "limits" $limits -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* Seconds from SIGTERM to the end of a gateway that takes all the time that it has: the delay before the drain, the drain, and
for what comes after it (servers, audit, traces, store) 20. */ -}}
{{- define "patchbay.secondsToStop" -}}
{{- $limits := (include "patchbay.config" . | fromYaml).limits -}}
{{- add (int $limits.drain_delay_s) (int $limits.drain_s) 20 -}}
{{- end -}}

{{- define "patchbay.hasBootstrapKey" -}}
{{- if .Values.secrets.existingSecret -}}
{{- if .Values.secrets.keys.adminBootstrapKey }}true{{ end -}}
{{- else -}}
{{- if hasKey (include "patchbay.ownSecret" . | fromYaml) "admin-bootstrap-key" }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Seconds that a connection through a proxy may be quiet: longer than the longest call. */ -}}
{{- define "patchbay.proxySeconds" -}}
{{- $limits := .Values.config.limits | default dict -}}
{{- add (int (get $limits "call_timeout_max_s" | default 600)) 100 -}}
{{- end -}}
