#!/bin/sh
# A model on one or more GPUs with vLLM: sh examples/serving/gpu.sh MODEL [NAME=ADAPTER-FOLDER ...]
#
# Every flag is there for a reason:
#   --logprobs-mode raw_logprobs   the model's own, before temperature and penalties; vLLM's default, which must stay
#   --generation-config vllm       no sampling settings of the model's author
#   head_dtype float32             logits are not rounded to 16 bits
#   --enable-prefix-caching        few-shot examples are computed once for all items; vLLM's default
#   --max-logprobs 128             the most that one request may name
#   --enable-prompt-tokens-details answers say how much of a prompt came from the prefix cache
# Not tested on a GPU by this project; tested on a CPU are the requests that it sends (docs/server.md).
set -eu
model=$1
shift
if [ $# -gt 0 ]; then
  # Base and all adapters stand on one server; the rank is at least that of the largest adapter.
  set -- --enable-lora --max-lora-rank "${MAX_LORA_RANK:-64}" --lora-modules "$@"
fi
exec vllm serve "$model" \
  --served-model-name "${NAME:-model}" \
  --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}" \
  --dtype "${DTYPE:-bfloat16}" \
  --hf-overrides '{"head_dtype": "float32"}' \
  --tensor-parallel-size "${GPUS:-1}" \
  --max-model-len "${CONTEXT:-4096}" \
  --max-logprobs 128 \
  --logprobs-mode raw_logprobs \
  --generation-config vllm \
  --enable-prefix-caching \
  --enable-prompt-tokens-details \
  "$@"
