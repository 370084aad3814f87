# Runs what prints TAP and adds it up.

# tap NAME COMMAND...: shows the TAP that the command prints (all of it, or with TAP_QUIET only when something failed),
# then "NAME: N passed, N failed, N skipped". Fails if a test or the command did. What failed is added to the file $FAILURES,
# if one is given, so that the end of a long log can repeat it.
tap() {
  local name=$1 output status=0
  shift
  output=$(mktemp)
  if [ -n "${TAP_QUIET-}" ]; then
    "$@" >"$output" 2>&1 || status=$?
    ((status == 0)) || cat "$output"
  else
    "$@" 2>&1 | tee "$output" || status=$?
  fi
  tally "$name" "$status" <"$output" || status=1
  [ -z "${FAILURES-}" ] || failures "$name" <"$output" >>"$FAILURES"
  rm -f "$output"
  return "$status"
}

# failures NAME: each failed test with the first lines and the last lines of what it said; and each that failed at the first
# try alone (bats/lib.bash)
failures() {
  awk -v name="$1" '
    function flush(  i) {
      for (i = 1; i <= n; i++) if (i <= 12 || i > n - 12) print lines[i]
      n = 0
    }
    /^# Failed at the first try: / { flush(); failed = 1; sub(/^# /, "") }
    /^(not )?ok / { flush(); failed = /^not ok / && tolower($0) !~ /# (skip|todo)/ }
    failed { lines[++n] = n == 1 ? name ": " $0 : $0 }
    END { flush() }'
}

# Subtests are indented and count in their test. A command that fails without a failed test, as Deno does when a file
# does not load, counts as one.
tally() {
  awk -v name="$1" -v status="$2" '
    tolower($0) ~ /^(not )?ok .*# (skip|todo)/ { skipped++; next }
    /^ok / { passed++ }
    /^not ok / { failed++ }
    END {
      if (status && !failed) failed = 1
      printf "%s: %d passed, %d failed, %d skipped\n", name, passed, failed, skipped
      exit failed > 0
    }'
}
