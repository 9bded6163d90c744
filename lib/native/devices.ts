import { freemem, totalmem } from 'node:os'
import { cudaState, nameOf } from './cuda.js'
import { native } from './kernels.js'
import type { Device } from './storage.js'

/** A place where tensors live and are computed with. */
export interface DeviceInfo {
  /** What `to` and the option `device` call it. */
  readonly device: Device
  /** As its maker calls it; of the CPU the instruction set its kernels use. */
  readonly name: string
  /** Bytes of memory, and how many are free now. */
  readonly memory: number
  readonly memoryFree: number
  /** Compute capability of a GPU (9.0 is Hopper); null for the CPU. */
  readonly capability: string | null
  /** Multiprocessors of a GPU, threads of the CPU. */
  readonly units: number
}

/**
 * The CPU, and every GPU there is. Where there is none, `cuda.whyMissing()` says why.
 *
 * @example
 * ```ts
 * import { cuda, devices } from 'espalier'
 * for (const { device, name, memory } of devices()) console.log(device, name, memory)
 * console.log(cuda.whyMissing() ?? 'there is a GPU')
 * ```
 */
export function devices(): DeviceInfo[] {
  const cpu: DeviceInfo = { device: 'cpu', name: native.isa(), memory: totalmem(), memoryFree: freemem(), capability: null, units: native.threads() }
  const cuda = cudaState()
  if (typeof cuda === 'string') return [cpu]
  const gpus = Array.from({ length: cuda.count }, (_, number): DeviceInfo => {
    const { name, memory, memoryFree, capability, multiprocessors } = cuda.addon.describe(number)
    return { device: nameOf(number), name, memory, memoryFree, capability: `${Math.floor(capability / 10)}.${capability % 10}`, units: multiprocessors }
  })
  return [cpu, ...gpus]
}
