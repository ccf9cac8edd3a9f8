PY := .venv/bin/python
.PHONY: setup run test test-real check bench lock

setup: .venv/.ready

# The stamp is older than its causes only when something to install has changed.
.venv/.ready: requirements.lock pyproject.toml
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --require-hashes --requirement requirements.lock
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	.venv/bin/cdp serve --demo

test: setup
	$(PY) -m pytest -q --ignore=tests/servers

# On a real PostgreSQL and Neo4j, which take a Maven client, Java 17 or later and PostgreSQL's programs.
test-real: setup
	$(PY) -m pytest -q tests/servers

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup
	$(PY) -m bench

lock: setup
	$(PY) -m pip install --quiet uv
	.venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --python-version 3.11 --universal --extra dev --output-file requirements.lock pyproject.toml requirements-build.in
