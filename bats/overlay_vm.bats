#!/usr/bin/env bats
# Overlay networks with what a cut-down kernel lacks.
# shellcheck disable=SC2034 # for overlay.bash
load lib
load overlay

setup() {
  PROJECT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  OCINET=$PROJECT/dist/ocinet
  # The machine is emulated.
  MEMBER_SETTINGS='{ "leaseSeconds": 120 }'
  make_cluster 2
}
teardown() {
  [ -n "${BATS_TEST_COMPLETED-}" ] || tell_first_try
  remove_cluster
}

@test "an SCTP port of a service leads to its members on either host, with the client's address" {
  start_agent 1
  start_agent 2
  # This port is a program's of host 1.
  started taken ip netns exec "$LAN-h1" socat SCTP-LISTEN:9001,fork EXEC:cat
  oci 1 cluster create --subnet 10.9.0.0/24 shop
  local i
  for i in 1 2; do
    up "$i" "c${i}1" shop --service web --publish-mesh 9000:90/sctp,9001:90/sctp
    started "server$i" ip netns exec "$LAN-c${i}1" socat SCTP4-LISTEN:90,fork,reuseaddr "SYSTEM:echo c${i}1 \$SOCAT_PEERADDR"
  done
  for i in 1 2; do wait_for both_answer "192.0.2.$i"; done
  wait_for grep -q 'Cannot lead port 9001/sctp to service "web" on this host' "$BATS_TEST_TMPDIR/agent1.log"
  on 2 nft list chain inet ocinet_mesh ports | grep -q "sctp dport 9001"
  run ! on 1 sh -c 'nft list chain inet ocinet_mesh ports | grep "sctp dport 9001"'
}

# both_answer HOST: each member, of two connections; SCTP has none that is half closed
both_answer() {
  local i
  [ "$(for i in 1 2; do
    timeout 30 ip netns exec "$LAN" socat -u "SCTP4:$1:9000,connect-timeout=10" -
  done | sort)" = $'c11 192.0.2.254\nc21 192.0.2.254' ]
}
