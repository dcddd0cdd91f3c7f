{{- /* Rules that more than one network policy has. */ -}}

{{- define "patchbay.network.dns" -}}
{{- with .Values.networkPolicy.dns.to }}
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    - { protocol: UDP, port: {{ int $.Values.networkPolicy.dns.port }} }
    - { protocol: TCP, port: {{ int $.Values.networkPolicy.dns.port }} }
{{- end }}
{{- end -}}

{{- /* Called with (list PEERS PORT). */ -}}
{{- define "patchbay.network.to" -}}
{{- with index . 0 }}
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ int (index $ 1) }} }
{{- end }}
{{- end -}}

{{- /* Called with (list PEERS PORT). An empty list of peers would mean everybody, so there is no rule then. */ -}}
{{- define "patchbay.network.from" -}}
{{- with index . 0 }}
- from:
    {{- toYaml . | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ int (index $ 1) }} }
{{- end }}
{{- end -}}

{{- /* The internet without what is no part of it. */ -}}
{{- define "patchbay.network.web" -}}
{{- $web := .Values.networkPolicy.web }}
{{- if and $web.enabled $web.ports }}
{{- $four := list }}
{{- $six := list }}
{{- range $web.except }}
{{- if contains ":" . }}{{ $six = append $six . }}{{ else }}{{ $four = append $four . }}{{ end }}
{{- end }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        {{- with $four }}
        except:
          {{- range . }}
          - {{ . | quote }}
          {{- end }}
        {{- end }}
    - ipBlock:
        cidr: "::/0"
        {{- with $six }}
        except:
          {{- range . }}
          - {{ . | quote }}
          {{- end }}
        {{- end }}
  ports:
    {{- range $web.ports }}
    - { protocol: TCP, port: {{ int . }} }
    {{- end }}
{{- end }}
{{- end -}}
