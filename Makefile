# mixbench. `make help` lists the targets; `make demo` and `make test` are the two that a stranger needs.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
PROFILE ?= default
static := x86_64-unknown-linux-gnu
bin := $(TARGET)/debug
export MIXBENCH_BIN_DIR := $(bin)

# Provisioned by the first recipe line that needs them; a LIBTORCH set outside wins. torch-sys is compiled anew when its value changes.
torch = LIBTORCH=$${LIBTORCH:-$$(scripts/libtorch.sh)} && export LIBTORCH &&
tools = tools=$$(scripts/tools.sh) && PATH=$$tools:$$PATH && export PATH &&
go = go=$$(scripts/go.sh) && PATH=$$go:$$PATH && export PATH &&

.PHONY: help check-tools demo build release dist images test check test-cluster lint fmt doc generate drift guards policy chart e2e bench env
.PHONY: clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check-tools: ## Check what the machine must have, and print the apt line that brings what it lacks
	@scripts/check-tools.sh

demo: release ## Train the quickstart benchmark here (minutes) and print its table
	$(TARGET)/release/mixbench run crds/benchmarks/quickstart.yaml --out mixbench-out/quickstart

build: check-tools ## Build both binaries for development
	$(torch) cargo build --locked --workspace --bins

# One package an invocation: built together, Cargo would unite their features, and the trainer would link kube.
release: check-tools ## Build both binaries with optimisation
	$(torch) cargo build --locked --release -p mixbench-trainer
	cargo build --locked --release -p mixbench-operator

# The operator's image has no libraries, so it is linked statically, which takes a target by name: with none, build scripts and macros
# would be too. Equal functions, of which generated code has many, are folded; only the last link is told so, not every crate. The
# trainer looks for libtorch beside itself only.
dist: check-tools ## Build both binaries as a release ships them
	$(torch) MIXBENCH_RELOCATABLE=1 cargo build --locked --profile dist -p mixbench-trainer
	cargo rustc --locked --profile dist -p mixbench-operator --bin mixbench --target $(static) \
	  --config 'target.$(static).rustflags=["-Ctarget-feature=+crt-static"]' -- -Cstrip=symbols -Clink-arg=-Wl,--icf=all

images: dist ## Build the images of both and print the folder of their archives; VARIANT=cuda puts CUDA into the trainer's
	@scripts/images.sh $(VARIANT)

# Everything that must pass; CI calls nothing else. What a machine cannot do is said on one line.
test: check test-cluster chart ## Run everything that must pass
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) e2e; else echo "no root here: no pod has run (make e2e)"; fi

check: check-tools lint guards policy doc build drift ## Run what needs no cluster: lints, policies, generated files, tests
	$(torch) cargo test --locked --quiet --workspace --doc
	$(torch) $(tools) cargo nextest run --locked --workspace --profile $(PROFILE)

# They wait most of the time, so more of them run at once than there are processors.
test-cluster: ## Test the operator on a control plane (started for it; no root)
	$(tools) cargo nextest run --locked -p mixbench-operator --test cluster --no-run
	$(go) $(tools) tests/cluster/with-control.sh cargo nextest run --locked -p mixbench-operator --test cluster --profile $(PROFILE) \
	  --ignore-default-filter --test-threads 8 $(ARGS)

lint: ## Check formatting, lints and shell scripts
	cargo fmt --all --check
	$(torch) cargo clippy --locked --workspace --all-targets -- -D warnings
	$(tools) shellcheck .ci/run $$(git ls-files '*.sh')
	$(tools) hadolint operator/Dockerfile trainer/Dockerfile

fmt: ## Format the code
	cargo fmt --all

# The custom resource lists the names of the catalog, so its writer is built after the catalog is written.
generate: build ## Write crds/catalog.json, crds/mixupbenchmark.yaml and docs/reference.md
	$(bin)/mixbench-trainer catalog > crds/catalog.json.tmp
	mv crds/catalog.json.tmp crds/catalog.json
	$(torch) cargo build --locked --workspace --bins
	$(bin)/mixbench crd > crds/mixupbenchmark.yaml.tmp
	mv crds/mixupbenchmark.yaml.tmp crds/mixupbenchmark.yaml
	$(bin)/mixbench crd --format markdown > docs/reference.md.tmp
	mv docs/reference.md.tmp docs/reference.md

drift: build ## Check that the generated files are what `make generate` would write
	$(bin)/mixbench-trainer catalog | diff -u crds/catalog.json - >&2 || { echo "crds/catalog.json is stale: run make generate" >&2; exit 1; }
	$(bin)/mixbench crd | diff -u crds/mixupbenchmark.yaml - >&2 || { echo "crds/mixupbenchmark.yaml is stale: run make generate" >&2; exit 1; }
	$(bin)/mixbench crd --format markdown | diff -u docs/reference.md - >&2 || { echo "docs/reference.md is stale: run make generate" >&2; exit 1; }

doc: ## Build the API documentation, with links that lead somewhere
	$(torch) RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

guards: ## Check who imports whom, unsafe code, lengths of files
	scripts/guards.sh

policy: ## Check licences, sources and unused dependencies
	$(tools) cargo deny --locked check bans licenses sources
	$(tools) cargo shear --locked

chart: ## Check chart and manifests, and install the chart, on an API server of our own
	$(go) tests/chart/check.sh

e2e: dist ## Train in pods of a real node, disturb them, and compare with mixbench run (root, minutes)
	$(go) PROFILE=$(PROFILE) tests/node/e2e.sh $(ARGS)

bench: check-tools ## Measure the train step beside PyTorch eager on the same libtorch
	$(torch) cargo bench --locked -p mixbench-trainer --bench step

env: ## Print the export lines for a shell: eval "$(make -s env)"
	@$(torch) $(tools) printf 'export LIBTORCH=%s\nexport PATH=%s:$$PATH\n' "$$LIBTORCH" "$$tools"

clean: ## Remove what was built here (the cache under the home directory stays)
	cargo clean
	rm -rf mixbench-out

include tests/cluster/cluster.mk
