# Wharf: Amazon ECS on your own machines. Two commands: `make demo` and `make test`.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test unit e2e lint clean

help: ## Tells what there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Installs what this machine lacks
	@scripts/setup.sh

build: ## Builds target/release/wharf
	cargo build --release -p wharf

demo: ## Shows the whole story by the real AWS CLI, and leaves it running until Ctrl-C
	@scripts/demo.sh

test: setup ## Tests everything: every crate, then real clients against the real binary
	@scripts/test.sh

unit: ## Tests every crate
	cargo test --workspace

e2e: setup ## Tests by real clients against the real binary; ARGS go to pytest
	cargo build -p wharf
	.venv/bin/python -m pytest e2e $(ARGS)

lint: ## Format, lints and documentation, as CI checks them
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

clean: ## Removes what was built and installed here
	rm -rf target .venv .demo
