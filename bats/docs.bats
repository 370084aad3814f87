#!/usr/bin/env bats
# What README.md, docs and the labs have their readers type, typed.
# as long as 200 tests
# shellcheck disable=SC2016 # the inner shells'
load lib

setup() {
  set_up_hosts
  WORLD=$BATS_TEST_TMPDIR/world
  export PROJECT
  background world in_peer bash -c '. bats/pages.bash; serve_world "$1"' bash "$BATS_TEST_TMPDIR/peer"
  in_host bash -euc '. bats/pages.bash; furnish_pages "$1"' bash "$WORLD"
  wait_for in_host busybox nslookup example.org 192.0.2.2
}

# done_as_said FILE...
done_as_said() { in_host bash -c '. bats/pages.bash; page "$@"' bash "$WORLD" check "$@"; }

@test "README and docs do what they say" {
  # PAGES, if set, are the ones to try.
  # shellcheck disable=SC2086 # several
  done_as_said ${PAGES-README.md docs/*.md}
}

@test "the labs do what they say" {
  # shellcheck disable=SC2086 # several
  done_as_said ${LABS-docs/labs/*.md}
}
