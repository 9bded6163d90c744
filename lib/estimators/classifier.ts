import { softmax } from '../ops/index.js'
import type { Tensor } from '../tensor/index.js'
import { evaluating } from '../train/index.js'
import { NeuralNet, outputsOf } from './estimator.js'
import type { Rows } from './rows.js'
import { type Classification, classification, type Label, type Labels } from './tasks.js'

/**
 * A classifier in integers: Concrete ML's built-in network with its parameters and defaults, and an
 * accumulator width that every neuron is proved to keep.
 *
 * Labels are any numbers or strings. Parameters go by names like `moduleNAccumBits`, or by Concrete
 * ML's (`module__n_accum_bits`) with `setParams` and `getParams`.
 *
 * @example
 * ```ts
 * import { NeuralNetClassifier } from 'espalier'
 * const X = Array.from({ length: 200 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
 * const y = X.map(([a, b]) => (a > b ? 'over' : 'under'))
 * const classifier = new NeuralNetClassifier({ moduleNLayers: 2, moduleNAccumBits: 8, maxEpochs: 20 })
 * await classifier.fit(X, y)
 * classifier.predict([[0.9, -0.9]]) // ['over']
 * classifier.certificate.bits // at most 8
 * ```
 */
export class NeuralNetClassifier extends NeuralNet<Labels, Label[], Classification> {
  protected taskOf(name: string, y: Labels): Classification {
    return classification(name, y)
  }

  /** The classes, in the order of `predictProba`'s columns: numbers by size, then strings. */
  get classes(): readonly Label[] {
    return this.fitted('classes').task.classes
  }

  /** The probability of each class: [n, classes] float32, every row adding up to 1. */
  predictProba(X: Rows): Tensor {
    const fitted = this.fitted('predictProba')
    return evaluating(fitted.network, () => softmax(outputsOf('predictProba', fitted, X), 1))
  }
}
