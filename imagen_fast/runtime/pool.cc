#include "pool.h"

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "error.h"
#include "turn.h"

namespace imagen_fast {

namespace {

constexpr int kMostThreads = 1024, kMostSpin = 1'000'000;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

// Waits until done(): spinning first, then asleep on `bell`, which is rung under `mutex`.
template <class Done>
void wait(std::mutex& mutex, std::condition_variable& bell, std::chrono::microseconds spin,
          const Done& done) {
    const auto until = std::chrono::steady_clock::now() + spin;
    while (!done()) {
        if (std::chrono::steady_clock::now() > until) {
            std::unique_lock<std::mutex> lock(mutex);
            bell.wait(lock, done);
            return;
        }
        relax();
    }
}

// Binds a thread to a core. False if that is not to be had.
bool bind(std::thread::native_handle_type thread, int core) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np(thread, sizeof set, &set) == 0;
#else
    (void)thread, (void)core;
    return false;
#endif
}

bool usable(int core) {
#ifdef __linux__
    cpu_set_t set;
    return 0 <= core && core < CPU_SETSIZE && sched_getaffinity(0, sizeof set, &set) == 0 &&
           CPU_ISSET(core, &set);
#else
    (void)core;
    return false;
#endif
}

const PoolOptions& checked(const PoolOptions& options) {
    if (options.threads < 1 || options.threads > kMostThreads) {
        throw ArgumentError("threads is " + std::to_string(options.threads) + "; expected 1 to " +
                            std::to_string(kMostThreads));
    }
    if (options.spin_us < 0 || options.spin_us > kMostSpin) {
        throw ArgumentError("spin is " + std::to_string(options.spin_us) +
                            " microseconds; expected 0 to " + std::to_string(kMostSpin));
    }
    for (const int core : options.cores) {
        if (!usable(core)) {
            throw BackendError("threads cannot be bound to core " + std::to_string(core) +
                               ": this process may not use it");
        }
    }
    return options;
}

}  // namespace

int usable_cores() {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

struct Pool::Crew {
    explicit Crew(const PoolOptions& options)
        : spin(options.spin_us), bound(!options.cores.empty()), parts(options.threads) {
        try {
            for (int i = 1; i < options.threads; ++i) {
                threads.emplace_back([this, i] { serve(i); });
                if (!options.cores.empty()) {
                    (void)bind(threads.back().native_handle(),
                               options.cores[i % options.cores.size()]);
                }
            }
        } catch (const std::system_error& error) {
            const std::size_t started = threads.size();
            end();
            throw BackendError("no more than " + std::to_string(started + 1) +
                               " threads can be started (" + error.what() +
                               "); choose fewer threads");
        } catch (...) {
            end();
            throw;
        }
    }
    ~Crew() { end(); }

    void end() {
        work = nullptr;
        start(0);
        for (auto& thread : threads) {
            thread.join();
        }
    }

    // A thread that slept wakes where it last ran or beside its waker: after a pause of some
    // milliseconds often on the caller's own core, behind the caller (here: the median run took
    // twice as long). So the threads keep off the caller's core, wherever it is.
    void keep_off_caller() {
#ifdef __linux__
        const int core = sched_getcpu();
        cpu_set_t set;
        if (bound || core < 0 || core == avoided ||
            sched_getaffinity(0, sizeof set, &set) != 0) {
            return;
        }
        avoided = core;
        CPU_CLR(core, &set);
        for (auto& thread : threads) {
            if (CPU_COUNT(&set) > 0) {
                (void)pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);
            }
        }
#endif
    }

    void start(int count) {
        keep_off_caller();
        const auto all = static_cast<std::int64_t>(parts.size());
        for (std::int64_t i = 0; i < all; ++i) {
            parts[i].next.store(static_cast<int>(count * i / all), std::memory_order_relaxed);
            parts[i].end = static_cast<int>(count * (i + 1) / all);
        }
        busy.store(static_cast<int>(threads.size()), std::memory_order_relaxed);
        {
            const std::lock_guard<std::mutex> lock(mutex);
            step.fetch_add(1, std::memory_order_release);
        }
        wake.notify_all();
    }

    // A thread's own part first, because the step before left those rows in its core's cache; then
    // what others have left of theirs.
    void share(int thread) {
        const int all = static_cast<int>(parts.size());
        for (int k = 0; k < all; ++k) {
            Part& part = parts[(thread + k) % all];
            for (int i; (i = part.next.fetch_add(1, std::memory_order_relaxed)) < part.end;) {
                (*work)(i, thread);
            }
        }
    }

    void finish() {
        wait(mutex, done, spin, [this] { return busy.load(std::memory_order_acquire) == 0; });
    }

    void serve(int thread) {
        for (std::uint64_t seen = 0;;) {
            wait(mutex, wake, spin, [&] { return step.load(std::memory_order_acquire) != seen; });
            ++seen;
            if (!work) {
                return;
            }
            share(thread);
            if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                { const std::lock_guard<std::mutex> lock(mutex); }
                done.notify_one();
            }
        }
    }

    const int born = forks();
    const std::chrono::microseconds spin;
    const bool bound;
    int avoided = -1;
    std::mutex mutex;
    std::condition_variable wake, done;
    std::atomic<std::uint64_t> step{0};
    struct alignas(64) Part {
        std::atomic<int> next{0};
        int end = 0;
    };
    std::vector<Part> parts;  // of the blocks, one for each thread
    std::atomic<int> busy{0};
    const std::function<void(int, int)>* work = nullptr;
    std::vector<std::thread> threads;
};

Pool::Pool(const PoolOptions& options) : options_(checked(options)) {}

Pool::~Pool() { leave_to_parent(); }

// In a child process: the crew's threads are not there, and its locks may be held for ever.
void Pool::leave_to_parent() {
    if (crew_ && crew_->born != forks()) {
        (void)crew_.release();
    }
}

void Pool::run(int blocks, const std::function<void(int, int)>& work) {
    if (options_.threads == 1 || blocks <= 1) {
        for (int i = 0; i < blocks; ++i) {
            work(i, 0);
        }
        return;
    }
    leave_to_parent();
    if (!crew_) {
        crew_ = std::make_unique<Crew>(options_);
    }
    crew_->work = &work;
    crew_->start(blocks);
    crew_->share(0);
    leave_to_parent();
    if (!crew_) {
        throw CancelledError("a callback or a signal's handler called fork() during the run, which "
                             "goes on in the parent process; in the child, start it again");
    }
    crew_->finish();
}

}  // namespace imagen_fast
