# complete.zsh DIRECTORY LINE...: what an interactive zsh, which finds functions in the directory, makes of each line when the
# tabulator key is pressed. It runs at a terminal of its own.
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -D -u; show() { print -r -- \$((6*7))\"<\$BUFFER>\"; BUFFER=; }; zle -N show; bindkey '^G' show; PS1=\$((6 * 7))READY"
zpty -r z said '*42READY*'
shift
for line; do
  zpty -w -n z "$line"$'\t\a'
  zpty -r z said '*42<*>*'
  said=${said##*42<}
  print -r -- "${said%%>*}"
done
zpty -d z
