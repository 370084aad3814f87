#!/usr/bin/env bats
# The command line: what it says, to whom, and with which exit status.
load lib

setup() {
  set_up_hosts
  in_host ip netns add box
  BOX=/run/netns/box
}

teardown() {
  ocinet down box || true
  in_host ip netns delete box
  tear_down_hosts
}

# says STATUS MESSAGE COMMAND...: one line on stderr, nothing on stdout
says() {
  run --separate-stderr "-$1" "${@:3}"
  # shellcheck disable=SC2053,SC2154 # a pattern; run sets it
  [[ -z $output && ${#stderr_lines[@]} = 1 && $stderr == $2 ]] || fail "stdout: $output" "stderr: $stderr" "and not: $2"
}

# misuse MESSAGE COMMAND...: the same, with where to read on
misuse() {
  run --separate-stderr -2 "${@:2}"
  [[ -z $output && ${stderr_lines[0]} == "ocinet: $1" && ${stderr_lines[-1]} == "(ocinet "*"--help says more)" ]] ||
    fail "stdout: $output" "stderr: $stderr"
}

box() { in_host ip netns exec box "$@"; }

@test "up attaches a named namespace, and down takes all of it away" {
  ocinet up "$BOX" --id other && ocinet down other && ocinet gc
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -0 --separate-stderr ocinet up "$BOX" -p 8080:80
  [ "$output" = "box default eth0 172.16.28.2/24 fd6f:6369:6e65:28::2/64" ]
  [ -z "$stderr" ]
  run -0 ocinet ls
  [[ ${lines[0]} == "ID   STATE  NETWORKS "*" PORTS" ]]
  [[ ${lines[1]} == "box  up     default:ip4=172.16.28.2, default:ip6=fd6f:6369:6e65:28::2  8080:80/tcp" ]]
  box busybox ping -c 1 -W 2 198.51.100.1
  says 1 'ocinet: Cannot attach container "box": it is attached already; take it down first' ocinet up "$BOX"
  run -0 --separate-stderr ocinet down box
  [ -z "$output$stderr" ]
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "up, ls, inspect and down answer in JSON" {
  run -0 ocinet up "$BOX" --json --net default -p 127.0.0.1:8080:80/udp
  jq -e '.id == "box" and .state == "up" and .netns == "/run/netns/box" and (.networks | length) == 1' <<<"$output"
  jq -e '.networks[0] | .name == "default" and .ifname == "eth0" and .by == "ptp" and (.mac | test("^02:")) and
    .ips[0] == "172.16.28.2/24" and .gateways[0] == "172.16.28.1" and .routes[0] == {dst: "0.0.0.0/0", gw: "172.16.28.1"}' <<<"$output"
  jq -e '.ports == [{mapping: "127.0.0.1:8080:80/udp", hostIp: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: "udp",
    driver: "nftables", keepsClientAddress: true}]' <<<"$output"
  local said=$output
  run -0 ocinet ls --json
  [ "$(jq -c '.[0]' <<<"$output")" = "$(jq -c . <<<"$said")" ]
  run -0 ocinet inspect --json box
  [ "$(jq -c '.[0]' <<<"$output")" = "$(jq -c . <<<"$said")" ]
  run -0 ocinet inspect box
  [ "$(jq -c '.[0]' <<<"$output")" = "$(jq -c . <<<"$said")" ]
  run -0 ocinet down --json box nobody
  [ "$(jq -c . <<<"$output")" = '[{"id":"box","was":"attached"},{"id":"nobody","was":"absent"}]' ]
  run -0 ocinet ls --json
  [ "$output" = "[]" ]
}

@test "a namespace is named by its path, by a process in it, or by --id" {
  background holder in_host ip netns exec box sleep 1000
  wait_for in_box
  local pid
  pid=$(<"$BATS_TEST_TMPDIR/background/holder")
  run -0 ocinet up "$pid"
  [[ $output == "pid-$pid default eth0 172.16.28."* ]]
  says 1 "ocinet: Cannot *" ocinet up "/proc/$pid/ns/net"
  ocinet down "$pid"
  run -0 ocinet up "/proc/$pid/ns/net"
  [[ $output == "pid-$pid "* ]]
  ocinet down "pid-$pid"
  run -0 ocinet up "$pid" --id web.1 --json
  jq -e --argjson pid "$pid" '.id == "web.1" and .pid == $pid' <<<"$output"
  ocinet down web.1
}

in_box() {
  [ "$(readlink "/proc/$(<"$BATS_TEST_TMPDIR/background/holder")/ns/net")" = "$(box readlink /proc/self/ns/net)" ]
}

@test "a container whose process has ended is shown as that, and gc takes it" {
  background holder in_host unshare --net sleep 1000
  wait_for is_apart
  local pid
  pid=$(<"$BATS_TEST_TMPDIR/background/holder")
  ocinet up "$pid" --id c1
  stop holder
  run -0 ocinet ls --json
  jq -e --arg reason "its process $pid has ended" '.[0] | .state == "dead" and .reason == $reason' <<<"$output"
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -0 ocinet gc --dry-run
  grep '^ip link del dev veth' <<<"$output"
  grep "^nft 'delete element inet ocinet contained4 " <<<"$output"
  [[ $output == *"c1: its process $pid has ended"* ]]
  run -0 ocinet gc --dry-run --json
  jq -e '.report.containers[0].id == "c1"' <<<"$output"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
  run -0 ocinet gc --json
  jq -e '.containers[0].id == "c1" and (.shared | map(select(startswith("nft table") or startswith("state in"))) | length) == 2
    and (.shared | map(select(startswith("sysctl"))) | length) == (.shared | length) - 2 and .problems == []' <<<"$output"
  run -0 ocinet gc
  [ -z "$output" ]
}

is_apart() {
  [ "$(readlink "/proc/$(<"$BATS_TEST_TMPDIR/background/holder")/ns/net")" != "$(in_host readlink /proc/self/ns/net)" ]
}

@test "--dry-run prints the lines for ip and nft, and changes nothing" {
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -0 ocinet up --dry-run "$BOX" -p 8080:80
  local line
  for line in "ip link add name veth[0-9a-f]+ address 02:[0-9a-f:]+ type veth peer name eth0 address 02:[0-9a-f:]+ netns $BOX" \
    "nft '?create element inet ocinet ports4 \{ tcp \. 8080 comment \"box veth[0-9a-f]+\" : 172\.16\.28\.2 \. 80 \}'?" \
    "sysctl -w net/ipv4/ip_forward=1" \
    "nsenter --net=$BOX sysctl -w net/ipv6/conf/lo/disable_ipv6=0" \
    "nsenter --net=$BOX ip address replace 172\.16\.28\.2/24 dev eth0 brd \+ noprefixroute"; do
    grep -Ex "$line" <<<"$output"
  done
  local said=$output
  run ! grep -vE '^(ip|nft|sysctl|nsenter --net=[^ ]+ (ip|sysctl)) ' <<<"$said"
  run -0 ocinet up --dry-run --json "$BOX" -p 8080:80
  # The host's side and the container's are told side by side.
  [ "$(jq -r '.lines[]' <<<"$output" | sort)" = "$(sort <<<"$said")" ]
  jq -e '.report.networks[0].ips[0] == "172.16.28.2/24"' <<<"$output"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"

  # What is told is what is done: a shell that is given the lines makes the same.
  ocinet up "$BOX" -p 8080:80
  wait_for has_link_local_addresses
  made >"$BATS_TEST_TMPDIR/done"
  ocinet down box
  ocinet gc
  in_host sh -e <<<"$said"
  wait_for made_the_same || diff "$BATS_TEST_TMPDIR/done" <(made)
  in_host sh -c 'ip -n box link delete eth0; nft flush ruleset'
  ocinet up "$BOX" -p 8080:80
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -0 ocinet down --dry-run box
  grep -E '^ip link del dev veth' <<<"$output"
  grep -Fx "nft delete element inet ocinet ports4 { tcp . 8080 : 172.16.28.2 . 80 }" <<<"$output"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# made: the host, but for what is kept of it, and the box
made() {
  snapshot | sed '/^== state files/,/^==/ { /^[dlf] /d }'
  links_of in_host ip netns exec box | sed "s/@if[0-9]*//"
}

made_the_same() { made | cmp -s "$BATS_TEST_TMPDIR/done" -; }

# The kernel makes them some time after a link is up, and their routes with them.
has_link_local_addresses() {
  in_host ip -6 -o address show scope link | grep -v tentative | grep -q veth &&
    in_host ip -n box -6 -o address show scope link | grep -v tentative | grep -q eth0
}

@test "--dry-run works where ocinet has never run" {
  OCINET_STATE_DIR=$BATS_TEST_TMPDIR/none ocinet up --dry-run "$BOX"
  OCINET_STATE_DIR=$BATS_TEST_TMPDIR/none ocinet gc --dry-run
  [ ! -e "$BATS_TEST_TMPDIR/none" ]
}

@test "--dry-run ends no slirp4netns" {
  background holder as_user unshare -Urn sleep 1000
  wait_for is_apart
  local pid
  pid=$(<"$BATS_TEST_TMPDIR/background/holder")
  run -0 as_user "$OCINET" up --dry-run "$pid" --uplink slirp4netns -p 8080:80
  [[ $output == *"slirp4netns --exit-fd=3 "*'"execute":"add_hostfwd"'* ]]
  as_user "$OCINET" up "$pid" --uplink slirp4netns --id c1
  run -0 as_user "$OCINET" down --dry-run c1
  [[ $output == "kill -KILL "* || $output == "kill -SIGKILL "* ]]
  [ "$(processes | grep -c ^slirp4netns)" = 1 ]
  as_user "$OCINET" down c1
}

@test "a hook has --dry-run too, and tells who asks for help or an unknown stage before it reads anything" {
  local state
  background holder in_host unshare -n sleep 1000
  state=$(jq -nc --argjson pid "$(<"$BATS_TEST_TMPDIR/background/holder")" '{ id: "c1", pid: $pid, bundle: "" }')
  wait_for holder_is_apart
  run -0 ocinet hook createRuntime --dry-run -p 8080:80 <<<"$state"
  [[ $output == *"create element inet ocinet ports4 { tcp . 8080 comment "*" : 172.16.28.2 . 80 }"* ]]
  run -0 ocinet hook poststop --dry-run --json <<<'{ "id": "c1" }'
  jq -e '.lines == []' <<<"$output"
  [ "$(ocinet ls --json)" = "[]" ]
  local fifo=$BATS_TEST_TMPDIR/fifo
  mkfifo "$fifo"
  exec {keep}<>"$fifo"
  run -0 ocinet hook -h <"$fifo"
  [[ $output == "Usage: ocinet hook"* ]]
  run -2 ocinet hook createruntime <"$fifo"
  [ "$output" = 'ocinet: Cannot act as hook "createruntime": it is not one of createRuntime, prestart, createContainer, poststop, auto' ]
  exec {keep}<&-
}

holder_is_apart() {
  [ "$(readlink "/proc/$(<"$BATS_TEST_TMPDIR/background/holder")/ns/net")" != "$(in_host readlink /proc/self/ns/net)" ]
}

@test "--log-level debug tells on stderr what is run" {
  run -0 --separate-stderr ocinet up --log-level debug "$BOX" --json
  jq -e '.id == "box"' <<<"$output"
  [[ $stderr == *"run ip -batch -"*"  < link add name veth"*"run nft -f -"*"  = 0"* ]]
}

@test "--help is everywhere, with an example that names the command" {
  run -0 ocinet --help
  [[ $output == "Usage: ocinet "*"Example:"* ]]
  local commands verb
  mapfile -t commands < <(sed -n '/^Containers/,/^Topics/s/^  \([a-z][a-z-]*\) .*/\1/p' <<<"$output")
  ((${#commands[@]} >= 15))
  [ "${commands[0]}" = run ]
  [ "$output" = "$(ocinet help)" ]
  [ -z "$(awk 'length > 80' <<<"$output")" ]
  for verb in "${commands[@]}"; do
    run -0 --separate-stderr ocinet "$verb" --help
    [[ $output == "Usage: ocinet $verb "*"Example:"*"ocinet $verb"* && -z $stderr ]] || fail "$verb --help:" "$output"
  done
  run -0 --separate-stderr ocinet help topic agent
  [[ $output == "agent: "*"Examples:"* && -z $stderr ]]
  misuse "unknown command 'enviroment'" ocinet help enviroment
}

@test "wrong use is told from failure: 2, and 1" {
  misuse "unknown command 'nonsense'" ocinet nonsense
  misuse "unknown option '--nett'" ocinet up --nett x "$BOX"
  misuse "missing required argument 'pid-or-path'" ocinet up
  misuse "missing required argument 'ids'" ocinet down
  misuse "too many arguments for 'ls'. Expected 0 arguments but got 1." ocinet ls box
  misuse "option '--log-level <level>' argument 'loud' is invalid. Allowed choices are error, debug." ocinet ls --log-level loud
  misuse "option '--id <ID>' argument missing" ocinet up "$BOX" --id
  run -2 --separate-stderr ocinet
  [[ -z $output && $stderr == "Usage: ocinet "* ]]
}

@test "what is no namespace is refused in one line" {
  says 1 'ocinet: Cannot use process 999999999: it does not run' ocinet up 999999999
  says 1 'ocinet: Cannot use namespace "nobox": there is no /run/netns/nobox; ip netns add nobox makes it' ocinet up nobox
  says 1 'ocinet: Cannot use namespace "./box": it is not an absolute path; a named one is in /run/netns' ocinet up ./box
  says 1 'ocinet: Cannot use namespace "/etc/passwd": it is no namespace; ip netns add NAME makes one, /run/netns/NAME' \
    ocinet up /etc/passwd
  says 1 'ocinet: Cannot enter namespace "/run/netns/none": there is none' ocinet up /run/netns/none
  says 1 'ocinet: Cannot use namespace "/proc/self/ns/uts": it is no network namespace' ocinet up /proc/self/ns/uts
  says 1 'ocinet: Cannot attach "/proc/self/ns/net": it is this very network namespace' ocinet up /proc/self/ns/net
  says 1 "ocinet: Cannot attach \"$HOST_PID\": it is this very network namespace" ocinet up "$HOST_PID"
  in_host ip netns attach own "$HOST_PID"
  says 1 'ocinet: Cannot attach "/run/netns/own": it is this very network namespace' ocinet up /run/netns/own
  in_host ip netns delete own
  # Another user could have it lead to the host's own, once it has been looked at.
  local place=$BATS_TEST_TMPDIR/theirs uid why
  uid=$(id -u "$OCINET_TEST_USER")
  install -d -o "$OCINET_TEST_USER" "$place"
  ln -s "$BOX" "$place/box"
  ln -s "$place/box" "$BATS_TEST_TMPDIR/link"
  why="others could put another in its place, for $place belongs to user $uid; give the pid of a process in it, or a path in /run/netns"
  says 1 "ocinet: Cannot use namespace \"$place/box\": $why" ocinet up "$place/box"
  says 1 "ocinet: Cannot use namespace \"$BATS_TEST_TMPDIR/link\": $why" ocinet up "$BATS_TEST_TMPDIR/link"
  echo '{"cniVersion": "1.0.0", "name": "theirs", "type": "dummy"}' >"$NET_DIR/theirs.conf"
  says 1 "ocinet: *failed to open netns \"$place/box\": $why" ocinet cni --netconf-path "$NET_DIR" add theirs "$place/box"
}

@test "what up cannot do is refused in one line" {
  says 1 'ocinet: Cannot attach "/run/netns/box" to network "host": it is a namespace of its own' ocinet up "$BOX" --net host
  says 1 'ocinet: networks not found: nowhere (there are: default-restricted, default)' ocinet up "$BOX" --net nowhere
  says 2 'ocinet: Cannot use container id "../x": *' ocinet up "$BOX" --id ../x
  says 2 'ocinet: Cannot publish "80": *' ocinet up "$BOX" -p 80
  run -0 ocinet ls --json
  [ "$output" = "[]" ]
}

@test "down, inspect: a container that is not there" {
  run -0 --separate-stderr ocinet down nobody
  [[ $output == "nobody was not attached" && -z $stderr ]]
  says 1 'ocinet: Cannot inspect container "nobody": it is not attached; see ocinet ls' ocinet inspect nobody
  says 1 'ocinet: Cannot repair container "nobody": it is not attached; see ocinet ls' ocinet repair nobody
  says 2 'ocinet: Cannot use container id "../x": *' ocinet down ../x
  says 2 'ocinet: Cannot use container id "../x": *' ocinet inspect ../x
  says 2 'ocinet: Cannot use /run/netns/none: no container is attached by this path*' ocinet down /run/netns/none
}

@test "a state directory that is not one's own is refused in one line" {
  says 1 'ocinet: Cannot keep state in "state": OCINET_STATE_DIR has to be an absolute path' \
    env OCINET_STATE_DIR=state "$OCINET" ls
  chown "$OCINET_TEST_USER" "$STATE_DIR"
  says 1 "ocinet: Cannot keep state in $STATE_DIR: it belongs to user *; remove it, or set OCINET_STATE_DIR" ocinet ls
  chown root "$STATE_DIR"
}

@test "root writes into no directory that another user could put another in the place of" {
  local place=$BATS_TEST_TMPDIR/theirs why
  install -d -o "$OCINET_TEST_USER" "$place"
  mkdir "$place/roots"
  ln -s "$place/roots" "$BATS_TEST_TMPDIR/link"
  why="others could put another directory in its place, for $place belongs to user $(id -u "$OCINET_TEST_USER");"
  says 1 "ocinet: Cannot keep state in $BATS_TEST_TMPDIR/link/state: $why *" \
    env OCINET_STATE_DIR="$BATS_TEST_TMPDIR/link/state" "$OCINET" ls
  says 1 "ocinet: Cannot install plugins in $place/roots: $why *" ocinet install-plugins "$place/roots"
  says 1 "ocinet: Cannot write units into $BATS_TEST_TMPDIR/link: $why *" ocinet helper --units "$BATS_TEST_TMPDIR/link"
  says 1 "ocinet: Cannot listen on $place/roots/socket: $why *" ocinet docker-plugin --socket "$place/roots/socket"
  [ -z "$(ls "$place/roots")" ]
  # Nor does it take away what is no socket.
  says 1 "ocinet: Cannot listen on $NET_DIR: it is no socket; name another, or remove it" ocinet docker-plugin --socket "$NET_DIR"
  [ -d "$NET_DIR" ]
}

@test "version, in text and JSON" {
  run -0 ocinet version
  [[ $output =~ ^ocinet\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
  [ "$(ocinet --version)" = "$output" ]
  local runtime
  for runtime in deno node; do
    OCINET_RUNTIME=$runtime ocinet version --json | jq -e --arg version "${output#ocinet }" --arg runtime "$runtime" \
      '.version == $version and .runtime == $runtime'
  done
}

@test "hooks-json selects containers by annotation, or takes all" {
  run -0 ocinet hooks-json --net default -p 8080:80
  jq -e '.version == "1.0.0" and .stages == ["createRuntime", "poststop"] and (.hook.path | startswith("/")) and
    .hook.args[-4:] == ["hook", "auto", "--net=default", "--publish=8080:80"] and
    .when == {annotations: {"^org\\.ocinet\\.": "."}}' <<<"$output"
  run -0 ocinet hooks-json --always
  jq -e '.when == {always: true}' <<<"$output"
  says 2 'ocinet: Cannot publish ports with --net=none: *' ocinet hooks-json --net none -p 80:80
}

@test "on Node all is as on Deno" {
  local said
  said=$(ocinet up --dry-run "$BOX" -p 8080:80)
  export OCINET_RUNTIME=node
  [ "$(ocinet up --dry-run "$BOX" -p 8080:80 | sort)" = "$(sort <<<"$said")" ]
  run -0 ocinet up "$BOX"
  [ "$output" = "box default eth0 172.16.28.2/24 fd6f:6369:6e65:28::2/64" ]
  run -0 ocinet ls --json
  jq -e '.[0].state == "up"' <<<"$output"
  misuse "unknown option '--nett'" ocinet up --nett x "$BOX"
  says 1 'ocinet: Cannot use process 999999999: it does not run' ocinet up 999999999
  ocinet down box
  run -0 ocinet ls --json
  [ "$output" = "[]" ]
}

@test "a new file in the place of the old one goes on with what runs, and all can be removed as usage.md says" {
  local own=$BATS_TEST_TMPDIR/own bundle=$BATS_TEST_TMPDIR/bundle
  mkdir "$own"
  cp "$OCINET" "$own/ocinet"
  make_bundle "$bundle"
  set_args "$bundle" ip -4 -o address show dev eth0
  cp "$bundle/config.json" "$own/config.json"
  in_host "$own/ocinet" install-plugins "$own/bin"
  in_host "$own/ocinet" inject "$bundle"
  in_host "$own/ocinet" up box
  cp "$OCINET" "$own/new"
  mv "$own/new" "$own/ocinet"
  serve tcp 80 in_peer
  [ "$(ask tcp 192.0.2.2 80 in_host ip netns exec box)" = 192.0.2.1 ]
  run -0 run_container c1 "$bundle"
  [[ $output == *172.16.28.3/24* ]]
  CNI_COMMAND=VERSION in_host "$own/bin/bridge" <<<'{ "cniVersion": "1.1.0" }' | jq -e '.supportedVersions | length > 0'

  in_host "$own/ocinet" inject --remove "$bundle"
  diff <(jq -S . "$own/config.json") <(jq -S . "$bundle/config.json")
  in_host "$own/ocinet" install-plugins --remove "$own/bin"
  [ -z "$(ls "$own/bin")" ]
  in_host "$own/ocinet" down box
  in_host "$own/ocinet" gc
  [ -z "$(in_host nft list ruleset)$(ls -A -I calls "$STATE_DIR")" ]
}
