# A CNI plugin that is not ours, for tests of what calls one.

# recorder FILE: a plugin that writes down how it is called, in $CALLS, and what it is given, in $CALLS.COMMAND.NAME; hands
# on the result that it was given; and fails, in its own words, at the command that $CALLS.fails names
recorder() {
  CALLS=$BATS_TEST_TMPDIR/calls
  echo "#!/bin/sh"$'\n'"calls=$CALLS" >"$1"
  cat >>"$1" <<'SCRIPT'
request=$(cat)
echo "$CNI_COMMAND ${0##*/} $CNI_CONTAINERID $CNI_IFNAME [$CNI_ARGS] $CNI_NETNS" >>"$calls"
printf '%s\n' "$request" >"$calls.$CNI_COMMAND.${0##*/}"
if [ "$CNI_COMMAND" = "$(cat "$calls.fails" 2>/dev/null)" ]; then
  echo '{ "cniVersion": "1.0.0", "code": 117, "msg": "the weather is bad", "details": "rain" }'
  exit 1
fi
[ "$CNI_COMMAND" != ADD ] || printf '%s' "$request" | jq -c '.prevResult // { cniVersion, ips: [] }'
SCRIPT
  chmod 755 "$1"
}

# calls: the commands and names so far, on one line
calls() { cut -d' ' -f1,2 "$CALLS" 2>/dev/null | xargs; }

# given COMMAND NAME FILTER: what the plugin was given last passes the filter
given() { jq -e "$3" "$CALLS.$1.$2" >/dev/null || fail "$1 $2: $3" "$(<"$CALLS.$1.$2")"; }
