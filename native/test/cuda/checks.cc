// Runs the checks of compiled networks (native/cuda/check/compiled.cc) on the emulated device, before a machine with a
// GPU has its turn. The last line is `N passed, N failed`.
#include <cstdio>

#include "cuda/check/program.h"

// Benches measure by events; none runs here.
cudaError_t cudaEventCreate(cudaEvent_t*) { return cudaErrorInvalidValue; }
cudaError_t cudaEventElapsedTime(float*, cudaEvent_t, cudaEvent_t) { return cudaErrorInvalidValue; }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
void espalier::check::report_line(const Row&) {}

int main() {
  int passed = 0, failed = 0;
  for (const auto& [name, run, bench] : espalier::check::entries()) {
    if (bench) continue;
    espalier::check::begin_check();
    try {
      run();
      ++passed;
    } catch (const espalier::check::Mismatch& fault) {
      std::printf("FAIL %s: %s\n", name, fault.message.c_str());
      ++failed;
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
