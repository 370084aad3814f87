# For the tests of CNI: the plugins as a runtime calls them, and what is left of them.

# Our plugins as links in $BIN, a container's namespace /run/netns/box, and forwarding on from the start.
set_up_plugins() {
  BIN=$BATS_TEST_TMPDIR/bin
  # Without duplicate address detection no address of a link comes later than the link.
  in_host sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
  make_box
  link_plugins "$BIN"
}

# link_plugins DIRECTORY: our plugins as links in it, which `install-plugins` made once for the file's tests
link_plugins() {
  local made=$BATS_RUN_TMPDIR/plugins
  [ -e "$made" ] || ocinet install-plugins "$made" >/dev/null
  cp -dR "$made" "$1"
}

# make_box: with a loopback link that has been up once, for it does not lose what it got by that. It forwards nothing: a
# new namespace begins with what the first one has at the moment.
make_box() {
  in_host ip netns add box
  in_box sh -c 'ip link set dev lo up; ip link set dev lo down; sysctl -q net.ipv4.ip_forward=0'
}

# plugin TYPE COMMAND [JSON [VARIABLE=VALUE...]]: calls it for "eth0" of container "c1" in /run/netns/box, from the
# directory $PLUGINS if that is set; a variable given as NAME= is not set at all
plugin() {
  local variable variables=()
  local -A values=([CNI_CONTAINERID]=c1 [CNI_NETNS]=/run/netns/box [CNI_IFNAME]=eth0 [CNI_PATH]=${PLUGINS:-$BIN} [PATH]=$PATH
    [OCINET_RUNTIME]=${OCINET_RUNTIME-} [OCINET_STATE_DIR]=$STATE_DIR [CNI_COMMAND]=$2)
  for variable in "${@:4}"; do values[${variable%%=*}]=${variable#*=}; done
  for variable in "${!values[@]}"; do
    [ -z "${values[$variable]}" ] || variables+=("$variable=${values[$variable]}")
  done
  in_host env -i "${variables[@]}" "${PLUGINS:-$BIN}/$1" <<<"${3-}"
}

in_box() { in_host ip netns exec box "$@"; }

# conf TYPE [JSON [VERSION]]: a network configuration for one plugin, with the JSON, or what jq makes one of, merged into it
conf() {
  jq -nc --arg type "$1" --arg version "${3-1.1.0}" '{ cniVersion: $version, name: "net", $type } + ('"${2:-"{}"}"')'
}

# with_result CONF RESULT [JSON]: the configuration as CHECK and DEL get it, and the next plugin of a chain
with_result() { jq -c --argjson result "$2" --argjson more "${3:-"{}"}" '. + { prevResult: $result } + $more' <<<"$1"; }

# adds TYPE JSON [VARIABLE...]: ADD, whose result is then in $RESULT
adds() {
  run -0 --separate-stderr plugin "$1" ADD "${@:2}"
  # shellcheck disable=SC2034,SC2154 # for the tests; of bats
  RESULT=$output
}

# refused CODE MESSAGE TYPE COMMAND [JSON [VARIABLE...]]: the plugin's error is that, on stdout and nowhere else
refused() {
  run -1 --separate-stderr plugin "${@:3}"
  [ -z "$stderr" ] || fail "on stderr:" "$stderr"
  jq -se --argjson code "$1" --arg message "$2" '.[0].code == $code and .[0].msg == $message and length == 1' <<<"$output" ||
    fail "expected:" "$1 $2" "but there is:" "$output"
}

# elements NAME: what nft knows of one of our sets or maps, on one line, without whose it is
elements() {
  in_host nft list table inet ocinet 2>/dev/null | awk -v name="$1" '
    $2 == name && /\{/ { on = 1 } on && /elements/ { sub(/.*elements = /, ""); found = 1 } on && found { print } on && /\}/ { exit }' |
    tr -d '\n\t' | sed 's/}}$/}/; s/ comment "[^"]*"//g'
}

# What ADD may leave that DEL has to take: links, elements of nft, leases, records, locks.
cni_traces() {
  in_host ip -o link | grep -F veth
  own_elements
  find "$STATE_DIR" "$HOST_DIR/cni" -type f ! -name 'last_reserved_ip.*' ! -name lock -size +0 | grep .
}

equal() { [ "$1" = "$2" ] || fail "expected:" "$1" "but there is:" "$2"; }

# libcni ADD|DEL LIST [VARIABLE=VALUE...]: the plugins of a network list as libcni calls them, from $PLUGINS, with $CAP_ARGS
# for those that have the capability; what it keeps of the attachment is where, and as, libcni keeps it
libcni() {
  local list=$2 name file result="" plugins plugin
  name=$(jq -r .name <<<"$list")
  file=$HOST_DIR/cni/results/$name-c1-eth0
  [ "$1" = ADD ] || [ ! -e "$file" ] || result=$(jq -c .result "$file")
  mapfile -t plugins < <(jq -c --arg command "$1" --argjson given "${CAP_ARGS-"{}"}" '. as $list | .plugins
    | if $command == "DEL" then reverse else . end | .[] | . + ($list | { name, cniVersion })
    | (.capabilities // {} | with_entries(select(.value and $given[.key]) | .value = $given[.key])) as $args
    | if $args == {} then . else . + { runtimeConfig: $args } end' <<<"$list")
  for plugin in "${plugins[@]}"; do
    # Older versions have no prevResult in DEL.
    [ -z "$result" ] || [[ $1 = DEL && $(jq -r .cniVersion <<<"$list") = 0.[123].* ]] || plugin=$(with_result "$plugin" "$result")
    if [ "$1" = ADD ]; then
      result=$(plugin "$(jq -r .type <<<"$plugin")" ADD "$plugin" "${@:3}" 2>/dev/null) || fail "$result" || return
    else
      plugin "$(jq -r .type <<<"$plugin")" DEL "$plugin" "${@:3}" || return
    fi
  done
  [ "$1" = ADD ] || { rm -f "$file" && return; }
  mkdir -p "${file%/*}"
  jq -nc --arg config "$(base64 -w 0 <<<"$list")" --arg name "$name" --argjson result "$result" --argjson given "${CAP_ARGS-"{}"}" '{
    kind: "cniCacheV1", containerId: "c1", $config, ifName: "eth0", networkName: $name, capabilityArgs: $given, $result }' >"$file"
}
