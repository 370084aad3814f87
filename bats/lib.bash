# For every test: a host and a peer (hosts.bash), directories of its own, and a teardown that fails the test if it left
# anything. Loaded by `load lib`; a file with a setup or teardown of its own calls set_up_hosts and tear_down_hosts.
bats_require_minimum_version 1.5.0
load hosts
# shellcheck disable=SC2034 # for bats
BATS_TEST_RETRIES=1

setup() { set_up_hosts; }
teardown() { tear_down_hosts; }

# tell_first_try: a test that fails at first is told of, though it may succeed at the second try, on a machine that is less
# busy then. It is to be mended all the same.
tell_first_try() {
  ((BATS_TEST_TRY_NUMBER <= BATS_TEST_RETRIES)) || return 0
  {
    printf 'Failed at the first try: %s: %s\n' "${BATS_TEST_FILENAME##*/}" "$BATS_TEST_DESCRIPTION"
    printf '  line %s\n' "${BATS_DEBUG_LAST_STACK_TRACE[@]}"
    { cat "$BATS_OUT" && printf '%s\n' "${output-}" "${stderr-}"; } | tail -n 12
  } | sed 's/^/# /' >&3
}

set_up_hosts() {
  PROJECT=${BATS_TEST_DIRNAME%/*}
  OCINET=$PROJECT/dist/ocinet
  UNIQUE=$$-$BATS_TEST_NUMBER
  STATE_DIR=$BATS_TEST_TMPDIR/state NET_DIR=$BATS_TEST_TMPDIR/net.d
  mkdir -p "$STATE_DIR" "$NET_DIR" "$BATS_TEST_TMPDIR"/{containers,background}
  chmod 755 "$BATS_TEST_TMPDIR"
  if ((EUID == 0)); then
    make_hosts "$UNIQUE" "$BATS_TEST_TMPDIR"
    make_cgroup
  fi
  export OCINET_STATE_DIR=$STATE_DIR
  [ -z "${OCINET_TEST_AGENT-}" ] || serve_calls
}

# serve_calls: an agent of the host's, whose processes wait for calls; with `scripts/bats --agent` every test has it
serve_calls() {
  # Not in the state directory, which tests look at.
  in_host sh -c 'mkdir -p /run/ocinet/calls && mountpoint -q /run/ocinet/calls ||
    mount -t tmpfs -o mode=700 tmpfs /run/ocinet/calls'
  background agent in_host "$OCINET" agent --workers 2
  wait_for agent_waits
}

# agent_waits: one of its processes is free
agent_waits() {
  local ready
  for ready in "/proc/$HOST_PID/root/run/ocinet/calls"/*/*/ready; do
    [ ! -e "$ready" ] || [ -e "${ready%ready}caller" ] || return 0
  done
  return 1
}

tear_down_hosts() {
  [ -n "${BATS_TEST_COMPLETED-}" ] || tell_first_try
  remove_containers
  stop_background
  local left=""
  if [ -n "${BATS_TEST_COMPLETED-}" ] && ! wait_for nothing_left; then left=$(what_is_left); fi
  if ((EUID == 0)); then
    # Where nothing is left, there is nothing to kill.
    if [ -z "${BATS_TEST_COMPLETED-}" ] || [ -n "$left" ]; then kill_processes; fi
    remove_cgroup
    remove_hosts
  fi
  [ -z "$left" ] || { tell_first_try && fail "This test left behind:"$'\n'"$left"; }
}

fail() {
  printf '%s\n' "$@" >&2
  return 1
}

# wait_for COMMAND...: until it succeeds; fails when it has not within a minute, in which a busy or an emulated machine gets
# round to anything
wait_for() {
  local deadline=$((${EPOCHREALTIME/[.,]/} + 60000000))
  until "$@"; do
    ((${EPOCHREALTIME/[.,]/} < deadline)) || return
    sleep 0.05
  done
}

# ocinet ARGS...: the program under test, in the host
ocinet() { in_host "$OCINET" "$@"; }

# hide PROGRAM: the host has none of that name
hide() { in_host mount --bind /dev/null "$(command -v "$1")"; }

# renew_pasta: the host has a pasta that is new enough, if not the system's own, then that of scripts/setup
renew_pasta() {
  local pasta=/var/tmp/ocinet-pasta-$UID/pasta
  [ ! -x "$pasta" ] || in_host mount --bind "$pasta" "$(command -v pasta)"
}

run_in_vm() { "$PROJECT/scripts/run-in-vm" "$@"; }

# --- what a test started

# Whichever process becomes its parent, a process stays in the test's cgroup; only root's containers get cgroups of their own,
# whose names begin alike (make_bundle).
make_cgroup() {
  local root
  for root in /sys/fs/cgroup/pids /sys/fs/cgroup; do
    [ ! -e "$root/cgroup.procs" ] || break
  done
  CGROUP=$root/ocinet-$UNIQUE
  mkdir "$CGROUP"
}

remove_cgroup() {
  wait_for empty_cgroup
  local groups=()
  # Every controller's, where each has a tree of its own
  mapfile -t groups < <(compgen -G "/sys/fs/cgroup/ocinet-$UNIQUE*" || true; compgen -G "/sys/fs/cgroup/*/ocinet-$UNIQUE*")
  rmdir "${groups[@]}"
}

empty_cgroup() { [ -z "$(<"$CGROUP/cgroup.procs")" ]; }

# look VERB [PLACE]...: what look.pl tells
look() { "${@:2}" perl "$PROJECT/bats/look.pl" "$1" "${CGROUP-}" "${HOST_PID-}" "${HOST_MOUNTS-}" "${directories[@]}"; }
test_pids() { look pids; }
processes() { look processes; }
no_processes() { [ -z "$(processes)" ]; }

kill_processes() {
  local pids
  mapfile -t pids < <(test_pids)
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
}

what_is_left() { ((EUID)) || look left; }
nothing_left() { [ -z "$(what_is_left)" ]; }

# background NAME PLACE COMMAND...: starts it (a PLACE is in_host, in_peer, as_user or in_container ID), to be stopped by
# `stop NAME` or with the test; what it prints is in $BATS_TEST_TMPDIR/NAME.log
background() {
  local name=$1
  shift
  [ ! -e "$BATS_TEST_TMPDIR/background/$name" ] || fail "\"$name\" runs already" || return
  PID_FILE=$BATS_TEST_TMPDIR/background/$name "$@" </dev/null >"$BATS_TEST_TMPDIR/$name.log" 2>&1 3>&- &
  wait_for test -s "$BATS_TEST_TMPDIR/background/$name"
}

# stop NAME: and wait until it is gone
stop() {
  local pid
  pid=$(<"$BATS_TEST_TMPDIR/background/$1")
  rm "$BATS_TEST_TMPDIR/background/$1"
  kill "$pid" 2>/dev/null || return 0
  wait_for gone "$pid"
}

# gone PID: also a zombie, which waits for its parent. (A process that is just becoming another program has no command line.)
gone() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  [[ ${stat##*) } == [ZX]* ]]
}

stop_background() {
  local path
  for path in "$BATS_TEST_TMPDIR"/background/*; do
    [ ! -e "$path" ] || stop "${path##*/}"
  done
}

# --- what a host looks like

# snapshot: the host's network, state files and processes; the same again as long as ocinet has changed nothing
snapshot() {
  local directories=("$STATE_DIR" "$NET_DIR" "/run/user/$(id -u "${OCINET_TEST_USER:-$EUID}")")
  look snapshot in_host
}

# links_of PLACE...: its links with their addresses, routes, and settings for links
links_of() {
  # shellcheck disable=SC2016 # the inner shell's
  "$@" sh -c '
    ip -br link; ip -br address
    for family in -4 -6; do echo "$1" | ip $family -force -batch -; done | grep -v l3mdev
    tc qdisc
    grep -rs --exclude=nf_conntrack_count ^ /proc/sys/net | sort' links $'route show table all\nrule'
}

# assert_same_snapshot FILE: the host is, or soon becomes, what `snapshot >FILE` saw. (The kernel takes
# a namespace's links away some time after the namespace.)
assert_same_snapshot() {
  wait_for same_snapshot "$1" || fail "The host has changed:" "$(changes_since "$1")"
}

same_snapshot() { [ "$(snapshot)" = "$(<"$1")" ]; }

# changes_since FILE: the same without waiting, as a diff
changes_since() { snapshot | diff -U0 "$1" -; }

# --- containers

# make_bundle DIRECTORY [runc|crun] [rootless]: a bundle with busybox whose process sleeps, and the config.json of
# `runc spec`, by which a rootless container has the host's network. The names that follow work on it alike, whichever
# runtime and user it is for.
make_bundle() {
  local bundle=$1 runtime=${2:-runc} who=root
  [[ ${3-} != rootless ]] || who=user
  ((EUID == 0)) || who=self
  mkdir -p "$bundle"
  cp -a "$(busybox_rootfs)" "$bundle/rootfs"
  echo "$runtime $who" >"$bundle/for"
  [ $who != user ] || chown -R "$OCINET_TEST_USER:$OCINET_TEST_USER" "$bundle"
  local edits='.process.terminal = false | .process.args = ["sleep", "1000"]'
  if [ $who = root ]; then
    runc spec --bundle "$bundle"
    edits+=" | .linux.cgroupsPath = \"/ocinet-$UNIQUE-${bundle##*/}\""
  else
    as "$who" runc spec --rootless --bundle "$bundle"
  fi
  set_config "$bundle" "$edits"
}

busybox_rootfs() {
  local rootfs=$BATS_RUN_TMPDIR/busybox-$EUID busybox name
  if [ ! -e "$rootfs" ]; then
    busybox=$(readlink -f "$(command -v busybox)")
    mkdir -p "$rootfs"/{bin,sbin,usr/bin,usr/sbin,etc,proc,sys,dev,tmp,root,run}
    cp "$busybox" "$rootfs$busybox"
    # Not every command: to copy a link takes as long as to copy a file.
    for name in cat chmod cp cut date dd echo env false find grep head hostname httpd id ifconfig ip kill ls mkdir mount mv \
      nc netstat nslookup ping pidof printf ps readlink rm route sed seq sh sleep sort stat tail test touch tr true udhcpc \
      umount uname wc wget xargs; do
      ln -s "$busybox" "$rootfs/bin/$name"
    done
    touch "$rootfs"/etc/{resolv.conf,hosts,hostname}
  fi
  echo "$rootfs"
}

# set_config BUNDLE FILTER [JQ OPTIONS]: edits config.json with jq
set_config() {
  local config=$1/config.json changed
  changed=$(jq "${@:3}" "$2" "$config")
  echo "$changed" >"$config"
}

# set_args BUNDLE COMMAND...: what the container runs
set_args() {
  set_config "$1" ".process.args = $(jq -nc '$ARGS.positional' --args -- "${@:2}")"
}

# as root|user|self COMMAND...: in the host
as() {
  case $1 in
    user) as_user "${@:2}" ;;
    *) in_host "${@:2}" ;;
  esac
}

# runtime_of BUNDLE COMMAND...: runc or crun, with a --root of the test's own
runtime_of() {
  local runtime who
  read -r runtime who <"$1/for"
  shift
  if [ "$who" = user ]; then
    as_user "$runtime" --root "$BATS_TEST_TMPDIR/user/$runtime" "$@"
  else
    in_host "$runtime" --root "$BATS_TEST_TMPDIR/$runtime" "$@"
  fi
}

# To ask a runtime takes longer than most of what is done in a container.
declare -gA PIDS

note_container() { ln -sfn "$2" "$BATS_TEST_TMPDIR/containers/$1"; }
bundle_of() { readlink "$BATS_TEST_TMPDIR/containers/$1"; }

# run_container ID BUNDLE: in the foreground, until it ends
run_container() {
  note_container "$1" "$2"
  runtime_of "$2" run --bundle "$2" "$1"
}

# start_container ID BUNDLE: in the background; what it prints is in $BATS_TEST_TMPDIR/ID.log
start_container() {
  note_container "$1" "$2"
  runtime_of "$2" run --detach --bundle "$2" "$1" </dev/null >"$BATS_TEST_TMPDIR/$1.log" 2>&1 3>&- ||
    fail "Cannot start container $1:" "$(<"$BATS_TEST_TMPDIR/$1.log")" || return
  PIDS[$1]=$(container_pid "$1")
}

# exec_container ID COMMAND...: inside
exec_container() {
  runtime_of "$(bundle_of "$1")" exec "$@"
}

container_state() { runtime_of "$(bundle_of "$1")" state "$1"; }
container_pid() { container_state "$1" | jq -e .pid; }
is_stopped() { [ "$(container_state "$1" 2>/dev/null | jq -r .status)" = stopped ]; }

# kill_container ID: kills its process and waits until the runtime sees that; no hook runs
kill_container() {
  runtime_of "$(bundle_of "$1")" kill "$1" KILL
  wait_for is_stopped "$1"
}

# delete_container ID: poststop hooks run
delete_container() {
  unset "PIDS[$1]"
  runtime_of "$(bundle_of "$1")" delete --force "$1"
  rm -f "$BATS_TEST_TMPDIR/containers/$1"
}

remove_containers() {
  local path
  for path in "$BATS_TEST_TMPDIR"/containers/*; do
    [ ! -L "$path" ] || delete_container "${path##*/}" >/dev/null 2>&1 || true
  done
}

# in_container ID COMMAND...: the host's programs in the container's network
in_container() {
  in_host nsenter --net="/proc/${PIDS[$1]:-$(container_pid "$1")}/ns/net" -- "${@:2}"
}

# --- traffic

# serve tcp|udp PORT PLACE...: a server that answers with its client's address, over IPv4 and IPv6.
# PLACE is in_host, in_peer or in_container ID.
serve() {
  local protocol=$1 port=$2 version listen
  shift 2
  for version in 4 6; do
    listen="TCP$version-LISTEN:$port,fork,reuseaddr"
    [ "$protocol" = tcp ] || listen="UDP$version-RECVFROM:$port,fork,reuseaddr"
    [ $version = 4 ] || listen+=,ipv6only=1
    # shellcheck disable=SC2016 # socat's shell knows the variable
    background "$protocol$version-$port" "$@" socat "$listen" SYSTEM:'read -r hello; echo $SOCAT_PEERADDR'
  done
  wait_for listens "$protocol" "$port" "$@" || fail "No $protocol server on port $port of $*"
}

listens() {
  [ "$("${@:3}" ss -Hln "--$1" "sport = :$2" | wc -l)" -ge 2 ]
}

# ask tcp|udp ADDRESS PORT PLACE...: what a server says to a client there; fails after twenty seconds without an answer
ask() { ask_within 20 "$@"; }

# unanswered tcp|udp ADDRESS PORT PLACE...: no answer comes from there within a second, nor within another
unanswered() {
  run ! ask_within 1 "$@"
  run ! ask_within 1 "$@"
}

ask_within() {
  local seconds=$1
  shift
  # Not `read`, which takes a datagram's first byte and loses the others.
  # shellcheck disable=SC2016 # the inner shell's
  "${@:4}" timeout "$seconds" bash -c '
    exec 5<>"/dev/$1/$2/$3" || exit
    echo hello >&5
    head -n 1 <&5 | grep .' ask "$1" "$2" "$3" 2>&1 | plain_address
  return "${PIPESTATUS[0]}"
}

# socat writes [2001:0db8:0001:0000:0000:0000:0000:0002].
plain_address() {
  sed -E 's/^\[(.*)\]$/\1/; t six; b; :six; s/(^|:)0{1,3}/\1/g; s/(^0|:0)(:0)+(:|$)/::/'
}

# with_each_runtime DESCRIPTION FUNCTION: a test under runc and one under crun; FUNCTION is given the runtime's name
with_each_runtime() {
  local runtime
  for runtime in runc crun; do
    bats_test_function --description "$1 ($runtime)" -- "$2" "$runtime"
  done
}
