#!/usr/bin/env bats
# An ordinary user's view.
load lib

@test "an ordinary user runs ocinet and a container" {
  [ "$EUID" != 0 ]
  [[ $(ocinet version) == "ocinet "* ]]
  make_bundle "$BATS_TEST_TMPDIR/bundle"
  start_container c1 "$BATS_TEST_TMPDIR/bundle"
  run -0 exec_container c1 id -u
  [ "$output" = 0 ]
}
