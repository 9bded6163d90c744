/* The CUDA library's header is C, too: this compiles as C99 without extensions, links the library, shared or static,
 * and calls it. Without a GPU it says so, and what needs none is checked all the same. */
#include <espalier_cuda.h>
#include <stdio.h>
#include <string.h>

static int passed = 0, failed = 0;

static void expect(int condition, const char* what) {
  if (condition) {
    ++passed;
    return;
  }
  printf("failed: %s\n", what);
  ++failed;
}

static void without_device(void) {
  espalier_cuda_properties properties;
  printf("there is no CUDA device here\n");
  expect(espalier_cuda_describe(0, &properties) == ESPALIER_INVALID_ARGUMENT, "no device is described");
  expect(strstr(espalier_last_error(), "there is no device 0, only 0") != NULL, espalier_last_error());
}

static void with_device(void) {
  const float given[4] = {1, -2, 3, -4}, expected[4] = {1, 0, 3, 0};
  float result[4];
  void* x = NULL;
  espalier_in in;
  espalier_out out;
  expect(espalier_cuda_allocate(sizeof given, &x) == ESPALIER_OK, "memory is there");
  in.data = out.data = x;
  in.length = out.length = 4;
  in.dtype = out.dtype = ESPALIER_FLOAT32;
  expect(espalier_cuda_upload(given, x, sizeof given) == ESPALIER_OK, "values go there");
  expect(espalier_cuda_unary_forward(ESPALIER_UNARY_RELU, 0, 0, in, out) == ESPALIER_OK, "a call succeeds");
  expect(espalier_cuda_download(x, result, sizeof result) == ESPALIER_OK, "values come back");
  expect(memcmp(result, expected, sizeof result) == 0, "the result is right");
  expect(espalier_cuda_free(x) == ESPALIER_OK, "memory is freed");
}

int main(void) {
  int64_t devices = -1;
  float x[2] = {1, 2}, y[2] = {3, 4};
  espalier_in in;
  espalier_out out;
  in.data = x;
  out.data = y;
  in.length = out.length = 2;
  in.dtype = out.dtype = ESPALIER_FLOAT32;
  /* The processor's functions are there as well. */
  expect(espalier_accumulate(in, out) == ESPALIER_OK && y[0] == 4 && y[1] == 6, "the processor's half works");
  expect(espalier_cuda_device_count(&devices) == ESPALIER_OK && devices >= 0, "devices are counted");
  if (devices == 0) without_device();
  else with_device();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
