# What each target does stands behind its ##; "make" alone prints that.
# Everything below needs Go; what else a target needs, it installs or says.

SHELL       := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO       ?= go
DATA     ?= ./data
CACHE    := $(CURDIR)/.cache
TOOLS    := $(CACHE)/bin
SERVICES := deploy/local/services

# Pinned, so that a lint finding is news about this code and not about a tool.
GOLANGCI_LINT := v2.15.0
GOVULNCHECK   := v1.9.0

# Packages whose tests are cheap enough to run once more under the race
# detector, and concurrent enough to be worth it.
RACE := ./internal/... ./rsu/... ./tolling/... ./billing/... ./parking/... ./loadtest/...

.PHONY: help
help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

.PHONY: run
run: build ## build, then run the whole system with demo traffic; data under ./data
	bin/freeflow run --demo --data $(DATA)

.PHONY: build
build: ## build bin/freeflow and bin/loadtest
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

.PHONY: test
test: ## run all tests that need Go alone
	$(GO) vet ./...
	$(GO) test ./...

.PHONY: test-race
test-race: ## run the tests of the concurrent packages under the race detector (needs a C compiler)
	$(GO) test -race -short $(RACE)

.PHONY: test-services
test-services: ## run the same behaviour against real Kafka, Redis and PostgreSQL; installs what is missing
	@packages=$$(grep -rlE '^//go:build .*\bservices\b' --include='*_test.go' . | xargs -r -n 1 dirname | sort -u); \
	if [[ -z $$packages ]]; then echo "there are no tests with the build tag services" >&2; exit 1; fi; \
	$(SERVICES) run $(GO) test -count=1 -tags services -p 1 $$packages

.PHONY: test-browser
test-browser: ## run the tests that drive a real Chromium
	@packages=$$(grep -rlE '^//go:build .*\bbrowser\b' --include='*_test.go' . | xargs -r -n 1 dirname | sort -u); \
	if [[ -z $$packages ]]; then echo "there are no tests with the build tag browser yet"; exit 0; fi; \
	if ! command -v chromium >/dev/null; then echo "chromium is missing: apt-get install chromium" >&2; exit 1; fi; \
	$(GO) test -count=1 -tags browser -p 1 $$packages

# Pinned: hkqr-fps reads Hong Kong's common QR code, emvqr any EMV one; jsqr and
# pngjs read the picture.
DECODERS := hkqr-fps@1.1.1 emvqr@0.0.5 jsqr@1.4.0 pngjs@7.0.0

.PHONY: test-decoder
test-decoder: ## read our payment QR codes with public decoders (needs node and npm; installs them in a scratch folder)
	@if ! command -v npm >/dev/null; then echo "npm is missing: apt-get install nodejs npm" >&2; exit 1; fi; \
	scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$$scratch" $(DECODERS); \
	FREEFLOW_DECODERS="$$scratch" $(GO) test -count=1 -tags decoder ./billing/fps

# Where money is decided. A whole run takes hours on two cores: SAMPLE=60 draws
# some of each package.
MUTANTS := $(addprefix billing/,collect correction notice recovery account statement settlement payment)

.PHONY: mutants
mutants: build ## change one operator of the money's packages at a time; fails if tests notice under 80 of 100 (SAMPLE=n of each)
	bin/loadtest mutants --sample $(or $(SAMPLE),0) --seed $(or $(SEED),1) $(MUTANTS)

.PHONY: bench
bench: ## run the benchmarks (BENCH=pattern to choose)
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./...

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT) $(TOOLS)/govulncheck-$(GOVULNCHECK) ## check format, vet, linters and known vulnerabilities
	@unformatted=$$(git ls-files '*.go' | xargs -r gofmt -l); \
	if [[ -n $$unformatted ]]; then printf 'not formatted; run "make fmt":\n%s\n' "$$unformatted" >&2; exit 1; fi
	$(GO) vet -tags services,browser ./...
	$(TOOLS)/golangci-lint-$(GOLANGCI_LINT) run ./...
	@GOVULNCHECK=$(TOOLS)/govulncheck-$(GOVULNCHECK) .ci/vulncheck

# The tools are built outside this module, so that they add nothing to go.mod.
$(TOOLS)/golangci-lint-$(GOLANGCI_LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT), once; some minutes"
	@mkdir -p $(TOOLS)
	cd / && GOFLAGS= GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv $(TOOLS)/golangci-lint $@

$(TOOLS)/govulncheck-$(GOVULNCHECK):
	@mkdir -p $(TOOLS)
	cd / && GOFLAGS= GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
	mv $(TOOLS)/govulncheck $@

.PHONY: fmt
fmt: ## format the Go sources
	gofmt -w $$(git ls-files '*.go')

.PHONY: generate
generate: ## make the generated files again
	$(GO) generate ./...

.PHONY: verify-tidy
verify-tidy: ## check that go.mod and go.sum are what "go mod tidy" would write
	$(GO) mod tidy -diff

.PHONY: demo-replay
demo-replay: build ## charge 30 real trips on Taiwan's freeways and print each trip's charge
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	bin/freeflow import m06a --out "$$scratch/reads.ndjson" --registry "$$scratch/registry.csv" \
		tolling/tariff/testdata/taiwan/M06A_30trips_20190830.csv; \
	bin/freeflow replay --network taiwan --registry "$$scratch/registry.csv" \
		--charges "$$scratch/charges.csv" "$$scratch/reads.ndjson"; \
	awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) at[$$i] = i; next} \
		{v = $$at["account"]; n[v]++; currency = $$at["currency"]; amount = $$at["amount"]; \
		 if (amount == "") review[v]++; sub(/\./, "", amount); cents[v] += amount; \
		 if (!(v in first)) {first[v] = $$at["toll_point"]; class[v] = $$at["class"]; order[++trips] = v} last[v] = $$at["toll_point"]} \
		END {for (i = 1; i <= trips; i++) {v = order[i]; printf "%-28s %-8s %s to %s  %2d gantries  %4d.%02d %s%s\n", \
			v, class[v], first[v], last[v], n[v], cents[v] / 100, cents[v] % 100, currency, \
			v in review ? "  (" review[v] " left to a person)" : ""}}' "$$scratch/charges.csv"

.PHONY: clean
clean: ## remove what was built (not the data, not the cached tools)
	rm -rf bin coverage.out
