import { asTensor, defineOp } from '../autograd/index.js'
import { native } from '../native/index.js'
import { empty, type Shape, type Tensor, wideOf } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { magnitudeGradient } from './magnitude.js'

export interface AbsMaxOptions {
  /** One result for each index of the first dimension instead of one for all. Default false. */
  perChannel?: boolean
}

/**
 * The largest |x|: a scalar, or with `perChannel` of shape [channels, 1, …], to broadcast over x. The
 * gradient goes to the element it was taken from, the first of equals. Without elements it is 0.
 */
export const absMax = defineOp({
  name: 'abs_max',
  forward(x: Tensor, { perChannel = false }: AbsMaxOptions = {}) {
    asTensor('absMax', 'x', x)
    const shape: Shape = perChannel ? x.shape.map((dimension, axis) => (axis === 0 ? dimension : 1)) : []
    const output = empty(shape, wideOf(x.dtype))
    const channels = output.size
    const at = empty([channels], 'int32')
    native.absMax(x.storage, null, 1, channels, channels === 0 ? 0 : x.size / channels, output.storage, at.storage)
    return { output, saved: at }
  },
  backward: (grad, { args: [x], saved }) => [magnitudeGradient(grad, x, saved)],
  cases: (sample) =>
    elementwiseShapes.flatMap((shape): [Tensor, AbsMaxOptions][] => {
      const x = sample(shape, { distinct: true, min: 0.1, max: 3 })
      return shape.length === 0
        ? [[x, {}]]
        : [
            [x, {}],
            [x, { perChannel: true }],
          ]
    }),
})
