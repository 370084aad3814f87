# For the tests of DHCP: a network with real servers, and what becomes of our clients.
# shellcheck disable=SC2034,SC2119,SC2120,SC2054 # for the tests; which give arguments; commas of dnsmasq

# make_lan: the host's bridge "lan0", and at its other end the peer, which has 10.9.0.1 there
make_lan() {
  ip link add name uplink netns "$HOST" type veth peer name lan netns "$PEER"
  in_host ip link add name lan0 address 02:00:00:00:00:01 up type bridge
  in_host ip link set dev uplink master lan0 up
  # As the reference plugin has it.
  in_host sysctl -q net.ipv6.conf.lan0.accept_ra=0
  in_peer ip link set dev lan up
  in_peer ip address add 10.9.0.1/24 dev lan
}

remove_lan() {
  in_host ip link delete uplink
  in_host ip link delete lan0
}

# net [JSON [TYPE [JSON]]]: a network on the LAN; the first JSON is merged into its "ipam", the second into all of it
net() {
  local ipam="{}" type=${2:-bridge}
  ipam=$(jq -nc "{ type: \"dhcp\" } + (${1:-"{}"})")
  case $type in
    bridge) conf bridge "{ \"bridge\": \"lan0\", \"ipam\": $ipam } + (${3:-"{}"})" ;;
    *) conf "$type" "{ \"master\": \"lan0\", \"ipam\": $ipam } + (${3:-"{}"})" ;;
  esac
}

# dhcp_server RANGE OPTIONS...: in the peer, for its "lan"; what it sees and says is then in $SEEN
dhcp_server() { dhcp_server_for in_peer lan "$@"; }

# dhcp_server_for PLACE LINK RANGE OPTIONS...
dhcp_server_for() {
  SEEN=$BATS_TEST_TMPDIR/server.log LEASES=$BATS_TEST_TMPDIR/leases
  background server "$1" dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --port=0 --no-ping \
    --interface="$2" --log-dhcp --log-facility=- --dhcp-leasefile="$LEASES" --dhcp-range="$3,10m" "${@:4}"
  wait_for grep -q "DHCP, IP range" "$SEEN"
}

# seen COUNT TEXT: by the server, that often or soon
seen() { wait_for is_seen "$@" || fail "Not seen $1 times: $2" "$(grep -v 'sent size' "$SEEN")"; }
is_seen() { [ "$(grep -cF -e "$2" "$SEEN")" -ge "$1" ]; }

# all_given_back: the server has no lease any more, or soon has none
all_given_back() { wait_for is_empty "$LEASES" || fail "$(<"$LEASES")"; }
is_empty() { [ ! -s "$1" ]; }

# The client, and what keeps it
clients() { processes | grep -E 'udhcpc|until timeout'; }
no_clients() { ! clients; }

# The pid of the only one, or of each
client() { cat "$STATE_DIR"/leases/*/pid; }

address() { in_box ip -4 -j address show dev "${1:-eth0}" | jq -r '.[0].addr_info[0] | "\(.local)/\(.prefixlen)"'; }

names=(--dhcp-option=6,10.9.0.2 --dhcp-option=15,lan.example)

# keeps_lease JSON [VARIABLE...]: of a server with those names ADD gives all that it said; CHECK is content, also once the
# lease has been renewed; and DEL gives it back
keeps_lease() {
  local type renewed
  type=$(jq -r .type <<<"$1")
  adds "$type" "$@"
  jq -e '(.ips[0] | .address == "10.9.0.50/24" and .gateway == "10.9.0.1") and .routes == [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }]
    and .dns == { nameservers: ["10.9.0.2"], domain: "lan.example" }' <<<"$RESULT" || fail "$type:" "$RESULT"
  equal 10.9.0.50/24 "$(address)"
  in_box ip route show default | grep -F "via 10.9.0.1 dev eth0"
  in_box busybox ping -q -c 1 -w 20 10.9.0.1
  renewed=$(($(grep -c "DHCPACK(" "$SEEN") + 1))
  kill -USR1 "$(client)"
  seen $renewed "DHCPACK("
  run -0 plugin "$type" CHECK "$(with_result "$1" "$RESULT")" "${@:2}"
  run -0 plugin "$type" DEL "$(with_result "$1" "$RESULT")" "${@:2}"
  all_given_back
}
