#!/bin/sh
# Holds what the compiler cannot: who may import whom, where `unsafe` may stand, how long a file may be, and that nothing in the
# repository names the machine it was written on. Prints every breach; exit 1 if there is one.
set -eu
cd "$(dirname "$0")/.."
status=0
breach() {
  echo "guards: $1" >&2
  status=1
}

# Files of the repository: tracked ones and new ones that git does not ignore.
files() {
  git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
    [ ! -f "$file" ] || echo "$file"
  done
}

# imports PACKAGE HAS FORBIDDEN…: the package's own dependency tree, with the features it really enables (a tree of the whole
# workspace would unite everyone's), has none of the forbidden crates. HAS must be found, or the guard would see nothing at all.
imports() {
  package=$1
  has=$2
  shift 2
  tree=$(cargo tree --locked -p "$package" -e normal,build --prefix none -f '{p}' | cut -d' ' -f1 | sort -u)
  echo "$tree" | grep -qx "$has" || breach "cargo tree -p $package does not list $has: this guard is blind"
  for crate in "$@"; do
    if echo "$tree" | grep -qx "$crate"; then
      breach "$package must not depend on $crate; it comes by way of:"
      cargo tree --locked -p "$package" -e normal,build -i "$crate" >&2 || true
    fi
  done
}
imports mixbench-operator kube tch torch-sys nccl-rs mixbench-trainer
imports mixbench-trainer tch kube kube-core kube-client k8s-openapi mixbench-operator
imports mixbench-crds serde tch torch-sys nccl-rs kube k8s-openapi

# The bridge to libtorch is the only place that may switch the lint off.
for file in $(files '*.rs'); do
  case $file in
    trainer/nccl-rs/*) ;;
    *)
      found=$(grep -nE '(allow|expect)\((.*, *)?unsafe_code|unsafe *(\{|fn |impl |extern |trait )' "$file" | grep -vE '^[0-9]+: *//' || true)
      [ -z "$found" ] || breach "$file: unsafe code belongs into trainer/nccl-rs: $found"
      ;;
  esac
  found=$(grep -nE '\b(todo|unimplemented)!\(' "$file" || true)
  [ -z "$found" ] || breach "$file: unfinished: $found"
done

# Paths of one machine, and registries' hosts: clients know their registry, and an organisation may use a mirror.
machine='(^|[^A-Za-z0-9_.$/-])/(work|root|home/[a-z]+)/|(pypi|pythonhosted)\.org|static\.crates\.io|index\.crates\.io|deb\.debian\.org|registry\.npmjs|proxy\.golang'
for file in $(files | grep -vE '^(Cargo\.lock|scripts/guards\.sh)$'); do
  found=$(grep -nIE "$machine" "$file" || true)
  [ -z "$found" ] || breach "$file: names a machine's path or a registry's host: $found"
done

# A file is read in one sitting.
budget=scripts/line-budget.txt
for file in $(files '*.rs'); do
  lines=$(wc -l <"$file")
  most=$(awk -v f="$file" '$1 == f { print $2 }' $budget)
  if [ "$lines" -gt "${most:-400}" ]; then
    breach "$file has $lines lines, ${most:-400} are allowed: split it, or give the reason in $budget"
  elif [ -n "$most" ] && [ "$lines" -le 400 ]; then
    breach "$file has $lines lines and needs its line in $budget no longer"
  fi
done
awk '!/^#/ && NF && NF < 3 { print "guards: no reason given: " $0; bad = 1 } END { exit bad }' $budget >&2 || status=1
gone=$(awk '!/^#/ && NF { print $1 }' $budget | while read -r file; do [ -f "$file" ] || echo "$file"; done)
[ -z "$gone" ] || breach "$budget names what is gone: $gone"
exit $status
