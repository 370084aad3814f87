#!/usr/bin/env bats
# An ordinary user's containers under runc: slirp4netns speaks for them. Run by root, so that what is left is seen.
load lib
load rootless

@test "contained: the container reaches the world from its first moment, by IPv4 and IPv6" {
  serve tcp 8000 in_peer
  bundle c1
  run -0 says c1 'echo hello | nc 2001:db8:1::2 8000; echo hello | nc 192.0.2.2 8000; echo hello | nc 198.51.100.1 8000'
  [ "$(plain_address <<<"${lines[0]}")" = 2001:db8:1::1 ]
  [ "${lines[1]}" = 192.0.2.1 ]
  [ "${lines[2]}" = 192.0.2.1 ]
  is_gone c1
}

@test "contained: as described, in a sandbox, with seccomp, with large packets" {
  launch c1
  run -0 in_container c1 ip -j address show eth0
  jq -e '.[0] | .mtu == 65520 and .operstate != "DOWN"' <<<"$output"
  jq -e '[.[0].addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"] ==
    ["10.0.2.100/24", "fd00::100/64"]' <<<"$output"
  [ "$(in_container c1 ip -o route show default)" = "default via 10.0.2.2 dev eth0 " ]
  [[ $(in_container c1 ip -o -6 route show default) == "default via fd00::2 dev eth0"* ]]

  local pid
  pid=$(tail -n 1 "$(user_state)/containers/c1/uplink.pid")
  grep -x $'Seccomp:\t2' "/proc/$pid/status"
  grep -x $'NoNewPrivs:\t1' "/proc/$pid/status"
  [ "$(readlink "/proc/$pid/ns/mnt")" != "$(readlink "/proc/$HOST_PID/ns/mnt")" ]
  run ! ls "/proc/$pid/root/home"

  run -0 as_user "$OCINET" inspect --json c1
  jq -e '.[0] | .state == "up" and (.networks[0] | .by == "slirp4netns" and .ifname == "eth0" and
    .ips == ["10.0.2.100/24", "fd00::100/64"] and .gateways == ["10.0.2.2", "fd00::2"] and
    .nameservers == ["10.0.2.3"])' <<<"$output"
  delete_container c1
  is_gone c1
}

@test "contained: the host's loopback is out of reach" {
  serve tcp 8000 in_host
  launch c1
  [ "$(ask tcp 127.0.0.1 8000 in_host)" = 127.0.0.1 ]
  [ "$(ask tcp 192.0.2.1 8000 in_container c1)" = 192.0.2.1 ]
  unanswered tcp 10.0.2.2 8000 in_container c1
  unanswered tcp fd00::2 8000 in_container c1
  unanswered tcp 127.0.0.1 8000 in_container c1
}

@test "contained: names are answered, and the root file system stays as it is" {
  name_server in_peer
  bundle c1
  run -0 says c1 "cat /etc/resolv.conf; nslookup -type=a www.example"
  [[ $output == *"nameserver 10.0.2.3"*"Name:"*"www.example"*"Address: 198.51.100.1"* ]]
  [ ! -s "$(path_of c1)/rootfs/etc/resolv.conf" ]
}

@test "a root file system without a resolv.conf: inject says what the container will not be told, and it runs" {
  make_bundle "$(path_of c1)" runc rootless
  rm "$(path_of c1)/rootfs/etc/resolv.conf"
  run -0 as_user "$OCINET" inject "$(path_of c1)"
  [ "$output" = "ocinet: The container will not be told of name servers: /etc/resolv.conf in $(path_of c1)/rootfs: there is no such file to mount it over; make an empty one" ]
  run -0 as_user "$OCINET" inject --dns none "$(path_of c1)"
  [ -z "$output" ]
  run -0 says c1 "ip -o -4 address show eth0"
  [[ $output == *10.0.2.100/24* ]]
}

@test "contained: --dns and --hosts-entry are the user's own" {
  bundle c1 --dns 192.0.2.53 --dns-search example.org --hosts-entry 192.0.2.9=db
  run -0 says c1 "cat /etc/resolv.conf /etc/hosts"
  [[ $output == *"search example.org"*"nameserver 192.0.2.53"*"192.0.2.9 db"* && $output != *10.0.2.3* ]]
  [ ! -s "$(path_of c1)/rootfs/etc/hosts" ]
}

@test "published ports are reached from the peer and from the host, and others are not" {
  launch c1 -p 8080:80 -p 5353:53/udp -p 8082-8083:82-83
  serve tcp 80 in_container c1
  serve tcp 83 in_container c1
  serve tcp 84 in_container c1
  serve udp 53 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 192.0.2.1 8083 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 127.0.0.1 8080 in_host)" = 10.0.2.2 ]
  [ "$(ask udp 192.0.2.1 5353 in_host)" = 192.0.2.1 ]
  unanswered tcp 192.0.2.1 80 in_peer
  unanswered tcp 192.0.2.1 84 in_peer
  unanswered udp 192.0.2.1 53 in_peer

  run -0 as_user "$OCINET" ls --json
  jq -e '.[0].ports | length == 4 and all(.driver == "slirp4netns") and
    .[0].mapping == "8080:80/tcp" and .[0].keepsClientAddress and .[0].onlyFamily == 4' <<<"$output"
  # It does not listen on IPv6's, and says so; the relay does.
  unanswered tcp 2001:db8:1::1 8080 in_peer
  run -0 as_user "$OCINET" port add c1 0.0.0.0:8090:80 '[2001:db8:1::1]:8090:80'
  [[ $output == *"8080:80/tcp slirp4netns, IPv4 only"$'\n'*"0.0.0.0:8090:80/tcp slirp4netns"$'\n'"[2001:db8:1::1]:8090:80/tcp relay, without the client's address" ]]
  ask tcp 192.0.2.1 8090 in_peer
  ask tcp 2001:db8:1::1 8090 in_peer
  delete_container c1
  unanswered tcp 192.0.2.1 8080 in_peer
}

@test "a port bound to an address is reached through that alone" {
  launch c1 -p 127.0.0.1:8080:80 -p 192.0.2.1:8081:80
  serve tcp 80 in_container c1
  [ "$(ask tcp 127.0.0.1 8080 in_host)" = 10.0.2.2 ]
  unanswered tcp 192.0.2.1 8080 in_peer
  [ "$(ask tcp 192.0.2.1 8081 in_peer)" = 192.0.2.2 ]
  unanswered tcp 127.0.0.1 8081 in_host
}

@test "ports that slirp4netns cannot publish are refused with the remedy" {
  refused c1 -p 80:80
  [[ $output == *'Cannot publish "80:80/tcp" without root: ports below 1024 are root'\''s; take a higher one, have '* ]]
  [[ $output == *"sysctl net.ipv4.ip_unprivileged_port_start=80"* ]]
  refused c2 --port-driver uplink -p '[2001:db8:1::1]:8080:80'
  [[ $output == *"slirp4netns listens on IPv4 addresses only; use 0.0.0.0 or 127.0.0.1"* ]]
  refused c3 -p 8080:80/sctp
  [[ $output == *"slirp4netns forwards tcp and udp only"* ]]
  refused c5 --port-driver uplink -p 127.0.0.1:5353:53/udp
  [[ $output == *"slirp4netns sends no answer to the host's loopback, "*"; use another address of the host's"* ]]
  in_host sysctl -qw net.ipv4.ip_unprivileged_port_start=80
  launch c4 -p 80:80
  serve tcp 80 in_container c4
  [ "$(ask tcp 192.0.2.1 80 in_peer)" = 192.0.2.2 ]
}

@test "a taken port is refused and says who has it" {
  launch c1 -p 8080:80
  refused_while_c1_runs c2 -p 8080:80
  [[ $output == *'Cannot publish "8080:80/tcp": container "c1" has it'* ]]
  background own as_user socat TCP4-LISTEN:8081,fork,reuseaddr SYSTEM:true
  background roots in_host socat TCP4-LISTEN:8082,fork,reuseaddr SYSTEM:true
  wait_for listen_both
  refused_while_c1_runs c3 -p 8081:80
  [[ $output == *'Cannot publish "8081:80/tcp": process '*" (socat) listens on it"* ]]
  refused_while_c1_runs c4 -p 8082:80
  [[ $output == *'Cannot publish "8082:80/tcp": a process of another user listens on it'* ]]
  [ "$(slirp | grep -c ^slirp4netns)" = 1 ]
}

refused_while_c1_runs() {
  bundle "$@"
  fails_to_start "$1"
  [ ! -e "$(user_state)/containers/$1" ]
}

listen_both() { [ "$(in_host ss -Hltn '( sport = :8081 or sport = :8082 )' | wc -l)" = 2 ]; }

@test "none: loopback only" {
  bundle c1 --net none
  run -0 says c1 "ip -o link; ip -o address; cat /etc/resolv.conf"
  [[ ${lines[0]} == "1: lo: <LOOPBACK,UP,LOWER_UP>"* && ${lines[1]} == *"127.0.0.1/8"* ]]
  [[ $output != *": eth0"* && $output != *nameserver* ]]
  is_gone c1
}

@test "host: the caller's network" {
  bundle c1 --net host
  run -0 says c1 "ip -o -4 address"
  [[ $output == *192.0.2.1/24* ]]
  is_gone c1
}

@test "default-restricted: no way out, and published ports all the same" {
  serve tcp 8000 in_peer
  serve tcp 8001 in_host
  name_server in_peer
  launch c1 --net default-restricted -p 8080:80
  serve tcp 80 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  local address
  for address in 192.0.2.2 198.51.100.1 2001:db8:1::2; do unanswered tcp $address 8000 in_container c1; done
  for address in 192.0.2.1 10.0.2.2 2001:db8:1::1 fd00::2; do unanswered tcp $address 8001 in_container c1; done
  run ! exec_container c1 grep 10.0.2.3 /etc/resolv.conf
  # Nor is there one for who takes our rules away; and a resolver would carry anything, in both directions.
  in_container c1 nft delete table inet ocinet_restricted
  unanswered tcp 192.0.2.2 8000 in_container c1
  unanswered tcp 192.0.2.1 8001 in_container c1
  run ! exec_container c1 timeout 1 nslookup -type=a www.example 10.0.2.3
}

@test "networks that need root are refused with the reason" {
  install -d -o "$OCINET_TEST_USER" "$HOST_DIR"/user/home/.config/ocinet/net.d
  echo '{"cniVersion": "1.0.0", "name": "mine", "type": "bridge", "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}' \
    >"$HOST_DIR/user/home/.config/ocinet/net.d/10-mine.conf"
  refused c1 --net mine
  [[ $output == *'Cannot join network "mine" without root: a rootless container has "default", "default-restricted", "none" or "host"; in a session there are all: ocinet session exec'* ]]
  refused c2 --net default,default-restricted
  [[ $output == *"Cannot join several networks without root: "* ]]
  refused c4 --net default:IP=10.0.2.77
  [[ $output == *'Cannot use IP=10.0.2.77 on network "default" without root: a rootless container'\''s uplink has its address; use --uplink pasta:cidr=…, or slirp4netns:cidr=…'* ]]
  make_bundle "$(path_of c3)" runc rootless
  run -1 as_user "$OCINET" inject --net yours "$(path_of c3)"
  [ "$output" = "ocinet: networks not found: yours (there are: mine, default-restricted, default)" ]
  (cd "$HOST_DIR/user/home/.config/ocinet/net.d" && sed 's/mine/default/' 10-mine.conf >20-default.conf && rm 10-mine.conf)
  refused c4
  [[ $output == *'Cannot join network "default" of '*'/.config/ocinet/net.d/20-default.conf without root: an uplink makes the built-in one, and no other; give it a name of its own, or use a session, in which it counts: ocinet session exec'* ]]
}

@test "it is gone when the container has ended by itself" {
  bundle c1 -p 8080:80
  run -0 says c1 true
  is_gone c1
}

@test "it is gone when the container's init is killed; the state goes with gc" {
  launch c1 -p 8080:80
  slirp
  kill -KILL "$(container_pid c1)"
  wait_for no_slirp
  run -0 as_user "$OCINET" gc --json
  jq -e '.containers[0].id == "c1" and (.containers[0].reason | test("its process [0-9]+ has ended"))' <<<"$output"
  is_gone c1
}

@test "runc is killed: the container goes on, and what it leaves goes with the next container" {
  bundle c1 -p 8080:80
  background runc runtime_of "$(path_of c1)" run --bundle "$(path_of c1)" c1
  note_container c1 "$(path_of c1)"
  wait_for container_runs
  kill -KILL "$(<"$BATS_TEST_TMPDIR/background/runc")"
  serve tcp 80 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  kill -KILL "$(container_pid c1)"
  wait_for no_slirp
  [ -e "$(user_state)/containers/c1" ]
  bundle c2 --net none
  run -0 says c2 true
  is_gone c1
}

container_runs() { [ "$(container_state c1 2>/dev/null | jq -r .status)" = running ]; }

@test "it is gone when a running container is deleted" {
  launch c1 -p 8080:80
  slirp
  delete_container c1
  is_gone c1
}

@test "a second start under the same id takes the first one's place" {
  launch c1 -p 8080:80
  kill -KILL "$(container_pid c1)"
  runtime_of "$(path_of c1)" delete --force c1
  start_container c1 "$(path_of c1)"
  [ "$(slirp | grep -c ^slirp4netns)" = 1 ]
}

@test "a hook that fails half-way takes back what it did" {
  # The port is free when it is looked at, and no longer when slirp4netns wants it.
  bundle c1 -p 192.0.2.77:8080:80
  fails_to_start c1
  [[ $output == *"ocinet: Cannot "*"192.0.2.77"* ]]
  is_gone c1
}

@test "without a pid namespace of its own it ends with the container too, and all of it when it is taken down" {
  bundle c1
  set_config "$(path_of c1)" '.linux.namespaces |= map(select(.type != "pid")) |
    (.mounts[] | select(.destination == "/proc")) = {destination: "/proc", type: "none", source: "/proc", options: ["rbind"]}'
  start_container c1 "$(path_of c1)"
  run -0 slirp
  [[ $output == *"tail --pid="* ]]
  as_user "$OCINET" down c1
  wait_for no_slirp
  delete_container c1
  start_container c1 "$(path_of c1)"
  kill -KILL "$(container_pid c1)"
  wait_for no_slirp
  delete_container c1
  is_gone c1
}

@test "the runtime returns when the container has ended" {
  bundle c1 -p 8080:80
  local ended
  # shellcheck disable=SC2016 # the container's shell
  ended=$(says c1 'read -r up rest </proc/uptime; echo $up')
  awk -v ended="$ended" '{ exit $1 - ended > 2 }' /proc/uptime
}

@test "a hook without any environment finds its way" {
  bundle c1
  set_config "$(path_of c1)" '.hooks[][].env = []'
  start_container c1 "$(path_of c1)"
  [ -S "$(user_state)/containers/c1/uplink.sock" ]
  delete_container c1
  is_gone c1
}

@test "on Node all is as on Deno" {
  export OCINET_RUNTIME=node
  serve tcp 8000 in_peer
  launch c1 -p 8080:80 -p 5353:53/udp
  [[ $(jq -r '.hooks | (.createRuntime, .poststop)[0].env[] | select(startswith("OCINET_RUNTIME="))' "$(path_of c1)/config.json") == */node*/node ]]
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 192.0.2.2 8000 in_container c1)" = 192.0.2.1 ]
  [ "$(ask tcp 2001:db8:1::2 8000 in_container c1)" = 2001:db8:1::1 ]
  refused_while_c1_runs c2 -p 8080:80
  [[ $output == *'container "c1" has it'* ]]
  delete_container c1
  is_gone c1
}

@test "down takes it from a container that goes on" {
  launch c1 -p 8080:80
  as_user "$OCINET" down c1
  wait_for is_gone c1
  [ "$(exec_container c1 ps -o comm | tr '\n' ' ')" = "COMMAND sleep ps " ]
  unanswered tcp 192.0.2.2 8000 in_container c1
}

@test "up and down without root take a process's namespace" {
  background box as_user unshare -Urn sleep 1000
  wait_for box_is_apart
  local pid
  pid=$(<"$BATS_TEST_TMPDIR/background/box")
  run -0 as_user "$OCINET" up "$pid" --id box -p 8080:80
  [ "${output% }" = "box default eth0 10.0.2.100/24 fd00::100/64" ]
  run -1 as_user "$OCINET" up "$pid" --id box
  [[ $output == 'ocinet: Cannot attach container "box": it is attached already; '* ]]
  run -0 as_user "$OCINET" down box
  wait_for is_gone box
  in_host ip netns add named
  run -1 as_user "$OCINET" up /run/netns/named
  [[ $output == 'ocinet: Cannot attach namespace "/run/netns/named" without root: give the pid of a process in it '* ]]
  in_host ip netns delete named
}

box_is_apart() {
  [ "$(readlink "/proc/$(<"$BATS_TEST_TMPDIR/background/box")/ns/net")" != "$(in_host readlink /proc/self/ns/net)" ]
}

@test "state is in XDG_RUNTIME_DIR, if it is the user's" {
  as_user mkdir "$HOST_DIR/user/home/xdg"
  as_user env XDG_RUNTIME_DIR="$HOST_DIR/user/home/xdg" "$OCINET" ls
  [ "$(stat -c %a "$HOST_DIR/user/home/xdg/ocinet")" = 700 ]
  [ ! -e "$(user_state)" ]
  # As after `su`, which leaves the variable.
  in_host mkdir -m 700 /run/user/0
  as_user env XDG_RUNTIME_DIR=/run/user/0 "$OCINET" ls
  [ -d "$(user_state)" ]
}

@test "state is in /run/user/UID when the environment does not say" {
  as_user env -i "$OCINET" ls
  [ "$(stat -c %a "$(user_state)")" = 700 ]
}

@test "state is in /tmp/ocinet-UID when there is no runtime directory, and only the user may write it" {
  local uid fallback
  uid=$(id -u "$OCINET_TEST_USER") fallback=/tmp/ocinet-$(id -u "$OCINET_TEST_USER")
  in_host umount "/run/user/$uid"
  in_host rmdir "/run/user/$uid"
  as_user env -u XDG_RUNTIME_DIR "$OCINET" ls
  [ "$(stat -c %a:%U "$fallback")" = "700:$OCINET_TEST_USER" ]
  chmod 770 "$fallback"
  run -1 as_user env -u XDG_RUNTIME_DIR "$OCINET" ls
  [ "$output" = "ocinet: Cannot keep state in $fallback: others may write into it; chmod 700 $fallback" ]
  rm -r "$fallback"
  mkdir -m 777 "$fallback"
  run -1 as_user env -u XDG_RUNTIME_DIR "$OCINET" ls
  [ "$output" = "ocinet: Cannot keep state in $fallback: it belongs to user 0; remove it, or set OCINET_STATE_DIR" ]
}

@test "state is not behind a link, which another user may have put where it would be" {
  local fallback
  fallback=/tmp/ocinet-$(id -u "$OCINET_TEST_USER")
  in_host umount "/run/user/$(id -u "$OCINET_TEST_USER")"
  in_host rmdir "/run/user/$(id -u "$OCINET_TEST_USER")"
  as_user mkdir -p "$HOST_DIR/user/home/share/containers/storage/overlay"
  ln -s "$HOST_DIR/user/home/share" "$fallback"
  # /tmp protects from that only where fs.protected_symlinks is set.
  run -1 as_user env OCINET_STATE_DIR="$fallback/" "$OCINET" gc
  [ "$output" = "ocinet: Cannot keep state in $fallback: it is no directory, and must not be a link to one; remove it, or set OCINET_STATE_DIR" ]
}

@test "what is not ours in a directory that was named for state outlives everything" {
  local share=$HOST_DIR/user/home/share image=containers/storage/overlay/image
  as_user mkdir -p "$share/${image%/*}" "$share/networks/mine" "$share/results" "$share/containers/begun"
  as_user touch "$share/$image" "$share/networks/mine/notes" "$share/results/notes"
  (cd "$share" && find . -type f) >"$BATS_TEST_TMPDIR/before"
  local words
  for words in "run --net none -- true" "run --net none --id storage -- true" "down storage" gc; do
    # shellcheck disable=SC2086 # words
    run as_user env OCINET_STATE_DIR="$share" "$OCINET" $words
    [ "$words" = "run --net none -- true" ] || [[ $output == *"$share/containers/storage: $share/$image is not ours; set OCINET_STATE_DIR"* ]]
  done
  as_user rm -r "$share/containers/storage"
  as_user env OCINET_STATE_DIR="$share" "$OCINET" gc
  as_user mkdir -p "$share/${image%/*}"
  as_user touch "$share/$image"
  (cd "$share" && find . -type f) | diff - "$BATS_TEST_TMPDIR/before"
  [ ! -e "$share/containers/begun" ]
}

@test "a long runtime directory: the socket is under a short path, or the reason is said" {
  local long=$HOST_DIR/user/home/
  long+=$(printf "%$((76 - ${#long}))s" | tr ' ' x)
  as_user mkdir -p "$long"
  make_bundle "$(path_of c1)" runc rootless
  as_user env XDG_RUNTIME_DIR="$long" "$OCINET" inject -p 8080:80 "$(path_of c1)"
  start_container c1 "$(path_of c1)"
  serve tcp 80 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(find "$long/ocinet" -maxdepth 1 -type s -name "s-*" | wc -l)" = 1 ]
  delete_container c1
  is_gone c1

  as_user mkdir -p "$long-too-long"
  as_user env XDG_RUNTIME_DIR="$long-too-long" "$OCINET" inject "$(path_of c1)"
  fails_to_start c1
  [[ $output == *"ocinet: Cannot keep a socket in $long-too-long/ocinet: the path is longer than 107 bytes; set OCINET_STATE_DIR"* ]]
  is_gone c1
}
