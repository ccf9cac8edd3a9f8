# One image for every role. docker-compose.yml says which role a container has; `cdp serve` alone is all of them.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/xunji
COPY deploy/requirements.lock ./
RUN /opt/xunji/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY cdp cdp
COPY collectors collectors
COPY identity identity
COPY leads leads
COPY profiles profiles
COPY segments segments
RUN /opt/xunji/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11.13-slim-bookworm
# A volume that is mounted here for the first time gets this owner.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin xunji \
 && install --directory --owner xunji /data /data/imports
COPY --from=build /opt/xunji /opt/xunji
ENV PATH=/opt/xunji/bin:$PATH PYTHONDONTWRITEBYTECODE=1 XUNJI_DATA_DIR=/data XUNJI_HOST=0.0.0.0
USER 10001
WORKDIR /data
CMD ["cdp", "serve"]
