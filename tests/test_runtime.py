"""Threads, instruction sets, scratch memory and what `config` reports.

What depends on the environment or may hang runs in a process of its own.
"""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastdl
from fastdl import _kernels, runtime


@pytest.fixture
def restored():
    """Puts threads and instruction set back."""
    threads, isa = runtime.get_num_threads(), runtime.isa()
    yield
    runtime.set_num_threads(threads)
    runtime.set_isa(isa)


def run(program, **environment):
    """The program's output, JSON decoded; it must end within a minute."""
    env = {**os.environ, **environment}
    for name in [name for name, value in env.items() if value is None]:
        del env[name]
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


COUNT = "from fastdl import _kernels as k; print(k.get_num_threads())"


def test_set_num_threads(restored):
    for n in (3, 1, 2):
        runtime.set_num_threads(n)
        assert runtime.get_num_threads() == n
        assert fastdl.get_num_threads() == n
    runtime.set_num_threads(10**6)  # kept, though no kernel starts that many
    x = np.ones((2000, 2000), np.float32)
    assert (_kernels.MAPS["relu"](x) == x).all()


@pytest.mark.parametrize(
    ("bad", "error"), [(0, RuntimeError), (-2, RuntimeError), (1.5, TypeError), (True, TypeError)]
)
def test_set_num_threads_checks(bad, error, restored):
    with pytest.raises(error, match="set_num_threads: num must be"):
        runtime.set_num_threads(bad)


def test_threads_are_shared_by_python_threads(restored):
    runtime.set_num_threads(5)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(runtime.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [5]


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("1", 1), ("5,2", 5)])
def test_omp_num_threads(value, expected):
    if not _kernels.has_openmp():
        pytest.skip("built without OpenMP")
    assert run(COUNT, OMP_NUM_THREADS=value) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_affinity_limits_threads():
    program = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); {COUNT}"
    assert run(program, OMP_NUM_THREADS=None) == 1


def test_threads_fit_the_machine():
    assert 1 <= run(COUNT, OMP_NUM_THREADS=None) <= os.cpu_count()


@pytest.mark.skipif(
    not os.path.exists("/proc/thread-self/schedstat"), reason="needs the kernel's run delays"
)
def test_threads_give_way_to_other_programs():
    """Beside four busy programs a CPU, a thread waits most of its time: more than the tenth that
    counts as busy, at each look.
    """
    program = """
import os, subprocess, sys, time
from fastdl import _kernels
_kernels.set_num_threads(2)
stop = time.perf_counter() + 3
busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(4 * os.cpu_count())]
least = 2
while least == 2 and time.perf_counter() < stop:
    sum(range(10000))
    least = min(least, _kernels.free_threads())
for other in busy:
    other.kill()
print(int(least == 1 and _kernels.get_num_threads() == 2))
"""
    assert run(program) == 1


def test_threadpool_limits(restored):
    """A limit on OpenMP holds inside its block, even against set_num_threads, and ends with it."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    if not _kernels.has_openmp() or _kernels.available_threads() < 2:
        pytest.skip("needs two threads of OpenMP")
    runtime.set_num_threads(2)
    with threadpoolctl.threadpool_limits(1):
        assert runtime.get_num_threads() == 1
        runtime.set_num_threads(4)
        assert runtime.get_num_threads() == 1
    assert runtime.get_num_threads() == 4


def test_set_isa(restored):
    for name in runtime.isa_available():
        runtime.set_isa(name)
        assert runtime.isa() == name
        assert (_kernels.MAPS["relu"](np.array([-1.0, 2.0])) == [0, 2]).all()
    with pytest.raises(ValueError, match="isa: 'mmx' is not available here; expected one of"):
        runtime.set_isa("mmx")
    assert runtime.isa_available()[0] == "generic"


@pytest.mark.parametrize("name", runtime.isa_available())
def test_fastdl_isa(name):
    program = "from fastdl import runtime; print(chr(34) + runtime.isa() + chr(34))"
    assert run(program, FASTDL_ISA=name) == name


def test_fastdl_isa_is_checked():
    done = subprocess.run(
        [sys.executable, "-c", "import fastdl"],
        env={**os.environ, "FASTDL_ISA": "mmx"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "FASTDL_ISA='mmx' is not available here" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork(restored):
    """Kernels work in a child, its child, and the parent afterwards, with the parent's bits."""
    program = """
import os
import numpy as np
from fastdl import _kernels
x = np.random.default_rng(0).standard_normal((3000, 1000)).astype("f4")
expected = _kernels.softmax(x, threads=4).tobytes()
child = os.fork()
if child == 0:
    if os.fork() == 0:
        os._exit(_kernels.softmax(x, threads=4).tobytes() != expected)
    same = _kernels.softmax(x, threads=4).tobytes() == expected
    os._exit(not same or os.wait()[1] != 0)
status = os.waitpid(child, 0)[1]
print(int(status == 0 and _kernels.softmax(x, threads=4).tobytes() == expected))
"""
    assert run(program) == 1


def trained(seed):
    """The bytes of a small convolutional network's parameters after two steps."""
    nn = fastdl.nn
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 64, 10),
    )  # fmt: skip
    with fastdl.no_grad():
        for p in net.parameters():
            p.copy_(fastdl.from_numpy(0.1 * rng.standard_normal(p.shape).astype("f4")))
    x = fastdl.from_numpy(rng.standard_normal((32, 3, 16, 16)).astype("f4"))
    y = fastdl.from_numpy(rng.integers(0, 10, 32))
    optimizer = fastdl.optim.Adam(net.parameters(), 0.01)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return b"".join(p.detach().numpy().tobytes() for p in net.parameters())


def test_training_in_several_python_threads(restored):
    """Engine, pool and threaded kernels, all at once: the bits of one after the other."""
    runtime.set_num_threads(2)
    expected = [trained(seed) for seed in range(4)]
    found = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: trained(seed)}))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(4)] == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_training_after_a_fork(restored):
    runtime.set_num_threads(2)
    expected = trained(0)
    child = os.fork()
    if child == 0:
        os._exit(trained(0) != expected)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert trained(0) == expected


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_threads_give_their_scratch_back():
    """200 threads that each used 2 MB of scratch memory; kept, it would be 400 MB."""
    program = """
import resource, threading
import numpy as np
from fastdl import _kernels
dy = np.ones((500, 1000, 2), np.float32)  # channel_sum keeps n * c sums: 2 MB

def resident():  # getrusage's peak would be inherited from the test suite's process
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

for i in range(210):
    if i == 10:
        before = resident()
    thread = threading.Thread(target=lambda: _kernels.channel_sum(dy, threads=1))
    thread.start()
    thread.join()
print(resident() - before)
"""
    assert run(program) < 40e6


def test_config():
    config = runtime.config()
    assert config["version"] == fastdl.__version__
    assert config["isa"] in config["isa_available"]
    assert config["threads"] >= 1
    assert config["compiler"].startswith(("gcc ", "clang "))
    assert config["numpy"] == np.__version__
    assert all(isinstance(size, int) and size > 0 for size in config["caches"].values())
    json.dumps(config)
    lines = runtime.show_config().splitlines()
    assert [line.split()[0] for line in lines] == list(config)


def test_config_imports_nothing_heavy():
    program = """
import sys
from fastdl import runtime
runtime.config()
print(int(not {"cupy", "torch", "scipy", "matplotlib"} & set(sys.modules)))
"""
    assert run(program) == 1
