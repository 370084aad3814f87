#!/usr/bin/env bats
# Completion, asked of the shells themselves.
# shellcheck disable=SC2016 # the other shells' variables
load lib
load contained

# offers SHELL LINE: what the shell offers for the last word, a line each
offers_in_bash() {
  in_host bash --norc -c '. "$1"; complete -p ocinet >/dev/null; read -ra COMP_WORDS <<<"$2"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ocinet; printf "%s\n" "${COMPREPLY[@]}"' bash "$SCRIPTS/bash" "$1"
}
offers_in_fish() {
  in_host fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$SCRIPTS/fish" "$1" | cut -f 1
}

@test "bash, fish and zsh complete commands, options, networks and containers" {
  local shell lines
  SCRIPTS=$BATS_TEST_TMPDIR/scripts
  export PATH=$PROJECT/dist:$PATH HOME=$BATS_TEST_TMPDIR
  in_host ip netns add box
  ocinet up box
  mkdir "$SCRIPTS"
  for shell in bash fish; do ocinet completion $shell >"$SCRIPTS/$shell"; done
  for shell in bash fish; do
    equal create "$(offers_in_$shell "ocinet network cre")"
    equal --proxy-protocol "$(offers_in_$shell "ocinet up --proxy")"
    equal default-restricted "$(offers_in_$shell "ocinet up --net default-")"
    equal box "$(offers_in_$shell "ocinet down b")"
    equal environment "$(offers_in_$shell "ocinet help env")"
  done
  ocinet completion zsh >"$SCRIPTS/_ocinet"
  run -0 in_host timeout 60 zsh -f "$PROJECT/bats/complete.zsh" "$SCRIPTS" \
    "ocinet network cre" "ocinet up --proxy" "ocinet up --net default-" "ocinet down b" </dev/null
  mapfile -t lines <<<"$output"
  equal "ocinet network create " "${lines[0]}"
  equal "ocinet up --proxy-protocol " "${lines[1]}"
  equal "ocinet up --net default-restricted " "${lines[2]}"
  equal "ocinet down box " "${lines[3]}"
  ocinet down box
  in_host ip netns delete box
}
