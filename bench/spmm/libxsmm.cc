// LIBXSMM's spmdm: its own slices of the sparse matrix, made beforehand.  m n k
#include <libxsmm.h>

#include "support/rival.h"

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  const int m = static_cast<int>(rival.argument(0)), n = static_cast<int>(rival.argument(1)),
            k = static_cast<int>(rival.argument(2));
  const std::vector<float> w = rival.input<float>("w"), x = rival.input<float>("x");
  std::vector<float> y(static_cast<size_t>(m) * static_cast<size_t>(n)), by_row(y.size());

  libxsmm_init();
  libxsmm_spmdm_handle handle;
  libxsmm_CSR_sparseslice* slices = nullptr;
  libxsmm_spmdm_init(m, n, k, 1, &handle, &slices);
  for (int block = 0; block < libxsmm_spmdm_get_num_createSparseSlice_blocks(&handle); ++block)
    libxsmm_spmdm_createSparseSlice_fp32_thread(&handle, 'N', w.data(), slices, block, 0, 1);
  const int blocks = libxsmm_spmdm_get_num_compute_blocks(&handle);
  const float one = 1, zero = 0;
  return rival.serve(
      by_row,
      [&] {
        for (int block = 0; block < blocks; ++block)
          libxsmm_spmdm_compute_fp32_thread(&handle, 'N', 'N', &one, slices, x.data(), 'N', &zero, y.data(), block, 0, 1);
      },
      [&] {
        for (size_t r = 0; r < static_cast<size_t>(m); ++r)
          for (size_t s = 0; s < static_cast<size_t>(n); ++s)
            by_row[s * static_cast<size_t>(m) + r] = y[r * static_cast<size_t>(n) + s];
      });
}
