#!/usr/bin/env bats
# Docker's plugins both ways: a real dockerd has networks of ours, and we have networks of plugins of Docker's.
# shellcheck disable=SC2154 # what run sets
load lib
load contained
load docker

setup() {
  set_up_hosts
  DATA=$BATS_TEST_TMPDIR/data
  in_host sysctl -q net.ipv4.ip_forward=1
  in_host mkdir -p /run/docker/plugins
}

start_plugin() {
  background plugin in_host "$OCINET" docker-plugin --data "$DATA"
  wait_for grep -q listening "$BATS_TEST_TMPDIR/plugin.log"
}

stop_plugin() {
  stop plugin
  rm "$BATS_TEST_TMPDIR/plugin.log"
}

peer_gets() { [ "$(in_peer busybox wget -T 5 -q -O - "http://192.0.2.1:$1/hostname" 2>/dev/null)" = "$2" ]; }

endpoints() { find "$STATE_DIR/docker" -name '*.json' 2>/dev/null | wc -l; }

files() { find "$DATA" "$STATE_DIR" -type f ! -path '*/locks/*' 2>/dev/null; }

links() { in_host ip -o link | awk -F': ' '{ print $2 }' | grep -E '^(br-|dk|veth)' | sort; }

@test "dockerd: containers are on networks of ours, through restarts of either, and nothing stays" {
  start_plugin
  start_dockerd --iptables=true
  equal "" "$(files)$(links)"
  docker network create -d ocinet --ipam-driver ocinet --ipv6 --subnet 10.60.0.0/24 --subnet fd00:60::/64 shop
  docker network create -d ocinet --internal -o type=bridge --subnet 10.61.0.0/24 back
  run -0 docker network inspect shop back
  jq -e '.[0].IPAM.Config[0].Gateway == "10.60.0.1/24" and .[0].Driver == "ocinet" and .[1].Internal' <<<"$output"
  run ! docker network create -d ocinet --subnet 10.60.0.0/25 other
  [[ $output == *"overlaps"* || $output == *"has its bridge or subnet"* ]]
  run ! docker network create -d ocinet -o nosuch=1 other
  [[ $output == *'remote: Cannot use option "nosuch"'* ]]

  # Addresses, routes, names, ports.
  docker_run web --network shop --network-alias api -p 8080:80 -- httpd -f -p 80 -h /etc
  docker_run db --network shop --ip 10.60.0.9 -- sleep 1000
  equal "default via 10.60.0.1 dev eth0" "$(docker exec web ip route | sed -n '/default/s/ *$//p')"
  docker exec web ip -o address show eth0 | grep -q 'inet 10.60.0.2/24'
  docker exec web ip -o address show eth0 | grep -q 'inet6 fd00:60::2/64'
  equal web "$(docker exec db wget -T 20 -q -O - http://api/hostname)"
  docker exec db ping -q -c 1 -W 20 fd00:60::2
  wait_for peer_gets 8080 web
  run ! docker run --rm --network shop -p 8080:80 box true
  [[ $output == *"port is already allocated"* ]]

  # Connect and disconnect.
  docker network connect --alias store back db
  docker network connect back web
  equal db "$(docker exec web sh -c 'ping -q -c 1 -W 20 store >/dev/null && echo db')"
  docker exec web ip -o address show eth1 | grep -q 'inet 10.61.0.3/24'
  run ! docker network rm back
  [[ $output == *"has active endpoints"* ]]
  equal 4 "$(endpoints)"
  docker network disconnect back web
  docker exec web sh -c '! ip link show eth1 2>/dev/null'
  peer_gets 8080 web

  # The plugin is started again: nothing of it is felt, and it knows all.
  stop_plugin
  peer_gets 8080 web
  start_plugin
  docker_run late --network shop -- sleep 1000
  docker exec late ping -q -c 1 -W 20 10.60.0.9
  docker rm -f late

  # dockerd is: what it ended itself is gone, and comes back as it was.
  end_dockerd TERM
  equal 0 "$(endpoints)"
  start_dockerd
  docker start web db
  wait_for peer_gets 8080 web
  # Both are, and dockerd was killed with all its containers: their endpoints go when it has new ones.
  end_dockerd KILL
  stop_plugin
  start_plugin
  equal 0 "$(endpoints)"
  start_dockerd
  docker start web
  wait_for peer_gets 8080 web
  docker exec web ip -o address show eth0 | grep -q 'inet 10.60.0.2/24'
  # The plugin comes after dockerd.
  stop_plugin
  end_dockerd TERM
  start_dockerd
  start_plugin
  docker start web
  wait_for peer_gets 8080 web

  docker rm -f web db
  docker network rm shop back
  equal "" "$(files)"
  equal "" "$(links)"
  end_dockerd TERM
  stop_plugin
  ocinet gc
  run ! own_elements
}
