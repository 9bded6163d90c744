import { type Module, maskOf, removeMask } from '../../../nn/index.js'
import { checkedModule } from '../../weightOf.js'

/**
 * Ends the pruning of a parameter: the masked weight becomes the parameter, its zeros ordinary weights.
 *
 * @throws EspalierError STATE where it is not pruned
 */
export function remove(module: Module, name: string): Module {
  removeMask(checkedModule('remove', module), name)
  return module
}

/** Whether any parameter in the module or below it is pruned. */
export function isPruned(module: Module): boolean {
  for (const part of checkedModule('isPruned', module).modules())
    for (const [name] of part.ownBuffers()) if (name.endsWith('_mask') && maskOf(part, name.slice(0, -'_mask'.length)) !== null) return true
  return false
}
