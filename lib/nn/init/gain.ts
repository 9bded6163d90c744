import { describe, EspalierError, realNumber } from '../../native/index.js'

/** What follows a weight: it decides how large the weight should be. */
export type Nonlinearity = 'linear' | 'conv1d' | 'conv2d' | 'convTranspose2d' | 'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'selu'

const gains: Record<Nonlinearity, (slope: number) => number> = {
  linear: () => 1,
  conv1d: () => 1,
  conv2d: () => 1,
  convTranspose2d: () => 1,
  sigmoid: () => 1,
  tanh: () => 5 / 3,
  relu: () => Math.SQRT2,
  leakyRelu: (slope) => Math.sqrt(2 / (1 + slope ** 2)),
  selu: () => 3 / 4,
}

/** The factor that keeps the variance through a nonlinearity; `parameter` is leakyRelu's negative slope, by default .01. */
export function calculateGain(nonlinearity: Nonlinearity, parameter = 0.01): number {
  if (!Object.hasOwn(gains, nonlinearity))
    throw new EspalierError('INVALID_ARGUMENT', `calculateGain: nonlinearity is ${describe(nonlinearity)}, expected one of ${Object.keys(gains).join(', ')}`)
  return gains[nonlinearity](realNumber('calculateGain: parameter', parameter))
}
