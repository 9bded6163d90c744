#include "core/parallel.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

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

// One job at a time; whoever finds the pool busy does its own work itself.
class Pool {
 public:
  std::atomic<int64_t> limit{initial_threads()};

  bool run(int64_t count, void (*task)(void*, int64_t), void* context) {
    std::unique_lock<std::mutex> owner(busy_, std::try_to_lock);
    if (!owner.owns_lock()) return false;
    const int64_t helpers = std::min(limit.load(), count) - 1;
    if (!grow_to(helpers)) return false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = task;
      context_ = context;
      count_ = count;
      next_.store(0);
      wanted_ = helpers;
      running_ = helpers;
      failure_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    drain();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
    if (failure_) std::rethrow_exception(failure_);
    return true;
  }

 private:
  // A process that cannot start a thread still computes, on the caller.
  bool grow_to(int64_t helpers) {
    try {
      while (workers_ < helpers) {
        // A thread born now has nothing to do with the jobs before it.
        std::thread([this, index = workers_, seen = generation_] { serve(index, seen); }).detach();
        ++workers_;
      }
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  void serve(int64_t index, int64_t seen) {
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return generation_ != seen; });
        seen = generation_;
        if (index >= wanted_) continue;
      }
      drain();
      std::lock_guard<std::mutex> lock(mutex_);
      if (--running_ == 0) done_.notify_one();
    }
  }

  void drain() {
    inside_ = true;
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      try {
        task_(context_, i);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
    }
    inside_ = false;
  }

  std::mutex busy_, mutex_;
  std::condition_variable wake_, done_;
  void (*task_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0, wanted_ = 0, running_ = 0, generation_ = 0, workers_ = 0;
  std::atomic<int64_t> next_{0};
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
