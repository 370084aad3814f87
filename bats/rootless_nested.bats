#!/usr/bin/env bats
# A runtime, or ocinet itself, that is in a user namespace already: of unshare, or of `ocinet run`.
# shellcheck disable=SC2154 # what run sets
load lib
load rootless

# inner RUNTIME OPTIONS...: a bundle for root of such a namespace, which it runs its containers in
inner() {
  make_bundle "$(path_of c1)" "$1" rootless
  set_config "$(path_of c1)" 'del(.linux.uidMappings, .linux.gidMappings) | .linux.namespaces |= map(select(.type != "user"))'
  as_user "$OCINET" inject "${@:2}" "$(path_of c1)"
}

# in_it RUNTIME OPTIONS...: words that run the container
in_it() { printf '%s\n' "$1" --root "$HOST_DIR/user/run/inner" run "${@:2}" --bundle "$(path_of c1)" c1; }

with_each_runtime "in a user namespace that has the host's network: connected as an ordinary user's" in_users
in_users() {
  serve tcp 8000 in_peer
  inner "$1"
  set_args "$(path_of c1)" sh -c 'echo hello | nc 192.0.2.2 8000; ip -o -4 address show eth0'
  local words
  mapfile -t words < <(in_it "$1")
  run -0 as_user unshare -Urm "${words[@]}"
  [[ ${lines[0]} = 192.0.2.1 && ${lines[1]} == *10.0.2.100/24* ]]
  wait_for is_gone c1
}

with_each_runtime "in ocinet run: links of their own as root's, and through its uplink the world" in_run
in_run() {
  serve tcp 8000 in_peer
  inner "$1" -p 8080:80
  set_args "$(path_of c1)" sh -c 'ip -o -4 address show eth0; echo hello | nc 192.0.2.2 8000'
  local words
  mapfile -t words < <(in_it "$1")
  run -0 as_user "$OCINET" run -- "${words[@]}"
  [[ ${lines[0]} == *172.16.28.2/24* && ${lines[1]} = 192.0.2.1 ]]
  wait_for is_gone c1
  wait_for no_containers
  run ! ls "$(user_state)"/netns-*
}

@test "a container that is left behind in ocinet run ends with it" {
  inner runc
  local words
  mapfile -t words < <(in_it runc --detach)
  # shellcheck disable=SC2016 # the inner shell's
  run -0 as_user "$OCINET" run -- sh -c '"$@" </dev/null >/dev/null 2>&1 3>&- && "$0" ls' "$OCINET" "${words[@]}"
  [[ ${lines[1]} == "c1  up  "*172.16.28.2* ]]
  wait_for is_gone c1
  wait_for no_processes
  run ! ls "$(user_state)"/netns-*
}

@test "ocinet run in ocinet run: the inner one is connected through the outer one" {
  serve tcp 8000 in_peer
  # shellcheck disable=SC2016 # the command's shell
  run -0 as_user "$OCINET" run -- "$OCINET" run -- bash -c 'ip -o -4 address show eth0; exec 5<>/dev/tcp/192.0.2.2/8000; echo hello >&5; head -n 1 <&5'
  [[ ${lines[0]} == *172.16.28.2/24* && ${lines[1]} = 192.0.2.1 ]]
  wait_for is_gone c1
}

@test "two user namespaces deep, with and without a network of its own" {
  serve tcp 8000 in_peer
  local look='ip -o -4 address show eth0; exec 5<>/dev/tcp/192.0.2.2/8000; echo hello >&5; head -n 1 <&5'
  run -0 as_user "$OCINET" run -- unshare -Ur "$OCINET" run -- bash -c "$look"
  # The outer one's network is the inner one's LAN, so the inner one takes another subnet.
  [[ ${lines[0]} == *" 10."*.100/24* && ${lines[0]} != *" 10.0.2."* && ${lines[1]} = 192.0.2.1 ]]
  # Root has no ranges of ids there, which is said.
  run as_user env -u XDG_RUNTIME_DIR "$OCINET" run -- unshare -Ur "$OCINET" doctor
  [[ $output == *" missing for your rootless containers"* && $output == *" /run/user/$(id -u "$OCINET_TEST_USER")/ocinet"* ]]
  # shellcheck disable=SC2016 # the inner shell's
  run -0 as_user "$OCINET" run -- unshare -Urn sh -c '"$0" run -- ip -o -4 address show eth0; "$0" gc' "$OCINET"
  [[ ${lines[0]} == *172.16.28.2/24* ]]
  stop_background
  wait_for no_processes
  is_gone c1
}

@test "what they left in namespaces that are gone goes with gc" {
  inner runc --net none
  set_args "$(path_of c1)" true
  local words
  mapfile -t words < <(in_it runc)
  # shellcheck disable=SC2016 # the inner shell's
  as_user unshare -Urmn sh -c '"$0" inject --net none "$1" && shift && "$@"' "$OCINET" "$(path_of c1)" "${words[@]}"
  ls -d "$(user_state)"/netns-*
  run -0 as_user "$OCINET" gc
  [[ $output == *"state in /run/user/"*"/ocinet/netns-"*": no container is left that needs it"* ]]
  run ! ls "$(user_state)"/netns-*
}
