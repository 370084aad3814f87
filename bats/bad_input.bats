#!/usr/bin/env bats
# What cannot be: each refused in one line that says what is the case, with nothing left behind.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

# bystander RUNTIME: a container without hooks, whose state is what our hook gets to read. One attachment has come and
# gone, so that the tables and directories that containers share are there.
bystander() {
  make_bundle "$(bundle_path a)" "$1"
  start_container a "$(bundle_path a)"
  STATE=$(container_state a)
  PID=${PIDS[a]}
  ocinet hook createRuntime -p 65000:1 <<<"$STATE"
  ocinet hook poststop <<<"$STATE"
  snapshot >"$BATS_TEST_TMPDIR/before"
}

nothing_is_left() {
  rm "$STATE_DIR/hook.log"
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# refuses MESSAGE OPTION...: our hook
refuses() {
  run -1 ocinet hook createRuntime "${@:2}" <<<"$STATE"
  equal "ocinet: $1" "$output"
}

# refuses_state MESSAGE JSON
refuses_state() { STATE=$2 refuses "$1"; }

# refuses_network MESSAGE JSON: when it is asked for, as network x, whose file is named
refuses_network() {
  echo "$2" >"$NET_DIR/x.conf"
  refuses "Cannot use network \"x\" (/etc/ocinet/net.d/x.conf): $1" --net x
  rm "$NET_DIR/x.conf"
}

@test "a state that is none" {
  bystander runc
  local what="Cannot read the OCI state on standard input"
  refuses_state "$what: it is not an object" '[]'
  refuses_state "$what: it is not an object" 'null'
  refuses_state "$what: it has no \"id\"" '{}'
  refuses_state "$what: it has no \"id\"" '{"id": 7}'
  refuses_state "$what: its \"pid\" is \"7\"" '{"id": "b", "pid": "7"}'
  refuses_state "$what: its annotation \"x\" is no string" '{"id": "b", "annotations": {"x": {}}}'
  refuses_state 'Cannot attach container "b": its state has no "pid"' '{"id": "b"}'
  refuses_state "Cannot use process 4194305: it does not run" '{"id": "b", "pid": 4194305}'
  refuses_state "Cannot attach container \"b\": it is in this very network namespace; give it one of its own \
(linux.namespaces in config.json needs {\"type\": \"network\"}), or use --net=host" "{\"id\": \"b\", \"pid\": $HOST_PID}"
  local text
  for text in "" "nonsense" '{"id": "b"' $'\1\2' "$(head -c 100000 /dev/zero | tr '\0' '[')"; do
    run -1 ocinet hook createRuntime <<<"$text"
    [[ $output == "ocinet: $what: it is not JSON: "* ]] || fail "for $text:" "$output"
    equal 1 "${#lines[@]}"
  done
  nothing_is_left
}

@test "an id that is more than a name" {
  bystander crun
  # A hook is called for every container of the runtime's, so it takes what the runtime took: the name of a file. What
  # people choose themselves is plain.
  local characters='it may have only letters, digits, "_", "." and "-", and starts with a letter or digit' id long stage
  local file='it is ".", ".." or longer than 1024 characters, or has "/" or control characters'
  for id in 'b\nc' '../b' '..' 'b/c' '\u0000'; do
    refuses_state "Cannot use container id \"$id\": $file" "{\"id\": \"$id\", \"pid\": $PID}"
  done
  long=$(printf 'a%.0s' {1..1025})
  refuses_state "Cannot use container id \"$long\": $file" "{\"id\": \"$long\", \"pid\": $PID}"
  for stage in poststop auto; do
    run -1 ocinet hook $stage <<<'{"id": "../../b"}'
    equal "ocinet: Cannot use container id \"../../b\": $file" "$output"
  done
  run -2 ocinet up "$PID" --id "../b"
  equal "ocinet: Cannot use container id \"../b\": $characters" "$output"
  run -2 ocinet down "../b"
  equal "ocinet: Cannot use container id \"../b\": $characters" "$output"
  run -2 ocinet inspect "../b"
  equal "ocinet: Cannot use container id \"../b\": $characters" "$output"
  nothing_is_left
}

@test "annotations" {
  bystander runc
  local known
  known=$(ocinet hook --help | sed -nE 's/^ +(-., )?--([a-z-]+) <.*/org.ocinet.\2/p' | grep -v 'net-dir\|log-level' | sort)
  run -1 ocinet hook createRuntime <<<"$(jq '.annotations["org.ocinet.nets"] = "x"' <<<"$STATE")"
  [[ $output == 'ocinet: Cannot use annotation "org.ocinet.nets": known are '* ]]
  equal "$known" "$(sed 's/.*known are //; s/, /\n/g' <<<"$output" | sort)"
  annotated "networks not found: ../x;y (there are: default-restricted, default)" net "../x;y"
  annotated "networks not found: --net=host (there are: default-restricted, default)" net "--net=host"
  annotated 'Invalid IP passed to --dns: "nameserver"' dns $'1.2.3.4\nnameserver 6.6.6.6'
  annotated 'Cannot write "a b" into resolv.conf: it is not one plain word' dns-domain "a b"
  annotated 'Cannot use host name "a\nb": it is not one of up to 64 letters, digits, "-" and "."' hostname $'a\nb'
  annotated 'Cannot publish "80:80;x": it is not [HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]' publish "80:80;x"
  nothing_is_left
}

# annotated MESSAGE NAME VALUE
annotated() {
  refuses_state "$1" "$(jq --arg key "org.ocinet.$2" --arg value "$3" '.annotations[$key] = $value' <<<"$STATE")"
}

@test "--net" {
  bystander crun
  refuses "networks not found: blue, red (there are: default-restricted, default)" --net blue,default,red
  refuses "networks not found: a b (there are: default-restricted, default)" --net "a b"
  refuses "Cannot read --net: netname must not be empty" --net ""
  refuses "Cannot read --net: netname must not be empty" --net "default,"
  refuses 'Cannot read --net: found duplicate netname "default"' --net default --net "default:IP=172.16.28.9"
  refuses 'Cannot read --net: network "default" provided with invalid arguments: [2]' --net default:1:2
  refuses 'Cannot read --net: arguments are not supported by special netname "all"' --net all:IP=1.2.3.4
  refuses "Cannot publish ports with --net=none: the container has loopback only" --net none -p 80:80
  refuses "Cannot publish ports with --net=host: the container has the host's ports already" --net host -p 80:80
  nothing_is_left
}

@test "arguments of a network, addresses first of all" {
  bystander runc
  network blue.conf blue bridge 10.1.1.0/29
  snapshot >"$BATS_TEST_TMPDIR/before"
  refuses 'Cannot read --net: argument "IP" of network "default" is not KEY=VALUE' --net default:IP
  refuses 'Cannot use network "default": invalid IP address: 1:2' --net default:IP=1:2
  refuses 'Cannot read --net: argument "rm -rf /" of network "default" is not KEY=VALUE' --net "default:IP=172.16.28.9;rm -rf /"
  refuses 'Cannot use network "default": ARGS: unknown args ["address=172.16.28.9"]' --net default:address=172.16.28.9
  refuses "Cannot use network \"default\": invalid IP address: 172.16.28" --net default:IP=172.16.28
  refuses 'Cannot use network "blue": Cannot use MAC address "zz": it is not one' --net blue:MAC=zz
  refuses "Cannot use network \"default\": failed to allocate for range 0: requested ip 172.16.28.1 is subnet's gateway" --net default:IP=172.16.28.1
  local outside there="172.16.28.1-172.16.28.254 or fd6f:6369:6e65:28::1-fd6f:6369:6e65:28:ffff:ffff:ffff:ffff"
  for outside in 172.16.27.9 172.16.28.0 172.16.28.255 10.1.1.1; do
    refuses "Cannot use network \"default\": failed to allocate all requested IPs: $outside: containers can have $there" --net default:IP=$outside
  done
  nothing_is_left

  launch first runc --net blue:IP=10.1.1.5
  run -1 ocinet hook createRuntime --net default,blue:IP=10.1.1.5 <<<"$STATE"
  [[ $output == "ocinet: "*'requested IP address 10.1.1.5 is not available in range set 10.1.1.1-10.1.1.6: container "first" has it' ]]
  equal 1 "${#lines[@]}"
  equal "10.1.1.5" "$(find "$STATE_DIR/networks" -name '1*.*' -printf '%f\n')"
}

@test "--publish" {
  bystander crun
  local value
  for value in "" 80 a:b 80:80/TCP "80:80;x" -1:80 1.2.3.4:80 "80:80 " "[::1]80:80"; do
    refuses "Cannot publish \"$value\": it is not [HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]" -p "$value"
  done
  refuses 'Cannot publish "::1:80:80": an IPv6 address stands in brackets: [::1]:80:80' -p ::1:80:80
  for value in 0:80 80:0 65536:80 80:65536 65535-65536:1-2 99999999999999999999:80; do
    refuses "Cannot publish \"$value\": a port is a number from 1 to 65535" -p "$value"
  done
  refuses 'Cannot publish "80:80/icmp": protocol "icmp" is neither tcp, udp nor sctp' -p 80:80/icmp
  refuses "Cannot publish \"80-81:80\": the host's range has 2 ports and the container's 1" -p 80-81:80
  refuses 'Cannot publish "81-80:80-81": the range 81-80 ends before it begins' -p 81-80:80-81
  refuses 'Cannot publish "80:80:80": "80" is not an address' -p 80:80:80
  refuses 'Cannot publish "1.2.3:80:80": "1.2.3" is not an address' -p 1.2.3:80:80
  refuses 'Cannot publish "[::g]:80:80": "::g" is not an address' -p "[::g]:80:80"
  refuses 'Cannot publish "8080:81/tcp": this container publishes it already, as "8080:80/tcp"' -p 8080:80,8080:81
  refuses 'Cannot publish "203.0.113.9:8080:80/udp": the host does not have the address 203.0.113.9' -p 203.0.113.9:8080:80/udp
  nothing_is_left
}

@test "names" {
  bystander runc
  local long
  long=$(printf 'a%.0s' {1..65})
  refuses 'Invalid IP passed to --dns: "one"' --dns one
  refuses "no other --dns options allowed when --dns=host is passed" --dns host,192.0.2.1
  refuses "Cannot call --dns-opt, --dns-search, or --dns-domain with --dns=none" --dns none --dns-opt rotate
  refuses 'Cannot write "a\nnameserver 6.6.6.6" into resolv.conf: it is not one plain word' --dns-search $'a\nnameserver 6.6.6.6'
  refuses 'Did not understand --hosts-entry "10.0.0.1": it is not IP=NAME' --hosts-entry 10.0.0.1
  refuses 'Did not understand --hosts-entry "10.0.0.1=a\nb": it is not IP=NAME' --hosts-entry $'10.0.0.1=a\nb'
  refuses 'Invalid IP passed to --hosts-entry: "10.0.0"' --hosts-entry 10.0.0=a
  refuses "cannot pass --hosts-entry=host with multiple hosts-entries" --hosts-entry host,10.0.0.1=a
  refuses 'Cannot use host name "a b": it is not one of up to 64 letters, digits, "-" and "."' --hostname "a b"
  refuses "Cannot use host name \"$long\": it is not one of up to 64 letters, digits, \"-\" and \".\"" --hostname "$long"
  nothing_is_left
}

@test "a network file that cannot be read is in the way of its own network alone" {
  bystander crun
  local file=/etc/ocinet/net.d/x.conf
  broken "Cannot read network file $file: it is a list, not an object" '[]'
  broken "Cannot use network name \"\" in $file: it is empty" '{}'
  broken "Cannot use $file: a plugin has no \"type\"" '{"name": "x", "plugins": [{}]}'
  broken "Cannot use $file: invalid plugin name: \"../ptp\"" '{"name": "x", "type": "../ptp"}'
  broken "Cannot use $file: no plugins in list" '{"name": "x", "plugins": []}'
  broken "Cannot read \"plugins\" of network file $file: 7 is a number, not a list" '{"name": "x", "plugins": 7}'
  local name
  for name in '../x' 'a\nb' 'a b' 'a;b'; do
    broken "Cannot use network name \"$name\" in $file: it may have only letters, digits, \"_\", \".\" and \"-\", and starts with a letter or digit" \
      "{\"name\": \"$name\", \"type\": \"ptp\"}"
  done
  echo '{"name": "x", ' >"$NET_DIR/x.conf"
  run -1 ocinet hook createRuntime --net x <<<"$STATE"
  [[ $output == "ocinet: Cannot read network file $file: it is not JSON: it ends at line 2, column 1, where "* ]]
  equal 1 "${#lines[@]}"
  run -0 ocinet inject --print --net default "$(bundle_path a)"
  run -1 ocinet inject --net x "$(bundle_path a)"
  [[ $output == "ocinet: Cannot read network file $file: it is not JSON: "* ]]
  # What looks at others goes on without it.
  run -0 ocinet network inspect --format '{{.Name}}' default
  [[ $output == "ocinet: Cannot read network file $file: "*$'\n'default ]]
  run -0 ocinet map
  [[ ${lines[0]} == "ocinet: Cannot read network file $file: "* ]]
  run -0 ocinet network create --internal y
  [[ ${lines[0]} == "ocinet: Cannot read network file $file: "*"; it is passed over" ]]
  run -1 ocinet network create x
  [[ $output == "ocinet: Cannot read network file $file: "* ]]
  run -0 ocinet network prune
  run -0 ocinet doctor
  [[ $output == *"Cannot read network file $file: "* ]]
  # A version that is not known does no harm.
  echo '{"name": "x", "type": "ptp", "cniVersion": "9.0.0"}' >"$NET_DIR/x.conf"
  refuses 'Cannot use cniVersion "9.0.0" of network "x": known are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0' --net x
  rm "$NET_DIR/x.conf"
  nothing_is_left
}

# broken MESSAGE JSON: the file is in the way of its own network, and of no other
broken() {
  echo "$2" >"$NET_DIR/x.conf"
  refuses "$1" --net x
  run -1 ocinet hook createRuntime --net default -p 203.0.113.9:80:80 <<<"$STATE"
  [[ $output == *"the host does not have the address 203.0.113.9"* ]]
  rm "$NET_DIR/x.conf"
}

@test "a plugin that is not there matters to who asks for its network" {
  bystander runc
  local type
  for type in '"type": "warp"' '"type": "ptp", "ipam": {"type": "warp"}'; do
    echo "{\"name\": \"x\", $type}" >"$NET_DIR/x.conf"
    run -1 ocinet hook createRuntime --net x <<<"$STATE"
    [[ $output == "ocinet: "*'"warp"'* && ${#lines[@]} = 1 ]] || fail "$output"
    rm "$NET_DIR/x.conf"
  done
  refuses_network 'Cannot use type "ptp" without addresses: give it an "ipam" with a "type"' '{"name": "x", "type": "ptp"}'
  nothing_is_left
  echo '{"name": "x", "type": "warp"}' >"$NET_DIR/x.conf"
  ocinet hook createRuntime --net default <<<"$STATE"
}

@test "names of bridges" {
  bystander crun
  bridge "Cannot use bridge link \"a b\": interface name contains / or : or whitespace characters" "a b"
  bridge "Cannot use bridge link \"a\nb\": interface name contains / or : or whitespace characters" 'a\nb'
  bridge "Cannot use bridge link \"../x\": interface name contains / or : or whitespace characters" ../x
  bridge "Cannot use bridge link \"abcdefghijklmnop\": interface name is too long" abcdefghijklmnop
  bridge "Cannot use bridge link \"a;b\": interface name has characters other than A-Z a-z 0-9 _ . + -" 'a;b'
  bridge "Cannot use bridge link \"-x\": interface name has characters other than A-Z a-z 0-9 _ . + -" -x
  bridge "Cannot use bridge link \"all\": interface name is all or default" all
  bridge 'failed to create bridge "eth0": "eth0" already exists but is not a bridge' eth0
  nothing_is_left
}

# bridge MESSAGE NAME
bridge() {
  refuses_network "${1//$'\n'/\\n}" "{\"name\": \"x\", \"type\": \"bridge\", \"bridge\": \"$2\",
    \"ipam\": {\"type\": \"host-local\", \"subnet\": \"10.1.1.0/24\"}}"
}

@test "addresses of networks, and other values" {
  bystander runc
  ranges "no IP ranges specified" '{}'
  ranges "invalid range set 0: invalid CIDR address: 10.1.1.0" '{"subnet": "10.1.1.0"}'
  ranges "invalid range set 0: Network 10.1.1.0/31 too small to allocate from" '{"subnet": "10.1.1.0/31"}'
  ranges "invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 10.1.1.0" \
    '{"subnet": "10.1.1.1/24"}'
  ranges "invalid range set 0: RangeStart 10.2.0.1 not in network 10.1.1.0/24" '{"subnet": "10.1.1.0/24", "rangeStart": "10.2.0.1"}'
  ranges "invalid range set 0: invalid IP address: 10.1.1.1 dev lo" '{"subnet": "10.1.1.0/24", "gateway": "10.1.1.1 dev lo"}'
  ranges "invalid CIDR address: 0.0.0.0/0 dev lo" '{"subnet": "10.1.1.0/24", "routes": [{"dst": "0.0.0.0/0 dev lo"}]}'
  ranges 'Cannot read "subnet" of "ipam" of network configuration: 7 is a number, not a string' '{"subnet": 7}'
  ranges 'Cannot read resolvConf "/nowhere": there is no such file' '{"subnet": "10.1.1.0/24", "resolvConf": "/nowhere"}'
  refuses_network 'Cannot read "mtu" of network configuration: "1500" is a string, not a whole number' \
    '{"name": "x", "type": "ptp", "mtu": "1500", "ipam": {"type": "host-local", "subnet": "10.1.1.0/24"}}'
  refuses_network 'Cannot read "mtu" of network configuration: -1 is outside 0 to 65535' \
    '{"name": "x", "type": "ptp", "mtu": -1, "ipam": {"type": "host-local", "subnet": "10.1.1.0/24"}}'
  nothing_is_left
}

# ranges MESSAGE IPAM
ranges() {
  refuses_network "$1" "$(jq -c '{ name: "x", type: "ptp", ipam: ({ type: "host-local" } + .) }' <<<"$2")"
}

@test "what only the kernel refuses is undone, and told" {
  bystander crun
  network x.conf x ptp 10.1.1.0/24 '{ "mtu": 10 }'
  ocinet gc
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -1 ocinet hook createRuntime --net default,x -p 8080:80 <<<"$STATE"
  [[ $output == 'ocinet: Cannot use mtu 10: the link cannot have it; usual is 1500, and the least for IPv6 1280' ]]
  equal 1 "${#lines[@]}"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

with_each_runtime "a hostile bundle does not start" hostile_bundle
hostile_bundle() {
  prepare a "$1"
  ocinet hook poststop <<<'{"id": "nobody"}'
  snapshot >"$BATS_TEST_TMPDIR/before"
  local value
  for value in '../../x' $'default\nhost;reboot' "default:IP=172.16.28.9;IP=1"; do
    set_config "$(bundle_path a)" ".annotations[\"org.ocinet.net\"] = \$value" --arg value "$value"
    run ! start_container a "$(bundle_path a)"
    run -1 container_state a
  done
  equal 3 "$(grep -c "createRuntime a: " "$STATE_DIR/hook.log")"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "the command line: 0 done, 1 failed, 2 wrong use" {
  local words
  while read -ra words; do
    run -2 ocinet "${words[@]}"
    no_stack_trace
  done <<'LINES'

nothing
up
up 1 2
up 1 --nothing
up 1 --publish
down
inspect
inject
inject a b
ls a
gc a
ls --log-level loud
version a
hooks-json --net a:b:c
up 1 --net host,default
up 1 --net default:ip=x
up 1 --publish 80
up 1 --rate-in fast
up 1 --uplink slirp
port add
logs a
LINES
  while read -ra words; do
    run -1 ocinet "${words[@]}"
    no_stack_trace
    [[ $output == "ocinet: Cannot "* && ${#lines[@]} = 1 ]] || fail "for ${words[*]}:" "$output"
  done <<'LINES'
up /nowhere
up nowhere
up 4194305
up /proc/self/ns/net
up /proc/self/ns/mnt
inspect nobody
inject /nowhere
inject /etc/hosts
repair nobody
LINES
  while read -ra words; do
    run -0 ocinet "${words[@]}"
  done <<'LINES'
--help
up --help
hook --help
help
help up
--version
version
ls
ps
gc
gc --dry-run
down nobody
hooks-json
LINES
}

no_stack_trace() {
  [[ ! $output =~ (^|$'\n')[[:space:]]+at\  ]] || fail "$output"
}
