# Root's service for ordinary users, and a user who asks it: for tests that root runs.

# policy LINE...: what the service grants; TEST_USER stands for the user
policy() {
  local line
  for line in "$@"; do echo "${line//TEST_USER/$OCINET_TEST_USER}"; done >"$BATS_TEST_TMPDIR/policy"
}

# start_helper [LINE...]: the service, once it listens
start_helper() {
  (($# == 0)) || policy "$@"
  # No more than its unit has.
  background helper in_host bash -c "$close_inherited" bash setpriv --no-new-privs --inh-caps=-all \
    --bounding-set=-all,+chown,+kill,+net_admin,+net_raw,+setgid,+setpcap,+setuid,+sys_admin,+sys_ptrace \
    env PATH="${HELPER_PATH:-$PATH}" "$OCINET" helper --policy "$BATS_TEST_TMPDIR/policy"
  wait_for helper_listens || fail "$(helper_log)"
}

# Of its own it has what systemd gives a service: what the shell that started the tests has open is none of its.
# shellcheck disable=SC2016 # the inner shell's
close_inherited='for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd < 3)) || eval "exec $fd>&-"; done; exec "$@"'

helper_listens() { grep -qs 'serves users' "$BATS_TEST_TMPDIR/helper.log"; }
helper_log() { cat "$BATS_TEST_TMPDIR/helper.log"; }
helper_pid() { cat "$BATS_TEST_TMPDIR/background/helper"; }
user_id() { id -u "$OCINET_TEST_USER"; }
helper_socket() { echo "/run/ocinet-helper/$(user_id)"; }

# says_to_helper TEXT: the answer to it, sent as the user
says_to_helper() { printf '%s' "$1" | as_user socat -t 60 - "UNIX-CONNECT:$(helper_socket)"; }

# hold_namespace NAME: namespaces of the user's, whose holder's pid is then in $BATS_TEST_TMPDIR/background/NAME
hold_namespace() {
  background "$1" as_user unshare --user --map-root-user --net sh -c 'echo ready; exec sleep 1000'
  wait_for grep -qs ready "$BATS_TEST_TMPDIR/$1.log"
}
holder_of() { cat "$BATS_TEST_TMPDIR/background/$1"; }

# helpers_containers: what the service has attached
helpers_containers() { in_host ls "$STATE_DIR/containers" 2>/dev/null || true; }
nothing_attached() {
  [ -z "$(helpers_containers)" ] && [ -z "$(in_host sh -c 'ls -d /sys/class/net/veth*' 2>/dev/null)" ]
}
