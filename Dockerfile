# One image for CPU, GPU and TPU VM:
#   docker build -t ssl-recsys .                             CPU
#   docker build -t ssl-recsys --build-arg VARIANT=gpu .     NVIDIA GPU (run with --gpus=all)
#   docker build -t ssl-recsys --build-arg VARIANT=tpu .     TPU VM (run with --privileged --net=host)
#   docker run -v "$PWD/data:/work/data" -v "$PWD/runs:/work/runs" ssl-recsys --flagfile=configs/wiki_fd.flags
FROM python:3.11-slim

ARG VARIANT=cpu

# libgomp is ScaNN's OpenMP runtime.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 recsys && mkdir /work && chown recsys /work
WORKDIR /work

COPY --chown=recsys setup.py pyproject.toml README.md LICENSE ./
COPY --chown=recsys ssl_recsys ssl_recsys
COPY --chown=recsys data_prep data_prep
COPY --chown=recsys pipelines pipelines
COPY --chown=recsys configs configs

# The TPU build of TensorFlow replaces the CPU one, in the same version, and brings
# libtpu.
RUN case "$VARIANT" in \
      cpu) pip install --no-cache-dir . ;; \
      gpu) pip install --no-cache-dir '.[gpu]' ;; \
      tpu) pip install --no-cache-dir . \
           && version="$(python -c 'import importlib.metadata as m; print(m.version("tensorflow"))')" \
           && pip uninstall --yes tensorflow \
           && pip install --no-cache-dir "tensorflow-tpu==${version%.*}.*" ;; \
      *) echo "VARIANT must be cpu, gpu or tpu (got $VARIANT)" >&2; exit 1 ;; \
    esac

USER recsys
ENTRYPOINT ["python", "-m", "ssl_recsys.train"]
CMD ["--help"]
