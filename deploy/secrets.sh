#!/bin/sh
# Make the secrets that docker-compose.yml hands to its containers, in deploy/secrets. Those that are there stay.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Nobody else can enter the folder; inside a container, where only the file is seen, another user must read it.
keep() {
  if [ ! -s "$1" ]; then printf '%s' "$2" > "$1"; fi
  chmod 444 "$1"
}

keep secret "$(head -c 32 /dev/urandom | base64)"
keep admin_key "$(random)"
keep postgres_password "$(random)"
keep neo4j_auth "neo4j/$(random)"
keep clickhouse_password "$(random)"
keep records_url "postgresql+psycopg://xunji:$(cat postgres_password)@postgres:5432/xunji"
keep graph_url "neo4j://neo4j:$(cut -d/ -f2 neo4j_auth)@neo4j:7687/neo4j"
keep events_url "clickhouse://xunji:$(cat clickhouse_password)@clickhouse:8123/xunji"
