# Everything installs what it needs into .venv; nothing is asked, nothing outside the folder is touched.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# CometBFT is found where `make cometbft` puts it, unless COMETBFT names another one.
export COMETBFT ?= $(CURDIR)/.tools/bin/cometbft

.DEFAULT_GOAL := help
.PHONY: help demo test kills check bench format picture compat cometbft programs coverage fuzz hostile soak losses economics mutants clean

help: ## Show what make can do
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing roundwork and its tools into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@

demo: $(STAMP) $(if $(filter comet,$(ENGINE)),cometbft) ## Start a ledger and nodes, run real rounds, show who was paid and who was slashed (RULES=koii-1 for the other rules, ENGINE=comet for CometBFT)
	@echo "== examples/hello: five nodes, one of them a liar; keys and logs in .roundwork/demo-hello"
	@$(BIN)/python -m roundwork up examples/hello --rules $(or $(RULES),roundwork-1) --directory .roundwork/demo-hello \
		--engine $(or $(ENGINE),embedded)
	@$(if $(filter comet,$(ENGINE)),,echo; \
		echo "== examples/crawler: it audits itself by crawling a sample again; keys and logs in .roundwork/demo-crawler"; \
		$(BIN)/python -m roundwork up examples/crawler --rules $(or $(RULES),roundwork-1) \
		--directory .roundwork/demo-crawler --rounds 2)

test: $(STAMP) ## Run all tests; at its end are the reasons of those that were skipped
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -r $(if $(CI),sR --reruns 1,s)

kills: $(STAMP) cometbft ## Kill CometBFT and its application 100 times, and let it die at its crash points
	@ROUNDWORK_KILLS=100 ROUNDWORK_CRASH_POINTS=33 \
		$(BIN)/python -m pytest tests/ledger/comet -n 2 -k "loses_or_doubles_an_acknowledged_transaction"

check: $(STAMP) ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

picture: $(STAMP) ## Draw docs/rounds.svg from the clock
	@$(BIN)/python -c "from roundwork.picture import *; print(draw_svg(Timetable(0, 60, 24, 24)), end='')" > docs/rounds.svg

fuzz: $(STAMP) ## A million signed transactions against the law (COUNT=… SEED=…)
	@$(BIN)/python -m tests.protocol.fuzz --count $(or $(COUNT),1000000) --seed $(or $(SEED),1)

hostile: $(STAMP) ## 100,000 mutated inputs of each kind that strangers send, and 200 to processes (COUNT=… SEED=…)
	@$(BIN)/python -m tests.hostile.mutations --count $(or $(COUNT),100000) --seed $(or $(SEED),1)

soak: $(STAMP) ## Random worlds with hostile messages, every invariant checked after each block (SECONDS=600 SEED=0 RULES=…)
	@$(BIN)/python -m tests.sim.strangers --seconds $(or $(SECONDS),600) --seed $(or $(SEED),0) \
		$(if $(RULES),--rules $(RULES))

# What a round's work and an audit cost in the tables of docs/, in rewards of an honest node.
COSTS := --work-cost 0.3 --audit-cost 0.02

losses: $(STAMP) ## Take each rule of a round out of the law in turn: which random world shows it? (half an hour; RULES=koii-1 or RULES=life for the other rules)
	@$(BIN)/python -m tests.sim.losses --rules $(or $(RULES),roundwork-1)

economics: $(STAMP) ## Play every strategy against RULES (koii-1) again, and say what differs from docs/attack-RULES.jsonl
	@mkdir -p .roundwork
ifeq ($(RULES),roundwork-1)
	@# Costs are given, so that every machine plays the same table.
	@# The control: what wins under koii-1 still wins there. Then many hours of a processor; a second call goes on.
	@$(BIN)/python -m tests.sim.control
	@$(BIN)/roundwork attack examples/cipher --rules roundwork-1 --nodes 20 --share 33 --share 20 --share 5 \
		--silent 10 --silent 0 --seeds 30 --rounds 24 $(COSTS) --jobs 2 --save .roundwork/attack-cipher-20.jsonl --resume \
		--against docs/attack-roundwork-1.jsonl
	@$(BIN)/roundwork attack examples/cipher --rules roundwork-1 --nodes 100 --share 33 --share 20 --share 5 \
		--silent 10 --silent 0 --seeds 10 --rounds 12 $(COSTS) --jobs 2 --save .roundwork/attack-cipher-100.jsonl --resume \
		--against docs/attack-roundwork-1.jsonl
	@$(BIN)/roundwork attack examples/crawler --rules roundwork-1 --answers docs/attack-site.json \
		--param start=http://site.invalid/ --nodes 20 --share 33 --share 20 --share 5 --silent 10 --silent 0 --seeds 30 \
		--rounds 24 $(COSTS) --jobs 2 --save .roundwork/attack-crawler-20.jsonl --resume \
		--against docs/attack-roundwork-1-crawler.jsonl
	@$(BIN)/roundwork attack examples/crawler --rules roundwork-1 --answers docs/attack-site.json \
		--param start=http://site.invalid/ --nodes 100 --share 33 --share 20 --share 5 --silent 10 --silent 0 --seeds 10 \
		--rounds 12 $(COSTS) --jobs 2 --save .roundwork/attack-crawler-100.jsonl --resume \
		--against docs/attack-roundwork-1-crawler.jsonl
else
	@# Half an hour of a processor; a second call goes on.
	@$(BIN)/roundwork attack --nodes 5 --nodes 20 --nodes 100 --share 20 --share 40 --silent 0 --silent 30 \
		$(COSTS) --jobs 2 --save .roundwork/attack-koii-1.jsonl --resume --against docs/attack-koii-1.jsonl
	@$(BIN)/roundwork attack --nodes 20 --nodes 100 --share 20 --share 40 --silent 0 --silent 30 \
		--stakes mice --stakes whale --stakes pareto \
		$(COSTS) --jobs 2 --save .roundwork/attack-koii-1-stakes.jsonl --resume --against docs/attack-koii-1.jsonl
endif

mutants: $(STAMP) ## Plant 300 small faults in the law, one at a time: do its tests notice? (an hour; MODULES=tasks/sealed.py …)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group mutants
	@$(BIN)/python tests/mutants.py $(if $(MODULES),--modules $(MODULES))

coverage: $(STAMP) ## Branch coverage of the law, which must be complete
	@$(BIN)/python -m pytest tests/protocol -n 2 --cov=roundwork.protocol --cov-branch --cov-report=term-missing --cov-fail-under=100

bench: $(STAMP) ## Measure speed, each figure against REF in the same run
	@cd bench && for one in law transfers process startup simulate hostile $(if $(wildcard $(COMETBFT)),comet); do \
		../$(BIN)/python $$one.py || exit 1; echo; done

compat: $(STAMP) ## Install the stock clients that tests/compat drives, each in its own environment
	@bash tests/compat/install.sh

cometbft: ## Install CometBFT v0.39.4 into .tools/bin (needs Go)
	@bash tests/ledger/comet/install-cometbft.sh

programs: compat cometbft ## Install every other program that tests need (Debian: bubblewrap)
	@command -v bwrap >/dev/null || { apt-get update -qq && apt-get install -y -qq bubblewrap; } >/dev/null

clean: ## Remove what was installed and built
	@rm -rf $(VENV) .tools .roundwork
