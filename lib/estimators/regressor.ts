import type { Tensor } from '../tensor/index.js'
import { NeuralNet } from './estimator.js'
import type { Rows } from './rows.js'
import { regression, type Task } from './tasks.js'

/**
 * A regressor in integers: see `NeuralNetClassifier`. Targets [n] or [n, outputs]; bring them near unit
 * variance, as for any network.
 *
 * @example
 * ```ts
 * import { NeuralNetRegressor } from 'espalier'
 * const X = Float32Array.from({ length: 300 }, (_, i) => Math.sin(i))
 * const y = X.map((x) => x * x)
 * const regressor = new NeuralNetRegressor({ moduleNLayers: 2, moduleNHiddenNeuronsMultiplier: 16, moduleNAccumBits: 10 })
 * await regressor.fit(X, y)
 * regressor.predict([[0.5]]).shape // [1]
 * ```
 */
export class NeuralNetRegressor extends NeuralNet<Rows, Tensor, Task<Rows, Tensor>> {
  protected taskOf(name: string, y: Rows): Task<Rows, Tensor> {
    return regression(name, y)
  }
}
