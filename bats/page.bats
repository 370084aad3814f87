#!/usr/bin/env bats
# The map of this host in a browser: the page of an agent, and a file of `ocinet map --html`, in headless Chromium.
# shellcheck disable=SC2154 # what run sets
load lib

setup() {
  set_up_hosts
  in_host ip link set lo up
  in_host ip netns add web
  in_host ip netns add db
  in_host sysctl -qw net.ipv4.ping_group_range="0 0"
  ocinet network create --subnet 10.5.0.0/24 shop >/dev/null
  ocinet up --net shop -p 8080:80 web
}

teardown() {
  [ -z "${TAB-}" ] || close
  remove_boxes
  tear_down_hosts
}

remove_boxes() {
  local box
  for box in web db; do in_host ip netns delete "$box" 2>/dev/null || true; done
}

# opens URL WIDTH light|dark: a page, which `says` and `is` ask
opens() {
  coproc TAB { in_host env HOME="$BATS_TEST_TMPDIR" deno run -A --no-check "$PROJECT/scripts/tab.ts" "$@" 2>"$BATS_TEST_TMPDIR/tab.log" 3>&-; }
  wait_for is '"complete"' document.readyState || fail "$(<"$BATS_TEST_TMPDIR/tab.log")"
}

# says EXPRESSION: its value in the page, as JSON
says() {
  local value
  printf '%s\n' "$1" >&"${TAB[1]}"
  IFS= read -r value <&"${TAB[0]}"
  printf '%s\n' "$value"
}

is() { [ "$(says "$2")" = "$1" ] || { echo "$2 is $(says "$2"), not $1" && return 1; }; }

# close: the page had no errors, other than that an agent which has ended does not answer
close() {
  local errors
  errors=$(says errors)
  [ "$(jq -c 'map(select(contains("ERR_CONNECTION_REFUSED") | not))' <<<"$errors")" = '[]' ] || fail "$errors"
  local pid=$TAB_PID input=${TAB[1]}
  exec {input}>&-
  wait "$pid"
  unset TAB
}

names='[...document.querySelectorAll("section li:not([hidden]) .name")].map(e => e.textContent).sort().join(" ")'
colour='getComputedStyle(document.body).backgroundColor'
too_wide='document.documentElement.scrollWidth > innerWidth'

@test "the page of an agent follows what happens on the host, keeps focus and filter, and says when the agent ends" {
  background page in_host "$OCINET" agent --workers 0 --page
  wait_for grep -q ' page: http://127.0.0.1:' "$BATS_TEST_TMPDIR/page.log"
  opens "$(sed -n 's/.* page: //p' "$BATS_TEST_TMPDIR/page.log")" 700 light
  is '"web"' "$names"
  is false "$too_wide"
  is '"rgb(255, 255, 255)"' "$colour"

  says 'document.querySelector("section").focus(), window.before = document.querySelector("section li"), 0'
  ocinet up --net shop db
  wait_for is '"db web"' "$names"
  is true 'document.activeElement === document.querySelector("section") && before.isConnected'
  background ping in_host ip netns exec db ping -q -i 0.1 -s 5000 10.5.0.2
  wait_for is true '/^in [0-9.]+ [kM]B.s, out [0-9.]+ [kM]B.s$/.test(document.querySelector("[data-rate=\"db shop eth0\"]").textContent)'
  wait_for is true '/^Busiest: (db|web) shop eth0 in /.test(document.querySelector("form + .rate").textContent)'
  wait_for is true 'document.querySelector("li polyline").getAttribute("points").split(" ").length > 1'

  says 'box.value = "DB", box.oninput(), 0'
  is '"db"' "$names"
  is '"1 shown"' 'form.querySelector("output").textContent'
  says 'form.querySelector("button").click(), 0'
  is '"true"' 'form.querySelector("button").getAttribute("aria-pressed")'
  ocinet port rm web 8080
  ocinet port add db 8081:80
  says 'form.querySelector("button").click(), 0'
  wait_for is true 'document.querySelector("main").textContent.includes("8081")'
  is false 'document.querySelector("main").textContent.includes("8080")'
  is '"db"' "$names"

  stop ping
  stop page
  wait_for is true '/^No answer since .* open the URL that it printed last$/.test(form.querySelector(".state").textContent)'
}

@test "a file of the map needs nothing else, in the dark and on a narrow screen" {
  ocinet up --net shop db
  ocinet map --html >"$BATS_TEST_TMPDIR/map.html"
  opens "file://$BATS_TEST_TMPDIR/map.html" 360 dark
  is '"db web"' "$names"
  is false "$too_wide"
  [ "$(says "$colour")" != '"rgb(255, 255, 255)"' ]
  says 'document.querySelector("input").value = "web", document.querySelector("input").oninput(), 0'
  is '"web"' "$names"
  is true 'performance.getEntriesByType("resource").length === 0'
  is '"Skip to the table"' 'document.querySelector("a").textContent'
  close
}
