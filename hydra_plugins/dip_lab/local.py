"""A launcher of dip_lab. Hydra takes plugins only from packages inside `hydra_plugins`."""

import os
from collections.abc import Sequence

from hydra.core.utils import JobReturn

try:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher
except ImportError:  # the extra `launchers` is not installed
    LocalLauncher = None

if LocalLauncher:

    class PatientLocalLauncher(LocalLauncher):
        """submitit_local with no more processes at once than the cores can run; submitit itself starts all at once."""

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
            threads = self.params["cpus_per_task"] or 1
            at_once = max(1, (os.cpu_count() or 1) // threads)
            before = os.environ.get("OMP_NUM_THREADS")
            os.environ["OMP_NUM_THREADS"] = str(threads)  # the processes inherit it
            returns: list[JobReturn] = []
            try:
                for start in range(0, len(job_overrides), at_once):
                    returns += super().launch(job_overrides[start:start + at_once], initial_job_idx + start)
            finally:
                os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)
            return returns
