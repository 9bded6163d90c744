import { converted, hostValues, Tensor } from '../tensor/index.js'

/**
 * An exact function of a few elements, in float64 on the CPU and rounded once: for scales and
 * thresholds, which are one a tensor or one a channel. On a GPU it waits for the elements.
 */
export const onHost = (x: Tensor, f: (value: number) => number): Tensor =>
  new Tensor(converted(Float64Array.from(hostValues(x.storage), f), x.dtype, x.device), x.shape, x.dtype)
