// A small pool of threads shared by every kernel of the process.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace espalier {

int64_t threads();
void set_threads(int64_t count);

// Calls task(context, i) for each i in [0, count), on the caller and the pool's threads. Which thread
// runs which i is not defined; kernels therefore cut their work by shape, never by thread count, and
// give each i its own output, so that the bits do not depend on the threads. A call made while the
// pool is at work (from a task, or from another JavaScript worker) runs on the caller alone.
void parallel_tasks(int64_t count, void (*task)(void* context, int64_t i), void* context);

template <class Body>
void parallel_for(int64_t count, Body&& body) {
  if (count <= 1 || threads() == 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  parallel_tasks(
      count, [](void* context, int64_t i) { (*static_cast<std::remove_reference_t<Body>*>(context))(i); }, &body);
}

// body(begin, end) over [0, n) in pieces of `grain`, the last one shorter.
template <class Body>
void parallel_ranges(int64_t n, int64_t grain, Body&& body) {
  parallel_for((n + grain - 1) / grain, [&](int64_t i) { body(i * grain, std::min(n, (i + 1) * grain)); });
}

}  // namespace espalier
