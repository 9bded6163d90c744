#include "sparse/code_memory.h"

#include <cstdlib>
#include <cstring>

#if ESPALIER_X86 && defined(__unix__)
#define ESPALIER_EXECUTABLE 1
#include <sys/mman.h>
#else
#define ESPALIER_EXECUTABLE 0
#endif

namespace espalier::sparse {

CodeMemory::~CodeMemory() {
#if ESPALIER_EXECUTABLE
  if (base_ != nullptr) munmap(base_, size_);
#endif
}

bool CodeMemory::hold([[maybe_unused]] const std::vector<uint8_t>& code) {
#if ESPALIER_EXECUTABLE
  if (code.empty()) return true;
  void* const pages = mmap(nullptr, code.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return false;
#if defined(MADV_HUGEPAGE)
  // Megabytes of code are more pages of 4 KiB than the processor remembers. (Only advice: what comes of it is no
  // matter.)
  madvise(pages, code.size(), MADV_HUGEPAGE);
#endif
  std::memcpy(pages, code.data(), code.size());
  if (mprotect(pages, code.size(), PROT_READ | PROT_EXEC) != 0) {
    munmap(pages, code.size());
    return false;
  }
  base_ = pages;
  size_ = code.size();
  return true;
#else
  return false;
#endif
}

#if ESPALIER_X86
bool can_generate() {
#if ESPALIER_EXECUTABLE
  const char* const wanted = std::getenv("ESPALIER_JIT");
  return isa() != Isa::baseline && (wanted == nullptr || std::strcmp(wanted, "0") != 0);
#else
  return false;
#endif
}
#endif

}  // namespace espalier::sparse
