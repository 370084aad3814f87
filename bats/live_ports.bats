#!/usr/bin/env bats
# Ports of containers that run: published, listed and taken away while others stay.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

@test "a port comes and goes while the container runs, and the others stay" {
  network blue.conf blue bridge 10.1.1.0/24,fd00:1::/64
  launch a runc --net blue -p 8080:80
  serve tcp 80 in_container a
  serve udp 53 in_container a
  run -0 ocinet port add a 8081:80 127.0.0.1:8082:80 5353:53/udp
  equal "8080:80/tcp nftables
8081:80/tcp nftables
127.0.0.1:8082:80/tcp nftables
5353:53/udp nftables" "$output"
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8081 in_peer)"
  equal 2001:db8:1::2 "$(ask tcp 2001:db8:1::1 8081 in_peer)"
  equal 192.0.2.2 "$(ask udp 192.0.2.1 5353 in_peer)"
  ask tcp 127.0.0.1 8082 in_host
  equal "$(ocinet inspect a | jq -c '.[0].ports')" "$(ocinet port ls --json a | jq -c .)"
  run -0 ocinet port rm a 8081:80 8080:80/tcp
  equal "127.0.0.1:8082:80/tcp 5353:53/udp" "$(xargs <<<"${output// nftables/}")"
  unanswered tcp 192.0.2.1 8080 in_peer
  unanswered tcp 192.0.2.1 8081 in_peer
  ask tcp 127.0.0.1 8082 in_host
  ask udp 192.0.2.1 5353 in_peer
  # Another container may have them now.
  launch b crun --net blue -p 8080-8081:80-81
  delete_container a
  delete_container b
  equal "" "$(find "$STATE_DIR/ports" -type f 2>/dev/null)"
  own_elements && fail "elements are left"
  true
}

@test "what cannot be added or taken away is said, and nothing changes" {
  launch a runc -p 8080:80
  launch b runc -p 8081:80
  background listener in_host socat TCP4-LISTEN:9000,fork SYSTEM:cat
  wait_for in_host sh -c 'ss -Hltn "sport = :9000" | grep -q .'
  local before
  before=$(in_host nft list ruleset)
  says 'Cannot publish "8080:81/tcp": container "a" publishes it already, as "8080:80/tcp"' 1 add a 8080:81
  says 'Cannot publish "8081:80/tcp": container "b" has it' 1 add a 8090:80 8081:80
  says 'Cannot publish "9000:80/tcp": process ' 1 add a 9000:80
  says 'Cannot take away "8081:80/tcp": container "a" does not publish it (it publishes: 8080:80/tcp)' 1 rm a 8081:80
  says 'Cannot change the ports of container "none": it is not attached; see ocinet ls' 1 add none 1:1
  says 'Cannot use container id "../a": ' 2 add ../a 1:1
  says 'Cannot publish "x": it is not [HOSTIP:]HOSTPORT' 2 add a x
  says 'Cannot take away port 9090: it is not published; these are: 8080:80/tcp' 1 rm a 9090
  says 'Cannot do "ocinet port add 8081:81 a": the container comes first, then its ports' 2 add 8081:81 a
  says 'Cannot do "ocinet port add": it needs ports' 2 add a
  says 'Cannot do "ocinet port open": it is not one of add, rm, ls' 2 open a 1:1
  equal "$before" "$(in_host nft list ruleset)"
  equal "8080:80/tcp nftables" "$(ocinet port ls a)"
  equal "8080:80/tcp nftables" "$(ocinet port a)"
}

# says MESSAGE STATUS WORDS...: of `ocinet port`
says() {
  run "-$2" --separate-stderr ocinet port "${@:3}"
  [[ $stderr == "ocinet: $1"* ]] || fail "$stderr"
}

@test "a dry run tells what would change" {
  launch a runc
  run -0 ocinet port add --dry-run a 8080:80
  [[ $output == *"create element inet ocinet ports4 "*8080* ]] || fail "$output"
  equal "" "$(ocinet port ls a)"
}

@test "a port that came while the container ran goes with it, however it goes" {
  launch a runc
  ocinet port add a 8080:80/udp
  kill_container a
  run -0 ocinet gc
  equal "" "$(find "$STATE_DIR/ports" -type f 2>/dev/null)"
  delete_container a
}
