#!/usr/bin/env bats
# Descriptors: every program that our long-lived processes run has those that it is given, and these lose none.
# shellcheck disable=SC2154 # what run sets
load lib
load rootless
load helper

setup() {
  set_up_hosts
  OTHER=$(id -u nobody)
}

teardown() {
  as_user "$OCINET" session stop >/dev/null || true
  tear_down_hosts
  rm -rf "/tmp/ocinet-$(user_id)"
}

RECORDED=(sh timeout nsenter setpriv nft getent install chown flock setsid unshare slirp4netns)

# recorder [PROGRAM...]: programs in $wrappers, each of which notes what it has open and becomes the one of its name
recorder() {
  wrappers=$BATS_TEST_TMPDIR/wrappers
  mkdir -m 1777 "$wrappers" "$wrappers/records"
  cat >"$wrappers/wrapper" <<'WRAPPER'
#!/bin/bash -p
dir=${0%/*} name=${0##*/}
program=$(PATH=${PATH//$dir:}; type -P "$name")
# Its own is 1, and the directory the first that was free.
record=$(mktemp "$dir/records/$name.XXXXXX")
echo "$*" >"$record"
ls -l /proc/self/fd >>"$record"
exec "$program" "$@"
WRAPPER
  chmod 755 "$wrappers/wrapper"
  local program
  RECORDED+=("$@")
  for program in "${RECORDED[@]}"; do ln -s wrapper "$wrappers/$program"; done
}

# forget: what has been recorded
forget() { rm "$wrappers"/records/*; }

# recorded PROGRAM...: each has been run
recorded() {
  local program
  for program; do compgen -G "$wrappers/records/$program.*" >/dev/null || fail "$program was not run"; done
}

# more_than_three RECORD: what it has besides standard streams and the directory
more_than_three() { sed -n 's/.* \([0-9]*\) -> \(.*\)/\1 \2/p' "$1" | grep -vE '^[012] |^[0-9]+ /proc/[0-9]+/fd$'; }

descriptors_of() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
has_no_more() { (($(descriptors_of "$1") <= $2)); }

helpers_descriptors() {
  local wrappers before record
  recorder ip tc
  OCINET_RUNTIME=$1 HELPER_PATH=$wrappers:$PATH start_helper "TEST_USER veth ocinet0 2" "$OTHER veth ocinet0 2" "TEST_USER port 8080"
  hold_namespace box
  helpers_work
  forget
  helpers_work
  recorded sh timeout nsenter setpriv nft ip
  for record in "$wrappers"/records/*; do
    # Node has it lock what it has open.
    [[ $record != */flock.* ]] || continue
    run ! more_than_three "$record"
    [ "$output" = "" ] || fail "${record##*/}" "$(<"$record")"
  done
  before=$(descriptors_of "$(helper_pid)")
  rm "${RECORDED[@]/#/$wrappers/}"
  helpers_work 20
  wait_for has_no_more "$(helper_pid)" "$before" || fail "$before, and now" "$(ls -l "/proc/$(helper_pid)/fd")"
}
# helpers_work [N]: what it does, grants and refuses, so many times
helpers_work() {
  ask_in_turn "$(helper_socket)" "${1-1}" '{"do":"attach","id":"box","pid":'"$(holder_of box)"',"ifname":"eth0","ports":["8080:80"]}' \
    '{"do":"attach","id":"roots","pid":1,"ifname":"eth0"}' '{"do":"detach","id":"box"}' >"$BATS_TEST_TMPDIR/answers"
  [ "$(jq -c 'keys' "$BATS_TEST_TMPDIR/answers" | sort | uniq -c | tr -s ' \n' '  ')" = " ${1-1} [\"error\"] $((2 * ${1-1})) [\"return\"] " ] ||
    fail "$(<"$BATS_TEST_TMPDIR/answers")"
}

# ask_in_turn SOCKET N REQUEST...: the answers, a line each; of a request, ID is the number that the last one answered
ask_in_turn() {
  as_user node -e '
    const [path, times, ...requests] = process.argv.slice(1);
    let id;
    const ask = (text) => new Promise((resolve, reject) => {
      let answer = "";
      require("net").connect({ path, allowHalfOpen: true }).on("error", reject).on("data", (part) => answer += part)
        .on("end", () => resolve(answer)).end(text.replace("ID", id));
    });
    (async () => {
      for (let i = 0; i < times; i++) for (const request of requests) {
        const answer = await ask(request);
        console.log(answer.trim());
        id = JSON.parse(answer).return?.id;
      }
    })();' "$@"
}

# Of a keeper's programs, the ends of what tells when the container ends, and that the program is ready (keep.ts).
users_descriptors() {
  local wrappers record more pid before
  local fifo
  fifo="^[3-6] /run/user/$(user_id)/ocinet/containers/(session|box)/(relay/)?(life|ready|back)( \\(deleted\\))?\$"
  export OCINET_RUNTIME=$1
  recorder
  recording() { as_user env PATH="$wrappers:$PATH" bash -c "$close_inherited" bash "$OCINET" "$@"; }
  recording session start --uplink slirp4netns
  recording session exec true
  background box recording run --id box --uplink slirp4netns --proxy-protocol v1 -p 8080:80 -- \
    socat TCP-LISTEN:80,fork,reuseaddr SYSTEM:"head -n 1; cat >/dev/null"
  wait_for box_listens || fail "$(<"$BATS_TEST_TMPDIR/box.log")"
  recorded sh unshare nsenter setpriv setsid slirp4netns
  for record in "$wrappers"/records/*; do
    more=$(more_than_three "$record") || continue
    # The relay's outer process starts the inner one with a channel.
    if grep -q ' relay inside ' "$record" && ! grep -q ' relay outside ' "$record"; then
      more=$(grep -v '^3 socket:' <<<"$more") || continue
    fi
    case ${record##*/} in
      flock.*) [[ $more == "3 /run/user/$(user_id)/ocinet"* ]] ;;
      *) ! grep -vE "$fifo" <<<"$more" ;;
    esac || fail "${record##*/}" "$(<"$record")"
  done
  # The command has its standard streams, as has what it runs.
  # shellcheck disable=SC2016 # the inner shell's
  [ "$(recording session exec -- sh -c 'ls /proc/$$/fd; :' | tr '\n' ' ')" = "0 1 2 " ]

  through_relay
  declare -A before
  for pid in $(relays); do before[$pid]=$(descriptors_of "$pid"); done
  ((${#before[@]} == 4))
  through_relay 20
  for pid in "${!before[@]}"; do
    wait_for has_no_more "$pid" "${before[$pid]}" || fail "${before[$pid]}, and now" "$(ls -l "/proc/$pid/fd")"
  done
}
# Two halves each, of the session and of the command.
relays() {
  local pid
  for pid in $(test_pids); do
    [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") != *" relay "*side* || $(readlink "/proc/$pid/exe") != */"$OCINET_RUNTIME" ]] || echo "$pid"
  done
}
box_listens() { grep -qs . <(in_host ss -Hltn 'sport = :8080'); }
# through_relay [N]: so many connections, and ports that come and go
through_relay() {
  local socket
  # shellcheck disable=SC2016 # the inner shell's
  [ "$(in_peer bash -c 'for ((i = 0; i < $1; i++)); do
    exec 5<>/dev/tcp/192.0.2.1/8080; echo >&5; head -n 1 <&5; exec 5>&-; done' bash "${1-1}" | grep -c "PROXY TCP4 192.0.2.2")" = "${1-1}" ]
  socket=$(processes | sed -nE 's/.*relay outside ([^ ]+) .*/\1/p' | head -n 1)
  [ "$(ask_in_turn "$socket" "${1-1}" '{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"127.0.0.1","host_port":8090,
    "guest_addr":"10.0.2.100","guest_port":80}}' '{"execute":"remove_hostfwd","arguments":{"id":ID}}' | grep -c return)" = $((2 * ${1-1})) ]
}

for runtime in deno node; do
  bats_test_function --description "root's helper ($runtime)" -- helpers_descriptors "$runtime"
  bats_test_function --description "a session, a command and its relay ($runtime)" -- users_descriptors "$runtime"
done
