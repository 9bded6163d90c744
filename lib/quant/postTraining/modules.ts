import { BatchNorm1d, BatchNorm2d, Conv1d, Conv2d, Linear, type Module, type Parameter, Sequential } from '../../nn/index.js'

// What the passes over a trained network share: which of its layers follow one another, and how one is
// put in another's place.

/** The layers that sum products of weights: what post-training methods work on. */
export type WeightedLayer = Conv1d | Conv2d | Linear

export const isWeighted = (module: unknown): module is WeightedLayer => module instanceof Conv1d || module instanceof Conv2d || module instanceof Linear

export type BatchNorm = BatchNorm1d | BatchNorm2d

export const isBatchNorm = (module: unknown): module is BatchNorm => module instanceof BatchNorm1d || module instanceof BatchNorm2d

/** Whether a module runs its children one after the other, each on what the one before gave. */
export const isSequence = (module: Module): module is Sequential =>
  module instanceof Sequential && (Object.getPrototypeOf(module) as Module).forward === Sequential.prototype.forward

/** The modules of a sequence in the order they run, sequences inside it taken apart. */
const stepsOf = (sequence: Sequential): Module[] => [...sequence.children()].flatMap((child) => (isSequence(child) ? stepsOf(child) : [child]))

/** The sequences of a model that are in no other, each as the modules it runs in turn. */
export function sequencesIn(model: Module): Module[][] {
  const found: Module[][] = []
  const visit = (module: Module): void => {
    if (isSequence(module)) {
      const steps = stepsOf(module)
      found.push(steps)
      for (const step of steps) visit(step)
    } else for (const child of module.children()) visit(child)
  }
  visit(model)
  return found
}

/** The modules of a model that stand in one place only, and whose parameters no other module has. */
export function unshared(model: Module): Set<Module> {
  const places = new Map<Module, number>()
  const visit = (module: Module): void => {
    places.set(module, (places.get(module) ?? 0) + 1)
    for (const child of module.children()) visit(child)
  }
  visit(model)
  const owners = new Map<Parameter, number>()
  for (const module of model.modules()) for (const [, parameter] of module.ownParameters()) owners.set(parameter, (owners.get(parameter) ?? 0) + 1)
  const alone = (module: Module): boolean => places.get(module) === 1 && [...module.ownParameters()].every(([, parameter]) => owners.get(parameter) === 1)
  return new Set([...places.keys()].filter(alone))
}

/** Puts modules in the places of others, wherever these stand in a model. Gives the model, or what took its place. */
export function replaceModules(model: Module, replacements: ReadonlyMap<Module, Module>): Module {
  const replacement = replacements.get(model)
  if (replacement !== undefined) return replacement
  const parents = [...model.modules()]
  for (const parent of parents)
    for (const [field, value] of Object.entries(parent)) {
      const put = (item: unknown): unknown => (replacements as ReadonlyMap<unknown, Module>).get(item) ?? item
      if (Array.isArray(value)) for (const [i, item] of value.entries()) value[i] = put(item)
      else if (put(value) !== value) Object.assign(parent, { [field]: put(value) })
    }
  return model
}
