# Everything one does with this repository. `make check` is exactly what CI runs.
#
#   make            compiles, and starts a cluster of three nodes with a prompt: no Kafka, no Docker, no configuration
#   make build      compiles the programs into target/release
#   make setup      gets what is missing on this machine (docs/development.md)
#   make test       all tests, against real Kafka, PostgreSQL and MariaDB
#   make test-versions  the tests of adapters and clusters on every supported version of PostgreSQL and MariaDB
#   make check      format, lint, test, documentation, dependencies
#   make simulate   seeded schedules of faults: make simulate SEEDS=1000 FROM=1
#   make nemesis    a broker held again and again under load: make nemesis ROUNDS=20
#   make fuzz       statements drawn from each DBMS's own lists, on nodes whose databases are unlike: make fuzz STATEMENTS=2500 FROM=1
#   make schedules  one log in unlike schedules of batches, restarts and kills, on each DBMS: make schedules SCHEDULES=500 FROM=1
#   make builtins   adds the functions of every supported server to the tables of built-in functions
#   make bench      measurements
#   make compose-up a cluster in containers: make compose-up DBMS=postgres|mariadb|sqlite BROKERS=1|3 (compose/README.md)
#   make compose-down ends it, given the same; its data stay

.DEFAULT_GOAL := up
.PHONY: up build setup test test-versions check format lint docs deny simulate nemesis fuzz schedules builtins bench compose-up compose-down

# How many seeds, and the first of them.
SEEDS ?= 100
FROM ?= 1

# Where the cluster's data lie.
DIR ?= kluster-data

up:
	@scripts/setup --compiler
	cargo build --release -p kluster
	@exec cargo run --release --quiet -p kluster -- up --dir "$(DIR)"

build:
	@scripts/setup --compiler
	cargo build --release -p kluster -p kluster-node -p kluster-admin
	@echo
	@echo "The programs are in $(or $(CARGO_TARGET_DIR),target)/release. Go on with README.md; each program's --help is its manual."

setup:
	@scripts/setup

test: setup
	@scripts/test

test-versions: setup
	@scripts/test-versions

check: format test lint docs deny

format:
	cargo fmt --all -- --check

lint:
	cargo clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Where cargo-deny is missing, this is counted as skipped: compiling the tool takes longer than all tests.
deny:
	@scripts/deny

simulate:
	cargo run -p kluster-tests --release --bin simulate -- --seeds $(SEEDS) --from $(FROM)

# How often the broker is held.
ROUNDS ?= 20

nemesis:
	KLUSTER_NEMESIS_ROUNDS=$(ROUNDS) cargo test --workspace --test nemesis -- --nocapture

# How many statements and schedules, for each DBMS.
STATEMENTS ?= 2500
SCHEDULES ?= 500

fuzz:
	KLUSTER_UNLIKE_SEED=$(FROM) KLUSTER_UNLIKE_STATEMENTS=$(STATEMENTS) cargo test --workspace --test unlike statements -- --nocapture --test-threads 1

schedules:
	KLUSTER_UNLIKE_SEED=$(FROM) KLUSTER_UNLIKE_SCHEDULES=$(SCHEDULES) cargo test --workspace --test unlike schedules -- --nocapture --test-threads 1

builtins:
	KLUSTER_UPDATE_BUILTINS=1 scripts/test-versions --builtins
	KLUSTER_UPDATE_BUILTINS=1 cargo test --workspace --test dbms_postgres --test dbms_mariadb --test dbms_sqlite _function_that_the_table_does_not_know

# Requests, the log, and `kluster up`; what has a target is printed beside it.
bench:
	cargo build --release -p kluster-test-servers
	cargo bench -p kluster-tests

# In containers: which database stands beside each node, and how many brokers (1 or 3).
DBMS ?= postgres
BROKERS ?= 1
compose-up compose-down: export COMPOSE_FILE = compose.yaml:$(DBMS).yaml$(if $(filter 3,$(BROKERS)),:three-brokers.yaml)

compose-up:
	cd compose && docker compose up --build --detach --wait && docker compose exec n1 kluster-admin status

compose-down:
	cd compose && docker compose down
