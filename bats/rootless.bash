# An ordinary user's containers, and what there is of them: for tests that root runs, so that what is left is seen.

setup() {
  set_up_hosts
  # Of two uplinks, that would be the better (uplinks.bats).
  hide pasta
}

teardown() {
  local status=0
  tear_down_hosts || status=1
  rm -rf "/tmp/ocinet-$(id -u "$OCINET_TEST_USER")"
  return "$status"
}

# bundle ID OPTIONS...: a user's bundle for $RUNTIME (runc), as `ocinet inject OPTIONS` makes it
bundle() {
  rm -rf "$(path_of "$1")"
  make_bundle "$(path_of "$1")" "${RUNTIME:-runc}" rootless
  as_user "$OCINET" inject "${@:2}" "$(path_of "$1")"
}

# launch ID OPTIONS...: the same, and the container runs
launch() {
  bundle "$@"
  start_container "$1" "$(path_of "$1")"
}

# refused ID OPTIONS...: a container with them cannot start, and nothing of it stays; $output has the reason
refused() {
  bundle "$@"
  fails_to_start "$1"
  is_gone "$1"
}

# fails_to_start ID: $output has the reason, whose quotation marks runc and its log have escaped
fails_to_start() {
  run ! run_container "$1" "$(path_of "$1")"
  output=${output//\\\"/\"}
}

path_of() { echo "$BATS_TEST_TMPDIR/bundles/$1"; }
uplink_pids() { cat "$(user_state)/containers/$1/uplink.pid"; }
user_state() { echo "$HOST_DIR/user/run/ocinet"; }
slirp() { processes | grep -E '^(slirp4netns|nsenter|cat$|tail)'; }
no_slirp() { ! slirp; }

# is_gone ID: no process, no socket, no fifo, no state
is_gone() {
  no_slirp && [ ! -e "$(user_state)/containers/$1" ] && no_sockets "$HOST_DIR/user"
}

# no_containers: of the user's, which commands have too, a moment longer than they run
no_containers() { [ -z "$(ls "$(user_state)/containers")" ]; }

no_sockets() { [ -z "$(find "$1" \( -type s -o -type p \) -print)" ]; }

# says ID FILE: what the container prints as its first act, before anything could become ready behind its back
says() {
  set_args "$(path_of "$1")" sh -c "$2"
  run_container "$1" "$(path_of "$1")"
}

# name_server PLACE...: everything has the address 198.51.100.1; $ON is socat's address to listen on
name_server() {
  cat >"$BATS_TEST_TMPDIR/answer" <<'SCRIPT'
query=$(od -An -v -tx1 | tr -d ' \n')
answer=${query:0:4}81800001000100000000${query:24}c00c000100010000003c0004c6336401
printf "$(sed 's/../\\x&/g' <<<"$answer")"
SCRIPT
  background names "$@" socat "${ON:-UDP4-RECVFROM:53}",fork EXEC:"bash $BATS_TEST_TMPDIR/answer"
  wait_for is_bound "$@"
}

is_bound() { "$@" ss -Hlnu "sport = :53" | grep -q .; }

# nothing_is_blocked: no signal, in all that ocinet has started, but for the one that opens Deno's debugger in Deno; the
# keepers of the uplink and of the relay are there
nothing_is_blocked() {
  local pid blocked keepers=0
  for pid in $(test_pids); do
    case $(tr '\0' ' ' <"/proc/$pid/cmdline") in
      podman* | *conmon*) continue ;;
      "sh -c run="*) keepers=$((keepers + 1)) ;;
    esac
    blocked=0000000000000000
    case $(readlink "/proc/$pid/exe") in */deno) blocked=0000000000000200 ;; esac
    grep -x "SigBlk:"$'\t'"$blocked" "/proc/$pid/status" || fail "blocked in" "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
  done
  ((keepers == 2)) || fail "$keepers keepers:" "$(processes)"
}
