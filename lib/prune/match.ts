import { describe, EspalierError, ensure } from '../native/index.js'
import { Module } from '../nn/index.js'

/** Which layers: by dotted name, a pattern of it, the module itself, its class, or what a function says. */
export type Matcher = string | RegExp | Module | (abstract new (...args: never[]) => Module) | ((name: string, module: Module) => boolean)

/** A matcher as a function, or the error for what is none. A string must be the name of a module of the model. */
export function matching(operation: string, matcher: Matcher, model: Module): (name: string, module: Module) => boolean {
  if (typeof matcher === 'string') {
    const names = [...model.namedModules()].map(([name]) => name)
    ensure(names.includes(matcher), 'INVALID_ARGUMENT', () => `${operation}: the model has no module ${describe(matcher)}`)
    // A name stands for all that is below it.
    return (name) => name === matcher || matcher === '' || name.startsWith(`${matcher}.`)
  }
  if (matcher instanceof RegExp) return (name) => name.search(matcher) >= 0
  if (matcher instanceof Module) {
    const below = new Set(matcher.modules())
    return (_, module) => below.has(module)
  }
  if (typeof matcher === 'function') {
    if (matcher.prototype instanceof Module || (matcher as unknown) === Module) return (_, module) => module instanceof (matcher as new () => Module)
    return matcher as (name: string, module: Module) => boolean
  }
  throw new EspalierError('INVALID_ARGUMENT', `${operation}: ${describe(matcher)} is no name, pattern, module, class of modules or function`)
}

/** Whether any of several matchers, or the one, takes a layer. */
export function matchingAny(operation: string, matchers: Matcher | readonly Matcher[], model: Module): (name: string, module: Module) => boolean {
  const list = (Array.isArray(matchers) ? matchers : [matchers]).map((matcher: Matcher) => matching(operation, matcher, model))
  return (name, module) => list.some((matches) => matches(name, module))
}
