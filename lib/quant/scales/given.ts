import { ensure, realNumber } from '../../native/index.js'
import { besides, full } from '../../tensor/index.js'
import type { Scale } from './scale.js'

/** One scale > 0 that never changes. */
export function givenScale(scale: number, { powerOfTwo = false }: { powerOfTwo?: boolean } = {}): Scale {
  realNumber('scale', scale, Number.MIN_VALUE)
  ensure(!powerOfTwo || Number.isInteger(Math.log2(scale)), 'INVALID_ARGUMENT', () => `scale is ${scale}, expected a power of two`)
  return { powerOfTwo, follows: false, of: (x) => besides(x, () => full([], scale, { dtype: x.dtype })) }
}
