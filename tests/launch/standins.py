"""A copy of the project's scripts, and stand-ins that record what they were asked.

Every stand-in appends its arguments, NUL separated, to one file, so that the order of the calls is
known too. `gcloud` keeps machines as folders: its `ssh` hands the command to a shell in the
worker's folder and its `scp` copies, so that a whole launch runs, quoting included.
"""

import os
import pathlib
import shutil
import stat
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
END = '\x1e'
# Arguments that a shell could spoil.
HARD = ['--members=it\'s "here"', '--note=two\nlines', '--cost=$HOME `id` \\ * ~ ;&|', '', ' a  b ']

RECORD = """#!/usr/bin/env bash
set -u
printf '%s\\0' "${0##*/}" "$@" $'\\x1e' >>"$STANDIN/calls"
"""

# Told from the real one by `-m experiments.audit`: what is asked before that is the scripts' own.
PYTHON = """
case " $* " in
  *' -m venv '*)
    mkdir -p .venv/bin && cp "$0" .venv/bin/python
    exit ;;
  *' -c import jax; '*) echo "gpus=${GPUS:-0}"; exit ;;
  *' -m experiments.audit '*) ;;
  *) exit 0 ;;
esac
printf '%s\n' "$PWD" "${CUDA_VISIBLE_DEVICES-unset}" "${CUDA_DEVICE_ORDER-unset}" >"$STANDIN/seen"
echo 'a line of the log'
if [ -n "${COMPILED:-}" ]; then
  umask 077
  kind=${XDG_CACHE_HOME:-$HOME/.cache}/fr_inference/compiled/kind
  mkdir -p "$kind" && echo >>"$kind/$COMPILED"
fi
case ${RESULT:-} in
  '') ;;
  *.json) echo result >"$RESULT" ;;
  *) mkdir -p "$RESULT" && echo result >>"$RESULT/audit.json" ;;
esac
if [ -n "${UNTIL_TERM:-}" ]; then
  saved() {
    echo saved >>"$STANDIN/saved"
    if [ -z "${STUBBORN:-}" ]; then /bin/sleep 0.3; exit 4; fi
  }
  trap 'saved' TERM
  echo >>"$STANDIN/running"
  for _ in $(seq ${STUBBORN:-4000}); do /bin/sleep 0.05; done
fi
exit "${CODE:-0}"
"""

NVIDIA_SMI = """
case $1 in
  -L) for i in $(seq 0 $((${THERE:-4} - 1))); do echo "GPU $i: NVIDIA H100 (UUID: GPU-$i)"; done ;;
  --query-gpu=*) echo "${SMI:-9.0, 580.65.06}" ;;
esac
"""

GCLOUD = """
[ "$1" != alpha ] || shift
kind=$3 verb=$4 vm=$STANDIN/cloud
shift 4
worker=0 command='' words=() count=${WORKERS:-1}
for word in "$@"; do
  case $word in
    --worker=*) worker=${word#*=} ;;
    --command=*) command=${word#*=} ;;
    --*) ;;
    *) words+=("$word") ;;
  esac
done
[ "$worker" = all ] && worker=$(seq 0 $((count - 1)))
case $kind.$verb in
  queued-resources.list)
    if [ -e "$vm/asked" ]; then
      # One place further in the queue at each look, from ASKED, the states to come.
      read -r state rest <"$vm/asked"
      if [ -n "$rest" ]; then echo "$rest" >"$vm/asked"; fi
      if [ "$state" = ACTIVE ]; then echo READY >"$vm/state"; fi
      printf 'audit-1\\t%s\\n' "$state"
    fi ;;
  tpu-vm.list)
    if [ -e "$vm/state" ]; then printf 'audit-1\\t%s\\t%s\\n' "$(cat "$vm/state")" "$count"; fi
    printf 'another\\tREADY\\t4\\n' ;;
  *.create)
    if [ -n "${NO_CAPACITY:-}" ]; then echo 'ERROR: no more capacity' >&2; exit 1; fi
    mkdir -p "$vm"
    case $kind in
      tpu-vm) echo READY >"$vm/state" ;;
      queued-resources) echo "${ASKED:-ACTIVE}" >"$vm/asked" ;;
    esac ;;
  *.delete)
    if [ -n "${NO_DELETE:-}" ]; then exit 1; fi
    rm -rf "$vm" ;;
  *.scp)
    for i in $worker; do mkdir -p "$vm/$i" && cp "${words[0]}" "$vm/$i/${words[1]#*:}" || exit 1; done ;;
  *.ssh)
    if [ "$(cat "$vm/state" 2>/dev/null)" != READY ]; then echo 'ERROR: not READY' >&2; exit 1; fi
    pids=() code=0
    for i in $worker; do (cd "$vm/$i" && HOME=$PWD exec sh -c "$command") & pids+=("$!"); done
    for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
    # What a machine does that is taken away while the program runs.
    if [ -n "${TAKEN:-}" ] && [[ $command == *' run '* ]]; then
      echo PREEMPTED >"$vm/state"
      if [ -e "$vm/asked" ]; then echo SUSPENDED >"$vm/asked"; rm "$vm/state"; fi
      exit 255
    fi
    if [ -n "${UNREADABLE:-}" ] && [[ $command == *'tar -cf -'* ]]; then exit 1; fi
    exit "$code" ;;
esac
"""

# As the real one: SIGTERM to srun kills the processes, and a bad exit the others, which is its code.
SRUN = """
while [[ $1 == --* ]]; do shift; done
SLURM_PROCID=0 "$@" & step=$!
echo "$step" >"$STANDIN/step"
trap 'echo "forcing job termination" >>"$STANDIN/killed"; kill -KILL "$step"; exit 137' TERM
wait "$step" || exit "${KILLED:-$?}"
"""

# To all processes of the step, as some clusters do.
SCANCEL = """
step=$(cat "$STANDIN/step")
kill "-${1#--signal=}" "$step" $(ps -o pid= --ppid "$step")
"""

# A minute at most is over at once: waits for a service, which is here, and --fetch_every=1.
SLEEP = """
if [ "${1%.*}" -le 60 ]; then set -- 0.05; fi
exec /bin/sleep "$1"
"""

TOOLS = {
    'python3': PYTHON,
    'nvidia-smi': NVIDIA_SMI,
    'gcloud': GCLOUD,
    'srun': SRUN,
    'scancel': SCANCEL,
    'scontrol': '',
    'sleep': SLEEP,
}


def wait_until(condition, seconds=120):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f'waited {seconds} s in vain')


class Project:
    """The scripts in a folder with a blank in its name, and the stand-ins before all else in PATH."""

    def __init__(self, folder: pathlib.Path):
        self.root = folder / 'the project'
        self.record = folder / 'record'
        tools = folder / 'tools'
        for made in (self.root / 'experiments', self.record, tools):
            made.mkdir(parents=True)
        shutil.copytree(ROOT / 'launch', self.root / 'launch')
        for name in ('setup.cfg', 'pyproject.toml', '.gitignore'):
            shutil.copy(ROOT / name, self.root)
        program = "if __name__ == '__main__':\n    pass\n"
        (self.root / 'experiments' / 'audit.py').write_text(program)
        (self.root / 'experiments' / '__init__.py').write_text('')
        for name, body in TOOLS.items():
            path = tools / name
            path.write_text(RECORD + body)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        subprocess.run(['git', 'init', '-q', self.root], check=True)
        others = ('SLURM', 'CUDA', 'GIT', 'XDG')
        kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
        self.environment = kept | {
            'PATH': f'{tools}:/usr/bin:/bin',
            'HOME': str(folder / 'home'),
            'STANDIN': str(self.record),
            'TMPDIR': str(self.record),
        }

    def start(self, *words, cwd=None, **settings):
        # Tests that run in the background of a script have SIGINT ignored, which bash can't undo.
        return subprocess.Popen(
            ['env', '--default-signal=INT', 'bash', *map(str, words)],
            cwd=cwd or self.root,
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *words, cwd=None, **settings):
        return self.finish(self.start(*words, cwd=cwd, **settings))

    def wait_for_program(self, processes=1):
        """Until that many programs have begun (with UNTIL_TERM)."""
        path = self.record / 'running'
        wait_until(lambda: path.exists() and len(path.read_text()) == processes)

    def calls(self, tool):
        """The arguments of every call of a stand-in, in their order."""
        path = self.record / 'calls'
        text = path.read_text() if path.exists() else ''
        records = (record.split('\0') for record in text.split(f'\0{END}\0') if record)
        return [words for name, *words in records if name == tool]

    def programs(self):
        """What the program was called with, each time: the arguments after its module."""
        calls = self.calls('python')
        found = [words for words in calls if 'experiments.audit' in words]
        return [words[words.index('experiments.audit') + 1 :] for words in found]


def refused(result, *parts):
    """Exit code 2 and one line that names what is wrong."""
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr
