# The whole workflow: `make run` and `make test` set up everything they need in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-eps exploits mutations check format clean

run: $(VENV)/installed
	$(BIN)/bench run

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

# Two builds of ONNX Runtime cannot stand in one environment, so that each provider has one of its own.
test-eps: $(VENV)-openvino/installed $(VENV)-qnn/installed
	$(VENV)-openvino/bin/python -m pytest tests/eps/openvino
	$(VENV)-qnn/bin/python -m pytest tests/eps/qnn

exploits: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/exploits

mutations: $(VENV)/installed-test
	BENCH_TEST_MUTATIONS=many $(BIN)/python -m pytest tests/properties

check: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

format: $(VENV)/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch comes first and alone: what else needs it then takes the version that is pinned.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[measure,clock,params]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[measure,clock,params,test]'
	touch $@

$(VENV)-openvino/installed: EP = onnxruntime-openvino
$(VENV)-qnn/installed: EP = onnxruntime onnxruntime-qnn

# Without torch: an execution provider is measured with onnx and the base dependencies.
$(VENV)-%/installed: setup.cfg pyproject.toml constraints.txt constraints-eps.txt
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -c constraints-eps.txt -e . $(EP) onnx pytest
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-openvino $(VENV)-qnn build *.egg-info .mypy_cache .ruff_cache .pytest_cache
