import { describe, ensure } from '../../native/index.js'
import { defaultGenerator, Generator, isFloat } from '../../tensor/index.js'
import type { Score } from './score.js'

/** A fresh draw for every weight, whatever its value. The generator's seed fixes what falls. */
export function random({ generator = defaultGenerator }: { generator?: Generator } = {}): Score {
  ensure(generator instanceof Generator, 'INVALID_ARGUMENT', () => `random: the generator is ${describe(generator)}, expected a Generator`)
  return {
    name: 'random',
    magnitude: false,
    entrywise: true,
    generator,
    of: ({ shape, dtype }) => generator.uniform(shape, { dtype: isFloat(dtype) ? dtype : 'float32' }),
  }
}
