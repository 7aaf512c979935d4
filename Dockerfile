# Hookline's processes in one image: `docker build -t hookline .`, then one command per container (dispatch, sink, console, ingest, …).
# Everything installed is what requirements.lock names, hashes checked; the wheel is made from this source.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock ./
RUN echo hatchling > build.txt \
 && pip install --require-hashes --constraint requirements.lock --requirement build.txt \
 && python -m venv /opt/hookline
COPY . .
# With one hash given pip checks all: what the wheel needs is pinned, with its hashes, by the lock.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && wheel="$(ls /wheels/*.whl)" \
 && echo "hookline[otel] @ file://$wheel --hash=sha256:$(sha256sum "$wheel" | cut -d ' ' -f 1)" > wheel.txt \
 && /opt/hookline/bin/pip install --require-hashes --constraint requirements.lock --requirement wheel.txt \
 && /opt/hookline/bin/pip check \
 && /opt/hookline/bin/pip uninstall --yes pip setuptools

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="Hookline" \
      org.opencontainers.image.description="Webhook delivery for online stores: Kafka in, signed HTTP calls out, every attempt in ClickHouse"
RUN groupadd --system --gid 10001 hookline \
 && useradd --system --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home hookline \
 && install --directory --owner=10001 --group=10001 /var/lib/hookline
COPY --from=build /opt/hookline /opt/hookline
# Nothing is written but to /tmp and to HOOKLINE_STATE_DIR, so the root filesystem may be read-only. Health and metrics are on a port of their own, for all addresses.
ENV PATH=/opt/hookline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOOKLINE_STATE_DIR=/tmp/hookline \
    HOOKLINE_METRICS_HOST=0.0.0.0 \
    HOOKLINE_METRICS_PORT=9464
USER 10001:10001
WORKDIR /tmp
EXPOSE 9464 8420 8090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['HOOKLINE_METRICS_PORT']}/healthz\", timeout=4)"]
ENTRYPOINT ["hookline"]
CMD ["--help"]
