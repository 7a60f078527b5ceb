"""What samples of a sandbox's load come to."""

from __future__ import annotations

from posttrainbench.load import GpuLoad, LoadSample, SandboxLoad, sampled, summarised


def load(cpu_s: float | None, memory_bytes: int | None = 5) -> SandboxLoad:
    return SandboxLoad(cpu_s, memory_bytes, 1, None)


def test_cores_in_use_are_the_difference_between_two_readings() -> None:
    assert sampled(10.0, load(4.0), None).cpu_cores is None
    assert sampled(20.0, load(34.0), (10.0, load(4.0))).cpu_cores == 3.0
    assert sampled(20.0, load(1.0), (10.0, load(4.0))).cpu_cores == 0.0  # a process that nobody waited for
    assert sampled(20.0, load(None), (10.0, load(4.0))).cpu_cores is None


def test_a_summary_says_nothing_of_what_no_sample_told() -> None:
    gpus = (GpuLoad(1.0, 100), GpuLoad(0.0, 300))
    samples = [LoadSample(1, None, 7, 1, None), LoadSample(2, 2.0, 9, 1, None, gpus)]
    summary = summarised(samples, 10.0)
    assert (summary.samples, summary.mean_cpu_cores, summary.peak_memory_bytes) == (2, 2.0, 9)
    assert summary.peak_disk_bytes is None
    assert (summary.gpus, summary.mean_gpu_busy, summary.peak_gpu_memory_bytes) == (2, 0.5, 300)
