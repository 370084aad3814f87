#!/usr/bin/env bats
# Many containers at once: each gets an address of its own, a port goes to one of those that want it, and none is
# disturbed by gc, which runs beside them all the time.
load lib
load contained

setup() {
  set_up_hosts
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# make_boxes PREFIX COUNT: namespaces with a process in each; the pid of PREFIX1 is in $BATS_TEST_TMPDIR/pids/PREFIX1
make_boxes() {
  mkdir -p "$BATS_TEST_TMPDIR/pids"
  # shellcheck disable=SC2016 # the inner shell's
  in_host bash -c '
    for ((i = 1; i <= $2; i++)); do
      unshare --net bash -c "echo \$\$ >$3/$1$i; exec sleep 1000" </dev/null >/dev/null 2>&1 3>&- &
    done' boxes "$1" "$2" "$BATS_TEST_TMPDIR/pids"
  wait_for all_boxes_are_there "$1" "$2"
}

all_boxes_are_there() {
  local i
  for ((i = 1; i <= $2; i++)); do [ -s "$BATS_TEST_TMPDIR/pids/$1$i" ] || return; done
}

end_boxes() {
  cat "$BATS_TEST_TMPDIR"/pids/* | xargs kill -KILL
  rm "$BATS_TEST_TMPDIR"/pids/*
}

# at_once COMMAND ITEM...: the command with each of the items, all at once; what each says is in $BATS_TEST_TMPDIR/said/,
# and the items for which it failed are in FAILED
at_once() {
  local command=$1 item
  local -A pids=()
  shift
  rm -rf "$BATS_TEST_TMPDIR/said"
  mkdir "$BATS_TEST_TMPDIR/said"
  for item; do
    $command "$item" >"$BATS_TEST_TMPDIR/said/$item" 2>&1 3>&- &
    pids[$item]=$!
  done
  FAILED=()
  for item; do wait "${pids[$item]}" || FAILED+=("$item"); done
}

all_succeed() {
  at_once "$@"
  ((${#FAILED[@]} == 0)) || fail "$1 failed for ${FAILED[*]}:" "$(cd "$BATS_TEST_TMPDIR/said" && head -n 3 "${FAILED[@]}")"
}

up() { ocinet up "$(<"$BATS_TEST_TMPDIR/pids/$1")" --id "$1" "${options[@]}" -p "$((8000 + ${1#box})):80"; }
down() { ocinet down "$1"; }
start() { start_container "$1" "$(bundle_path "$1")"; }

# gc_all_the_time: until gc_was_content, which fails if it has taken any container, or failed itself. A runtime kills a
# container before its poststop hook runs: what gc takes of it in between it may take.
gc_all_the_time() {
  # shellcheck disable=SC2016 # the inner shell's
  background gc in_host bash -c 'while "$0" gc; do :; done' "$OCINET"
}

gc_was_content() {
  [ -e "/proc/$(<"$BATS_TEST_TMPDIR/background/gc")" ] || fail "gc has failed:" "$(<"$BATS_TEST_TMPDIR/gc.log")"
  stop gc
  local fine="no container is left that needs it$|^Terminated$|^ctr[0-9]+: its process [0-9]+ has ended$"
  run -1 grep -vE "$fine" "$BATS_TEST_TMPDIR/gc.log"
}

@test "50 at once get 50 addresses, and leave nothing when stopped at once" {
  network blue.conf blue bridge 10.1.0.0/16,fd00:1::/64
  options=(--net blue)
  local boxes ctrs
  mapfile -t boxes < <(printf 'box%d\n' {1..36})
  mapfile -t ctrs < <(printf 'ctr%d\n' {1..14})
  prepare ctr1 runc --net blue
  local ctr
  for ctr in "${ctrs[@]}"; do
    [ "$ctr" = ctr1 ] || cp -al "$(bundle_path ctr1)" "$(bundle_path "$ctr")"
    rm "$(bundle_path "$ctr")/config.json"
    make_config "$ctr"
  done
  snapshot >"$BATS_TEST_TMPDIR/before"
  make_boxes box 36
  gc_all_the_time
  all_succeed start_one "${boxes[@]}" "${ctrs[@]}"

  run -0 ocinet ls --json
  jq -e 'length == 50 and all(.state == "up")
    and ([.[].networks[].ips[] | select(contains(":") | not)] | unique | length == 50)
    and ([.[].networks[].ips[] | select(contains(":"))] | unique | length == 50)
    and ([.[].networks[].mac] | unique | length == 50)' <<<"$output"
  [ "$(in_host ls /sys/class/net/blue0/brif | wc -l)" = 50 ]
  local address
  for address in $(jq -r '.[].networks[].ips[0] / "/" | .[0]' <<<"$output"); do
    reaches "$address" in_host || fail "$address does not answer"
  done
  serve tcp 80 in_container ctr7
  [ "$(ask tcp 192.0.2.1 8107 in_peer)" = 192.0.2.2 ]
  stop tcp4-80
  stop tcp6-80

  all_succeed stop_one "${boxes[@]}" "${ctrs[@]}"
  gc_was_content
  end_boxes
  run -0 ocinet ls --json
  jq -e '. == []' <<<"$output"
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

# make_config CTR: of ctr1's bundle, with the container's own port and cgroup
make_config() {
  local bundle
  bundle=$(bundle_path "$1")
  echo "runc root" >"$bundle/for"
  in_host runc spec --bundle "$bundle"
  set_config "$bundle" ".process.terminal = false | .linux.cgroupsPath = \"/ocinet-$UNIQUE-$1\" | .process.args = [\"sleep\", \"1000\"]"
  ocinet inject --net blue -p "$((8100 + ${1#ctr})):80" "$bundle"
}

start_one() {
  case $1 in
    box*) up "$1" ;;
    ctr*) start "$1" ;;
  esac
}

stop_one() {
  case $1 in
    box*) down "$1" ;;
    ctr*) delete_container "$1" ;;
  esac
}

@test "the first containers of a network come and go while gc takes what they share" {
  network blue.conf blue bridge 10.1.0.0/16 '{ "macspoofchk": true }'
  options=(--net blue --net default)
  snapshot >"$BATS_TEST_TMPDIR/before"
  make_boxes box 3
  gc_all_the_time
  local round
  for round in {1..5}; do
    all_succeed up box1 box2 box3
    # gc must not have taken anything from under them.
    reaches 10.1.0.1 nsenter --net="/proc/$(<"$BATS_TEST_TMPDIR/pids/box2")/ns/net" -- || fail "no answer in round $round"
    [ "$(in_host nft list set inet ocinet contained4 | grep -oE '10\.1\.[0-9.]+|172\.[0-9.]+' | sort -u | wc -l)" = 6 ]
    all_succeed down box1 box2 box3
  done
  gc_was_content
  end_boxes
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "the same on Node" {
  export OCINET_RUNTIME=node
  network blue.conf blue bridge 10.1.0.0/16
  options=(--net blue)
  snapshot >"$BATS_TEST_TMPDIR/before"
  make_boxes box 3
  gc_all_the_time
  local _
  for _ in 1 2 3; do
    all_succeed up box1 box2 box3
    [ "$(in_host nft list set inet ocinet contained4 | grep -oE '10\.1\.[0-9.]+' | wc -l)" = 3 ]
    all_succeed down box1 box2 box3
  done
  gc_was_content
  end_boxes
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

@test "of 20 that want a port at once one has it, and of the others nothing is left" {
  network blue.conf blue bridge 10.1.0.0/16
  snapshot >"$BATS_TEST_TMPDIR/before"
  make_boxes box 20
  local boxes
  mapfile -t boxes < <(printf 'box%d\n' {1..20})
  at_once up_same "${boxes[@]}"
  one_has_it
  # Some want it on one address, the others on all of them.
  at_once up_overlapping "${boxes[@]}"
  one_has_it
  end_boxes
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

up_same() { ocinet up "$(<"$BATS_TEST_TMPDIR/pids/$1")" --id "$1" --net blue -p 8080:80; }

up_overlapping() {
  local where=
  ((${1#box} % 2)) || where=127.0.0.1:
  ocinet up "$(<"$BATS_TEST_TMPDIR/pids/$1")" --id "$1" --net blue -p "${where}8080:80"
}

one_has_it() {
  ((${#FAILED[@]} == 19)) || fail "${#FAILED[@]} of 20 were refused:" "$(cd "$BATS_TEST_TMPDIR/said" && head -n 1 -- *)"
  run -0 ocinet ls --json
  local winner box
  winner=$(jq -er 'if length == 1 then .[0].id else error end' <<<"$output")
  for box in "${FAILED[@]}"; do
    [[ $(<"$BATS_TEST_TMPDIR/said/$box") == 'ocinet: Cannot publish "'*8080:80/tcp'": container "box'*'" has it' ]] ||
      fail "$box was told:" "$(<"$BATS_TEST_TMPDIR/said/$box")"
  done
  [ "$(in_host ls /sys/class/net/blue0/brif | wc -l)" = 1 ]
  ocinet down "$winner"
}

@test "of 10 that attach one container at once one does, and the others are told so" {
  network blue.conf blue bridge 10.1.0.0/16
  snapshot >"$BATS_TEST_TMPDIR/before"
  make_boxes box 1
  at_once up_again {1..10}
  ((${#FAILED[@]} == 9))
  local one
  for one in "${FAILED[@]}"; do
    [ "$(<"$BATS_TEST_TMPDIR/said/$one")" = 'ocinet: Cannot attach container "box": it is attached already; take it down first' ]
  done
  run -0 ocinet ls --json
  jq -e 'length == 1 and .[0].state == "up"' <<<"$output"
  at_once down_again {1..10}
  ((${#FAILED[@]} == 0))
  end_boxes
  ocinet gc
  assert_same_snapshot "$BATS_TEST_TMPDIR/before"
}

up_again() { ocinet up "$(<"$BATS_TEST_TMPDIR/pids/box1")" --id box --net blue -p 8080:80; }
down_again() { ocinet down box; }
