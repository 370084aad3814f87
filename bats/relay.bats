#!/usr/bin/env bats
# Ports of an ordinary user's containers that their uplink cannot forward, or not while they run: our relay does. Run by
# root, so that what is left is seen.
# shellcheck disable=SC2154 # what run sets
load lib
load rootless

setup() {
  set_up_hosts
  renew_pasta
}

no_processes() { [ -z "$(processes)" ]; }
ports_of() { as_user "$OCINET" port ls "$1"; }
relay_pids() { cat "$(user_state)/containers/$1/relay/uplink.pid"; }
port() { as_user "$OCINET" port "$@"; }

@test "what slirp4netns cannot publish the relay does: IPv6, and UDP on loopback" {
  launch c1 --uplink slirp4netns -p 8080:80 -p '[2001:db8:1::1]:8081:80' -p '[::]:5353:53/udp' -p 127.0.0.1:5354:53/udp
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  [ "$(ports_of c1)" = "8080:80/tcp slirp4netns, IPv4 only
[2001:db8:1::1]:8081:80/tcp relay, without the client's address
[::]:5353:53/udp relay, without the client's address
127.0.0.1:5354:53/udp relay, without the client's address" ]
  run -0 as_user "$OCINET" inspect --json c1
  jq -e '.[0].ports | map([.driver, .keepsClientAddress]) ==
    [["slirp4netns", true], ["relay", false], ["relay", false], ["relay", false]]' <<<"$output"
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 2001:db8:1::1 8081 in_peer)" = 10.0.2.100 ]
  [ "$(ask udp 2001:db8:1::1 5353 in_peer)" = 10.0.2.100 ]
  [ "$(ask udp 127.0.0.1 5354 in_host)" = 10.0.2.100 ]
  unanswered tcp 192.0.2.1 8081 in_peer
  unanswered udp 192.0.2.1 5353 in_peer
  stop_background
  delete_container c1
  wait_for no_processes
  is_gone c1
}

@test "a server is told who connects, by either version of the PROXY protocol" {
  launch c1 --uplink slirp4netns --proxy-protocol v1 -p 8080:80
  run -0 port add --proxy-protocol v2 c1 8081:80
  [ "$output" = "8080:80/tcp relay, the client's address by PROXY protocol v1
8081:80/tcp relay, the client's address by PROXY protocol v2" ]
  run -0 as_user "$OCINET" inspect --json c1
  jq -e '.[0].ports | map(.proxyProtocol) == ["v1", "v2"]' <<<"$output"
  background proxy in_container c1 haproxy -db -f <(haproxy_config)
  wait_for in_container c1 sh -c 'ss -Hltn "sport = :80" | grep -q .'
  local port
  for port in 8080 8081; do
    [ "$(in_peer curl -s -m 20 "http://192.0.2.1:$port/")" = "192.0.2.2 192.0.2.1 $port" ]
    [ "$(in_peer curl -s -m 20 "http://[2001:db8:1::1]:$port/")" = "2001:db8:1::2 2001:db8:1::1 $port" ]
  done
  run -1 port add --proxy-protocol v2 c1 5353:53/udp
  [[ $output == 'ocinet: Cannot publish "5353:53/udp" with --proxy-protocol: '*"; publish it without" ]]
}

haproxy_config() {
  cat <<'CONFIG'
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 30s
frontend who
  bind :::80 v4v6 accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[dst] %[dst_port]"
CONFIG
}

@test "slirp4netns: ports come and go while the container runs" {
  launch c1 --uplink slirp4netns -p 8080:80
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  in_host ip address add 192.0.2.9/24 dev eth0
  # Answers come from the address that was asked, where each is published by itself.
  run -0 port add c1 192.0.2.1:5353:53/udp 192.0.2.9:5353:53/udp
  [ "${lines[1]}" = "192.0.2.1:5353:53/udp slirp4netns" ]
  [ "${lines[2]}" = "192.0.2.9:5353:53/udp relay, without the client's address" ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 192.0.2.9 5353 in_peer)" = 10.0.2.100 ]
  run -0 port rm c1 192.0.2.1:5353:53/udp 192.0.2.9:5353:53/udp
  run -0 port add c1 8081:80 5353:53/udp '[2001:db8:1::1]:8082:80'
  [ "${lines[1]}" = "8081:80/tcp slirp4netns, IPv4 only" ]
  [ "${lines[3]}" = "[2001:db8:1::1]:8082:80/tcp relay, without the client's address" ]
  [ "$(ask tcp 192.0.2.1 8081 in_peer)" = 192.0.2.2 ]
  [ "$(ask udp 192.0.2.1 5353 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 2001:db8:1::1 8082 in_peer)" = 10.0.2.100 ]
  run -0 port rm c1 8080:80 '[2001:db8:1::1]:8082:80'
  [ "$output" = "8081:80/tcp slirp4netns, IPv4 only
5353:53/udp slirp4netns, IPv4 only" ]
  [ "$(ask tcp 192.0.2.1 8081 in_peer)" = 192.0.2.2 ]
  unanswered tcp 192.0.2.1 8080 in_peer
  unanswered tcp 2001:db8:1::1 8082 in_peer
  # It runs for its ports alone.
  wait_for no_relay
  # What came lives as long as the others, and longer than slirp4netns.
  local pid
  pid=$(uplink_pids c1 | tail -n 1)
  kill -KILL "$pid"
  wait_for answers 192.0.2.2 tcp 192.0.2.1 8081 in_peer
  unanswered tcp 192.0.2.1 8080 in_peer
}

# answers WHAT tcp|udp ADDRESS PORT PLACE...
answers() { [ "$(ask_within 1 "${@:2}")" = "$1" ]; }

no_relay() { ! processes | grep -w relay; }

@test "pasta: ports come and go while the container runs, by the relay" {
  launch c1 --uplink pasta -p 8080:80
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  run -0 port add c1 8081:80 127.0.0.1:5353:53/udp
  [ "$output" = "8080:80/tcp pasta
8081:80/tcp relay, without the client's address
127.0.0.1:5353:53/udp relay, without the client's address" ]
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 192.0.2.2 ]
  [ "$(ask tcp 192.0.2.1 8081 in_peer)" = 10.0.2.100 ]
  [ "$(ask tcp 2001:db8:1::1 8081 in_peer)" = 10.0.2.100 ]
  [ "$(ask udp 127.0.0.1 5353 in_host)" = 10.0.2.100 ]
  run -1 port add --port-driver uplink c1 8082:80
  [ "$output" = 'ocinet: Cannot publish "8082:80/tcp" without root: pasta takes its ports when it starts' ]
  run -1 port add c1 80:80
  [[ $output == 'ocinet: Cannot publish "80:80/tcp" without root: ports below 1024 are root'*'ip_unprivileged_port_start=80'* ]]
  run -1 port rm c1 8080:80
  [[ $output == 'ocinet: Cannot take away "8080:80/tcp": container "c1" has it by pasta, '*"with --port-driver relay" ]]
  run -0 port rm c1 8081:80
  [ "${#lines[@]}" = 2 ]
  unanswered tcp 192.0.2.1 8081 in_peer
  [ "$(ask udp 127.0.0.1 5353 in_host)" = 10.0.2.100 ]
  stop_background
  delete_container c1
  wait_for no_processes
  [ -z "$(find "$(user_state)/ports" -type f 2>/dev/null)" ]
}

@test "half of a connection may end before the other, much goes through it, and many go at once" {
  launch c1 --uplink slirp4netns --port-driver relay -p 8080:80 -p 8081:81
  background sum in_container c1 socat TCP4-LISTEN:80,fork,reuseaddr SYSTEM:md5sum
  # shellcheck disable=SC2016 # socat's shell
  background slow in_container c1 socat TCP4-LISTEN:81,fork,reuseaddr,backlog=200 SYSTEM:'read -r hello; sleep 1; echo $hello'
  wait_for in_container c1 sh -c 'ss -Hltn "sport = :80 or sport = :81" | wc -l | grep -x 2'
  head -c 50000000 /dev/urandom >"$BATS_TEST_TMPDIR/much"
  local answers
  # socat ends what it sends, and listens on.
  answers=$(in_peer socat -t 60 - TCP4:192.0.2.1:8080 <"$BATS_TEST_TMPDIR/much")
  [ "${answers%% *}" = "$(md5sum <"$BATS_TEST_TMPDIR/much" | cut -d' ' -f1)" ]
  # All are open before the first is answered.
  # shellcheck disable=SC2016 # the inner shell's
  answers=$(in_peer timeout 60 bash -c 'for i in {1..100}; do exec {fd}<>/dev/tcp/192.0.2.1/8081; fds+=("$fd"); done
    for i in {1..100}; do echo "$i" >&"${fds[i-1]}"; done
    for fd in "${fds[@]}"; do head -n 1 <&"$fd"; done')
  [ "$answers" = "$(seq 100)" ]
}

# early_server: answers each client with 10,000 bytes, and closes without having read its request.
# shellcheck disable=SC2016 # perl's
early_server='use IO::Socket::INET; $SIG{CHLD} = "IGNORE";
  my $listener = IO::Socket::INET->new(LocalPort => 80, Listen => 50, ReuseAddr => 1) or die $!;
  while (my $client = $listener->accept) { next if fork; sysread $client, my $byte, 1;
    syswrite $client, "x" x 10000; close $client; exit }'
# early_client: 100 clients of 192.0.2.1:8080 that send a MB and say how much each was answered.
# shellcheck disable=SC2016 # perl's
early_client='use IO::Socket::INET; $SIG{PIPE} = "IGNORE";
  for (1..100) {
    my $server = IO::Socket::INET->new("192.0.2.1:8080") or die $!;
    unless (fork) { syswrite $server, "x" x 1000000; exit }
    my $count = 0; while (my $read = sysread $server, my $part, 65536) { $count += $read }
    print "$count\n"; wait;
  }'

@test "what a server answers arrives whole, though it closes before it has read the request; on Deno, and on Node" {
  local runtime
  for runtime in deno node; do
    OCINET_RUNTIME=$runtime launch "c-$runtime" --uplink slirp4netns --port-driver relay -p 8080:80
    background server in_container "c-$runtime" perl -e "$early_server"
    wait_for in_container "c-$runtime" sh -c 'ss -Hltn "sport = :80" | grep -q .'
    [ "$(in_peer perl -e "$early_client" | sort | uniq -c | tr -s ' ')" = " 100 10000" ]
    stop_background
    delete_container "c-$runtime"
    wait_for no_processes
  done
}

@test "it has no power, nor gets any; and a client that does not read stops its server, and not our memory" {
  launch c1 --uplink slirp4netns --port-driver relay -p 8080:80
  background flood in_container c1 socat -u /dev/zero TCP4-LISTEN:80,reuseaddr
  wait_for in_container c1 sh -c 'ss -Hltn "sport = :80" | grep -q .'
  background idle in_peer bash -c 'exec 5<>/dev/tcp/192.0.2.1/8080; exec sleep 1000'
  wait_for has_come_to_rest
  local pid number=0
  for pid in $(relay_processes); do
    number=$((number + 1))
    [ "$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")" -lt 300000 ]
    grep -x $'NoNewPrivs:\t1' "/proc/$pid/status"
    grep -x $'CapPrm:\t0000000000000000' "/proc/$pid/status"
    grep -x $'CapEff:\t0000000000000000' "/proc/$pid/status"
    [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == *" --no-prompt --allow-read=/"* ]]
    [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") != *" -A "* ]]
  done
  [ "$number" = 2 ]
}

# has_come_to_rest: the server has written much, and nothing more for a moment
has_come_to_rest() {
  local before
  before=$(written)
  sleep 0.3
  ((before > 100000)) && [ "$before" = "$(written)" ]
}

written() { in_container c1 ss -Htni 'sport = :80' | sed -n 's/.*bytes_sent:\([0-9]*\).*/\1/p'; }

# relay_processes: the pids of the two, without those of shells that have their words
relay_processes() {
  local pid
  for pid in $(test_pids); do
    [[ $(readlink "/proc/$pid/exe") != */@(deno|node) ]] || ! grep -zqx relay "/proc/$pid/cmdline" || echo "$pid"
  done
}

@test "each of its processes killed: it is there again, and nothing is left when the container has ended" {
  launch c1 --uplink slirp4netns --port-driver relay -p 8080:80 -p 5353:53/udp
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  local before pid
  before=$(relay_pids c1 | tail -n 1)
  # The one inside, whose end is the other's too.
  kill -KILL "$(relay_processes | grep -vx "$before")"
  wait_for runs_again c1 "$before"
  wait_for answers 10.0.2.100 tcp 192.0.2.1 8080 in_peer
  before=$(relay_pids c1 | tail -n 1)
  kill -KILL "$before"
  wait_for runs_again c1 "$before"
  wait_for answers 10.0.2.100 udp 192.0.2.1 5353 in_peer
  grep "repair c1: relay had ended, and runs again" "$(user_state)/hook.log"
  # Without its keeper it is repaired by hand.
  { read -r pid; read -r before; } < <(relay_pids c1)
  kill -KILL "$pid" "$before"
  wait_for gone "$before"
  [ "$(reason_of c1)" = "its relay has ended; ocinet repair c1 starts it again" ]
  run -0 as_user "$OCINET" repair c1
  [ "$output" = "c1: relay had ended, and runs again" ]
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 10.0.2.100 ]
  # Or by any call that comes by.
  { read -r pid; read -r before; } < <(uplink_pids c1)
  kill -KILL "$pid" "$before"
  wait_for gone "$before"
  [ "$(reason_of c1)" = "its slirp4netns has ended; ocinet repair c1 starts it again" ]
  as_user "$OCINET" run --net none true
  [ "$(state_of c1)" = up ]
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 10.0.2.100 ]
  stop_background
  # As when the runtime is gone too.
  kill -KILL "$(container_pid c1)"
  wait_for no_processes || fail "It leaves:" "$(processes)"
  delete_container c1
  is_gone c1
}

reason_of() { as_user "$OCINET" inspect --json "$1" | jq -r '.[0].reason'; }
state_of() { as_user "$OCINET" inspect --json "$1" | jq -r '.[0].state'; }
runs_again() { [ "$(relay_pids "$1" | tail -n 1)" != "$2" ] && [ "$(state_of "$1")" = up ]; }

@test "what it cannot forward is refused before anything is made, with the remedy" {
  refused c1 --port-driver relay -p 80:80
  [[ $output == *"ports below 1024 are root's; take a higher one, have root set sysctl net.ipv4.ip_unprivileged_port_start=80, or have root grant it through ocinet helper"* ]]
  refused c1 --port-driver relay --rate-in 10mbit -p 8080:80
  [[ $output == *"what the relay forwards does not pass the link that --rate-in holds"* ]]
  background other in_host socat TCP6-LISTEN:8080,ipv6only=1,fork,reuseaddr SYSTEM:true
  wait_for in_host sh -c 'ss -Hltn "sport = :8080" | grep -q .'
  refused c1 --uplink slirp4netns -p '[2001:db8:1::1]:8080:80'
  [[ $output == *'Cannot publish "[2001:db8:1::1]:8080:80/tcp": a process of another user listens on it'* ]]
  stop other
  # Free when it is looked at, and no address of the host's.
  refused c1 --port-driver relay -p 192.0.2.77:8080:80
  [[ $output == *"ocinet: Cannot "*"192.0.2.77"* ]]
  wait_for no_processes
}

@test "options that contradict each other, or mean nothing, are refused" {
  run ! as_user "$OCINET" run --port-driver socat -- true
  [[ $output == *'Cannot use --port-driver "socat": there are uplink, relay' ]]
  run ! as_user "$OCINET" run --proxy-protocol v3 -- true
  [[ $output == *'Cannot use --proxy-protocol "v3": there are v1, v2' ]]
  OCINET_RUNTIME=$("$PROJECT/scripts/runtime" deno 2.0.0) run ! as_user "$OCINET" run --port-driver relay -p 8080:80 -- true
  [[ $output == 'ocinet: Cannot publish "8080:80/tcp" without root: Deno 2.0.0 cannot pass on sockets; install Deno 2.8 or later, or set OCINET_RUNTIME=node' ]]
  run ! as_user "$OCINET" run --proxy-protocol v1 --port-driver uplink -- true
  [[ $output == *"Cannot use --proxy-protocol with --port-driver=uplink: only the relay writes it; leave --port-driver out" ]]
  in_host ip netns add box
  run -1 ocinet up --port-driver relay -p 8080:80 /run/netns/box
  [[ $output == "ocinet: Cannot use --port-driver as root: nft leads root's ports, "* ]]
  in_host ip netns delete box
}

@test "crun, default-restricted, an annotation, and Node: the relay works alike" {
  export OCINET_RUNTIME=node RUNTIME=crun
  bundle c1 --net default-restricted -p 8080:80 -p '[2001:db8:1::1]:5353:53/udp'
  set_config "$(path_of c1)" '.annotations["org.ocinet.port-driver"] = "relay"'
  start_container c1 "$(path_of c1)"
  serve tcp 80 in_container c1
  serve udp 53 in_container c1
  [ "$(ask tcp 192.0.2.1 8080 in_peer)" = 10.0.2.100 ]
  [ "$(ask tcp 2001:db8:1::1 8080 in_peer)" = 10.0.2.100 ]
  [ "$(ask udp 2001:db8:1::1 5353 in_peer)" = 10.0.2.100 ]
  local pid
  pid=$(relay_pids c1 | tail -n 1)
  kill -KILL "$pid"
  wait_for answers 10.0.2.100 tcp 192.0.2.1 8080 in_peer
  wait_for runs_again c1 "$pid"
  port rm c1 8080:80
  unanswered tcp 192.0.2.1 8080 in_peer
  stop_background
  delete_container c1
  wait_for no_processes
}

@test "a command that ocinet runs has its ports by it too" {
  background web as_user "$OCINET" run --port-driver relay -p '[::1]:8080:80' -- \
    socat TCP4-LISTEN:80,fork,reuseaddr SYSTEM:"echo hello"
  wait_for greets
  stop web
  wait_for no_processes
}

greets() { [ "$(in_host socat -u 'TCP6:[::1]:8080' - 2>/dev/null)" = hello ]; }
