#!/usr/bin/env bats
# `ocinet session`: an ordinary user's own links, networks and published ports, and nothing of it left at the end.
# shellcheck disable=SC2034,SC2154 # what lib reads, and what run sets
load lib
load rootless
load helper

setup() {
  set_up_hosts
  # Of two uplinks, that would be the better.
  hide pasta
  NETWORKS=$HOST_DIR/user/home/.config/ocinet/net.d
  as_user mkdir -p "$NETWORKS"
  shop | as_user tee "$NETWORKS/10-shop.conflist" >/dev/null
}

teardown() {
  as_user "$OCINET" session stop >/dev/null || true
  tear_down_hosts
  rm -rf "/tmp/ocinet-$(id -u "$OCINET_TEST_USER")"
}

shop() {
  jq -n '{ cniVersion: "1.0.0", name: "shop", plugins: [
    { type: "bridge", bridge: "shop0", isDefaultGateway: true, ipMasq: true,
      ipam: { type: "host-local", ranges: [[{ subnet: "10.20.0.0/16" }]], routes: [{ dst: "0.0.0.0/0" }] } } ] }'
}

# session WORDS...: `ocinet session WORDS` as the user
session() { as_user "$OCINET" session "$@"; }
inside() { session exec -- "$@"; }

# in_session ID OPTIONS...: a container of runc's in the session; sets PIDS[ID]
in_session() {
  bundle "$@"
  set_config "$(path_of "$1")" 'del(.linux.uidMappings, .linux.gidMappings) | .linux.namespaces |= map(select(.type != "user"))'
  inner_runc run --detach --bundle "$(path_of "$1")" "$1" </dev/null >"$BATS_TEST_TMPDIR/$1.log" 2>&1 3>&- || fail "$(<"$BATS_TEST_TMPDIR/$1.log")"
  PIDS[$1]=$(inner_runc state "$1" | jq .pid)
}
inner_runc() { inside runc --root "$HOST_DIR/user/run/inner" "$@"; }


no_session() { no_processes && [ ! -e "$(user_state)/containers/session" ] && no_sockets "$HOST_DIR/user"; }

equal() { [ "$1" = "$2" ] || fail "expected: $1" "is: $2"; }

session_pid() { session status --json | jq -e .pid; }

@test "containers on a network of the user's own talk, and each has a published port, from the host on" {
  in_session web --net shop -p 8080:80
  in_session db --net shop -p 192.0.2.1:8081:80
  serve tcp 80 in_container web
  [ "$(ask tcp 10.20.0.2 80 in_container db)" = 10.20.0.3 ]
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  stop tcp4-80
  stop tcp6-80
  serve tcp 80 in_container db
  [ "$(ask tcp 192.0.2.1 8081 in_peer)" = 192.0.2.2 ]
  run ! ask_within 5 tcp 127.0.0.1 8081 in_host

  run -127 inside nothing-of-that-name
  equal 'ocinet: Cannot run "nothing-of-that-name": it is not on PATH' "$output"
  # shellcheck disable=SC2016 # the inner shell's
  run -0 inside sh -c 'mount -t tmpfs tmpfs /mnt && cp "$1" /mnt/only-inside' sh "$(command -v env)"
  run -0 inside /mnt/only-inside
  run -0 inside "$OCINET" ls
  [[ $output == *"web  up     shop:ip4=10.20.0.2  8080:80/tcp"* ]]
  run -0 as_user "$OCINET" ls
  [[ $output == *"session      up     default:ip4=10.0.2.100"*"session/web  up     shop:ip4=10.20.0.2 "*"8080:80/tcp"* ]]
  run -0 as_user "$OCINET" inspect session/db
  jq -e '.[0] | .state == "up" and .networks[0].name == "shop" and .networks[0].by == "bridge"
    and .networks[0].ips == ["10.20.0.3/16"] and .ports[0].mapping == "192.0.2.1:8081:80/tcp"' <<<"$output"
  # Outside, too, its networks are in use.
  equal "session/db session/web" "$(as_user "$OCINET" network inspect shop | jq -r '.[0].Containers | keys | join(" ")')"
  run -1 as_user "$OCINET" network rm shop
  [[ $output == *'network shop has active endpoints (name:"session/db"'* ]]
  equal "" "$(as_user "$OCINET" network prune)"
  run -0 session status --json
  jq -e '.state == "up" and .uplink == "slirp4netns" and [.containers[].id] == ["session/db", "session/web"]
    and (.ports | length) == 2' <<<"$output"

  inner_runc delete --force web
  unanswered tcp 192.0.2.1 8080 in_peer
  in_session other --net shop -p 8080:80
  serve udp 53 in_container other
  as_user "$OCINET" port add session/other 5353:53/udp
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  inside "$OCINET" port rm other 5353:53/udp
  unanswered udp 192.0.2.1 5353 in_peer
  stop_background
  # Outside of it, too, they can be taken down, and with the network its bridge goes and its addresses are free.
  run -2 as_user "$OCINET" down session/db other
  [[ $output == *": other is not in the session; "* ]]
  as_user "$OCINET" down session/db session/other
  equal shop "$(as_user "$OCINET" network rm shop)"
  equal "" "$(inside sh -c 'ip -br link show shop0; ls /run/ocinet/networks' 2>/dev/null)"
  session stop
  wait_for no_session
}

@test "its containers ask the session's resolver, whatever their network is" {
  name_server in_peer
  in_session web --net shop
  run -0 inner_runc exec web sh -c 'cat /etc/resolv.conf; nslookup -type=a www.example'
  [[ $output == *"nameserver 10.0.2.3"*"Address: 198.51.100.1"* ]]
  [[ $(inside "$OCINET" run --net shop -- busybox nslookup -type=a www.example) == *"Address: 198.51.100.1"* ]]
}

@test "a port that cannot be had is refused before anything is made; the user's own default is the one in it" {
  shop | sed 's/"shop"/"default"/; s/shop0/own0/; s/10\.20/10.30/' | as_user tee "$NETWORKS/20-default.conflist" >/dev/null
  serve tcp 8080 in_host
  inside ip netns add box
  inside ip netns exec box true
  run -1 inside "$OCINET" up --net shop -p 8080:80 /run/netns/box
  [ "$output" = 'ocinet: Cannot publish "8080:80/tcp": a process outside of the session listens on it' ]
  run -1 inside "$OCINET" up --net shop -p 80:80 /run/netns/box
  [[ $output == *'Cannot publish "80:80/tcp" without root: ports below 1024'* ]]
  run -1 inside "$OCINET" up --net shop -p '[::1]:8081:80/sctp' /run/netns/box
  [[ $output == *'Cannot publish "[::1]:8081:80/sctp" without root: slirp4netns forwards tcp and udp only'* ]]
  run -1 inside "$OCINET" up --net shop -p 198.51.100.1:8081:80 /run/netns/box
  [ "$output" = 'ocinet: Cannot publish "198.51.100.1:8081:80/tcp": the host does not have the address 198.51.100.1' ]
  run -0 inside ip -o link
  [[ $output != *shop0* ]]
  run -0 inside "$OCINET" up -p 192.0.2.1:8081:80 /run/netns/box
  [[ $output == *10.30.0.2* ]]
  run -1 inside "$OCINET" up --net shop -p 8081:80 --id again /run/netns/box
  [[ $output == *'container "box" has it'* ]]
  inside "$OCINET" down box
  unanswered tcp 192.0.2.1 8081 in_peer
}

@test "an uplink that dies is started again, with the ports of the containers inside" {
  in_session web --net shop -p 8080:80
  serve tcp 80 in_container web
  in_host kill -KILL "$(tail -n 1 "$(user_state)/containers/session/uplink.pid")"
  wait_for answers tcp 192.0.2.1 8080 in_peer
  session status --json | jq -e '.state == "up"'
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
}
answers() { ask_within 1 "$@" >/dev/null; }

@test "whichever of its processes is killed, all that ran in it ends, and the next start is as the first" {
  local holder other
  for other in 0 1; do
    run -0 session exec true
    inside setsid --fork unshare -Urnm sleep 1000
    holder=$(session_pid)
    ((other == 0)) || holder=$(pgrep -P "$holder")
    in_host kill -KILL "$holder"
    wait_for no_processes
    run -1 session status
    [ "$output" = "no session runs; ocinet session start, or exec, starts one" ]
  done
  run -0 as_user "$OCINET" gc
  [[ $output == *"session: its process "*" has ended"* ]]
  no_session
  session start
  in_session web --net shop -p 8080:80
  inside setsid --fork unshare -Urnm sleep 1000
  in_host kill -KILL "$(head -n 1 "$(user_state)/containers/session/uplink.pid")"
  session stop
  wait_for no_session
}

@test "the command that starts it may be killed over that" {
  local began
  for began in 0.1 0.2 0.3; do
    as_user timeout --signal KILL "$began" "$OCINET" session start || true
    as_user "$OCINET" gc
    session stop
    wait_for no_session
  done
}

@test "its verbs say what is the case" {
  run -1 session status --json
  jq -e '.state == "none"' <<<"$output"
  run -0 session stop
  [ "$output" = "no session ran" ]
  session start --uplink slirp4netns:cidr=10.9.0.0/24
  run -1 session start
  [[ $output == *"Cannot start a session: it runs already, as process "*"; ocinet session stop ends it"* ]]
  # shellcheck disable=SC2016 # the session's shell
  run -7 inside sh -c 'id -u; pwd; cat /etc/resolv.conf; ls /sys/class/net; [ -w /run ]; "$0" session status; exit 7' "$OCINET"
  [[ $output == "0"$'\n'"$PWD"$'\n'*"nameserver 10.9.0.3"*"eth0"*"lo"*"Cannot use a session as root"* ]]
  run -1 ocinet session start
  [[ $output == *"Cannot use a session as root"* ]]
  run -0 session exec --help
  [[ $output == *"Usage: ocinet session exec"*"networks from"* ]]
  run -125 session exec --uplink nothing -- true
  run -0 as_user "$OCINET" down session
  wait_for no_session
}

over_each_uplink() {
  local uplink
  for uplink in slirp4netns pasta helper; do
    bats_test_function --description "ports by $uplink: TCP and UDP, IPv4 and IPv6, and who brings them is said" -- ports_over $uplink
  done
}
over_each_uplink

# How a port leads to the session, and whom its container sees: 10.0.2.100 is the session itself.
ports_over() {
  local ports=(8080:80 5353:53/udp) driver=relay relay="relay, without the client's address" seen4=10.0.2.100 seen6=10.0.2.100
  case $1 in
    slirp4netns)
      driver=slirp4netns seen4=192.0.2.2
      ports=(0.0.0.0:8080:80 0.0.0.0:5353:53/udp '[2001:db8:1::1]:8080:80' '[2001:db8:1::1]:5353:53/udp')
      ;;
    pasta)
      in_host umount "$(command -v pasta)"
      renew_pasta
      ;;
    helper)
      driver=helper seen4=192.0.2.2 seen6=2001:db8:1::2
      start_helper "TEST_USER veth ocinet0 1" "TEST_USER port 8080-8081/tcp" "TEST_USER port 5353/udp"
      in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
      ;;
  esac
  local said=$driver both=$driver
  [ $driver != relay ] || said=$relay both=$relay
  [ $driver != slirp4netns ] || both="slirp4netns, IPv4 only"
  session start --uplink "$1"
  in_session web --net default "${ports[@]/#/--publish=}"
  if [ "$1" = pasta ]; then
    equal reno "$(inside cat /proc/sys/net/ipv4/tcp_congestion_control)"
    equal reno "$(in_container web cat /proc/sys/net/ipv4/tcp_congestion_control)"
  fi
  serve tcp 80 in_container web
  serve udp 53 in_container web
  equal "$seen4" "$(ask tcp 192.0.2.1 8080 in_peer)"
  equal "$seen4" "$(ask udp 192.0.2.1 5353 in_peer)"
  equal "$seen6" "$(ask tcp 2001:db8:1::1 8080 in_peer)"
  equal "$seen6" "$(ask udp 2001:db8:1::1 5353 in_peer)"

  run -0 inside "$OCINET" port add web 8081:80
  [ "${lines[0]}" = "${ports[0]}/tcp $said" ]
  [ "${lines[-1]}" = "8081:80/tcp $both" ]
  [ "$1" != slirp4netns ] || [ "${lines[2]}" = "[2001:db8:1::1]:8080:80/tcp $relay" ]
  local listed=$output
  run -0 as_user "$OCINET" inspect session/web
  jq -e --arg driver $driver '.[0].ports | .[0].driver == $driver and
    all(IN(.driver; $driver, "relay") and .keepsClientAddress == (.driver != "relay"))' <<<"$output"
  equal "$seen4" "$(ask tcp 192.0.2.1 8081 in_peer)"
  # From outside alike.
  equal "$listed" "$(as_user "$OCINET" port ls session/web)"
  run -0 as_user "$OCINET" port rm session/web 8081:80
  [ "${lines[-1]}" != "8081:80/tcp $both" ]
  unanswered tcp 192.0.2.1 8081 in_peer
  run -1 as_user "$OCINET" port add session/web "${ports[0]}"
  [[ $output == *"Cannot publish \"${ports[0]}/tcp\": container \"web\" publishes it already"* ]]
  # What died is there again, with the ports.
  in_host kill -KILL "$(tail -n 1 "$(user_state)/containers/session/relay/uplink.pid")"
  [ $driver != relay ] || wait_for answers tcp 192.0.2.1 8080 in_peer
  [ "$1" != slirp4netns ] || wait_for answers tcp 2001:db8:1::1 8080 in_peer
  inner_runc delete --force web
  unanswered tcp 192.0.2.1 8080 in_peer
  session stop
  [ "$1" != helper ] || wait_for nothing_attached
  stop_background
  wait_for no_session
}

@test "its state may be anywhere" {
  local mine=$HOST_DIR/user/run/mine
  mine() { as_user env OCINET_STATE_DIR="$mine" "$@"; }
  mine "$OCINET" session exec -- ip netns add box
  mine "$OCINET" session exec -- env OCINET_STATE_DIR="$mine" "$OCINET" up --net shop -p 8080:80 /run/netns/box
  wait_for listens_once 8080
  [ "$(ls "$mine/containers")" = session ]
  mine "$OCINET" session stop
  wait_for no_processes
  [ -z "$(ls "$mine/containers")" ]
}
listens_once() { in_host ss -Hltn "sport = :$1" | grep -q .; }

@test "a bundle that is made in it runs, though the user has no subordinate ids" {
  local bundle=$HOST_DIR/user/bundle
  hide newuidmap
  cp -a "$(busybox_rootfs)" "$BATS_TEST_TMPDIR/rootfs"
  as_user mkdir "$bundle"
  mv "$BATS_TEST_TMPDIR/rootfs" "$bundle"
  chown -R "$OCINET_TEST_USER:$OCINET_TEST_USER" "$bundle"
  inside runc spec --rootless --bundle "$bundle"
  inside "$OCINET" inject --net shop -p 8080:80 "$bundle"
  set_config "$bundle" '.process.terminal = false | .process.args = ["ip", "-o", "address", "show", "dev", "eth0"]'
  run -0 inner_runc run --bundle "$bundle" made
  [[ $output == *"inet 10.20.0.2/16"* ]]
}

@test "podman in it has the user's networks" {
  local hooks=$BATS_TEST_TMPDIR/hooks rootfs=$BATS_TEST_TMPDIR/rootfs
  mkdir "$hooks"
  cp -a "$(busybox_rootfs)" "$rootfs"
  chown -R "$OCINET_TEST_USER:$OCINET_TEST_USER" "$rootfs"
  as_user "$OCINET" hooks-json >"$hooks/ocinet.json"
  run -0 inside podman --storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime crun --hooks-dir "$hooks" \
    run --network none --cgroups disabled --security-opt seccomp=unconfined --rm --annotation org.ocinet.net=shop \
    --rootfs "$rootfs" ip -o address show eth0
  [[ $output == *"inet 10.20.0.2/16"* ]]
}
