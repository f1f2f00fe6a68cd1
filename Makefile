# The few commands of Tidemill. Everything that they build or fetch lies outside the clone: see scripts/env.sh.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build lint test sim mutants demo demo-kafka demo-search bench-studio bench-stateless bench-stages bench-formats bench-deliveries bench-collect bench-check bench-scaling bench-peers chaos flamegraph clean-cache

cargo := . scripts/env.sh && cargo

help: ## This list
	@echo "Tidemill: streaming ETL in SQL, exactly once. On a machine with Rust, 'make demo' is all it takes."
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## Installs what building needs (Debian packages, RocksDB); at once if it is there
	@scripts/setup.sh

build: setup ## Builds 'tidemill', and 'tidemill-studio' to try it with
	@$(cargo) build --release --package tidemill-cli --package tidemill-studio-cli

lint: setup ## rustfmt and clippy; a warning is an error
	@scripts/timed.sh "rustfmt" bash -c '$(cargo) fmt --check'
	@scripts/timed.sh "clippy" bash -c '$(cargo) clippy --release --workspace --all-targets -- -D warnings'

test: ## Everything that must hold before a change lands: setup with Kafka, a schema registry, OpenSearch, PostgreSQL, Redis and slate, lint, all tests
	@scripts/timed.sh "setup" scripts/setup.sh kafka registry opensearch postgres redis slate
	@$(MAKE) --no-print-directory lint
	@scripts/timed.sh "build of the tests" bash -c '$(cargo) test --release --workspace --no-run'
	@scripts/test.sh

sim: setup ## Jobs through a simulated world of faults: SEEDS=2000 for so many, SEED=7 for that one, TEST=name for one test
	@$(cargo) test --release --workspace --test simulated_contracts --test simulated_flagship --test simulated_golden_jobs --test simulated_oversized_records --test simulated_power_cuts --test simulated_random_jobs -- $(TEST)

mutants: setup ## Brings back classic faults, one by one: the simulation must find each within 500 seeds
	@scripts/mutants.sh

demo: build ## 300,000 events of a studio through files, kill -9 half-way, recovery, every row verified
	@scripts/demo.sh files

demo-kafka: build ## The same through a real Kafka, with real film titles
	@scripts/setup.sh kafka slate
	@scripts/demo.sh kafka

demo-search: build ## Films, talent and deals in a real PostgreSQL, read from its log into a real OpenSearch: an actor is renamed, and found
	@scripts/setup.sh postgres opensearch
	@scripts/demo-search.sh

bench-studio: ## The studio's finance job on a real Kafka: events a second, freshness, recovery from a kill -9
	@scripts/bench.sh studio

bench-stateless: ## A filter and a projection from Kafka to Kafka, exactly once: events a second
	@scripts/bench.sh stateless

bench-stages: ## What each operator of that job costs per event, with one worker and with two
	@scripts/bench.sh stages

bench-formats: ## What decoding a record of each format costs, beside the format's library
	@scripts/bench.sh formats

bench-deliveries: ## How fast rows are delivered to a real PostgreSQL, and read from one: a table, and its changes
	@scripts/bench.sh deliveries

bench-collect: ## How many events are taken over HTTP and put into a real Kafka before they are answered
	@scripts/bench.sh collect

bench-check: ## Fails if a stage takes over 10 % more instructions than benches/baseline.json says
	@scripts/bench.sh check

bench-scaling: ## The job by size of its state and number of workers: speed, memory, disk, recovery
	@scripts/bench.sh scaling

bench-peers: ## The same job by Tidemill, Apache Flink and Kafka Streams: benches/peers/README.md
	@scripts/bench.sh peers

chaos: ## Three brokers, two jobs under load, and everything that can happen to them for 10 minutes; every row verified
	@scripts/chaos.sh

flamegraph: ## Where the job's processor time goes, as a picture: flamegraph.svg
	@scripts/flamegraph.sh

clean-cache: ## Deletes everything that was built or fetched; the next build takes some 20 minutes
	@. scripts/env.sh && echo "deleting $$TIDEMILL_CACHE" && rm -rf "$${TIDEMILL_CACHE:?}"
