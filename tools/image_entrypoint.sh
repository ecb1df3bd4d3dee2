#!/bin/sh
# What a container of the image runs, by its first argument: a command (train, wikipedia, …), a
# module (pipelines.wikipedia), any program (python, bash), a Beam worker (the arguments that a
# runner gives), or with flags alone, train.
set -eu

# Docker makes a missing folder of a mount as root: say so before hours of work are for nothing.
for folder in /work/data /work/runs; do
  if [ ! -w "$folder" ] && [ -z "$(ls -A "$folder" 2>/dev/null || echo unreadable)" ] &&
    ! grep -q " $folder [^ ]* ro[, ]" /proc/self/mounts; then
    echo "ssl-recsys: $folder is empty and user $(id -u) cannot write there: docker made it for" \
      "root, since the folder to mount was missing. On the host: sudo chown" \
      "\"\$(id -u)\" data runs (next time: mkdir -p data runs), and give docker run" \
      "--user \"\$(id -u):\$(id -g)\"." >&2
    exit 2
  fi
done

for argument in "$@"; do
  case "$argument" in
    --worker_pool | --provision_endpoint=*)
      if [ -x /opt/apache/beam/boot ]; then
        cd "$(mktemp -d)" # it writes its options into the working directory
        exec /opt/apache/beam/boot "$@"
      fi
      echo "ssl-recsys: this image has no Beam boot program: build it with --build-arg" \
        "BEAM_SDK=apache/beam_python3.11_sdk:VERSION (see the Dockerfile)." >&2
      exit 2
      ;;
  esac
done

case "${1-}" in
  '' | -*) exec python -m ssl_recsys.train "$@" ;;
  train | evaluate | baselines | recommend | embed | index | serve | advise | calibrate) module="ssl_recsys.$1" ;;
  wikipedia | app_install | interactions | synthetic | popularity | tune | study) module="pipelines.$1" ;;
  ssl_recsys.* | pipelines.*) module="$1" ;;
  *)
    if ! command -v "$1" >/dev/null; then
      echo "ssl-recsys: no command, module or program $1 (there are train, evaluate, baselines, advise, calibrate," \
        "recommend, embed, index, serve, wikipedia, app_install, interactions, synthetic, popularity, tune" \
        "and study)." >&2
      exit 2
    fi
    exec "$@"
    ;;
esac
shift
exec python -m "$module" "$@"
