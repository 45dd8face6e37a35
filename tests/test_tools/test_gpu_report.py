import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In place of coreutils' timeout: notes limit and command, and exits with
# $CODE at the command that holds $WORD.
TIMEOUT = """#!/bin/sh
echo "$@" >> "$STEPS"
case "$*" in *"$WORD"*) exit "$CODE";; esac
"""


def run_report(folder, word='nothing like it', code=0):
    stub = folder / 'timeout'
    stub.write_text(TIMEOUT)
    stub.chmod(0o755)
    environment = {
        **os.environ,
        'PATH': f'{folder}:{os.environ["PATH"]}',
        'STEPS': str(folder / 'steps'),
        'WORD': word,
        'CODE': str(code),
    }
    done = subprocess.run(
        ['bash', str(ROOT / 'tools/gpu_report.sh'), 'somewhere'],
        env=environment,
        capture_output=True,
        text=True,
    )
    return done, (folder / 'steps').read_text().splitlines()


def test_limits_of_all_steps_fit_in_eight_minutes(tmp_path):
    done, steps = run_report(tmp_path)
    assert done.returncode == 0, done.stderr
    limits = [int(step.split()[1]) for step in steps]
    assert sum(limits) <= 8 * 60
    assert '-m cuda' in steps[0]
    assert [step.split('--dtype ')[1][:4] for step in steps[1:5]] == [
        'bf16',
        'bf16',
        'fp32',
        'fp32',
    ]


@pytest.mark.parametrize(
    ('code', 'word'), [(124, 'STOPPED at its limit'), (2, 'FAILED')]
)
def test_step_that_does_not_end_well_stops_no_other(tmp_path, code, word):
    done, steps = run_report(tmp_path, '--task infer --dtype bf16', code)
    assert len(steps) == 7
    assert done.returncode == 1
    assert f'infer in bf16: {word}' in done.stdout
    assert '1 step(s) failed' in done.stdout
