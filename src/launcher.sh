#!/bin/sh
":" /*
# These lines are both shell and JavaScript: sh runs them and becomes a runtime, JavaScript reads a string and a comment,
# which nothing in them may end. Deno goes first because it starts faster. --no-config keeps a package.json nearby from
# loading its Node layer. What it has compiled it keeps where no other user can write, which saves a sixth of a hook: for
# root that is not below a HOME that sudo may have left. Without a working directory it does not start.
# SIGUSR1 has both runtimes listen for a debugger (deno#35738), which would let every user of the machine run code as us.
# Deno never gets it if it is blocked before; Node unblocks all signals, but cannot listen on a multicast address.
# What else would make a runtime load code, write files or listen is taken out of its environment. Deno would ask its maker
# for a newer version once a day.
[ "$*" != version ] || { echo "ocinet @VERSION@"; exit; }

# A plugin's answer to VERSION is constant, and podman asks for it 40 times to start one container. So no runtime is started.
# The build puts each type's answer here.
if [ "$CNI_COMMAND" = VERSION ]; then
  case "$#:$1" in 0:) plugin=${0##*"/"} ;; 2:plugin) plugin=$2 ;; *) plugin= ;; esac
  case $plugin in
    "@ANSWERS@") ;;
  esac
fi

# Where an agent of the same user and build runs (docs/agent.md), processes of its wait for a call, each in a directory of
# its own, and spare us the start of a runtime. All of this is built into sh: a process would cost what is to be saved.
# call_agent: ends with the status of the call, or returns if it has not been served. Then what a process had read of
# standard input is in the file $input, if that is there.
call_agent() {
  if [ -O / ]; then set -- /run; else set -- "$XDG_RUNTIME_DIR" /run/user/*; fi
  for calls; do
    calls=$calls/ocinet/calls/@BUILD@
    # What was begun just now is later than its file "alive" if the agent is stopped: its processes may be, too.
    # shellcheck disable=SC3013 # dash, bash and busybox have it
    if [ ! -O "$calls" ] || [ -h "$calls" ] || [ "/proc/$$" -nt "$calls/alive" ]; then continue; fi
    for slot in "$calls"/*"/ready"; do
      slot=${slot%"/ready"}
      # The caller that makes the file has the slot.
      set -C
      { printf '%s\n' "$$" >"$slot/caller"; } 2>/dev/null && claimed=yes || claimed=
      set +C
      [ -n "$claimed" ] || continue
      # shellcheck disable=SC2094 # nothing is written there
      # The process knows us by our descriptor 3, and takes 7 to 9 for its streams: ours are others while we print and read.
      # Nothing waits when a FIFO is opened for both. What is read ends when the process has ended.
      {
        printf '%s\n' "$$" >&3 && read -r status <&5
      } 9>&2 2>/dev/null 7<&0 8>&1 3<>"$slot/request" 4<>"$slot/answer" 5<"$slot/answer" 4>&-
      case $status in "" | *[!0-9]*) ;; *) exit "$status" ;; esac
      [ -z "$OCINET_DEBUG" ] || printf 'ocinet: The agent does not serve this call: %s\n' "${status#cold }" >&2
      input=$slot/input
      return
    done
  done
}

# become_runtime ARGUMENT...: never returns. What it starts may stay when it has ended, so it gets none of the caller's
# descriptors but the standard streams. sh can close those of one digit, and names the others, but for its own, which are
# closed on exec: the runtime may have other files by these numbers.
# shellcheck disable=SC2086 # nothing, or a word
become_runtime() {
  export OCINET_CALLED_AS="$0" OCINET_DENO_DIR="$DENO_DIR" OCINET_INHERITED=
  if [ "$1" != helper ] || [ -z "$LISTEN_FDS" ]; then
    exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
    for path in /proc/self/fdinfo/??*; do
      { read -r flags && read -r _ flags; } 2>/dev/null <"$path" || continue
      [ $((flags & 02000000)) != 0 ] || OCINET_INHERITED="$OCINET_INHERITED ${path##*[!0-9]}"
    done
  fi
  unset NODE_OPTIONS NODE_COMPILE_CACHE NODE_EXTRA_CA_CERTS NODE_REDIRECT_WARNINGS NODE_V8_COVERAGE DENO_V8_FLAGS DENO_COVERAGE_DIR
  [ -d "$PWD" ] || cd /
  if [ -O / ]; then cache=/var/cache; else cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}; fi
  runtime=$OCINET_RUNTIME
  case $runtime in "" | deno | *"/deno")
    if command -v "${runtime:-deno}" >/dev/null; then
      export DENO_DIR="$cache/ocinet"
      exec $apart /usr/bin/env --block-signal=USR1 DENO_NO_UPDATE_CHECK=1 "${runtime:-deno}" run -A --no-config --no-lock --ext=js "$0" "$@"
    fi
  esac
  case $runtime in "" | node | *"/node")
    ! command -v "${runtime:-node}" >/dev/null || exec $apart "${runtime:-node}" "--inspect-port=[ff02::1]:9229" "$0" "$@"
  esac
  case $runtime in
    "") why="neither deno (2 or later) nor node (20.16 or later) is on PATH; install one, from deno.com or nodejs.org" ;;
    deno | node | *"/deno" | *"/node") why="OCINET_RUNTIME is \"$runtime\", and there is no such program" ;;
    *) why="OCINET_RUNTIME is \"$runtime\", and not deno, node, or the path of one" ;;
  esac
  echo "ocinet: Cannot start: $why" >&2
  exit 1
}
apart=

# pass_on: what the supervisor says goes to standard error until it has a plan, a line of shell, which is printed
pass_on() {
  said=
  while IFS= read -r line; do
    case $line in
      "ocinet plan") PATH=$PATH:/usr/bin:/bin exec head -n 1 ;;
      *) said=yes && printf '%s\n' "$line" >&2 ;;
    esac
  done
  [ -n "$said" ] || echo "ocinet: Cannot run the command: what was to connect it has been killed" >&2
  echo "exit 125"
}

# This process becomes the command, so that its caller has just what unshare would have given: no signal, descriptor, limit
# or byte of an argument goes through a runtime. A supervisor, with init as its parent and in a session of its own, makes the network,
# says what to become, and takes the network away once this process has ended.
case "$1 ${2-}" in "run "* | "session exec")
  ocinet_plan=$( (exec </dev/null 2>&1 && apart=setsid && become_runtime supervise "$$" "$#" &) | pass_on)
  # shellcheck disable=SC2034 # the plan's
  ocinet_newline='
'
  eval "$ocinet_plan"
esac
input='' status=''
case $OCINET_AGENT:$1 in
  no:*) ;;
  *:hook | *:cni | *:up | *:down | *:port | *:ls | *:inspect | *:network) call_agent ;;
  *: | *:plugin) [ -z "$CNI_COMMAND" ] || call_agent ;;
esac
[ ! -s "$input" ] || { PATH=$PATH:/usr/bin:/bin cat "$input" - | become_runtime "$@"; exit; }
become_runtime "$@"
# */;
