# One image, whose command is the role:
#   docker run IMAGE gateway | worker | project create NAME | events --project NAME | ...
#
# BASE: any Debian with Python >= 3.11 and its module venv. Both stages begin with the same one,
# because the virtual environment points to its interpreter.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /build
# pip and setuptools stay in `tools`; the environment that is shipped holds neither.
RUN python3 -m venv tools \
    && python3 -m venv --without-pip /opt/contox-ingest
# Of ours, core/*_native.pyx is compiled, for the interpreter and the OpenSSL of this base.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libssl-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/ requirements/
# Of others, wheels only, each by its hash: pip fetches nothing that no lock names.
RUN tools/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
        --requirement requirements/build.lock \
    && tools/bin/pip --python /opt/contox-ingest/bin/python \
        install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
        --requirement requirements/run.lock
COPY . .
RUN tools/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation \
        --wheel-dir wheels . \
    && tools/bin/pip --python /opt/contox-ingest/bin/python \
        install --no-cache-dir --no-index --no-deps wheels/*.whl \
    && /opt/contox-ingest/bin/python -I -c 'from core.usual import NATIVE; assert NATIVE'

FROM ${BASE}
# The user has a number, by which orchestrators tell that it is not root, and owns /data alone.
# No VOLUME: with PostgreSQL nothing is kept here, and an anonymous one hides a forgotten mount.
RUN groupadd --gid 10001 contox \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /data \
        --shell /usr/sbin/nologin contox \
    && install --directory --owner=contox --group=contox --mode=0700 /data
COPY --from=build /opt/contox-ingest /opt/contox-ingest
ENV PATH=/opt/contox-ingest/bin:$PATH \
    CONTOX_HOST=0.0.0.0 \
    CONTOX_DATABASE_URL=sqlite:////data/contox-ingest.db
# The gateway's port, and that of the worker's status pages.
EXPOSE 8080 8081
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["contox-ingest", "ready"]
ENTRYPOINT ["contox-ingest"]
