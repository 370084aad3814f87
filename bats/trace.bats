#!/usr/bin/env bats
# `ocinet trace` on one container, on which one thing after the other is broken: it names that thing and its remedy, and
# nothing else; then the remedy is done, and it is content.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

# traced WORDS...: "LAYER: FOUND" of each hop of a that is wrong; their remedies are in $BATS_TEST_TMPDIR/remedies
traced() {
  local status=0 said
  said=$(ocinet trace --json a "$@") || status=$?
  jq -r '.[] | select(.ok | not) | .remedy' <<<"$said" >"$BATS_TEST_TMPDIR/remedies"
  jq -r '.[] | select(.ok | not) | "\(.layer): \(.found)"' <<<"$said" | tee "$BATS_TEST_TMPDIR/wrong"
  if [ -s "$BATS_TEST_TMPDIR/wrong" ]; then ((status == 1)); else ((status == 0)); fi || fail "status $status of $said"
}

# mended: what trace says to do is done, with the program under test
mended() {
  local remedy
  while read -r remedy; do
    in_host sh -c "$(sed -E "s|; look for .*||; s|, or ocinet.*||; s|; then |; |; s|ocinet repair|'$OCINET' repair|" <<<"$remedy")"
  done <"$BATS_TEST_TMPDIR/remedies"
}

# broken EXPECTED WORDS...: trace says so, and nothing else, so that what was broken before is mended; its remedies are done
broken() {
  equal "$1" "$(traced "${@:2}")"
  mended
}

# counts: something went into and out of a
counts() {
  ocinet top --json --interval 0.1 | jq -e '.[0] | .id == "a" and .network == "blue" and .ifname == "eth0" and .rxBytes > 0 and
    .txBytes > .txPackets and .rxPackets > 0 and .txDropped >= 0'
}

@test "trace tells what is wrong on the way, one thing after the other" {
  network blue.conf blue bridge 10.1.1.0/24
  launch a runc --net blue -p 8080:80
  serve tcp 80 in_container a
  local before
  before=$(in_host sh -c 'nft list ruleset; ip route; ip link; ip address')
  equal "" "$(traced)"
  equal "" "$(traced :8080)"
  equal "$before" "$(in_host sh -c 'nft list ruleset; ip route; ip link; ip address')"

  in_container a ip link set eth0 down
  broken "interface: down"
  in_container a ip route del default
  broken "route: no route"
  in_host ip link set blue0 down
  broken "bridge: down"
  in_host ip address del 10.1.1.1/24 dev blue0
  broken "gateway: no address"
  in_host nft flush set inet ocinet masquerade4
  broken "rules: missing from masquerade4"
  in_host nft flush chain inet ocinet postrouting
  broken "rules: without a rule: postrouting"
  in_host sysctl -qw net.ipv4.ip_forward=0
  broken "forwarding: off by net.ipv4.ip_forward"
  in_host sysctl -qw net.ipv4.conf.blue0.forwarding=0
  broken "forwarding: off by net.ipv4.conf.blue0.forwarding"
  in_host nft flush map inet ocinet ports4
  broken "port: leads nowhere" :8080
  equal "" "$(traced 192.0.2.2)"
  equal 192.0.2.2 "$(ask tcp 192.0.2.1 8080 in_peer)"

  stop tcp4-80
  stop tcp6-80
  equal "listener: no process listens" "$(traced :8080)"
  background lonely in_container a socat TCP4-LISTEN:80,fork,bind=127.0.0.1 SYSTEM:cat
  wait_for in_container a sh -c 'ss -Hltn "sport = :80" | grep -q .'
  equal "listener: 127.0.0.1:80" "$(traced :8080)"
  stop lonely
  background holder in_host socat TCP4-LISTEN:8080,fork SYSTEM:cat
  wait_for in_host sh -c 'ss -Hltn "sport = :8080" | grep -q .'
  [[ "$(traced :8080)" == "host service: process "*" (socat) listens"*"listener: no process listens" ]]
  stop holder

  # What comes and goes is counted as the container sees it, whatever else is asked of it meanwhile.
  background sender in_peer sh -c 'while :; do busybox ping -q -c 1 -s 1000 -W 1 192.0.2.1; done'
  background answering in_container a sh -c 'while :; do busybox ping -q -c 1 -s 1000 -W 1 192.0.2.2; done'
  wait_for counts
  local runtime said
  for runtime in deno node; do
    # script(1) has a terminal for it, and gives it q; what stty says of that is the same afterwards.
    said=$(OCINET_RUNTIME=$runtime in_host script -qec "stty rows 24 columns 100; stty -a; '$OCINET' top; stty -a" /dev/null < <(printf q) | tr -d '\r')
    [[ $said == *$'\e[?1049h\e[?25l\e[HID '*$'\na   blue     eth0 '*$'\e[J'*$'\e[?25h\e[?1049l'* ]] || fail "$said"
    equal "$(sed '1,/\x1b\[?25l/!d; s/\x1b.*//; s/^q//' <<<"$said")" "$(sed -n '/\x1b\[?1049l/,$p' <<<"$said" | sed 's/.*\x1b\[?1049l//')"
  done
  stop answering
  stop sender

  delete_container a
  run ! ocinet trace a
  [[ $output == 'ocinet: Cannot trace from or to container "a": it is not attached; see ocinet ls' ]]
}
