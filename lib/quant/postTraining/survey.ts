import { describe, ensure } from '../../native/index.js'
import { type Module, ReLU } from '../../nn/index.js'
import { full, type Tensor } from '../../tensor/index.js'
import { finite, watching } from './calibration.js'
import { Histogram } from './histogram.js'
import { hasTwin, twinNames } from './twins.js'

/** Where activations of a float network are to be quantised, and what values pass there. */
export interface Survey {
  /** The layers that become quantised ones, by name, in the order they run, and what feeds each. */
  readonly layers: readonly SurveyedLayer[]
  /** The ReLUs whose output is quantised where it leaves them. */
  readonly activations: ReadonlyMap<Module, Histogram>
}

export interface SurveyedLayer {
  readonly name: string
  readonly layer: Module
  /** The ReLU whose output comes here unchanged, or by ways that keep its codes (pooling of maxima, reshaping). */
  readonly fedBy: Module | null
  /** The values of its input. */
  readonly seen: Histogram
}

/**
 * Runs a float network and notes what goes into its layers. Whether a ReLU feeds a layer is seen from a mark that
 * its output carries, as the output of a quantiser would: what keeps codes keeps the mark.
 *
 * @param only which layers are to be quantised
 */
export function survey(model: Module, batches: readonly Tensor[], only: (name: string, module: Module) => boolean): Survey {
  const names = new Map<Module, string>()
  const marks = new Map<Tensor, Module>()
  const relus = new Map<Module, { mark: Tensor; runs: number; seen: Histogram }>()
  for (const [name, module] of model.namedModules()) {
    if (hasTwin(module) && only(name, module)) names.set(module, name)
    else if (module.constructor === ReLU) {
      const mark = full([], 1)
      marks.set(mark, module)
      relus.set(module, { mark, runs: 0, seen: new Histogram() })
    } else checkKept(name, module, only)
  }
  ensure(names.size > 0, 'INVALID_ARGUMENT', () => `quantise: the model has no layer to quantise, expected one of ${twinNames()}`)
  const layers = new Map<Module, { fedBy: Module | null; seen: Histogram }>()
  watching(
    model,
    [...names.keys(), ...relus.keys()],
    {
      onInput(module, x) {
        const name = names.get(module)
        if (name === undefined) return
        const source = (x.quantisation && marks.get(x.quantisation.scale)) ?? null
        const fed = layers.get(module)
        if (fed === undefined) layers.set(module, { fedBy: source, seen: new Histogram() })
        else if (fed.fedBy !== source) layers.set(module, { ...fed, fedBy: null })
        layers.get(module)!.seen.add(finite(`quantise: the input of ${name}`, x))
      },
      onOutput(module, y) {
        const relu = relus.get(module)
        if (relu === undefined) return
        relu.runs++
        relu.seen.add(finite('quantise: the output of a ReLU', y))
        y.quantisation = { scale: relu.mark, min: 0, max: 1 }
      },
    },
    batches,
  )
  // One ReLU at several places has several ranges: layers behind it quantise their own inputs.
  const once = new Map([...relus].filter(([, { runs }]) => runs === batches.length).map(([module, { seen }]) => [module, seen]))
  return {
    activations: once,
    layers: Array.from(layers, ([layer, { fedBy, seen }]) => ({
      name: names.get(layer)!,
      layer,
      fedBy: fedBy !== null && once.has(fedBy) ? fedBy : null,
      seen,
    })),
  }
}

/** What is neither quantised nor asked to be left alone must have no weights that are multiplied. */
function checkKept(name: string, module: Module, only: (name: string, module: Module) => boolean): void {
  ensure(
    !('inputQuantisation' in module),
    'INVALID_ARGUMENT',
    () => `quantise: ${name || 'the model'} is a ${module.constructor.name}: the model is quantised already`,
  )
  const wide = [...module.ownParameters()].find(([, parameter]) => parameter.rank >= 2)
  ensure(
    wide === undefined || !only(name, module),
    'INVALID_ARGUMENT',
    () =>
      `quantise: ${describe(name)} is a ${module.constructor.name}, for whose ${wide?.[0]} there is no quantised layer, expected ${twinNames()}; leave it as it is with 'only'`,
  )
}
