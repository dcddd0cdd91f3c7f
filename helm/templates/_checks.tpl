{{- /* What the schema cannot say. Each sentence names the value and what to do. */ -}}
{{- define "patchbay.checks" -}}
{{- $values := .Values -}}
{{- $config := .Values.config -}}
{{- $limits := $config.limits | default dict -}}
{{- include "patchbay.checks.config" . -}}

{{- if $values.embedded -}}
{{- if $values.autoscaling.enabled }}{{ fail "autoscaling.enabled: an embedded gateway is one replica; set it to false, or embedded to false" }}{{ end -}}
{{- if or $values.secrets.existingSecret $values.secrets.databaseUrl $values.secrets.redisUrl $values.secrets.sealingKey $values.secrets.adminBootstrapKey -}}
{{- fail "secrets: an embedded gateway has SQLite and makes its sealing key itself; leave them out, or set embedded to false" -}}
{{- end -}}
{{- else -}}
{{- include "patchbay.checks.secrets" . -}}
{{- if $values.persistence.existingClaim }}{{ fail "persistence.existingClaim: replicas cannot share a claim, each has its own spool; leave it out, or set embedded to true" }}{{ end -}}
{{- if and (eq (($config.audit | default dict).level | default "ack") "sync") (not $values.persistence.enabled) -}}
{{- fail "config.audit.level: `sync` promises that records survive the loss of the pod, which an emptyDir does not; set persistence.enabled to true" -}}
{{- end -}}
{{- if $values.networkPolicy.enabled -}}
{{- if not $values.networkPolicy.postgres.to }}{{ fail "networkPolicy.postgres.to: expected where Postgres is, as in [{ipBlock: {cidr: 10.1.2.3/32}}] or [{podSelector: {matchLabels: {app: postgres}}}]; or set networkPolicy.enabled to false" }}{{ end -}}
{{- if and $values.redis.enabled (not $values.networkPolicy.redis.to) }}{{ fail "networkPolicy.redis.to: expected where Redis is, in the form of networkPolicy.postgres.to; or set redis.enabled or networkPolicy.enabled to false" }}{{ end -}}
{{- end -}}
{{- if and $values.autoscaling.enabled (lt (int $values.autoscaling.maxReplicas) (int $values.autoscaling.minReplicas)) -}}
{{- fail "autoscaling.maxReplicas: expected at least autoscaling.minReplicas" -}}
{{- end -}}
{{- end -}}

{{- if and $values.networkPolicy.enabled (eq $values.admin.listen "cluster") (not $values.networkPolicy.admin.from) -}}
{{- fail "networkPolicy.admin.from: expected who may reach the admin API, since admin.listen is `cluster`; `loopback` is for kubectl port-forward" -}}
{{- end -}}
{{- $needed := include "patchbay.secondsToStop" . | int -}}
{{- if and (not (kindIs "invalid" $values.terminationGracePeriodSeconds)) (lt (int $values.terminationGracePeriodSeconds) $needed) -}}
{{- fail (printf "terminationGracePeriodSeconds: expected at least %d (limits.drain_delay_s, limits.drain_s and 20 of the config), so that running calls can finish; leave it out" $needed) -}}
{{- end -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- $replicas := include "patchbay.replicasMin" . | int -}}
{{- if and $budget.enabled (gt $replicas 1) -}}
{{- $both := and (not (kindIs "invalid" $budget.minAvailable)) (not (kindIs "invalid" $budget.maxUnavailable)) -}}
{{- $none := and (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable) -}}
{{- if or $both $none }}{{ fail "podDisruptionBudget: expected either maxUnavailable or minAvailable; set the other to null" }}{{ end -}}
{{- if and $budget.minAvailable (ge (int $budget.minAvailable) $replicas) }}{{ fail (printf "podDisruptionBudget.minAvailable: expected less than the %d replicas, since no node could be drained otherwise" $replicas) }}{{ end -}}
{{- if and $budget.maxUnavailable (ge (int $budget.maxUnavailable) $replicas) }}{{ fail (printf "podDisruptionBudget.maxUnavailable: expected less than the %d replicas, so that somebody serves" $replicas) }}{{ end -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.host) }}{{ fail "ingress.host: expected the name under which clients reach the gateway, as in tools.example.org" }}{{ end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) }}{{ fail "httpRoute.parentRefs: expected the Gateway that takes the route, as in [{name: public}]" }}{{ end -}}
{{- $ports := $values.ports -}}
{{- if ne (len (uniq (list (int $ports.mcp) (int $ports.operations) (int $ports.admin)))) 3 }}{{ fail "ports: expected three different ports for mcp, operations and admin" }}{{ end -}}
{{- end -}}

{{- define "patchbay.checks.secrets" -}}
{{- $secrets := .Values.secrets -}}
{{- if $secrets.existingSecret -}}
{{- range $name := list "databaseUrl" "redisUrl" "sealingKey" "adminBootstrapKey" -}}
{{- if get $secrets $name }}{{ fail (printf "secrets.%s: it is taken from secrets.existingSecret; leave one of them out" $name) }}{{ end -}}
{{- end -}}
{{- else -}}
{{- if $secrets.keys.sealingKeysOld }}{{ fail "secrets.keys.sealingKeysOld: old sealing keys are taken from secrets.existingSecret alone, which is missing" }}{{ end -}}
{{- $own := include "patchbay.ownSecret" . | fromYaml -}}
{{- if not (hasKey $own "database-url") }}{{ fail "secrets.existingSecret: expected the name of a Secret with the keys database-url, redis-url and sealing-key; or set secrets.databaseUrl; or, for a trial without Postgres, set embedded to true" }}{{ end -}}
{{- if and .Values.redis.enabled (not (hasKey $own "redis-url")) }}{{ fail "secrets.redisUrl: expected redis://… or rediss://…, or redis.enabled set to false: then each replica counts limits for itself" }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* What may not stand in `config`: what the chart sets, and secrets as such. */ -}}
{{- define "patchbay.checks.config" -}}
{{- $config := .Values.config -}}
{{- range $name, $instead := dict "listen" "ports, listenAddress and admin.listen" "data_dir" "persistence" "sealing_key" "secrets" "sealing_keys_old" "secrets.keys.sealingKeysOld" -}}
{{- if hasKey $config $name }}{{ fail (printf "config.%s: the chart sets it; use %s" $name $instead) }}{{ end -}}
{{- end -}}
{{- if hasKey ($config.store | default dict) "url" }}{{ fail "config.store.url: the chart sets it; use secrets.existingSecret, or embedded for SQLite" }}{{ end -}}
{{- if hasKey ($config.redis | default dict) "url" }}{{ fail "config.redis.url: the chart sets it; use secrets.existingSecret" }}{{ end -}}
{{- if hasKey ($config.admin | default dict) "bootstrap_key" }}{{ fail "config.admin.bootstrap_key: the chart sets it; use secrets.keys.adminBootstrapKey" }}{{ end -}}
{{- range $name, $value := ($config.traces | default dict).headers -}}
{{- include "patchbay.checks.reference" (list (printf "config.traces.headers.%s" $name) $value) -}}
{{- end -}}
{{- range $sink, $about := ($config.audit | default dict).sinks -}}
{{- with $about.secret }}{{ include "patchbay.checks.reference" (list (printf "config.audit.sinks.%s.secret" $sink) .) }}{{ end -}}
{{- range $name, $value := $about.headers -}}
{{- include "patchbay.checks.reference" (list (printf "config.audit.sinks.%s.headers.%s" $sink $name) $value) -}}
{{- end -}}
{{- end -}}
{{- include "patchbay.checks.issuers" (list "config.admin.issuers" (($config.admin | default dict).issuers | default dict)) -}}
{{- end -}}

{{- define "patchbay.checks.issuers" -}}
{{- $at := index . 0 -}}
{{- range $name, $issuer := index . 1 -}}
{{- with ($issuer.introspection | default dict).client_secret -}}
{{- include "patchbay.checks.reference" (list (printf "%s.%s.introspection.client_secret" $at $name) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "patchbay.checks.reference" -}}
{{- if not (regexMatch "\\$\\{(file|env):[^}]+\\}" (toString (index . 1))) }}{{ fail (printf "%s: expected a reference such as ${file:/etc/patchbay/extra/NAME/KEY} (see extraSecrets), since the configuration is a ConfigMap, which is no place for secrets" (index . 0)) }}{{ end -}}
{{- end -}}
