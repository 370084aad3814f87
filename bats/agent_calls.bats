#!/usr/bin/env bats
# Calls that an agent serves: the same as without it, and no runtime is started. Where PATH has none, that is the proof.
# shellcheck disable=SC2154 # what run sets
load lib

setup() {
  export OCINET_TEST_AGENT=yes
  set_up_hosts
  in_host ip netns add box
  background holder in_host ip netns exec box sleep 1000
  BOX_PID=$(<"$BATS_TEST_TMPDIR/background/holder")
  wait_for in_box
  CALLS=/proc/$HOST_PID/root/run/ocinet/calls
}

teardown() {
  stop holder
  in_host ip netns delete box
  tear_down_hosts
}

in_box() { [ "$(readlink "/proc/$BOX_PID/ns/net")" = "$(in_host ip netns exec box readlink /proc/self/ns/net)" ]; }

# served COMMAND...: an agent's process does it, or it fails
served() { wait_for agent_waits && in_host env PATH=/nonexistent "$@"; }

# alone COMMAND...: a runtime of its own does it
alone() { in_host env OCINET_AGENT=no "$@"; }

# refused PREFIX...: a call that is started by that would have needed a runtime of its own
refused() {
  wait_for agent_waits
  run -1 --separate-stderr in_host "$@" env PATH=/nonexistent "$OCINET" ls
  [[ $stderr == "ocinet: Cannot start: "* ]] || fail "$output" "$stderr"
}

# busy: sets SLOT and WORKER to a slot with a caller, and the process there
busy() {
  local caller
  for caller in "$CALLS"/*/*/caller; do
    SLOT=${caller%/caller}
    # A slot whose call has just ended goes while it is read.
    [ -s "$caller" ] && WORKER=$(cat "$SLOT"/{ready,begun} 2>/dev/null || true) && [ -n "$WORKER" ] && return
  done
  return 1
}

# story HOW: calls that leave nothing, and all that they say
story() {
  local how=$1 state conf id=c1
  state=$(jq -nc --argjson pid "$BOX_PID" '{ ociVersion: "1.0.2", id: "web", $pid, bundle: "/nonexistent" }')
  conf='{ "cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0",
    "ipam": { "type": "static", "addresses": [{ "address": "10.1.1.9/24" }] } }'
  echo "$conf" >"$BATS_TEST_TMPDIR/net.conf"
  local plugin=(/usr/bin/env "CNI_CONTAINERID=$id" CNI_IFNAME=eth0 CNI_NETNS=/run/netns/box)
  local cni=(/usr/bin/env "NETCONFPATH=$BATS_TEST_TMPDIR" "$OCINET" cni)
  # Each stream is a pipe of its own.
  call() {
    local input=$1
    shift
    echo "== ${*##*/}"
    {
      {
        { "$how" "$@" <<<"$input" || echo "status $?"; } 2>&1 1>&4 4>&- | sed 's/^/stderr: /' >"$BATS_TEST_TMPDIR/err"
      } 4>&1
    } | cat
    cat "$BATS_TEST_TMPDIR/err"
  }
  call "" "$OCINET" ls
  call "" "$OCINET" up --net default:IP=172.16.28.9 -p 8080:80 /run/netns/box
  call "" "$OCINET" up /run/netns/box
  call "" "$OCINET" port add box 8443:443
  call "" "$OCINET" port add box 8443:443
  call "" "$OCINET" ls --json
  call "" "$OCINET" port rm box 8443:443
  call "" "$OCINET" down box
  call "" "$OCINET" down --json box
  call "$state" "$OCINET" hook createRuntime --net default:IP=172.16.28.9
  call "" "$OCINET" ls
  call "$state" "$OCINET" hook poststop
  call "$state" "$OCINET" hook never
  call "{" "$OCINET" hook auto
  call "" "$OCINET" up --help
  call "" "$OCINET" up --dry-run --net default:IP=172.16.28.9 /run/netns/box
  call "$conf" "${plugin[@]}" CNI_COMMAND=ADD "$OCINET" plugin bridge
  call "$conf" "${plugin[@]}" CNI_COMMAND=DEL "$BATS_TEST_TMPDIR/bridge"
  call "" "${plugin[@]}" CNI_COMMAND=ADD "$BATS_TEST_TMPDIR/bridge"
  call "" "${cni[@]}" add net /run/netns/box
  call "" "${cni[@]}" check net /run/netns/box
  call "" "${cni[@]}" del net /run/netns/box
  call "" "${cni[@]}" add other /run/netns/box
}

# Times, and the IPv6 address that comes next.
without_chance() { sed -E 's/"created": "[^"]*"//; s/(fd6f:6369:6e65:28::)[0-9a-f]+/\1N/g'; }

@test "calls say, do and return the same by an agent's process and by one of their own" {
  ln -s "$OCINET" "$BATS_TEST_TMPDIR/bridge"
  # Shared things stay.
  story alone >"$BATS_TEST_TMPDIR/first"
  snapshot >"$BATS_TEST_TMPDIR/before"
  story served | without_chance >"$BATS_TEST_TMPDIR/served"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  story alone | without_chance >"$BATS_TEST_TMPDIR/alone"
  diff -u "$BATS_TEST_TMPDIR/alone" "$BATS_TEST_TMPDIR/served"
  # A file that others write too, a directory and a mask for files' modes are the caller's.
  (umask 027 && cd "$BATS_TEST_TMPDIR" && { echo before; served "$OCINET" ls; echo after; } >"$BATS_TEST_TMPDIR/file")
  [ "$(<"$BATS_TEST_TMPDIR/file")" = "$(printf '%s\n' before "ID  STATE  NETWORKS  PORTS" after)" ]
  # A process serves call after call. What one caller's stream did not take, no other one's gets.
  wait_for serves_again
  for _ in 1 2 3; do
    # shellcheck disable=SC2016 # the inner shell's
    run ! in_host sh -c '"$1" ls >/dev/full' sh "$OCINET"
    [ "$(served "$OCINET" ls)" = "ID  STATE  NETWORKS  PORTS" ]
  done
}
serves_again() { served "$OCINET" ls >/dev/null && grep -qs '[1-9]' "$CALLS"/*/*/served; }

@test "a caller from another place, with less power or for another runtime is not served" {
  served "$OCINET" ls
  refused env OCINET_AGENT=no
  refused env OCINET_RUNTIME=/nonexistent/deno
  refused ip netns exec box
  refused unshare --pid --fork
  refused unshare --mount
  refused setpriv --bounding-set=-net_admin --inh-caps=-net_admin
  refused setpriv --no-new-privs
  refused prlimit --nofile=100
  refused sh -c 'exec "$@" <&-' sh
  # shellcheck disable=SC2016 # the inner shell's
  # What runs is not this program, whatever it writes.
  run -0 in_host bash -c 'for slot in /run/ocinet/calls/*/*/; do
    echo $$ >"$slot/caller"
    exec 3<>"$slot/request" 4<"$slot/answer"
    echo $$ >&3
    read -r answer <&4
    echo "$answer"
    exit
  done'
  [ "$output" = "cold it runs another program" ]
  if [ -n "${OCINET_TEST_USER-}" ]; then
    run ! as_user ls /run/ocinet/calls
    run -1 as_user env PATH=/nonexistent XDG_RUNTIME_DIR=/run "$OCINET" ls
    [[ $output == *"Cannot start: neither deno"* ]]
    # A user's own agent serves the user.
    background own as_user "$OCINET" agent --workers 1
    own_waits() { compgen -G "$HOST_DIR/user/run/ocinet/calls/*/*/ready" >/dev/null; }
    wait_for own_waits
    run -0 --separate-stderr as_user env PATH=/nonexistent "$OCINET" ls
    [ "$output" = "ID  STATE  NETWORKS  PORTS" ]
    stop own
    run ! own_waits
  fi
}

# ask NAME: a hook whose input comes from fd 7, in the background; sets ASKED
ask() {
  rm -f "$BATS_TEST_TMPDIR/input"
  mkfifo "$BATS_TEST_TMPDIR/input"
  in_host "$OCINET" hook createRuntime --net default:IP=172.16.28.9 <"$BATS_TEST_TMPDIR/input" \
    >"$BATS_TEST_TMPDIR/asked" 2>&1 3>&- &
  ASKED=$!
  exec 7>"$BATS_TEST_TMPDIR/input"
  wait_for busy || fail "No process took the call:" "$(ls "$CALLS"/*/*)" "$(<"$BATS_TEST_TMPDIR/agent.log")"
}

@test "a call gives its result when the process that serves it is killed, and frees it when it is killed itself" {
  local state=('{ "ociVersion": "1.0.2", "id": "web", "bundle": "/nonexistent",' "\"pid\": $BOX_PID }")
  # Before it has begun.
  local waiting
  mapfile -t waiting < <(cat "$CALLS"/*/*/ready)
  kill -STOP "${waiting[@]}"
  ask
  kill -KILL "$WORKER" 2>/dev/null || true
  printf '%s' "${state[@]}" >&7
  exec 7>&-
  wait "$ASKED" || fail "$(<"$BATS_TEST_TMPDIR/asked")"
  is_up_once
  # Of the others, which nobody kills, the agent sees that they are stopped. While it is stopped itself, none is asked.
  ask
  printf '%s' "${state[@]}" >&7
  exec 7>&-
  wait "$ASKED" || fail "$(<"$BATS_TEST_TMPDIR/asked")"
  is_up_once
  wait_for agent_waits
  mapfile -t waiting < <(cat "$CALLS"/*/*/ready "$BATS_TEST_TMPDIR/background/agent")
  kill -STOP "${waiting[@]}"
  wait_for agent_is_late
  ocinet ls
  kill -CONT "${waiting[@]}"
  served "$OCINET" ls
  # When it has read half of its input.
  wait_for agent_waits
  ask
  printf '%s' "${state[0]}" >&7
  wait_for test -s "$SLOT/input"
  kill -KILL "$WORKER"
  # Until it has ended, it may still take from the pipe what is written now.
  wait_for gone "$WORKER"
  printf '%s' "${state[1]}" >&7
  exec 7>&-
  wait "$ASKED" || fail "$(<"$BATS_TEST_TMPDIR/asked")"
  run -0 ocinet ls
  [[ $output == *"web  up "* ]]
  ocinet down web
  # The caller is killed.
  wait_for agent_waits
  ask
  kill -KILL "$(<"$SLOT/caller")"
  wait_for gone "$WORKER"
  wait "$ASKED" || true
  exec 7>&-
  wait_for test ! -e "$SLOT"
  served "$OCINET" ls
}

# is_up_once: the container is up, and was attached by one call; it goes
is_up_once() {
  [ "$(ocinet ls --json | jq -r '.[] | "\(.id) \(.state) \(.networks | length)"')" = "web up 1" ]
  ocinet down web
}

# agent_is_late: it has not looked at its slots for longer than it may
agent_is_late() {
  # shellcheck disable=SC2016 # the inner shell's
  sh -c '[ "/proc/$$" -nt "$1" ]' sh "$CALLS"/*/alive
}

two_wait() { [ "$(cat "$CALLS"/*/*/ready 2>/dev/null | wc -l)" = 2 ]; }

@test "fifty callers at once all get their results, and nothing is left of an agent that ends" {
  local i pids=()
  for ((i = 0; i < 50; i++)); do
    ocinet ls >"$BATS_TEST_TMPDIR/many$i" 2>&1 3>&- &
    pids+=("$!")
  done
  for i in "${pids[@]}"; do wait "$i"; done
  [ "$(sort -u "$BATS_TEST_TMPDIR"/many*)" = "ID  STATE  NETWORKS  PORTS" ]
  # Of those that were started for so many, two stay.
  wait_for two_wait
  serves_page
  stop agent
  grep -E "served [0-9]+ calls" "$BATS_TEST_TMPDIR/agent.log"
  [ -z "$(ls -A "$CALLS")" ]
  wait_for no_agent
  # Of one that is killed the processes end by themselves.
  serve_calls
  kill -KILL "$(<"$BATS_TEST_TMPDIR/background/agent")"
  wait_for no_agent
  rm "$BATS_TEST_TMPDIR/background/agent"
  ocinet ls
}

# serves_page: beside the agent, another one serves the map to those who have the token
serves_page() {
  local url host refused
  ocinet up --net default /run/netns/box
  background page in_host "$OCINET" agent --page
  wait_for grep -q ' page: http://127.0.0.1:' "$BATS_TEST_TMPDIR/page.log"
  grep -q 'Cannot serve calls in .*: another agent does' "$BATS_TEST_TMPDIR/page.log"
  url=$(sed -n 's/.* page: //p' "$BATS_TEST_TMPDIR/page.log")
  run -0 in_host curl -sS "$url"
  [[ $output == *'<p class="name">box</p>'* ]] || fail "$output"
  wait_for has_traffic "$url"
  host=${url#http://} host=${host%%/*}
  for refused in "http://$host/" "http://$host/${url:0:8}/now" "-H Host:evil.example $url" "-H Origin:http://evil.example ${url}now"; do
    # shellcheck disable=SC2086 # options
    [ "$(in_host curl -s -o /dev/null -w '%{http_code}' $refused)" = 403 ]
  done
  run -2 in_host "$OCINET" agent --page 0.0.0.0:80
  [[ $output == *'Cannot serve the page on "0.0.0.0:80"'* ]] || fail "$output"
  ocinet down box
  stop page
}

# has_traffic URL: what went through the container's interface in the last second is known
has_traffic() { in_host curl -sS "$1now" | jq -e '.rates["box default eth0"] | length == 3'; }

no_agent() { ! OCINET_TEST_AGENT='' processes | grep -q " worker "; }
