import { asTensor } from '../autograd/index.js'
import { ensure } from '../native/index.js'
import { formatShape, sameShape, type Tensor, widerDtype } from '../tensor/index.js'
import type { LossOptions } from './lossReduction.js'

/** What losses over classes share. */
export interface ClassLossOptions extends LossOptions {
  /** A factor per class, [C]; it gets no gradient. Default: all ones. */
  weight?: Tensor | null
  /** Rows with this target count nothing. Default −100. */
  ignoreIndex?: number
}

/** The rows and classes of scores [N, C], and checks of what goes with them. */
export function classRows(operation: string, x: Tensor, target: Tensor, weight: Tensor | null): [rows: number, classes: number] {
  asTensor(operation, 'x', x)
  asTensor(operation, 'target', target)
  ensure(x.rank === 2, 'SHAPE_MISMATCH', () => `${operation}: x has shape ${formatShape(x.shape)}, expected [rows, classes]`)
  const [rows, classes] = x.shape
  ensure(
    target.dtype === 'int32' ? target.rank === 1 && target.size === rows : sameShape(target.shape, x.shape),
    'SHAPE_MISMATCH',
    () => `${operation}: target is ${target.dtype} ${formatShape(target.shape)}, expected int32 [${rows}] for scores ${formatShape(x.shape)}`,
  )
  if (weight !== null) {
    widerDtype(operation, x, asTensor(operation, 'weight', weight))
    ensure(weight.size === classes, 'SHAPE_MISMATCH', () => `${operation}: weight has shape ${formatShape(weight.shape)}, expected [${classes}]`)
  }
  return [rows, classes]
}
