# For scripts that make a cluster of their own. `enter_world "$@"` starts the script once more in namespaces of its own, where
# the tests' words for hosts, agents and containers are known (bats/overlay.bash).
# shellcheck shell=bash disable=SC2034 # for those

enter_world() {
  if [ -z "${WORLD_INSIDE-}" ]; then
    scripts/build
    WORLD_INSIDE=yes unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
      "scripts/${0##*/}" "$@"
    exit
  fi
  BATS_TEST_TMPDIR=$(mktemp -d) BATS_TEST_NUMBER=1 OCINET=${OCINET:-$PWD/dist/ocinet} PATH=$PWD/node_modules/.bin:$PATH
  mount -t tmpfs -o mode=755 tmpfs "$BATS_TEST_TMPDIR"
  trap 'umount -l "$BATS_TEST_TMPDIR"; rmdir "$BATS_TEST_TMPDIR"' EXIT
  mount -t tmpfs -o mode=755 tmpfs /run
  # Where Deno keeps what it has compiled for root (src/launcher.sh).
  mount -t tmpfs tmpfs /var/cache
  mkdir -p /run/lock
  # A directory to mount over that no other test run removes: that would unmount it here, too.
  mkdir -p "$BATS_TEST_TMPDIR"/.etc/{upper/ocinet,work}
  mount -t overlay -o "lowerdir=/etc,upperdir=$BATS_TEST_TMPDIR/.etc/upper,workdir=$BATS_TEST_TMPDIR/.etc/work" overlay /etc
  ip link set dev lo up
  bats_require_minimum_version() { :; }
  load() { . bats/hosts.bash; }
  . bats/lib.bash
  . bats/overlay.bash
}
