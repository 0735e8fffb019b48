#include "pool.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace imagen_fast {

namespace {

constexpr std::chrono::microseconds kSpin{30};

void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

// Waits until done(): spinning first, then asleep on `bell`, which is rung under `mutex`.
template <class Done>
void wait(std::mutex& mutex, std::condition_variable& bell, const Done& done) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    while (!done()) {
        if (std::chrono::steady_clock::now() > until) {
            std::unique_lock<std::mutex> lock(mutex);
            bell.wait(lock, done);
            return;
        }
        relax();
    }
}

}  // namespace

struct Pool::Crew {
    explicit Crew(int helpers) {
        for (int i = 1; i <= helpers; ++i) {
            threads.emplace_back([this, i] { serve(i); });
        }
    }
    ~Crew() {
        work = nullptr;
        start(0);
        for (auto& thread : threads) {
            thread.join();
        }
    }

    void start(int count) {
        blocks = count;
        next.store(0, std::memory_order_relaxed);
        busy.store(static_cast<int>(threads.size()), std::memory_order_relaxed);
        {
            const std::lock_guard<std::mutex> lock(mutex);
            step.fetch_add(1, std::memory_order_release);
        }
        wake.notify_all();
    }

    void share(int thread) {
        for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < blocks;) {
            (*work)(i, thread);
        }
    }

    void finish() {
        wait(mutex, done, [this] { return busy.load(std::memory_order_acquire) == 0; });
    }

    void serve(int thread) {
        for (std::uint64_t seen = 0;;) {
            wait(mutex, wake, [&] { return step.load(std::memory_order_acquire) != seen; });
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

    const pid_t process = getpid();
    std::mutex mutex;
    std::condition_variable wake, done;
    std::atomic<std::uint64_t> step{0};
    std::atomic<int> next{0}, busy{0};
    int blocks = 0;
    const std::function<void(int, int)>* work = nullptr;
    std::vector<std::thread> threads;
};

Pool::Pool(int threads) : threads_(threads) {}

Pool::~Pool() {
    if (crew_ && crew_->process != getpid()) {
        (void)crew_.release();  // its threads stayed in the parent process
    }
}

void Pool::run(int blocks, const std::function<void(int, int)>& work) {
    if (threads_ == 1 || blocks <= 1) {
        for (int i = 0; i < blocks; ++i) {
            work(i, 0);
        }
        return;
    }
    if (crew_ && crew_->process != getpid()) {
        (void)crew_.release();  // as above; its locks may be held for ever
    }
    if (!crew_) {
        crew_ = std::make_unique<Crew>(threads_ - 1);
    }
    crew_->work = &work;
    crew_->start(blocks);
    crew_->share(0);
    crew_->finish();
}

}  // namespace imagen_fast
