# What an agent finds on a machine with NVIDIA GPUs: CUDA, PyTorch, vLLM, TRL, and Node.js for the agents that need it.
# Build it from a checkout, whose constraints.txt pins every Python package but vLLM's own:
#   docker build --tag posttrainbench-agent:VERSION --file src/posttrainbench/sandboxes/images/agent.Dockerfile .
# Agents themselves are not in it: `ptb agents install NAME` fetches them, and they are shown read-only.
# Not built here yet: no machine of ours reaches an image registry. Its text is checked, its result is not.
FROM nvidia/cuda:12.8.1-devel-ubuntu24.04

ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install --yes --no-install-recommends \
        build-essential ca-certificates curl git jq less nodejs npm procps python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# `python` inside, with what the evaluation needs. Our own package stays out: test items lie in its data.
COPY pyproject.toml constraints.txt README.md LICENSE /build/
COPY src /build/src
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --constraint /build/constraints.txt /build \
    && /opt/venv/bin/python -m pip uninstall --yes posttrainbench \
    && rm -rf /build
# vLLM pins its own PyTorch, which replaces the one before.
RUN /opt/venv/bin/python -m pip install --no-cache-dir vllm==0.32.0 trl==1.16.0 peft==0.21.2

LABEL posttrainbench.python="own"
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
