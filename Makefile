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
MODULES := target/modules
FAULT_MODULES := target/fault-modules
# Options for a run by hand: make test ARGS='-p rzmq-link', make bench ARGS='--lines 1000000'
ARGS ?=

# Regular files and never links: to rsyslogd a module named by two links is one module.
define copy-modules
	install -d $(1)
	install -m 644 $(BUILT)/libimrzmq.so $(1)/imrzmq.so
	install -m 644 $(BUILT)/libomrzmq.so $(1)/omrzmq.so
endef

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## imrzmq.so and omrzmq.so in target/modules
	@scripts/setup build
	$(CARGO) build --locked --release -p imrzmq -p omrzmq
	$(call copy-modules,$(MODULES))

.PHONY: build-fault
build-fault: ## the same with faults on demand, for tests alone, in target/fault-modules
	@scripts/setup build
	$(CARGO) build --locked --release -p imrzmq -p omrzmq \
		--features imrzmq/fault-injection,omrzmq/fault-injection
	$(call copy-modules,$(FAULT_MODULES))

.PHONY: test
test: ## every test this machine can run, against its own rsyslogd
	@scripts/setup test
	@$(MAKE) --no-print-directory build-fault build
	scripts/test-scripts
	$(CARGO) test --locked --workspace $(ARGS)

.PHONY: test-czmq
test-czmq: ## the fault tests against Debian's C modules: shows which fail there
	@scripts/setup test
	tests/czmq.sh

.PHONY: test-drafts
test-drafts: ## the draft socket types, with a libzmq built from Debian's source
	@scripts/setup drafts
	@$(MAKE) --no-print-directory build
	scripts/test-drafts

.PHONY: demo
demo: ## two rsyslogd, real logs, an encrypted link: what this project does, in half a minute
	@scripts/setup demo
	@$(MAKE) --no-print-directory build
	@scripts/demo

.PHONY: bench
bench: ## speed and CPU beside plain TCP, TLS and the C modules
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	@bench/run $(ARGS)

.PHONY: reference
reference: ## writes docs/reference anew from the modules' parameter tables
	@scripts/setup build
	UPDATE_REFERENCE=1 $(CARGO) test --locked -p rzmq-module reference

.PHONY: lint
lint: ## formatting, clippy, rustdoc, shellcheck, licences
	@scripts/setup lint
	scripts/lint

.PHONY: clean
clean: ## removes target/, all that was built or downloaded here
	rm -rf target
