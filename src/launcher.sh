#!/bin/sh
":" /*
# These lines are both shell and JavaScript: sh runs them and becomes a runtime, JavaScript reads a string and a comment,
# which nothing in them may end. Deno goes first because it starts faster. --no-config keeps a package.json nearby from
# loading its Node layer. What it has compiled it keeps where nobody else can write, which saves a sixth of a hook: for
# root that is not below a HOME that sudo may have left. Without a working directory it does not start.
# SIGUSR1 has both runtimes listen for a debugger (deno#35738), which would let every user of the machine run code as us.
# Deno never gets it if it is blocked before; Node unblocks all signals, but cannot listen on a multicast address.
# What else would make a runtime load code, write files or listen is the environment's; the command that is run has it.
[ "$*" != version ] || { echo "ocinet @VERSION@"; exit; }
export OCINET_CALLED_AS="$0" OCINET_DENO_DIR="$DENO_DIR"
for OCINET_NAME in NODE_OPTIONS NODE_COMPILE_CACHE NODE_EXTRA_CA_CERTS NODE_REDIRECT_WARNINGS NODE_V8_COVERAGE DENO_V8_FLAGS \
  DENO_COVERAGE_DIR; do
  eval "[ -z \"\${$OCINET_NAME+set}\" ] || { export OCINET_KEPT_$OCINET_NAME=\"\$$OCINET_NAME\"; unset $OCINET_NAME; }"
done
[ -d "$PWD" ] || cd /
if [ -O / ]; then cache=/var/cache; else cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}; fi
runtime=$OCINET_RUNTIME
case $runtime in "" | deno | *"/deno")
  if command -v "${runtime:-deno}" >/dev/null; then
    export DENO_DIR="$cache/ocinet"
    exec /usr/bin/env --block-signal=USR1 "${runtime:-deno}" run -A --no-config --no-lock --ext=js "$0" "$@"
  fi
esac
case $runtime in "" | node | *"/node")
  ! command -v "${runtime:-node}" >/dev/null || exec "${runtime:-node}" "--inspect-port=[ff02::1]:9229" "$0" "$@"
esac
case $runtime in
  "") why="neither deno (2 or later) nor node (20.16 or later) is on PATH; install one" ;;
  deno | node | *"/deno" | *"/node") why="OCINET_RUNTIME is \"$runtime\", and there is no such program" ;;
  *) why="OCINET_RUNTIME is \"$runtime\", and not deno, node, or the path of one" ;;
esac
echo "ocinet: Cannot start: $why" >&2
exit 1
# */;
