/* Devices, their memory and their streams. */
#ifndef ESPALIER_CUDA_RUNTIME_H
#define ESPALIER_CUDA_RUNTIME_H

#include "../types.h"

/* How many devices there are: 0 where no driver is, which is no error. */
ESPALIER_API espalier_status espalier_cuda_device_count(int64_t* count);

/* The device that the calling thread's calls go to; 0 at first. */
ESPALIER_API espalier_status espalier_cuda_set_device(int64_t device);
ESPALIER_API espalier_status espalier_cuda_device(int64_t* device);

/* The name of a device, its memory in bytes (all, and free now), its compute capability as
 * 10·major + minor, its multiprocessors, and what one transfer of its memory could carry in a second
 * at most, in bytes (0 where the driver does not say). */
typedef struct espalier_cuda_properties {
  char name[256];
  int64_t memory, memory_free, capability, multiprocessors, bandwidth;
} espalier_cuda_properties;
ESPALIER_API espalier_status espalier_cuda_describe(int64_t device, espalier_cuda_properties* properties);

/* Memory of the current device, at least 256-byte aligned, from a cache: what is freed is handed out
 * again to work of the same stream without a word to the driver. Where there is not enough, what is kept for
 * reuse goes back to the driver first; if that does not help, an error says how much was asked for, is in use and
 * is free. */
ESPALIER_API espalier_status espalier_cuda_allocate(int64_t bytes, void** address);
ESPALIER_API espalier_status espalier_cuda_free(void* address);

/* Bytes in use, and bytes kept for reuse, on the current device. */
ESPALIER_API espalier_status espalier_cuda_memory(int64_t* used, int64_t* cached);
/* Returns what is kept for reuse to the driver. */
ESPALIER_API espalier_status espalier_cuda_empty_cache(void);

/* Copies to the device, from it, within it, on the current stream. The first returns when the host's array
 * may be used again, the second when the values are there, the last when it is queued. */
ESPALIER_API espalier_status espalier_cuda_upload(const void* host, void* device, int64_t bytes);
ESPALIER_API espalier_status espalier_cuda_download(const void* device, void* host, int64_t bytes);
ESPALIER_API espalier_status espalier_cuda_copy(const void* from, void* to, int64_t bytes);
/* Sets every byte to `value`, 0 to 255. */
ESPALIER_API espalier_status espalier_cuda_fill_bytes(void* device, int64_t value, int64_t bytes);

/* y = x, converted from the element type of x to that of y (rounded to nearest even; to an integer as C
 * converts). */
ESPALIER_API espalier_status espalier_cuda_cast(espalier_in x, espalier_out y);

/* Waits for all work of the current stream, and reports what went wrong in it. */
ESPALIER_API espalier_status espalier_cuda_synchronize(void);

/* Streams of the current device: work on one runs in its order, work on two may overlap. Stream 0 is
 * there from the start. A stream that is destroyed is waited for. */
ESPALIER_API espalier_status espalier_cuda_stream_create(int64_t* stream);
ESPALIER_API espalier_status espalier_cuda_stream_destroy(int64_t stream);
ESPALIER_API espalier_status espalier_cuda_set_stream(int64_t stream);
ESPALIER_API espalier_status espalier_cuda_stream(int64_t* stream);
/* Work queued on the current stream from now on waits for what is queued on `stream` now. */
ESPALIER_API espalier_status espalier_cuda_wait_stream(int64_t stream);

/* How products and convolutions of float32 are computed on tensor cores: exactly (no tensor cores), with
 * operands rounded to tf32 (10 bits of mantissa), or to bfloat16 (7 bits). Sums are float32 always. One
 * setting for the process; exact at first. */
typedef enum espalier_cuda_precision {
  ESPALIER_CUDA_PRECISION_FLOAT32 = 0,
  ESPALIER_CUDA_PRECISION_TF32 = 1,
  ESPALIER_CUDA_PRECISION_BFLOAT16 = 2
} espalier_cuda_precision;
ESPALIER_API espalier_status espalier_cuda_set_precision(espalier_cuda_precision precision);

#endif
