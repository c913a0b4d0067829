# hermes-runner, with hermes-tiny inside: `docker run` answers at once.
#
#   docker build -t hermes-runner .
#   docker run --rm -p 127.0.0.1:8000:8000 -e RUNNER_API_KEY=choose-one -v hermes:/data hermes-runner
#
# In a container the server has to listen on all addresses, which it does only with an API key:
# without RUNNER_API_KEY it says so and ends. For NVIDIA cards give all three build arguments:
#   --build-arg BUILD_IMAGE=nvidia/cuda:12.6.3-devel-ubuntu24.04
#   --build-arg RUN_IMAGE=nvidia/cuda:12.6.3-runtime-ubuntu24.04
#   --build-arg CMAKE_ARGS="-DGGML_CUDA=on -DGGML_NATIVE=off"
# Any Debian-like image with Python 3.11 or newer will do; both must have the same Python.
ARG BUILD_IMAGE=python:3.11-slim
ARG RUN_IMAGE=python:3.11-slim

FROM ${BUILD_IMAGE} AS build
# Not for this very processor: the image is to run on others as well (AVX2 on x86-64).
ARG CMAKE_ARGS="-DGGML_NATIVE=off"
ENV CMAKE_ARGS=${CMAKE_ARGS} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && (python3 -m venv --help >/dev/null 2>&1 \
        || apt-get install -y --no-install-recommends python3 python3-venv) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock ./
COPY scripts/engine_flags scripts/engine_wheel ./scripts/
COPY scripts/llama.cpp ./scripts/llama.cpp
RUN python3 -m venv /opt/runner \
    && scripts/engine_wheel /wheels /opt/runner/bin/python \
    && /opt/runner/bin/pip install /wheels/llama_cpp_python-*.whl -r requirements.lock
COPY pyproject.toml README.md LICENSE models.toml ./
COPY runner ./runner
RUN /opt/runner/bin/pip install --no-deps . && /opt/runner/bin/runner --version

FROM ${RUN_IMAGE} AS run
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && (python3 --version >/dev/null 2>&1 \
        || apt-get install -y --no-install-recommends python3) \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /data --no-create-home runner \
    && install -d -o runner -g runner /data
COPY --from=build /opt/runner /opt/runner
ENV PATH=/opt/runner/bin:$PATH HF_HOME=/data/huggingface RUNNER_HOME=/data/state RUNNER_HOST=0.0.0.0
VOLUME /data
WORKDIR /data
USER runner
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD python3 -c "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ.get('RUNNER_PORT', '8000') + '/health', timeout=4)"
ENTRYPOINT ["runner"]
CMD ["serve"]
