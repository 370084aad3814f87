#!/usr/bin/env bats
# host-local beside the reference plugin, over one directory: what one has reserved the other respects and can release;
# and what an address costs does not depend on how many are taken.
load lib
load contained

setup() {
  set_up_hosts
  LEASES=$BATS_TEST_TMPDIR/leases
  mkdir "$LEASES"
}

# shared_network SUBNET...: "blue", with a range for each subnet, as ocinet's and as the reference plugin's own
shared_network() {
  network blue.conf blue bridge "$(IFS=, && echo "$*")" "$(jq -n --arg dataDir "$LEASES" '{ ipam: { $dataDir } }')"
}

# reference ADD|DEL CONTAINER: the plugin of Debian's package
reference() { cni /usr/lib/cni/host-local "$@"; }

# own ADD|DEL CONTAINER: ocinet, called as that plugin is
own() {
  mkdir -p "$BATS_TEST_TMPDIR/bin"
  ln -sf "$OCINET" "$BATS_TEST_TMPDIR/bin/host-local"
  cni "$BATS_TEST_TMPDIR/bin/host-local" "$@"
}

cni() {
  in_host env CNI_COMMAND="$2" CNI_CONTAINERID="$3" CNI_NETNS=/run/netns/none CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni "$1" \
    <"$NET_DIR/blue.conf"
}

address_of() { jq -er '.ips[0].address / "/" | .[0]'; }

# up NAME: what `ocinet up` gives it
up() {
  in_host ip netns add "$1"
  ocinet up "/run/netns/$1" --net blue --json | jq -er '.networks[0].ips[0] / "/" | .[0]'
}

end() {
  local name
  for name; do
    ocinet down "$name"
    in_host ip netns delete "$name"
  done
}

@test "ours and theirs in turn: one row of addresses, without a gap or a duplicate" {
  shared_network 10.1.1.0/24
  local got=()
  got+=("$(up a)")
  got+=("$(reference ADD b | address_of)")
  got+=("$(own ADD c | address_of)")
  got+=("$(reference ADD d | address_of)")
  got+=("$(up e)")
  got+=("$(reference ADD f | address_of)")
  equal "10.1.1.2 10.1.1.3 10.1.1.4 10.1.1.5 10.1.1.6 10.1.1.7" "${got[*]}"
  # Both remember what came last, so that an address is not given anew at once.
  reference DEL f
  equal 10.1.1.8 "$(own ADD g | address_of)"
  own DEL g
  equal 10.1.1.9 "$(reference ADD h | address_of)"
  local address
  for address in 2:a 3:b 4:c 5:d 6:e 9:h; do
    equal "${address#*:}"$'\r\n'eth0 "$(<"$LEASES/blue/10.1.1.${address%:*}")"
  done
  end a e
}

@test "ours and theirs at once: no duplicate" {
  shared_network 10.1.1.0/24 fd00:1::/64
  local i pids=() pid
  for i in {1..10}; do in_host ip netns add "box$i"; done
  for i in {1..10}; do
    ocinet up "/run/netns/box$i" --net blue --json >"$BATS_TEST_TMPDIR/up$i" 3>&- &
    pids+=($!)
    reference ADD "theirs$i" >"$BATS_TEST_TMPDIR/theirs$i" 3>&- &
    pids+=($!)
    own ADD "own$i" >"$BATS_TEST_TMPDIR/own$i" 3>&- &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
  {
    jq -r '.networks[0].ips[]' "$BATS_TEST_TMPDIR"/up*
    jq -r '.ips[].address' "$BATS_TEST_TMPDIR"/{theirs,own}*
  } >"$BATS_TEST_TMPDIR/all"
  equal 60 "$(wc -l <"$BATS_TEST_TMPDIR/all")"
  equal "" "$(sort "$BATS_TEST_TMPDIR/all" | uniq -d)"
  equal 60 "$(find "$LEASES/blue" -name '*[.:]*' ! -name 'last_*' | wc -l)"
  end box{1..10}
  for i in {1..10}; do
    reference DEL "own$i"
    own DEL "theirs$i"
  done
  equal "" "$(leased)"
}

# Addresses that are taken; .NAME would be a file that a process had begun
leased() { find "$LEASES" -mindepth 2 ! -name lock ! -name 'last_reserved_ip.*' -printf '%f\n'; }

@test "a small range is given out to the last address, by both, and then refused by both" {
  shared_network 10.1.1.0/29
  local i got=()
  for i in 1 2; do
    got+=("$(own ADD "own$i" | address_of)" "$(reference ADD "theirs$i" | address_of)")
  done
  got+=("$(own ADD own3 | address_of)")
  equal "10.1.1.2 10.1.1.3 10.1.1.4 10.1.1.5 10.1.1.6" "${got[*]}"
  run -1 reference ADD more
  [[ $output == *"no IP addresses available in range set: 10.1.1.1-10.1.1.6"* ]]
  run -1 own ADD more
  [[ $output == *"no IP addresses available in range set: 10.1.1.1-10.1.1.6"* ]]
  in_host ip netns add box
  run -1 ocinet up /run/netns/box --net blue
  [[ $output == *"no IP addresses available in range set: 10.1.1.1-10.1.1.6"* ]]
  in_host ip netns delete box
  reference DEL own2
  equal 10.1.1.4 "$(own ADD again | address_of)"
}

@test "each releases what the other has reserved" {
  shared_network 10.1.1.0/24 fd00:1::/64
  own ADD mine
  reference ADD theirs
  reference DEL mine
  own DEL theirs
  equal "" "$(leased)"
  # Released behind its back, a container is taken down all the same.
  up box
  reference DEL box
  equal "" "$(leased)"
  end box
  # Released, and given to another: that one keeps it.
  up box
  own DEL box
  local address
  address=$(jq -er '.attachments[0].result.ips[0].address / "/" | .[0]' "$STATE_DIR/containers/box/container.json")
  printf 'other\r\neth0' >"$LEASES/blue/$address"
  end box
  equal "$address" "$(leased)"
}

@test "an attachment that has an address is given no second one: by both in the same words, whichever gave the first" {
  shared_network 10.1.1.0/24
  local first second
  for first in reference own; do
    $first ADD a
    for second in reference own; do
      run -1 $second ADD a
      [[ $output == *'"failed to allocate for range 0: 10.1.1.'*' has been allocated to a, duplicate allocation is not allowed"'* ]] ||
        fail "$first, then $second:" "$output"
      # There is a record of ours.
      [ $first = reference ] || rm -rf "$STATE_DIR/containers"
    done
    own DEL a
  done
  equal "" "$(leased)"
}

@test "an address costs the same in an empty /16 and in one with 60,000 taken" {
  shared_network 10.1.0.0/16
  in_host ip netns add box
  local empty full
  # The first makes directories and tables.
  ocinet up /run/netns/box --net blue
  ocinet down box
  empty=$(cost up /run/netns/box --net blue)
  ocinet down box
  take_addresses
  # Where the last one was given, hundreds are taken on either side.
  echo -n 10.1.100.0 >"$LEASES/blue/last_reserved_ip.0"
  full=$(cost up /run/netns/box --net blue)
  echo "$empty system calls on files when empty, $full when full"
  ((full < 2 * empty))
  # To read the whole directory takes few calls, and long.
  run -1 grep -E "getdents64\(.* = [0-9]{5}$" "$BATS_TEST_TMPDIR/trace"
  local address
  address=$(jq -er '.attachments[0].result.ips[0].address / "/" | .[0]' "$STATE_DIR/containers/box/container.json")
  equal box$'\r\n'eth0 "$(<"$LEASES/blue/$address")"

  # Nor does giving it back.
  full=$(cost down box)
  rm -r "$LEASES/blue"
  ocinet up /run/netns/box --net blue
  empty=$(cost down box)
  echo "$empty system calls on files when empty, $full when full"
  ((full < 2 * empty))
  in_host ip netns delete box
}

# cost COMMAND...: how many system calls on files and directories ocinet makes
cost() {
  OCINET_AGENT=no in_host strace -f -qq -e trace=%file,getdents64,read -o "$BATS_TEST_TMPDIR/trace" "$OCINET" "$@" >"$BATS_TEST_TMPDIR/said"
  wc -l <"$BATS_TEST_TMPDIR/trace"
}

# take_addresses: 10.1.0.2 to 10.1.234.97. In a shell of its own, whose every command bats does not trace.
take_addresses() {
  # shellcheck disable=SC2016 # the inner shell's
  bash -c 'cd "$0"; for ((i = 2; i < 60002; i++)); do echo -n x >"10.1.$((i / 256)).$((i % 256))"; done' "$LEASES/blue"
}
