import { ensure } from '../../native/index.js'
import { Module, stages, type WeightTransform } from '../../nn/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import type { IntegerRange } from '../range.js'

/** A weight quantiser that keeps a layer within its accumulator: what it allows depends on the layer's inputs. */
export abstract class Guard extends Module {
  /** Codes that feed the layer; null before it first ran. */
  input: IntegerRange | null = null

  /** The weight as codes times a scale, such that no input overflows. */
  abstract override forward(weight: Tensor): Tensor

  /** Takes note of what the layer's sums are made of, beside its weight. */
  look(layer: Module): void {
    const { inputQuantisation } = layer as { inputQuantisation?: Quantisation | null }
    if (inputQuantisation) this.input = { min: inputQuantisation.min, max: inputQuantisation.max }
  }

  protected get knownInput(): IntegerRange {
    ensure(this.input !== null, 'STATE', () => 'accumulatorBits wants a quantised input; put a QuantIdentity or QuantReLU in front and run the model once')
    return this.input
  }
}

/** The guard in a layer's field; null where it has none. */
export function guardOf(layer: Module): Guard | null {
  const { weightQuantiser } = layer as { weightQuantiser?: unknown }
  return weightQuantiser instanceof Guard ? weightQuantiser : null
}

/** On the weight's way: the guard in the layer's field, after a look at the layer. */
export const guardTransform: WeightTransform = {
  kind: 'quantiser',
  stage: stages.quantiser,
  apply(weight, layer) {
    const guard = guardOf(layer) as Guard
    guard.look(layer)
    return guard.forward(weight)
  },
}
