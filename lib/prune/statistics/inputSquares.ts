import { noGrad } from '../../autograd/index.js'
import { EspalierError, native } from '../../native/index.js'
import { Conv1d, Conv2d, ConvTranspose2d, Linear, type Module } from '../../nn/index.js'
import { conv1d, conv2d, convTranspose2d, linear, square } from '../../ops/index.js'
import { full, type Tensor, zeros } from '../../tensor/index.js'
import type { Statistic } from './statistic.js'

/**
 * Σ x² over all inputs x that each weight has multiplied. All filters of a group see the same inputs:
 * [groups, in / groups, …kernel] of a convolution, [1, in] of a linear layer, [in, 1, …kernel] of a
 * transposed convolution.
 */
export const inputSquares: Statistic = {
  name: 'inputSquares',
  shape([out, ...inputs], module) {
    if (module instanceof ConvTranspose2d) return [out, 1, ...inputs.slice(1)]
    return [module instanceof Linear ? 1 : (geometryOf(module).groups as number), ...inputs]
  },
  onInput(kept, input, module) {
    const squares = noGrad(() => square(input))
    native.accumulate(weightGradient(module, squares, zeros(kept.shape, { dtype: kept.dtype })).data, kept.data)
  },
}

/** What multiplies each weight, summed over the outputs: the gradient of the outputs' sum, whatever the weight. */
function weightGradient(module: Module, x: Tensor, weight: Tensor): Tensor {
  if (module instanceof Linear) return through(linear, [x, weight, null])
  if (module instanceof Conv2d) return through(conv2d, [x, weight, null, module.geometry])
  if (module instanceof Conv1d) return through(conv1d, [x, weight, null, module.geometry])
  return through(convTranspose2d, [x, weight, null, geometryOf(module)])
}

/** The gradient of an operation's second operand for ones, on no tape: the pass that is watched may have none. */
function through<Arguments extends readonly unknown[]>(
  { spec }: { spec: import('../../autograd/index.js').OpSpec<Arguments, unknown> },
  args: Arguments,
): Tensor {
  const result = noGrad(() => spec.forward(...args))
  const { output, saved } = 'saved' in result ? result : { output: result, saved: undefined }
  const [, gradient] = noGrad(() => spec.backward!(full(output.shape, 1, { dtype: output.dtype }), { args, output, saved, needs: [false, true] }))
  return gradient!
}

function geometryOf(module: Module): { groups: number } & Record<string, never> {
  if (module instanceof Conv2d || module instanceof Conv1d || module instanceof ConvTranspose2d) return module.geometry as never
  throw new EspalierError(
    'INVALID_ARGUMENT',
    `inputSquares: a ${module.constructor.name} does not say what its weight multiplies; expected a linear layer or a convolution`,
  )
}
