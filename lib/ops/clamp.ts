import { defineOp } from '../autograd/index.js'
import { describe, EspalierError, Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

type Bound = number | null

/** x no smaller than `min` and no larger than `max` (null: unbounded), elementwise. The gradient passes at both bounds. */
export const clamp = defineOp({
  name: 'clamp',
  forward: (x: Tensor, min: Bound = null, max: Bound = null) => forward('clamp', Unary.clamp, x, low(min), high(max)),
  backward: (grad, { args: [x, min, max], output }, own) => backward(Unary.clamp, grad, own, x, output, low(min), high(max)),
  cases: (sample) =>
    elementwiseShapes.map((shape, i): [Tensor, Bound, Bound] => {
      const [min, max] = bounds[i % bounds.length]
      return [sample(shape, { avoid: [min ?? 0, max ?? 0] }), min, max]
    }),
})

/** x between −1 and 1, or other bounds. */
export const hardtanh = (x: Tensor, min = -1, max = 1): Tensor => clamp(x, min, max)

/** x between 0 and 6. */
export const relu6 = (x: Tensor): Tensor => clamp(x, 0, 6)

const bounds: readonly (readonly [Bound, Bound])[] = [
  [-1, 1],
  [0, null],
  [null, 0.5],
  [null, null],
  [-0.5, 0.25],
]

const low = (min: Bound | undefined): number => bound('min', min ?? -Infinity)
const high = (max: Bound | undefined): number => bound('max', max ?? Infinity)

function bound(name: string, value: number): number {
  if (typeof value !== 'number' || Number.isNaN(value))
    throw new EspalierError('INVALID_ARGUMENT', `clamp: ${name} is ${describe(value)}, expected a number or null`)
  return value
}
