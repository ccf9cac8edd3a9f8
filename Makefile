PY := .venv/bin/python
SDKS := .cache/sdks
NODE_SDKS := tests/sdks/node
TRACKER := sdk-js-snippet
.PHONY: setup run test test-real soak sdks sdk check bench bench-real lock

setup: .venv/.ready

# The stamp is older than its causes only when something to install has changed.
.venv/.ready: requirements.lock pyproject.toml
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --require-hashes --requirement requirements.lock
	$(PY) -m pip install -qq --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	.venv/bin/cdp serve --demo

# By two at once, but for those that put the running product under load.
test: setup
	$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder \
	  --ignore=tests/real --ignore=tests/servers --ignore=tests/sdks
	$(PY) -m pytest -q tests/real

# On real Kafka, Neo4j, PostgreSQL and ClickHouse's engine, which take a Maven client, Java 17 or later and PostgreSQL's
# programs; and with the vendors' own SDKs, which take Node 20 or later, npm and Chromium.
test-real: setup sdks
	$(PY) -m pytest -q -m "not soak" tests/servers tests/sdks

# All of the former on servers, what takes minutes included, and a quarter of an hour of random faults.
soak: setup
	$(PY) -m pytest -q tests/servers

# The packages of other vendors that the tests run unmodified, apart from the product's own.
sdks: $(SDKS)/common/.ready $(SDKS)/growingio/.ready $(NODE_SDKS)/node_modules/.ready $(TRACKER)/node_modules/.ready

$(SDKS)/%/.ready: tests/sdks/python/%.lock
	python3 -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --require-hashes --requirement $<
	touch $@

%/node_modules/.ready: %/package-lock.json %/package.json
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	touch $@

# Our own tracker: types, the committed bundle beside a new build with its size, and its tests.
sdk: $(TRACKER)/node_modules/.ready
	cd $(TRACKER) && npm run --silent check && npm test --silent

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup
	$(PY) -m bench

# On a real Kafka, Neo4j, PostgreSQL and ClickHouse's engine; takes what test-real takes.
bench-real: setup
	$(PY) -m bench.real

lock: setup
	$(PY) -m pip install --quiet uv
	.venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --python-version 3.11 --universal --extra dev --output-file requirements.lock pyproject.toml requirements-build.in
# What the image holds: the same versions, and of the extras the driver of PostgreSQL alone.
	.venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --python-version 3.11 --universal --extra postgresql --constraint requirements.lock \
	  --output-file deploy/requirements.lock pyproject.toml requirements-build.in
	for each in tests/sdks/python/common tests/sdks/python/growingio .ci/node; do \
	  .venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --no-annotate --python-version 3.11 --universal --output-file $$each.lock $$each.in || exit 1; done
