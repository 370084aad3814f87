# Hosts of a cluster, each a network namespace and a mount namespace with an /etc/ocinet and a /run/ocinet of its own,
# joined by a bridge in one more namespace, in which etcd runs. What they are called begins with $LAN.

# On a busy machine etcd may take longer than etcdctl's 5 s.
export ETCDCTL_API=3 ETCDCTL_COMMAND_TIMEOUT=60s

# make_cluster COUNT: sets LAN, and starts etcd
make_cluster() {
  LAN=ov$$-$BATS_TEST_NUMBER ETCD=http://192.0.2.254:2379
  HOST_PIDS=()
  declare -gA RUNNING=()
  mkdir -p /etc/ocinet /run/ocinet /run/wireguard
  ip netns add "$LAN"
  ip -n "$LAN" -batch - <<LINES
link add name lan type bridge
link set dev lan up
link set dev lo up
address add 192.0.2.254/24 dev lan
LINES
  local i
  for ((i = 1; i <= $1; i++)); do make_member "$i"; done
  start_etcd
}

# make_member NUMBER: host h1, h2 …
make_member() {
  local host=$LAN-h$1 ready
  ip netns add "$host"
  ip link add name eth0 netns "$host" type veth peer name "p$1" netns "$LAN"
  ip -n "$LAN" link set dev "p$1" master lan up
  ip -n "$host" -batch - <<LINES
link set dev lo up
link set dev eth0 up
address add 192.0.2.$1/24 dev eth0
route add default via 192.0.2.254
LINES
  mkdir -p "$BATS_TEST_TMPDIR/etc$1/net.d" "$BATS_TEST_TMPDIR"/{run,wg}"$1"
  # shellcheck disable=SC2153 # MEMBER_SETTINGS may be unset
  jq -n --arg etcd "$ETCD" --arg name "h$1" --argjson more "${MEMBER_SETTINGS-{\}}" \
    '{ endpoints: [$etcd], $name, underlay: "eth0", leaseSeconds: 3 } + $more' >"$BATS_TEST_TMPDIR/etc$1/cluster.json"
  # shellcheck disable=SC2016 # the inner shell's
  exec {ready}< <(exec nsenter --net="/run/netns/$host" unshare --mount --propagation slave bash -euc '
    mount -t sysfs sysfs /sys
    mount --bind "$1" /etc/ocinet
    mount --bind "$2" /run/ocinet
    mount --bind "$3" /run/wireguard
    echo $$
    exec sleep infinity >/dev/null 2>&1' member "$BATS_TEST_TMPDIR"/{etc,run,wg}"$1" 3>&-)
  read -r "HOST_PIDS[$1]" <&"$ready"
  exec {ready}<&-
}

# remove_member NUMBER: the host is gone, and all that it knew
remove_member() {
  kill "${HOST_PIDS[$1]}"
  ip -n "$LAN" link del dev "p$1"
  ip netns delete "$LAN-h$1"
  rm -r "${BATS_TEST_TMPDIR:?}"/{etc,run,wg}"$1"
}

# on NUMBER COMMAND...: on that host
on() { nsenter --target "${HOST_PIDS[$1]}" --net --mount --wdns="$PWD" -- "${@:2}"; }

# oci NUMBER ARGS...: ocinet on that host
oci() { on "$1" "$OCINET" "${@:2}"; }

# started NAME COMMAND...: in the background; what it prints is in $BATS_TEST_TMPDIR/NAME.log
started() {
  local name=$1
  shift
  # What one before it has said is no answer of this one's.
  : >"$BATS_TEST_TMPDIR/$name.log"
  "$@" </dev/null >"$BATS_TEST_TMPDIR/$name.log" 2>&1 3>&- &
  RUNNING[$name]=$!
}

# ended NAME SIGNAL: sends it, and waits until it has ended
ended() {
  kill "-$2" "${RUNNING[$1]}"
  wait "${RUNNING[$1]}" 2>/dev/null || true
  unset "RUNNING[$1]"
}

start_etcd() {
  started etcd ip netns exec "$LAN" etcd --data-dir "$BATS_TEST_TMPDIR/etcd" --listen-client-urls "$ETCD" \
    --advertise-client-urls "$ETCD" --listen-peer-urls http://127.0.0.1:2380
  wait_for keys >/dev/null || fail "etcd does not start:" "$(tail -n 5 "$BATS_TEST_TMPDIR/etcd.log")"
}

# start_store NUMBER [OPTION...]: that of three members of an etcd that asks for client certificates
start_store() {
  local dir=$BATS_TEST_TMPDIR
  started "store$1" ip netns exec "$LAN" etcd --name "m$1" --data-dir "$dir/$STORE$1" "${@:2}" \
    --listen-client-urls "https://192.0.2.25$1:2379" --advertise-client-urls "https://192.0.2.25$1:2379" \
    --listen-peer-urls "http://127.0.0.1:238$1" --initial-advertise-peer-urls "http://127.0.0.1:238$1" \
    --initial-cluster "$STORES" \
    --client-cert-auth --trusted-ca-file "$dir/ca.pem" --cert-file "$dir/server.pem" --key-file "$dir/server.key"
}

# ctl ARGS...: etcdctl, of the members whose numbers are in AT
ctl() {
  local i endpoints=""
  for i in ${AT:-1 2 3}; do endpoints+=,https://192.0.2.25$i:2379; done
  ip netns exec "$LAN" etcdctl --endpoints "${endpoints:1}" --cacert "$BATS_TEST_TMPDIR/ca.pem" \
    --cert "$BATS_TEST_TMPDIR/client.pem" --key "$BATS_TEST_TMPDIR/client.key" ${ETCD_USER:+--user "$ETCD_USER"} "$@"
}

# make_certificates: of an authority and a stranger, of etcd's server, and of a client, which it makes no user; one has expired
make_certificates() {
  local dir=$BATS_TEST_TMPDIR name
  for name in ca stranger; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name" \
      -keyout "$dir/$name.key" -out "$dir/$name.pem" 2>/dev/null
    chmod 600 "$dir/$name.key"
  done
  # With users etcd's gateway takes no certificate with a common name.
  for name in server client; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/O=$name" -keyout "$dir/$name.key" \
      -out "$dir/$name.csr" 2>/dev/null
    openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
      -extfile <(echo "subjectAltName = IP:192.0.2.251, IP:192.0.2.252, IP:192.0.2.253") -out "$dir/$name.pem" 2>/dev/null
    chmod 600 "$dir/$name.key"
  done
  openssl x509 -req -in "$dir/client.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days -1 \
    -out "$dir/expired.pem" 2>/dev/null
}

# make_stores: three members, and a user who has rights on the prefix alone; the hosts that are made after it use them
make_stores() {
  local i dir=$BATS_TEST_TMPDIR
  STORE=store STORES=m1=http://127.0.0.1:2381,m2=http://127.0.0.1:2382,m3=http://127.0.0.1:2383
  make_certificates
  for i in 1 2 3; do
    ip -n "$LAN" address add "192.0.2.25$i/24" dev lan
    start_store "$i"
  done
  wait_for ctl endpoint health
  ctl role add ocinet
  ctl role grant-permission ocinet --prefix=true readwrite /ocinet/
  ctl user add ocinet:secret
  ctl user grant-role ocinet ocinet
  ctl user add root:other
  ctl user grant-role root root
  ctl auth enable
  ETCD_USER=root:other
  (umask 077 && echo secret >"$dir/password")
  MEMBER_SETTINGS=$(jq -n --arg dir "$dir" '{ endpoints: [1, 2, 3 | "https://192.0.2.25\(.):2379"],
    leaseSeconds: 60, ca: "\($dir)/ca.pem", cert: "\($dir)/client.pem", key: "\($dir)/client.key", user: "ocinet", passwordFile: "\($dir)/password" }')
}

# restore_stores FILE: all members begin anew from a backup
restore_stores() {
  local i
  for i in 1 2 3; do ended "store$i" KILL; done
  STORE=restored
  for i in 1 2 3; do
    etcdctl snapshot restore "$1" --name "m$i" --data-dir "$BATS_TEST_TMPDIR/restored$i" \
      --initial-cluster "$STORES" --initial-advertise-peer-urls "http://127.0.0.1:238$i" >/dev/null 2>&1
    start_store "$i"
  done
  wait_for ctl endpoint health
}

# keys: all there are in etcd
keys() {
  if [ -n "${ETCD_USER-}" ]; then ctl get --keys-only --prefix /ocinet/ | sed '/^$/d' && return; fi
  ip netns exec "$LAN" etcdctl --endpoints "$ETCD" get --keys-only --prefix /ocinet/ | sed '/^$/d'
}

# start_agent NUMBER: and waits until its host is in the cluster
start_agent() {
  started "agent$1" nsenter --target "${HOST_PIDS[$1]}" --net --mount --wdns="$PWD" -- "$OCINET" agent --workers 0
  wait_for is_member "$1"
  wait_for grep -q listening "$BATS_TEST_TMPDIR/agent$1.log"
}

is_member() { grep -q "is in the cluster" "$BATS_TEST_TMPDIR/agent$1.log"; }

# up NUMBER CONTAINER NETWORK [OPTION...]: a namespace on that host's network; sets ADDRESS4 and ADDRESS6
up() {
  [ -e "/run/netns/$LAN-$2" ] || ip netns add "$LAN-$2"
  wait_for on "$1" test -e "/etc/ocinet/net.d/overlay-${3%%:*}.conflist"
  oci "$1" up --net "$3" "${@:4}" "/run/netns/$LAN-$2"
}

# down NUMBER CONTAINER
down() {
  oci "$1" down "$LAN-$2"
  ip netns delete "$LAN-$2"
}

# inside CONTAINER COMMAND...
inside() { ip netns exec "$LAN-$1" "${@:2}"; }

# address_of CONTAINER [-6]
address_of() {
  ip -n "$LAN-$1" -j "${2--4}" address show dev eth0 | jq -r '.[].addr_info[] | select(.scope == "global").local'
}

# pings ADDRESS PLACE...
pings() { "${@:2}" busybox ping -q -c 1 -W 1 "$1" >/dev/null 2>&1; }

# lost ADDRESS PLACE...: by two pings; to be asked once something else is reached from there
lost() { run ! "${@:2}" busybox ping -q -c 2 -i 0.1 -W 1 "$1"; }

remove_cluster() {
  local name
  [ -n "${BATS_TEST_COMPLETED-}" ] || tail -n 20 "$BATS_TEST_TMPDIR"/agent?.log || true
  for name in "${!RUNNING[@]}"; do ended "$name" KILL; done
  ((${#HOST_PIDS[@]} == 0)) || kill "${HOST_PIDS[@]}" 2>/dev/null || true
  for name in $(ip netns list | awk -v lan="$LAN" 'index($1, lan) == 1 { print $1 }'); do ip netns delete "$name"; done
}
