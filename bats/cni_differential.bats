#!/usr/bin/env bats
# Ours beside the reference plugins: every type and every option that the reference knows (cni_differential.bash says how).
# shellcheck disable=SC2016,SC2034,SC2154 # scripts of other shells; of and for cni_differential.bash
load lib
load cni
load cni_differential

setup() {
  set_up_difference
  mkdir "$BATS_TEST_TMPDIR/empty"
  echo -e "nameserver 10.9.9.9\nsearch a.example b.example\ndomain d.example\noptions ndots:2" >"$BATS_TEST_TMPDIR/resolv.conf"
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

@test "what comes after: every option" {
  local port='{ hostPort: 8080, containerPort: 80, protocol: "tcp" }'
  after portmap "{}" "{ runtimeConfig: { portMappings: [$port] }, snat: false }"
  after portmap "{ markMasqBit: 7, conditionsV4: [\"!\", \"-s\", \"10.9.9.9\"], conditionsV6: [\"-i\", \"eth+\"], runtimeConfig: { portMappings: [$port + { hostIP: \"192.0.2.1\" }, { hostPort: 53, containerPort: 53, protocol: \"udp\" },
      { hostPort: 80, containerPort: 80, protocol: \"tcp\", hostIP: \"2001:db8:1::1\" }, { hostPort: 9, containerPort: 9, protocol: \"sctp\" }] } }"
  after firewall "{}" '{ backend: "iptables", iptablesAdminChainName: "MINE" }' '{ ingressPolicy: "same-bridge" }' '{ ingressPolicy: "open" }'
  # The reference has one link of a container in mind.
  local more
  for more in "{ runtimeConfig: { bandwidth: $limits } }" '{ egressRate: 4000000, egressBurst: 400000 }' \
    "{ ingressRate: 1600000, ingressBurst: 160000, runtimeConfig: { bandwidth: $limits } }"; do
    after bandwidth "$more"
  done
  after tuning '{ sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.somaxconn": "999" } }' \
    '{ mac: "02:00:00:be:ef:08", promisc: true, allmulti: true }' '{ mtu: 1400, dataDir: "/var/lib/cni/tuning", runtimeConfig: { mac: "02:00:00:be:ef:09" } }' \
    '{ sysctl: {}, args: { cni: { mtu: 1300, mac: "02:00:00:be:ef:0a", sysctl: { "net.core.somaxconn": "99" } } } }'
  # It does not know "table" yet.
  after sbr "{}"
  PREPARE="iptables -t nat -N MARK-IT; ip6tables -t nat -N MARK-IT"
  after portmap "{ externalSetMarkChain: \"MARK-IT\", runtimeConfig: { portMappings: [$port] } }"
  PREPARE=""
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;MAC=02:00:00:be:ef:0b")
  after tuning "{}"
}

# To look takes longer than most of what is looked at, so what is apart from each other is of one container.
@test "every version" {
  local version portmap rest maps='[{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]'
  subnet() { echo "{ type: \"host-local\", subnet: \"10.$1.$1.0/24\" }"; }
  PREPARE='for pair in m n; do
      ip link add name ${pair}0 type veth peer name ${pair}1; ip link set dev ${pair}0 up; ip link set dev ${pair}1 up
    done'
  for version in 0.2.0 0.3.1 0.4.0 1.0.0; do
    portmap=$(conf portmap "{ runtimeConfig: { portMappings: $maps } }" $version)
    # Its firewall is of no version before 0.4.0, its bandwidth of none before 0.3.0, where a result has no links. Of
    # loopback, it tells in 0.2.0 what is 0.3.0.
    case $version in
      0.2.0) rest=() ;;
      0.3.1) rest=(bandwidth "$(conf bandwidth "$limits" $version)") ;;
      *) rest=(firewall "$(conf firewall "{}" $version)" bandwidth "$(conf bandwidth "$limits" $version)") ;;
    esac
    [ $version = 0.2.0 ] || same loopback "$(conf loopback "{}" $version)"
    same bridge "$(conf bridge "{ isGateway: true, ipMasq: true, hairpinMode: true, ipam: $ipam }" $version)" portmap "$portmap" \
      "${rest[@]}" tuning "$(conf tuning "{ mtu: 1400 }" $version)" sbr "$(conf sbr "{}" $version)" \
      -- ptp "$(conf ptp "{ ipam: $(subnet 2), dns: { nameservers: [\"10.1.1.1\"] } }" $version)" \
      -- macvlan "$(conf macvlan "{ master: \"m0\", ipam: $(subnet 3) }" $version)" \
      -- host-device "$(conf host-device "{ device: \"n0\", ipam: $(subnet 4) }" $version)" \
      -- host-local "$(conf host-local "{ ipam: $ipam }" $version)" -- static "$(conf static "{ ipam: $static }" $version)"
  done
}

@test "host-local: every option" {
  local ranges='[[{ "subnet": "10.1.1.0/24", "rangeStart": "10.1.1.20", "rangeEnd": "10.1.1.30", "gateway": "10.1.1.254" }, { "subnet": "10.2.2.0/24" }]]'
  local more each=()
  for more in '{}' '{ "rangeStart": "10.1.1.9", "rangeEnd": "10.1.1.9", "gateway": "10.1.1.2" }' \
    '{ "ranges": [[{ "subnet": "fd00:1::/64" }]] }' "{ \"resolvConf\": \"$BATS_TEST_TMPDIR/resolv.conf\" }" \
    '{ "dataDir": "/var/lib/cni/mine" }' '{ "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "10.9.9.0/24", "gw": "10.1.1.7" }] }'; do
    each+=(-- host-local "$(conf host-local "{ ipam: ($four + $more) }" 1.0.0)")
  done
  each+=(-- host-local "$(conf host-local "{ ipam: { type: \"host-local\", ranges: $ranges } }" 1.0.0)")
  # The last ones are asked for: after such an address the reference goes on, ours after the last that it gave by itself.
  for more in '{ "runtimeConfig": { "ipRanges": [[{ "subnet": "10.7.7.0/24" }]] } }' '{ "args": { "cni": { "ips": ["10.1.1.66"] } } }' \
    '{ "runtimeConfig": { "ips": ["10.1.1.77"] } }' '{ "runtimeConfig": { "ips": ["10.1.1.78/24", "fd00:1::77/64"] } }'; do
    each+=(-- host-local "$(conf host-local "{ ipam: $ipam } + $more" 1.0.0)")
  done
  same "${each[@]:1}"
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;IP=10.1.1.55")
  same host-local "$(conf host-local "{ ipam: $ipam }" 1.0.0)"
}

@test "static: every option" {
  local more each=()
  for more in '{ "runtimeConfig": { "ips": ["10.6.6.6/24", "fd00:6::6/64"] } }' '{ "args": { "cni": { "ips": ["10.5.5.5/24"] } } }' \
    '{ "ipam": { "type": "static" } }'; do
    each+=(-- static "$(conf static "{ ipam: $static } + $more" 1.0.0)")
  done
  same "${each[@]:1}"
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;IP=10.4.4.4/24,fd00:4::4/64;GATEWAY=10.4.4.1,fd00:4::1")
  same static "$(conf static "{ ipam: $static }" 1.0.0)"
}

# lan: a host whose bridge "lan0" leads to a DHCP server that gives 10.9.0.77 to one client alone, whose identifier is a zero,
# then c1/net/eth0; the reference needs its daemon besides. At the end it is told what the server has been asked, by an
# option a line and without regard to their order, and that it has the address back.
lan() {
  PREPARE='
    trap "kill \$(jobs -p); wait" EXIT
    ip netns add lan
    ip link add name lan0 up type bridge
    ip link add name port0 up master lan0 type veth peer name lan netns lan
    ip -n lan address add 10.9.0.1/24 dev lan
    ip -n lan link set dev lan up
    seen=/var/lib/cni/seen
    ip netns exec lan dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --port=0 --no-ping --interface=lan \
      --log-dhcp --log-facility=- --dhcp-leasefile=/var/lib/cni/leases --dhcp-range=10.9.0.0,static,10m \
      --dhcp-host=id:00:63:31:2f:6e:65:74:2f:65:74:68:30,10.9.0.77 --dhcp-option=6,10.9.0.2 --dhcp-option=15,lan.example \
      --dhcp-option=121,10.5.0.0/16,10.9.0.1 >$seen 2>&1 3>&- &
    timeout 60 sh -c "until grep -q \"DHCP, static leases\" $seen; do sleep 0.02; done"
    if [ "$CNI_PATH" = /usr/lib/cni ]; then
      "$CNI_PATH/dhcp" daemon -socketpath /var/lib/cni/dhcp.sock >/var/lib/cni/daemon 2>&1 3>&- &
      timeout 60 sh -c "until [ -S /var/lib/cni/dhcp.sock ]; do sleep 0.02; done"
    fi'
  FINALLY='
    timeout 60 sh -c "until grep -q DHCPRELEASE $seen; do sleep 0.02; done"
    { sed -n "s/.*requested options: //p" $seen | sed "s/, *\$//; s/, /\n/g"
      grep -o "client provides name.*\|vendor class.*\|DHCPRELEASE(lan) [0-9.]*" $seen; } | sort -u | jq -Rc "{ seen: . }"'
}

# The reference finds its link down at first, and asks again only after two or three seconds.
@test "dhcp: every option, the client's identifier, and what the server is asked" {
  lan
  local ipam='type: "dhcp", daemonSocketPath: "/var/lib/cni/dhcp.sock"'
  same macvlan "$(conf macvlan "{ master: \"lan0\", ipam: { $ipam } }" 1.0.0)"
  VARIABLES=("CNI_ARGS=IgnoreUnknown=1;NAME=web")
  same macvlan "$(conf macvlan "{ master: \"lan0\", ipam: { $ipam, request: [{ option: \"121\" }], provide: [
    { option: \"host-name\", value: \"unused\", fromArg: \"NAME\" }, { option: \"60\", value: \"a vendor\" }] } }" 0.4.0)"
  same macvlan "$(conf macvlan "{ master: \"lan0\", ipam: { $ipam, request: [{ option: \"3\", skipDefault: true }, { option: \"1\" }] } }" 0.2.0)"
  # From a bridge the reference takes the link before it gives the address back, so no caller hears that (plugins#791); and it
  # takes 0 and 255, which are no options: with them the server understands nothing of what it asks for.
  VARIABLES=() FINALLY=""
  same bridge "$(conf bridge "{ bridge: \"lan0\", ipam: { $ipam } }" 1.0.0)"
  local none='request: [{ option: "255" }]' neither='provide: [{ option: "0", value: "x" }]'
  witness "$REFERENCE" macvlan "$(conf macvlan "{ master: \"lan0\", ipam: { $ipam, $none, $neither } }" 1.0.0)" | grep -q '"result"'
  refused_by_ours 7 'Cannot use DHCP option "255": ' macvlan "{ ipam: { $ipam, $none } }"
  refused_by_ours 7 'Cannot use DHCP option "0": ' macvlan "{ ipam: { $ipam, $neither } }"
}

# refused_by_ours CODE MESSAGE TYPE JSON: with that code, and words that begin so
refused_by_ours() {
  witness "$BIN" "$3" "$(conf "$3" "$4" 1.0.0)" |
    jq -e --argjson code "$1" --arg message "$2" '.error | .code == $code and (.msg | startswith($message))'
}

# refuses TYPE JSON MESSAGE [OURS [CODE]]: theirs says that, and so does ours, unless it says something else
refuses() {
  local plugins said want
  for plugins in "$REFERENCE" "$BIN"; do
    [ "$plugins" = "$REFERENCE" ] && want="999 $3" || want="${5:-999} ${4:-$3}"
    said=$(witness "$plugins" "$1" "$(conf "$1" "$2" "${VERSION-1.0.0}")" | jq -r '"\(.error.code) \(.error.msg)"')
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
  VERSION=0.2.0 refuses host-local '{ ipam: { type: "host-local", ranges: [[{ subnet: "10.1.1.0/24" }], [{ subnet: "10.1.2.0/24" }]] } }' \
    "CNI version 0.2.0 does not support more than 1 address per family"
  VERSION=0.2.0 refuses static '{ ipam: { type: "static", addresses: [{ address: "10.1.1.1/24" }, { address: "10.1.1.2/24" }] } }' \
    "CNI version 0.2.0 does not support more than 1 address per family"
  refuses static '{}' "IPAM config missing 'ipam' key"
  refuses static '{ ipam: { type: "static", addresses: [{ address: "10.1.1.1" }] } }' "the 'address' field is expected to be in CIDR notation, got: '10.1.1.1'"
  refuses static '{ ipam: { type: "static", addresses: [{ address: "10.1.1.1/24", gateway: "x" }] } }' "invalid IP address: x" "invalid gateway address: x"
  refuses portmap '{ runtimeConfig: { portMappings: [{ hostPort: 0, containerPort: 80 }] } }' "failed to parse config: Invalid host port number: 0"
  refuses portmap '{ runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: -1 }] } }' "failed to parse config: Invalid container port number: -1"
  refuses portmap '{ runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] } }' "must be called as chained plugin"
  # Of conditions in iptables' words ours refuses what is not said in nft's words by port_conditions.ts.
  # Not refused: a sysctl that stands twice in tuning's configuration, of which the last one counts (the reference says
  # "duplicated sysctl keys are not allowed"). Our runtimes' own parser of JSON keeps the last, and tells of no other.
}
