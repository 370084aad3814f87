#!/usr/bin/env bats
# The same configuration through the reference plugins and through ours, each in network namespaces of its own: the same
# result or refusal, the same links, addresses, routes and sysctls on both sides, and nothing left after DEL. Where they
# differ on purpose is said in ignore_what_differs, in "every version" and in "refusals", and nowhere else.
# shellcheck disable=SC2016 # scripts of other shells
load lib
load cni

setup() {
  set_up_hosts
  BIN=$BATS_TEST_TMPDIR/bin REFERENCE=/usr/lib/cni VARIABLES=() PREPARE=""
  ocinet install-plugins "$BIN" >/dev/null
  mkdir "$BATS_TEST_TMPDIR/empty"
  echo -e "nameserver 10.9.9.9\nsearch a.example b.example\ndomain d.example\noptions ndots:2" >"$BATS_TEST_TMPDIR/resolv.conf"
}

# look HOST|BOX: links, addresses, rules, routes of all tables, queueing disciplines, and the sysctls that plugins set, a
# line of JSON each
look='look() {
  local files="ipv4/ip_forward ipv6/conf/all/forwarding core/somaxconn" link
  for link in lo eth0 cni0 $(ls /sys/class/net | grep ^veth); do
    files+=" ipv4/conf/$link/arp_notify ipv4/conf/$link/arp_filter ipv6/conf/$link/ndisc_notify ipv4/conf/$link/route_localnet ipv6/conf/$link/accept_ra ipv6/conf/$link/accept_dad"
    files+=" ipv6/conf/$link/enhanced_dad ipv6/conf/$link/disable_ipv6 ipv6/conf/$link/keep_addr_on_down"
  done
  jq -nc --arg at "$1" --arg sysctls "$(cd /proc/sys/net && grep -Hs . $files)" --argjson links "$(ip -j -d link)" \
    --argjson addresses "$(ip -j address)" --argjson queues "$(tc -j qdisc)" --argjson rules "$(ip -4 -j rule)" \
    --argjson rules6 "$(ip -6 -j rule)" --argjson four "$(ip -4 -j route show table all)" \
    --argjson six "$(ip -6 -j route show table all)" "
      (\$links | sort_by(.ifname)[] | { at: \$at, link: . }),
      (\$addresses | sort_by(.ifname)[] | { at: \$at, of: .ifname, address: .addr_info[] }),
      (\$queues | sort_by(.dev, .kind)[] | { at: \$at, queue: . }),
      (\$rules + \$rules6 | .[] | { at: \$at, rule: . }),
      (\$four + \$six | sort_by(.dst, .dev, .type, .table)[] | { at: \$at, route: . }),
      (\$sysctls / \"\\n\" | .[] / \":\" | { at: \$at, sysctl: .[0], value: .[1] })"
}'

# witness DIRECTORY TYPE JSON [TYPE JSON...]: ADD of a chain of plugins, by those in the directory, in a new host that
# $PREPARE has been run in; what there is then; and what is left after DEL. The variables of $VARIABLES are CNI's.
witness() {
  in_host unshare --net --mount env -i PATH="$PATH" OCINET_STATE_DIR="$STATE_DIR" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/box \
    CNI_IFNAME=eth0 CNI_PATH="$1" PREPARE="$PREPARE" "${VARIABLES[@]}" bash -c "$look"'
      mount -t sysfs sysfs /sys
      mount -t tmpfs tmpfs /var/lib/cni
      mount -t tmpfs -o mode=700 tmpfs "$OCINET_STATE_DIR"
      mount -t tmpfs tmpfs /run/netns
      ip link set dev lo up
      ip netns add box
      eval "$PREPARE"
      plugins=("$@")
      result=""
      while (($#)); do
        result=$(CNI_COMMAND=ADD "$CNI_PATH/$1" <<<"${2%\}}${result:+,\"prevResult\":$result}}" 2>/dev/null) ||
          { jq -c "{ error: { code, msg } }" <<<"$result"; exit; }
        shift 2
      done
      jq -c "{ result: . }" <<<"$result"
      look host
      ip netns exec box bash -c "$(declare -f look); look box"
      for ((i = ${#plugins[@]} - 2; i >= 0; i -= 2)); do
        CNI_COMMAND=DEL "$CNI_PATH/${plugins[i]}" <<<"${plugins[i + 1]%\}},\"prevResult\":$result}"
      done
      ip -o link | grep "veth\|bwp"
      ip -n box -o link | grep -v ": lo:"
      find /var/lib/cni -type f -name "*[0-9.:]" ! -name "last*"' witness "${@:2}"
}

# Reads what a witness saw, without what nobody chose, and without what differs on purpose.
ignore_what_differs() {
  # Names of veths and ifbs, and MAC addresses other than those with "be:ef", which a test chose.
  sed -E 's/veth[0-9a-f]{8,11}/VETH/g; s/bwp[0-9a-f]{12}/IFB/g; s/([0-9a-f]{2}:){3}be:ef:/\1CHOSEN:/; s/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g' | PREPARE=$PREPARE jq -S -c '
    select(
      # What follows from a MAC address.
      (.address.scope == "link" or (tostring | test("fe80|ff00::/8")) | not)
      # Our own addresses on the host are not looked for elsewhere (settleIpv6 says why), and so are there at once.
      and ((.sysctl // "" | test("^ipv6/conf/(cni0|VETH)/accept_dad")) | not)
      and ((.at == "host" and .route.table == "local" and .route.metric == 0) | not)
      # A bridge that was there stays as it is: a host may have its own routes from advertisements on it.
      and ((.sysctl // "" | test("^ipv6/conf/cni0/accept_ra") and (env.PREPARE // "" != "")) | not)
      # The reference keeps IPv6 addresses since 1.7.0, and announces them, as ours does.
      and ((.sysctl // "" | test("keep_addr_on_down|ndisc_notify")) | not)
      # sbr of the reference copies IPv6 routes also into the table of an IPv4 address, to which none of their rules leads.
      and ((.at == "box" and (.route.table // "" | tostring) == "100" and (.route.dst | test(":"))) | not))
    | if .link then .link |= (
        { ifname, flags: (.flags - ["NO-CARRIER", "LOWER_UP"]), mtu, master, promiscuity, address, info: .linkinfo.info_kind,
          port: (.linkinfo.info_slave_data | if . then { hairpin, isolated } else null end),
          filtering: .linkinfo.info_data.vlan_filtering }
        # Counts how many want it: the reference turns it on a second time.
        | if .promiscuity > 0 then .promiscuity = true else . end)
      else . end
    | if .address then .address |= { local, prefixlen, broadcast, scope } else . end
    # Scope "host" is the reference'"'"'s accident: with it no route can have the container as its gateway.
    | if .at == "host" and .route.dev == "VETH" and .route.scope == "host" and .route.table == null then .route.scope = "link" else . end
    # The reference says of 127.0.0.1 in no version that it is of version "4"; in 0.2.0 it even speaks 0.3.0.
    | if .result.interfaces[0].name == "lo" then del(.result.ips[].version) else . end
    # Since 1.2.0 a result has no empty "dns" in 1.x.
    | if .result.dns == {} and (.result.cniVersion | startswith("1.")) then del(.result.dns) else . end'
}

# same TYPE JSON [TYPE JSON...]: theirs and ours are the same
same() {
  witness "$REFERENCE" "$@" | ignore_what_differs >"$BATS_TEST_TMPDIR/theirs" 3>&- &
  witness "$BIN" "$@" | ignore_what_differs >"$BATS_TEST_TMPDIR/ours"
  wait $!
  grep -q '"result"' "$BATS_TEST_TMPDIR/theirs" || fail "the reference refuses $*:" "$(<"$BATS_TEST_TMPDIR/theirs")"
  diff -U0 "$BATS_TEST_TMPDIR/theirs" "$BATS_TEST_TMPDIR/ours" || fail "different: $*" "${VARIABLES[*]}"
}

ipam='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }] }'
static='{ "type": "static", "addresses": [{ "address": "10.1.1.9/24", "gateway": "10.1.1.1" }, { "address": "fd00:1::9/64" }],
  "routes": [{ "dst": "0.0.0.0/0" }], "dns": { "nameservers": ["10.1.1.1"], "domain": "d.example" } }'
four='{ "type": "host-local", "subnet": "10.1.1.0/24" }'

limits='{ "ingressRate": 8000000, "ingressBurst": 800000, "egressRate": 4000000, "egressBurst": 400000 }'

# options TYPE JSON...: each of them beside an `ipam` with both families, unless it has one
options() {
  local more
  for more in "${@:2}"; do same "$1" "$(conf "$1" "{ \"ipam\": $ipam } + $more" 1.0.0)"; done
}

@test "bridge: every option" {
  options bridge "{}" '{ "isGateway": true }' '{ "ipMasq": true, "isGateway": true }' '{ "mtu": 1400 }' '{ "bridge": "br0" }' \
    '{ "hairpinMode": true }' '{ "promiscMode": true }' '{ "macspoofchk": true }' '{ "enabledad": true }' '{ "ipam": {} }' \
    '{ "args": { "cni": { "mac": "02:00:00:be:ef:01" } } }' '{ "runtimeConfig": { "mac": "02:00:00:be:ef:02" } }' \
    '{ "dns": { "nameservers": ["10.1.1.1"], "search": ["a.example"] } }' '{ "dns": { "nameservers": [] } }' \
    '{ "forceAddress": true, "isGateway": true }' "{ \"isDefaultGateway\": true, \"ipam\": $four }"
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;MAC=02:00:00:be:ef:03")
  options bridge "{}"
}

@test "bridge: one that is there, with and without an address" {
  PREPARE="ip link add name cni0 type bridge; ip link set dev cni0 up"
  options bridge '{ "isGateway": true }'
  PREPARE+="; ip address add 10.1.1.1/24 brd + dev cni0"
  options bridge '{ "isGateway": true }'
  PREPARE+="; ip address add 10.9.1.1/24 brd + dev cni0"
  options bridge '{ "isGateway": true, "forceAddress": true }'
}

# With IPv6 the reference waits for duplicate address detection, two seconds each time.
@test "ptp: every option" {
  options ptp "{}"
  local more
  for more in '{ "ipMasq": true }' '{ "mtu": 1400 }' '{ "dns": { "domain": "d.example" } }' '{ "dns": { "nameservers": [] } }'; do
    options ptp "{ \"ipam\": $four } + $more"
  done
}

@test "macvlan: every option" {
  PREPARE="ip link add name m0 mtu 1450 type veth peer name m1; ip link set dev m0 up; ip link set dev m1 up
    ip address add 10.9.0.2/24 dev m0; ip route add default via 10.9.0.1"
  local more
  for more in "{}" '{ "master": "m0" }' '{ "mode": "private" }' '{ "mode": "vepa" }' '{ "mode": "passthru" }' '{ "mtu": 1400 }' \
    '{ "mac": "02:00:00:be:ef:04" }' '{ "ipam": {} }' '{ "dns": { "domain": "d.example" } }' \
    '{ "mac": "02:00:00:be:ef:04", "runtimeConfig": { "mac": "02:00:00:be:ef:05" } }'; do
    options macvlan "{ \"ipam\": $four } + $more"
  done
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;MAC=02:00:00:be:ef:06")
  options macvlan '{ "mac": "02:00:00:be:ef:04" }'
}

@test "host-device: every option" {
  PREPARE="ip link add name spare mtu 1450 address 02:00:00:be:ef:07 type veth peer name spare0"
  options host-device "{ \"device\": \"spare\", \"ipam\": $four }" '{ "device": "spare", "ipam": {} }' \
    '{ "hwaddr": "02:00:00:be:ef:07", "ipam": {} }' "{ \"device\": \"spare\", \"ipam\": $four, \"dns\": { \"domain\": \"d.example\" } }"
}

# after TYPE JSON...: each of them in a chain after a bridge
after() {
  local more bridge
  bridge=$(conf bridge "{ isGateway: true, ipam: ($ipam + { routes: [{ dst: \"0.0.0.0/0\" }, { dst: \"10.7.0.0/16\", gw: \"10.1.1.7\" }] }) }" 1.0.0)
  for more in "${@:2}"; do same bridge "$bridge" "$1" "$(conf "$1" "$more" 1.0.0)"; done
}

@test "what comes after: every option" {
  local port='{ hostPort: 8080, containerPort: 80, protocol: "tcp" }'
  after portmap "{}" "{ runtimeConfig: { portMappings: [$port] }, snat: false }" \
    "{ markMasqBit: 7, runtimeConfig: { portMappings: [$port + { hostIP: \"192.0.2.1\" }, { hostPort: 53, containerPort: 53, protocol: \"udp\" }] } }"
  after firewall "{}" '{ backend: "iptables", iptablesAdminChainName: "MINE" }' '{ ingressPolicy: "same-bridge" }' '{ ingressPolicy: "open" }'
  after bandwidth "{ runtimeConfig: { bandwidth: $limits } }" '{ egressRate: 4000000, egressBurst: 400000 }' \
    "{ ingressRate: 1600000, ingressBurst: 160000, runtimeConfig: { bandwidth: $limits } }"
  after tuning '{ sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.somaxconn": "999" } }' \
    '{ mac: "02:00:00:be:ef:08", promisc: true, allmulti: true }' '{ mtu: 1400, dataDir: "/var/lib/cni/tuning", runtimeConfig: { mac: "02:00:00:be:ef:09" } }' \
    '{ sysctl: {}, args: { cni: { mtu: 1300, mac: "02:00:00:be:ef:0a", sysctl: { "net.core.somaxconn": "99" } } } }'
  # It does not know "table" yet.
  after sbr "{}"
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;MAC=02:00:00:be:ef:0b")
  after tuning "{}"
}

@test "every version" {
  local version bridge portmap rest maps='[{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]'
  for version in 0.2.0 0.3.1 0.4.0 1.0.0; do
    bridge=$(conf bridge "{ isGateway: true, ipMasq: true, hairpinMode: true, ipam: $ipam }" $version)
    same ptp "$(conf ptp "{ ipam: $four, dns: { nameservers: [\"10.1.1.1\"] } }" $version)"
    same host-local "$(conf host-local "{ ipam: $ipam }" $version)"
    same static "$(conf static "{ ipam: $static }" $version)"
    portmap=$(conf portmap "{ runtimeConfig: { portMappings: $maps } }" $version)
    # Of loopback, the reference tells in 0.2.0 what is 0.3.0.
    [ $version = 0.2.0 ] || same loopback "$(conf loopback "{}" $version)"
    # Its firewall is of no version before 0.4.0, its bandwidth of none before 0.3.0, where a result has no links.
    case $version in
      0.2.0) rest=() ;;
      0.3.1) rest=(bandwidth "$(conf bandwidth "$limits" $version)") ;;
      *) rest=(firewall "$(conf firewall "{}" $version)" bandwidth "$(conf bandwidth "$limits" $version)") ;;
    esac
    same bridge "$bridge" portmap "$portmap" "${rest[@]}" tuning "$(conf tuning "{ mtu: 1400 }" $version)" sbr "$(conf sbr "{}" $version)"
    PREPARE="ip link add name m0 type veth peer name m1; ip link set dev m0 up; ip link set dev m1 up"
    same macvlan "$(conf macvlan "{ master: \"m0\", ipam: $four }" $version)"
    same host-device "$(conf host-device "{ device: \"m0\", ipam: $four }" $version)"
    PREPARE=""
  done
}

@test "host-local: every option" {
  local ranges='[[{ "subnet": "10.1.1.0/24", "rangeStart": "10.1.1.20", "rangeEnd": "10.1.1.30", "gateway": "10.1.1.254" }, { "subnet": "10.2.2.0/24" }]]' more
  for more in '{}' '{ "rangeStart": "10.1.1.9", "rangeEnd": "10.1.1.9", "gateway": "10.1.1.2" }' \
    '{ "ranges": [[{ "subnet": "fd00:1::/64" }]] }' "{ \"resolvConf\": \"$BATS_TEST_TMPDIR/resolv.conf\" }" \
    '{ "dataDir": "/var/lib/cni/mine" }' '{ "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "10.9.9.0/24", "gw": "10.1.1.7" }] }'; do
    same host-local "$(conf host-local "{ ipam: ($four + $more) }" 1.0.0)"
  done
  same host-local "$(conf host-local "{ ipam: { type: \"host-local\", ranges: $ranges } }" 1.0.0)"
  for more in '{ "runtimeConfig": { "ipRanges": [[{ "subnet": "10.7.7.0/24" }]] } }' '{ "runtimeConfig": { "ips": ["10.1.1.77"] } }' \
    '{ "runtimeConfig": { "ips": ["10.1.1.77/24", "fd00:1::77/64"] } }' '{ "args": { "cni": { "ips": ["10.1.1.66"] } } }'; do
    same host-local "$(conf host-local "{ ipam: $ipam } + $more" 1.0.0)"
  done
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;IP=10.1.1.55")
  same host-local "$(conf host-local "{ ipam: $ipam }" 1.0.0)"
}

@test "static: every option" {
  local more
  for more in '{ "runtimeConfig": { "ips": ["10.6.6.6/24", "fd00:6::6/64"] } }' '{ "args": { "cni": { "ips": ["10.5.5.5/24"] } } }' \
    '{ "ipam": { "type": "static" } }'; do
    same static "$(conf static "{ ipam: $static } + $more" 1.0.0)"
  done
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;IP=10.4.4.4/24,fd00:4::4/64;GATEWAY=10.4.4.1,fd00:4::1")
  same static "$(conf static "{ ipam: $static }" 1.0.0)"
}

# refuses TYPE JSON MESSAGE [OURS [CODE]]: theirs says that, and so does ours, unless it says something else
refuses() {
  local plugins said want
  for plugins in "$REFERENCE" "$BIN"; do
    [ "$plugins" = "$REFERENCE" ] && want="999 $3" || want="${5:-999} ${4:-$3}"
    said=$(witness "$plugins" "$1" "$(conf "$1" "$2" 1.0.0)" | jq -r '"\(.error.code) \(.error.msg)"')
    equal "$want" "${said/"$plugins"/PATH}"
  done
}

@test "refusals" {
  refuses bridge '{ hairpinMode: true, promiscMode: true }' "cannot set hairpin mode and promiscuous mode at the same time." \
    "cannot set hairpin mode and promiscuous mode at the same time"
  refuses bridge '{ vlan: 4095 }' "invalid VLAN ID 4095 (must be between 0 and 4094)"
  refuses bridge '{ bridge: "lo" }' 'failed to create bridge "lo": "lo" already exists but is not a bridge'
  refuses bridge '{ ipam: { type: "static" } }' "IPAM plugin returned missing IP config"
  refuses bridge '{ ipam: { type: "none" } }' 'failed to find plugin "none" in path [PATH]'
  refuses bridge '{ bridge: 7 }' "failed to load netconf: json: cannot unmarshal number into Go struct field NetConf.bridge of type string" \
    'Cannot read "bridge" of network configuration: 7 is a number, not a string' 6
  refuses ptp '{ ipam: { type: "static" } }' "IPAM plugin returned missing IP config"
  refuses ptp '{}' "no plugin name provided" 'Cannot use type "ptp" without addresses: give it an "ipam" with a "type"' 7
  local four='type: "host-local", subnet: "10.1.1.0/24"'
  refuses host-local '{}' "IPAM config missing 'ipam' key"
  refuses host-local '{ ipam: { type: "host-local" } }' "no IP ranges specified"
  refuses host-local '{ ipam: { type: "host-local", subnet: "bogus" } }' "invalid CIDR address: bogus" "invalid range set 0: invalid CIDR address: bogus"
  refuses host-local '{ ipam: { type: "host-local", subnet: "10.1.2.0/31" } }' "invalid range set 0: Network 10.1.2.0/31 too small to allocate from"
  refuses host-local '{ ipam: { type: "host-local", subnet: "10.1.2.7/24" } }' \
    "invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0"
  refuses host-local "{ ipam: { $four, rangeStart: \"10.2.2.2\" } }" "invalid range set 0: RangeStart 10.2.2.2 not in network 10.1.1.0/24"
  refuses host-local '{ ipam: { type: "host-local", ranges: [[]] } }' "invalid range set 0: empty range set"
  refuses host-local "{ ipam: { $four, ranges: [[{ subnet: \"10.1.0.0/16\" }]] } }" "range set 0 overlaps with 1"
  refuses host-local '{ ipam: { type: "host-local", ranges: [[{ subnet: "10.1.1.0/24" }, { subnet: "fd00::/64" }]] } }' "invalid range set 0: mixed address families"
  refuses host-local "{ ipam: { $four }, runtimeConfig: { ips: [\"10.9.9.9\"] } }" "failed to allocate all requested IPs: 10.9.9.9"
  refuses host-local "{ ipam: { $four }, runtimeConfig: { ips: [\"10.1.1.1\"] } }" "failed to allocate for range 0: requested ip 10.1.1.1 is subnet's gateway"
  refuses host-local "{ ipam: { $four }, runtimeConfig: { ips: [\"bogus\"] } }" "invalid IP address bogus" "invalid IP address: bogus"
  refuses static '{}' "IPAM config missing 'ipam' key"
  refuses static '{ ipam: { type: "static", addresses: [{ address: "10.1.1.1" }] } }' "the 'address' field is expected to be in CIDR notation, got: '10.1.1.1'"
  refuses static '{ ipam: { type: "static", addresses: [{ address: "10.1.1.1/24", gateway: "x" }] } }' "invalid IP address: x" "invalid gateway address: x"
  refuses portmap '{ runtimeConfig: { portMappings: [{ hostPort: 0, containerPort: 80 }] } }' "failed to parse config: Invalid host port number: 0"
  refuses portmap '{ runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: -1 }] } }' "failed to parse config: Invalid container port number: -1"
  refuses portmap '{ runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] } }' "must be called as chained plugin"
}
