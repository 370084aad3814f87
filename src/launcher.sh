#!/bin/sh
":" /*
# These lines are both shell and JavaScript: sh runs them and becomes a runtime, JavaScript reads a string and a comment,
# which nothing in them may end. Deno goes first because it starts faster. --no-config keeps a package.json nearby from
# loading its Node layer. What it has compiled it keeps where nobody else can write, which saves a sixth of a hook: for
# root that is not below a HOME that sudo may have left. Without a working directory it does not start.
[ "$*" != version ] || { echo "ocinet @VERSION@"; exit; }
export OCINET_CALLED_AS="$0" OCINET_DENO_DIR="$DENO_DIR"
[ -d "$PWD" ] || cd /
if [ -O / ]; then cache=/var/cache; else cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}; fi
runtime=$OCINET_RUNTIME
case $runtime in "" | deno | *"/deno")
  if command -v "${runtime:-deno}" >/dev/null; then
    export DENO_DIR="$cache/ocinet"
    exec "${runtime:-deno}" run -A --no-config --no-lock --ext=js "$0" "$@"
  fi
esac
case $runtime in "" | node | *"/node")
  ! command -v "${runtime:-node}" >/dev/null || exec "${runtime:-node}" "$0" "$@"
esac
case $runtime in
  "") why="neither deno (2 or later) nor node (20.16 or later) is on PATH; install one" ;;
  deno | node | *"/deno" | *"/node") why="OCINET_RUNTIME is \"$runtime\", and there is no such program" ;;
  *) why="OCINET_RUNTIME is \"$runtime\", and not deno, node, or the path of one" ;;
esac
echo "ocinet: Cannot start: $why" >&2
exit 1
# */;
