#!/usr/bin/env bats
# What a hostile user tries with root's service: all is refused and logged, and the service lives on.
# shellcheck disable=SC2154 # what run sets
load lib
load rootless
load helper

setup() {
  set_up_hosts
  OTHER=$(id -u nobody)
}

teardown() {
  # However often it was asked, it is there, and serves.
  local status=0
  if [ -n "${BATS_TEST_COMPLETED-}" ] && [ -e "$BATS_TEST_TMPDIR/background/helper" ]; then
    says_to_helper '{"do":"show"}' | jq -e .return || status=1
  fi
  tear_down_hosts || status=1
  rm -rf "/tmp/ocinet-$(user_id)"
  return "$status"
}

# attach PID [MORE]: asks for it, with more members of the request
attach() { says_to_helper "{\"do\":\"attach\",\"id\":\"box\",\"pid\":$1,\"ifname\":\"eth0\"${2:+,$2}}"; }

# refuses REASON COMMAND...: the answer has the reason, and so has the log
refuses() {
  local reason=$1 logged
  shift
  logged=$(helper_log | wc -l)
  run -0 "$@"
  [[ $(jq -er .error.desc <<<"$output") == *"$reason"* ]] || fail "answered: $output"
  wait_for logged_since "$logged" || fail "not logged: $reason" "$(helper_log)"
}
logged_since() { helper_log | tail -n +"$(($1 + 1))" | grep -q refused; }

# as_other COMMAND...: in the host as another user
as_other() { in_host setpriv --reuid "$OTHER" --regid "$OTHER" --clear-groups -- "$@"; }

@test "only a namespace of the user's own is attached, and the answer tells nothing of others" {
  start_helper "TEST_USER veth ocinet0 2"
  background other as_other unshare --user --map-root-user --net sh -c 'echo ready; exec sleep 1000'
  background roots in_host unshare --net sh -c 'echo ready; exec sleep 1000'
  background hosts as_user sh -c 'echo ready; exec sleep 1000'
  # The user namespace is the user's, but not the network namespace; and the other way round no user can have it.
  background half as_user unshare --user --map-root-user sh -c 'echo ready; exec sleep 1000'
  background made in_host unshare --user --net sh -c 'echo ready; exec sleep 1000'
  local name pid
  for name in roots made; do wait_for grep -qs ready "$BATS_TEST_TMPDIR/$name.log"; done
  for name in uid gid; do echo "0 $(user_id) 1" >"/proc/$(holder_of made)/${name}_map"; done
  # Of these the user is the asking one, but neither namespace: root has made them, and let the user in.
  background mapped in_host nsenter --target "$(holder_of made)" --user --net --setuid 0 --setgid 0 -- sh -c 'echo ready; exec sleep 1000'
  background entered in_host nsenter --net="/proc/$(holder_of roots)/ns/net" \
    setpriv --reuid "$(user_id)" --regid "$(user_id)" --clear-groups -- sh -c 'echo ready; exec sleep 1000'
  for name in other roots hosts half mapped entered; do wait_for grep -qs ready "$BATS_TEST_TMPDIR/$name.log"; done
  for pid in 1 2 4194304 "$(helper_pid)" $(for name in other roots hosts half mapped entered; do holder_of $name; done); do
    refuses "" attach "$pid"
    [ "$(jq -r .error.desc <<<"$output")" = "Cannot attach process $pid: it is not one whose network namespace belongs to a user namespace of yours" ]
  done
  nothing_attached
  [ "$(stat -c %u "/proc/$(holder_of mapped)")" = "$(user_id)" ]
  # One in a user namespace in the user's own is the user's.
  background nested as_user unshare --user --map-root-user unshare --user --map-root-user --net sh -c 'echo ready; exec sleep 1000'
  wait_for grep -qs ready "$BATS_TEST_TMPDIR/nested.log"
  attach "$(holder_of nested)" | jq -e .return
}

@test "sockets are each user's own, and whose directory is root's" {
  start_helper "TEST_USER veth ocinet0 2" "$OTHER veth ocinet0 2" "no-such-user veth ocinet0 2" "root veth ocinet0 2"
  run -0 in_host sh -c 'cd /run/ocinet-helper && stat -c "%n %u %a" * .'
  [[ $output == *"$(user_id) $(user_id) 600"*". 0 755" ]]
  run ! grep '^0 ' <<<"$output"
  helper_log | grep 'passes over "no-such-user" in the policy: there is no user of that name'
  run ! as_other sh -c "echo '{\"do\":\"show\"}' | socat - UNIX-CONNECT:$(helper_socket)"
  [[ $output == *"Permission denied"* ]]
  run ! as_user ln -s /etc/passwd /run/ocinet-helper/link
  run ! as_user mv "$(helper_socket)" /run/ocinet-helper/0
  # Another user's, to whom the policy grants as much, cannot take away what is not theirs.
  hold_namespace box
  run -0 attach "$(holder_of box)"
  jq -e .return.ips <<<"$output"
  helpers_containers | grep -c "^helper.$(user_id).box."
}

@test "what the policy does not grant is refused" {
  start_helper "TEST_USER veth ocinet0 1" "TEST_USER port 8000-8100/tcp" "someone veth shop 9" "TEST_USER veth missing 1" \
    "TEST_USER veth wrong 1" "TEST_USER veth foreign 1" "TEST_USER veth full 0"
  echo '{ "cniVersion": "1.0.0", "name": "wrong", "type": "macvlan", "ipam": { "type": "host-local", "subnet": "10.9.0.0/24" } }' \
    >"$NET_DIR/wrong.conf"
  hold_namespace box
  hold_namespace second
  local pid
  pid=$(holder_of box)
  refuses 'Cannot use network "shop": the policy does not grant it' attach "$pid" '"network":"shop"'
  refuses 'Cannot use network "nowhere": the policy does not grant it' attach "$pid" '"network":"nowhere"'
  refuses 'Cannot use network "full": the policy grants 0 containers on it, and they are there; end one' \
    attach "$pid" '"network":"full"'
  refuses 'for a reason that root finds in the' attach "$pid" '"network":"missing"'
  refuses 'for a reason that root finds in the' attach "$pid" '"network":"wrong"'
  helper_log | grep 'Cannot use network "wrong": it is of type "macvlan"'
  # Beside the network's file stands a program that makes it, in a way that is not known.
  echo '{ "cniVersion": "1.0.0", "name": "foreign", "plugins": [{ "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.9.0.0/24" } },
    { "type": "theirs" }] }' >"$NET_DIR/foreign.conflist"
  install -m 755 /bin/true "$NET_DIR/theirs"
  refuses 'for a reason that root finds in the' attach "$pid" '"network":"foreign"'
  helper_log | grep 'Cannot use network "foreign": a plugin of it is not ours'
  refuses 'Cannot publish "80:80/tcp": the policy does not grant the port (it grants: 8000-8100/tcp)' attach "$pid" '"ports":["80:80"]'
  refuses 'does not grant the port' attach "$pid" '"ports":["8000:80/udp"]'
  refuses 'does not grant the port' attach "$pid" '"ports":["8100-8101:80-81"]'
  refuses 'the host does not have the address 198.51.100.1' attach "$pid" '"ports":["198.51.100.1:8000:80"]'
  refuses 'the host does not have the address 2001:db8:2::1' attach "$pid" '"ports":["[2001:db8:2::1]:8000:80"]'
  in_host ip netns add roots
  ocinet up --id secret -p 8001:80 /run/netns/roots
  refuses 'Cannot publish "8001:80/tcp": another program has the port already' attach "$pid" '"ports":["8001:80"]'
  [[ $output != *secret* ]]
  helper_log | grep 'container "secret" has it'
  ocinet down secret
  in_host ip netns delete roots

  run -0 attach "$pid" '"ports":["192.0.2.1:8000:80"]'
  jq -e .return <<<"$output"
  refuses 'Cannot attach "box": it is attached already' attach "$(holder_of second)"
  refuses 'Cannot use network "ocinet0": the policy grants 1 containers on it, and they are there; end one' \
    says_to_helper '{"do":"attach","id":"second","pid":'"$(holder_of second)"',"ifname":"eth0","network":"ocinet0"}'
  [ "$(helpers_containers | wc -l)" = 1 ]
}

@test "ports of what is attached come and go as far as the policy grants, and those of others do not" {
  start_helper "TEST_USER veth ocinet0 2" "TEST_USER port 8000-8100/tcp" "$OTHER veth ocinet0 2" "$OTHER port 8000-8100/tcp"
  change() { says_to_helper "{\"do\":\"$1\",\"id\":\"box\",\"ports\":[\"$2\"]}"; }
  others() { printf '%s' "{\"do\":\"$1\",\"id\":\"box\",\"ports\":[\"$2\"]}" | as_other socat -t 60 - "UNIX-CONNECT:/run/ocinet-helper/$OTHER"; }
  refuses 'Cannot publish ports of "box": it is not attached' change publish 8000:80
  hold_namespace box
  attach "$(holder_of box)" '"ports":["8000:80"]' | jq -e .return
  refuses 'does not grant the port (it grants: 8000-8100/tcp)' change publish 80:80
  refuses 'does not grant the port' change publish 8001:80/udp
  refuses 'does not grant the port' change publish 8100-8101:80-81
  refuses 'the host does not have the address 198.51.100.1' change publish 198.51.100.1:8001:80
  refuses 'Cannot publish "8000:80/tcp": another program has the port already' change publish 8000:80
  in_host ip netns add roots
  ocinet up --id secret -p 8001:80 /run/netns/roots
  refuses 'Cannot publish "8001:80/tcp": another program has the port already' change publish 8001:80
  [[ $output != *secret* ]]
  ocinet down secret
  in_host ip netns delete roots
  # All or none.
  refuses 'Cannot publish "8000:80/tcp": another program has the port already' change publish 8002:80\",\"8000:80
  change publish 8001:80 | jq -e .return
  refuses 'Cannot publish ports of "box": it is not attached' others publish 8002:80
  jq -e '.return == false' <<<"$(others unpublish 8001:80)"
  jq -e '.return == false' <<<"$(change unpublish 8003:80)"
  run -0 in_host sh -c "nft list map inet ocinet ports4"
  [[ $output == *"tcp . 8000 "* && $output == *"tcp . 8001 "* && $output != *8002* ]]
  # What is there may be taken away whatever the policy has become.
  policy "TEST_USER veth ocinet0 2"
  kill -HUP "$(helper_pid)"
  wait_for helper_has_read
  refuses 'does not grant the port (it grants: none)' change publish 8004:80
  jq -e .return <<<"$(change unpublish 8001:80)"
  run -0 in_host sh -c "nft list map inet ocinet ports4"
  [[ $output == *"tcp . 8000 "* && $output != *8001* ]]
  # A client that has gone before the answer has nothing.
  policy "TEST_USER veth ocinet0 2" "TEST_USER port 8000-8100/tcp"
  as_user node -e 'const socket = require("net").connect(process.argv[1], () => socket.write(process.argv[2], () => socket.destroy()))' \
    "$(helper_socket)" $'{"do":"publish","id":"box","ports":["8005:80"]}\n'
  wait_for grep -q 'publish box: taken back, because the caller has gone' "$BATS_TEST_TMPDIR/helper.log"
  run ! grep 8005 < <(in_host nft list ruleset)
  stop box
  wait_for nothing_attached
  run ! grep 'tcp \. 80' < <(in_host nft list ruleset)
}
helper_has_read() { helper_log | grep -q 'has read'; }

@test "malformed and huge requests are refused, and so is who says nothing" {
  start_helper "TEST_USER veth ocinet0 2"
  # Line by line: what is asked, and what the answer has.
  cat >"$BATS_TEST_TMPDIR/requests.js" <<'SCRIPT'
const attach = (more) => JSON.stringify({ do: "attach", id: "box", pid: 7, ifname: "eth0", ...more });
const raw = (key, text) => attach({ [key]: "HERE" }).replace('"HERE"', text);
const each = (reason, texts) => texts.map((text) => [text, reason]);
const requests = [
  ...each("it is not JSON", ["x", "{", "[".repeat(8000), '{"do":', "\u0000\u0001", '{"do":"show"}}', "\n\n\n", "{'do':'show'}"]),
  [Buffer.from([0xff, 0xfe, 0x80, 10]), "it is not JSON"],
  ...each("it is not a JSON object", ["[]", "null", "7", '"attach"', '""', "[".repeat(4000) + "]".repeat(4000)]),
  ...each("there are show, attach, detach, publish, unpublish", [
    "{}", '{"do":"die"}', '{"do":["attach"]}', '{"do":"constructor"}', '{"do":"\\u0000"}', '{"__proto__":{"do":"show"}}', '{"Do":"show"}',
  ]),
  ...each("Cannot use key", ['{"do":"show","id":"x"}', '{"do":"detach","id":"x","pid":1}', attach({ mac: "02:00:00:00:00:01" })]),
  ...each("Cannot use id", [
    '{"do":"detach"}', ...["../box", "/etc/passwd", ["box"], "", "a\nocinet helper: user 0 (root): done", "a".repeat(8000)]
      .map((id) => JSON.stringify({ do: "detach", id })),
  ]),
  ...each("Cannot use pid", [
    '"1"', '"/proc/1/ns/net"', '"/tmp/link"', "0", "-1", "1.5", "4194305", "9007199254740993", "1e999", "null", "[1]", "true",
  ].map((text) => raw("pid", text))),
  ...each("Cannot use ifname", [
    "", "lo", "../x", "a b", "-net", "all", "eth0\u0000", "abcdefghijklmnop", "%d", "eth0\nlink del eth0", 7, {}, null,
  ].map((ifname) => attach({ ifname }))),
  ...each("Cannot use network", ["../x", "/etc/ocinet/net.d/a", "", { a: 1 }, "a b", "-"].map((network) => attach({ network }))),
  ...each("Cannot", ["8080:80", [8080], ["8080:80; drop"], ["1-65535:1-65535"], ["x"], [["8080:80"]], ["8080:80", null], [{}]]
    .map((ports) => attach({ ports }))),
  ...each("Cannot use ports", ["publish", "unpublish"].flatMap((verb) =>
    [undefined, null, "80:80", { 0: "80:80" }].map((ports) => JSON.stringify({ do: verb, id: "box", ports })))),
  ...each("Cannot", [{}, { pid: 7 }, { network: "ocinet0" }, { id: "../box" }, { id: 7 }, { ports: [["8080:80"]] }, { ports: ["80:80/icmp"] }]
    .map((more) => JSON.stringify({ do: "publish", id: "box", ports: ["8080:80"], ...more }))),
  ["7".repeat(16385), "longer than 16384 bytes"],
  [" ".repeat(3000000), undefined],
  ["", "nothing was said"],
];
const net = require("net");
const ask = (text) => new Promise((resolve) => {
  let answer = "";
  net.connect(process.argv[2]).on("error", () => {}).on("data", (part) => answer += part).on("close", () => resolve(answer)).end(text);
});
(async () => {
  net.connect(process.argv[2]).on("data", (text) => console.log("silent", String(text))).on("error", () => {});
  for (const [text, reason] of requests) {
    const answer = await ask(text);
    if (reason !== undefined && !(JSON.parse(answer || "{}").error?.desc ?? "").includes(reason)) {
      throw new Error(`${String(text).slice(0, 80)}: not "${reason}" but ${answer}`);
    }
  }
  console.log("asked", requests.length);
})();
SCRIPT
  run -0 as_user node "$BATS_TEST_TMPDIR/requests.js" "$(helper_socket)"
  [[ $output == *"asked "* && $output == *"silent "*"Cannot wait longer than 5 seconds for a request"* ]]
  [ "$(helper_log | grep -c refused:)" -ge "$(sed -n 's/asked //p' <<<"$output")" ]
  # Nothing that was asked has begun a line of its own.
  run ! grep -v "^ocinet helper: \(user $(user_id) \|serves users\)" "$BATS_TEST_TMPDIR/helper.log"
  nothing_attached
}

@test "a thousand connections at once: some are heard, the others told, and no other user waits for them" {
  start_helper "TEST_USER veth ocinet0 2" "$OTHER veth ocinet0 2"
  # All connect, none says anything; then the other user asks, on a socket of its own. A client that does not even get into
  # the kernel's queue tries again.
  background crowd as_user node -e '
    const [path, many] = [process.argv[1], 1000];
    let told = 0;
    const open = () => require("net").connect(path).on("error", ({ code }) => code === "EAGAIN" && setTimeout(open, 10))
      .on("data", (text) => {
        if (String(text).includes("Cannot hear more than 32 requests") && ++told === many / 2) console.log("told");
      });
    for (let i = 0; i < many; i++) open();
    setTimeout(() => {}, 1e6);' "$(helper_socket)"
  wait_for grep -qs told "$BATS_TEST_TMPDIR/crowd.log" || fail "$(helper_log | tail -n 3)"
  [ "$(helper_log | grep -c 'refused: Cannot hear more than 32 requests')" -ge 500 ]
  run -0 as_other sh -c "echo '{\"do\":\"show\"}' | socat -t 60 - UNIX-CONNECT:/run/ocinet-helper/$OTHER"
  jq -e '.return.networks[0] | .name == "ocinet0" and .free == 2' <<<"$output"
  stop crowd
  # As many that all ask, each for something: in turn they are served, or told.
  hold_namespace box
  run -0 as_user node -e '
    const [path, pid, many] = [process.argv[1], Number(process.argv[2]), 200];
    const answers = [];
    for (let i = 0; i < many; i++) {
      let text = "";
      require("net").connect(path).on("error", () => {}).on("data", (part) => text += part)
        .on("close", () => { answers.push(text); if (answers.length === many) {
          console.log(answers.filter((text) => text.includes("return")).length);
        } }).end(JSON.stringify({ do: "attach", id: "box", pid, ifname: "eth0" }) + "\n");
    }' "$(helper_socket)" "$(holder_of box)"
  [ "$output" = 1 ]
  [ "$(helpers_containers | wc -l)" = 1 ]
}

@test "frames by which a container would speak for another are dropped, its own pass" {
  start_helper "TEST_USER veth ocinet0 2"
  hold_namespace box
  run -0 attach "$(holder_of box)"
  local own4 own6 own_mac veth
  own4=$(jq -r '.return.ips[0].address | split("/")[0]' <<<"$output")
  own_mac=$(jq -r '.return.interfaces[] | select(.sandbox).mac' <<<"$output" | tr -d :)
  veth=$(jq -r '.return.interfaces[1].name' <<<"$output")
  in_host nft -f - <<LINES
table bridge witness {
  counter passed { }
  chain after { type filter hook prerouting priority 0; iifname "$veth" ether daddr 02:00:00:00:00:99 counter name passed; }
}
LINES
  # shellcheck disable=SC2086 # a word for each number
  own4=$(printf '%02x' ${own4//./ })
  own6=fd6f63696e6500290000000000000002
  make_frames
  # A way out of our rules would show here: without them every one of these frames gets through.
  in_host nft flush set bridge ocinet guarded
  printf '%s\n' "${hostile[@]}" | send
  wait_for passed_are "${#hostile[@]}" || fail "$(passed) of ${#hostile[@]} arrive where nothing guards"
  in_host nft add element bridge ocinet guarded "{ \"$veth\" }"
  in_host nft reset counter bridge witness passed
  printf '%s\n' "${honest[@]}" | send
  local name sent=${#honest[@]}
  wait_for passed_are "$sent" || fail "$(passed) of its own have passed, and not $sent"
  for name in "${!hostile[@]}"; do
    printf '%s\n' "${hostile[$name]}" "${honest[arp]}" | send
    sent=$((sent + 1))
    wait_for passed_are "$sent" || fail "after $name: $(passed) have passed, and not $sent"
  done
}

passed() { in_host nft -j list counter bridge witness passed | jq '.nftables[] | select(.counter).counter.packets'; }
passed_are() { [ "$(passed)" = "$1" ]; }

# inside COMMAND...: as the user, with power over the container's network
inside() { as_user nsenter --target "$(holder_of box)" --user --preserve-credentials --net -- "$@"; }

# send: every line of hexadecimal as a frame of the container's
# shellcheck disable=SC2016 # the inner shell's
send() { inside bash -c 'while read -r hex; do printf "$(sed "s/../\\\\x&/g" <<<"$hex")" | socat -u - INTERFACE:eth0; done'; }

# Frames in hexadecimal: to whom, from whom, what.
declare -gA hostile honest
frame() { echo "0200000000${4-99}$1$2$3"; }
ip4() { printf '4500%04x00000000%02x%02x0000%s%s%s' $((20 + ${#4} / 2)) 64 "$1" "$2" "$3" "$4"; }
ip6() { printf '60000000%04x%02xff%s%s%s' $((${#4} / 2)) "$1" "$2" "$3" "$4"; }
udp() { printf '%04x%04x%04x0000%s' "$1" "$2" $((8 + ${#3} / 2)) "$3"; }
arp() { echo "000108000604$1$2${3}000000000000$4"; }

make_frames() {
  local gateway4=ac101d01 other4=ac101d63 gateway6=fd6f63696e6500290000000000000001 all6=ff020000000000000000000000000001
  local other_mac=0200000000aa local6 zeros=00000000000000000000000000000000
  local6=fe80000000000000$(printf '%02x' $((0x${own_mac:0:2} ^ 2)))${own_mac:2:4}fffe${own_mac:6}
  local data=6869
  honest=(
    [udp4]=$(frame "$own_mac" 0800 "$(ip4 17 "$own4" "$gateway4" "$(udp 5000 53 $data)")")
    [udp6]=$(frame "$own_mac" 86dd "$(ip6 17 "$own6" "$gateway6" "$(udp 5000 53 $data)")")
    [arp]=$(frame "$own_mac" 0806 "$(arp 0001 "$own_mac" "$own4" $gateway4)")
    [fragment]=$(frame "$own_mac" 86dd "$(ip6 44 "$own6" "$gateway6" "1100000100000007$(udp 5000 53 $data)")")
    [neighbour]=$(frame "$own_mac" 86dd "$(ip6 58 "$own6" $all6 "8800000060000000${own6}0201$own_mac")")
    [link_local]=$(frame "$own_mac" 86dd "$(ip6 58 "$local6" $all6 "8700000000000000${gateway6}0101$own_mac")")
  )
  hostile=(
    [other_mac]=$(frame $other_mac 0800 "$(ip4 17 "$own4" "$gateway4" "$(udp 5000 53 $data)")")
    [other_ip4]=$(frame "$own_mac" 0800 "$(ip4 17 $other4 "$gateway4" "$(udp 5000 53 $data)")")
    [hosts_loopback]=$(frame "$own_mac" 0800 "$(ip4 17 7f000001 "$gateway4" "$(udp 5000 53 $data)")")
    [other_ip6]=$(frame "$own_mac" 86dd "$(ip6 17 "${own6::30}63" "$gateway6" "$(udp 5000 53 $data)")")
    [other_link_local]=$(frame "$own_mac" 86dd "$(ip6 17 "${local6::30}63" "$gateway6" "$(udp 5000 53 $data)")")
    [arp_for_gateway]=$(frame "$own_mac" 0806 "$(arp 0002 "$own_mac" $gateway4 "$own4")")
    [arp_other_mac]=$(frame "$own_mac" 0806 "$(arp 0002 $other_mac "$own4" $gateway4)")
    [arp_probe]=$(frame "$own_mac" 0806 "$(arp 0001 "$own_mac" 00000000 $other4)")
    [dhcp_offer]=$(frame "$own_mac" 0800 "$(ip4 17 "$own4" ffffffff "$(udp 67 68 $data)")")
    [dhcp_discover]=$(frame "$own_mac" 0800 "$(ip4 17 00000000 ffffffff "$(udp 68 67 $data)")")
    [dhcpv6_reply]=$(frame "$own_mac" 86dd "$(ip6 17 "$local6" "$gateway6" "$(udp 547 546 $data)")")
    [router_advertisement]=$(frame "$own_mac" 86dd "$(ip6 58 "$local6" $all6 "86000000400007080000000000000000")")
    [router_advertisement_after_options]=$(frame "$own_mac" 86dd "$(ip6 0 "$local6" $all6 "3a0001040000000086000000400007080000000000000000")")
    [router_advertisement_in_fragments]=$(frame "$own_mac" 86dd "$(ip6 44 "$local6" $all6 "3c000001000000073a00010400000000")")
    [router_advertisement4]=$(frame "$own_mac" 0800 "$(ip4 1 "$own4" ffffffff "0900000001020708${own4}00000000")")
    [redirect6]=$(frame "$own_mac" 86dd "$(ip6 58 "$local6" "$gateway6" "8900000000000000${own6}${gateway6}")")
    [redirect4]=$(frame "$own_mac" 0800 "$(ip4 1 "$own4" $other4 "05010000${own4}4500")")
    [neighbour_for_gateway]=$(frame "$own_mac" 86dd "$(ip6 58 "$own6" $all6 "8800000060000000${gateway6}0201$own_mac")")
    [neighbour_for_mixed]=$(frame "$own_mac" 86dd "$(ip6 58 "$own6" $all6 "8800000060000000${local6::16}${own6:16}0201$own_mac")")
    [duplicate_detection]=$(frame "$own_mac" 86dd "$(ip6 58 $zeros $all6 "8700000000000000${own6::30}63")")
    [group_query4]=$(frame "$own_mac" 0800 "$(ip4 2 "$own4" e0000001 1164000000000000)")
    [group_query6]=$(frame "$own_mac" 86dd "$(ip6 58 "$local6" $all6 "82000000271000000000000000000000000000000000000000000000")")
    [pim]=$(frame "$own_mac" 0800 "$(ip4 103 "$own4" e000000d 20000000)")
    [vlan]=$(frame "$own_mac" 8100 "00070800$(ip4 17 "$own4" "$gateway4" "$(udp 5000 53 $data)")")
    [mpls]=$(frame "$own_mac" 8847 "00001140$(ip4 17 "$own4" "$gateway4" "$(udp 5000 53 $data)")")
    [reverse_arp]=$(frame "$own_mac" 8035 "$(arp 0004 "$own_mac" "$own4" $gateway4)")
    [pppoe]=$(frame "$own_mac" 8863 110900000000)
    [length_not_type]=$(frame "$own_mac" 0010 42420300000000000000000000000000)
  )
}

@test "a container that takes another address is heard no more, and one that takes its own again is" {
  start_helper "TEST_USER veth ocinet0 2"
  hold_namespace box
  run -0 attach "$(holder_of box)"
  serve tcp 8000 in_peer
  [ "$(ask tcp 192.0.2.2 8000 inside)" = 192.0.2.1 ]
  refuses 'Cannot make link "eth0": the namespace has one of that name already; name another' \
    says_to_helper '{"do":"attach","id":"again","pid":'"$(holder_of box)"',"ifname":"eth0"}'
  [ "$(helpers_containers | wc -l)" = 1 ]
  inside ip address add 172.16.29.77/24 dev eth0
  inside ip route replace default via 172.16.29.1 src 172.16.29.77
  unanswered tcp 192.0.2.2 8000 inside
  inside ip route replace default via 172.16.29.1 src 172.16.29.2
  [ "$(ask tcp 192.0.2.2 8000 inside)" = 192.0.2.1 ]
  run -0 in_host ip neigh show 172.16.29.77
  [[ $output != *lladdr* ]]
  # What keeps it to its own is there again when all rules were taken away.
  in_host nft flush ruleset
  wait_for grep -q 'put rules back: ' "$BATS_TEST_TMPDIR/helper.log"
  inside ip route replace default via 172.16.29.1 src 172.16.29.77
  unanswered tcp 192.0.2.2 8000 inside
  inside ip route replace default via 172.16.29.1 src 172.16.29.2
  [ "$(ask tcp 192.0.2.2 8000 inside)" = 192.0.2.1 ]
}

@test "a user who asks cannot get at the process that asks the kernel for them, nor make other users wait for it" {
  local wrappers=$BATS_TEST_TMPDIR/wrappers pid asking
  mkdir -m 1777 "$wrappers"
  # shellcheck disable=SC2016 # the inner shell's
  # It waits where only it has the user's id, until it is killed.
  printf '#!/bin/bash -p\n[ "$EUID" = 0 ] || { echo $$ >"%s/waits"; exec sleep 1000; }\nPATH=${PATH//"%s":}\nexec ip "$@"\n' \
    "$wrappers" "$wrappers" >"$wrappers/ip"
  chmod 755 "$wrappers/ip"
  HELPER_PATH=$wrappers:$PATH start_helper "TEST_USER veth ocinet0 2"
  background roots in_host unshare --net sh -c 'echo ready; exec sleep 1000'
  wait_for grep -qs ready "$BATS_TEST_TMPDIR/roots.log"
  attach "$(holder_of roots)" >"$BATS_TEST_TMPDIR/answer" 3>&- &
  asking=$!
  wait_for test -s "$wrappers/waits"
  pid=$(<"$wrappers/waits")
  wait_for is_program "$pid" sleep
  [ "$(in_host ls "/proc/$pid/fd" | tr '\n' ' ')" = "0 1 2 " ]
  [ "$(in_host readlink "/proc/$pid"/fd/{0,1,2} | sort -u)" = /dev/null ]
  [ "$(awk '$1 == "Uid:" { print ($2 != $3), $3 }' "/proc/$pid/status")" = "1 $(user_id)" ]
  # What these take is what tracing takes.
  local file
  for file in fd/0 ns/net root environ mem; do
    # shellcheck disable=SC2016 # the inner shell's
    run ! as_user sh -c 'ls "$1" >/dev/null && cat "$1"' sh "/proc/$pid/$file"
  done
  as_user kill -STOP "$pid"
  wait "$asking"
  [[ $(jq -er .error.desc "$BATS_TEST_TMPDIR/answer") == *"is not one whose network namespace belongs to a user namespace of yours" ]]
  nothing_attached
  wait_for nobody_runs
}
nobody_runs() { ! pgrep -u "$OCINET_TEST_USER" >/dev/null; }
is_program() { [ "$(<"/proc/$1/comm")" = "$2" ]; }

@test "a pid that has become another's is not mistaken for the one that was attached" {
  policy "TEST_USER veth ocinet0 2"
  export -f reuse_pid
  # In a pid namespace of its own a pid can be chosen.
  # shellcheck disable=SC2153 # of lib.bash
  run -0 in_host unshare --pid --fork --kill-child --mount-proc bash -euc 'reuse_pid "$@"' reuse_pid \
    "$OCINET" "$BATS_TEST_TMPDIR" "$(user_id)" "$OTHER"
  [[ $output == *"one thing is attached"*"the pid is another's"*"nothing is attached"*"refused"*"untouched"* ]]
}
# shellcheck disable=SC2317 # it is called by name
reuse_pid() {
  local ocinet=$1 directory=$2 uid=$3 other=$4 helper holder reused
  "$ocinet" helper --policy "$directory/policy" 2>"$directory/reuse.log" 3>&- &
  helper=$!
  until grep -qs "serves users" "$directory/reuse.log"; do sleep 0.05; done
  own() { setpriv --reuid "$1" --regid "$1" --clear-groups -- unshare --user --map-root-user --net sleep 1000 3>&- & }
  ask() { setpriv --reuid "$uid" --regid "$uid" --clear-groups -- socat -t 60 - "UNIX-CONNECT:/run/ocinet-helper/$uid"; }
  has_own_net() { [ "$(cat "/proc/$1/comm")" = sleep ]; }
  attach_it() { echo "{\"do\":\"attach\",\"id\":\"$1\",\"pid\":$2,\"ifname\":\"eth0\"}" | ask; }
  own "$uid"
  holder=$!
  until has_own_net "$holder"; do sleep 0.05; done
  attach_it box "$holder" | jq -e .return.ips
  [ -n "$(ls "$OCINET_STATE_DIR/containers")" ]
  echo "one thing is attached"
  kill -STOP "$helper"
  kill -KILL "$holder"
  wait "$holder" || true
  echo $((holder - 1)) >/proc/sys/kernel/ns_last_pid
  own "$other"
  reused=$!
  [ "$reused" = "$holder" ]
  echo "the pid is another's"
  until has_own_net "$reused"; do sleep 0.05; done
  kill -CONT "$helper"
  until [ -z "$(ls "$OCINET_STATE_DIR/containers")" ]; do sleep 0.05; done
  echo "nothing is attached"
  attach_it box "$reused" | jq -e .error && echo refused
  nsenter --target "$reused" --user --preserve-credentials --net ip -o link | grep -v eth0 && echo untouched
  kill -TERM "$helper"
  wait "$helper"
}
