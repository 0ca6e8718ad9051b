# run, test, check, bench: each sets up what it needs from Python 3.11+, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test test-emulators check check-terraform terraform bench identity-month soak fuzz regions readme gtm clean

run: $(STAMP) ## both functions and their stand-ins on loopback; ONCE=1 checks and ends
	$(BIN)/python -m tests.local.run $(if $(ONCE),--once)

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not emulator and not fuzz and not terraform and not soak"

test-emulators: $(STAMP) ## the same tests against Google's emulators of Pub/Sub and Firestore and local-bigquery
	PYTHON="$(BIN)/python" tests/emulators/run

check: $(STAMP) check-terraform
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check-terraform: $(STAMP) ## by Terraform itself, its providers from the registry or TF_REATTACH_PROVIDERS; QUICK=1 misspells nothing
	$(BIN)/python -m pytest -m terraform $(if $(QUICK),-k "not Misspellings") tests/test_terraform.py tests/test_terraform_checklist.py tests/test_terraform_readme.py

terraform: $(STAMP) ## what is generated for it and of it: the steps of the view `errors`, README tables, tests/data/terraform.json
	$(BIN)/python -m tests.tools.build_next_steps
	$(BIN)/python -m tests.tools.build_terraform_readme
	$(BIN)/python -m tests.tools.build_terraform

bench: $(STAMP)
	$(BIN)/python -m tests.bench

soak: $(STAMP) ## segments at full size, from local-bigquery where it can be had: some minutes
	PYTHON="$(BIN)/python" tests/emulators/run -m soak -s

identity-month: $(STAMP) ## a made-up month through the identity graph; its people with ARGS="--seed 8 --people 1000"
	$(BIN)/python -m tests.simulate_identity $(ARGS)

fuzz: $(STAMP)
	$(BIN)/python -m pytest -m fuzz

regions: $(STAMP) ## lib/regions.json and lib/currencies.json anew from the installed pycountry and babel
	$(BIN)/python -m tests.tools.build_regions
	$(BIN)/python -m tests.tools.build_currencies

readme: $(STAMP) ## the README's generated tables anew
	$(BIN)/python -m tests.tools.build_readme

gtm: $(STAMP) ## gtm/template.tpl and gtm/form.svg anew from their parts
	$(BIN)/python -m tests.tools.build_gtm

clean:
	rm -rf $(VENV) .bigquery-emulator .gtm

# The stamp names the interpreter too: another PYTHON means another environment.
$(STAMP): requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
