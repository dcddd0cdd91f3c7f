{{- /* Secrets: the operator's own, or one of the chart that finds again what it once made. */ -}}

{{- define "patchbay.secretName" -}}
{{- default (include "patchbay.fullname" .) .Values.secrets.existingSecret -}}
{{- end -}}

{{- /* What the chart's own Secret holds, by its keys, in base64. What a value does not say is taken from the Secret that is there; keys
that are in neither are made, once for all templates of this rendering. */ -}}
{{- define "patchbay.ownSecret" -}}
{{- if not (hasKey .Values "_ownSecret") -}}
{{- $there := (lookup "v1" "Secret" .Release.Namespace (include "patchbay.fullname" .)).data | default dict -}}
{{- $data := dict -}}
{{- $given := dict "database-url" .Values.secrets.databaseUrl "redis-url" .Values.secrets.redisUrl
      "sealing-key" .Values.secrets.sealingKey "admin-bootstrap-key" .Values.secrets.adminBootstrapKey -}}
{{- range $key, $value := $given -}}
{{- if $value -}}{{- $_ := set $data $key (b64enc $value) -}}
{{- else if hasKey $there $key -}}{{- $_ := set $data $key (get $there $key) -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $data "sealing-key") -}}{{- $_ := set $data "sealing-key" (randAlphaNum 64 | b64enc) -}}{{- end -}}
{{- if not (or (hasKey $data "admin-bootstrap-key") (eq .Values.admin.listen "off")) -}}
{{- $_ := set $data "admin-bootstrap-key" (printf "pba_%s" (randAlphaNum 48) | b64enc) -}}
{{- end -}}
{{- $_ := set .Values "_ownSecret" $data -}}
{{- end -}}
{{- toYaml .Values._ownSecret -}}
{{- end -}}

{{- /* The volume with the files of the secrets. Called with (list . NAME-OF-THE-SECRET). */ -}}
{{- define "patchbay.secretVolume" -}}
{{- $top := index . 0 -}}
{{- $keys := $top.Values.secrets.keys -}}
{{- $own := not $top.Values.secrets.existingSecret -}}
- name: secrets
  secret:
    secretName: {{ index . 1 }}
    # 0440: the gateway reads them as the group of the pod.
    defaultMode: 288
    items:
      - key: {{ ternary "database-url" $keys.databaseUrl $own }}
        path: database-url
      - key: {{ ternary "sealing-key" $keys.sealingKey $own }}
        path: sealing-key
      {{- range $number, $key := $keys.sealingKeysOld }}
      - key: {{ $key }}
        path: sealing-key-old-{{ $number }}
      {{- end }}
      {{- if $top.Values.redis.enabled }}
      - key: {{ ternary "redis-url" $keys.redisUrl $own }}
        path: redis-url
      {{- end }}
      {{- if include "patchbay.hasBootstrapKey" $top }}
      - key: {{ ternary "admin-bootstrap-key" $keys.adminBootstrapKey $own }}
        path: admin-bootstrap-key
      {{- end }}
{{- end -}}

{{- /* What changes when the secrets do, so that pods are replaced. Of a Secret of the operator only its version is told. */ -}}
{{- define "patchbay.secretMark" -}}
{{- if .Values.secrets.existingSecret -}}
{{- $there := lookup "v1" "Secret" .Release.Namespace .Values.secrets.existingSecret -}}
{{- if $there }}{{ printf "version %s" $there.metadata.resourceVersion | sha256sum }}{{ else }}existing{{ end -}}
{{- else -}}
{{- include "patchbay.ownSecret" . | sha256sum -}}
{{- end -}}
{{- end -}}
