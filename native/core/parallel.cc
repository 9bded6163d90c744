#include "core/parallel.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace espalier {
namespace {

constexpr int64_t kMaxThreads = 256;

int64_t initial_threads() {
  if (const char* text = std::getenv("ESPALIER_THREADS")) {
    const long asked = std::strtol(text, nullptr, 10);
    if (asked >= 1 && asked <= kMaxThreads) return asked;
  }
  const int64_t cores = std::thread::hardware_concurrency();
  return std::clamp<int64_t>(cores, 1, kMaxThreads);
}

// Tells the processor that this is a spin loop.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// How long a thread looks for its next job, or a caller for its last helper, before it sleeps. Waking a
// sleeper costs as much; networks call kernels a few µs apart. An idle pool burns nothing.
constexpr std::chrono::microseconds kSpin{50};

template <class Condition>
bool spin(bool allowed, Condition condition) {
  if (!allowed) return condition();
  const auto until = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (condition()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < until);
  return condition();
}

// One job at a time; whoever finds the pool busy does its own work itself. Helpers join a job while it
// is open: the caller works too, and when no task is left it waits for those that joined, not for those
// that have yet to wake.
//
// Threads that are awake meet in atomics alone: a mutex that one holds for an instant while the other looks
// for it may put that one to sleep, for longer than a small product takes. Who sleeps says so before it looks
// for the last time, and who has something to tell does so before it looks for sleepers: at least one of them
// sees the other.
class Pool {
 public:
  std::atomic<int64_t> limit{initial_threads()};

  bool run(int64_t count, void (*task)(void*, int64_t), void* context) {
    std::unique_lock<std::mutex> owner(busy_, std::try_to_lock);
    if (!owner.owns_lock()) return false;
    const int64_t allowed = limit.load(std::memory_order_relaxed);
    const int64_t helpers = grow_to(std::min(allowed, count) - 1);
    if (helpers <= 0) return false;
    const bool spinning = allowed <= cores_;
    task_ = task;
    context_ = context;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    spinning_.store(spinning, std::memory_order_relaxed);
    job_.store(helpers * kPlace);
    generation_.fetch_add(1);
    wake(helpers - (workers_ - asleep_.load()));
    drain();
    // Nobody joins from here on.
    if (job_.fetch_and(kPlace - 1) % kPlace != 0) {
      const auto alone = [&] { return job_.load() == 0; };
      if (!spin(spinning, alone)) {
        std::unique_lock<std::mutex> lock(mutex_);
        waiting_.store(true);
        done_.wait(lock, alone);
        waiting_.store(false);
      }
    }
    if (failed_.exchange(false)) {
      std::unique_lock<std::mutex> lock(mutex_);
      const std::exception_ptr failure = std::exchange(failure_, nullptr);
      lock.unlock();
      std::rethrow_exception(failure);
    }
    return true;
  }

 private:
  // The helpers there are, up to `wanted`: a process that cannot start a thread still computes.
  int64_t grow_to(int64_t wanted) {
    try {
      while (workers_ < wanted) {
        // A thread born now has nothing to do with the jobs before it.
        std::thread([this, seen = generation_.load()] { serve(seen); }).detach();
        ++workers_;
      }
    } catch (const std::exception&) {
    }
    return std::min(wanted, workers_);
  }

  void wake(int64_t sleepers) {
    if (sleepers <= 0) return;
    { const std::lock_guard<std::mutex> asleep(mutex_); }  // Who is about to sleep does so first.
    for (int64_t i = 0; i < sleepers; ++i) wake_.notify_one();
  }

  void serve(uint64_t seen) {
    const auto called = [&] { return generation_.load() != seen; };
    for (;;) {
      if (!spin(spinning_.load(std::memory_order_relaxed), called)) {
        std::unique_lock<std::mutex> lock(mutex_);
        asleep_.fetch_add(1);
        wake_.wait(lock, called);
        asleep_.fetch_sub(1);
      }
      seen = generation_.load();
      if (!join()) continue;
      drain();
      if (job_.fetch_sub(1) == 1 && waiting_.load()) {
        { const std::lock_guard<std::mutex> asleep(mutex_); }
        done_.notify_one();
      }
    }
  }

  // From a free place to work.
  bool join() {
    for (int64_t job = job_.load(); job >= kPlace;)
      if (job_.compare_exchange_weak(job, job - kPlace + 1)) return true;
    return false;
  }

  void drain() {
    inside_ = true;
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      try {
        task_(context_, i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        failed_.store(true);
      }
    }
    inside_ = false;
  }

  const int64_t cores_ = std::thread::hardware_concurrency();
  std::mutex busy_, mutex_;
  std::condition_variable wake_, done_;
  void (*task_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0, workers_ = 0;
  std::atomic<uint64_t> generation_{0};
  // How many helpers work, and kPlace times how many more may join.
  static constexpr int64_t kPlace = 2 * kMaxThreads;
  std::atomic<int64_t> job_{0};
  std::atomic<int64_t> next_{0}, asleep_{0};
  std::atomic<bool> spinning_{true}, waiting_{false}, failed_{false};
  std::exception_ptr failure_;

 public:
  static thread_local bool inside_;
};

thread_local bool Pool::inside_ = false;

// Never destroyed: its threads outlive every module that might be unloaded before them.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

}  // namespace

int64_t threads() { return pool().limit.load(std::memory_order_relaxed); }

void set_threads(int64_t count) { pool().limit.store(count); }

void parallel_tasks(int64_t count, void (*task)(void*, int64_t), void* context) {
  if (!Pool::inside_ && pool().run(count, task, context)) return;
  for (int64_t i = 0; i < count; ++i) task(context, i);
}

}  // namespace espalier
