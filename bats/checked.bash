# For the tests of CHECK: one attachment, and what CHECK says of it.

# shellcheck disable=SC2034 # for the tests
HOST_LOCAL='{ "type": "host-local", "subnet": "10.1.1.0/24", "routes": [{ "dst": "0.0.0.0/0" }] }'

# checked TYPE JSON: attached by a plugin of that type, and nothing is wrong; $CHECKED is what CHECK and DEL are given
checked() {
  CHECKED_TYPE=$1 NOTICED=""
  adds "$1" "$(conf "$1" "$2")"
  CHECKED=$(with_result "$(conf "$1" "$2")" "$RESULT")
  run -0 --separate-stderr plugin "$1" CHECK "$CHECKED"
  # shellcheck disable=SC2154 # of bats
  [ -z "$output$stderr" ] || fail "$output" "$stderr"
}

# notices MESSAGE COMMAND MEND: after the shell's command CHECK says that; then it is mended, as the next CHECK shows
notices() {
  # What was not mended the last time would say the same again.
  [ "$1" != "$NOTICED" ] || run -0 plugin "$CHECKED_TYPE" CHECK "$CHECKED"
  NOTICED=$1
  in_host bash -ec "$2"
  refused 999 "$1" "$CHECKED_TYPE" CHECK "$CHECKED"
  in_host bash -ec "$3"
}

# ends: nothing is wrong any more, and it is detached
ends() {
  run -0 --separate-stderr plugin "$CHECKED_TYPE" CHECK "$CHECKED"
  [ -z "$output$stderr" ] || fail "$output" "$stderr"
  run -0 plugin "$CHECKED_TYPE" DEL "$CHECKED"
}
