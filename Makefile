# `make demo` shows Millstream on real data through real servers; `make test` runs every test. Both install what they need.
# ONCE=1: the demo ends after its check. MESOS=real: a real Mesos 1.11 instead of `millstream local`.

SHELL := /bin/bash
# Kept between clones, so that the next build is quick: cargo's target folder, the servers' jars, the Mesos build.
export MILLSTREAM_CACHE ?= $(HOME)/.cache/millstream
export CARGO_TARGET_DIR ?= $(MILLSTREAM_CACHE)/target
export MILLSTREAM_BIN_DIR = $(CARGO_TARGET_DIR)/release
CARGO_FLAGS = --release --locked --workspace
# No path of the machine that built it in a program, and C with the guards that Debian builds its own with.
CARGO_HOME ?= $(HOME)/.cargo
export RUSTFLAGS ?= --remap-path-prefix=$(CARGO_HOME)=/cargo
export CFLAGS ?= -fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
	-ffile-prefix-map=$(CARGO_HOME)=/cargo -ffile-prefix-map=$(CARGO_TARGET_DIR)=/target

# Agents and tasks of `make bench-agents`.
AGENTS ?= 200
TASKS ?= 500
# For how long `make bench-slow` watches write times.
MINUTES ?= 5


.PHONY: demo test bench bench-slow bench-memory bench-agents sim sim-planted build tools lint audit sbom clean

demo: build
	@exec "$(MILLSTREAM_BIN_DIR)/demo"

# Many threads: most tests wait, for servers or for their turn on them.
test: build
	cargo test $(CARGO_FLAGS) --no-fail-fast -- --test-threads=16

bench: build
	@exec "$(MILLSTREAM_BIN_DIR)/bench"

bench-slow: build
	@exec "$(MILLSTREAM_BIN_DIR)/slow" --minutes $(MINUTES)

bench-memory: build
	@exec "$(MILLSTREAM_BIN_DIR)/memory"

bench-agents: build
	@exec "$(MILLSTREAM_BIN_DIR)/agents" --agents $(AGENTS) --tasks $(TASKS)

# Seeded simulation of the scheduler: SEEDS runs, two at a time. One of them again: millstream-sim --seed N --trace.
SEEDS ?= 1000
sim:
	cargo build --release --locked -p millstream-sim
	@exec "$(MILLSTREAM_BIN_DIR)/millstream-sim" --seeds $(SEEDS)

# Bugs planted in a copy of the scheduler: each must be found.
sim-planted:
	@exec tests/sim/planted.sh

build: tools
	cargo build $(CARGO_FLAGS) --bins

lint:
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

# Advisories, licences, sources, bans of everything that is built in. cargo-deny is built once; it fetches the advisories from GitHub.
CARGO_DENY = $(MILLSTREAM_CACHE)/cargo-deny-0.20.2
audit: $(CARGO_DENY)/bin/cargo-deny
	"$<" check licenses bans sources
	"$<" check advisories

$(CARGO_DENY)/bin/cargo-deny:
	env -u RUSTFLAGS -u CFLAGS -u CARGO_TARGET_DIR cargo install --locked --root "$(CARGO_DENY)" cargo-deny@0.20.2

# What is built into the programs, C libraries among it, as CycloneDX.
sbom:
	@mkdir -p "$(MILLSTREAM_BIN_DIR)"
	@python3 deploy/sbom.py "$(MILLSTREAM_BIN_DIR)/millstream.cdx.json"
	@echo "$(MILLSTREAM_BIN_DIR)/millstream.cdx.json"

# Says in one line what is missing and how to get it; installs Debian packages itself when it may.
tools:
	@tests/testbed/tools.sh

clean:
	rm -rf "$(MILLSTREAM_CACHE)"
