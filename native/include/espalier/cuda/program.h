/* Compiled networks on a GPU: the files of espalier/program.h, run on device memory. A file made for either is
 * good for both.
 *
 * A program is named by a number, as there; its constants and weights lie on the device that is current when it is
 * loaded, in formats of that device's. Runs are queued on the calling thread's current stream, on any stream of the
 * device, and on several at once; each takes one block of working memory from the cache and gives it back. */
#ifndef ESPALIER_CUDA_PROGRAM_H
#define ESPALIER_CUDA_PROGRAM_H

#include "../types.h"

/* A program from the bytes of a file in the host's memory, and from the description that a file holds; see
 * espalier_program_load and espalier_program_create. */
ESPALIER_API espalier_status espalier_cuda_program_load(const void* file, int64_t bytes, int64_t* program);
ESPALIER_API espalier_status espalier_cuda_program_create(const void* description, int64_t bytes, int64_t* program);

/* Takes a number back. Runs that are queued finish: its memory serves other work behind them alone. */
ESPALIER_API espalier_status espalier_cuda_program_free(int64_t program);

/* Elements of a sample, and of the result of one. */
ESPALIER_API espalier_status espalier_cuda_program_input_size(int64_t program, int64_t* elements);
ESPALIER_API espalier_status espalier_cuda_program_output_size(int64_t program, int64_t* elements);

/* y [batch, output size] = the network of x [batch, input size], both float32 on the program's device, which has to
 * be the current one. Returns when the work is queued; the first run of a batch size prepares formats and waits for
 * them. Where it fails, y is what it was. */
ESPALIER_API espalier_status espalier_cuda_program_run(int64_t program, int64_t batch, espalier_in x, espalier_out y);

/* Measures every format of every layer on batches of this size, and runs the fastest from then on. */
ESPALIER_API espalier_status espalier_cuda_program_tune(int64_t program, int64_t batch);

/* The file: its size in bytes, and its bytes, into the host's memory. */
ESPALIER_API espalier_status espalier_cuda_program_file_size(int64_t program, int64_t* bytes);
ESPALIER_API espalier_status espalier_cuda_program_file(int64_t program, void* file, int64_t bytes);

/* What runs on what at a batch size, as espalier_program_explain tells it. Measured times are those of the host, of
 * a step from its queueing to its end. */
ESPALIER_API espalier_status espalier_cuda_program_explain(int64_t program, int64_t batch, int64_t repeats,
                                                           const char** json);

#endif
