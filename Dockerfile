# One image for training, data jobs and Beam workers. tools/check_image.sh builds and tries it.
#   docker build -t ssl-recsys .                             CPU
#   docker build -t ssl-recsys --build-arg VARIANT=gpu .     NVIDIA GPU (run with --gpus=all)
#   docker build -t ssl-recsys --build-arg VARIANT=tpu .     TPU VM (run with --privileged --net=host)
#
# The first argument is a command (train, evaluate, …, wikipedia, app_install, …), a module
# (pipelines.wikipedia) or a program (python -m …); flags alone train:
#   mkdir -p data runs
#   alias ssl-recsys='docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/data:/work/data" -v "$PWD/runs:/work/runs" ssl-recsys'
#   ssl-recsys wikipedia --dump=data/DUMP.xml.bz2 --output_dir=data/wikipedia
#   ssl-recsys train --flagfile=configs/wiki_fd.flags
#   ssl-recsys --flagfile=configs/wiki_fd.flags
# Any user id works who may write in data and runs. Docker makes missing folders as root, where none
# but root can write: hence the mkdir.
#
# Beam workers (Flink, Spark: --environment_type=DOCKER --environment_config=ssl-recsys; Dataflow:
# --sdk_container_image=…) need Beam's boot program, of the Beam version in constraints/:
#   docker build -t ssl-recsys --build-arg BEAM_SDK=apache/beam_python3.11_sdk:2.77.0 .
# Without it the image is the same but for workers. --build-arg EXTRAS='gcp aws' installs extras of
# setup.py: gcp for gs:// paths and Dataflow, aws for s3:// paths.
ARG BASE=python:3.11-slim
ARG BEAM_SDK=${BASE}

FROM ${BEAM_SDK} AS beam_sdk
RUN mkdir -p /opt/apache/beam

FROM ${BASE}
ARG VARIANT=cpu
ARG EXTRAS=

# libgomp is ScaNN's OpenMP runtime.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# data and runs can be written by any user, whether or not something is mounted there.
RUN useradd --create-home --uid 1000 recsys \
    && mkdir -p /work/data /work/runs && chmod 1777 /work/data /work/runs
WORKDIR /work

# Dependencies, gigabytes, in a layer that lasts until they change; their hashes are checked.
COPY setup.py ./
COPY constraints constraints
COPY tools/requirements.py tools/check_libtpu.py tools/
# The TPU build of TensorFlow replaces the CPU one and comes with the libtpu that fits it.
RUN set -e; \
    pip() { python -m pip "$@" --no-cache-dir --quiet --root-user-action=ignore; }; \
    case "$VARIANT" in cpu | tpu) extras=$EXTRAS ;; gpu) extras="gpu $EXTRAS" ;; \
      *) echo "VARIANT must be cpu, gpu or tpu (got $VARIANT)" >&2; exit 1 ;; \
    esac; \
    pip install --require-hashes --requirement=constraints/pip.txt; \
    python tools/requirements.py serve $extras > /tmp/requirements.txt; \
    pip install --require-hashes --requirement=/tmp/requirements.txt setuptools \
      --constraint="constraints/python$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt"; \
    if [ "$VARIANT" = tpu ]; then \
      python -m pip uninstall --quiet --yes --root-user-action=ignore tensorflow; \
      pip install --no-deps --require-hashes --requirement=constraints/tpu.txt; \
      python tools/check_libtpu.py; \
    fi; \
    rm /tmp/requirements.txt

COPY --from=beam_sdk /opt/apache/beam /opt/apache/beam

# The code, once: it is imported from here, whatever the working directory.
COPY README.md LICENSE pyproject.toml ./
COPY configs configs
COPY data_prep data_prep
COPY pipelines pipelines
COPY ssl_recsys ssl_recsys
RUN PYTHONWARNINGS=ignore python -m pip install --quiet --no-cache-dir --root-user-action=ignore \
      --no-deps --no-build-isolation --editable . \
    && rm -rf ./*.egg-info
COPY tools/image_entrypoint.sh /usr/local/bin/ssl-recsys

# Users without an entry in /etc/passwd have a home too; Beam's workers use this environment, not
# one that they make at each start.
ENV HOME=/tmp RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
USER recsys
ENTRYPOINT ["ssl-recsys"]
CMD ["--help"]
