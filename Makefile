# The project's commands; `make` alone lists them. Each installs first what it needs
# (scripts/setup, Debian packages) and does nothing where nothing is missing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# steps of one command build on each other and share cargo's lock; cargo itself is parallel
.NOTPARALLEL:

# The newest-enough toolchain of this machine, wherever it is (see the script).
CARGO := scripts/cargo
# What cargo leaves behind, and where rsyslogd is to find the modules.
BUILT := $(or $(CARGO_TARGET_DIR),target)/release
RZLOG := $(BUILT)/rzlog
MODULES := target/modules
FAULT_MODULES := target/fault-modules
FOREIGN_MODULES := target/foreign-modules
# Options for a run by hand: make test ARGS='--test trust', make bench ARGS='--lines 1000000'
ARGS ?=
# Most of what a test does is to wait.
TEST_THREADS := $(shell echo $$(($$(nproc) * 3 / 2 + 1)))
# Tests on another Debian release's rsyslogd: make test RELEASE=sid (see scripts/release).
RELEASE ?=
ON_RELEASE := $(if $(RELEASE),scripts/release $(RELEASE))

# What the modules and the command line are made from; folders too, whose times tell of files that are
# gone.
SOURCES := $(shell find src/* rsyslog-headers build.rs Cargo.toml Cargo.lock \
	-path src/client -prune -o -path src/rzlog -prune -o -print)
RZLOG_SOURCES := $(shell find src/client src/rzlog src/link src/delivery src/host/signs.rs Cargo.toml Cargo.lock)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## imrzmq.so and omrzmq.so in target/modules, and target/release/rzlog
	@scripts/setup build
	@$(MAKE) --no-print-directory $(MODULES)/omrzmq.so $(RZLOG)
	@echo "built: $(MODULES)/imrzmq.so $(MODULES)/omrzmq.so $(RZLOG)"

.PHONY: build-fault
build-fault: ## the same with faults on demand, for tests alone, in target/fault-modules
	@scripts/setup build
	@$(MAKE) --no-print-directory $(FAULT_MODULES)/omrzmq.so

.PHONY: build-foreign
build-foreign: ## the same for a rsyslogd that no distribution has, for tests alone
	@scripts/setup build
	@$(MAKE) --no-print-directory $(FOREIGN_MODULES)/omrzmq.so

# All builds come out of cargo under one name, so that each would undo the other's: cargo is asked
# only when a source is newer than the copies. These are regular files and never links: to rsyslogd
# a module under two links is one module.
$(FAULT_MODULES)/%.so: FEATURES := --features imrzmq/fault-injection,omrzmq/fault-injection
$(FOREIGN_MODULES)/%.so: FEATURES := --features imrzmq/foreign-layout,omrzmq/foreign-layout

$(MODULES)/imrzmq.so $(MODULES)/omrzmq.so &: $(SOURCES)
	$(build-modules)
$(FAULT_MODULES)/imrzmq.so $(FAULT_MODULES)/omrzmq.so &: $(SOURCES)
	$(build-modules)
$(FOREIGN_MODULES)/imrzmq.so $(FOREIGN_MODULES)/omrzmq.so &: $(SOURCES)
	$(build-modules)

# By itself, so that what it needs of a shared crate is not built into the modules. It is large, and nobody
# else's daemon: linked on all cores it takes half the time, and is a sixth larger.
$(RZLOG): $(RZLOG_SOURCES)
	$(CARGO) rustc --locked --release -p rzlog -- -C lto=thin -C codegen-units=16
	touch $@

define build-modules
$(CARGO) build --locked --release -p imrzmq -p omrzmq $(FEATURES)
install -d $(@D)
install -m 644 $(BUILT)/libimrzmq.so $(@D)/imrzmq.so
install -m 644 $(BUILT)/libomrzmq.so $(@D)/omrzmq.so
endef

.PHONY: test
test: ## every test this machine can run, against its own rsyslogd; RELEASE=sid for another
	@scripts/setup test
	@$(MAKE) --no-print-directory build-fault build-foreign build
	scripts/test-scripts
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$(TEST_THREADS)} $(ON_RELEASE) $(CARGO) test --locked --workspace $(ARGS)

.PHONY: test-newest
test-newest: ## what hangs on the release, against the rsyslogd of Debian sid; modules for another layout on every release
	@scripts/setup test
	@$(MAKE) --no-print-directory build-fault build-foreign build
	scripts/test-newest

# Acceptance in its long form: hundreds of thousands of lines, twenty kills and stops a case.
ACKED_LONG := kills:: stops:: cuts:: clock:: memory:: chaos::
.PHONY: test-acked-long
test-acked-long: ## acknowledged delivery, long: 400,000 lines, 20 kills and stops, about 15 minutes
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	scripts/has-tests --test acked -- $(ACKED_LONG)
	RZMQ_ACKED_ROUNDS=20 RZMQ_ACKED_LINES=400000 RZMQ_ACKED_AWAY=2000000 \
	$(ON_RELEASE) $(CARGO) test --locked --workspace --test acked -- --test-threads=1 $(ACKED_LONG)

.PHONY: abi-check
abi-check: ## rsyslog's module interface, release by release, against what src/host takes it for
	@scripts/setup abi
	@$(MAKE) --no-print-directory build
	scripts/abi-check $(ARGS) || [ $$? -eq 75 ]

.PHONY: hostile
hostile: ## lines/s of honest senders without and with each attack; RZMQ_ATTACKS=http,keys for these alone
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	CARGO_PROFILE_DEV_OPT_LEVEL=1 scripts/has-tests --test hostile -- throughput::
	CARGO_PROFILE_DEV_OPT_LEVEL=1 $(CARGO) test --locked --workspace --test hostile -- --ignored throughput::

.PHONY: test-czmq
test-czmq: ## the fault tests against Debian's C modules: shows which fail there
	@scripts/setup test
	tests/czmq.sh

.PHONY: test-drafts
test-drafts: ## the draft socket types, with a libzmq built from Debian's source
	@scripts/setup drafts
	@$(MAKE) --no-print-directory build
	scripts/test-drafts

.PHONY: test-asan
test-asan: ## the tests on modules built with AddressSanitizer, a selection; ARGS=all for every one that can run so, and rzlog
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	scripts/test-asan $(ARGS)

.PHONY: miri
miri: ## the protocol's machines, the parameter tables, the reader of lines in an interpreter that sees undefined behaviour
	@scripts/setup build
	scripts/miri

.PHONY: soak
soak: ## two rsyslogd for hours, under load and mishaps: memory, descriptors, threads; ARGS="--hours 4"
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	scripts/soak $(ARGS)

.PHONY: cross-arm64
cross-arm64: ## both modules for arm64, and arm64's rsyslogd in an emulator that loads them
	@scripts/setup arm64
	scripts/cross-arm64

.PHONY: demo
demo: ## two rsyslogd, real logs, an encrypted link: what this project does, in half a minute
	@scripts/setup demo
	@$(MAKE) --no-print-directory build
	@scripts/demo

.PHONY: newcomer
newcomer: ## types README's "Try it" into two terminals and sees what it says come; ARGS=--write for the docs
	@scripts/setup newcomer
	@$(MAKE) --no-print-directory build
	@scripts/newcomer $(ARGS)

.PHONY: bench
bench: ## speed and CPU beside plain TCP, TLS and the C modules
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	@bench/run $(ARGS)

.PHONY: bench-scale
bench-scale: ## CPU a line with up to 500 senders, and with up to 10,000 topics
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	$(CARGO) build --locked --release -p rzmq-load
	@bench/scale --load $(BUILT)/rzmq-load $(ARGS)

.PHONY: bench-metrics
bench-metrics: ## lines a second of rzlog metrics beside mtail, same log and rules, one core
	@scripts/setup bench
	@$(MAKE) --no-print-directory $(RZLOG)
	@bench/metrics --rzlog $(RZLOG) $(ARGS)

.PHONY: bench-tail
bench-tail: ## whether rzlog tail keeps up with 600,000 lines/s that its topic thins to 1 %
	@scripts/setup bench
	@$(MAKE) --no-print-directory $(RZLOG)
	$(CARGO) build --locked --release -p rzmq-load
	@bench/tail --rzlog $(RZLOG) --load $(BUILT)/rzmq-load $(ARGS)

.PHONY: fuzz
fuzz: ## every parser of foreign bytes and the protocol's state machines, a minute each; ARGS=fixed as in CI
	@scripts/setup fuzz
	scripts/fuzz $(ARGS)

.PHONY: deb
deb: ## the Debian package in target/packages, built in a container of bookworm
	@scripts/setup packages
	scripts/package deb

.PHONY: rpm
rpm: ## the RPM in target/packages, built with Debian's rpmbuild
	@scripts/setup packages
	scripts/package rpm

.PHONY: msrv
msrv: ## modules and rzlog with the oldest supported Rust, that of Debian trixie, in its container
	@scripts/setup packages
	scripts/msrv

.PHONY: sbom
sbom: ## what is linked into the packages' modules and rzlog, as CycloneDX, in target/packages
	@scripts/setup packages
	install -d target/packages
	scripts/sbom target/packages/rsyslog-rzmq.cdx.json

.PHONY: release
release: deb rpm sbom ## both packages, the SBOM and the sums of all, in target/packages
	cd target/packages && find . -type f ! -name SHA256SUMS ! -name '.*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS

.PHONY: reproducible
reproducible: ## builds both packages a second time and compares the bytes
	@scripts/setup packages
	scripts/reproducible

.PHONY: test-packages
test-packages: ## target/packages installed, used, upgraded, removed in a container of each suite; ARGS=sid
	@scripts/setup packages
	scripts/test-packages $(ARGS)

.PHONY: test-machine
test-machine: ## target/packages on a whole emulated machine: systemd, the unit's sandbox, AppArmor; ARGS="bookworm trixie"
	@scripts/setup machine
	scripts/test-machine $(ARGS) || [ $$? -eq 75 ]

.PHONY: test-containers
test-containers: ## target/packages on hosts of several releases that are cut off, killed, upgraded; ARGS="bookworm sid"
	@scripts/setup packages
	scripts/test-containers $(ARGS)

.PHONY: compose
compose: ## packaging/compose: hosts, readers, Prometheus in containers on this machine; ARGS=down ends it
	@scripts/setup packages
	@scripts/compose $(or $(ARGS),up)

.PHONY: test-compose
test-compose: ## starts one of these, sees lines at the reader and counters at Prometheus, removes it
	@scripts/setup packages
	@scripts/compose test

.PHONY: book
book: ## the pages as a book in HTML, target/book/html; builds mdBook once, and checks every link
	@scripts/setup build
	@scripts/book

.PHONY: reference
reference: ## writes docs/reference, packaging/man and packaging/completion anew from the parameter tables and rzlog's options
	@scripts/setup build
	UPDATE_REFERENCE=1 $(CARGO) test --locked -p imrzmq -p omrzmq says_what_the_table_says
	UPDATE_REFERENCE=1 $(CARGO) test --locked -p rzlog reference

.PHONY: lint
lint: ## formatting, clippy, rustdoc, shellcheck, licences
	@scripts/setup lint
	scripts/lint

.PHONY: clean
clean: ## removes target/, all that was built or downloaded here, but Docker's images (rzmq-*)
	rm -rf target
