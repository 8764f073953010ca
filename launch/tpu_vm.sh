#!/usr/bin/env bash
# One program on a Cloud TPU VM: makes the VM or finds it again, copies this working tree, runs on all workers,
# fetches the results, deletes the VM. The same command goes on where an interrupted one stopped. Paths are
# relative to the project's folder, here and there.
set -euo pipefail
usage='usage: bash launch/tpu_vm.sh --name=N --zone=Z --type=v5litepod-8 [FLAGS] -- PROGRAM ARGS...
  --version=V       the image of the VM (default: the one for JAX on this type)
  --project=P       the project in Google Cloud (default: that of gcloud)
  --spot            cheaper, and may be taken away at any time: the same command goes on
  --queued          waits in the queue of Google Cloud for as long as there is no capacity
  --create=FLAG     a flag of gcloud for the VM; may be repeated: --create=--reserved, launch/README.md has more
  --internal_ips    no external address: connects by Identity-Aware Proxy
  --copy=PATH       a file or folder to copy to every worker although git ignores it; may be repeated
  --fetch=PATH      what to bring back, and to take along to a new VM (default: --out of the program)
  --fetch_every=M   brings it back every M minutes as well (default: 10; 0: at the end only)
  --keep            does not delete the VM, which costs until it is deleted
  --dry_run         prints every command, runs none
for example: bash launch/tpu_vm.sh --name=audit --zone=us-west4-a --type=v5litepod-8 --spot --copy=faces/ -- \
  audit --target=backbone.pth --members=faces/train/ --nonmembers=faces/others/ --out=runs/mine'

say() {
  echo "tpu_vm.sh: $*" >&2 || true # the terminal may be gone, and the VM is to be deleted all the same
}

fail() {
  say "$*"
  exit 2
}

name='' zone='' type='' version='' project='' fetch='' every=10
queued='' alpha='' keep=false dry=false copies=() wanted=() tunnel=()
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --version=*) version=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --copy=*) copies+=("${1#*=}") ;;
    --fetch=*) fetch=${1#*=} ;;
    --fetch_every=*) every=${1#*=} ;;
    --spot) wanted+=(--spot) ;;
    --queued) queued='queued-resources' ;;
    --create=--provisioning-model=* | --create=--max-run-duration=* | --create=--reservation=*)
      alpha=alpha wanted+=("${1#*=}") ;; # gcloud has these in its alpha commands only
    --create=--*) wanted+=("${1#*=}") ;;
    --internal_ips) alpha=alpha wanted+=(--internal-ips) tunnel=(--tunnel-through-iap) ;;
    --keep) keep=true ;;
    --dry_run) dry=true ;;
    --help) echo "$usage"; exit 0 ;;
    --) shift; break ;;
    -*) fail "found the flag '$1', which is none of this script; flags of the program stand after -- PROGRAM" ;;
    *) break ;;
  esac
  shift
done
[[ $name =~ ^[a-z]([a-z0-9-]*[a-z0-9])?$ ]] \
  || fail "--name: found '$name', expected a name for the VM of small letters, digits and hyphens"
[ -n "$zone" ] || fail "--zone: found none, expected one that has TPUs (gcloud compute tpus locations list)"
[[ $type =~ ^[a-z0-9-]+$ ]] || fail "--type: found '$type', expected an accelerator type such as v5litepod-8"
[[ $every =~ ^[0-9]+$ ]] || fail "--fetch_every: found '$every', expected minutes, or 0"
(($#)) || fail 'found no program; --help shows how to call this'
case $type in v5e-*) type=v5litepod-${type#v5e-} ;; esac  # what people call it
if [ -z "$version" ]; then
  case $type in
    v5litepod-*) version=v2-alpha-tpuv5-lite ;;
    v5p-*) version=v2-alpha-tpuv5 ;;
    v6e-*) version=v2-alpha-tpuv6e ;;
    v2-* | v3-* | v4-*) version=tpu-ubuntu2204-base ;;
    *) fail "--type: found '$type', whose image is not known here; name the image with --version=" ;;
  esac
fi

# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
module=$(find_program "$1") || exit 2
shift
arguments=("$@")
if [ -z "$fetch" ]; then
  for argument in "$@"; do
    case $argument in --out=*) fetch=${argument#*=} ;; esac
  done
fi
case /$fetch/ in
  //) ;;
  //* | */../* | */./*) fail "--fetch: found '$fetch', expected a folder inside the project, such as runs/mine" ;;
esac
for copy in ${copies[@]+"${copies[@]}"}; do
  case /$copy/ in //* | */../*) fail "--copy: found '$copy', expected a path inside the project" ;; esac
  [ -e "$copy" ] || fail "--copy: found no '$copy' in $PWD"
done
$dry || command -v gcloud >/dev/null || fail 'gcloud: found none; install the Google Cloud CLI'
git rev-parse --git-dir >/dev/null 2>&1 || fail "$PWD: found no git repository, expected the project's checkout"

[ -n "$fetch" ] || say 'nothing will be fetched: found neither --fetch nor an --out of the program'

# Runs a line of shell, or only prints it.
line() {
  if $dry; then printf '%s\n' "$1"; else eval "$1"; fi
}

# A command of gcloud, of tpu-vm or queued-resources, as a line of shell.
google() {
  quote gcloud ${alpha:+"$alpha"} compute tpus "$@" "--zone=$zone" ${project:+"--project=$project"} --quiet
}

# ssh or scp to this VM.
connect() {
  google tpu-vm "$@" ${tunnel[@]+"${tunnel[@]}"}
}

# What is to be done in the copied checkout, on one worker or all; gcloud hands it to the shell there as it is.
on_workers() {
  connect ssh "$name" "--worker=$1" "--command=cd fr_inference && $2"
}

scratch=${TMPDIR:-/tmp}/fr_inference-$name-$$
mark=$(date +%Y%m%d-%H%M%S)-$$
log=runs/tpu_vm/$name-$mark.log
compiled=${XDG_CACHE_HOME:-$HOME/.cache}/fr_inference/tpu_vm/$type.tar
started=$SECONDS
state=unknown workers=1 new=false begun=false running=false stopping=false results=false fetcher=''

list_all() {
  local its_state=state
  if [ "$1" = queued-resources ]; then its_state=state.state; fi
  google "$1" list "--format=value(name.basename(),$its_state,networkEndpoints.len())"
}

# The state of the VM; with --queued that of its place in the queue until there is a VM.
find_vm() {
  local kind listing found found_state found_workers
  for kind in ${queued:+"$queued"} tpu-vm; do
    listing=$(eval "$(list_all "$kind")") || {
      say "gcloud could not list the TPU VMs in $zone; its message is above"
      return 1
    }
    state=absent
    while read -r found found_state found_workers; do
      if [ "$found" = "$name" ]; then state=$found_state workers=${found_workers:-1}; fi
    done <<<"$listing"
    [ "$state" = ACTIVE ] || break
  done
}

create_vm() {
  local making=(tpu-vm create "$name" "--accelerator-type=$type" "--version=$version")
  if [ -n "$queued" ]; then
    making=(queued-resources create "$name" "--node-id=$name" "--accelerator-type=$type" "--runtime-version=$version")
  fi
  $dry || say "asking for the TPU VM $name ($type, $zone), which costs as soon as it is there"
  begun=true state=unknown
  line "$(google "${making[@]}" ${wanted[@]+"${wanted[@]}"})" || {
    say "gcloud could not make the TPU VM; its message is above (no capacity: --queued, another --zone, or later)"
    return 1
  }
}

# The command that deletes the VM, and what asked for it.
deletion() {
  if [ -n "$queued" ]; then google "$queued" delete "$name" --force; else google tpu-vm delete "$name"; fi
}

# The results of worker 0, put in their place only when they came whole: a copy taken while a file changed is none.
fetch_results() {
  local there get pause part
  [ -n "$fetch" ] || return 0
  there=$(quote "./$fetch") part=$(quote "$scratch/fetched.tar")
  get=$(on_workers 0 "if [ -e $there ]; then tar -cf - $there; else tar -cf - --files-from=/dev/null; fi")
  get+=" >$part && tar -xf $part"
  if $dry; then
    line "$get"
    return
  fi
  for pause in 5 5 0; do
    if eval "$get" 2>"$scratch/fetch.log"; then return 0; fi # a bare return in a trap gives an earlier status
    sleep "$pause"
  done
  say "$fetch could not be fetched: $(tail -n 1 "$scratch/fetch.log")"
  return 1
}

# What was compiled, for the next VM of this type. It is executed there: nobody else may write to it here.
is_private() {
  [ -z "$(find "${compiled%/*/*}" "${compiled%/*}" "$@" -prune \( ! -user "$(id -u)" -o -perm -020 -o -perm -002 \) 2>&1)" ]
}

fetch_compiled() (
  umask 077
  part=$(quote "$compiled.$$")
  line "(umask 077; mkdir -p $(quote "${compiled%/*}"))"
  $dry || is_private || return 0
  line "$(on_workers 0 'bash launch/tpu_worker.sh compiled') >$part" || return 0
  line "if [ -s $part ]; then mv $part $(quote "$compiled"); else rm $part; fi"
)

stop_program() {
  running=false
  say "asking the program to save its state and to stop; a second signal does not wait for that"
  eval "$(on_workers all "bash launch/tpu_worker.sh stop $mark")" || true
}

# At every end, whatever led to it: the results are brought back, and no VM is left without a word.
finish() {
  local code=$? costs
  trap '' INT TERM HUP
  set +e
  if [ -n "$fetcher" ]; then
    kill -TERM "$fetcher" 2>/dev/null
    wait "$fetcher" 2>/dev/null
  fi
  costs="the TPU VM $name is there and costs money: $(deletion) ends that"
  if $begun && ! $dry; then
    if $running; then stop_program; fi
    if $results && fetch_results; then
      fetch_compiled 2>/dev/null
    elif $results; then
      find_vm
      case $state in
        PREEMPTED | TERMINATED | SUSPENDING | SUSPENDED | absent)
          say "the TPU VM was taken away ($state); what was fetched before is in $fetch, and the same command goes on"
          code=4
          ;;
        *)
          say "not deleted, for its results are on it only; $costs"
          [ "$code" != 0 ] || code=1
          begun=false
          ;;
      esac
    fi
    if [ "$state" = unknown ]; then find_vm; fi # whether one was made before the failure
    if ! $begun || [ "$state" = absent ]; then
      :
    elif $keep; then
      say "kept as asked; $costs"
    elif line "$(deletion)"; then
      say "deleted the TPU VM $name, which this command used for $(((SECONDS - started + 59) / 60)) minutes"
    else
      say "could not be deleted; $costs"
    fi
  fi
  rm -rf "$scratch" "$compiled.$$"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# 1. The VM.
if $dry; then
  state=absent
  line "$(list_all "${queued:-tpu-vm}")"
  line '# Where that does not list it (one that is listed is used as it is):'
  create_vm
  if [ -n "$queued" ]; then line '# And waits until it is READY.'; fi
else
  find_vm || exit 1
  case $state in
    PREEMPTED | TERMINATED | FAILED | SUSPENDED) # such a VM never comes back, and its name is taken
      say "the TPU VM $name is $state; deleting what is left of it"
      line "$(deletion)" || exit 1
      state=absent
      ;;
  esac
  [ "$state" = READY ] || new=true
  if [ "$state" = absent ]; then
    create_vm || exit 1
  else
    begun=true
    say "the TPU VM $name is there ($state)"
  fi
  for ((try = 0; try < 60; try++)); do
    if find_vm; then
      case $state in
        READY | STOPPED | FAILED | SUSPENDED) break ;;
        ACCEPTED | WAITING_FOR_RESOURCES) try=0 ;; # for hours perhaps
      esac
    fi
    sleep 10
  done
  [ "$state" = READY ] || { say "the TPU VM $name is $state, expected READY"; exit 1; }
fi

# 2. The working tree with its changes, less what git ignores (.venv, runs), and less .git. On a new VM also what an
# earlier one left: its state, and what it compiled. A VM that was there has the newer ones.
if [ -n "$fetch" ] && [ -e "$fetch" ] && { $dry || $new; }; then
  say "taking along what is in $fetch"
  copies+=("./$fetch")
fi
line "mkdir -m 700 $(quote "$scratch")"
pack="{ git ls-files -z --cached --others --exclude-standard --exclude=/.venv${fetch:+ $(quote "--exclude=/$fetch")}"
if ((${#copies[@]})); then pack+="; printf '%s\\0' $(quote "${copies[@]}")"; fi
# A file that is tracked and gone would stop tar.
pack+="; } | while IFS= read -r -d '' file; do if [ -e \"\$file\" ] || [ -L \"\$file\" ]; then"
pack+=" printf '%s\\0' \"\$file\"; fi; done"
line "$pack | tar -czf $(quote "$scratch/fr_inference.tgz") --null -T -"
line "$(connect scp "$scratch/fr_inference.tgz" "$name:fr_inference.tgz" --worker=all)"
line "$(connect ssh "$name" --worker=all '--command=mkdir -p fr_inference && tar -xzf fr_inference.tgz -C fr_inference')"

if is_private "$compiled" && { $dry || $new; }; then
  line "$(connect scp "$compiled" "$name:compiled.tar" --worker=all)"
fi

# 3. The program.
line "$(on_workers all 'bash launch/tpu_worker.sh install')"
command="bash launch/tpu_worker.sh run $mark $(quote "$module")"
if $dry; then
  line '# Where the VM has more than one worker, with --distributed as the first argument of the program:'
elif ((workers > 1)); then
  command+=' --distributed'
fi
command+=" $(quote ${arguments[@]+"${arguments[@]}"})"
if $dry; then
  line "$(on_workers all "$command")"
  if [ -n "$fetch" ] && ((every)); then line "# Every $every minutes meanwhile, and at the end:"; fi
  fetch_results
  fetch_compiled
  $keep || line "$(deletion)"
  exit 0
fi
mkdir -p runs/tpu_vm
say "$module on $workers worker(s); the log is kept in $log"
results=true running=true
# In the background, for a shell answers to a signal only when the command in the foreground is over.
# (Under set -e a failed eval in a pipeline gives 1, whatever failed in it.)
(
  set +e
  eval "$(on_workers all "$command")" 2>&1 | tee -a "$log"
) &
stream=$!
trap 'stopping=true; trap "exit 130" INT TERM HUP; stop_program' INT TERM HUP
if [ -n "$fetch" ] && ((every)); then
  (
    trap 'kill "$!" 2>/dev/null; exit 0' TERM
    trap '' INT
    while sleep "$((every * 60))" & wait "$!"; do
      fetch_results || true
      fetch_compiled 2>/dev/null || true
    done
  ) &
  fetcher=$!
fi
code=0
wait "$stream" || code=$?
if $stopping; then
  code=0
  wait "$stream" || code=$?
fi
case $code in 0 | 2 | 3 | 4) running=false ;; esac # or the connection may be gone and the program not
[ "$code" = 0 ] || exit "$code"
