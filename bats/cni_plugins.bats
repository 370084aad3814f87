#!/usr/bin/env bats
# Each plugin called as CNI calls it: what it reads, prints and refuses, and that nothing stays of what it did.
# shellcheck disable=SC2016 # scripts of plugins
load lib
load cni

setup() {
  set_up_hosts
  set_up_plugins
  FULL=$(conf bridge "{ \"isGateway\": true, \"ipMasq\": true, \"macspoofchk\": true, \"ipam\": $host_local }")
  PUBLISHED=$(conf portmap "{ \"runtimeConfig\": { \"portMappings\": $maps } }")
  FOREIGN=$(conf bridge '{ "isGateway": true, "ipMasq": true, "ipam": { "type": "myipam", "mine": { "x": [1] } } }')
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

host_local='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }] }'
static='{ "type": "static", "addresses": [{ "address": "10.1.1.9/24", "gateway": "10.1.1.1" }], "routes": [{ "dst": "0.0.0.0/0" }], "dns": { "nameservers": ["10.1.1.1"] } }'
maps='[{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }, { "hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "192.0.2.1" }]'
versions='["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]'

# leaves_nothing: once gc has taken what containers share, and the test's namespace is what it was
leaves_nothing() {
  in_host bash -c '[ ! -e /run/netns/new ] || ip netns delete new; [ -e /run/netns/box ] || ip netns add box'
  run -1 cni_traces
  ocinet gc >/dev/null
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# --- the environment

@test "without a command every plugin tells of itself on stderr, with a version that nerdctl takes; VERSION reads nothing" {
  local path type known count=0
  # The reference's are of no older version.
  declare -A since=([bandwidth]=0.3.0 [vrf]=0.3.1 [firewall]=0.4.0)
  for path in "$BIN"/*; do
    type=${path##*/}
    known=$(jq -c --arg since "${since[$type]-0.1.0}" '.[index($since):]' <<<"$versions")
    run -0 --separate-stderr plugin "$type" "" ""
    [ -z "$output" ]
    equal "CNI $type plugin v1.9.1"$'\n'"CNI protocol versions supported: $(jq -r 'join(", ")' <<<"$known")" "$stderr"
    run -0 --separate-stderr in_host env -i PATH="$PATH" CNI_COMMAND=VERSION timeout 30 "$BIN/$type" </dev/zero
    [ -z "$stderr" ]
    equal "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":$known}" "$output"
    [ -z "${since[$type]-}" ] || refused 1 "incompatible CNI versions" "$type" ADD "$(conf "$type" "{}" 0.2.0)"
    count=$((count + 1))
  done
  equal 23 $count
}

@test "VERSION, and a call with nothing set, start nothing and look at nothing" {
  local command runtime processes
  # A command that acts looks at what there is: so would they be seen to.
  looks_of DEL "$(conf bridge)"
  grep -qF "\"$STATE_DIR" "$BATS_TEST_TMPDIR/trace"
  for runtime in deno node; do
    for command in "" VERSION; do
      OCINET_RUNTIME=$runtime looks_of "$command"
      # The plugin's own file, the launcher, which answers VERSION by itself, env that blocks a signal for Deno, and the
      # runtime that they become.
      processes=3
      [ $runtime = node ] || processes=4
      [ "$command" != VERSION ] || processes=2
      equal $processes "$(grep -c 'execve(.* = 0$' "$BATS_TEST_TMPDIR/trace")"
      run -1 grep -E "\"($STATE_DIR|/run/ocinet|/var/lib/cni|/etc/cni|/run/netns|/sys/class|/proc/net|/proc/self/net|/proc/sys/net)" "$BATS_TEST_TMPDIR/trace"
    done
  done
}

# looks_of COMMAND [JSON]: what files bridge looks at, and what it starts, is then in the file "trace"
looks_of() {
  in_host env -i PATH="$PATH" OCINET_AGENT=no OCINET_RUNTIME="${OCINET_RUNTIME-}" OCINET_STATE_DIR="$STATE_DIR" CNI_COMMAND="$1" CNI_CONTAINERID=c1 \
    CNI_IFNAME=eth0 CNI_PATH="$BIN" strace -f -qq -e trace=execve,%file -o "$BATS_TEST_TMPDIR/trace" "$BIN/bridge" <<<"${2-}" >/dev/null 2>&1
}

@test "what a command cannot do without is named, all of it together" {
  local missing="required env variables"
  refused 4 "$missing [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing" bridge ADD "" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_PATH=
  refused 4 "$missing [CNI_NETNS] missing" bridge ADD "" CNI_NETNS=
  refused 4 "$missing [CNI_CONTAINERID,CNI_NETNS] missing" bridge CHECK "" CNI_CONTAINERID= CNI_NETNS=
  refused 4 "$missing [CNI_IFNAME] missing" bridge DEL "" CNI_IFNAME= CNI_NETNS=
  refused 4 "$missing [CNI_PATH] missing" bridge GC "" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_PATH=
  refused 4 "$missing [CNI_PATH] missing" bridge STATUS "" CNI_PATH=
  run -0 plugin bridge GC "$(conf bridge)" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  run -0 plugin bridge STATUS "$(conf bridge)" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
}

@test "names that could not be are refused before anything is read" {
  refused 4 "invalid characters in containerID" bridge ADD "" CNI_CONTAINERID=../c1
  jq -e '.details == "../c1"' <<<"$output"
  refused 4 "interface name is too long" bridge ADD "" CNI_IFNAME=sixteen-letters-
  refused 4 "interface name is . or .." bridge ADD "" CNI_IFNAME=..
  refused 4 "interface name contains / or : or whitespace characters" bridge ADD "" "CNI_IFNAME=a b"
}

@test "CNI_ARGS are looked at by those who read them, and in ADD alone" {
  local ptp
  ptp=$(conf ptp "{ \"ipam\": $static }")
  refused 999 'ARGS: invalid pair "FOO"' bridge ADD "$FULL" "CNI_ARGS=FOO"
  refused 999 'ARGS: invalid pair "A=b=c"' bridge ADD "$FULL" "CNI_ARGS=IgnoreUnknown=1;A=b=c"
  refused 999 'ARGS: unknown args ["ip=10.1.1.9"]' ptp ADD "$ptp" "CNI_ARGS=ip=10.1.1.9"
  run -0 plugin static ADD "$(conf static "{ \"ipam\": $static }")" "CNI_ARGS=ip=10.1.1.9;IgnoreUnknown=1"
  adds ptp "$ptp"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")" "CNI_ARGS=FOO=1;A=b=c"
  run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$RESULT")" "CNI_ARGS=FOO"
  run -0 plugin ptp DEL "$ptp" "CNI_ARGS=A=b=c;FOO"
  run -1 cni_traces
}

@test "then the configuration, its name, the command and its version are looked at, in this order" {
  refused 6 "Cannot read network configuration: it is not JSON" bridge NONE "{"
  refused 6 "Cannot read network configuration: it is a list, not an object" bridge NONE "[]"
  refused 7 "missing network name" bridge NONE '{ "cniVersion": "9.9.9" }'
  refused 7 "invalid characters found in network name" bridge NONE '{ "name": "../net" }'
  jq -e '.details == "../net"' <<<"$output"
  refused 4 "unknown CNI_COMMAND: NONE" bridge NONE '{ "name": "net", "cniVersion": "9.9.9" }'
  refused 1 "incompatible CNI versions" bridge ADD '{ "name": "net", "cniVersion": "9.9.9" }'
  jq -e --arg versions "$versions" '.details == "config is \"9.9.9\", plugin supports \($versions | gsub(","; " "))"' <<<"$output"
  local version
  for version in 0.1.0 0.3.1; do
    refused 1 "config version does not allow CHECK" bridge CHECK "$(conf bridge "{}" $version)"
  done
  for version in 0.4.0 1.0.0; do
    refused 1 "config version does not allow GC" bridge GC "$(conf bridge "{}" $version)"
    refused 1 "config version does not allow STATUS" bridge STATUS "$(conf bridge "{}" $version)"
  done
  refused 1 "config version does not allow CHECK" bridge CHECK '{ "name": "net", "type": "bridge" }'
}

@test "in a chain whose error is a plugin's own, the plugin says what is missing" {
  refused 999 "must be called as chained plugin" portmap ADD "$PUBLISHED"
  refused 999 "Required prevResult missing" bridge CHECK "$FULL"
  refused 999 "Required prevResult missing" static CHECK "$(conf static "{ \"ipam\": $static }")"
  run -1 plugin bridge ADD "$(conf bridge '{ "ipam": { "type": "bridge" } }')"
  jq -e '.code == 7 and (.msg | startswith("Cannot use plugin type \"bridge\": it is not one of ours ("))' <<<"$output"
}

# --- results

# result VERSION: what ptp with static addresses says, made plain by names and MAC addresses that depend on nothing
result() {
  run -0 --separate-stderr plugin ptp ADD "$(conf ptp "{ \"ipam\": $static }" "$1")"
  [ -z "$stderr" ]
  equal "$2" "$(jq -c . <<<"$output")"
  run -0 plugin ptp DEL "$(conf ptp "{ \"ipam\": $static }" "$1")"
  [ -z "$output" ]
}

@test "a result has the shape of the version that was asked for" {
  local host='{"name":"vethdbbac32e902","mac":"02:ab:7c:7e:33:47"}' box='{"name":"eth0","mac":"02:7f:9d:03:5e:ce","sandbox":"/run/netns/box"}'
  local old="\"ip4\":{\"ip\":\"10.1.1.9/24\",\"gateway\":\"10.1.1.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},\"dns\":{\"nameservers\":[\"10.1.1.1\"]}"
  local ip='"interface":1,"address":"10.1.1.9/24","gateway":"10.1.1.1"' routes='"routes":[{"dst":"0.0.0.0/0"}]' dns='"dns":{"nameservers":["10.1.1.1"]}'
  local version
  for version in 0.1.0 0.2.0; do result $version "{\"cniVersion\":\"$version\",$old}"; done
  for version in 0.3.0 0.3.1 0.4.0; do
    result $version "{\"cniVersion\":\"$version\",\"interfaces\":[$host,$box],\"ips\":[{\"version\":\"4\",$ip}],$routes,$dns}"
  done
  for version in 1.0.0 1.1.0; do
    result $version "{\"cniVersion\":\"$version\",$dns,\"interfaces\":[$host,$box],\"ips\":[{\"address\":\"10.1.1.9/24\",\"gateway\":\"10.1.1.1\",\"interface\":1}],$routes}"
  done
  result "" "{\"cniVersion\":\"0.1.0\",$old}"
}

@test "a result is JSON of four spaces, without a newline at the end; so is an error" {
  run -0 bash -c "$(declare -f plugin in_host track conf); $(declare -p BIN STATE_DIR HOST_PID CGROUP)
    plugin loopback ADD '$(conf loopback)' | tail -c 2 | od -An -c; plugin loopback NONE '$(conf loopback)' | tail -c 2 | od -An -c"
  equal "  \\n   }|  \\n   }" "$(paste -sd'|' <<<"$output")"
  run -0 plugin loopback ADD "$(conf loopback)" CNI_CONTAINERID=c2
  [ "${lines[1]}" = '    "cniVersion": "1.1.0",' ]
}

@test "a result without addresses cannot be told in 0.2.0, and then nothing stays" {
  snapshot >"$BATS_TEST_TMPDIR/before"
  refused 999 "cannot convert: no valid IP addresses" bridge ADD "$(conf bridge "{}" 0.2.0)"
  leaves_nothing
}

@test "keys count as Go reads them: capitals, null and empty texts as nothing, the last of two" {
  local go='{"CNIVERSION":"1.0.0","Name":"net","Type":"bridge","Bridge":"","IsGateway":true,"MTU":null,
    "IPAM":{"Type":"host-local","Ranges":[[{"Subnet":"10.9.9.0/24","RangeStart":"","Gateway":""}]],"dataDir":""},
    "ipMasq":false,"ipmasq":true}'
  adds bridge "$go"
  jq -e '.ips[0].address == "10.9.9.2/24" and .interfaces[0].name == "cni0"' <<<"$RESULT"
  [[ $(elements masquerade4) == '{ "cni0" . 10.9.9.2 }' ]]
  local map='{"cniVersion":"1.0.0","name":"net","type":"portmap","RuntimeConfig":{"PortMappings":[{"HostPort":8080,"ContainerPort":80,"Protocol":"TCP","HostIP":""}]}}'
  run -0 plugin portmap ADD "$(with_result "$map" "$RESULT")"
  [[ $(elements ports4) == "{ tcp . 8080 : 10.9.9.2 . 80 }" ]]
  run -0 plugin portmap DEL "$(with_result "$map" "$RESULT")"
  run -0 plugin bridge DEL "$go"
}

# --- ADD

@test "ADD twice is refused, and the first stays as it is" {
  adds bridge "$FULL"
  local first=$RESULT
  snapshot >"$BATS_TEST_TMPDIR/first"
  refused 999 'Cannot attach "eth0" of container "c1" to network "net": it is attached by bridge already; DEL comes first' bridge ADD "$FULL"
  assert_same_snapshot "$BATS_TEST_TMPDIR/first"
  run -0 plugin bridge CHECK "$(with_result "$FULL" "$first")"
  # Another network's, under the same name, and the DEL that has to follow.
  run -1 plugin ptp ADD "$(conf ptp "{ \"name\": \"other\", \"ipam\": $static }")"
  jq -e '.code == 999 and (.msg | contains("the container has an interface eth0 already")) and
    (.details | contains("File exists"))' <<<"$output"
  run -0 plugin ptp DEL "$(conf ptp "{ \"name\": \"other\", \"ipam\": $static }")"
  assert_same_snapshot "$BATS_TEST_TMPDIR/first"
  run -0 plugin bridge DEL "$FULL"
}

# fails_and_leaves_nothing CODE TYPE JSON [VARIABLE...]: ADD, whose error's code is that; and DEL after it, which CNI
# wants to be called
fails_and_leaves_nothing() {
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -1 --separate-stderr plugin "$2" ADD "${@:3}"
  jq -e --argjson code "$1" '.code == $code and .msg != ""' <<<"$output" || fail "$output"
  leaves_nothing
  run -0 plugin "$2" DEL "${@:3}"
  leaves_nothing
}

@test "a failed ADD leaves nothing: an address that cannot be had" {
  local ipam='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]] }'
  fails_and_leaves_nothing 999 bridge "$(conf bridge "{ \"ipMasq\": true, \"ipam\": $ipam }")" "CNI_ARGS=IP=10.9.9.9"
  jq -e '.msg == "failed to allocate all requested IPs: 10.9.9.9"' <<<"$output" || true
}

@test "a failed ADD leaves nothing: a link that is there already" {
  in_box ip link add name eth0 type veth peer name eth1
  snapshot >"$BATS_TEST_TMPDIR/before"
  in_box ip link >"$BATS_TEST_TMPDIR/inside"
  run -1 plugin bridge ADD "$FULL"
  run -0 in_box ip link
  equal "$(<"$BATS_TEST_TMPDIR/inside")" "$output"
  leaves_nothing
}

@test "a failed ADD leaves nothing: a route that cannot be" {
  local ipam='{ "type": "host-local", "subnet": "10.1.1.0/24", "routes": [{ "dst": "10.3.0.0/16", "gw": "10.2.2.2" }] }'
  fails_and_leaves_nothing 999 bridge "$(conf bridge "{ \"isGateway\": true, \"ipMasq\": true, \"macspoofchk\": true, \"ipam\": $ipam }")"
}

@test "a failed ADD leaves nothing: a bridge that is none, or has another address" {
  in_host ip link add name br0 type veth peer name br1
  fails_and_leaves_nothing 999 bridge "$(conf bridge "{ \"bridge\": \"br0\", \"ipam\": $host_local }")"
  in_host ip link delete br0
  in_host ip link add name br0 type bridge forward_delay 0
  in_host ip address add 10.1.1.7/24 dev br0
  in_host ip link set dev br0 up
  fails_and_leaves_nothing 999 bridge "$(conf bridge "{ \"bridge\": \"br0\", \"isGateway\": true, \"ipam\": $host_local }")"
}

@test "a failed ADD leaves nothing: a port that leads elsewhere" {
  adds ptp "$(conf ptp "{ \"ipam\": $static }")"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")"
  local other first
  other=$(jq '.ips[0].address = "10.1.1.10/24"' <<<"$RESULT")
  first=$(elements ports4)
  run -1 plugin portmap ADD "$(with_result "$PUBLISHED" "$other")" CNI_CONTAINERID=c2
  jq -e '.code == 999 and .msg == "Cannot publish port 8080/tcp" and .details == "container \"c1\" has it"' <<<"$output"
  run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$other")" CNI_CONTAINERID=c2
  equal "$first" "$(elements ports4)"
  run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$RESULT")"
  equal "" "$(elements ports4)$(elements hostports4)"
  run -0 plugin ptp DEL "$(conf ptp "{ \"ipam\": $static }")"
}

# publishes ID NAMESPACE RESULT PORT [HOSTIP]: portmap's ADD of one mapping, in a network of its own
publishes() {
  plugin portmap ADD "$(with_result "$(conf portmap "{ \"name\": \"of$4.${5-}\", \"runtimeConfig\": { \"portMappings\": [
    { \"hostPort\": $4, \"containerPort\": 80, \"hostIP\": \"${5-}\" }] } }")" "$3")" "CNI_CONTAINERID=$1" "CNI_NETNS=/run/netns/$2"
}

@test "a port on all addresses and one on one are two containers' only one after the other; whose container is gone is free (nomad#11901)" {
  local first second
  adds ptp "$(conf ptp "{ \"ipam\": $static }")"
  first=$RESULT
  in_host ip netns add box2
  adds ptp "$(conf ptp "{ \"ipam\": ${static//10.1.1.9/10.1.1.10} }")" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/box2
  second=$RESULT
  run -0 publishes c1 box "$first" 8081 192.0.2.1
  run -0 publishes c2 box2 "$second" 8082
  run -1 publishes c2 box2 "$second" 8081
  jq -e '.msg == "Cannot publish port 8081/tcp" and .details == "container \"c1\" has it"' <<<"$output"
  run -1 publishes c1 box "$first" 8082 192.0.2.1
  jq -e '.msg == "Cannot publish port 8082/tcp on 192.0.2.1" and .details == "container \"c2\" has it"' <<<"$output"
  equal "{ 192.0.2.1 . tcp . 8081 : 10.1.1.9 . 80 }" "$(elements hostports4)"
  equal "{ tcp . 8082 : 10.1.1.10 . 80 }" "$(elements ports4)"
  in_host ip netns add box3
  for port in 8081 8082; do
    run -1 ocinet up /run/netns/box3 --net default -p "$port:80"
    [[ $output == "ocinet: Cannot publish port $port/tcp: container \"c"[12]"\" has it" ]] || fail "$output"
  done
  # Without a DEL.
  in_host ip netns delete box
  run -0 publishes c2 box2 "$second" 8081
  in_host ip netns delete box2
  ocinet up /run/netns/box3 --net default -p 8081-8082:80-81
  # What was written down of it takes nothing from the container that has the port now.
  run -0 ocinet gc
  [[ $(elements ports4) == *"tcp . 8081 : 172.16.28."*" . 80"* ]]
  ocinet down box3
  in_host ip netns delete box3
  ocinet gc
}

# --- DEL

@test "DEL of what was never added succeeds, and touches nothing" {
  local previous='{"cniVersion":"1.1.0","interfaces":[{"name":"cni0"},{"name":"veth0"},{"name":"eth0","sandbox":"/run/netns/box"}],"ips":[{"address":"10.1.1.2/24","interface":2}]}'
  snapshot >"$BATS_TEST_TMPDIR/before"
  local netns
  for netns in /run/netns/box /run/netns/none ""; do
    run -0 --separate-stderr plugin bridge DEL "$FULL" CNI_NETNS="$netns"
    [ -z "$output$stderr" ]
  done
  run -0 plugin ptp DEL "$(conf ptp "{ \"ipMasq\": true, \"ipam\": $host_local }" 0.2.0)"
  run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$previous")"
  run -0 plugin portmap DEL "$PUBLISHED"
  run -0 plugin host-local DEL "$(conf host-local "{ \"ipam\": $host_local }")"
  # Which holds nothing.
  run -0 plugin static DEL "$(conf static '{ "ipam": { "addresses": 7 } }')"
  leaves_nothing
}

# deleted_with JSON [VARIABLE...]: after ADD, DEL with that in its configuration leaves nothing
deleted_with() {
  snapshot >"$BATS_TEST_TMPDIR/before"
  adds bridge "$FULL"
  local chained
  chained=$(with_result "$PUBLISHED" "$RESULT")
  run -0 plugin portmap ADD "$chained"
  [ -z "${BETWEEN-}" ] || $BETWEEN
  run -0 --separate-stderr plugin portmap DEL "$(with_result "$PUBLISHED" "$RESULT" "$1")" "${@:2}"
  run -0 --separate-stderr plugin bridge DEL "$(with_result "$FULL" "$RESULT" "$1")" "${@:2}"
  [ -z "$output$stderr" ]
  leaves_nothing
}

@test "a port that several networks of a container are told of leads to the first, and then to the next" {
  local one two
  one=$(with_result "$PUBLISHED" '{ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.1.2/24" }] }')
  two=$(with_result "$PUBLISHED" '{ "cniVersion": "1.1.0", "ips": [{ "address": "10.2.2.2/24" }] }' '{ "name": "two" }')
  adds portmap "$one"
  adds portmap "$two" CNI_IFNAME=eth1
  [[ $(elements ports4) == *"tcp . 8080 : 10.1.1.2 . 80"* ]]
  [[ $(elements hostports4) == *"10.1.1.2 . 5353"* ]]
  run -0 plugin portmap CHECK "$one"
  run -0 plugin portmap CHECK "$two" CNI_IFNAME=eth1
  run -0 plugin portmap DEL "$one"
  [[ $(elements ports4) == *"tcp . 8080 : 10.2.2.2 . 80"* ]]
  [[ $(elements hostports4) == *"10.2.2.2 . 5353"* ]]
  run -0 plugin portmap CHECK "$two" CNI_IFNAME=eth1
  run -0 plugin portmap DEL "$two" CNI_IFNAME=eth1
  # What was changed of the host's own link, over which such results lead, is put back by gc.
  ocinet gc >/dev/null
  run -1 cni_traces
  # So it is where our runtime runs them.
  local net
  for net in 1 2; do
    jq -n "{ cniVersion: \"1.0.0\", name: \"$net\", plugins: [{ type: \"ptp\", ipam: { type: \"host-local\", subnet: \"10.1.$net.0/24\" } },
      { type: \"portmap\", capabilities: { portMappings: true } }] }" >"$NET_DIR/$net.conflist"
    runtime add $net "CAP_ARGS={ \"portMappings\": $maps }" >/dev/null
  done
  [[ $(elements ports4) == *"tcp . 8080 : 10.1.1.2 . 80"* ]]
  runtime del 1
  [[ $(elements ports4) == *"tcp . 8080 : 10.1.2.2 . 80"* ]]
  runtime del 2
  run -1 cni_traces
}

# runtime VERB N [VARIABLE=VALUE...]: `ocinet cni` for "ethN" of "c1" on network N
runtime() {
  in_host env OCINET_STATE_DIR="$STATE_DIR" CNI_CONTAINERID=c1 CNI_IFNAME="eth$2" "NETCONFPATH=$NET_DIR" CNI_PATH="$BIN" "${@:3}" \
    "$OCINET" cni "$1" "$2" /run/netns/box
}

@test "DEL leaves nothing" { deleted_with "{}"; }
@test "DEL leaves nothing without a result" { deleted_with '{ "prevResult": null }'; }
@test "DEL leaves nothing when the namespace is gone" {
  BETWEEN="in_host ip netns delete box"
  deleted_with "{}"
}

@test "DEL leaves nothing when the namespace has another name" {
  rename() { in_host bash -c 'touch /run/netns/new && mount --bind /run/netns/box /run/netns/new && ip netns delete box'; }
  BETWEEN=rename
  deleted_with "{}" CNI_NETNS=/run/netns/new
}

@test "DEL leaves alone who has the namespace's name by now" {
  another() {
    in_host ip netns delete box
    in_host ip netns add box
    in_box ip link add name eth0 type veth peer name eth1
  }
  BETWEEN=another
  adds bridge "$FULL"
  $BETWEEN
  run -0 plugin bridge DEL "$(with_result "$FULL" "$RESULT")"
  run -0 in_box ip link show dev eth0
  # And an ADD there is a new one.
  in_box ip link delete eth0
  adds bridge "$FULL"
  in_host ip netns delete box
  in_host ip netns add box
  adds bridge "$FULL"
  run -0 plugin bridge DEL "$FULL"
  run -1 cni_traces
}

@test "DEL leaves nothing when the record is lost, or damaged" {
  lose() { rm -r "$STATE_DIR/containers"; }
  # The second is of an ADD that was killed while it wrote.
  damage() {
    find "$STATE_DIR/containers" -type f -exec sh -c 'echo "{" >"$1"' sh {} \;
    echo "{" >"$STATE_DIR/containers/c1/.net eth0 bridge.json.99999999.1"
  }
  BETWEEN=lose
  deleted_with "{}"
  BETWEEN=damage
  deleted_with "{}"
}

@test "DEL takes rules out of the container when the record is lost, and only its own" {
  local chained
  in_box ip rule add from 10.1.1.77 lookup 100
  in_box ip -6 rule add from fd00:1::77 lookup 100
  links_of in_box >"$BATS_TEST_TMPDIR/inside"
  adds bridge "$FULL"
  chained=$(with_result "$(conf sbr)" "$RESULT")
  run -0 plugin sbr ADD "$chained"
  in_box ip rule | grep -q "from 10.1.1.2 lookup 101"
  rm -r "$STATE_DIR/containers"
  run -0 plugin sbr DEL "$chained"
  run -0 plugin bridge DEL "$(with_result "$FULL" "$RESULT")"
  diff "$BATS_TEST_TMPDIR/inside" <(links_of in_box)
}

@test "DEL leaves nothing of a chain with an ifb link when the record is lost" {
  local limited
  snapshot >"$BATS_TEST_TMPDIR/before"
  adds bridge "$FULL"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")"
  limited=$(conf bandwidth '{ "egressRate": 8000000, "egressBurst": 800000 }')
  adds bandwidth "$(with_result "$limited" "$RESULT")"
  rm -r "$STATE_DIR/containers"
  run -0 plugin bandwidth DEL "$(with_result "$limited" "$RESULT")"
  run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$RESULT")"
  run -0 plugin bridge DEL "$(with_result "$FULL" "$RESULT")"
  leaves_nothing
}

@test "DEL leaves nothing of a network that has another name since, and in a chain nothing in the cache" {
  local other
  snapshot >"$BATS_TEST_TMPDIR/before"
  adds bridge "$FULL"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")"
  run -0 plugin portmap DEL "$(jq -c '.name = "other"' <<<"$PUBLISHED")"
  run -0 plugin bridge DEL "$(jq -c '.name = "other"' <<<"$FULL")"
  leaves_nothing
  # cni VERB NAME: the same network under a name
  cni() {
    jq -n --arg name "$2" --argjson full "$FULL" '{ cniVersion: "1.1.0", $name, plugins: [$full] }' >"$BATS_TEST_TMPDIR/net.conflist"
    CNI_CONTAINERID=c1 NETCONFPATH=$BATS_TEST_TMPDIR CNI_PATH=/none ocinet cni "$1" "$2" /run/netns/box
  }
  run -0 cni add net
  run -0 cni del other
  leaves_nothing
}

@test "a damaged record is undone by what the others tell, and one of a later format is refused by name, not removed" {
  local record
  snapshot >"$BATS_TEST_TMPDIR/before"
  adds bridge "$FULL"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")"
  echo "{" >"$STATE_DIR/containers/c1/net eth0 portmap.json"
  run -0 plugin portmap DEL "$PUBLISHED"
  run -0 plugin bridge DEL "$FULL"
  leaves_nothing
  adds bridge "$FULL"
  record="$STATE_DIR/containers/c1/net eth0 bridge.json"
  sed -i 's/"format":[0-9]*/"format":99/' "$record"
  run -1 plugin bridge DEL "$FULL"
  [[ $output == *"its format is 99"* ]] || fail "$output"
  sed -i 's/"format":99/"format":2/' "$record"
  run -0 plugin bridge DEL "$FULL"
  leaves_nothing
}

@test "DEL, and a second one, succeed where a plain file is left of the namespace (sriov-cni#188)" {
  local netns=$BATS_TEST_TMPDIR/plain
  snapshot >"$BATS_TEST_TMPDIR/before"
  : >"$netns"
  run -0 plugin bridge DEL "$FULL" CNI_NETNS="$netns"
  adds bridge "$FULL"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")"
  local _
  for _ in 1 2; do
    run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$RESULT")" CNI_NETNS="$netns"
    run -0 plugin bridge DEL "$(with_result "$FULL" "$RESULT")" CNI_NETNS="$netns"
  done
  leaves_nothing
}

@test "a second DEL, or one of a lost record, takes nothing from who has the address and the port by now" {
  adds bridge "$FULL"
  local first=$RESULT
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$first")"
  run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$first")"
  run -0 plugin bridge DEL "$(with_result "$FULL" "$first")"
  in_host ip netns add next
  adds bridge "$(jq -c '.runtimeConfig.ips = ["10.1.1.2", "fd00:1::2"]' <<<"$FULL")" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/next
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/next
  local second
  second=$(cni_traces)
  run -0 plugin portmap DEL "$(with_result "$PUBLISHED" "$first")"
  run -0 plugin bridge DEL "$(with_result "$FULL" "$first")"
  equal "$second" "$(cni_traces)"
  run -0 plugin portmap DEL "$PUBLISHED" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/next
  run -0 plugin bridge DEL "$FULL" CNI_CONTAINERID=c2 CNI_NETNS=/run/netns/next
  run -1 cni_traces
  in_host ip netns delete next
}

@test "DEL is refused in another network namespace than ADD was called in" {
  adds bridge "$FULL"
  in_host ip netns add elsewhere
  run -1 in_host ip netns exec elsewhere env -i PATH="$PATH" OCINET_STATE_DIR="$STATE_DIR" CNI_COMMAND=DEL CNI_CONTAINERID=c1 \
    CNI_NETNS=/run/netns/box CNI_IFNAME=eth0 CNI_PATH="$BIN" "$BIN/bridge" <<<"$FULL"
  jq -e '.code == 999 and (.msg | test("^Cannot take down bridge.s \"eth0\" of container \"c1\" on network \"net\" from network namespace net:.* it was attached from net:"))' <<<"$output"
  in_host ip netns delete elsewhere
  run -0 plugin bridge DEL "$FULL"
}

# --- CHECK

# notices MESSAGE COMMAND MEND: after the shell's command CHECK says that, and once it is mended nothing any more
notices() {
  in_host bash -ec "$2"
  refused 999 "$1" bridge CHECK "$CHECKED"
  in_host bash -ec "$3"
  run -0 --separate-stderr plugin bridge CHECK "$CHECKED"
  [ -z "$output$stderr" ]
}

@test "CHECK notices whatever is taken away" {
  adds bridge "$FULL"
  CHECKED=$(with_result "$FULL" "$RESULT")
  local lease=/var/lib/cni/networks/net/fd00:1::2
  notices "Failed to match addr 10.1.1.2/24 on interface eth0" \
    "ip -n box address del 10.1.1.2/24 dev eth0" "ip -n box address add 10.1.1.2/24 dev eth0; ip -n box route add default via 10.1.1.1"
  notices "Failed to match addr fd00:1::2/64 on interface eth0" \
    "ip -n box address del fd00:1::2/64 dev eth0" "ip -n box address add fd00:1::2/64 dev eth0 nodad"
  notices "Failed to find route to 0.0.0.0/0" "ip -n box route del default" "ip -n box route add default via 10.1.1.1"
  notices 'container interface "eth0" is down' \
    "ip -n box link set dev eth0 down" "ip -n box link set dev eth0 up; ip -n box route add default via 10.1.1.1"
  notices 'container interface "eth0" has MAC address 02:00:00:00:00:99, not 02:7f:9d:03:5e:ce' \
    "ip -n box link set dev eth0 address 02:00:00:00:00:99" "ip -n box link set dev eth0 address 02:7f:9d:03:5e:ce"
  notices 'container interface "eth0" not found' "ip -n box link set dev eth0 down name eth9" \
    "ip -n box link set dev eth9 name eth0 up; ip -n box route add default via 10.1.1.1"
  notices 'host interface "cni0" has MAC address 02:00:00:00:00:99, not 02:0e:fb:1a:8f:f9' \
    "ip link set dev cni0 address 02:00:00:00:00:99" "ip link set dev cni0 address 02:0e:fb:1a:8f:f9"
  notices "CNI veth created for bridge cni0 was not found" \
    "ip link set dev vethdbbac32e902 nomaster" "ip link set dev vethdbbac32e902 master cni0"
  notices "host-local: Failed to find address added by container c1" "mv $lease $BATS_TEST_TMPDIR/lease" "mv $BATS_TEST_TMPDIR/lease $lease"
  notices "Cannot find all of our rules" \
    "nft delete element inet ocinet masquerade6 '{ \"cni0\" . fd00:1::2 }'" "nft add element inet ocinet masquerade6 '{ \"cni0\" . fd00:1::2 }'"
  in_host ip link delete dev cni0
  refused 999 'host interface "cni0" not found' bridge CHECK "$CHECKED"
  in_host ip netns delete box
  refused 999 'failed to open netns "/run/netns/box": failed to Statfs "/run/netns/box": no such file or directory' bridge CHECK "$CHECKED"
  run -0 plugin bridge DEL "$CHECKED"
  run -1 cni_traces
}

@test "CHECK notices that a port leads elsewhere" {
  adds bridge "$FULL"
  local chained
  chained=$(with_result "$PUBLISHED" "$RESULT")
  run -0 plugin portmap ADD "$chained"
  run -0 plugin portmap CHECK "$chained"
  in_host nft 'delete element inet ocinet ports4 { tcp . 8080 }; add element inet ocinet ports4 { tcp . 8080 : 10.9.9.9 . 80 }'
  refused 999 "Cannot find all of our rules" portmap CHECK "$chained"
  in_host nft delete element inet ocinet ports4 '{ tcp . 8080 }'
  refused 999 "Cannot find all of our rules" portmap CHECK "$chained"
  run -0 plugin portmap DEL "$chained"
  run -0 plugin bridge DEL "$FULL"
}

@test "CHECK notices another namespace, takes one by another name for what it is, and a later plugin's changes for granted" {
  adds bridge "$FULL"
  local chained
  chained=$(with_result "$FULL" "$RESULT")
  in_host ip netns add other
  refused 999 "Sandbox in prevResult /run/netns/box doesn't match configured netns: /run/netns/other" bridge CHECK "$chained" CNI_NETNS=/run/netns/other
  in_host ip netns delete other
  in_host bash -c 'touch /run/netns/new && mount --bind /run/netns/box /run/netns/new'
  run -0 plugin bridge CHECK "$chained" CNI_NETNS=/run/netns/new
  in_host ip netns delete new
  # What sbr and vrf do, and tuning.
  in_box ip route add default via 10.1.1.1 dev eth0 table 100
  in_box ip route del default
  in_box ip link set dev eth0 address 02:00:00:00:00:99
  run -0 plugin bridge CHECK "$(jq -c '.prevResult.interfaces[2].mac = "02:00:00:00:00:99"' <<<"$chained")"
  run -0 plugin bridge DEL "$chained"
}

@test "CHECK of loopback notices that it is down" {
  adds loopback "$(conf loopback)"
  run -0 plugin loopback CHECK "$(with_result "$(conf loopback)" "$RESULT")"
  in_box ip link set dev lo down
  refused 999 'container interface "lo" is down' loopback CHECK "$(with_result "$(conf loopback)" "$RESULT")"
  run -0 plugin loopback DEL "$(conf loopback)"
}

# --- GC and STATUS

# gc TYPE JSON ID...: GC with eth0 of these containers as those to keep
gc() {
  local valid
  valid=$(jq -nc '[$ARGS.positional[] | { containerID: ., ifname: "eth0" }]' --args "${@:3}")
  run -0 --separate-stderr plugin "$1" GC "$(jq -c --argjson valid "$valid" '. + { "cni.dev/valid-attachments": $valid }' <<<"$2")" \
    CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  [ -z "$output$stderr" ]
}

@test "GC takes all that is not in the list, and nothing else: links, rules, leases, also foreign and empty ones" {
  local id
  for id in c1 c2 c3; do
    in_host ip netns add $id
    adds bridge "$FULL" CNI_CONTAINERID=$id CNI_NETNS=/run/netns/$id
  done
  in_host ip netns delete c3
  local leases=/var/lib/cni/networks/net
  in_host bash -c "printf 'theirs\r\neth0' >$leases/10.1.1.77; printf 'c2' >$leases/10.1.1.78; printf 'gone' >$leases/10.1.1.79; touch -d '2 minutes ago' $leases/10.1.1.80; : >$leases/10.1.1.81"
  in_host bash -c "mkdir -p ${leases%net}other; printf 'c9\r\neth0' >${leases%net}other/10.2.2.2"
  gc bridge "$FULL" c2 c1
  [[ $(elements masquerade4) == *10.1.1.2*10.1.1.3* && $(elements masquerade4) != *10.1.1.4* ]]
  # An empty one may be just being made.
  equal "10.1.1.2 10.1.1.3 10.1.1.78 10.1.1.81" "$(in_host find $leases -name '10.*' -printf '%f\n' | sort -V | xargs)"
  in_host rm $leases/10.1.1.81
  gc bridge "$FULL" c2
  equal '{ "cni0" . 10.1.1.3 }' "$(elements masquerade4)"
  run -0 in_host ip netns exec c1 ip -o link
  [[ $output != *eth0* ]]
  run -0 in_host ip netns exec c2 ip -o link show dev eth0
  gc bridge "$FULL"
  run -0 cni_traces
  equal "${leases%net}other/10.2.2.2" "${output/"$HOST_DIR/cni"/\/var\/lib\/cni}"
  in_host ip netns delete c1
  in_host ip netns delete c2
}

@test "our gc takes what no DEL came for, also of versions without GC, once the namespace is nowhere" {
  snapshot >"$BATS_TEST_TMPDIR/before"
  adds bridge "$(jq -c '.cniVersion = "0.4.0"' <<<"$FULL")"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")"
  # It has another name.
  in_host bash -c 'touch /run/netns/new && mount --bind /run/netns/box /run/netns/new && ip netns delete box'
  run -0 ocinet gc
  equal "" "$output"
  in_host ip netns delete new
  run -0 ocinet gc
  [[ $output == *"c1: bridge's \"eth0\" on network \"net\": its namespace /run/netns/box is gone"$'\n'* &&
    $output == *"c1: portmap's "* ]] || fail "$output"
  leaves_nothing
}

@test "GC by a list whose entries name nothing takes nothing; without a list, as with null, none is valid" {
  local list before
  adds bridge "$FULL"
  before=$(cni_traces)
  for list in '[{}]' '[{ "containerID": "c1" }]' '[{ "containerID": "c1", "ifname": "" }]' '[{ "containerID": "../x", "ifname": "eth0" }]'; do
    run -1 plugin bridge GC "$(jq -c --argjson list "$list" '. + { "cni.dev/valid-attachments": $list }' <<<"$FULL")" CNI_CONTAINERID=
    jq -e '.code == 7 and (.msg | startswith("Cannot collect garbage: entry 1 of"))' <<<"$output"
    equal "$before" "$(cni_traces)"
  done
  run -0 plugin bridge GC "$(jq -c '. + { "cni.dev/valid-attachments": null }' <<<"$FULL")" CNI_CONTAINERID=
  run -1 cni_traces
}

@test "CHECK takes a sandbox that is an id of the runtime's for what it is, and a bridge's own MAC is pinned (cni#285)" {
  local plain
  in_host ip link add adm0 type bridge
  in_host ip link set adm0 up
  plain=$(jq -c '.bridge = "adm0"' <<<"$FULL")
  adds bridge "$plain"
  equal "$(jq -r '.interfaces[0].mac' <<<"$RESULT")" "$(in_host ip -j link show dev adm0 | jq -r '.[0].address')"
  run -0 plugin bridge CHECK "$(with_result "$plain" "$RESULT")"
  run -0 plugin bridge CHECK "$(with_result "$plain" "$(jq -c '.interfaces[2].sandbox = "0123abcd"' <<<"$RESULT")")"
  run -0 plugin bridge DEL "$plain"
  equal "$(jq -r '.interfaces[0].mac' <<<"$RESULT")" "$(in_host ip -j link show dev adm0 | jq -r '.[0].address')"
  in_host ip link delete adm0
}

@test "GC of portmap, and of host-local called as a plugin" {
  adds ptp "$(conf ptp "{ \"ipam\": $static }")"
  run -0 plugin portmap ADD "$(with_result "$PUBLISHED" "$RESULT")"
  gc portmap "$(conf portmap)" c1
  [[ -n $(elements ports4) ]]
  gc portmap "$(conf portmap)"
  equal "" "$(elements ports4)$(elements hostports4)"
  run -0 plugin host-local ADD "$(conf host-local "{ \"ipam\": $host_local }")" CNI_CONTAINERID=c5
  gc host-local "$(conf host-local "{ \"ipam\": $host_local }")" c5
  run -0 plugin host-local CHECK "$(conf host-local "{ \"ipam\": $host_local }")" CNI_CONTAINERID=c5
  gc host-local "$(conf host-local "{ \"ipam\": $host_local }")"
  refused 999 "host-local: Failed to find address added by container c5" host-local CHECK "$(conf host-local "{ \"ipam\": $host_local }")" CNI_CONTAINERID=c5
  run -0 plugin ptp DEL "$(conf ptp "{ \"ipam\": $static }")"
}

@test "STATUS says 50 when a program is missing" {
  in_host mount --bind /dev/null "$(readlink -f "$(type -P nft)")"
  run -1 --separate-stderr plugin bridge STATUS "$(conf bridge "{ \"ipam\": $host_local }")"
  in_host umount "$(readlink -f "$(type -P nft)")"
  jq -e '.code == 50 and .msg == "Cannot attach containers: program \"nft\" is not on PATH"' <<<"$output"
}

# --- IPAM that is not ours

# make_ipam SCRIPT: a plugin "myipam" in $PLUGINS/../theirs that logs what it gets, then does that
make_ipam() {
  THEIRS=$BATS_TEST_TMPDIR/theirs LOG=$BATS_TEST_TMPDIR/log
  mkdir -p "$THEIRS" "$LOG"
  cat >"$THEIRS/myipam" <<IPAM
#!/bin/bash
number=\$(find "$LOG" -type f | wc -l)
{ env | grep ^CNI_ | sort; cat; } >"$LOG/\$number-\$CNI_COMMAND"
ip -n box -o link show dev eth0 >/dev/null 2>&1 && echo "there is a link" >>"$LOG/\$number-\$CNI_COMMAND"
echo "myipam on stderr" >&2
$1
IPAM
  chmod 755 "$THEIRS/myipam"
}

calls() { find "$LOG" -type f -printf '%f\n' | sort -n | xargs; }

@test "an IPAM type that is not ours is found on CNI_PATH, and gets the environment and the whole request" {
  make_ipam '[ $CNI_COMMAND != ADD ] || echo '\''{"cniVersion":"1.0.0","ips":[{"address":"10.7.7.7/24"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{"nameservers":["10.7.7.1"]}}'\'
  local path="CNI_PATH=/nonexistent:$THEIRS" args="CNI_ARGS=IgnoreUnknown=1;X=y"
  snapshot >"$BATS_TEST_TMPDIR/before"
  adds bridge "$FOREIGN" "$path" "$args"
  [ "$stderr" = "myipam on stderr" ]
  jq -e '.ips == [{ address: "10.7.7.7/24", gateway: "10.7.7.1", interface: 2 }] and .dns == { nameservers: ["10.7.7.1"] }' <<<"$RESULT"
  equal "CNI_ARGS=IgnoreUnknown=1;X=y CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS=/run/netns/box $path" "$(grep ^CNI_ "$LOG/0-ADD" | xargs)"
  equal "$(jq -S . <<<"$FOREIGN")" "$(sed -n 7p "$LOG/0-ADD" | jq -S .)"
  grep "there is a link" "$LOG/0-ADD"
  local chained
  chained=$(with_result "$FOREIGN" "$RESULT")
  run -0 plugin bridge CHECK "$chained" "$path" "$args"
  equal "$(jq -S . <<<"$chained")" "$(sed -n 7p "$LOG/1-CHECK" | jq -S .)"
  run -0 plugin bridge STATUS "$FOREIGN" "$path" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  run -0 plugin bridge GC "$(jq -c '. + { "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }] }' <<<"$FOREIGN")" "$path" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  run -0 plugin bridge DEL "$chained" "$path" "$args"
  equal "0-ADD 1-CHECK 2-STATUS 3-GC 4-DEL" "$(calls)"
  # GC of what is not in the list gives back the address first.
  adds bridge "$FOREIGN" "$path"
  run -0 plugin bridge GC "$(jq -c '. + { "cni.dev/valid-attachments": [] }' <<<"$FOREIGN")" "$path" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
  equal "0-ADD 1-CHECK 2-STATUS 3-GC 4-DEL 5-ADD 6-DEL 7-GC" "$(calls)"
  grep -x CNI_CONTAINERID=c1 "$LOG/6-DEL"
  leaves_nothing
}

@test "an IPAM type that fails is told to give back, its code and words are passed on, and nothing stays" {
  make_ipam '[ $CNI_COMMAND != ADD ] || { echo "{\"code\":123,\"msg\":\"no address today\",\"details\":\"d\"}"; exit 1; }'
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -1 --separate-stderr plugin bridge ADD "$FOREIGN" "CNI_PATH=$THEIRS"
  jq -e '.code == 123 and .msg == "no address today" and .details == "d"' <<<"$output"
  equal "0-ADD 1-DEL" "$(calls)"
  leaves_nothing
}

@test "so is one whose answer cannot be used, and one whose addresses cannot be given" {
  local script said
  snapshot >"$BATS_TEST_TMPDIR/before"
  declare -A says=(
    ["exit 3"]='netplugin failed: "myipam on stderr"'
    ["echo nonsense; exit 1"]='netplugin failed but error parsing its diagnostic message "nonsense\n": *'
    ["true"]="failed to unmarshal raw result: unexpected end of JSON input"
    ["echo {}"]="IPAM plugin returned missing IP config"
    ['echo "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.1.300/24\"}]}"']="invalid CIDR address: 10.1.1.300/24"
    ['echo "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.1.3/24\"}],\"routes\":[{\"dst\":\"10.3.0.0/16\",\"gw\":\"10.2.2.2\"}]}"']='Cannot make the route to 10.3.0.0/16: its gateway 10.2.2.2 is in no subnet of the interface; choose another'
  )
  for script in "${!says[@]}"; do
    make_ipam "[ \$CNI_COMMAND != ADD ] || { $script; }"
    rm -f "$LOG"/*
    run -1 plugin bridge ADD "$FOREIGN" "CNI_PATH=$THEIRS"
    said=$(sed -n '/^{/,$p' <<<"$output" | jq -r .msg)
    # shellcheck disable=SC2053 # a pattern
    [[ $said == ${says[$script]//\\/\\\\} ]] || fail "$script:" "$said"
    equal "0-ADD 1-DEL" "$(calls)"
    run -1 cni_traces
  done
  refused 999 'failed to find plugin "myipam" in path [/nonexistent]' bridge ADD "$FOREIGN" CNI_PATH=/nonexistent
  leaves_nothing
}

@test "DEL takes away its own part although a foreign IPAM type fails, and says so" {
  make_ipam '[ $CNI_COMMAND != DEL ] || { echo "{\"code\":11,\"msg\":\"later\"}"; exit 1; }; echo "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.7.7.7/24\"}]}"'
  snapshot >"$BATS_TEST_TMPDIR/before"
  run -0 plugin bridge ADD "$FOREIGN" "CNI_PATH=$THEIRS"
  refused 11 later bridge DEL "$FOREIGN" "CNI_PATH=$THEIRS"
  leaves_nothing
}

@test "an IPAM type of ours whose place on CNI_PATH another program has is that program" {
  make_ipam 'exec /usr/lib/cni/host-local <"'"$BATS_TEST_TMPDIR"'/log/$number-$CNI_COMMAND"'
  mv "$THEIRS/myipam" "$THEIRS/host-local"
  sed -i "s|{ env .*; cat; } >|cat >|; s|^ip -n.*||" "$THEIRS/host-local"
  adds ptp "$(conf ptp "{ \"ipam\": $host_local }" 1.0.0)" "CNI_PATH=$THEIRS:$BIN"
  jq -e '.ips[0].address == "10.1.1.2/24"' <<<"$RESULT"
  equal "0-ADD" "$(calls)"
  run -0 plugin ptp DEL "$(conf ptp "{ \"ipam\": $host_local }" 1.0.0)" "CNI_PATH=$THEIRS:$BIN"
  equal "0-ADD 1-DEL" "$(calls)"
  run -1 cni_traces
}
