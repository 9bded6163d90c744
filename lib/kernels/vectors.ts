import { describe, ensure, SparseLayout, wholeNumber } from '../native/index.js'
import { vectorsIn } from './arguments.js'

/**
 * How X and Y hold a vector a sample. 'rows': [samples, elements], as a linear layer has its batch. 'columns':
 * [elements, samples], as a convolution has its channels. 'panels': [⌈samples/16⌉, elements, 16], which is what
 * products work on, so that a chain of them packs once; lanes past the last sample are computed too.
 */
export type SampleLayout = keyof typeof SparseLayout

/** Samples that stand together in a panel. */
const panel = 16

/** The elements of `samples` vectors of `elements`. */
export const lengthOfVectors = (elements: number, layout: SampleLayout, samples: number): number =>
  elements * (layout === 'panels' ? Math.ceil(samples / panel) * panel : samples)

/** How many vectors of `elements` an array holds; what is said of them must agree. */
export function samplesIn(
  operation: string,
  name: string,
  array: { readonly length: number },
  elements: number,
  layout: SampleLayout,
  samples?: number,
): number {
  ensure(
    typeof layout === 'string' && Object.hasOwn(SparseLayout, layout),
    'INVALID_ARGUMENT',
    () => `${operation}: layout is ${describe(layout)}, expected one of ${Object.keys(SparseLayout).join(', ')}`,
  )
  const held = vectorsIn(operation, name, array, elements)
  if (samples === undefined) {
    ensure(
      layout !== 'panels' || held % panel === 0,
      'SHAPE_MISMATCH',
      () => `${operation}: ${name} has ${array.length} elements, which are no panels of ${panel} vectors of ${elements}`,
    )
    return held
  }
  wholeNumber(`${operation}: samples`, samples)
  const expected = lengthOfVectors(elements, layout, samples)
  ensure(array.length === expected, 'SHAPE_MISMATCH', () => `${operation}: ${name} has ${array.length} elements, expected ${expected} for ${samples} samples`)
  return samples
}
