# The menu. Every body is one line; what it takes is Python in tools/ or cli/.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: help
help: ## Show this menu
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/.ready: requirements.lock pyproject.toml tools/set_up.py
	@$(PYTHON) tools/set_up.py

.PHONY: setup
setup: .venv/.ready ## Make .venv with the exact versions of requirements.lock

.PHONY: run
run: .venv/.ready ## Start everything on this machine; Ctrl-C stops it all
	@$(BIN)/switchyard up

.PHONY: test
test: .venv/.ready ## Run the tests; path=services/orders for some of them
	@$(BIN)/pytest -q $(if $(path),$(path),-n 2 --dist loadgroup)

.PHONY: lint
lint: .venv/.ready ## Check style, types, structure, contracts and deployment files
	@$(BIN)/python -m tools.lint

.PHONY: format
format: .venv/.ready ## Format Python and protos
	@$(BIN)/python -m tools.lint --fix

.PHONY: protos
protos: .venv/.ready ## Generate gen/ from protos/
	@$(BIN)/python -m tools.protos

.PHONY: lock
lock: .venv/.ready ## Renew requirements.lock from pyproject.toml
	@$(BIN)/python -m tools.lock

.PHONY: service
service: .venv/.ready ## Begin a new service: make service name=x
	@$(BIN)/python -m tools.new_service $(name)

.PHONY: bench
bench: .venv/.ready ## Measure side by side with peers (a monolith, Envoy, etcd), and what orders, locks and the registry cost
	@$(BIN)/python -m bench

.PHONY: chaos
chaos: .venv/.ready ## Kill processes and see what is left: make chaos suite=saga, or suite=locks (seeds=3,7 for some)
	@$(BIN)/python -m bench.chaos $(suite) $(if $(seeds),--seeds $(seeds))
