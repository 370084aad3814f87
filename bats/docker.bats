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
  in_host mount -t tmpfs tmpfs /etc/docker
  in_host mount -t tmpfs tmpfs /var/lib/ocinet
  in_host mkdir -p /run/docker/plugins
}

teardown() {
  tear_down_docker
  tear_down_hosts
}

start_plugin() {
  background plugin in_host setpriv --no-new-privs --bounding-set=-all,+net_admin,+net_raw,+sys_admin,+sys_ptrace \
    "$OCINET" docker-plugin --data "$DATA"
  wait_for grep -q listening "$BATS_TEST_TMPDIR/plugin.log"
}

stop_plugin() {
  stop plugin
  rm "$BATS_TEST_TMPDIR/plugin.log"
}

peer_gets() {
  [ "$(printf 'GET /hostname HTTP/1.0\r\n\r\n' | in_peer socat -t 20 - "TCP:192.0.2.1:$1" 2>/dev/null | tail -n 1)" = "$2" ]
}

# named CONTAINER NAME: its addresses, as Docker's DNS says them; sorted, as Docker shuffles them
named() { docker exec "$1" nslookup "$2" 127.0.0.11 | awk '/^Name:/ { name = 1 } name && /^Address:/ { print $2 }' | sort | xargs; }

endpoints() { find "$STATE_DIR/docker" -name '*.json' 2>/dev/null | wc -l; }

files() { find "$DATA" "$STATE_DIR" -type f ! -path '*/locks/*' ! -path '*/lasting/*' 2>/dev/null; }

links() { in_host ip -o link | awk -F': ' '{ print $2 }' | grep -E '^(br-|dk|veth)' | sort; }

@test "dockerd: containers are on networks of ours, through restarts of either, and nothing stays" {
  start_plugin
  start_dockerd --iptables=true
  equal "" "$(files)$(links)"
  docker network create -d ocinet --ipam-driver ocinet --ipv6 --subnet 10.60.0.0/24 --subnet fd00:60::/64 shop
  docker network create -d ocinet --internal -o type=bridge --subnet 10.61.0.0/24 back
  run -0 docker network inspect shop back
  jq -e '.[0].Driver == "ocinet" and .[1].Internal' <<<"$output"
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
  equal "10.60.0.2 fd00:60::2" "$(named db api)"
  # busybox's wget is killed by a fault of its own now and then.
  equal web "$(docker exec db sh -c 'printf "GET /hostname HTTP/1.0\r\n\r\n" | nc -w 20 10.60.0.2 80 | tail -n 1')"
  docker exec db ping -q -c 1 -W 20 fd00:60::2
  wait_for peer_gets 8080 web
  run ! docker run --rm --network shop -p 8080:80 box true
  [[ $output == *'Cannot publish port 8080/tcp: container "'*'" has it'* ]]

  # Connect and disconnect.
  docker network connect --alias store back db
  docker network connect back web
  equal 10.61.0.2 "$(named web store)"
  docker exec web ping -q -c 1 -W 20 10.61.0.2
  docker exec web ip -o address show eth1 | grep -q 'inet 10.61.0.3/24'
  run ! docker network rm back
  [[ $output == *"has active endpoints"* ]]
  equal 4 "$(endpoints)"
  docker network disconnect back web
  docker exec web sh -c '! ip link show eth1 2>/dev/null'
  peer_gets 8080 web
  # A container reaches its own port by the host's address; a network's option binds ports to one.
  equal web "$(docker exec web sh -c 'printf "GET /hostname HTTP/1.0\r\n\r\n" | nc -w 20 192.0.2.1 8080 | tail -n 1')"
  docker network create -d ocinet -o com.docker.network.bridge.host_binding_ipv4=127.0.0.1 --subnet 10.66.0.0/24 near
  docker_run till --network near -p 8081:80 -- httpd -f -p 80 -h /etc
  wait_for ask_within 2 tcp 127.0.0.1 8081 in_host
  unanswered tcp 192.0.2.1 8081 in_peer
  docker rm -f till
  docker network rm near

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

# From the protocol alone: a driver whose links are ports of a bridge of its own, over TLS with certificates of both
# sides. It logs what it is asked.
small_plugin() {
  cat <<'PYTHON'
import http.server, ipaddress, json, ssl, subprocess, sys

def ip(*words):
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)

class Plugin(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        ask = json.loads(text or "{}")
        method = self.path[1:].split(".")[-1]
        print(method, flush=True)
        try:
            answer = getattr(self, method)(ask) or {}
        except Exception as error:
            answer = {"Err": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words): pass
    def Activate(self, ask): return {"Implements": ["NetworkDriver"]}
    def GetCapabilities(self, ask): return {"Scope": "local"}
    def CreateNetwork(self, ask):
        if "refuse" in ask["Options"]["com.docker.network.generic"]:
            raise Exception("no more bridges")
        ip("link", "add", "small0", "type", "bridge")
        ip("link", "set", "dev", "small0", "up")
        ip("address", "add", ask["IPv4Data"][0]["Gateway"], "dev", "small0")
    def DeleteNetwork(self, ask): ip("link", "del", "dev", "small0")
    def CreateEndpoint(self, ask):
        name = ask["EndpointID"][:7]
        ip("link", "add", "s" + name, "type", "veth", "peer", "name", "t" + name)
        ip("link", "set", "dev", "s" + name, "master", "small0", "up")
    def Join(self, ask):
        return {"InterfaceName": {"SrcName": "t" + ask["EndpointID"][:7], "DstPrefix": "small"}, "Gateway": "10.62.0.1",
                "StaticRoutes": [{"Destination": "10.63.0.0/16", "RouteType": 0, "NextHop": "10.62.0.1"}]}
    def ProgramExternalConnectivity(self, ask): pass
    def RevokeExternalConnectivity(self, ask): pass
    def Leave(self, ask): pass
    def DeleteEndpoint(self, ask):
        subprocess.run(["ip", "link", "del", "dev", "s" + ask["EndpointID"][:7]], capture_output=True)

context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile="ca.pem")
context.load_cert_chain("server.pem", "server.key")
context.verify_mode = ssl.CERT_REQUIRED
server = http.server.HTTPServer(("127.0.0.1", 7443), Plugin)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PYTHON
}

start_small_plugin() {
  local at=$BATS_TEST_TMPDIR/small name
  mkdir -p "$at"
  if [ ! -e "$at/ca.pem" ]; then
    small_plugin >"$at/plugin.py"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout "$at/ca.key" \
      -out "$at/ca.pem" 2>/dev/null
    for name in server client; do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$at/$name.key" \
        -out "$at/$name.csr" 2>/dev/null
      openssl x509 -req -in "$at/$name.csr" -CA "$at/ca.pem" -CAkey "$at/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$at/$name.pem" 2>/dev/null
    done
    in_host mkdir /etc/docker/plugins
    jq -n --arg at "$at" '{ Name: "small", Addr: "https://localhost:7443", TLSConfig: { InsecureSkipVerify: false,
      CAFile: "\($at)/ca.pem", CertFile: "\($at)/client.pem", KeyFile: "\($at)/client.key" } }' |
      in_host tee /etc/docker/plugins/small.json >/dev/null
  fi
  background small in_host env -C "$at" python3 plugin.py
  wait_for in_host sh -c 'ss -ltn | grep -q 127.0.0.1:7443'
}

asked() { tr '\n' ' ' <"$BATS_TEST_TMPDIR/small.log"; }

both_plugins() {
  export OCINET_RUNTIME=$1
  start_small_plugin
  start_plugin
  # A driver over TLS with our addresses; ours as Docker's plugin for both; and our bridge with its addresses.
  ocinet network create -d small --subnet 10.62.0.0/24 -o a=b small
  ocinet network create -d ocinet --ipam-driver ocinet -o type=bridge --subnet 10.64.0.0/24 ours
  ocinet network create --ipam-driver ocinet --subnet 10.65.0.0/24 mixed
  equal "Activate GetCapabilities CreateNetwork " "$(asked)"
  run ! ocinet network create -d small -o refuse= other
  [[ $output == *"remote: no more bridges"* ]]
  run ! ocinet network create -d nosuch other
  [[ $output == *'could not find a network driver "nosuch"'*"/run/docker/plugins"* ]]
  equal "ocinet ocinet 10.64.0.1" "$(ocinet network inspect ours --format \
    '{{.Driver}} {{.IPAM.Driver}} {{(index .IPAM.Config 0).Gateway}}')"
  : >"$BATS_TEST_TMPDIR/small.log"
  launch web runc --net small -p 8080:80
  equal "Activate CreateEndpoint Join ProgramExternalConnectivity " "$(asked)"
  launch db runc --net ours
  # What gives its address back after a reboot, until it is given back.
  equal 1 "$(in_host grep -l ReleaseAddress.*10.64.0.2 -r /var/lib/ocinet/leases | wc -l)"
  launch lone runc --net mixed
  equal "eth0 10.62.0.2/24" "$(addresses web)"
  equal "10.62.0.1 eth0" "$(default_routes web)"
  in_container web ip route | grep -q '^10.63.0.0/16 via 10.62.0.1 dev eth0'
  reaches 10.62.0.1 in_container web
  equal "eth0 10.64.0.2/24" "$(addresses db)"
  reaches 10.64.0.1 in_container db
  equal "eth0 10.65.0.2/24" "$(addresses lone)"
  reaches 198.51.100.1 in_container lone
  # Live, and by name.
  ocinet network connect --alias store small db
  reaches 10.62.0.2 in_container db
  equal "10.62.0.3 store" "$(exec_container web grep -w store /etc/hosts | awk '{ print $1, $NF }')"
  ocinet network disconnect small db
  equal "eth0 10.64.0.2/24" "$(addresses db)"
  # A plugin that is away when a container ends is told by gc.
  stop small
  delete_container web
  : >"$BATS_TEST_TMPDIR/small.log"
  start_small_plugin
  ocinet gc
  equal "RevokeExternalConnectivity Leave DeleteEndpoint " "$(asked)"
  delete_container db
  delete_container lone
  ocinet network rm small ours mixed
  in_host test ! -e /var/lib/ocinet/leases
  equal "" "$(files | grep -v '/resolver/\|lasting\|hook.log')"
  ocinet gc
  equal "" "$(links)"
  stop small
  stop_plugin
}

bats_test_function --description "containers are on networks of Docker's plugins, by socket and over TLS (deno)" -- both_plugins deno
bats_test_function --description "containers are on networks of Docker's plugins, by socket and over TLS (node)" -- both_plugins node
