# The two laws for types that are called as plugins, one after the other as libcni calls them: what ADD made, DEL takes
# away, though ADD was killed at any program that it runs, or the container has gone first.

# list PLUGIN...: a network list of these
list() { jq -nc '{ cniVersion: "1.1.0", name: "law", plugins: [$ARGS.positional[] | fromjson] }' --args "$@"; }

# keep_laws LIST...: each whole, without the namespace, and killed
keep_laws() {
  local before=$BATS_TEST_TMPDIR/before inside=$BATS_TEST_TMPDIR/inside list
  snapshot >"$before"
  links_of in_box >"$inside"
  for list; do
    libcni ADD "$list"
    run -1 diff "$inside" <(links_of in_box)
    libcni DEL "$list"
    diff "$inside" <(links_of in_box)
    without_namespace "$list"
    killed_at_some_calls "$list"
  done
  diff "$inside" <(links_of in_box)
  # What containers share goes with the last.
  ocinet gc >/dev/null
  assert_same_snapshot "$before"
}

# without_namespace LIST: DEL when the container has gone, and is named, then not even that
without_namespace() {
  local variable
  for variable in CNI_NETNS=/run/netns/box CNI_NETNS=; do
    libcni ADD "$1"
    new_box
    libcni DEL "$1" "$variable"
  done
}

# new_box: the namespace ends, and another takes its place
new_box() {
  in_host ip netns delete box
  make_box
}

# killed_at_some_calls LIST: the ADD of each plugin, after those before it, before the second program that it runs, after
# the ninth …; then its DEL. (The laws in src/laws kill it at every call.)
killed_at_some_calls() {
  local plugins plugin type result=null
  make_wrappers ip nft nsenter sh tc bridge
  mapfile -t plugins < <(jq -c '(.plugins[]) + { name, cniVersion }' <<<"$1")
  for plugin in "${plugins[@]}"; do
    plugin=$(with_result "$plugin" "$result")
    type=$(jq -r .type <<<"$plugin")
    # What its DEL does not put back, as the routes of sbr, goes with the container.
    plugin "$type" ADD "$plugin" >"$BATS_TEST_TMPDIR/result"
    plugin "$type" DEL "$plugin"
    kill_plugin "$type" "$plugin"
    result=$RESULT
  done
  libcni DEL "$1"
}

# kill_plugin TYPE JSON: killed at its second call, and at every seventh from there, until its ADD succeeds; $RESULT is of
# that
kill_plugin() {
  local number when=after
  quick_look >"$BATS_TEST_TMPDIR/look"
  for number in {2..30..7}; do
    [ $when = before ] && when=after || when=before
    kill_at "$number" $when plugin "$1" ADD "$2" "PATH=$WRAPPERS:$PATH"
    # shellcheck disable=SC2034,SC2154 # for the tests; of bats
    ((status != 0)) || { RESULT=$output && return; }
    ((status == 137)) || fail "$1 was not killed at call $number, but says:" "$output"
    plugin "$1" DEL "$2"
    quick_look | diff "$BATS_TEST_TMPDIR/look" - ||
      fail "$1 killed $when $(sed -n "${number}s/.* //p" "$WRAPPERS/calls"), call $number, leaves that."
  done
  fail "$1 never ran to its end:" "$output"
}

# What ADD may leave: a snapshot that takes a tenth of the time
quick_look() {
  # shellcheck disable=SC2016 # the inner shell's
  in_host bash -c '
    ip -o link; ip netns exec box ip -o link; ip netns exec box ip route
    nft list ruleset
    find "$@" -type f' look "$STATE_DIR" "$HOST_DIR/cni" | sed -E 's/^[0-9]+: //; s/@[^:]*:/:/; s/ state [A-Z]*//; s/(,LOWER_UP|NO-CARRIER,)//; s/ linkdown//; s/link-netns [^ ]*//'
  processes
}
