import { collect, cudaOn, cudaState, deviceNamed, deviceSettled } from './cuda.js'
import { describe, EspalierError } from './error.js'
import { CudaPrecision } from './operations.js'
import type { Device } from './storage.js'

// What a user can ask of a GPU beside computing on it: the names of `cuda` in index.ts.

/** Why there is no CUDA device, in a sentence; null where there is one. */
export function whyMissing(): string | null {
  const cuda = cudaState()
  return typeof cuda === 'string' ? cuda : null
}

/** Waits for all work of a device, and throws what went wrong in it. */
export function synchronize(device: Device = 'cuda'): void {
  cudaOn(deviceNamed('synchronize', device)).addon.synchronize()
}

/** The same off the event loop: kept when all that the device was asked for before the call is done. */
export const settled = async (device: Device = 'cuda'): Promise<void> => deviceSettled(deviceNamed('settled', device))

/** Bytes of a device in use by tensors, and kept for reuse. */
export const memory = (device: Device = 'cuda'): { used: number; cached: number } => cudaOn(deviceNamed('memory', device)).addon.memory()

/** Collects garbage, and gives the memory that is kept for reuse back to the driver. */
export function emptyCache(device: Device = 'cuda'): void {
  const cuda = cudaOn(deviceNamed('emptyCache', device))
  collect(cuda)
  cuda.addon.emptyCache()
}

/**
 * How products and convolutions of float32 tensors are computed: 'float32' (exactly, without tensor cores;
 * the default), 'tf32' (operands rounded to 10 bits of mantissa) or 'bfloat16' (7 bits). Sums are
 * float32 always. One setting for the process; but masked layers choose their kernels by what their own thread
 * has set, so that a worker thread that runs them has to set it too.
 */
export function setPrecision(precision: keyof typeof CudaPrecision): void {
  if (!Object.hasOwn(CudaPrecision, precision))
    throw new EspalierError('INVALID_ARGUMENT', `setPrecision: precision is ${describe(precision)}, expected one of ${Object.keys(CudaPrecision).join(', ')}`)
  const cuda = cudaOn(deviceNamed('setPrecision', 'cuda'))
  cuda.addon.setPrecision(CudaPrecision[precision])
  cuda.precision = precision
}
