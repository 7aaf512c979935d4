{{/* The name that every object begins with: the release's, with the chart's unless it is in it. */}}
{{- define "hookline.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Takes root and name (the component). */}}
{{- define "hookline.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "hookline.labels" -}}
{{ include "hookline.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "hookline.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "hookline.sasl" -}}
{{- if hasPrefix "SASL_" .Values.kafka.securityProtocol }}yes{{ end }}
{{- end }}

{{/* Environment of a component. Takes root, name and secrets (variable → key of existingSecret). */}}
{{- define "hookline.env" -}}
{{- $kafka := .root.Values.kafka }}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ $kafka.bootstrapServers | quote }}}
- {name: KAFKA_SECURITY_PROTOCOL, value: {{ $kafka.securityProtocol | quote }}}
{{- if include "hookline.sasl" .root }}
{{- $user := get $kafka.users .name }}
- {name: KAFKA_SASL_MECHANISM, value: {{ required "kafka.saslMechanism is needed with SASL, such as SCRAM-SHA-512" $kafka.saslMechanism | quote }}}
- {name: KAFKA_SASL_USERNAME, value: {{ $user | quote }}}
- name: KAFKA_SASL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $user | quote }}, key: password}}
{{- end }}
{{- if $kafka.caSecret }}
- {name: KAFKA_SSL_CA_LOCATION, value: /etc/hookline/kafka/ca.crt}
{{- end }}
{{- range $variable, $key := .secrets }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ $.root.Values.existingSecret | quote }}, key: {{ $key }}}}
{{- end }}
{{- if and .root.Values.tracing.endpoint (has .name (list "ingest" "dispatcher")) }}
- {name: HOOKLINE_OTLP_ENDPOINT, value: {{ .root.Values.tracing.endpoint | quote }}}
{{- with .root.Values.tracing.headersKey }}
- name: HOOKLINE_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ $.root.Values.existingSecret | quote }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- range $variable, $text := .root.Values.settings }}
- {name: {{ $variable }}, value: {{ $text | quote }}}
{{- end }}
{{- end }}

{{/* What keeps a container from doing more than it must. */}}
{{- define "hookline.guard" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Parts of a pod that all share. Takes root. */}}
{{- define "hookline.pod" -}}
serviceAccountName: {{ include "hookline.fullname" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
volumes:
  - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
{{- with .root.Values.kafka.caSecret }}
  - {name: kafka-ca, secret: {secretName: {{ . | quote }}, items: [{key: ca.crt, path: ca.crt}]}}
{{- end }}
{{- end }}

{{- define "hookline.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.kafka.caSecret }}
- {name: kafka-ca, mountPath: /etc/hookline/kafka, readOnly: true}
{{- end }}
{{- end }}

{{/*
One process: its Deployment and its Service. Takes root, name, args, env (written out), ports (name → number), grace_s and secrets.
*/}}
{{- define "hookline.process" -}}
{{- $values := index .root.Values .name }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "hookline.fullname" .root }}-{{ .name }}
  labels: {{- include "hookline.labels" . | nindent 4 }}
spec:
  {{- if not (and (eq .name "dispatcher") .root.Values.keda.enabled) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "hookline.selector" . | nindent 6 }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata:
      labels: {{- include "hookline.labels" . | nindent 8 }}
      {{- with .root.Values.podAnnotations }}
      annotations: {{ toJson . }}
      {{- end }}
    spec:
      {{- include "hookline.pod" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ .grace_s }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "hookline.selector" . | nindent 14 }}
      containers:
        - name: {{ .name }}
          image: {{ include "hookline.image" .root | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: {{ toJson .args }}
          env:
            {{- include "hookline.env" . | nindent 12 }}
            - {name: HOOKLINE_METRICS_HOST, value: 0.0.0.0}
            - {name: HOOKLINE_METRICS_PORT, value: "9464"}
            {{- range $variable, $text := .env }}
            - {name: {{ $variable }}, value: {{ $text | quote }}}
            {{- end }}
          ports:
            - {name: metrics, containerPort: 9464}
            {{- range $port, $number := .ports }}
            - {name: {{ $port }}, containerPort: {{ $number }}}
            {{- end }}
          startupProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 2, failureThreshold: 60}
          livenessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3}
          readinessProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2}
          resources: {{ toJson $values.resources }}
          securityContext: {{- include "hookline.guard" . | nindent 12 }}
          volumeMounts: {{- include "hookline.mounts" . | nindent 12 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "hookline.fullname" .root }}-{{ .name }}
  labels: {{- include "hookline.labels" . | nindent 4 }}
spec:
  {{- if not .ports }}
  clusterIP: None
  {{- end }}
  selector: {{- include "hookline.selector" . | nindent 4 }}
  ports:
    - {name: metrics, port: 9464, targetPort: metrics}
    {{- range $port, $number := .ports }}
    - {name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}}
    {{- end }}
{{- if .root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "hookline.fullname" .root }}-{{ .name }}
  labels: {{- include "hookline.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "hookline.selector" . | nindent 6 }}
{{- end }}
{{- end }}
