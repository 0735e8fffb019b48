#include "turn.h"

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

namespace imagen_fast {

// Held by nobody: std::thread::id().
struct Turn::State {
    std::mutex mutex;
    std::atomic<std::thread::id> holder{std::thread::id()};
    bool cut_off = false;
    State *next = nullptr, *previous = nullptr;  // in the list of all
};

// All turns of this process. No fork happens while the list changes.
struct Turns {
    std::mutex mutex;
    Turn::State* first = nullptr;

    void add(Turn::State& state) {
        const std::lock_guard<std::mutex> lock(mutex);
        state.next = first;
        if (first) {
            first->previous = &state;
        }
        first = &state;
    }

    void remove(Turn::State& state) {
        const std::lock_guard<std::mutex> lock(mutex);
        (state.previous ? state.previous->next : first) = state.next;
        if (state.next) {
            state.next->previous = state.previous;
        }
    }

    // In a child, which has one thread yet. A mutex is made anew even if nobody is said to have the
    // turn, since its holder may have been about to say so.
    void free_those_of_other_threads() {
        for (Turn::State* state = first; state; state = state->next) {
            const std::thread::id holder = state->holder.load(std::memory_order_relaxed);
            if (holder != std::this_thread::get_id()) {
                new (&state->mutex) std::mutex;
                state->holder.store(std::thread::id(), std::memory_order_relaxed);
                state->cut_off |= holder != std::thread::id();
            }
        }
    }
};

namespace {

std::atomic<int> fork_count{0};
Turns turns;

// From when the library is loaded until it is unloaded.
[[maybe_unused]] const int registered = pthread_atfork(
    [] { turns.mutex.lock(); }, [] { turns.mutex.unlock(); },
    [] {
        fork_count.fetch_add(1, std::memory_order_relaxed);
        turns.free_those_of_other_threads();
        turns.mutex.unlock();
    });

}  // namespace

int forks() { return fork_count.load(std::memory_order_relaxed); }

Turn::Turn() : state_(std::make_unique<State>()) { turns.add(*state_); }
Turn::~Turn() { turns.remove(*state_); }

void Turn::lock() {
    state_->mutex.lock();
    state_->holder.store(std::this_thread::get_id(), std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // before anything is changed
}

void Turn::unlock() {
    state_->holder.store(std::thread::id(), std::memory_order_release);
    state_->mutex.unlock();
}

bool Turn::was_cut_off() { return std::exchange(state_->cut_off, false); }

}  // namespace imagen_fast
