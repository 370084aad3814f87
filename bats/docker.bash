# A real dockerd, with an image of busybox: that of DOCKER, or Debian 12's (scripts/setup unpacks them beside the system's
# programs).

DOCKER=${DOCKER-/var/tmp/ocinet-docker-$UID}

# make_image DIRECTORY NAME [SCRIPT]: DIRECTORY/image.tar, an image of busybox as `docker load` and `ctr image import` read
# it, which runs a script of sh unless it is told another command
make_image() {
  local id
  mkdir -p "$1/image"
  tar -C "$(busybox_rootfs)" -cf "$1/image/layer.tar" .
  id=$(sha256sum <"$1/image/layer.tar" | cut -d' ' -f1)
  jq -n --arg id "sha256:$id" --arg script "${3-}" '{ architecture: "amd64", os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: ["sh", "-c", $script] }, rootfs: { type: "layers", diff_ids: [$id] } }' \
    >"$1/image/config.json"
  jq -n --arg name "$2" '[{ Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"] }]' >"$1/image/manifest.json"
  tar -C "$1/image" -cf "$1/image.tar" manifest.json config.json layer.tar
}

# start_dockerd: with an image "box"; its processes end with the first of their pid namespace
start_dockerd() {
  local data=$BATS_TEST_TMPDIR/docker
  mkdir -p "$data"
  in_host mkdir -p /run/docker/plugins
  rm -f "$BATS_TEST_TMPDIR/dockerd.log"
  background dockerd in_host env "PATH=$DOCKER/usr/sbin:$DOCKER/usr/bin:$PATH" \
    LD_LIBRARY_PATH="$DOCKER/lib/$(uname -m)-linux-gnu" \
    unshare --pid --fork --kill-child --mount-proc dockerd --storage-driver=vfs --data-root="$data" \
    --cgroup-parent="/ocinet-$UNIQUE-docker" --userland-proxy=false --pidfile=/run/dockerd.pid "$@"
  wait_for docker version >/dev/null 2>&1 || fail "dockerd did not start:" "$(tail -n 20 "$BATS_TEST_TMPDIR/dockerd.log")"
  [ -e "$data/image.tar" ] || make_image "$data" box:latest
  docker image inspect box >/dev/null 2>&1 || docker load --quiet --input "$data/image.tar" >/dev/null
}

docker() { in_host "$DOCKER/usr/bin/docker" "$@"; }

# docker_run NAME OPTIONS... -- COMMAND...: it goes on
docker_run() {
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  docker run --detach --name "$name" --hostname "$name" "${options[@]}" box "${@:2}" >/dev/null
}

# end_dockerd SIGNAL: by TERM it ends its containers first; by KILL all of its processes end with it
end_dockerd() {
  local first
  first=$(pgrep --parent "$(<"$BATS_TEST_TMPDIR/background/dockerd")")
  kill "-$1" "$first"
  wait_for gone "$first"
  stop dockerd
  # Whose pids these were, others have in the next namespace.
  in_host find /run/dockerd.pid /run/docker.sock /run/docker -maxdepth 1 ! -path /run/docker ! -name plugins \
    -exec rm -rf {} + 2>/dev/null || true
}

# tear_down_docker: containers that were killed with dockerd have left their cgroups
tear_down_docker() {
  if [ -e "$BATS_TEST_TMPDIR/background/dockerd" ]; then end_dockerd KILL; fi
  find /sys/fs/cgroup -mindepth 3 -maxdepth 3 -path "*/ocinet-$UNIQUE-docker/*" -type d -exec rmdir {} + 2>/dev/null || true
}
