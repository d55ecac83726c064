# What one does with this repository. `make` alone lists it.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/plumbline
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo libchdb test lint fmt bench bench-accuracy bench-peers deny clean clean-cache

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## A small company with a faulty sync job, audited live; ARGS="--for 60s --summary FILE" ends by itself
	scripts/fetch-libchdb.sh
	cargo build --profile demo --bin plumbline
	$(TARGET)/demo/plumbline demo $(ARGS)

libchdb: ## Fetches the engine library of the embedded ledger
	scripts/fetch-libchdb.sh

test: ## All tests against private servers; installs what is missing. ARGS="-E 'test(lease)'" runs some
	scripts/test.sh $(ARGS)

lint: ## Formatting, clippy with warnings denied, licences of the dependencies, words that do not belong here
	cargo fmt --check
	cargo clippy --all-targets --all-features -- --deny warnings
	scripts/check-licences.py
	python3 scripts/checks_test.py
	scripts/check-words.py

fmt: ## Formats the code
	cargo fmt

bench: ## Measures; prints ratios against limits taken in the same run
	scripts/install-test-tools.sh
	scripts/fetch-libchdb.sh
	cargo bench

bench-accuracy: ## The auditor against the truth, 10 minutes; ARGS="SECONDS CHANGES SEED EVERY" instead of 300 200 1 5s
	scripts/bench-accuracy.sh $(ARGS)

bench-peers: ## Sweeps beside their peers on the same servers; ARGS="--rows 10000000" for more
	scripts/bench-peers.sh $(ARGS)

deny: ## Licences, bans and sources by cargo-deny, which is installed if missing
	cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked
	cargo deny check licenses bans sources

clean: ## Removes what was built
	cargo clean

clean-cache: ## Removes what was fetched: libchdb, the Odoo and the clients of the tests
	rm -rf $(CACHE)/libchdb $(CACHE)/clients $(CACHE)/odoo
