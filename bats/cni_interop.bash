# For the tests of what the reference plugins put up and ours take down, and the reverse.

REFERENCE=/usr/lib/cni

# list VERSION PLUGIN[, PLUGIN...]: the network "net"
list() { jq -nc --arg version "$1" '{ cniVersion: $version, name: "net", plugins: ['"$2"'] }'; }

# The host, the container if it is there, and what is kept of attachments; where host-local goes on belongs to none.
everything() {
  links_of in_box 2>/dev/null
  snapshot | sed '/^== state files/,/^==/ { /^[dlf] /d }'
  find "$HOST_DIR/cni" "$STATE_DIR/containers" -type f ! -name lock ! -name 'last_reserved_ip.*' 2>/dev/null | sort
  in_host find /run/cni -type f 2>/dev/null || true
}

# settled FILE: the host is, or soon becomes, what `everything >FILE` saw
settled() { wait_for same_as "$1" || fail "$(diff -U0 "$1" <(everything))"; }
same_as() { everything | cmp -s "$1" -; }

# neighbour PLUGINS LIST: a container that has the network already, whose own rules and addresses have to stay
neighbour() {
  in_host ip netns add other
  local result="" plugin
  while read -r plugin; do
    [ -z "$result" ] || plugin=$(with_result "$plugin" "$result")
    result=$(PLUGINS=$1 plugin "$(jq -r .type <<<"$plugin")" ADD "$plugin" CNI_CONTAINERID=c11 CNI_NETNS=/run/netns/other 2>/dev/null) || fail "$result" || return
  done < <(jq -c '. as $list | .plugins[] | . + ($list | { name, cniVersion }) | if .type == "portmap"
    then .runtimeConfig = { portMappings: [{ hostPort: 8081, containerPort: 80, protocol: "tcp" }] } else . end' <<<"$2")
}

# goes_either_way PLUGINS...: lists of plugins; what theirs made of each goes by ours, and the reverse
goes_either_way() {
  local list before=$BATS_TEST_TMPDIR/before
  everything >"$before"
  for list; do
    list=$(list 1.0.0 "$list")
    PLUGINS=$REFERENCE libcni ADD "$list"
    PLUGINS=$BIN libcni DEL "$list"
    settled "$before"
    PLUGINS=$BIN libcni ADD "$list"
    PLUGINS=$REFERENCE libcni DEL "$list"
    collects_all "${list/1.0.0/1.1.0}"
    settled "$before"
  done
}

# collects_all LIST: GC of each plugin, with no attachment of "c1" any more
collects_all() {
  local plugin
  while read -r plugin; do
    plugin "$(jq -r .type <<<"$plugin")" GC "$plugin"
  done < <(jq -c '. as $list | .plugins[] | . + ($list | { name, cniVersion }) + { "cni.dev/valid-attachments": [{ containerID: "c11", ifname: "eth0" }] }' <<<"$1")
}
