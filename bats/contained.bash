# Containers with networks: what the tests of modes, ports, isolation, names and bad input have in common.

bundle_path() { echo "$BATS_TEST_TMPDIR/bundles/$1"; }

# prepare ID RUNTIME OPTIONS...: a bundle as `ocinet inject OPTIONS` makes it
prepare() {
  make_bundle "$(bundle_path "$1")" "$2"
  ocinet inject "${@:3}" "$(bundle_path "$1")"
}

# launch ID RUNTIME OPTIONS...: the same, and the container runs
launch() {
  prepare "$@"
  start_container "$1" "$(bundle_path "$1")"
}

# network FILE NAME TYPE SUBNET [JSON]: a file in $NET_DIR, or at another path, with a network whose containers reach
# the world; JSON is merged into its one plugin. A .conflist has a list with that plugin, a .conf just the plugin.
network() {
  local file=$1 name=$2 type=$3 subnet=$4 more=${5:-"{}"}
  [[ $file == /* ]] || file=$NET_DIR/$file
  jq -n --arg name "$name" --arg type "$type" --arg subnet "$subnet" --argjson more "$more" --arg kind "${file##*.}" '
    { $type, ipMasq: true, ipam: { type: "host-local", ranges: [$subnet / "," | .[] | [{ subnet: . }]] } }
    + (if $type == "bridge" then { bridge: "\($name)0", isDefaultGateway: true } else {} end)
    | if $type == "ptp" then .ipam.routes = [{ dst: "0.0.0.0/0" }] else . end
    | . * $more
    | { cniVersion: "1.0.0", $name } + (if $kind == "conflist" then { plugins: [.] } else . end)' >"$file"
}

# addresses ID: a line for each of a container's own, as "eth0 10.1.2.2/24"
addresses() {
  in_container "$1" ip -j address | jq -r '
    .[] | .ifname as $link | .addr_info[] | select(.scope == "global") | "\($link) \(.local)/\(.prefixlen)"'
}

# default_routes ID: a line for each, as "172.16.28.1 eth0"
default_routes() {
  local family
  for family in -4 -6; do
    in_container "$1" ip $family -j route show default | jq -r '.[] | "\(.gateway) \(.dev)"'
  done
}

# reaches ADDRESS PLACE...: by a ping
reaches() { "${@:2}" busybox ping -q -c 1 -W 20 "$1" >/dev/null 2>&1; }

# cannot_reach ADDRESS PLACE...: by three pings; to be asked once something else is reached from there
cannot_reach() { run ! "${@:2}" busybox ping -q -c 3 -i 0.1 -W 1 "$1"; }

# takes MICROSECONDS COMMAND...: at least so long
takes() {
  local began=${EPOCHREALTIME/[.,]/} took
  "${@:2}"
  took=$((${EPOCHREALTIME/[.,]/} - began))
  ((took >= $1)) || fail "It took $took microseconds, not $1: ${*:2}"
}

# equal EXPECTED ACTUAL
equal() {
  [ "$1" = "$2" ] || fail "expected:" "$1" "but there is:" "$2"
}
