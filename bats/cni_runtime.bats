#!/usr/bin/env bats
# `ocinet cni`: networks found, kept and run as libcni does, with plugins of ours, of the reference and of others.
# shellcheck disable=SC2154 # what run sets
load lib
load contained
load links
load recorder

setup() {
  set_up_hosts
  CONF=$BATS_TEST_TMPDIR/conf BIN=$BATS_TEST_TMPDIR/bin
  mkdir "$CONF" "$BIN"
  in_host ip netns add box
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  export NETCONFPATH=$CONF CNI_PATH=$BIN
}

teardown() {
  in_host ip netns delete box 2>/dev/null || true
  tear_down_hosts
}

cni() { ocinet cni "$@"; }

# chain NAME VERSION PLUGIN...: a network of these
chain() {
  jq -n --arg name "$1" --arg version "$2" '{ cniVersion: $version, $name, plugins: [$ARGS.positional[] | fromjson] }' \
    --args "${@:3}" >"$CONF/$1.conflist"
}

bridge='{ "type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true,
  "ipam": { "type": "host-local", "subnet": "10.1.1.0/24", "routes": [{ "dst": "0.0.0.0/0" }] } }'
portmap='{ "type": "portmap", "capabilities": { "portMappings": true } }'
warp='{ "type": "warp", "capabilities": { "speed": true, "noise": false } }'
cached() { echo "$HOST_DIR/cni/results/$1-${2:-c1}-eth0"; }

# nothing_stays: no link, rule, lease, record or cache entry of a container
nothing_stays() {
  equal "" "$(find "$HOST_DIR/cni" "$STATE_DIR" -type f ! -name 'last_reserved_ip.*' ! -name lock)"
  equal "" "$(in_host ip -o link show type veth | grep -v ' eth0')"
  equal "" "$(own_elements)"
}

# says STATUS MESSAGE WORDS...: of `ocinet cni`, which fails
says() {
  run "-$1" --separate-stderr cni "${@:3}"
  [[ $stderr == "ocinet: $2"* ]] || fail "expected:" "$2" "but it said:" "$stderr"
}

@test "networks are found as libcni finds them" {
  says 1 "no net configurations found in $CONF" add net /run/netns/box
  NETCONFPATH=/none says 1 "no net configurations found in /none" add net /run/netns/box
  mkdir "$CONF/sub"
  echo '{ "cniVersion": "1.0.0", "name": "net", "type": "loopback" }' >"$CONF/sub/10-net.conf"
  echo '{ "cniVersion": "1.0.0", "name": "other", "type": "loopback" }' >"$CONF/20-other.json"
  says 1 "no net configuration with name \"net\" in $CONF" add net /run/netns/box
  # A list outweighs a single plugin, whatever the names of the files.
  recorder "$BIN/list"
  recorder "$BIN/single"
  echo '{ "cniVersion": "1.0.0", "name": "net", "type": "single" }' >"$CONF/10-net.conf"
  echo '{ "cniVersion": "1.0.0", "name": "net", "plugins": [{ "type": "list" }] }' >"$CONF/90-net.conflist"
  run -0 cni add net /run/netns/box
  equal "ADD list" "$(calls)"
  cni del net /run/netns/box
  rm "$CONF/90-net.conflist"
  run -0 cni add net /run/netns/box
  cni del net /run/netns/box
  equal "ADD list DEL list ADD single DEL single" "$(calls)"
  # A version that is not known is for a plugin to refuse.
  echo '{ "cniVersion": "9.9.9", "name": "new", "plugins": [{ "type": "loopback" }] }' >"$CONF/05-new.conflist"
  run -0 cni add other /run/netns/box
  run -0 cni del other /run/netns/box
  says 1 'plugin type="loopback" failed (add): incompatible CNI versions: config is "9.9.9", plugin supports ["0.1.0" ' add new /run/netns/box
  run -0 cni del new /run/netns/box
  # The first malformed file ends the search, whomever it is for.
  echo '{' >"$CONF/05-bad.conflist"
  says 1 "error parsing configuration list $CONF/05-bad.conflist: " add net /run/netns/box
}

@test "plugins drop in from the network's directory, unless the list says that it is whole" {
  mkdir "$CONF/net"
  local name whole
  for name in first second; do
    recorder "$BIN/$name"
    echo "{ \"type\": \"$name\" }" >"$CONF/net/$name.conf"
  done
  echo '{' >"$CONF/net/third.json"
  recorder "$BIN/warp"
  for whole in '' ', "loadOnlyInlinedPlugins": "True"'; do
    rm -f "$CALLS"
    echo '{ "cniVersion": "1.0.0", "name": "net", "plugins": [{ "type": "warp" }]'"$whole }" >"$CONF/net.conflist"
    run -0 cni add net /run/netns/box
    if [ -z "$whole" ]; then equal "ADD warp ADD first ADD second" "$(calls)"; else equal "ADD warp" "$(calls)"; fi
    cni del net /run/netns/box
  done
  echo '{ "cniVersion": "1.0.0", "name": "net" }' >"$CONF/net.conflist"
  rm -f "$CALLS"
  run -0 cni add net /run/netns/box
  equal "ADD first ADD second" "$(calls)"
  cni del net /run/netns/box
  echo '{ "cniVersion": "1.0.0", "name": "net", "loadOnlyInlinedPlugins": true }' >"$CONF/net.conflist"
  says 1 "error parsing configuration list $CONF/net.conflist: Cannot use $CONF/net.conflist: \`loadOnlyInlinedPlugins\` is true" add net /run/netns/box
  echo '{ "cniVersions": ["1.0.0", "new"], "name": "net", "plugins": [{ "type": "warp" }] }' >"$CONF/net.conflist"
  says 1 "error parsing configuration list $CONF/net.conflist: Cannot use $CONF/net.conflist: \"new\" is no version" \
    add net /run/netns/box
  echo '{ "cniVersions": ["0.4.0", "1.0.0", "7.0.0"], "cniVersion": "0.3.1", "name": "net", "plugins": [{ "type": "warp" }] }' \
    >"$CONF/net.conflist"
  run -0 cni add net /run/netns/box
  given ADD warp '.cniVersion == "1.0.0"'
  cni del net /run/netns/box
}

@test "a chain of ours runs in one process, and is kept as libcni keeps it" {
  chain net 1.0.0 "$bridge" "$portmap" '{ "type": "firewall" }' '{ "type": "tuning", "mtu": 1400 }'
  CNI_CONTAINERID=c1 CAP_ARGS='{ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] }' CNI_ARGS="IgnoreUnknown=1;K=V" \
    run -0 --separate-stderr cni add net /run/netns/box
  jq -e '.cniVersion == "1.0.0" and .ips == [{ address: "10.1.1.2/24", gateway: "10.1.1.1", interface: 2 }] and
    [.interfaces[].name] == ["br0", .interfaces[1].name, "eth0"] and .interfaces[2].sandbox == "/run/netns/box"' <<<"$output"
  serve tcp 80 in_box box
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal 1400 "$(in_box box ip -j link show eth0 | jq '.[0].mtu')"
  jq -e --argjson result "$output" --rawfile text "$CONF/net.conflist" '.kind == "cniCacheV1" and .containerId == "c1" and
    .ifName == "eth0" and .networkName == "net" and .netns == "/run/netns/box" and (.config | @base64d) == $text and
    .cniArgs == [["IgnoreUnknown", "1"], ["K", "V"]] and .capabilityArgs.portMappings[0].hostPort == 8080 and
    .result == $result' "$(cached net)"
  equal "600 700" "$(stat -c %a "$(cached net)" "$HOST_DIR/cni/results" | xargs)"
  CNI_CONTAINERID=c1 says 1 'Cannot attach "eth0" of container "c1" to network "net": it is attached already' add net /run/netns/box
  run -0 cni check --container-id c1 net /run/netns/box
  # The caller that takes it down need not know its ports; they are kept, too.
  stop tcp4-80
  stop tcp6-80
  run -0 cni del --container-id c1 net /run/netns/box
  nothing_stays
  run -0 cni del --container-id c1 net /run/netns/box
}

@test "a plugin that is not ours, at each place of a chain" {
  recorder "$BIN/warp"
  export CNI_CONTAINERID=c1 CNI_ARGS="IgnoreUnknown=1;A=B" CAP_ARGS='{ "speed": { "max": 9 }, "noise": 1, "other": 2 }'
  local plugins version
  for version in 1.0.0 0.3.1; do
    for plugins in "$warp|$bridge" "$bridge|$warp|$portmap" "$bridge|$warp"; do
      IFS='|' read -r -d '' -a plugins <<<"$plugins|" || true
      chain net "$version" "${plugins[@]::${#plugins[@]}-1}"
      run -0 --separate-stderr cni add net /run/netns/box
      given ADD warp ".cniVersion == \"$version\" and .name == \"net\" and .runtimeConfig == { speed: { max: 9 } }"
      if [ "${plugins[0]}" = "$warp" ]; then given ADD warp 'has("prevResult") | not'; fi
      if [ "${plugins[0]}" = "$bridge" ]; then given ADD warp '.prevResult.ips[0].address | startswith("10.1.1.")'; fi
      equal "ADD warp c1 eth0 [IgnoreUnknown=1;A=B] /run/netns/box" "$(tail -n 1 "$CALLS")"
      jq -e '.ips[0].address | startswith("10.1.1.")' <<<"$output"
      run -0 cni del net /run/netns/box
      equal "DEL warp c1 eth0 [IgnoreUnknown=1;A=B] /run/netns/box" "$(tail -n 1 "$CALLS")"
      # A result came with DEL only from 0.4.0 on.
      if [ $version = 1.0.0 ]; then given DEL warp '.prevResult.ips | length == 1'; else given DEL warp 'has("prevResult") | not'; fi
      nothing_stays
    done
  done
}

@test "CNI_ARGS are cut at the first =, kept, and given to DEL again; only ADD by who reads them refuses any" {
  recorder "$BIN/warp"
  export CNI_CONTAINERID=c1
  chain net 1.0.0 "$warp"
  CNI_ARGS="FOO" says 2 'ARGS: invalid pair "FOO"' add net /run/netns/box
  CNI_ARGS="A=b=c;D=" run -0 cni add net /run/netns/box
  jq -e '.cniArgs == [["A", "b=c"], ["D", ""]]' "$(cached net)"
  run -0 cni del net /run/netns/box
  equal "DEL warp c1 eth0 [A=b=c;D=] /run/netns/box" "$(tail -n 1 "$CALLS")"
  chain net 1.0.0 "$bridge"
  CNI_ARGS="A=b=c" says 1 'plugin type="bridge" failed (add): ARGS: invalid pair "A=b=c"' add net /run/netns/box
  run -0 cni add net /run/netns/box
  CNI_ARGS="A=b=c;FOO" run -0 cni del net /run/netns/box
  nothing_stays
}

@test "a chain that fails anywhere is taken down, the plugin that failed included" {
  recorder "$BIN/warp"
  echo ADD >"$CALLS.fails"
  export CNI_CONTAINERID=c1
  local plugins
  for plugins in "$warp|$bridge" "$bridge|$warp|$portmap" "$bridge|$warp"; do
    IFS='|' read -r -d '' -a plugins <<<"$plugins|" || true
    chain net 1.0.0 "${plugins[@]::${#plugins[@]}-1}"
    rm -f "$CALLS"
    says 1 'plugin type="warp" failed (add): the weather is bad: rain' add net /run/netns/box
    equal "ADD warp DEL warp" "$(calls)"
    nothing_stays
  done
  # What was done cannot be kept.
  rm "$CALLS.fails" "$CALLS"
  : >"$BATS_TEST_TMPDIR/file"
  says 1 "" add --cache-dir "$BATS_TEST_TMPDIR/file/cache" net /run/netns/box
  equal "ADD warp DEL warp" "$(calls)"
  nothing_stays
  # One of ours fails after theirs.
  rm "$CALLS"
  chain net 1.0.0 "$bridge" "$warp" '{ "type": "tuning", "mtu": 99999999 }'
  says 1 'plugin type="tuning" failed (add): ' add net /run/netns/box
  equal "ADD warp DEL warp" "$(calls)"
  nothing_stays
}

@test "DEL goes on past a plugin that fails, and can be called again" {
  recorder "$BIN/warp"
  recorder "$BIN/woof"
  chain net 1.0.0 '{ "type": "woof" }' "$bridge" "$warp"
  export CNI_CONTAINERID=c1
  run -0 cni add net /run/netns/box
  echo DEL >"$CALLS.fails"
  says 1 'plugin type="warp" failed (delete): the weather is bad: rain' del net /run/netns/box
  equal "ADD woof ADD warp DEL warp DEL woof" "$(calls)"
  [ -e "$(cached net)" ]
  rm "$CALLS.fails"
  # Without a namespace, and without the network's file.
  rm "$CONF/net.conflist"
  run -0 cni del net
  equal "ADD woof ADD warp DEL warp DEL woof DEL warp DEL woof" "$(calls)"
  equal "DEL woof c1 eth0 [] " "$(tail -n 1 "$CALLS")"
  nothing_stays
}

@test "a damaged entry in the cache fails CHECK and stops no DEL, and a bare result of old is one" {
  recorder "$BIN/warp"
  chain net 1.0.0 "$bridge" "$warp"
  export CNI_CONTAINERID=c1
  local text
  for text in '{' '' 'null' '{ "kind": "else" }'; do
    run -0 cni add net /run/netns/box
    echo "$text" >"$(cached net)"
    says 1 "Cannot " check net /run/netns/box
    [[ $stderr == *" /var/lib/cni/results/net-c1-eth0"* ]] || fail "$stderr"
    run -0 cni del net /run/netns/box
    nothing_stays
  done
  run -0 --separate-stderr cni add net /run/netns/box
  echo "$output" >"$(cached net)"
  run -0 cni del net /run/netns/box
  given DEL warp '.prevResult.ips | length == 1'
  nothing_stays
}

@test "CHECK and STATUS go to every plugin, of networks that have them" {
  recorder "$BIN/warp"
  export CNI_CONTAINERID=c1
  chain net 0.3.1 "$bridge" "$warp"
  says 1 'configuration version "0.3.1" does not support the CHECK command' check net /run/netns/box
  chain net 1.1.0 "$bridge" "$warp"
  run -0 cni add net /run/netns/box
  run -0 cni check net /run/netns/box
  given CHECK warp '.prevResult.ips[0].address == "10.1.1.2/24"'
  in_box box ip address flush dev eth0
  run -1 cni check net /run/netns/box
  jq '.disableCheck = "true"' "$CONF/net.conflist" >"$CONF/net.new" && mv "$CONF/net.new" "$CONF/net.conflist"
  run -0 cni check net /run/netns/box
  run -0 cni del net /run/netns/box
  run -0 cni status net
  given STATUS warp 'keys == ["capabilities", "cniVersion", "name", "type"]'
  echo STATUS >"$CALLS.fails"
  says 1 'the weather is bad: rain' status net
  chain net 1.0.0 "$warp"
  run -0 cni status net
}

@test "GC keeps what it is told to keep" {
  recorder "$BIN/warp"
  chain net 1.1.0 "$bridge" "$warp"
  local id
  for id in a b c; do
    in_host ip netns add "$id"
    cni add --container-id "$id" net "/run/netns/$id"
  done
  in_host ip netns delete c
  run -0 cni gc --valid a/eth0 --valid x net
  equal "$(cached net a)" "$(find "$HOST_DIR/cni/results" -type f)"
  given GC warp '."cni.dev/valid-attachments" == [{ containerID: "a", ifname: "eth0" }, { containerID: "x", ifname: "eth0" }] and
    ."cni.dev/attachments" == ."cni.dev/valid-attachments"'
  equal "10.1.1.2" "$(find "$HOST_DIR/cni/networks/net" -name '10.*' -printf %f)"
  jq '.disableGC = true' "$CONF/net.conflist" >"$CONF/net.new" && mv "$CONF/net.new" "$CONF/net.conflist"
  run -0 cni gc net
  [ -e "$(cached net a)" ]
  chain net 1.1.0 "$bridge" "$warp"
  run -0 cni gc net
  nothing_stays
  in_host ip netns delete a
  in_host ip netns delete b
}

@test "what a plugin says in place of an answer is told in libcni's words" {
  chain net 1.0.0 '{ "type": "odd" }'
  odd 'exit 3' 'netplugin failed with no error message: exit status 3'
  odd 'echo "it rains" >&2; exit 1' 'netplugin failed: "it rains"'
  odd 'echo "{"; exit 1' 'netplugin failed but error parsing its diagnostic message "{\n"'
  odd 'exit 0' 'failed to unmarshal raw result: unexpected end of JSON input'
  odd 'echo "[" ' 'failed to unmarshal raw result: '
  odd 'printf "{ \"code\": 7, \"msg\": \"a\\\\nb\" }"; exit 1' 'a b'
  says 1 "plugin type=\"odd\" failed (add): failed to find plugin \"odd\" in path [$BIN]" add net /run/netns/box
}

# odd SCRIPT MESSAGE: a plugin with that script fails with that message
odd() {
  echo "[ \"\$CNI_COMMAND\" = ADD ] || exit 0; $1" | sed '1i #!/bin/sh' >"$BIN/odd"
  chmod 755 "$BIN/odd"
  says 1 "plugin type=\"odd\" failed (add): $2" add net /run/netns/box
  rm "$BIN/odd"
}

@test "a type of ours runs here if its file is this one, or none; any other file is run" {
  chain net 1.0.0 "$bridge"
  ln -s "$OCINET" "$BIN/bridge"
  run -0 --separate-stderr cni add --log-level debug net /run/netns/box
  [[ $stderr != *"$BIN"* ]] || fail "$stderr"
  run -0 cni del net /run/netns/box
  rm "$BIN/bridge"
  printf '#!/bin/sh\necho called >&2\nexec %s/ours/bridge\n' "$BIN" >"$BIN/bridge"
  chmod 755 "$BIN/bridge"
  mkdir "$BIN/ours"
  ln -s "$OCINET" "$BIN/ours/bridge"
  run -0 --separate-stderr cni add net /run/netns/box
  equal called "$stderr"
  run -0 --separate-stderr cni del net /run/netns/box
  equal called "$stderr"
  nothing_stays
}

@test "a chain of the reference's plugins, and a mixed one" {
  export CNI_CONTAINERID=c1 CAP_ARGS='{ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] }'
  chain net 1.0.0 "$bridge" "$portmap" '{ "type": "firewall" }' '{ "type": "tuning", "mtu": 1400 }'
  local type
  # The reference's bridge finds host-local only by CNI_PATH.
  ln -s "$OCINET" "$BIN/host-local"
  for type in bridge portmap firewall tuning all; do
    if [ $type = all ]; then CNI_PATH=/usr/lib/cni; else ln -s "/usr/lib/cni/$type" "$BIN/$type"; fi
    run -0 --separate-stderr cni add net /run/netns/box
    serve tcp 80 in_box box
    ask tcp 192.0.2.1 8080 in_peer
    stop tcp4-80
    stop tcp6-80
    run -0 --separate-stderr cni del net /run/netns/box
    [ $type = all ] || rm "$BIN/$type"
    # What was changed of a bridge that is not ours is put back by gc.
    ocinet gc
    equal "" "$(find "$HOST_DIR/cni" "$STATE_DIR" -type f ! -name 'last_reserved_ip.*' ! -name lock)"
    equal "" "$(in_host ip -o link show type veth | grep -v ' eth0')"
    equal "" "$(in_host iptables-save 2>/dev/null | grep -- '-A CNI-[DSF0-9].* -[sdp] ')"
  done
}

@test "wrong use is told, with status 2" {
  chain net 1.0.0 "$bridge"
  says 2 'Cannot do "ocinet cni mend": it is not one of add, del, check, gc, status, version' mend net /run/netns/box
  says 2 'Cannot do "ocinet cni": it needs one of add, del, check, gc, status, version'
  says 2 'Cannot do "ocinet cni add": it needs the name of a network' add
  says 2 'Cannot do "ocinet cni add": it needs the path of a network namespace' add net
  says 2 'Cannot use namespace "box": it is not an absolute path; a named one is in /run/netns' add net box
  says 2 'Cannot call plugins for "../x" "eth0": ' add --container-id ../x net /run/netns/box
  CNI_IFNAME=a/b says 2 'Cannot call plugins for ' add net /run/netns/box
  CAP_ARGS='[' says 2 'Cannot read CAP_ARGS: ' add net /run/netns/box
  run -0 cni version
  jq -e '.cniVersion == "1.1.0" and (.supportedVersions | length) == 7' <<<"$output"
  nothing_stays
}

@test "64 at once on one network with ports and a firewall, then all of them gone at once" {
  chain net 1.0.0 "$bridge" "$portmap" '{ "type": "firewall" }'
  printf 'netns add many%d\n' {1..64} | in_host ip -batch -
  all_at_once add
  equal 64 "$(jq -r '.ips[0].address' "$BATS_TEST_TMPDIR"/add.* | sort -u | wc -l)"
  equal 64 "$(in_host nft -j list map inet ocinet ports4 | jq '[.nftables[].map.elem? // empty | .[]] | length')"
  all_at_once del
  nothing_stays
  printf 'netns delete many%d\n' {1..64} | in_host ip -batch -
}

# all_at_once VERB: for each of the 64, with a port of its own
all_at_once() {
  local n pids=()
  for n in {1..64}; do
    CAP_ARGS="{ \"portMappings\": [{ \"hostPort\": $((8000 + n)), \"containerPort\": 80, \"protocol\": \"tcp\" }] }" \
      cni "$1" --container-id "many$n" net "/run/netns/many$n" >"$BATS_TEST_TMPDIR/$1.$n" 2>"$BATS_TEST_TMPDIR/$1.$n.error" 3>&- &
    pids+=($!)
  done
  for n in {1..64}; do
    wait "${pids[n - 1]}" || fail "$1 of many$n: $(<"$BATS_TEST_TMPDIR/$1.$n.error")"
  done
  rm "$BATS_TEST_TMPDIR/$1".*.error
}
