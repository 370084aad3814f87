#!/usr/bin/env bats
# What `ocinet inject` makes of a bundle's config.json, and that what it wrote works from anywhere.
load lib

setup() {
  set_up_hosts
  BUNDLE=$BATS_TEST_TMPDIR/bundle CONFIG=$BATS_TEST_TMPDIR/bundle/config.json
  make_bundle "$BUNDLE"
  # As runc writes it.
  jq --tab . "$CONFIG" >"$BATS_TEST_TMPDIR/config.json"
  cp "$BATS_TEST_TMPDIR/config.json" "$CONFIG"
  before
}

# before: remembers the config as it is
before() { cp "$CONFIG" "$BATS_TEST_TMPDIR/before.json"; }
same() { cmp "$BATS_TEST_TMPDIR/before.json" "$CONFIG"; }
inject() { ocinet inject "$@" "$BUNDLE"; }
namespaces() { jq -r '.linux.namespaces[].type' "$CONFIG" | tr '\n' ' '; }

@test "inject adds two hooks and nothing else" {
  inject --net default -p 8080:80
  [ "$(jq -S 'del(.hooks)' "$CONFIG")" = "$(jq -S . "$BATS_TEST_TMPDIR/before.json")" ]
  [ "$(jq -c '.hooks | keys' "$CONFIG")" = '["createRuntime","poststop"]' ]
  jq -e --arg file "$OCINET" '.hooks.createRuntime | length == 1 and (.[0] | .args[0] == .path and
    (.path | startswith("/")) and .args[-5:] == [$file, "hook", "createRuntime", "--net=default", "--publish=8080:80"])' "$CONFIG"
  jq -e '.hooks.poststop | length == 1 and .[0].args[-2:] == ["hook", "poststop"]' "$CONFIG"
  # Lines have come, and none has gone; the last one's comma may have.
  run -1 diff <(sed 's/,$//' "$BATS_TEST_TMPDIR/before.json") <(sed 's/,$//' "$CONFIG")
  [[ $output != *"< "* ]]
}

@test "inject --remove gives the file back, byte for byte" {
  local options
  for options in "--net default -p 8080:80" "--net none" "--net host" "--hostname box --dns 192.0.2.53"; do
    # shellcheck disable=SC2086 # several words
    inject $options
    run ! same
    inject --remove
    same || fail "after $options"
  done
}

@test "inject takes annotations for what options do not say" {
  set_config "$BUNDLE" '.annotations = { "org.ocinet.net": "host", "org.ocinet.publish": "8080:80" }'
  before
  run -1 inject
  [ "$output" = "ocinet: Cannot publish ports with --net=host: the container has the host's ports already" ]
  same
  inject --net default
  [[ " $(namespaces)" == *" network "* ]]
  set_config "$BUNDLE" '.annotations = { "org.ocinet.net": "host" }'
  inject
  [[ " $(namespaces)" != *" network "* ]]
}

@test "inject keeps how the file is written" {
  local way
  for way in --tab "--indent 2" "--indent 4" -c; do
    # shellcheck disable=SC2086 # two words
    jq $way . "$BATS_TEST_TMPDIR/config.json" >"$CONFIG"
    before
    inject
    run -0 diff "$BATS_TEST_TMPDIR/before.json" <(inject --remove --print)
    inject --remove
    same || fail "written by jq $way"
  done
  printf '%s' "$(<"$BATS_TEST_TMPDIR/before.json")" >"$CONFIG"
  before
  inject
  inject --remove
  same
}

@test "inject keeps numbers that JavaScript cannot hold" {
  set_args "$BUNDLE" true
  sed -i 's/"hard": 1024/"hard": 18446744073709551615, "x": [1.0, 1e3, -0, 0.1], "y": "18446744073709551615 \\u003c"/; s/RLIMIT_NOFILE/RLIMIT_CORE/' "$CONFIG"
  inject
  grep -F '"hard": 18446744073709551615' "$CONFIG"
  tr -d ' \t\n' <"$CONFIG" | grep -F '"x":[1.0,1e3,-0,0.1],"y":"18446744073709551615<"'
  run -0 run_container c1 "$BUNDLE"
}

@test "inject twice is inject once, and other options replace the old ones" {
  inject --net default -p 8080:80
  before
  inject --net default -p 8080:80
  same
  inject --net none
  jq -e '.hooks.createRuntime | length == 1 and .[0].args[-1] == "--net=none"' "$CONFIG"
  inject --net default -p 8080:80
  same
}

@test "inject writes nothing when nothing changes, and nothing with --print and --dry-run" {
  touch -d 2000-01-01 "$CONFIG"
  inject --remove
  run -0 inject --print --net default
  jq -e '.hooks.createRuntime | length == 1' <<<"$output"
  local printed=$output
  run -0 inject --dry-run --net default
  [ "$output" = "$printed" ]
  run -0 inject --dry-run --json --net default
  jq -e '.report.hooks.createRuntime | length == 1' <<<"$output"
  [ "$(stat -c %Y "$CONFIG")" = "$(date -d 2000-01-01 +%s)" ]
  inject --net default
  [ "$(<"$CONFIG")" = "$printed" ]
}

@test "other hooks stay, in their order" {
  set_config "$BUNDLE" '.hooks = {createRuntime: [{path: "/bin/first", args: ["first", "hook"]}],
    poststart: [], poststop: [{path: "/bin/last", env: ["OCINET_HOOK=0"]}], prestart: []}'
  before
  inject
  [ "$(jq -c '[.hooks.createRuntime[0].path, .hooks.poststop[0].path, .hooks.poststart, .hooks.prestart]' "$CONFIG")" = \
    '["/bin/first","/bin/last",[],[]]' ]
  jq -e '.hooks | (.createRuntime | length) == 2 and (.poststop | length) == 2' "$CONFIG"
  inject --net none
  jq -e '.hooks | (.createRuntime | length) == 2 and (.poststop | length) == 2' "$CONFIG"
  inject --remove
  same
}

@test "a bundle without a network namespace gets one, and loses it again" {
  set_config "$BUNDLE" 'del(.linux.namespaces[] | select(.type == "network"))'
  before
  inject --net default
  [[ $(namespaces) == *network* ]]
  inject --net none
  inject --remove
  same
}

@test "host takes the network namespace out, and gives it back as it was" {
  set_config "$BUNDLE" '(.linux.namespaces[] | select(.type == "network")) = {type: "network", path: "/run/netns/box"}'
  before
  inject --net host
  [[ $(namespaces) != *network* ]]
  inject --net host
  inject --net default
  jq -e '.linux.namespaces[] | select(.path == "/run/netns/box")' "$CONFIG"
  inject --net host
  inject --remove
  same
  # A user who gives the bundle another namespace meanwhile keeps that.
  inject --net host
  set_config "$BUNDLE" '.linux.namespaces += [{type: "network", path: "/run/netns/other"}]'
  inject --remove
  [ "$(jq -r '.linux.namespaces[] | select(.type == "network") | .path' "$CONFIG")" = /run/netns/other ]
}

@test "the host name is set, and given back" {
  local own
  own=$(jq -r .hostname "$CONFIG")
  inject --hostname box
  [ "$(jq -r .hostname "$CONFIG")" = box ]
  inject --hostname other
  [ "$(jq -r .hostname "$CONFIG")" = other ]
  inject
  [ "$(jq -r .hostname "$CONFIG")" = "$own" ]
  inject --remove
  set_config "$BUNDLE" 'del(.hostname)'
  before
  inject --hostname box
  inject --remove
  same
}

@test "what cannot work is refused before anything is written" {
  refused 'ocinet: Cannot publish ports with --net=host: the container has the host'\''s ports already' --net host -p 80:80
  refused 'ocinet: Cannot publish ports with --net=none: the container has loopback only' --net none -p 80:80
  refused 'ocinet: networks not found: nowhere (there are: default-restricted, default)' --net nowhere
  refused 'ocinet: Cannot publish "80": it is not [HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]' -p 80
  refused 'ocinet: Cannot use host name "a b": it is not one of up to 64 letters, digits, "-" and "."' --hostname "a b"
  rm "$BUNDLE/rootfs/etc/resolv.conf"
  refused "ocinet: Cannot provide /etc/resolv.conf in $BUNDLE/rootfs: there is no such file to mount it over; make an empty one" \
    --dns 192.0.2.53
  ln -s ../run/systemd/resolve/stub-resolv.conf "$BUNDLE/rootfs/etc/resolv.conf"
  refused "ocinet: Cannot provide /etc/resolv.conf in $BUNDLE/rootfs: $BUNDLE/rootfs/etc/resolv.conf is a symbolic link; replace it by a file" \
    --dns 192.0.2.53
}

# refused MESSAGE OPTIONS...
refused() {
  run ! inject "${@:2}"
  [ "$output" = "$1" ] || fail "It says:" "$output" "and not:" "$1"
  same
}

@test "a bundle that is none is refused" {
  run -1 ocinet inject "$BATS_TEST_TMPDIR/nowhere"
  [ "$output" = "ocinet: Cannot change bundle \"$BATS_TEST_TMPDIR/nowhere\": there is no such directory" ]
  echo '{"ociVersion": ' >"$CONFIG"
  run -1 inject
  [[ $output == "ocinet: Cannot read $CONFIG: "* && ${#lines[@]} = 1 ]]
  echo '[]' >"$CONFIG"
  run -1 inject
  [ "$output" = "ocinet: Cannot read $CONFIG: it is not a JSON object" ]
}

@test "a config that may not be written stays, and the reason is said" {
  chmod 644 "$CONFIG"
  run -1 as_user "$OCINET" inject "$BUNDLE"
  [[ $output == "ocinet: Cannot write $CONFIG: "*ermission\ denied* && ${#lines[@]} = 1 ]]
  same
  run -0 as_user "$OCINET" inject --print "$BUNDLE"
}

@test "a bundle is found by a relative path, and its config keeps its mode and owner" {
  chown "$OCINET_TEST_USER" "$BUNDLE" "$CONFIG"
  chmod 640 "$CONFIG"
  cd "$BUNDLE"
  ocinet inject .
  ocinet inject --net none ../bundle/
  [ "$(stat -c %a:%U "$CONFIG")" = "640:$OCINET_TEST_USER" ]
  jq -e '.hooks.createRuntime | length == 1' "$CONFIG"
}

# give_away: the bundle is an ordinary user's; root has a file of the same kind that must neither be read nor change
give_away() {
  chown -R "$OCINET_TEST_USER" "$BUNDLE"
  PRECIOUS=$BATS_TEST_TMPDIR/precious.json
  install -m 600 "$BATS_TEST_TMPDIR/before.json" "$PRECIOUS"
}

precious_is_untouched() {
  cmp "$BATS_TEST_TMPDIR/before.json" "$PRECIOUS"
  [ "$(stat -c %a:%U:%h "$PRECIOUS")" = "${1:-600:root:1}" ]
}

@test "root reads and overwrites nothing of root's through a bundle that a user writes" {
  local runtime
  give_away
  mkdir "$BATS_TEST_TMPDIR/other"
  cp "$PRECIOUS" "$BATS_TEST_TMPDIR/other/config.json"
  for runtime in deno node; do
    export OCINET_RUNTIME=$runtime
    as_user ln -sf "$PRECIOUS" "$CONFIG"
    refused_of_user "it is a symbolic link; put the file that it leads to in its place"
    as_user rm "$CONFIG"
    as_user mkfifo "$CONFIG"
    refused_of_user "it is not a regular file; put one in its place"
    rm "$CONFIG"
    ln "$PRECIOUS" "$CONFIG"
    run -1 inject --net none
    [[ $output == "ocinet: Cannot read $CONFIG: the file has 2 names (hard links); "* ]]
    precious_is_untouched 600:root:2
    rm "$CONFIG"
    cp "$PRECIOUS" "$CONFIG"
    refused_of_user "it belongs to user 4711, and the bundle to user $(id -u "$OCINET_TEST_USER"); chown one of them" 4711
    # A link on the way to it, that the user may have made.
    rm -f "$BATS_TEST_TMPDIR/home"
    as_user ln -sfn "$BATS_TEST_TMPDIR/other" "$BUNDLE/link"
    run -1 ocinet inject --net none "$BUNDLE/link"
    [ "$output" = "ocinet: Cannot follow the symbolic link $BUNDLE/link in $BUNDLE/link: others than root may have made it; give the path that it leads to" ]
    cmp "$PRECIOUS" "$BATS_TEST_TMPDIR/other/config.json"
    # Root's own is followed.
    ln -s "$BUNDLE" "$BATS_TEST_TMPDIR/home"
    chown "$OCINET_TEST_USER" "$CONFIG"
    ocinet inject --net none "$BATS_TEST_TMPDIR/home"
    [ "$(stat -c %a:%U "$CONFIG")" = "600:$OCINET_TEST_USER" ]
    jq -e '.hooks.createRuntime' "$CONFIG"
    # Nothing that was begun stays.
    [ -z "$(find "$BUNDLE" -maxdepth 1 -name '.*.*')" ]
  done
}

# refused_of_user REASON [OWNER]: inject does not take the config, with that owner
refused_of_user() {
  [ -z "${2-}" ] || chown "$2" "$CONFIG"
  run -1 timeout 60 "$OCINET" inject --net none "$BUNDLE"
  [ "$output" = "ocinet: Cannot read $CONFIG: $1" ] || fail "It says:" "$output" "and not:" "ocinet: Cannot read $CONFIG: $1"
  precious_is_untouched
}

@test "a user who swaps config.json and the bundle while root injects gets nothing of root's changed" {
  local runtime i
  give_away
  mkdir -p "$BATS_TEST_TMPDIR/roots/bundle"
  install -m 600 "$PRECIOUS" "$BATS_TEST_TMPDIR/roots/bundle/config.json"
  install -d -o "$OCINET_TEST_USER" "$BATS_TEST_TMPDIR/users" "$BATS_TEST_TMPDIR/users/bundle"
  cp "$CONFIG" "$BATS_TEST_TMPDIR/users/own.json"
  chmod 644 "$BATS_TEST_TMPDIR/users/own.json"
  # shellcheck disable=SC2016 # the inner shell's
  background swaps as_user bash -c '
    cd "$1" || exit
    while :; do
      mkdir -p bundle && cp own.json new && mv -T new bundle/config.json
      ln -sfn "$2" link && mv -T link bundle/config.json
      cp own.json new && mv -T new bundle/config.json
      mv -T bundle aside && ln -sfn "$3" bundle
      rm -f bundle; mv -T aside bundle
    done 2>/dev/null' swaps "$BATS_TEST_TMPDIR/users" "$PRECIOUS" "$BATS_TEST_TMPDIR/roots/bundle"
  for runtime in deno node; do
    for ((i = 0; i < 15; i++)); do
      OCINET_RUNTIME=$runtime "$OCINET" inject --hostname "box$i" "$BATS_TEST_TMPDIR/users/bundle" || true
    done
  done
  stop swaps
  precious_is_untouched
  cmp "$PRECIOUS" "$BATS_TEST_TMPDIR/roots/bundle/config.json"
  [ "$(stat -c %a:%U "$BATS_TEST_TMPDIR/roots/bundle/config.json")" = 600:root ]
  [ "$(ls -A "$BATS_TEST_TMPDIR/roots/bundle")" = config.json ]
}

@test "the hook works wherever ocinet lies, and through whatever link it was called" {
  local runtime blank="$BATS_TEST_TMPDIR/a place"
  mkdir "$blank" "$BATS_TEST_TMPDIR/bin"
  # Nothing but the file: no package.json, no neighbours.
  cp "$OCINET" "$blank/ocinet"
  ln -s "$blank/ocinet" "$BATS_TEST_TMPDIR/bin/oci net"
  cd /
  for runtime in deno node; do
    OCINET_RUNTIME=$runtime in_host "$BATS_TEST_TMPDIR/bin/oci net" inject "$BUNDLE"
    jq -e --arg file "$blank/ocinet" 'all(.hooks[][]; .args | index($file))' "$CONFIG"
    set_config "$BUNDLE" '.process.args = ["ip", "-o", "-4", "address", "show", "eth0"]'
    run -0 run_container "c-$runtime" "$BUNDLE"
    [[ $output == *"inet 172.16.28."* ]]
    [ ! -e "$STATE_DIR/containers/c-$runtime" ]
  done
}

@test "a container with a user namespace gets a hook that lets us in from inside, which goes again" {
  set_config "$BUNDLE" '.linux.namespaces += [{type: "user"}]'
  before
  inject
  [ "$(jq -c '.hooks | keys' "$CONFIG")" = '["createContainer","createRuntime","poststop"]' ]
  jq -e '.hooks.createContainer | length == 1 and .[0].args[0] == "sh"' "$CONFIG"
  # Where no process waits for it, as now, it has nothing to do.
  run -0 as_user "$(jq -r '.hooks.createContainer[0].path' "$CONFIG")" -c "$(jq -r '.hooks.createContainer[0].args[2]' "$CONFIG")"
  [ -z "$output" ]
  inject --remove
  same
}
