import { EspalierError, ensure, realNumber } from '../../native/index.js'
import { allocate, formatShape, Tensor } from '../../tensor/index.js'
import type { Transform } from './transform.js'

/** (x − mean) / std in float32, from x of any dtype; a number for all of x, or one a channel (dimension 1). */
export function normalize(mean: number | readonly number[], std: number | readonly number[]): Transform {
  const means = typeof mean === 'number' ? [mean] : mean
  const deviations = typeof std === 'number' ? [std] : std
  for (const value of means) realNumber('normalize: mean', value)
  for (const value of deviations) realNumber('normalize: std', value, Number.MIN_VALUE)
  const channels = Math.max(means.length, deviations.length)
  ensure(
    channels > 0 && [means.length, deviations.length].every((length) => length === 1 || length === channels),
    'INVALID_ARGUMENT',
    () => `normalize: ${means.length} means do not go with ${deviations.length} deviations`,
  )
  return (x) => {
    const count = channels === 1 ? 1 : x.shape[1]
    if (count !== channels)
      throw new EspalierError('SHAPE_MISMATCH', `normalize: x has shape ${formatShape(x.shape)}, expected ${channels} channels in dimension 1`)
    const from = x.data
    const y = allocate('float32', x.size)
    const plane = channels === 1 ? x.size : x.shape.slice(2).reduce((product, dimension) => product * dimension, 1)
    for (let start = 0, channel = 0; start < x.size; start += plane, channel = (channel + 1) % channels) {
      const factor = 1 / (deviations.length === 1 ? deviations[0] : deviations[channel])
      const offset = means.length === 1 ? means[0] : means[channel]
      for (let i = start; i < start + plane; i++) y[i] = (from[i] - offset) * factor
    }
    return new Tensor(y, x.shape, 'float32')
  }
}

/** x times a factor, in float32: 1/16 brings the digits to 0 … 1. */
export const scale = (factor: number): Transform => normalize(0, 1 / realNumber('scale: factor', factor, Number.MIN_VALUE))
