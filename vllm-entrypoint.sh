#!/bin/sh
# Starts vLLM for a registry key, a Hugging Face id or a folder: vllm-entrypoint.sh [--print] [MODEL] [-- VLLM_ARGUMENTS]
# What it reads, prints and refuses: docs/VLLM_IMAGE.md. The thinking is in services/llm/serving; this only finds a Python.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=${CUTOVER_VLLM_PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "$python is not a Python 3.11 or newer; next: set CUTOVER_VLLM_PYTHON to the Python that has vLLM" >&2
  exit 69
fi

# exec: this process becomes vLLM, so that signals reach it. -P: no package of the working directory is taken for ours.
export CUTOVER_VLLM_HOME="$here"
exec env PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" "$python" -P -m services.llm.serving "$@"
