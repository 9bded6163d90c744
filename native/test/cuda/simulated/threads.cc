#include "threads.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <vector>

#include "cuda_runtime.h"

namespace espalier::simulated {
namespace {

constexpr size_t kStack = 256 * 1024, kGuard = 4096;
constexpr size_t kSharedWindow = size_t{1} << 20, kSharedMost = 227 * 1024, kSharedStart = 1024;
constexpr unsigned kMostClusters = 8, kMostThreads = 1024;

struct Barrier {
  int arrived = 0, wanted = 0, sum = 0, result = 0;
  uint32_t generation = 0;
};

struct Block {
  uint3 index;
  int rank = 0, live = 0;
  Barrier barriers[16];
  std::vector<std::map<unsigned, detail::Meeting>> warps;
  size_t shared_dynamic = 0, shared_end = kSharedStart;
  size_t dynamic_at = 0;
  std::map<const void*, size_t> variables;
};

// Outlives its fibers: making a context costs a system call.
struct Stack {
  void* memory = nullptr;
  void* context[5];
  bool begun = false;
};

struct Fiber : Thread {
  Block* block = nullptr;
  Stack* stack = nullptr;
  bool done = false;
  const uint32_t* word = nullptr;  // goes on when this is no longer `value`
  uint32_t value = 0;
  uint32_t cluster_generation = 0;
};

struct Machine {
  std::mutex lock;
  const char* kernel = nullptr;
  const std::function<void()>* body = nullptr;
  Fiber* running = nullptr;
  void* scheduler[5];
  bool acted = false;  // whether anything went on since the round began
  std::deque<Stack> stacks;
  std::vector<std::function<void()>> pending;
  Barrier cluster_barrier;
  int cluster_threads = 0;
  unsigned cluster = 1;
  std::mt19937 random{20240607};
  unsigned char* shared = nullptr;  // kMostClusters windows
};

Machine& machine() {
  static Machine* const made = [] {
    Machine* const m = new Machine;
    m->shared = static_cast<unsigned char*>(mmap(nullptr, kSharedWindow * kMostClusters, PROT_READ | PROT_WRITE,
                                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (m->shared == MAP_FAILED) std::abort();
    return m;
  }();
  return *made;
}

void say_where(char* text, size_t size) {
  const Machine& m = machine();
  if (m.running == nullptr) std::snprintf(text, size, "%s", m.kernel == nullptr ? "outside of kernels" : m.kernel);
  else
    std::snprintf(text, size, "%s, block (%u, %u, %u), thread (%u, %u, %u)", m.kernel, m.running->block->index.x,
                  m.running->block->index.y, m.running->block->index.z, m.running->index.x, m.running->index.y,
                  m.running->index.z);
}

void on_fault(int signal, siginfo_t* info, void*) {
  char where[512], text[700];
  say_where(where, sizeof where);
  const int length =
      signal == SIGFPE
          ? std::snprintf(text, sizeof text, "FAULT %s: a whole number divided by 0\n", where)
          : std::snprintf(text, sizeof text, "FAULT %s: memory at %p is not the device's\n", where, info->si_addr);
  if (length > 0 && write(STDOUT_FILENO, text, static_cast<size_t>(length)) < 0) std::_Exit(5);
  std::_Exit(5);
}

void watch_faults() {
  // An overflow of a fiber's stack is handled on another one, of which each thread has its own.
  thread_local std::vector<char> room;
  if (room.empty()) {
    room.resize(1 << 16);
    stack_t stack = {};
    stack.ss_size = room.size();
    stack.ss_sp = room.data();
    sigaltstack(&stack, nullptr);
  }
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
  });
}

// Switching. A stack begins on a context of its own; after that the compiler's setjmp and longjmp switch, which keep
// three words and cost some nanoseconds (the C library's ask for cleanup handlers, ucontext makes system calls).

[[gnu::noinline]] void back_to_scheduler() {
  Machine& m = machine();
  if (__builtin_setjmp(m.running->stack->context) == 0) __builtin_longjmp(m.scheduler, 1);
}

void stack_main() {
  for (;;) {
    Machine& m = machine();
    (*m.body)();
    m.running->done = true;
    m.acted = true;
    back_to_scheduler();  // until another fiber is given this stack
  }
}

void begin(Stack& stack) {
  ucontext_t fresh;
  getcontext(&fresh);
  fresh.uc_stack.ss_sp = stack.memory;
  fresh.uc_stack.ss_size = kStack;
  fresh.uc_link = nullptr;
  makecontext(&fresh, stack_main, 0);
  stack.begun = true;
  setcontext(&fresh);
}

[[gnu::noinline]] void resume(Fiber& fiber) {
  Machine& m = machine();
  m.running = &fiber;
  threadIdx = fiber.index;
  blockIdx = fiber.block->index;
  if (__builtin_setjmp(m.scheduler) == 0) {
    if (fiber.stack->begun) __builtin_longjmp(fiber.stack->context, 1);
    begin(*fiber.stack);
  }
  m.running = nullptr;
}

void complete(Barrier& barrier) {
  barrier.arrived = 0;
  barrier.result = barrier.sum;
  barrier.sum = 0;
  ++barrier.generation;
}

void ended(Fiber& fiber) {
  Block& block = *fiber.block;
  --block.live;
  Barrier& all = block.barriers[0];
  if (all.arrived > 0 && all.wanted == 0 && all.arrived == block.live) complete(all);
}

void run_pending() {
  Machine& m = machine();
  while (!m.pending.empty()) {
    const size_t at = m.random() % m.pending.size();
    std::swap(m.pending[at], m.pending.back());
    const std::function<void()> work = std::move(m.pending.back());
    m.pending.pop_back();
    work();
    m.acted = true;
    if (m.random() % 2 == 0) return;
  }
}

[[noreturn]] void deadlock(const std::vector<Fiber*>& order) {
  size_t waiting = 0;
  for (const Fiber* const fiber : order) waiting += !fiber->done;
  Machine& m = machine();
  for (Fiber* const fiber : order)
    if (!fiber->done) {
      m.running = fiber;
      break;
    }
  fail("%zu threads wait for what does not come", waiting);
}

// Whether the thread could go on, and did.
bool take_turn(Fiber& fiber, size_t& live) {
  if (fiber.done || (fiber.word != nullptr && *fiber.word == fiber.value)) return false;
  machine().acted = true;
  fiber.word = nullptr;
  resume(fiber);
  if (fiber.done) ended(fiber), --live;
  return true;
}

// What was not written reads as NaN.
void poison(const Block& block, size_t at, size_t bytes) {
  if (at + bytes > kSharedStart + kSharedMost) fail("a block asks for more shared memory than there is");
  std::memset(machine().shared + static_cast<size_t>(block.rank) * kSharedWindow + at, 0xff, bytes);
}

// The blocks of one cluster.
void run_cluster(std::vector<Block>& blocks, std::vector<Fiber>& fibers) {
  Machine& m = machine();
  std::vector<Fiber*> order(fibers.size());
  for (size_t i = 0; i < fibers.size(); ++i) order[i] = &fibers[i];
  // Warps in any order, now and then their lanes too.
  if (m.random() % 4 == 0) {
    std::shuffle(order.begin(), order.end(), m.random);
  } else {
    std::vector<size_t> warps((fibers.size() + 31) / 32);
    for (size_t i = 0; i < warps.size(); ++i) warps[i] = i;
    std::shuffle(warps.begin(), warps.end(), m.random);
    order.clear();
    for (const size_t warp : warps)
      for (size_t i = warp * 32; i < std::min(fibers.size(), warp * 32 + 32); ++i) order.push_back(&fibers[i]);
  }
  m.cluster_barrier = {};
  m.cluster_threads = static_cast<int>(fibers.size());
  m.cluster = static_cast<unsigned>(blocks.size());
  const size_t per_block = fibers.size() / blocks.size();
  size_t live = fibers.size();
  while (live > 0) {
    m.acted = false;
    // One warp runs ahead of the others as far as it comes: what it is not made to wait for, it does not find.
    const Fiber& any = fibers[m.random() % fibers.size()];
    const size_t first = static_cast<size_t>(&any - fibers.data() - any.number % 32);
    const size_t last = std::min(first + 32, first - static_cast<size_t>(fibers[first].number) + per_block);
    for (bool ran = true; ran;) {
      ran = false;
      for (size_t i = first; i < last; ++i) ran |= take_turn(fibers[i], live);
    }
    for (Fiber* const fiber : order) take_turn(*fiber, live);
    // At random, and where nothing else is left to happen.
    if (!m.pending.empty() && (!m.acted || m.random() % 3 == 0)) run_pending();
    if (!m.acted) deadlock(order);
  }
  if (!m.pending.empty()) fail("a block ends while copies into it are under way");
  // So that what the next blocks have not written is no barrier that was here.
  for (const Block& block : blocks) poison(block, kSharedStart, block.shared_end - kSharedStart);
}

}  // namespace

Thread& self() { return *machine().running; }

void fail(const char* format, ...) {
  char where[512], text[512];
  say_where(where, sizeof where);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  std::printf("FAULT %s: %s\n", where, text);
  std::fflush(stdout);
  std::_Exit(5);
}

void wait_while(const uint32_t* word, uint32_t value) {
  Fiber& me = *machine().running;
  me.word = word;
  me.value = value;
  back_to_scheduler();
}

void eventually(std::function<void()> work) { machine().pending.push_back(std::move(work)); }

void meet(int id, int count) {
  Block& block = *machine().running->block;
  if (id < 0 || id > 15 || count < 0 || count % 32 != 0) fail("%d threads meet at barrier %d", count, id);
  Barrier& barrier = block.barriers[id];
  if (barrier.arrived > 0 && barrier.wanted != count)
    fail("barrier %d is awaited by %d and by %d threads", id, count, barrier.wanted);
  barrier.wanted = count;
  const uint32_t before = barrier.generation;
  if (++barrier.arrived == (count > 0 ? count : block.live)) return complete(barrier);
  wait_while(&barrier.generation, before);
}
int meet_and_sum(int value) {
  Barrier& barrier = machine().running->block->barriers[0];
  barrier.sum += value;
  meet(0, 0);
  return barrier.result;
}

detail::Meeting& detail::meeting(unsigned mask) {
  const Fiber& me = *machine().running;
  return me.block->warps[static_cast<size_t>(me.number / 32)][mask];
}

int cluster_rank() { return machine().running->block->rank; }
int cluster_size() { return static_cast<int>(machine().cluster); }
void cluster_arrive() {
  Machine& m = machine();
  m.running->cluster_generation = m.cluster_barrier.generation;
  if (++m.cluster_barrier.arrived == m.cluster_threads) complete(m.cluster_barrier);
}
void cluster_wait() {
  Machine& m = machine();
  if (m.cluster_barrier.generation == m.running->cluster_generation)
    wait_while(&m.cluster_barrier.generation, m.running->cluster_generation);
}

uint32_t shared_address(const void* at) {
  const Machine& m = machine();
  const ptrdiff_t offset = static_cast<const unsigned char*>(at) - m.shared;
  if (offset < 0 || offset >= static_cast<ptrdiff_t>(kSharedWindow * kMostClusters))
    fail("%p is not in shared memory", at);
  return static_cast<uint32_t>(offset);
}
unsigned char* shared_at(uint32_t address) {
  if (address >= kSharedWindow * machine().cluster || address % kSharedWindow < kSharedStart ||
      address % kSharedWindow >= kSharedStart + kSharedMost)
    fail("there is no shared memory at %08x", address);
  return machine().shared + address;
}
unsigned char* dynamic_shared(size_t align) {
  Machine& m = machine();
  Block& block = *m.running->block;
  if (block.dynamic_at == 0) {
    size_t at = (block.shared_end + align - 1) / align * align;
    if (at / align % 2 == 0 && align < 1024) at += align;
    block.dynamic_at = at;
    block.shared_end = at + block.shared_dynamic;
    poison(block, at, block.shared_dynamic);
  }
  return m.shared + static_cast<size_t>(block.rank) * kSharedWindow + block.dynamic_at;
}
unsigned char* shared_variable(const void* key, size_t bytes, size_t align) {
  Machine& m = machine();
  Block& block = *m.running->block;
  size_t& at = block.variables[key];
  if (at == 0) {
    at = (block.shared_end + align - 1) / align * align;
    block.shared_end = at + bytes;
    poison(block, at, bytes);
  }
  return m.shared + static_cast<size_t>(block.rank) * kSharedWindow + at;
}

void launch(const char* name, const Configuration& given, const std::function<void()>& kernel) {
  Machine& m = machine();
  const size_t threads = size_t{given.block.x} * given.block.y * given.block.z;
  const uint64_t blocks = uint64_t{given.grid.x} * given.grid.y * given.grid.z;
  if (threads == 0 || threads > kMostThreads || blocks == 0 || given.grid.x > INT32_MAX || given.grid.y > 65535 ||
      given.grid.z > 65535 || given.shared_bytes > kSharedMost || given.cluster > kMostClusters ||
      given.grid.x % given.cluster != 0)
    return set_last_error(cudaErrorInvalidConfiguration);
  const std::lock_guard<std::mutex> hold(m.lock);
  watch_faults();
  m.kernel = name;
  m.body = &kernel;
  blockDim = given.block;
  gridDim = given.grid;
  while (m.stacks.size() < threads * given.cluster) {
    Stack& stack = m.stacks.emplace_back();
    stack.memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack.memory == MAP_FAILED || mprotect(stack.memory, kGuard, PROT_NONE) != 0) std::abort();
  }
  for (uint64_t first = 0; first < blocks; first += given.cluster) {
    std::vector<Block> cluster(given.cluster);
    std::vector<Fiber> fibers(threads * given.cluster);
    for (unsigned rank = 0; rank < given.cluster; ++rank) {
      Block& block = cluster[rank];
      const uint64_t number = first + rank;
      block.index = {static_cast<unsigned>(number % given.grid.x),
                     static_cast<unsigned>(number / given.grid.x % given.grid.y),
                     static_cast<unsigned>(number / given.grid.x / given.grid.y)};
      block.rank = static_cast<int>(rank);
      block.live = static_cast<int>(threads);
      block.warps.resize((threads + 31) / 32);
      block.shared_dynamic = given.shared_bytes;
      for (size_t i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[rank * threads + i];
        fiber.number = static_cast<int>(i);
        fiber.index = {static_cast<unsigned>(i % given.block.x),
                       static_cast<unsigned>(i / given.block.x % given.block.y),
                       static_cast<unsigned>(i / given.block.x / given.block.y)};
        fiber.block = &block;
        fiber.stack = &m.stacks[rank * threads + i];
      }
    }
    run_cluster(cluster, fibers);
  }
  m.kernel = nullptr;
}

}  // namespace espalier::simulated
