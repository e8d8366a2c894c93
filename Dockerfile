# The image of every pictrawl process. No compiler, downloader or package installer of ours is in what runs; it runs as uid 10001.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /src
# uv itself comes from the developers' lock: one version, with its hashes, for everybody.
COPY requirements.lock requirements-dev.lock ./
RUN sed -n '/^uv==/,/[^\\]$/p' requirements-dev.lock > uv.lock.txt \
    && python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --require-hashes -r uv.lock.txt
# Dependencies before the code, so that a change of the code costs one thin layer.
RUN python3 -m venv --without-pip /opt/pictrawl \
    && /opt/uv/bin/uv pip install --python /opt/pictrawl/bin/python --require-hashes --compile-bytecode -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY errors errors
COPY logging_setup logging_setup
COPY downloader downloader
COPY workers workers
COPY app app
RUN /opt/uv/bin/uv build --wheel --python /opt/pictrawl/bin/python --build-constraints requirements-dev.lock --require-hashes --out-dir dist \
    && /opt/uv/bin/uv pip install --python /opt/pictrawl/bin/python --no-deps --compile-bytecode dist/*.whl

FROM ${PYTHON_IMAGE} AS runtime
LABEL org.opencontainers.image.title="pictrawl" \
      org.opencontainers.image.description="Turn keywords or URL lists into image datasets fit for training" \
      org.opencontainers.image.licenses="MIT"
# The folders that volumes are mounted on: an empty named volume takes over their owner.
RUN groupadd --gid 10001 pictrawl \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pictrawl \
    && install -d -o 10001 -g 10001 -m 0750 /data /secrets /keys \
    && install -d /etc/pictrawl
COPY --from=build /opt/pictrawl /opt/pictrawl
# One BLAS thread: nothing here multiplies large matrices, and a pool of threads for each core would eat the limit on processes.
ENV PATH=/opt/pictrawl/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    PICTRAWL_WORKSPACE__PATH=/data
# A pictrawl.toml mounted here is read. It is not /data: what workers can write must not configure them.
WORKDIR /etc/pictrawl
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["pictrawl"]
CMD ["--help"]
