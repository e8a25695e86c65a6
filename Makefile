# Two commands: `make up` gives a running one-node cluster, `make test` runs every check. Both want a Debian or
# Ubuntu machine and root, install what they need, and say what is missing elsewhere.

STATE_DIR ?= /var/lib/corten
SECURE_PORT ?= 6443
UP_FLAGS ?=
CORTEN := target/release/corten

.PHONY: up down build test bench packages

up: build
	@$(CORTEN) up --detach --state-dir $(STATE_DIR) --secure-port $(SECURE_PORT) $(UP_FLAGS)

down:
	@test -x $(CORTEN) || { echo "make down: $(CORTEN) is not built; nothing was started from here"; exit 1; }
	@$(CORTEN) down --purge --state-dir $(STATE_DIR)

build: packages
	cargo build --release -p corten

packages:
	@scripts/packages.sh run

test:
	@scripts/test.sh

bench: build
	@$(CORTEN) bench
