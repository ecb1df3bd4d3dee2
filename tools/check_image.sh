#!/usr/bin/env bash
# Builds the image of the Dockerfile and tries it: training, a data job, Beam workers, mounts, users.
#
#   tools/check_image.sh [--variant=cpu|gpu|tpu] [--base=IMAGE] [--keep]
#   tools/check_image.sh --image=IMAGE       tries an image that was built before
#
# It needs docker with a running engine, or buildah and iproute2 as root (Debian's packages). Where
# the base, python:3.11-slim, cannot be pulled, debootstrap makes a stand-in of Debian 12 with its
# Python 3.11, this machine's certificates and its pip settings. Where Go is installed, Beam's boot
# program is built for the test of workers. 10 minutes, most of them downloads; 12 GB of disk.
# --keep leaves the image, named ssl-recsys-check. Status 0: all held.
set -euo pipefail
cd "$(dirname "$0")/.."

VARIANT=cpu BASE=python:3.11-slim KEEP= IMAGE=
for argument in "$@"; do
  case "$argument" in
    --variant=*) VARIANT=${argument#*=} ;;
    --base=*) BASE=${argument#*=} ;;
    --keep) KEEP=yes ;;
    --image=*) IMAGE=${argument#*=} KEEP=yes ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
SCRATCH=$(mktemp -d)
COPY=$SCRATCH/source
MADE=()

say() { printf '%s\n' "check_image: $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

if docker info >/dev/null 2>&1; then
  TOOL=docker
elif command -v buildah >/dev/null && [ "$(id -u)" = 0 ]; then
  TOOL=buildah
else
  say "neither a docker engine nor buildah as root is here" >&2
  exit 2
fi

build() {  # build NAME DIRECTORY [ARGUMENT...]
  local name=$1 directory=$2
  shift 2
  if [ "$TOOL" = docker ]; then
    docker build --quiet --tag "$name" "$@" "$directory" >"$SCRATCH/build.log"
  else
    buildah bud --isolation=chroot --layers --tag "$name" "$@" "$directory" >"$SCRATCH/build.log" 2>&1 ||
      { tail -n 20 "$SCRATCH/build.log" >&2; fail "the build of $name"; }
  fi
}

# in_image USER ARGUMENT...: runs the entry point with data and runs of $SCRATCH and without a network.
in_image() {
  local user=$1
  shift
  local mounts=(--volume "$SCRATCH/data:/work/data" --volume "$SCRATCH/runs:/work/runs")
  if [ "$TOOL" = docker ]; then
    docker run --rm --network=none --hostname=localhost --user "$user" "${mounts[@]}" "$IMAGE" "$@"
  else
    local container status=0
    container=$(buildah from "$IMAGE")
    unshare --net sh -c 'ip link set lo up && exec "$@"' - \
      buildah run --isolation=chroot --hostname=localhost --user "$user" "${mounts[@]}" \
      "$container" -- ssl-recsys "$@" || status=$?
    buildah rm "$container" >/dev/null
    return "$status"
  fi
}

remove() {
  local image
  for image in "$@"; do
    if [ "$TOOL" = docker ]; then docker image rm "$image"; else buildah rmi "$image"; fi
  done >/dev/null 2>&1 || true
}

clean_up() {
  [ -n "$KEEP" ] || remove "${MADE[@]}"
  rm -rf "$SCRATCH"
}
trap clean_up EXIT

stand_in() {  # a base image of Debian's packages
  say "$BASE cannot be pulled: a stand-in by debootstrap"
  command -v debootstrap >/dev/null || fail "debootstrap is not installed"
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
    bookworm "$SCRATCH/base" >"$SCRATCH/debootstrap.log" || fail "debootstrap"
  rm "$SCRATCH/base/usr/lib/python3.11/EXTERNALLY-MANAGED"
  ln -s python3 "$SCRATCH/base/usr/bin/python"
  cp /etc/ssl/certs/ca-certificates.crt "$SCRATCH/base/etc/ssl/certs/"
  cp /etc/pip.conf "$SCRATCH/base/etc/" 2>/dev/null || true
  BASE=localhost/ssl-recsys-stand-in
  printf 'FROM scratch\nCOPY . /\nCMD ["python"]\n' >"$SCRATCH/Dockerfile"
  build "$BASE" "$SCRATCH/base" --file "$SCRATCH/Dockerfile"
  MADE+=("$BASE")
  rm -rf "$SCRATCH/base"
}

beam_boot() {  # an image with the boot program, for BEAM_SDK
  local beam
  beam=$(sed -n 's/^apache-beam==\([0-9.]*\).*/\1/p' constraints/python3.11.txt)
  GOBIN="$SCRATCH/boot" go install "github.com/apache/beam/sdks/v2/python/container@v$beam"
  printf 'ARG BASE\nFROM ${BASE}\nCOPY container /opt/apache/beam/boot\n' >"$SCRATCH/Dockerfile"
  build localhost/ssl-recsys-boot "$SCRATCH/boot" --build-arg "BASE=$BASE" --file "$SCRATCH/Dockerfile"
  MADE+=(localhost/ssl-recsys-boot)
}

build_all() {  # the image, and again after an edit
  local arguments
  "$TOOL" pull "$BASE" >/dev/null 2>&1 || stand_in
  arguments=(--build-arg "BASE=$BASE" --build-arg "VARIANT=$VARIANT")
  if command -v go >/dev/null; then
    beam_boot
    arguments+=(--build-arg BEAM_SDK=localhost/ssl-recsys-boot)
  fi
  # A copy of what is committed or changed, so that its source can be edited.
  mkdir "$COPY"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$COPY"
  SECONDS=0
  build "$IMAGE" "$COPY" "${arguments[@]}"
  say "built $IMAGE ($VARIANT) with $TOOL in $SECONDS s"

  echo '# An edit.' >>"$COPY/ssl_recsys/train.py"
  SECONDS=0
  build "$IMAGE" "$COPY" "${arguments[@]}"
  say "built again after an edit of the source in $SECONDS s"
  [ "$SECONDS" -lt 120 ] || fail "an edit of the source installs the dependencies again"
}

if [ -z "$IMAGE" ]; then
  IMAGE=ssl-recsys-check
  MADE+=("$IMAGE")
  build_all
fi

if [ "$TOOL" = docker ]; then
  SIZE=$(docker image inspect --format '{{.Size}}' "$IMAGE")
else
  SIZE=$(buildah images --json "$IMAGE" | sed -n 's/.*"size": "\(.*\)",*/\1/p' | head -n 1)
fi
say "size: $SIZE"

mkdir "$SCRATCH/data" "$SCRATCH/runs"
FOUND=$(in_image 0 find / -xdev -path '*ssl_recsys/model/two_tower.py' -o -xdev -path '*/build/lib' | sort)
[ "$FOUND" = /work/ssl_recsys/model/two_tower.py ] || fail "the code is there more than once: $FOUND"
say "the code is there once"

# Folders that docker would have made as root.
if in_image 1000 train --flagfile=configs/demo_baseline.flags 2>"$SCRATCH/refused"; then
  fail "folders of root were taken"
fi
grep -q 'sudo chown' "$SCRATCH/refused" || fail "no remedy for folders of root: $(cat "$SCRATCH/refused")"
say "folders that belong to root are refused with the remedy"

try() {  # try USER WORDS...: a run with status 0
  SECONDS=0
  in_image "$@" >"$SCRATCH/log" 2>&1 || { tail -n 20 "$SCRATCH/log" >&2; fail "${*:2} as $1"; }
  say "${*:2:2} (user $1): $SECONDS s"
}
use() {  # use USER: the folders are this user's
  rm -rf "$SCRATCH"/{data,runs}/*
  chown "$1" "$SCRATCH/data" "$SCRATCH/runs"
}
use 1000
try 1000 synthetic --kind=wikipedia --num_items=1000 --output=data/demo_dump.xml.bz2
try 1000 pipelines.wikipedia --dump=/work/data/demo_dump.xml.bz2 --output_dir=data/demo
try 1000 --flagfile=configs/demo_baseline.flags --max_epochs=1
try 1000 python -m ssl_recsys.evaluate --model_dir=runs/demo_baseline --retrieval=scann

# In one container, with no network but its own: the job server that is tried listens everywhere.
read -r -d '' BY_WORKERS <<'END' || true
ssl-recsys --worker_pool >/tmp/pool 2>&1 & pool=$!
python -m apache_beam.runners.portability.local_job_service_main --job_port=8099 >/tmp/server 2>&1 & server=$!
sleep 15
ssl-recsys wikipedia --dump=/work/data/demo_dump.xml.bz2 --output_dir=/work/data/by_workers \
  --runner=PortableRunner --job_endpoint=localhost:8099 \
  --environment_type=EXTERNAL --environment_config=localhost:50000
status=$?
[ "$status" = 0 ] || tail -n 20 /tmp/pool /tmp/server
kill "$pool" "$server"
exit "$status"
END
if in_image 1000 test -x /opt/apache/beam/boot 2>/dev/null; then
  try 1000 sh -c "$BY_WORKERS"
  diff -r "$SCRATCH/data/demo" "$SCRATCH/data/by_workers" || fail "Beam workers wrote another dataset"
  say "Beam workers, started by the boot program, write the same dataset"
else
  say "Beam workers were not tried: the image has no boot program"
fi

use 4321  # without an entry in /etc/passwd
try 4321 synthetic --kind=wikipedia --num_items=1000 --output=data/demo_dump.xml.bz2
try 4321 wikipedia --dump=data/demo_dump.xml.bz2 --output_dir=data/demo
try 4321 train --flagfile=configs/demo_fd.flags --max_epochs=1
[ "$(stat -c %u "$SCRATCH/runs/demo_fd/export")" = 4321 ] || fail "the run belongs to another user"
say "all held"
