import { describe, EspalierError } from '../../native/index.js'
import type { Tensor } from '../../tensor/index.js'
import { fans } from './fans.js'
import { type Drawn, normal, uniform } from './fill.js'
import { calculateGain, type Nonlinearity } from './gain.js'

export interface KaimingOptions extends Drawn {
  /** Negative slope of the leakyRelu that follows. Default 0. */
  a?: number
  /** Whether the variance is kept forward ('fanIn', the default) or backward ('fanOut'). */
  mode?: 'fanIn' | 'fanOut'
  /** What follows the weight. Default 'leakyRelu'. */
  nonlinearity?: Nonlinearity
}

export interface XavierOptions extends Drawn {
  /** Factor on the standard deviation, see `calculateGain`. Default 1. */
  gain?: number
}

function kaimingDeviation(weight: Tensor, { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu' }: KaimingOptions): number {
  if (mode !== 'fanIn' && mode !== 'fanOut') throw new EspalierError('INVALID_ARGUMENT', `mode is ${describe(mode)}, expected 'fanIn' or 'fanOut'`)
  return calculateGain(nonlinearity, a) / Math.sqrt(fans(weight.shape)[mode])
}

function xavierDeviation(weight: Tensor, { gain = 1 }: XavierOptions): number {
  const { fanIn, fanOut } = fans(weight.shape)
  return gain * Math.sqrt(2 / (fanIn + fanOut))
}

/** A uniform distribution of this standard deviation reaches to ±√3 of it. */
function uniformOf<T extends Tensor>(weight: T, deviation: number, options: Drawn): T {
  const bound = Math.sqrt(3) * deviation
  return weight.size === 0 ? weight : uniform(weight, -bound, bound, options)
}

const normalOf = <T extends Tensor>(weight: T, deviation: number, options: Drawn): T => (weight.size === 0 ? weight : normal(weight, 0, deviation, options))

/** Fills a weight in place from U(−b, b), b = gain·√(3 / fan). He et al. 2015. */
export const kaimingUniform = <T extends Tensor>(weight: T, options: KaimingOptions = {}): T => uniformOf(weight, kaimingDeviation(weight, options), options)

/** Fills a weight in place from N(0, gain² / fan). He et al. 2015. */
export const kaimingNormal = <T extends Tensor>(weight: T, options: KaimingOptions = {}): T => normalOf(weight, kaimingDeviation(weight, options), options)

/** Fills a weight in place from U(−b, b), b = gain·√(6 / (fanIn + fanOut)). Glorot & Bengio 2010. */
export const xavierUniform = <T extends Tensor>(weight: T, options: XavierOptions = {}): T => uniformOf(weight, xavierDeviation(weight, options), options)

/** Fills a weight in place from N(0, gain²·2 / (fanIn + fanOut)). Glorot & Bengio 2010. */
export const xavierNormal = <T extends Tensor>(weight: T, options: XavierOptions = {}): T => normalOf(weight, xavierDeviation(weight, options), options)
