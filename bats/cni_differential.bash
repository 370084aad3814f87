# The same configuration through the reference plugins and through ours, each in network namespaces of its own: the same
# result or refusal, the same links, addresses, routes, queueing disciplines and sysctls on both sides, and nothing left after
# DEL. Of DHCP also what the server is asked. Where they differ on purpose is said in ignore_what_differs, and in
# cni_differential.bats in "every version", "dhcp" and "refusals", and nowhere else. Rules are not compared, for the
# reference's are iptables' and ours nft's; what ours do to traffic is shown in ports.bats, meta.bats and isolation.bats.
# shellcheck shell=bash disable=SC2016,SC2034 # scripts of other shells; for the tests

set_up_difference() {
  set_up_hosts
  BIN=$BATS_TEST_TMPDIR/bin REFERENCE=/usr/lib/cni VARIABLES=() PREPARE="" FINALLY=""
  link_plugins "$BIN"
}

# look HOST|BOX: links, addresses, rules, routes of all tables, queueing disciplines, and the sysctls that plugins set, a
# line of JSON each
look='look() {
  local files="ipv4/ip_forward ipv6/conf/all/forwarding core/somaxconn" link
  for link in lo $(ls /sys/class/net | grep "^veth\|^eth\|^cni0"); do
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

# witness DIRECTORY TYPE JSON [TYPE JSON...] [-- TYPE JSON...]: ADD of a chain of plugins, by those in the directory, in a new
# host that $PREPARE has been run in, after a "--" of the next for another link of the container's; what there is then; what is
# left after DEL; and what $FINALLY tells, in JSON. The variables of $VARIABLES are CNI's.
witness() {
  in_host unshare --net --mount env -i PATH="$PATH" ${OCINET_RUNTIME:+OCINET_RUNTIME="$OCINET_RUNTIME"} OCINET_STATE_DIR="$STATE_DIR" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/box \
    CNI_PATH="$1" PREPARE="$PREPARE" FINALLY="$FINALLY" "${VARIABLES[@]}" bash -c "$look"'
      mount -t sysfs sysfs /sys
      mkdir -p /run/cni
      mount -t tmpfs tmpfs /run/cni
      mount -t tmpfs tmpfs /var/lib/cni
      mount -t tmpfs -o mode=700 tmpfs "$OCINET_STATE_DIR"
      mount -t tmpfs tmpfs /run/netns
      ip link set dev lo up
      ip netns add box
      eval "$PREPARE"
      # Of each ADD: type, configuration, and the number of the link; of each link, the result.
      plugins=() results=() link=0
      while (($#)); do
        plugins=("$1" "$2" $link "${plugins[@]}")
        results[link]=$(CNI_COMMAND=ADD CNI_IFNAME=eth$link "$CNI_PATH/$1" <<<"${2%\}}${results[link]:+,\"prevResult\":${results[link]}}}" 2>/dev/null) ||
          { jq -c "{ error: { code, msg } }" <<<"${results[link]}"; exit; }
        shift 2
        [ "$1" != -- ] || { ((link += 1)); shift; }
      done
      jq -c "{ result: . }" <<<"${results[@]}"
      look host
      ip netns exec box bash -c "$(declare -f look); look box"
      set -- "${plugins[@]}"
      while (($#)); do
        CNI_COMMAND=DEL CNI_IFNAME=eth$3 "$CNI_PATH/$1" <<<"${2%\}},\"prevResult\":${results[$3]}}"
        shift 3
      done
      # The link of a VLAN to its bridge is meant to stay, as that is.
      ip -o link | grep "veth\|bwp" | grep -v "cni0\."
      ip -n box -o link | grep -v ": lo:"
      find /var/lib/cni -type f -name "*[0-9.:]" ! -name "last*"
      eval "$FINALLY"' witness "${@:2}"
}

# Reads what a witness saw, without what is random, and without what differs on purpose.
ignore_what_differs() {
  # Names of veths, of which ours says what it is where it leads to a VLAN's link on the host, and MAC addresses other than
  # those with "be:ef", which a test chose.
  sed -E 's/veth[0-9a-f]{8,11}|cni0\+7/VETH/g; s/([0-9a-f]{2}:){3}be:ef:/\1CHOSEN:/; s/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g' | PREPARE=$PREPARE jq -S -c '
    select(
      # What follows from a MAC address.
      (.address.scope == "link" or (tostring | test("fe80|ff00::/8")) | not)
      # Our own addresses on the host are not looked for elsewhere (settleIpv6 says why), and so are there at once.
      and ((.sysctl // "" | test("^ipv6/conf/(cni0|VETH)/accept_dad")) | not)
      and ((.at == "host" and .route.table == "local" and .route.metric == 0) | not)
      # Ports of the reference are not reached by [::1].
      and ((.at == "host" and .route.dst == "::1" and .route.dev == "cni0") | not)
      # A bridge that was there stays as it is: a host may have its own routes from advertisements on it.
      and ((.sysctl // "" | test("^ipv6/conf/cni0/accept_ra") and (env.PREPARE // "" != "")) | not)
      # The link of a VLAN takes no routes from containers'"'"' advertisements, nor looks for its address elsewhere: the reference
      # sees to that at the end which is a port of the bridge, where it means nothing.
      and ((.sysctl // "" | test("^ipv6/conf/cni0\\.7/accept_(ra|dad)")) | not)
      and ((.sysctl // "" | test("^ipv6/conf/VETH/accept_ra") and (env.PREPARE // "" | test("dummy"))) | not)
      # A container that is given IPv6 addresses takes none, and no routes, from advertisements; of the reference it does.
      and ((.at == "box" and (.sysctl // "" | test("^ipv6/conf/eth[0-9]+/accept_ra"))) | not)
      # The reference keeps IPv6 addresses since 1.7.0, and announces them, as ours does.
      and ((.sysctl // "" | test("keep_addr_on_down|ndisc_notify")) | not)
      # Published ports answer on [::1], too, for which the host has that address on the link to the container.
      and ((.at == "host" and .route.dst == "::1" and .route.dev != "lo") | not)
      # sbr of the reference copies IPv6 routes also into the table of an IPv4 address, to which none of their rules leads.
      and ((.at == "box" and (.route.table // "" | tostring) == "100" and (.route.dst | test(":"))) | not)
      # It asks a DHCP server for no names, ours always, so that its result has "dns" of what the server says.
      and (.seen // "" | test("^(6:dns-server|15:domain-name)") | not))
    | if .result and (env.PREPARE // "" | test("dnsmasq")) then del(.result.dns) else . end
    | if .link then .link |= (
        { ifname, flags: (.flags - ["NO-CARRIER", "LOWER_UP"]), mtu, master, promiscuity, address, info: .linkinfo.info_kind,
          port: (.linkinfo.info_slave_data | if . then { hairpin, isolated } else null end),
          data: (.linkinfo.info_data // {} | { filtering: .vlan_filtering, mode, id, table }) }
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
  witness "$REFERENCE" "$@" | ignore_what_differs | sort >"$BATS_TEST_TMPDIR/theirs" 3>&- &
  witness "$BIN" "$@" | ignore_what_differs | sort >"$BATS_TEST_TMPDIR/ours"
  wait $!
  grep -q '"result"' "$BATS_TEST_TMPDIR/theirs" || fail "the reference refuses $*:" "$(<"$BATS_TEST_TMPDIR/theirs")"
  diff -U0 "$BATS_TEST_TMPDIR/theirs" "$BATS_TEST_TMPDIR/ours" || fail "different: $*" "${VARIABLES[*]}"
}

ipam='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }] }'
static='{ "type": "static", "addresses": [{ "address": "10.1.1.9/24", "gateway": "10.1.1.1" }, { "address": "fd00:1::9/64" }],
  "routes": [{ "dst": "0.0.0.0/0" }], "dns": { "nameservers": ["10.1.1.1"], "domain": "d.example" } }'
both='{ "type": "host-local", "ranges": [[{ "subnet": "10.1.1.0/24" }], [{ "subnet": "fd00:1::/64" }]] }'
four='{ "type": "host-local", "subnet": "10.1.1.0/24" }'

limits='{ "ingressRate": 8000000, "ingressBurst": 800000, "egressRate": 4000000, "egressBurst": 400000 }'

# options TYPE JSON...: each of them beside an `ipam` with both families, unless it has one
options() {
  local more
  for more in "${@:2}"; do same "$1" "$(conf "$1" "{ \"ipam\": $ipam } + $more" 1.0.0)"; done
}

# after TYPE JSON...: each of them in a chain after a bridge, on links of one container, of which the first has routes
after() {
  local more chains=() routes='[{ dst: "0.0.0.0/0" }, { dst: "10.7.0.0/16", gw: "10.1.1.7" }]'
  for more in "${@:2}"; do
    chains+=(-- bridge "$(conf bridge "{ isGateway: true, ipam: ($ipam + { routes: $routes }) }" 1.0.0)" "$1" "$(conf "$1" "$more" 1.0.0)")
    routes='[]'
  done
  same "${chains[@]:1}"
}
